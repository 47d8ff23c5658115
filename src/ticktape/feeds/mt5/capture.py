"""One MetaTrader 5 feed's run: polled images and ticks into the journal, and nothing else.

One thread does all of it, for the package holds the GIL through every call. What a book holds is
not looked at here but to see whether it changed.
"""

import gc
import random
import threading
from collections.abc import Callable

import msgspec

from ticktape import clock, mt5
from ticktape.errors import FeedError, Refused
from ticktape.feeds.backoff import Backoff
from ticktape.feeds.clockstep import take_step
from ticktape.feeds.gapkeeper import Content, GapKeeper
from ticktape.feeds.mt5.books import BookSource
from ticktape.feeds.mt5.broker import BrokerOffset
from ticktape.feeds.mt5.figures import OnWritten, PollConfig, PollStatistics
from ticktape.feeds.mt5.pace import Pace
from ticktape.feeds.mt5.restore import Restored
from ticktape.feeds.mt5.subscriptions import Subscriptions
from ticktape.feeds.mt5.terminal import Facts, Terminal
from ticktape.feeds.mt5.ticking import TickSource
from ticktape.feeds.mt5.watch import PollWatch
from ticktape.feeds.states import SessionState, step
from ticktape.journal.positions import JournalState
from ticktape.journal.standing import find_standing
from ticktape.journal.writer import Writer
from ticktape.polls import Polls
from ticktape.records import EntryKind

_TICK_NS = 100_000_000  # disk retry, stage rows
_HEARTBEAT_NS = clock.NS_PER_S
_HEALTH_NS = 2 * clock.NS_PER_S
_TELLER_S = 0.02  # for the parent to hear that we open the terminal: from then on the GIL is held
_IDLE_S = 0.02
_IDLE_NS = 20_000_000


class PollCapture:
    """Runs the sessions of one terminal, one after another, until it is stopped or refused.

    Args:
        config: names, symbols and times.
        terminal: the terminal; opened and closed here.
        books: where images come from.
        pace: when the next pass is due.
        restored: tick cursors, their gaps and the broker's offset, as the journal has them.
        writer: the feed's journal; the caller opens and closes it.
        wall: the clock whose anchor stamps the blocks.
        on_written: called after each block is with the system.
        on_state: called with each session entry, for the log and the parent.
        on_tick: called ten times a second between passes.
        jitter: for the waits between sessions.
    """

    def __init__(
        self,
        config: PollConfig,
        terminal: Terminal,
        books: BookSource,
        pace: Pace,
        restored: Restored,
        writer: Writer,
        wall: clock.WallClock,
        *,
        on_written: OnWritten,
        on_state: Callable[[Content], None],
        on_tick: Callable[[], None],
        jitter: random.Random,
    ) -> None:
        self._config = config
        self._terminal = terminal
        self._books = books
        self._pace = pace
        self._writer = writer
        self._wall = wall
        self._on_written = on_written
        self._on_state = on_state
        self._on_tick = on_tick
        self._gaps = GapKeeper()
        self._backoff = Backoff(config.backoff_max_s, jitter)
        self._ticks = TickSource(config, terminal, restored, wall.wall_at, self._on_offset)
        self._subscriptions = Subscriptions(config.books, config.ticks)
        self._watch = PollWatch(config.quiet_s)
        self._stop = threading.Event()
        self._stop_cause = ""
        self._state = SessionState.IDLE
        self._words = ""
        self._number = 0
        self._frames = self._bytes = self._blocks = 0
        self._last_recv_ns = 0
        self._session_ns = 0
        self._tick_at_ns = self._beat_at_ns = self._health_at_ns = self._ticks_at_ns = 0

    # The path of the data.

    def _pass(self) -> None:
        """One look at every book, and at the ticks when it is their time."""
        began_ns = clock.monotonic_ns()
        self._store(self._books.take(_IDLE_S))
        self._take_ticks()
        # Only now: of a pass that meets the terminal's end, nobody knows what it still saw.
        self._watch.last_ns = began_ns

    def _store(self, images: list[mt5.Image]) -> None:
        if images:
            now_ns = clock.monotonic_ns()
            self._append([mt5.pack_image(image, now_ns) for image in images], now_ns)

    def _take_ticks(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns < self._ticks_at_ns or not self._config.ticks:
            return
        self._ticks_at_ns = now_ns + self._config.tick_ns
        for batches in self._ticks.take(self._subscriptions.ticking, self._gaps.down_since_ns):
            now_ns = clock.monotonic_ns()
            self._append([mt5.pack_ticks(batch, now_ns) for batch in batches], now_ns)

    def _append(self, payloads: list[bytes], mono_ns: int) -> None:
        writer = self._writer
        recv_ns = self._wall.wall_at(mono_ns)
        start = writer.offset
        writer.append(payloads, recv_ns, mono_ns, self._number, EntryKind.BINARY)
        self._on_written(start, writer.offset, clock.monotonic_ns(), len(payloads))
        self._frames += len(payloads)
        self._bytes += sum(map(len, payloads))
        self._blocks += 1
        self._last_recv_ns = recv_ns
        self._seal()

    def _seal(self) -> None:
        """While a gap is open the journal's last block says so, whatever came: we may be killed."""
        if self._gaps.down_since_ns:
            self._note({})

    # The session.

    def _enter(self, content: Content, to: SessionState) -> None:
        self._state = step(self._state, to)
        self._words = content.words
        self._tell(content)

    def _tell(self, content: Content) -> None:
        content.session = self._number
        self._writer.append_json(EntryKind.SESSION, content, session=self._number)
        self._on_state(content)
        if self._ticks.healing.close(content, clock.monotonic_ns()):
            self._note_waiting()

    def _note(self, content: dict[str, object]) -> None:
        stamps = msgspec.to_builtins(self._gaps.stamped(Content("note")))
        self._writer.append_json(EntryKind.NOTE, stamps | content, session=self._number)

    def _note_waiting(self) -> None:
        """Write down the gaps that ticks are fetched for: we may be killed before they are told."""
        self._note({"waiting": msgspec.to_builtins(self._ticks.healing.waiting)})

    def _on_offset(self, offset: BrokerOffset) -> None:
        self._note({"broker_clock": offset._asdict()})

    def _run_session(self) -> float:
        """One session from opening to its end; how long to wait before the next, in seconds."""
        self._number += 1
        self._session_ns = 0
        connecting = Content("connecting", words=self._terminal.where)
        self._enter(self._gaps.stamped(connecting), SessionState.CONNECTING)
        clock.sleep_s(_TELLER_S)
        try:
            self._open(self._terminal.open())
            while not self._stop.is_set():
                self._pass()
                self._between()
        except FeedError as error:
            self._finish_polls()
            self._end_session(error)
        else:
            self._finish_polls()
        finally:
            self._terminal.close(self._subscriptions.booked)
        stood_s = 0.0
        if self._session_ns:
            stood_s = (clock.monotonic_ns() - self._session_ns) / clock.NS_PER_S
        return self._backoff.next_s(stood_s)

    def _finish_polls(self) -> None:
        """What came last is written down, too; before the entry that says how it ended."""
        self._store(self._books.close())
        if self._session_ns:
            self._write_polls()

    def _open(self, facts: Facts) -> None:
        words = f"{facts.server}, build {facts.build}"
        self._enter(self._gaps.stamped(Content("connected", words=words)), SessionState.CONNECTED)
        authenticated = self._gaps.stamped(Content("authenticated", words=facts.company))
        self._enter(authenticated, SessionState.AUTHENTICATED)
        self._note({"terminal": facts._asdict()})
        now_ns = clock.monotonic_ns()
        self._subscriptions.forget()
        self._ticks.resume()
        is_first = self._number == 1 and self._writer.recovered.last is None
        self._books.resume(after_gap=not is_first)
        if self._books.refusal is not None:
            words, hint = self._books.refusal
            self._tell(self._gaps.stamped(Content("requested", words=words, hint=hint)))
        self._subscribe(now_ns)
        self._enter(self._ready(), SessionState.READY)
        now_ns = clock.monotonic_ns()
        self._session_ns = now_ns
        self._pace.restart(now_ns)
        self._watch.restart(now_ns, self._wall.wall_ns())
        self._tick_at_ns = self._ticks_at_ns = now_ns
        self._beat_at_ns, self._health_at_ns = now_ns + _HEARTBEAT_NS, now_ns + _HEALTH_NS

    def _subscribe(self, now_ns: int) -> None:
        """Ask for what is not subscribed yet, where it is time to; begin with what is."""
        for symbol in self._subscriptions.ask(self._terminal, now_ns):
            self._note({"instrument": {"symbol": symbol, **self._terminal.instrument(symbol)}})
            if symbol in self._subscriptions.ticking:
                self._ticks.start(symbol)
        self._books.watch(self._subscriptions.booked)

    def _ready(self) -> Content:
        channels, missing, words, hint = self._subscriptions.standing(self._failing())
        content = Content(
            "subscribed", channels=channels, missing=missing or None, words=words, hint=hint
        )
        failing = self._books.failing.items()
        since_ns = {symbol: self._wall.wall_at(why.since_ns) for symbol, why in failing}
        return self._gaps.ready(content, self._wall.wall_ns(), since_ns)

    def _failing(self) -> dict[tuple[str, str], str]:
        found = {("books", symbol): why.words for symbol, why in self._books.failing.items()}
        return found | self._ticks.failing

    def _end_session(self, error: FeedError) -> None:
        now_ns = self._wall.wall_ns()
        if self._session_ns:
            # What was last polled is the last that we know of.
            now_ns = self._wall.wall_at(self._watch.last_ns or self._session_ns)
        content = Content("down", words=str(error.args[0]), hint=error.hint)
        to = SessionState.DOWN
        if isinstance(error, Refused):
            content.event, to = "refused", SessionState.REFUSED
        self._enter(self._gaps.down(content, now_ns), to)

    # Between two passes.

    def _between(self) -> None:
        self._keep_up()
        if not self._books.is_self_paced:
            self._wait()

    def _keep_up(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns >= self._tick_at_ns:
            self._tick_at_ns = now_ns + _TICK_NS
            self._writer.tick()
            self._on_tick()
        if now_ns >= self._beat_at_ns:
            self._beat_at_ns = now_ns + _HEARTBEAT_NS
            self._beat(now_ns)

    def _wait(self) -> None:
        """Wait for the next pass; in a long wait, ticks and the rest have their turns."""
        wait_ns = self._pace.wait_ns(clock.monotonic_ns())
        if not wait_ns and len(self._books.failing) >= len(self._subscriptions.booked):
            wait_ns = _IDLE_NS  # there is no book to poll
        due_ns = clock.monotonic_ns() + wait_ns
        while wait_ns > 0 and not self._stop.is_set():
            clock.sleep_s(min(wait_ns, _TICK_NS) / clock.NS_PER_S)
            if wait_ns <= _TICK_NS:
                break
            self._take_ticks()
            self._keep_up()
            wait_ns = due_ns - clock.monotonic_ns()

    def _beat(self, now_ns: int) -> None:
        """Once a second: write down how it was polled, and see to what goes wrong."""
        if now_ns >= self._health_at_ns:
            self._health_at_ns = now_ns + _HEALTH_NS
            asked_ns = self._wall.wall_ns()
            self._watch.hear(self._terminal.health(), asked_ns)
        polls = self._write_polls()
        self._pace.adjust(self._watch.changed, self._watch.polls, polls.to_ns - polls.from_ns)
        self._books.set_interval_ns(self._pace.interval_ns)
        for content, is_down in self._watch.notices(polls, self._wall.wall_ns()):
            self._hear(content, is_down=is_down)
        if self._subscriptions.is_due(now_ns):
            self._subscribe(now_ns)
        # While the terminal has no link, nothing stands: it is told when the link is back.
        if not self._watch.is_unlinked and self._subscriptions.has_changed(self._failing()):
            self._enter(self._ready(), SessionState.READY)
        moved = take_step(self._wall, self._gaps)
        if moved is not None:
            self._writer.append_json(EntryKind.CLOCK, moved, session=self._number)
            self._watch.shift(moved["step_ns"])

    def _write_polls(self) -> Polls:
        ticks = self._ticks
        polls = self._watch.beat(self._books.counts(), ticks.delivered, self._wall.wall_ns())
        polls.interval_ns = self._pace.interval_ns
        polls.late = self._pace.late + self._books.late
        polls.cursors = ticks.cursors
        for counts in polls.books:
            if counts.gap_end_ns:
                counts.gap_end_ns = self._wall.wall_at(counts.gap_end_ns)
        for each in self._terminal.clock_maps():
            self._note({"clock_map": each._asdict()})
        self._writer.append_json(EntryKind.POLLS, polls, session=self._number)
        if ticks.healing.waiting:
            for content in ticks.healing.finished(ticks.offset_ms):
                self._tell(self._gaps.stamped(content))
            self._note_waiting()
        self._seal()
        return polls

    def _hear(self, content: Content, *, is_down: bool | None) -> None:
        """Tell a notice; with `is_down` the terminal's own link is gone, or back."""
        self._words = content.words
        if is_down:
            self._tell(self._gaps.down(content, content.down_since_ns))
        elif is_down is False:
            back = self._ready()
            back.event, back.words = content.event, content.words
            self._tell(back)
        else:
            self._tell(self._gaps.stamped(content))

    # The run.

    def run(self) -> SessionState:
        """Record until stopped; `stopped`, or `refused` when the terminal will not serve us."""
        gc.collect()
        gc.freeze()
        # No cycles are made on the data's path; a collection there would only be a pause.
        gc.disable()
        last, killed = self._writer.recovered.last, self._config.killed
        standing = find_standing(self._writer.directory, self._writer.epoch)
        started = self._gaps.start(last, self._wall.wall_ns(), killed, standing)
        started.run = self._config.run
        self._tell(started)
        try:
            while not self._stop.is_set():
                wait_s = self._run_session()
                if self._state is SessionState.REFUSED:
                    break
                self._wait_stop(wait_s)
        finally:
            gc.enable()
            gc.unfreeze()
        refused = self._state is SessionState.REFUSED
        words = "" if self._state is SessionState.READY else self._words
        content = Content("stopped", words=self._stop_cause or words)
        stopped = self._gaps.stop(content, self._wall.wall_ns(), self._stop_cause, refused=refused)
        self._enter(stopped, SessionState.STOPPED)
        return SessionState.REFUSED if refused else SessionState.STOPPED

    def _wait_stop(self, wait_s: float) -> None:
        until_ns = clock.monotonic_ns() + int(wait_s * clock.NS_PER_S)
        while not self._stop.is_set() and clock.monotonic_ns() < until_ns:
            self._stop.wait(min(0.1, max(until_ns - clock.monotonic_ns(), 0) / clock.NS_PER_S))
            self._writer.tick()
            self._on_tick()

    def stop(self, cause: str = "") -> None:
        """End the run, on purpose or because of `cause`; may be called from any thread."""
        self._stop_cause = cause
        self._stop.set()

    def statistics(self) -> PollStatistics:
        """Counters of this process, and how the session stands."""
        journal = self._writer.state()
        watch = self._watch
        return PollStatistics(
            feed=self._config.feed,
            state="quiet" if watch.is_quiet else self._state.value,
            words=self._words,
            session=self._number,
            frames=self._frames,
            bytes=self._bytes,
            blocks=self._blocks,
            last_recv_ns=self._last_recv_ns,
            dropped_frames=self._writer.dropped_frames,
            journal_state=JournalState(journal).name.lower(),
            polls=watch.polls_total,
            changed=watch.changed_total,
            ticks=sum(self._ticks.delivered.values()),
            change_ratio=watch.change_ratio,
            gap_p99_us=watch.gap_p99_us,
        )
