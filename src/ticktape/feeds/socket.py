"""The thin adapter to the WebSocket library (picows); nothing here looks into a message.

Three things that the library does would cost data or time, and are done here instead (seen in
picows 2.3.1):
it answers a ping without calling us, so that data before a ping that ends a socket read would wait
for the next read; the same with the answer to our own ping; and it delivers fragments, not
messages.
"""

import ssl
from collections.abc import Callable
from typing import NamedTuple

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from ticktape import clock
from ticktape.errors import ConfigError, Disconnected, FeedError, Refused, Stale
from ticktape.records import EntryKind

_FATAL_STATUS = {400, 401, 403, 404, 405, 410}
_TEXT, _BINARY = int(EntryKind.TEXT), int(EntryKind.BINARY)
_MSG_TEXT, _MSG_BINARY = WSMsgType.TEXT, WSMsgType.BINARY
_MSG_CONTINUATION = WSMsgType.CONTINUATION

OnRead = Callable[[list[bytes], list[int] | None, int, int], None]
"""Called once per socket read: payloads, their kinds (None: all text), monotonic ns, bytes."""


class SocketConfig(NamedTuple):
    """How to connect."""

    url: str
    headers: dict[str, str]
    connect_timeout_s: float
    ping_s: float
    pong_timeout_s: float
    max_frame_bytes: int
    ca_file: str
    proxy: str


class Listener(WSListener):
    """Collects what one socket read brought, stamps it once, and hands it on."""

    def __init__(self, on_read: OnRead, on_open: "Callable[[Socket], None]", ping_s: float) -> None:
        self._on_read = on_read
        self._on_open = on_open
        self._ping_s = ping_s
        self.socket: Socket | None = None
        self._payloads: list[bytes] = []
        self._kinds: list[int] | None = None
        self._mono_ns = 0
        self._parts: list[bytes] = []
        self._parts_kind = _TEXT
        self.closed_by_peer = ""
        self.alive_mono_ns = clock.monotonic_ns()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Say so before the first frame: the greeting may come with the answer to the upgrade."""
        self.socket = Socket(transport, self, self._ping_s)
        self._on_open(self.socket)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame; at the last one of the read, hand all of them on."""
        kind = frame.msg_type
        if not self._payloads:
            self._mono_ns = clock.monotonic_ns()
        if kind is _MSG_TEXT and frame.fin and self._kinds is None:
            self._payloads.append(frame.get_payload_as_bytes())
        elif kind is _MSG_TEXT or kind is _MSG_BINARY or kind is _MSG_CONTINUATION:
            self._take(kind, frame)
        elif kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            reason = frame.get_close_message() or b""
            self.closed_by_peer = f"{code} {reason.decode('utf-8', 'replace')}".strip()
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        if frame.last_in_buffer:
            self.flush()

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Take the answer to our own ping, which the library does not hand on."""
        if frame.msg_type is not WSMsgType.PONG:
            return False
        if frame.last_in_buffer:
            self.flush()
        return True

    def _take(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A binary message, or a part of a fragmented one."""
        payload = frame.get_payload_as_bytes()
        if kind is not _MSG_CONTINUATION:
            self._parts_kind = _TEXT if kind is _MSG_TEXT else _BINARY
            self._parts = []
        if not frame.fin or kind is _MSG_CONTINUATION:
            self._parts.append(payload)
            if not frame.fin:
                return
            payload = b"".join(self._parts)
            self._parts = []
        if self._parts_kind == _BINARY and self._kinds is None:
            self._kinds = [_TEXT] * len(self._payloads)
        self._payloads.append(payload)
        if self._kinds is not None:
            self._kinds.append(self._parts_kind)

    def flush(self) -> None:
        """Hand on what has been collected."""
        self.alive_mono_ns = clock.monotonic_ns()
        if self._payloads:
            payloads, kinds = self._payloads, self._kinds
            self._payloads, self._kinds = [], None
            self._on_read(payloads, kinds, self._mono_ns, len(payloads))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Hand on what is left: whole messages, and the parts of one that was cut."""
        if self._parts:
            if not self._payloads:
                self._mono_ns = clock.monotonic_ns()
            self._payloads.append(b"".join(self._parts))
            if self._kinds is not None:
                self._kinds.append(self._parts_kind)
            self._parts = []
        self.flush()


class Socket:
    """One open connection."""

    def __init__(self, transport: WSTransport, listener: Listener, ping_s: float) -> None:
        self._transport = transport
        self._ping_s = ping_s
        self.listener = listener

    def send(self, payload: bytes) -> None:
        """Send one text message."""
        self._transport.send(_MSG_TEXT, payload)

    async def wait_closed(self) -> FeedError:
        """Wait for the end of the connection; what it was, in our words."""
        try:
            await self._transport.wait_disconnected()
        except (WSError, OSError, ssl.SSLError) as error:
            return Disconnected(f"connection lost: {error or type(error).__name__}")
        if self.listener.closed_by_peer:
            return Disconnected(f"closed by the venue ({self.listener.closed_by_peer})")
        silent_s = (clock.monotonic_ns() - self.listener.alive_mono_ns) / clock.NS_PER_S
        if self._ping_s and silent_s >= self._ping_s:
            return Stale(f"nothing came for {silent_s:.1f} s, not even an answer to our ping")
        return Disconnected("connection lost without a close frame")

    def close(self) -> None:
        """Close politely, so that the venue frees our slot."""
        if not self._transport.is_disconnected:
            self._transport.send_close(WSCloseCode.OK)
            self._transport.disconnect()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.disconnect(graceful=False)


async def connect(
    config: SocketConfig, on_read: OnRead, on_open: Callable[[Socket], None]
) -> Socket:
    """Open a connection; `on_open` is called with it before anything is read.

    Raises:
        Refused: the venue's answer will not change by trying again.
        Disconnected: no connection came to stand.
    """
    context = None
    if config.url.startswith("wss://"):
        context = tls_context(config.ca_file)
    try:
        _, listener = await ws_connect(
            lambda: Listener(on_read, on_open, config.ping_s),
            config.url,
            ssl_context=context,
            websocket_handshake_timeout=config.connect_timeout_s,
            enable_auto_ping=config.ping_s > 0,
            auto_ping_idle_timeout=config.ping_s or 10,
            auto_ping_reply_timeout=min(config.pong_timeout_s, config.ping_s or 10),
            enable_auto_pong=False,
            max_frame_size=config.max_frame_bytes,
            extra_headers=config.headers,
            proxy=config.proxy or None,
            logger_name="feed",
        )
    except ssl.SSLCertVerificationError as error:
        raise Disconnected(
            f"the certificate of {config.url} is not trusted: {error.verify_message}",
            hint='If it is your own server, name its CA: ca_file = "…".',
        ) from error
    except (WSError, OSError, TimeoutError, EOFError) as error:
        status = getattr(getattr(error, "response", None), "status", None)
        raise _connect_error(config, error, int(status) if status is not None else 0) from error
    socket = listener.socket if isinstance(listener, Listener) else None
    assert socket is not None  # the library calls on_ws_connected before it returns
    return socket


def _connect_error(config: SocketConfig, error: Exception, status: int) -> FeedError:
    through = f" through the proxy {_without_login(config.proxy)}" if config.proxy else ""
    where = f"{config.url}{through}"
    if status in _FATAL_STATUS:
        return Refused(
            f"{where} answers HTTP {status}",
            hint="Check the url; 404 means that this path does not exist at the venue.",
        )
    if status:
        return Disconnected(f"{where} answers HTTP {status}; trying again")
    words = str(error) or type(error).__name__
    return Disconnected(f"cannot connect to {where}: {words}")


def _without_login(proxy: str) -> str:
    scheme, _, rest = proxy.rpartition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if scheme else rest.rpartition("@")[2]


def tls_context(ca_file: str) -> ssl.SSLContext:
    """The system's trust, or only the given CA.

    Raises:
        ConfigError: the file cannot be read or holds no certificate.
    """
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            [f"ca_file {ca_file!r}: {error}"], hint="It must be a PEM file with a CA certificate."
        ) from error
