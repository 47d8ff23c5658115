"""One connection of a feed, from connect to its end: whom to hear, and how long to wait for what.

Nothing here decodes a data message, writes to the journal, or lives longer than its connection; and
nothing that a control message holds may end the capture: the journal has it already.
"""

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ticktape import clock
from ticktape.errors import ConfigError, FeedError, Refused, Stale
from ticktape.feeds.gapkeeper import Content
from ticktape.feeds.protocol import (
    Action,
    Authenticated,
    Channels,
    Fail,
    Notice,
    Ready,
    Send,
    VenueProtocol,
)
from ticktape.feeds.socket import OnRead, Socket, SocketConfig, connect
from ticktape.feeds.states import SessionState
from ticktape.feeds.upgrade import Throttled

_GOODBYE_S = 2.0  # a live venue ends the connection within 0.25 s of our Close frame

OnEvent = Callable[[Content, SessionState | None], None]
"""Called with what happened and the state to go to, None to stay."""


class Ending(NamedTuple):
    """How a session ended.

    `stopped`: we wanted it. `fatal`: trying again would not help; `is_of_plan`, `wait_s` and
    `wait_max_s` as in `Fail`.
    """

    words: str
    hint: str = ""
    code: int = 0
    fatal: bool = False
    wait_s: float = 0.0
    wait_max_s: float = math.inf
    is_of_plan: bool = False
    stopped: bool = False


class Session:
    """One session; its owner journals what comes, then lets it look.

    Args:
        socket_config: how to connect.
        reply_timeout_s: the longest wait for each reply while logging in.
        stale_s: without data for so long the session is given up; 0: never.
        protocol: this session's own.
        on_read: called per socket read, before anything looks at it.
        on_event: called with each change of state and each notice.
    """

    def __init__(
        self,
        socket_config: SocketConfig,
        reply_timeout_s: float,
        stale_s: float,
        protocol: VenueProtocol,
        on_read: OnRead,
        on_event: OnEvent,
    ) -> None:
        self._socket_config = socket_config
        self._reply_timeout_s = reply_timeout_s
        self._stale_s = stale_s
        self._protocol = protocol
        self._is_control = protocol.is_control
        self._on_read = on_read
        self._on_event = on_event
        self._socket: Socket | None = None
        self._failed: Fail | None = None
        self._changed = asyncio.Event()
        self._progress_mono_ns = 0
        self._given_up = False
        self._is_changing = False
        self.ready_mono_ns = 0
        self.data_mono_ns = 0

    def look(self, payloads: list[bytes], mono_ns: int) -> None:
        """See what is for us in a block that the journal has."""
        is_control = self._is_control
        for payload in payloads:
            try:
                if is_control(payload):
                    self._act(self._protocol.receive(payload))
                else:
                    self.data_mono_ns = mono_ns
            except Exception as error:  # noqa: BLE001 - the session goes on, and it is journaled
                words = f"a control message could not be acted on ({type(error).__name__}: {error})"
                self._on_event(Content("notice", words=words), None)

    def change(self, wanted: Channels) -> None:
        """Subscribe to these symbols and no others; call it from the loop's thread.

        Before the login is done the protocol only remembers them. An answer that does not come in
        time ends the session: nobody knew what is subscribed. The next one asks for all of it.
        """
        # One more change does not prolong the wait for an answer that the venue owes already.
        is_owed = self._is_changing or not self.ready_mono_ns
        since_ns = self._progress_mono_ns if is_owed else clock.monotonic_ns()
        self._is_changing = self.ready_mono_ns > 0
        try:
            self._act(self._protocol.change(wanted))
        except Exception as error:  # noqa: BLE001 - a protocol that cannot must not end the capture
            words = f"the symbols could not be changed ({type(error).__name__}: {error})"
            self._on_event(Content("notice", words=words), None)
        self._progress_mono_ns = since_ns
        self._changed.set()

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self._progress_mono_ns = clock.monotonic_ns()
                if self._socket is not None:
                    self._socket.send(action.payload, is_binary=action.is_binary)
            elif isinstance(action, Authenticated):
                self._on_event(Content("authenticated"), SessionState.AUTHENTICATED)
            elif isinstance(action, Ready):
                self._become_ready(action)
            elif isinstance(action, Notice):
                content = Content("notice", code=action.code, words=action.words, hint=action.hint)
                self._on_event(content, None)
            elif self._failed is None:
                self._failed = action
                self._changed.set()

    def _become_ready(self, ready: Ready) -> None:
        now_ns = clock.monotonic_ns()
        self.ready_mono_ns = self.ready_mono_ns or now_ns
        self.data_mono_ns = now_ns
        self._is_changing = False
        self._changed.set()
        content = Content(
            "subscribed",
            words=ready.words,
            channels=ready.acknowledged,
            missing=ready.missing or None,
        )
        self._on_event(content, SessionState.READY)

    def _opened(self, socket: Socket) -> None:
        self._socket = socket
        self._progress_mono_ns = clock.monotonic_ns()
        self._on_event(Content("connected"), SessionState.CONNECTED)
        self._act(self._protocol.open())

    @property
    def heard_mono_ns(self) -> int:
        """Until when we surely had all that the venue sent: data, when we gave it up for silence.

        Otherwise any frame counts, a ping's answer as well: what was sent before it came before it.
        """
        if self._given_up or self._socket is None:
            return self.data_mono_ns
        return max(self.data_mono_ns, self._socket.alive_mono_ns)

    async def run(self, stop: asyncio.Event) -> Ending:
        """Connect, log in, and stay until the connection ends or `stop` is set."""
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        connecting = asyncio.ensure_future(
            connect(self._socket_config, self._on_read, self._opened)
        )
        try:
            await _first_of(connecting, stopping)
            if not connecting.done():
                return _STOPPED
            error = await self._until_closed(connecting.result(), stopping)
        except Throttled as throttled:
            return Ending(throttled.args[0], throttled.hint, wait_s=throttled.wait_s)
        except (Refused, ConfigError) as refused:
            return Ending(refused.args[0], refused.hint, fatal=True)
        except FeedError as failure:
            return Ending(failure.args[0], failure.hint)
        finally:
            await _end(connecting, stopping)
            if self._socket is not None:
                self._socket.abort()
        failed = self._failed
        if failed is not None:
            return Ending(
                failed.words,
                failed.hint,
                failed.code,
                failed.fatal,
                failed.wait_s,
                failed.wait_max_s,
                failed.is_of_plan,
            )
        return _STOPPED if error is None else Ending(error.args[0], error.hint)

    async def _until_closed(
        self, socket: Socket, stopping: "asyncio.Future[Any]"
    ) -> FeedError | None:
        """Wait for the end, or make it; None when `stopping` wanted it."""
        closed = asyncio.ensure_future(socket.wait_closed())
        try:
            while True:
                changed = asyncio.ensure_future(self._changed.wait())
                await _first_of(closed, stopping, changed, timeout_s=self._patience_s())
                await _end(changed)
                self._changed.clear()
                if closed.done():
                    return closed.result()
                if stopping.done() or self._failed is not None:
                    # What the venue has still to say is taken, until it ends the connection.
                    socket.say_goodbye()
                    await _first_of(closed, timeout_s=_GOODBYE_S)
                    return None
                overdue = self._overdue()
                if overdue is not None:
                    self._given_up = True
                    return overdue
        finally:
            socket.abort()
            await closed

    def _awaited(self) -> Iterator[tuple[int, float, str]]:
        """What the session waits for: since when, for how many seconds, and what its lack means."""
        reply_s, stale_s = self._reply_timeout_s, self._stale_s
        if not self.ready_mono_ns:
            words = f"the venue did not answer the login within {reply_s:g} s"
            yield self._progress_mono_ns, reply_s, words
        elif self._is_changing:
            words = f"no answer to a change of symbols within {reply_s:g} s"
            yield self._progress_mono_ns, reply_s, words
        if self.ready_mono_ns and stale_s:
            yield self.data_mono_ns, stale_s, f"no data for {stale_s:g} s although connected"

    def _patience_s(self) -> float | None:
        """Until when there is nothing to do but wait; None: for ever."""
        now_ns = clock.monotonic_ns()
        left_s = [_left_s(now_ns, since_ns, limit_s) for since_ns, limit_s, _ in self._awaited()]
        return min(left_s, default=None)

    def _overdue(self) -> FeedError | None:
        """What has been waited for too long."""
        now_ns = clock.monotonic_ns()
        for since_ns, limit_s, words in self._awaited():
            if _left_s(now_ns, since_ns, limit_s) == 0.0:
                return Stale(words)
        return None


def _left_s(now_ns: int, since_ns: int, limit_s: float) -> float:
    return max(limit_s - (now_ns - since_ns) / clock.NS_PER_S, 0.0)


_STOPPED = Ending("stopped", stopped=True)


async def _first_of(*tasks: "asyncio.Future[Any]", timeout_s: float | None = None) -> None:
    await asyncio.wait(tasks, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)


async def _end(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel what still runs, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
