"""One feed's capture: bytes from the socket, stamped, into the journal, and nothing else.

Nothing here parses a data message, waits for a reader, or runs a user's code. What the session's
protocol must look at, it sees after the journal has it.
"""

import asyncio
import gc
import random
from collections.abc import Callable
from typing import NamedTuple

from ticktape import clock
from ticktape.errors import FeedError, Refused, Stale
from ticktape.feeds.backoff import Backoff
from ticktape.feeds.gapkeeper import Content, GapKeeper
from ticktape.feeds.protocol import Action, Authenticated, Fail, Notice, Ready, Send, VenueProtocol
from ticktape.feeds.socket import Socket, SocketConfig, connect
from ticktape.feeds.states import SessionState, step
from ticktape.journal.positions import JournalState
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind

_TICK_S = 0.1  # disk retry, stage rows, silence
_CLOCK_STEP_NS = 500_000  # the wall is anchored again when it has moved by more than this
_CLOCK_CHECK_TICKS = 10

OnWritten = Callable[[int, int, int, int], None]
"""Called per block: from offset, to offset, monotonic ns after the write, entries."""


class CaptureConfig(NamedTuple):
    """What a capture needs to know besides its protocol and socket."""

    feed: str
    run: str
    ready_timeout_s: float
    quiet_s: float
    stale_s: float
    backoff_max_s: float


class CaptureStatistics(NamedTuple):
    """Counters only grow; `state` and `words` say how it stands."""

    feed: str
    state: str
    words: str
    session: int
    frames: int
    bytes: int
    blocks: int
    last_recv_ns: int
    dropped_frames: int
    journal_state: str


class Capture:
    """Runs the sessions of one feed, one after another, until it is stopped or refused.

    Args:
        config: names and times.
        socket_config: how to connect.
        new_protocol: makes the protocol of one session.
        writer: the feed's journal; the caller opens and closes it.
        wall: the clock whose anchor stamps the blocks.
        on_written: called after each block is with the system.
        on_state: called with each session entry, for the log and the parent.
        on_tick: called ten times a second from the loop.
        jitter: for the waits between sessions.
    """

    def __init__(
        self,
        config: CaptureConfig,
        socket_config: SocketConfig,
        new_protocol: Callable[[], VenueProtocol],
        writer: Writer,
        wall: clock.WallClock,
        *,
        on_written: OnWritten,
        on_state: Callable[[Content], None],
        on_tick: Callable[[], None],
        jitter: random.Random,
    ) -> None:
        self._config = config
        self._socket_config = socket_config
        self._new_protocol = new_protocol
        self._writer = writer
        self._wall = wall
        self._on_written = on_written
        self._on_state = on_state
        self._on_tick = on_tick
        self._gaps = GapKeeper()
        self._backoff = Backoff(config.backoff_max_s, jitter)
        self._stop = asyncio.Event()
        self._stop_cause = ""
        self._state = SessionState.IDLE
        self._words = ""
        self._session = 0
        self._frames = 0
        self._bytes = 0
        self._blocks = 0
        self._last_recv_ns = 0
        self._data_mono_ns = 0
        self._quiet = False
        self._protocol: VenueProtocol | None = None
        self._socket: Socket | None = None
        self._ready = asyncio.Event()
        self._ready_mono_ns = 0
        self._failed: Fail | None = None

    # The path of the data.

    def _on_read(
        self, payloads: list[bytes], kinds: list[int] | None, mono_ns: int, count: int
    ) -> None:
        recv_ns = self._wall.anchor_wall_ns + mono_ns - self._wall.anchor_mono_ns
        writer = self._writer
        start = writer.offset
        writer.append(payloads, recv_ns, mono_ns, self._session, 0, kinds)
        self._on_written(start, writer.offset, clock.monotonic_ns(), count)
        self._frames += count
        self._blocks += 1
        self._last_recv_ns = recv_ns
        protocol = self._protocol
        if protocol is None:
            return
        for payload in payloads:
            self._bytes += len(payload)
            if protocol.is_control(payload):
                self._act(protocol.receive(payload))
            else:
                self._data_mono_ns = mono_ns

    # The session.

    def _enter(self, content: Content, to: SessionState) -> None:
        self._state = step(self._state, to)
        self._words = content.words
        self._tell(content)

    def _tell(self, content: Content) -> None:
        content.session = self._session
        self._writer.append_json(EntryKind.SESSION, content, session=self._session)
        self._on_state(content)

    def _act(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Send):
                if self._socket is not None:
                    self._socket.send(action.payload)
            elif isinstance(action, Authenticated):
                content = self._gaps.stamped(Content("authenticated"))
                self._enter(content, SessionState.AUTHENTICATED)
            elif isinstance(action, Ready):
                self._become_ready(action)
            elif isinstance(action, Notice):
                said = Content("notice", code=action.code, words=action.words)
                self._tell(self._gaps.stamped(said))
            else:
                self._failed = action
                self._ready.set()
                if self._socket is not None:
                    self._socket.close()

    def _become_ready(self, ready: Ready) -> None:
        content = Content(
            "subscribed",
            words=ready.words,
            channels=ready.acknowledged,
            missing=ready.missing or None,
        )
        if self._state is not SessionState.READY:
            self._ready_mono_ns = clock.monotonic_ns()
        self._data_mono_ns = clock.monotonic_ns()
        self._quiet = False
        self._enter(self._gaps.ready(content, self._wall.wall_ns()), SessionState.READY)
        self._ready.set()

    async def _run_session(self) -> float:
        """One session from connect to its end; returns how long it stood ready, in seconds."""
        self._session += 1
        self._protocol, self._failed = None, None
        self._ready = asyncio.Event()
        self._ready_mono_ns = 0
        connecting = Content("connecting", words=self._socket_config.url)
        self._enter(self._gaps.stamped(connecting), SessionState.CONNECTING)
        self._protocol = self._new_protocol()
        error: FeedError
        try:
            socket = await connect(self._socket_config, self._on_read, self._opened)
        except FeedError as failure:
            error = failure
        else:
            error = await self._until_closed(socket)
        self._protocol, self._socket = None, None
        stood_s = 0.0
        if self._ready_mono_ns:
            stood_s = (clock.monotonic_ns() - self._ready_mono_ns) / clock.NS_PER_S
        self._end_session(error)
        return stood_s

    def _opened(self, socket: Socket) -> None:
        self._socket = socket
        self._enter(self._gaps.stamped(Content("connected")), SessionState.CONNECTED)
        assert self._protocol is not None
        self._act(self._protocol.open())

    async def _until_closed(self, socket: Socket) -> FeedError:
        closed = asyncio.ensure_future(socket.wait_closed())
        stop = asyncio.ensure_future(self._stop.wait())
        ready = asyncio.ensure_future(self._ready.wait())
        stale = asyncio.ensure_future(self._wait_stale())
        try:
            await asyncio.wait(
                {closed, stop, ready},
                timeout=self._config.ready_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if not (closed.done() or stop.done() or ready.done()):
                socket.abort()
                await closed
                waited_s = self._config.ready_timeout_s
                return Stale(f"the venue did not answer the login within {waited_s:g} s")
            if not (closed.done() or stop.done()):
                await asyncio.wait({closed, stop, stale}, return_when=asyncio.FIRST_COMPLETED)
            if stop.done():
                socket.close()
                await asyncio.wait({closed}, timeout=2.0)  # the slot is freed by a clean close
                return FeedError("stopped")
            if stale.done() and not closed.done():
                socket.abort()
                await closed
                return Stale(f"no data for {self._config.stale_s:g} s although connected")
            return closed.result()
        finally:
            for task in (closed, stop, ready, stale):
                task.cancel()

    async def _wait_stale(self) -> None:
        """End when no data has come for `stale_s`; never, when that is 0."""
        await self._ready.wait()
        while True:
            await asyncio.sleep(_TICK_S * 5)
            silent_s = (clock.monotonic_ns() - self._data_mono_ns) / clock.NS_PER_S
            if self._config.stale_s and silent_s > self._config.stale_s:
                return

    def _end_session(self, error: FeedError) -> None:
        failed = self._failed
        if self._stop.is_set() and failed is None:
            return
        content = Content("down", words=error.args[0], hint=error.hint)
        if failed is not None:
            content = Content("down", code=failed.code, words=failed.words, hint=failed.hint)
        now_ns = self._last_recv_ns if self._ready_mono_ns else self._wall.wall_ns()
        if isinstance(error, Refused) or (failed is not None and failed.fatal):
            content.event = "refused"
            self._enter(self._gaps.down(content, now_ns), SessionState.REFUSED)
        else:
            self._enter(self._gaps.down(content, now_ns), SessionState.DOWN)

    # The run.

    async def run(self) -> SessionState:
        """Record until stopped; `stopped`, or `refused` when the venue will not serve us."""
        gc.collect()
        gc.freeze()
        # No cycles are made on the data's path; a collection there would only be a pause.
        gc.disable()
        started = self._gaps.start(self._writer.recovered.last, self._wall.wall_ns())
        started.run = self._config.run
        self._tell(started)
        ticker = asyncio.ensure_future(self._tick_forever())
        try:
            while not self._stop.is_set():
                stood_s = await self._run_session()
                if self._state is SessionState.REFUSED or self._stop.is_set():
                    break
                at_least_s = self._failed.wait_s if self._failed is not None else 0.0
                wait_s = self._backoff.next_s(stood_s, at_least_s)
                await self._wait_stop(wait_s)
        finally:
            ticker.cancel()
            gc.enable()
        refused = self._state is SessionState.REFUSED
        content = Content("stopped", words=self._stop_cause or self._words)
        stopped = self._gaps.stop(content, self._wall.wall_ns(), self._stop_cause)
        self._enter(stopped, SessionState.STOPPED)
        return SessionState.REFUSED if refused else SessionState.STOPPED

    async def _wait_stop(self, wait_s: float) -> None:
        if wait_s > 0:
            try:
                await asyncio.wait_for(self._stop.wait(), wait_s)
            except TimeoutError:
                return

    def stop(self, cause: str = "") -> None:
        """End the run, on purpose or because of `cause`; call it from the loop's thread."""
        self._stop_cause = cause
        self._stop.set()

    async def _tick_forever(self) -> None:
        ticks = 0
        while True:
            await asyncio.sleep(_TICK_S)
            ticks += 1
            self._writer.tick()
            self._on_tick()
            if ticks % _CLOCK_CHECK_TICKS == 0:
                self._check_clock()
                self._check_quiet()

    def _check_clock(self) -> None:
        drift_ns = self._wall.drift_ns()
        if abs(drift_ns) > _CLOCK_STEP_NS:
            before_ns = self._wall.wall_ns()
            self._wall.reanchor()
            down = self._gaps.stamped(Content("clock"))
            content = {
                "event": "clock",
                "step_ns": drift_ns,
                "before_ns": before_ns,
                "after_ns": self._wall.wall_ns(),
                "down_since_ns": down.down_since_ns,
                "cause": down.cause,
                "planned": down.planned,
            }
            self._writer.append_json(EntryKind.CLOCK, content, session=self._session)

    def _check_quiet(self) -> None:
        if self._state is not SessionState.READY or not self._config.quiet_s:
            return
        silent_s = (clock.monotonic_ns() - self._data_mono_ns) / clock.NS_PER_S
        if silent_s > self._config.quiet_s and not self._quiet:
            self._quiet = True
            words = f"connected, but no data for {silent_s:.0f} s"
            hint = "The market may be closed; stale_s = … makes such a feed reconnect."
            self._words = words
            self._tell(self._gaps.stamped(Content("quiet", words=words, hint=hint)))
        elif silent_s <= self._config.quiet_s and self._quiet:
            self._quiet = False
            self._words = ""
            self._tell(self._gaps.stamped(Content("flowing", words="data comes again")))

    def statistics(self) -> CaptureStatistics:
        """Counters of this process, and how the session stands."""
        journal = self._writer.state()
        return CaptureStatistics(
            feed=self._config.feed,
            state="quiet" if self._quiet else self._state.value,
            words=self._words,
            session=self._session,
            frames=self._frames,
            bytes=self._bytes,
            blocks=self._blocks,
            last_recv_ns=self._last_recv_ns,
            dropped_frames=self._writer.dropped_frames,
            journal_state=JournalState(journal).name.lower(),
        )
