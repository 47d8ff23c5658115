"""The socket that a bridge's pushing thread writes to: how it comes to be, and what it says."""

import contextlib
import hmac
import secrets
import selectors
import socket
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.feeds.mt5 import remotepush
from ticktape.polls import PollCounts

TOKEN_BYTES = 16
_BUFFER_BYTES = 1 << 21
"""What one read takes at most, and how long a frame may be: 65,535 rows are 1.8 MB."""


class Heartbeat(msgspec.Struct, omit_defaults=True):
    """The JSON of a counts frame: what was polled of a symbol since the last one.

    `poll` is the number of its last poll. `failing` is since when its calls fail, the code and the
    text; `gap_end` is where a remarkable gap ended, 0 for none. Both times are the bridge's
    counter's.
    """

    counts: PollCounts
    poll: int = 0
    failing: tuple[int, int, str] | None = None
    gap_end: int = 0


class Frame(NamedTuple):
    """One frame, of any kind but an image."""

    kind: int
    symbol: int
    heartbeat: Heartbeat | None = None
    counter: int = 0
    late: int = 0
    code: int = 0
    text: str = ""


class PushedImage(NamedTuple):
    """One image in a frame; the times are the bridge's counter's, and `previous` may be None."""

    symbol: int
    marks: int
    before: int
    after: int
    previous: int | None
    poll: int
    unchanged: int
    rows: bytes


class Listener:
    """Listens for the one connection that knows the token; a context manager.

    Args:
        family: of `address`.
        address: our end of the connection to the bridge: nobody can reach this who cannot reach
            that one.
    """

    def __init__(self, family: socket.AddressFamily, address: str) -> None:
        self.token = secrets.token_bytes(TOKEN_BYTES)
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.bind((address, 0))
        self._socket.listen()
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def accept(self, timeout_s: float) -> socket.socket | None:
        """The connection that begins with the token; None when none came in time."""
        until_ns = clock.monotonic_ns() + int(timeout_s * clock.NS_PER_S)
        while (left_ns := until_ns - clock.monotonic_ns()) > 0:
            self._socket.settimeout(left_ns / clock.NS_PER_S)
            try:
                connection, _ = self._socket.accept()
            except TimeoutError:
                return None
            connection.settimeout(min(left_ns / clock.NS_PER_S, 1.0))
            if hmac.compare_digest(_read_token(connection), self.token):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
            connection.close()
        return None


def _read_token(connection: socket.socket) -> bytes:
    found = b""
    with contextlib.suppress(OSError):
        while len(found) < TOKEN_BYTES:
            part = connection.recv(TOKEN_BYTES - len(found))
            if not part:
                break
            found += part
    return found


class FrameReader:
    """Reads frames off a connection, many at a time; it is closed here.

    `ended` is said in words once the other side is gone.
    """

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.ended = ""
        self._connection = connection
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._start = self._end = 0

    def wait(self, wait_s: float) -> bool:
        """Read what is there, or comes within `wait_s`; False for nothing."""
        if self.ended or not self._selector.select(wait_s):
            return False
        if self._start:
            left = self._end - self._start
            self._view[:left] = self._view[self._start : self._end]
            self._start, self._end = 0, left
        try:
            count = self._connection.recv_into(self._view[self._end :])
        except BlockingIOError:
            return False
        except OSError as error:
            self.ended = str(error)
            return False
        self._end += count
        if not count:
            self.ended = "it closed the connection"
        return bool(count)

    def frames(self) -> Iterator[PushedImage | Frame]:
        """The whole frames that were read, in their order; each is given once.

        Raises:
            ValueError: the bytes are no frames.
        """
        head, image, buffer = remotepush.HEAD, remotepush.IMAGE, self._buffer
        while self._end - self._start >= head.size:
            at = self._start
            length, kind, marks, symbol = head.unpack_from(buffer, at)
            if not head.size <= length <= _BUFFER_BYTES:
                raise ValueError(f"a frame of {length} bytes")
            if self._end - at < length:
                return
            self._start = at + length
            if kind != remotepush.IMAGE_KIND:
                yield _frame(self._buffer[at : at + length], kind, symbol)
                continue
            before, after, previous, poll, unchanged = image.unpack_from(buffer, at)[4:]
            yield PushedImage(
                symbol,
                marks & ~remotepush.NO_PREVIOUS,
                before,
                after,
                None if marks & remotepush.NO_PREVIOUS else previous,
                poll,
                unchanged,
                bytes(self._view[at + image.size : at + length]),
            )

    def close(self) -> None:
        """Close the connection; may be called twice."""
        self.ended = self.ended or "it is closed"
        self._selector.close()
        self._connection.close()


def _frame(frame: bytearray, kind: int, symbol: int) -> Frame:
    if kind == remotepush.COUNTS_KIND:
        said = msgspec.json.decode(frame[remotepush.HEAD.size :], type=Heartbeat)
        return Frame(kind, symbol, heartbeat=said)
    if kind == remotepush.CLOCK_KIND:
        counter, late = remotepush.CLOCK.unpack_from(frame)[4:]
        return Frame(kind, symbol, counter=counter, late=late)
    if kind == remotepush.END_KIND:
        (code,) = remotepush.END.unpack_from(frame)[4:]
        return Frame(kind, symbol, code=code, text=frame[remotepush.END.size :].decode())
    raise ValueError(f"a frame of kind {kind}")
