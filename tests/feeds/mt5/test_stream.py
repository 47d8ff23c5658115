"""A socket to a bridge whose every wait ends."""

import socket

import pytest

from ticktape.feeds.mt5.stream import BridgeStream, connect


class Seconds:
    def __init__(self, left):
        self.left = left

    def timeleft(self):
        return self.left


@pytest.fixture
def ends():
    listener = socket.create_server(("127.0.0.1", 0))
    stream = connect("127.0.0.1", listener.getsockname()[1], 5.0, 0.05)
    peer, _ = listener.accept()
    listener.close()
    yield stream, peer
    stream.close()
    peer.close()


def test_reads_exactly_what_is_asked_for_however_it_comes(ends):
    stream, peer = ends
    for part in (b"ab", b"cde", b"f"):
        peer.sendall(part)
    assert stream.poll(Seconds(5.0))
    assert stream.read(4) == b"abcd"
    assert stream.read(2) == b"ef"
    assert not stream.poll(Seconds(0.0))


def test_a_peer_that_stops_in_the_middle_is_gone(ends):
    stream, peer = ends
    peer.sendall(b"half")
    with pytest.raises(EOFError, match="in the middle of an answer"):
        stream.read(8)
    assert stream.closed


def test_a_peer_that_closes_is_gone(ends):
    stream, peer = ends
    peer.close()
    assert stream.poll(Seconds(5.0))
    with pytest.raises(EOFError, match="closed the connection"):
        stream.read(1)


def test_a_peer_that_does_not_read_is_gone(ends):
    stream, _ = ends
    with pytest.raises(EOFError):
        stream.write(bytes(64 << 20))
    with pytest.raises(EOFError):
        stream.write(b"more")


def test_closing_twice_is_fine_and_says_so_to_who_comes_later(ends):
    stream, _ = ends
    stream.close()
    stream.close()
    for use in (lambda: stream.read(1), lambda: stream.poll(Seconds(0.0))):
        with pytest.raises(EOFError):
            use()


def test_knows_the_address_of_its_own_end(ends):
    stream, peer = ends
    assert isinstance(stream, BridgeStream)
    assert stream.local_address() == (socket.AF_INET, peer.getpeername()[0])
