"""The listener between the library's frames and the blocks of the journal; fakes, no network."""

import logging
from typing import NamedTuple

import pytest
from picows import WSCloseCode, WSMsgType, WSProtocolError

from ticktape.feeds.socket import Listener, Socket, SocketConfig, _logger, _without_login
from ticktape.records import EntryKind

TEXT, BINARY = WSMsgType.TEXT, WSMsgType.BINARY
MORE, PING, PONG, CLOSE = (
    WSMsgType.CONTINUATION,
    WSMsgType.PING,
    WSMsgType.PONG,
    WSMsgType.CLOSE,
)
T, B = int(EntryKind.TEXT), int(EntryKind.BINARY)


class Frame(NamedTuple):
    """What the listener asks of a frame; the library's own cannot be made, but for its last."""

    msg_type: WSMsgType
    payload: bytes
    fin: bool = True
    last_in_buffer: bool = False

    def get_payload_as_bytes(self):
        return self.payload

    def get_close_code(self):
        return WSCloseCode(int.from_bytes(self.payload[:2], "big"))

    def get_close_message(self):
        return self.payload[2:]


class Transport:
    def __init__(self):
        self.sent = []

    def send(self, kind, payload):
        self.sent.append((kind, payload))

    def send_pong(self, payload):
        self.sent.append(("pong", payload))

    def send_close(self, code):
        self.sent.append(("close", code))

    def disconnect(self, graceful=True):
        self.sent.append(("disconnect", graceful))


class Connection:
    """A listener, and what it handed on: (payloads, kinds) per block."""

    def __init__(self, message_bytes_max=1000):
        self.blocks = []
        self.stamps = []
        self.transport = Transport()
        self.opened = []
        self.listener = Listener(self._take, self.opened.append, 10.0, message_bytes_max)

    def _take(self, payloads, kinds, mono_ns, count):
        assert count == len(payloads)
        self.blocks.append((payloads, kinds))
        self.stamps.append(mono_ns)

    def read(self, *frames):
        """One socket read: the last frame is marked as such."""
        for number, frame in enumerate(frames):
            whole = Frame(*frame, last_in_buffer=number == len(frames) - 1)
            if whole.msg_type is PONG and self.listener.is_user_specific_pong(whole):
                continue
            self.listener.on_ws_frame(self.transport, whole)
        return self


@pytest.fixture
def connection():
    return Connection()


def text(payload, fin=True):
    return (TEXT, payload, fin)


def test_one_read_is_one_block(connection):
    connection.read(text(b"1"), text(b"2"), text(b"3")).read(text(b"4"))
    assert connection.blocks == [([b"1", b"2", b"3"], None), ([b"4"], None)]


def test_block_is_stamped_when_its_first_frame_is_seen_and_stamps_never_go_back(connection):
    for _ in range(5):
        connection.read(text(b"1"), text(b"2"))
    assert connection.stamps == sorted(set(connection.stamps))
    assert connection.listener.alive_mono_ns == connection.stamps[-1]


def test_ping_is_answered_with_its_payload(connection):
    connection.read((PING, b"beat", True))
    assert connection.transport.sent == [("pong", b"beat")]
    assert connection.blocks == []


@pytest.mark.parametrize("control", [PING, PONG])
def test_data_before_a_ping_or_pong_that_ends_the_read_does_not_wait(connection, control):
    connection.read(text(b"1"), (control, b"", True))
    assert connection.blocks == [([b"1"], None)]


@pytest.mark.parametrize("control", [PING, PONG])
def test_ping_or_pong_among_data_splits_no_block(connection, control):
    connection.read(text(b"1"), (control, b"", True), text(b"2"))
    assert connection.blocks == [([b"1", b"2"], None)]


@pytest.mark.parametrize("control", [PING, PONG])
def test_ping_or_pong_alone_is_a_sign_of_life(connection, control):
    before_ns = connection.listener.alive_mono_ns
    connection.read((control, b"", True))
    assert connection.listener.alive_mono_ns > before_ns


def test_only_a_pong_is_taken_as_the_answer_to_our_ping(connection):
    assert not connection.listener.is_user_specific_pong(Frame(*text(b"1")))
    assert connection.listener.is_user_specific_pong(Frame(PONG, b""))


def test_kinds_are_told_one_by_one_when_any_is_binary(connection):
    connection.read(text(b"1"), (BINARY, b"2", True), text(b"3"))
    connection.read((BINARY, b"4", True))
    connection.read(text(b"5"))
    assert connection.blocks == [([b"1", b"2", b"3"], [T, B, T]), ([b"4"], [B]), ([b"5"], None)]


def test_fragments_become_one_entry_over_reads_and_pings(connection):
    connection.read(text(b"0"), text(b"a", False))
    connection.read((PING, b"", True), (MORE, b"b", False))
    connection.read((MORE, b"c", True), text(b"1"))
    assert connection.blocks == [([b"0"], None), ([b"abc", b"1"], None)]


def test_binary_fragments_keep_their_kind(connection):
    connection.read(text(b"0"), (BINARY, b"a", False), (MORE, b"b", True), text(b"1"))
    assert connection.blocks == [([b"0", b"ab", b"1"], [T, B, T])]


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_message_cut_by_the_end_of_the_connection_is_kept(connection, kind):
    connection.read(text(b"0"), (kind, b"a", False)).read((MORE, b"b", False))
    connection.listener.on_ws_disconnected(connection.transport)
    assert connection.blocks == [([b"0"], None), ([b"ab"], [B] if kind is BINARY else None)]


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_message_that_is_never_finished_is_kept_before_the_next(connection, kind):
    connection.read((kind, b"a", False), text(b"1"), (BINARY, b"2", True))
    first = B if kind is BINARY else T
    assert connection.blocks == [([b"a", b"1", b"2"], [first, T, B])]


def test_end_of_the_connection_hands_on_what_no_last_frame_did(connection):
    connection.listener.on_ws_frame(connection.transport, Frame(TEXT, b"1"))
    connection.listener.on_ws_disconnected(connection.transport)
    connection.listener.on_ws_disconnected(connection.transport)
    assert connection.blocks == [([b"1"], None)]


def test_end_without_data_makes_no_block_and_no_sign_of_life(connection):
    alive_ns = connection.listener.alive_mono_ns
    connection.listener.on_ws_disconnected(connection.transport)
    assert connection.blocks == []
    assert connection.listener.alive_mono_ns == alive_ns


def test_fragments_beyond_the_bound_are_kept_and_end_the_session():
    connection = Connection(message_bytes_max=10)
    connection.read(text(b"123456", False))
    with pytest.raises(WSProtocolError, match="longer than 10 bytes"):
        connection.read((MORE, b"7890+", False))
    assert connection.blocks == [([b"1234567890+"], None)]
    connection.read((MORE, b"rest", True))
    assert connection.blocks[1:] == [([b"rest"], None)]


def test_close_frame_is_answered_and_what_came_before_it_is_kept(connection):
    connection.read(text(b"1"), (CLOSE, b"\x03\xe8bye", True))
    assert connection.blocks == [([b"1"], None)]
    assert connection.listener.closed_by_peer == "1000 bye"
    assert [what for what, _ in connection.transport.sent] == ["close", "disconnect"]


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://user:pass@host:3128", "http://host:3128"),
        ("socks5://user:p%40ss@host:1080", "socks5://host:1080"),
        ("http://host:3128", "http://host:3128"),
        ("user:pass@host:3128", "host:3128"),
    ],
)
def test_login_of_a_proxy_is_never_shown(proxy, shown):
    assert _without_login(proxy) == shown


def test_message_is_sent_in_the_kind_of_its_encoding(connection):
    socket = Socket(connection.transport, connection.listener, 10.0)
    socket.send(b"json")
    socket.send(b"msgpack", is_binary=True)
    assert connection.transport.sent == [(TEXT, b"json"), (BINARY, b"msgpack")]


def test_what_may_hold_a_secret_is_not_in_the_text_of_a_config():
    headers = {"APCA-API-SECRET-KEY": "planted"}
    config = SocketConfig("wss://host/v2", headers, 1, 1, 1, 1, "", "http://user:planted@proxy")
    for shown in (repr(config), str(config), f"{config}", f"{[config]}"):
        assert "planted" not in shown and "wss://host/v2" in shown


def test_library_never_logs_the_upgrade_request_with_its_keys():
    root = logging.getLogger()
    level = root.level
    root.setLevel(1)
    try:
        assert not _logger().isEnabledFor(9)  # picows.PICOWS_DEBUG_LL
        child = logging.Logger("feed.7", logging.NOTSET)  # as the library makes one
        child.parent = _logger()
        assert not child.isEnabledFor(9) and child.isEnabledFor(logging.INFO)
    finally:
        root.setLevel(level)
        logging.getLogger("feed").setLevel(logging.NOTSET)


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_long_read_is_cut_into_blocks_in_either_encoding(connection, kind):
    payload = b"x" * 100_000
    connection.read(*[(kind, payload, True)] * 7)
    assert [len(payloads) for payloads, _ in connection.blocks] == [3, 3, 1]
    kinds = None if kind is TEXT else B
    assert all(found == (kinds and [B] * len(p)) for p, found in connection.blocks)
    assert len(set(connection.stamps)) == 1, "one read has one stamp"


def test_fragments_count_in_the_length_of_a_block():
    connection = Connection(message_bytes_max=1 << 20)
    part = b"x" * 150_000
    connection.read((BINARY, part, False), (MORE, part, True), text(b"1"))
    assert connection.blocks == [([part * 2], [B]), ([b"1"], None)]
