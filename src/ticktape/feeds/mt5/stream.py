"""A socket as rpyc's channel wants it, whose every wait ends.

rpyc's own stream waits for the rest of an answer without a limit, and tries to connect six times.
Here a peer that stops in the middle of an answer, or does not read, is a peer that is gone.
"""

import selectors
import socket
from typing import Protocol


class _TimeLeft(Protocol):
    """rpyc's `Timeout`."""

    def timeleft(self) -> float | None: ...


class BridgeStream:
    """A connected socket; duck-typed after `rpyc.core.stream.Stream`.

    Args:
        connection: closed by this.
        stall_s: a read or write that has begun gets on within this time, or all ends.
    """

    MAX_IO_CHUNK = 64_000  # rpyc's own

    def __init__(self, connection: socket.socket, stall_s: float) -> None:
        connection.settimeout(stall_s)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._connection = connection
        self._selector = selectors.DefaultSelector()
        self._selector.register(connection, selectors.EVENT_READ)
        self.closed = False

    def local_address(self) -> tuple[socket.AddressFamily, str]:
        """The family and the address of our end."""
        return self._connection.family, str(self._connection.getsockname()[0])

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._connection.fileno()

    def poll(self, timeout: _TimeLeft) -> bool:
        """Whether there is something to read within the time."""
        self._raise_if_closed()
        return bool(self._selector.select(timeout.timeleft()))

    def read(self, count: int) -> bytes:
        """Read exactly `count` bytes.

        Raises:
            EOFError: the peer ended the connection or stopped in the middle.
        """
        self._raise_if_closed()
        found = bytearray(count)
        view, at = memoryview(found), 0
        while at < count:
            try:
                got = self._connection.recv_into(view[at:])
            except OSError as error:
                self.close()
                raise EOFError(f"{error} in the middle of an answer") from error
            if not got:
                self.close()
                raise EOFError("it closed the connection")
            at += got
        return bytes(found)

    def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            EOFError: the peer is gone or does not read.
        """
        self._raise_if_closed()
        try:
            self._connection.sendall(data)
        except OSError as error:
            self.close()
            raise EOFError(str(error)) from error

    def close(self) -> None:
        """Close the socket; may be called twice."""
        if not self.closed:
            self.closed = True
            self._selector.close()
            self._connection.close()

    def _raise_if_closed(self) -> None:
        if self.closed:
            raise EOFError("the connection is closed")


def connect(host: str, port: int, timeout_s: float, stall_s: float) -> BridgeStream:
    """Connect to a bridge.

    Raises:
        OSError: nothing listens there, or nothing answered within `timeout_s`.
    """
    return BridgeStream(socket.create_connection((host, port), timeout_s), stall_s)
