"""Frames of a pushing bridge: who may connect, and that each is given once, whole and in order."""

import socket
import threading

import pytest

from ticktape.feeds.mt5 import remotepush
from ticktape.feeds.mt5.frames import Frame, FrameReader, Listener, PushedImage

ROW = bytes(range(28))


def image(number, rows=1):
    head = remotepush.IMAGE
    return head.pack(head.size + rows * 28, 1, 0, 7, number, number + 1, 5, number, 2) + ROW * rows


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    reader = FrameReader(ours)
    yield reader, theirs
    reader.close()
    theirs.close()


def test_only_who_knows_the_token_is_accepted():
    with Listener(socket.AF_INET, "127.0.0.1") as listener:
        strangers = []
        for said in (b"", b"x" * 16, listener.token[:15]):
            strangers.append(socket.create_connection(("127.0.0.1", listener.port)))
            strangers[-1].sendall(said)
            strangers[-1].shutdown(socket.SHUT_WR)
        friend = socket.create_connection(("127.0.0.1", listener.port))
        friend.sendall(listener.token + b"after")
        accepted = listener.accept(5.0)
        assert accepted.recv(16) == b"after"
    for end in (*strangers, friend, accepted):
        end.close()


def test_nobody_in_time_is_nobody():
    with Listener(socket.AF_INET, "127.0.0.1") as listener:
        assert listener.accept(0.01) is None


def test_two_listeners_have_two_tokens():
    with (
        Listener(socket.AF_INET, "127.0.0.1") as one,
        Listener(socket.AF_INET, "127.0.0.1") as two,
    ):
        assert one.token != two.token
        assert len(one.token) == 16


def test_frames_come_whole_however_the_bytes_are_cut(ends):
    reader, theirs = ends
    sent = b"".join(image(number, number % 3) for number in range(40))
    found = []
    for at in range(0, len(sent), 33):
        theirs.sendall(sent[at : at + 33])
        assert reader.wait(5.0)
        found += reader.frames()
    assert found == [
        PushedImage(7, 0, number, number + 1, 5, number, 2, ROW * (number % 3))
        for number in range(40)
    ]


def test_many_frames_are_read_at_once(ends):
    reader, theirs = ends
    theirs.sendall(image(1) + image(2) + image(3))
    assert reader.wait(5.0)
    assert [frame.poll for frame in reader.frames()] == [1, 2, 3]
    assert list(reader.frames()) == []
    assert not reader.wait(0.0)


def test_the_largest_book_fits(ends):
    reader, theirs = ends
    sent = image(1, 65_535)
    writer = threading.Thread(target=theirs.sendall, args=(sent,))
    writer.start()
    found = []
    while not found and reader.wait(5.0):
        found += reader.frames()
    writer.join()
    assert found[0].rows == ROW * 65_535


def test_other_kinds_of_frames(ends):
    reader, theirs = ends
    said = b'{"poll": 9, "counts": {"symbol": "A", "polls": 4, "calls": {"70": 4}}}'
    theirs.sendall(remotepush.HEAD.pack(8 + len(said), 2, 0, 3) + said)
    theirs.sendall(remotepush.CLOCK.pack(remotepush.CLOCK.size, 3, 0, 0, 12_345, 6))
    theirs.sendall(remotepush.END.pack(remotepush.END.size + 4, 4, 0, 0, -10_002) + b"gone")
    reader.wait(5.0)
    counts, times, end = reader.frames()
    assert (counts.symbol, counts.heartbeat.poll) == (3, 9)
    assert counts.heartbeat.counts.calls == {70: 4}
    assert times == Frame(3, 0, counter=12_345, late=6)
    assert end == Frame(4, 0, code=-10_002, text="gone")


def test_a_symbols_first_image_has_no_poll_before_it(ends):
    reader, theirs = ends
    head = remotepush.IMAGE
    theirs.sendall(head.pack(head.size, 1, 1 | remotepush.NO_PREVIOUS, 0, 1, 2, 0, 1, 0))
    reader.wait(5.0)
    (first,) = reader.frames()
    assert (first.previous, first.marks, first.rows) == (None, 1, b"")


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n", remotepush.HEAD.pack(8, 99, 0, 0)])
def test_what_is_no_frame_is_said(ends, sent):
    reader, theirs = ends
    theirs.sendall(sent)
    reader.wait(5.0)
    with pytest.raises(ValueError, match="a frame of"):
        list(reader.frames())


def test_the_end_of_a_connection_is_said_in_words(ends):
    reader, theirs = ends
    theirs.sendall(image(1))
    theirs.close()
    assert reader.wait(5.0)
    assert len(list(reader.frames())) == 1
    assert not reader.wait(5.0)
    assert reader.ended == "it closed the connection"
    reader.close()
    reader.close()
