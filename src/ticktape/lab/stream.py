"""A venue's stream as a source: every message of its data is a capture, stamped at the socket read.

What came in one read has one stamp: its gaps are zero, and counted apart.
"""

import asyncio
from collections import deque

from ticktape import clock
from ticktape.config import Keys
from ticktape.errors import FeedError, Refused, TickTapeError
from ticktape.feeds.alpaca import CHANNELS, AlpacaProtocol
from ticktape.feeds.protocol import Action, Fail, Ready, Send
from ticktape.feeds.socket import Socket, SocketConfig, connect
from ticktape.lab.source import Place, Polled

_CONNECT_S = 10.0
_READY_S = 60.0  # a venue frees an account's slot late, when a client was killed
_AGAIN_S = 1.0
_PATIENCE_S = 0.05  # then who asks may see whether it is to stop
_MESSAGE_BYTES_MAX = 1 << 27


class Stream:
    """One connection, with its own event loop, which runs while somebody polls."""

    def __init__(self, place: Place, keys: Keys) -> None:
        """Connect, log in and subscribe.

        Raises:
            TickTapeError: the venue refuses, or does not answer.
        """
        channel, _, symbol = place.what.partition(":")
        if channel not in CHANNELS or not symbol:
            raise TickTapeError(f"{place.what} is no channel and symbol", hint="Say trades:AAPL.")
        self._wanted = {channel: [symbol]}
        self._keys = keys
        self._config = SocketConfig(
            place.where, {}, _CONNECT_S, 10.0, 10.0, _MESSAGE_BYTES_MAX, "", ""
        )
        self._loop = asyncio.new_event_loop()
        self._heard = asyncio.Event()
        self._waiting: deque[Polled] = deque()
        self._socket: Socket | None = None
        self._open()

    def _open(self) -> None:
        end_ns = clock.monotonic_ns() + int(_READY_S * clock.NS_PER_S)
        while True:
            self._failed: Fail | None = None
            self._is_ready = False
            self._protocol = AlpacaProtocol(self._keys.key, self._keys.secret, self._wanted)
            self._loop.run_until_complete(connect(self._config, self._on_read, self._on_open))
            while not (self._is_ready or self._failed) and clock.monotonic_ns() < end_ns:
                self._turn()
            if self._is_ready:
                self._waiting.clear()
                return
            failed = self._failed
            self._drop()
            if failed is None or failed.fatal or clock.monotonic_ns() > end_ns:
                words = failed.words if failed else "it did not acknowledge the subscription"
                raise Refused(
                    f"{self._config.url}: {words}",
                    hint=failed.hint if failed else "Look at the symbol and the plan.",
                )
            clock.sleep_s(max(failed.wait_s, _AGAIN_S))

    def _on_open(self, socket: Socket) -> None:
        self._socket = socket
        self._act(self._protocol.open())

    def _on_read(
        self, payloads: list[bytes], kinds: list[int] | None, mono_ns: int, count: int
    ) -> None:
        for payload in payloads:
            if self._protocol.is_control(payload):
                self._act(self._protocol.receive(payload))
            else:
                self._waiting.append(Polled(mono_ns, mono_ns, payload))
        self._heard.set()

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send) and self._socket is not None:
                self._socket.send(action.payload)
            elif isinstance(action, Ready):
                self._is_ready = bool(action.acknowledged)
            elif isinstance(action, Fail):
                self._failed = action

    def _turn(self) -> None:
        self._loop.run_until_complete(self._hear())

    async def _hear(self) -> None:
        self._heard.clear()
        closed = asyncio.ensure_future(self._socket.wait_closed()) if self._socket else None
        heard = asyncio.ensure_future(self._heard.wait())
        waited = [heard, closed] if closed else [heard]
        await asyncio.wait(waited, timeout=_PATIENCE_S, return_when=asyncio.FIRST_COMPLETED)
        heard.cancel()
        if closed is not None and closed.done():
            self._socket = None
            gone: FeedError = closed.result()
            self._failed = self._failed or Fail(0, str(gone), "", fatal=False)
        elif closed is not None:
            closed.cancel()

    def poll(self) -> Polled | None:
        """The next message; None when none came for a moment.

        Raises:
            TickTapeError: the connection is gone.
        """
        if not self._waiting:
            self._turn()
        if self._waiting:
            return self._waiting.popleft()
        if self._failed is not None:
            raise TickTapeError(f"{self._config.url}: {self._failed.words}")
        return None

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.abort()
            self._socket = None
            # The connection ends in the loop's next turns.
            self._loop.run_until_complete(asyncio.sleep(_PATIENCE_S))

    def close(self) -> None:
        """Leave."""
        self._drop()
        self._loop.close()
