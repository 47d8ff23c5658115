"""One feed's capture: bytes from the socket, stamped, into the journal, and nothing else.

Nothing here parses a data message, waits for a reader, or runs a user's code. What the session's
protocol must look at, it sees after the journal has it.
"""

import asyncio
import contextlib
import gc
import random
from collections.abc import Callable
from typing import Any, NamedTuple

from ticktape import clock
from ticktape.feeds.backoff import Backoff
from ticktape.feeds.clockstep import take_step
from ticktape.feeds.gapkeeper import Content, GapKeeper
from ticktape.feeds.protocol import Channels, VenueProtocol
from ticktape.feeds.session import Ending, Session
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState, step
from ticktape.journal.positions import JournalState
from ticktape.journal.standing import find_standing
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind

_TICK_S = 0.1  # disk retry, stage rows, silence
_IDLE_TICKS = 3  # so many pass at once while nothing is written
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
        new_protocol: makes the protocol of one session, from what is wanted when it begins.
        wanted: our channel -> symbols, until `change` says otherwise.
        writer: the feed's journal; the caller opens and closes it.
        wall: the clock whose anchor stamps the blocks.
        on_written: called after each block is with the system.
        on_state: called with each session entry, for the log and the parent.
        on_tick: called ten times a second from the loop; after a tick within which nothing was
            written, only when three have passed.
        jitter: for the waits between sessions.
    """

    def __init__(
        self,
        config: CaptureConfig,
        socket_config: SocketConfig,
        new_protocol: Callable[[Channels], VenueProtocol],
        wanted: Channels,
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
        self._number = 0
        self._session: Session | None = None
        self._frames = 0
        self._bytes = 0
        self._blocks = 0
        self._last_recv_ns = 0
        self._quiet = False
        self._wanted = wanted
        self._was_ready = False  # any session of this process
        self._changed_ns = 0  # while a change is being made: when it began
        self._untold: list[dict[str, Any]] = []  # gaps of entries that were dropped
        self._left_ns = 0  # once we have left the last session: until when we had all of it

    # The path of the data.

    def _on_read(
        self, payloads: list[bytes], kinds: list[int] | None, mono_ns: int, count: int
    ) -> None:
        recv_ns = self._wall.anchor_wall_ns + mono_ns - self._wall.anchor_mono_ns
        writer = self._writer
        start = writer.offset
        writer.append(payloads, recv_ns, mono_ns, self._number, 0, kinds)
        self._on_written(start, writer.offset, clock.monotonic_ns(), count)
        self._frames += count
        self._bytes += sum(map(len, payloads))
        self._blocks += 1
        self._last_recv_ns = recv_ns
        if self._session is not None:
            self._session.look(payloads, mono_ns)

    # The session.

    def _enter(self, content: Content, to: SessionState) -> None:
        self._state = step(self._state, to)
        self._words = content.words
        self._tell(content)

    def _tell(self, content: Content) -> None:
        content.session = self._number
        if self._untold:
            content.gaps = [*self._untold, *(content.gaps or ())]
        seq = self._writer.append_json(EntryKind.SESSION, content, session=self._number)
        # A full memory drops what is ours, too; a gap whose end was dropped would never end.
        self._untold = content.all_gaps() if seq < 0 else []
        self._on_state(content)

    def _on_event(self, content: Content, to: SessionState | None) -> None:
        """Hear the session: a notice, or a step on its way."""
        if to is None:
            self._tell(self._gaps.stamped(content))
        elif to is SessionState.READY:
            step(self._state, to)  # a venue that is out of turn must not end a gap
            self._quiet, self._was_ready = False, True
            # The gap ends with the read that brought the answer: it may have brought data, too.
            # A change that needs no answer ends it now.
            now_ns = self._changed_ns or self._last_recv_ns
            self._enter(self._gaps.ready(content, now_ns), to)
        else:
            self._enter(self._gaps.stamped(content), to)

    async def _run_session(self) -> float:
        """One session from connect to its end; how long to wait before the next, in seconds."""
        self._number += 1
        connecting = Content("connecting", words=self._socket_config.url)
        self._enter(self._gaps.stamped(connecting), SessionState.CONNECTING)
        session = self._session = Session(
            self._socket_config,
            self._config.ready_timeout_s,
            self._config.stale_s,
            self._new_protocol(self._wanted),
            self._on_read,
            self._on_event,
        )
        ending = await session.run(self._stop)
        self._session = None
        self._quiet = False
        if not ending.stopped:
            self._end_session(session, ending)
        elif session.ready_mono_ns:
            # Our goodbye may have found a line that was dead already.
            self._left_ns = self._wall.wall_at(session.heard_mono_ns)
        stood_s = 0.0
        if session.ready_mono_ns:
            stood_s = (clock.monotonic_ns() - session.ready_mono_ns) / clock.NS_PER_S
        return self._backoff.next_s(stood_s, ending.wait_s, ending.wait_max_s)

    def _end_session(self, session: Session, ending: Ending) -> None:
        now_ns = self._wall.wall_ns()
        if session.ready_mono_ns:
            now_ns = self._wall.wall_at(session.heard_mono_ns)
        content = Content("down", code=ending.code, words=ending.words, hint=ending.hint)
        to = SessionState.DOWN
        if ending.fatal and not (ending.is_of_plan and self._was_ready):
            content.event, to = "refused", SessionState.REFUSED
        self._enter(self._gaps.down(content, now_ns), to)

    # The run.

    async def run(self) -> SessionState:
        """Record until stopped; `stopped`, or `refused` when the venue will not serve us."""
        gc.collect()
        gc.freeze()
        # No cycles are made on the data's path; a collection there would only be a pause.
        gc.disable()
        asyncio.get_running_loop().set_exception_handler(_on_loop_error)
        standing = find_standing(self._writer.directory, self._writer.epoch)
        last = self._writer.recovered.last
        started = self._gaps.start(last, self._wall.wall_ns(), standing=standing)
        started.run = self._config.run
        self._tell(started)
        ticker = asyncio.ensure_future(self._tick_forever())
        ticker.add_done_callback(lambda _: self._stop.set())  # it ends by an error of ours alone
        try:
            while not self._stop.is_set():
                wait_s = await self._run_session()
                if self._state is SessionState.REFUSED:
                    break
                await self._wait_stop(wait_s)
            if ticker.done():
                ticker.result()
        finally:
            ticker.cancel()
            await asyncio.wait({ticker})
            gc.enable()
            gc.unfreeze()
        refused = self._state is SessionState.REFUSED
        words = "" if self._state is SessionState.READY else self._words
        content = Content("stopped", words=self._stop_cause or words)
        now_ns = self._left_ns or self._wall.wall_ns()
        stopped = self._gaps.stop(content, now_ns, self._stop_cause, refused=refused)
        self._enter(stopped, SessionState.STOPPED)
        return SessionState.REFUSED if refused else SessionState.STOPPED

    async def _wait_stop(self, wait_s: float) -> None:
        if wait_s > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait_s)

    def stop(self, cause: str = "") -> None:
        """End the run, on purpose or because of `cause`; call it from the loop's thread."""
        self._stop_cause = cause
        self._stop.set()

    def change(self, channels: Channels) -> None:
        """Record these symbols from now on, our channel -> symbols, and no others.

        Call it from the loop's thread. The difference is sent to the venue without a new
        connection; sessions to come ask for the whole. What the venue leaves out is a gap.
        """
        self._wanted = {channel: list(symbols) for channel, symbols in channels.items()}
        if self._state in (SessionState.IDLE, SessionState.STOPPED):
            return
        pairs = sum(map(len, self._wanted.values()))
        content = Content("changed", words=f"{pairs} channel-symbol pairs are wanted from now on")
        content.channels = self._wanted
        self._tell(self._gaps.stamped(content))
        if self._session is not None:
            self._changed_ns = self._wall.wall_ns()
            self._session.change(self._wanted)
            self._changed_ns = 0

    async def _tick_forever(self) -> None:
        ticks, due, offset = 0, 1, -1
        while True:
            await asyncio.sleep(due * _TICK_S)
            ticks += due
            self._writer.tick()
            if self._untold and self._writer.state() is not JournalState.DROPPING:
                words = "entries of the session were dropped; these are their gaps"
                self._tell(self._gaps.stamped(Content("notice", words=words)))
            self._on_tick()
            is_idle = offset == self._writer.offset and self._writer.state() is JournalState.OK
            due, offset = _IDLE_TICKS if is_idle else 1, self._writer.offset
            if ticks >= _CLOCK_CHECK_TICKS:
                ticks = 0
                self._check_clock()
                self._check_quiet()

    def _check_clock(self) -> None:
        content = take_step(self._wall, self._gaps)
        if content is not None:
            self._writer.append_json(EntryKind.CLOCK, content, session=self._number)

    def _check_quiet(self) -> None:
        if self._session is None or not self._session.ready_mono_ns or not self._config.quiet_s:
            return
        silent_s = (clock.monotonic_ns() - self._session.data_mono_ns) / clock.NS_PER_S
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
            session=self._number,
            frames=self._frames,
            bytes=self._bytes,
            blocks=self._blocks,
            last_recv_ns=self._last_recv_ns,
            dropped_frames=self._writer.dropped_frames,
            journal_state=JournalState(journal).name.lower(),
        )


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what no one awaits; a failed connection is in the journal in better words already."""
    exception = context.get("exception")
    # aiofastnet gives the class itself at times, which asyncio cannot print.
    kind = exception if isinstance(exception, type) else type(exception)
    if not issubclass(kind, OSError):
        loop.default_exception_handler(context)
