"""The thin adapter to the WebSocket library (picows); nothing here looks into a message.

What the library does by itself would at places cost data, time or keys, and is done otherwise here
(seen in picows 2.3.1):

- it answers a ping without calling us, and keeps the answer to our own ping to itself: data before
  one that ends a socket read would wait for the next read;
- it delivers fragments, not messages, and bounds the one and not the other;
- a frame that it cannot parse ends the read: the whole frames before it are handed on, as the last
  ones of the buffer, and what follows it never; an exception of ours ends the session, so nothing
  here raises before all that was taken is handed on;
- it returns without a listener when the peer hangs up during the upgrade, waits for a TCP
  connection or a proxy as long as the system does, and follows redirects, with our keys;
- it logs the upgrade request, which may hold our keys, to who listens below the level DEBUG.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable
from typing import NamedTuple

from picows import (
    WSCloseCode,
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSProtocolError,
    WSTransport,
    ws_connect,
)
from python_socks import ProxyError

from ticktape import clock
from ticktape.errors import (
    ConfigError,
    Disconnected,
    FeedError,
    ProtocolViolated,
    Stale,
)
from ticktape.feeds.upgrade import answered
from ticktape.records import EntryKind

_OTHER_NAME = {62, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, …_IP_ADDRESS_MISMATCH
_GRACE_S = 0.25  # so that the library's own bound, whose words are better, strikes first
_MESSAGE_BYTES_MAX = (1 << 28) - 1  # the longest entry that the journal's format holds
# A socket read under load brings megabytes. Written in blocks that still lie in the CPU's cache
# they cost half (measured 13.8 and 6.5 µs of CPU for frames of 6 kB), and a kill loses less.
_BLOCK_BYTES = 256 * 1024
_OBJECT_BYTES = 150  # what a payload fills of the cache and the allocator's arenas besides
_TEXT, _BINARY = int(EntryKind.TEXT), int(EntryKind.BINARY)
_MSG_TEXT, _MSG_BINARY = WSMsgType.TEXT, WSMsgType.BINARY
_MSG_CONTINUATION = WSMsgType.CONTINUATION
_TOO_LONG = "If the venue means it, raise max_frame_bytes = … for this feed."

OnRead = Callable[[list[bytes], list[int] | None, int, int], None]
"""Called once per socket read: payloads, their kinds (None: all text), monotonic ns, count."""


class SocketConfig(NamedTuple):
    """How to connect; not shown, for `headers`, which go into the upgrade request, may hold keys.

    So may the proxy's URL hold a password.
    """

    url: str
    headers: dict[str, str]
    connect_timeout_s: float
    ping_s: float
    pong_timeout_s: float
    max_frame_bytes: int
    ca_file: str
    proxy: str

    def __repr__(self) -> str:
        return f"SocketConfig({self.url}, hidden)"


class Listener(WSListener):
    """Collects what one socket read brought, stamps it once, and hands it on."""

    def __init__(
        self,
        on_read: OnRead,
        on_open: "Callable[[Socket], None]",
        ping_s: float,
        message_bytes_max: int = _MESSAGE_BYTES_MAX,
    ) -> None:
        self._on_read = on_read
        self._on_open = on_open
        self._ping_s = ping_s
        self._message_bytes_max = message_bytes_max
        self.socket: Socket | None = None
        self._payloads: list[bytes] = []
        self._kinds: list[int] | None = None
        self._bytes = 0
        self._mono_ns = 0
        self._is_fresh = True
        self._parts: list[bytes] = []
        self._parts_bytes = 0
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
        if self._is_fresh:
            self._is_fresh = False
            self._mono_ns = clock.monotonic_ns()
        if kind is _MSG_TEXT and frame.fin and self._kinds is None and not self._parts:
            payload = frame.get_payload_as_bytes()
            self._payloads.append(payload)
            self._bytes += len(payload) + _OBJECT_BYTES
            if self._bytes > _BLOCK_BYTES:
                self._hand_on()
        elif kind is _MSG_TEXT or kind is _MSG_BINARY or kind is _MSG_CONTINUATION:
            self._take(kind, frame)
            if self._bytes > _BLOCK_BYTES:
                self._hand_on()
        elif kind is WSMsgType.PING:
            transport.send_pong(frame.get_payload_as_bytes())
        elif kind is WSMsgType.CLOSE:
            code = frame.get_close_code()
            reason = frame.get_close_message() or b""
            self.closed_by_peer = f"{code.value} {reason.decode('utf-8', 'replace')}".strip()
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        if frame.last_in_buffer:
            self.flush()

    def is_user_specific_pong(self, frame: WSFrame) -> bool:
        """Take the answer to our own ping, which the library does not hand on."""
        if frame.msg_type is not WSMsgType.PONG:
            return False
        if self._is_fresh:
            self._mono_ns = clock.monotonic_ns()
        if frame.last_in_buffer:
            self.flush()
        return True

    def _take(self, kind: WSMsgType, frame: WSFrame) -> None:
        """A binary message, or a part of a fragmented one."""
        payload = frame.get_payload_as_bytes()
        if kind is not _MSG_CONTINUATION:
            self._keep_cut()
            self._parts_kind = _TEXT if kind is _MSG_TEXT else _BINARY
            if frame.fin:
                self._keep(payload, self._parts_kind)
                return
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if frame.fin or self._parts_bytes > self._message_bytes_max:
            too_long = self._parts_bytes > self._message_bytes_max
            self._keep_cut()
            if too_long:
                self.flush()
                raise WSProtocolError(
                    WSCloseCode.MESSAGE_TOO_BIG,
                    f"a fragmented message is longer than {self._message_bytes_max} bytes",
                )

    def _keep(self, payload: bytes, kind: int) -> None:
        if kind == _BINARY and self._kinds is None:
            self._kinds = [_TEXT] * len(self._payloads)
        self._payloads.append(payload)
        self._bytes += len(payload) + _OBJECT_BYTES
        if self._kinds is not None:
            self._kinds.append(kind)

    def _keep_cut(self) -> None:
        """Make an entry of the parts that there are, whole or cut off."""
        if self._parts:
            payload, self._parts, self._parts_bytes = b"".join(self._parts), [], 0
            self._keep(payload, self._parts_kind)

    def flush(self) -> None:
        """Hand on what has been collected; the socket read ends here."""
        self.alive_mono_ns = self._mono_ns
        self._is_fresh = True
        if self._payloads:
            self._hand_on()

    def _hand_on(self) -> None:
        payloads, kinds = self._payloads, self._kinds
        self._payloads, self._kinds, self._bytes = [], None, 0
        self._on_read(payloads, kinds, self._mono_ns, len(payloads))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Hand on what is left: whole messages, and the parts of one that was cut."""
        if self._is_fresh:
            self._mono_ns = clock.monotonic_ns()
        self._keep_cut()
        if self._payloads:
            self.flush()


class Socket:
    """One open connection."""

    def __init__(self, transport: WSTransport, listener: Listener, ping_s: float) -> None:
        self._transport = transport
        self._ping_s = ping_s
        self._listener = listener

    @property
    def alive_mono_ns(self) -> int:
        """When a frame of any kind came last; all that the venue sent before it has come, too."""
        return self._listener.alive_mono_ns

    def send(self, payload: bytes, *, is_binary: bool = False) -> None:
        """Send one message."""
        self._transport.send(_MSG_BINARY if is_binary else _MSG_TEXT, payload)

    async def wait_closed(self) -> FeedError:
        """Wait for the end of the connection; what it was, in our words."""
        try:
            await self._transport.wait_disconnected()
        except WSProtocolError as error:
            hint = _TOO_LONG if error.code == WSCloseCode.MESSAGE_TOO_BIG else ""
            return ProtocolViolated(f"the venue broke the WebSocket protocol: {error}", hint=hint)
        except (WSError, OSError) as error:
            return Disconnected(f"connection lost: {error or type(error).__name__}")
        if self._listener.closed_by_peer:
            return Disconnected(f"closed by the venue ({self._listener.closed_by_peer})")
        silent_s = (clock.monotonic_ns() - self.alive_mono_ns) / clock.NS_PER_S
        if self._ping_s and silent_s >= self._ping_s:
            return Stale(f"nothing came for {silent_s:.1f} s, not even an answer to our ping")
        return Disconnected("connection lost without a close frame")

    def say_goodbye(self) -> None:
        """Send a Close frame, so that the venue frees our slot; what still comes is taken.

        The venue then ends the connection; whoever called bounds the wait and aborts.
        """
        self._transport.send_close(WSCloseCode.OK)

    def abort(self) -> None:
        """Cut the connection; may be called twice."""
        self._transport.disconnect(graceful=False)


async def connect(
    config: SocketConfig, on_read: OnRead, on_open: Callable[[Socket], None]
) -> Socket:
    """Open a connection; `on_open` is called with it before anything is read.

    Waits `connect_timeout_s` at most, for all of name, proxy, TCP, TLS and upgrade together. A
    connection that comes to stand after that, or after a cancellation, is cut and not told of.

    Raises:
        Refused: the venue's answer will not change by trying again.
        Disconnected: no connection came to stand.
        ConfigError: the file of the CA is no such file.
    """
    context = tls_context(config.ca_file) if config.url.startswith("wss://") else None
    message_bytes_max = min(config.max_frame_bytes, _MESSAGE_BYTES_MAX)
    is_late = False

    def opened(socket: Socket) -> None:
        if is_late:
            socket.abort()
        else:
            on_open(socket)

    try:
        async with asyncio.timeout(config.connect_timeout_s + _GRACE_S):
            _, listener = await ws_connect(
                lambda: Listener(on_read, opened, config.ping_s, message_bytes_max),
                config.url,
                ssl_context=context,
                websocket_handshake_timeout=config.connect_timeout_s,
                enable_auto_ping=config.ping_s > 0,
                auto_ping_idle_timeout=config.ping_s or 10,
                auto_ping_reply_timeout=min(config.pong_timeout_s, config.ping_s or 10),
                enable_auto_pong=False,
                max_frame_size=message_bytes_max,
                max_redirects=0,
                extra_headers=config.headers,
                proxy=config.proxy or None,
                logger_name=_logger(),
            )
    except BaseException as error:
        is_late = True
        if isinstance(error, _CONNECT_ERRORS):
            raise _translated(config, error) from error
        raise
    if not isinstance(listener, Listener) or listener.socket is None:
        raise Disconnected(f"{_place(config)} hung up without an answer to the upgrade")
    return listener.socket


def _logger() -> logging.Logger:
    """The library's log, without what it says of requests and their keys."""
    logger = logging.getLogger("feed")
    if logger.getEffectiveLevel() < logging.DEBUG:
        logger.setLevel(logging.DEBUG)
    return logger


# A host's name that cannot be encoded, or a URL that cannot be parsed, is a ValueError.
_CONNECT_ERRORS = (WSError, OSError, TimeoutError, EOFError, ValueError, ProxyError)


def _translated(config: SocketConfig, error: Exception) -> FeedError:
    """A foreign exception of the connecting in our words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = 'If it is your own server, name its CA: ca_file = "…".'
        if error.verify_code in _OTHER_NAME:
            hint = "The certificate is another server's; check the url, and who answers there."
        words = f"the certificate of {config.url} is not trusted: {error.verify_message}"
        return Disconnected(words, hint=hint)
    if isinstance(error, WSHandshakeError) and error.response is not None:
        return answered(_place(config), int(error.response.status), dict(error.response.headers))
    if isinstance(error, WSHandshakeError):
        return Disconnected(f"{_place(config)} does not speak WebSocket: {error}")
    if isinstance(error, TimeoutError):
        within = f"within {config.connect_timeout_s:g} s"
        return Disconnected(
            f"cannot connect to {_place(config)}: no answer {within}",
            hint="If the network is slow, raise connect_timeout_s = … for this feed.",
        )
    words = str(error) or type(error).__name__
    # The proxy's URL, which an error may quote, can hold a password.
    words = words.replace(config.proxy, _without_login(config.proxy)) if config.proxy else words
    return Disconnected(f"cannot connect to {_place(config)}: {words}")


def _place(config: SocketConfig) -> str:
    through = f" through the proxy {_without_login(config.proxy)}" if config.proxy else ""
    return f"{config.url}{through}"


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
