"""The process of one strategy: its callbacks, its log of inputs, its decisions.

An input and what it led to are logged in one block, or, when the process dies, neither is: then the
input comes again. Nothing may be decided that is not logged in the order in which it was decided.
"""

import gc
import hashlib
import os
from pathlib import Path

import msgspec

from ticktape import clock
from ticktape.decisions import DecisionRunner, InputLog, find_logs, give_logged, load_strategy
from ticktape.decisions.log import Blocks, Failed, Logged, Restart, Standing, Start, encode
from ticktape.decisions.runner import Outcome, log_block
from ticktape.decoders import decoder_for
from ticktape.decoders.holes import HoleTeller
from ticktape.directory import DECISION, RunDirectory
from ticktape.errors import EXIT_COMPLETE, Corrupt, DecisionError, JournalError
from ticktape.journal.blocks import Block
from ticktape.journal.positions import JournalState
from ticktape.journal.reader import Reader
from ticktape.journal.wakeup import SLEEP_S_MAX
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.latency import PauseLog, RunId, StageLog
from ticktape.recorder.following import Following
from ticktape.recorder.parent import EXIT_STOPPED, Parent
from ticktape.recorder.room import HINT, Room
from ticktape.recorder.task import DecideTask
from ticktape.recorder.turn import turn
from ticktape.records import EntryKind, Position

_READ_BYTES = 1 << 16
# After so long an input ends at its next block: it bounds how late a timer can be, how much a crash
# has decided again, and what is lost when a slow strategy is cut off.
_INPUT_NS_MAX = 20_000_000
_IDLE_S = 0.25
_REPORT_NS = 300_000_000
# At 5,000 blocks a second 26 µs of packing, which no block should wait for: at a report, 160.
_FLUSH_NS = 50_000_000
_ORPHAN_S = 10.0  # as long as a living supervisor would wait for a strategy that is behind


class DecideChild:
    """One strategy, live; the caller closes it, also when `begin` raises."""

    def __init__(self, task: DecideTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        self._name = task.decide.name
        self._directory = RunDirectory(Path(task.directory))
        self._wall = clock.WallClock()
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, f"decide-{self._name}", process)
        self._pauses.watch_gc()
        self._stages = {
            feed.name: StageLog(self._directory.stages / task.stage, feed.name, process)
            for feed in task.feeds
        }
        self._trouble = ""
        self._room = Room(self._directory.root, task.journal.reserve_bytes)
        self._waits = False  # for room on the disk, which is the journals'
        self._writer = Writer(
            self._directory.decision_journal(self._name),
            self._directory.decision_positions(self._name),
            WriterConfig(
                "group",
                task.journal.commit_ms,
                task.journal.segment_bytes,
                task.journal.memory_bytes,
            ),
            on_trouble=self._on_trouble,
            wall=self._wall,
        )
        self._following: Following | None = None
        self._timer_ns = 0
        self._epochs: dict[str, int] = {}
        self._over: set[str] = set()  # feeds that go on in another run
        self._report_at_ns = 0
        self._timer_at_ns = 0
        self._due_at_ns = 0  # what comes first of them, or the next flush

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._parent.tell("trouble", words=words, hint=error.hint)

    # Coming up, or coming back.

    def begin(self) -> None:
        """Load the strategy; when this run has inputs already, give them again, muted.

        Raises:
            DecisionError: the strategy cannot be loaded, or raised before; that is in its journal.
        """
        log = self._find_log()
        positions = {feed: Position(*at) for feed, at in self._task.positions.items()}
        start = Start(self._task.run, self._task.positions, self._file_sha256())
        standing = Standing(start if log is None else log.start)
        try:
            self._runner = self._new_runner()
            replaying = log is not None and self._task.decide.on_restart == "replay"
            if log is not None and not (replaying and self._replay(log, standing)):
                standing = _standing_after(log)
                start = _resumed(start, standing)
                log = None
                self._runner = self._new_runner()
        except DecisionError as error:
            self._append_failed_start(start, error)
            raise
        if log is None:
            self._append([encode(start)], [EntryKind.INPUT])
        else:
            self._append([encode(Restart(start.run, standing.inputs))], [EntryKind.INPUT])
            self._parent.tell("state", words=f"replayed {standing.inputs} inputs, going on")
        self._runner.next_number = standing.next_number
        self._following = Following(
            self._directory,
            positions | standing.positions,
            self._pauses,
            synced=self._task.decide.gate == "synced",
            spin=self._task.decide.wait == "spin",
        )

    def _new_runner(self) -> DecisionRunner:
        strategy = load_strategy(self._task.decide.file, self._name, self._task.decide.class_name)
        decoders = {
            feed.name: HoleTeller(feed.name, decoder_for(feed.kind, feed.name))
            for feed in self._task.feeds
        }
        return DecisionRunner(strategy, decoders, self._task.decide.on_error)

    def _file_sha256(self) -> str:
        try:
            return hashlib.sha256(self._task.decide.file.read_bytes()).hexdigest()
        except OSError:
            return ""  # loading it says what is wrong with it

    def _find_log(self) -> InputLog | None:
        """The newest instance of this run; None when there is none yet."""
        found = find_logs(self._open_own, Position(self._task.log_epoch, 0))
        mine = [log for log in found if log.start.run == self._task.run]
        return mine[-1] if mine else None

    def _open_own(self, start: Position) -> Reader:
        return Reader(self._directory.journal(f"{DECISION}:{self._name}"), None, start)

    def _open_feed(self, feed: str) -> Reader:
        return Reader(self._directory.journal(feed), None)

    def _replay(self, log: InputLog, standing: Standing) -> bool:
        """Rebuild the strategy's memory, muted; False when what it was given is gone."""
        differs = False
        try:
            for logged, outcome in give_logged(self._runner, self._open_feed, log):
                standing.take(logged)
                if outcome.decisions != logged.decisions and not differs:
                    differs = True
                    self._tell_difference(logged, outcome, standing.inputs)
        except Corrupt as error:
            self._parent.tell(
                "trouble",
                words=f"strategy {self._name} goes on without its memory: {error.args[0]}",
                hint=error.hint,
            )
            return False
        return True

    def _tell_difference(self, logged: Logged, outcome: Outcome, number: int) -> None:
        self._parent.tell(
            "trouble",
            words=f"strategy {self._name} decided otherwise when it was replayed (input {number}: "
            f"{len(outcome.decisions)} decisions, {len(logged.decisions)} logged)",
            hint="It uses a clock, randomness or the network; its memory is uncertain.",
        )

    def _append_failed_start(self, start: Start, error: DecisionError) -> None:
        failed = Failed("load", -1, str(error.args[0]), "stop")
        self._append([encode(start), encode(failed)], [EntryKind.INPUT, EntryKind.ERROR])

    def _append(self, payloads: list[bytes], kinds: list[int]) -> None:
        mono_ns = clock.monotonic_ns()
        self._writer.append(payloads, self._wall.wall_at(mono_ns), mono_ns, 0, 0, kinds)

    # Going on.

    def run(self) -> int:
        """Decide until the parent says leave and all is read, or the strategy stops itself."""
        assert self._following is not None
        self._timer_ns = int(self._runner.strategy.timer_s * clock.NS_PER_S)
        self._timer_at_ns = clock.monotonic_ns() + self._timer_ns
        self._see_room()
        while not self._runner.stopped:
            found = not self._waits and self._read(self._following)
            self._between()
            if not found and self._parent.leave.is_set() and self._is_done(self._following):
                break
            if not found or self._following.is_at_limit():
                self._wait(self._following)
        self._report()
        return EXIT_STOPPED if self._runner.stopped else EXIT_COMPLETE

    def _is_done(self, following: Following) -> bool:
        if self._runner.stopped or self._waits:
            return True
        return following.is_drained(self._over)

    def _read(self, following: Following) -> bool:
        """Give the strategy what is new; whether there was something."""
        found = False
        # As `following.read` does, without a generator between: a strategy waits for this.
        for feed, reader in following.readers.items():
            blocks = reader.read(_READ_BYTES)
            if not blocks:
                continue
            if blocks[0].epoch == blocks[-1].epoch:
                found = self._take(feed, blocks) or found
            else:
                for same_epoch in _by_epoch(blocks):
                    found = self._take(feed, same_epoch) or found
        return found

    def _take(self, feed: str, blocks: list[Block]) -> bool:
        """Give blocks of one epoch, if it is of this run; whether it is."""
        is_ours = self._is_ours(feed, blocks[0])
        if is_ours:
            self._give(feed, blocks)
        return is_ours

    def _is_ours(self, feed: str, first: Block) -> bool:
        """Whether an epoch is of this run; an orphan's successor writes for its own strategy."""
        if feed not in self._over and self._epochs.get(feed) != first.epoch:
            self._epochs[feed] = first.epoch
            if run_of(first) not in ("", self._task.run):
                self._over.add(feed)
        return feed not in self._over

    def _give(self, feed: str, blocks: list[Block]) -> None:
        """Give blocks, in as many inputs as the strategy's pace makes of them."""
        now = clock.monotonic_ns
        while blocks and not self._runner.stopped:
            outcome = self._runner.give(feed, blocks, now, now() + _INPUT_NS_MAX)
            # All that can wait comes after the callbacks: while they wait, the market moves.
            self._log(outcome)
            self._stages[feed].append_each(blocks, outcome.done_ns)
            assert isinstance(outcome.input, Blocks)
            blocks = blocks[outcome.input.count :]
            if blocks:
                self._between()

    def _between(self) -> None:
        """What is due between two inputs: the timer, and a word to the parent."""
        now_ns = clock.monotonic_ns()
        if now_ns < self._due_at_ns:
            return
        if self._timer_ns and not self._waits and now_ns >= self._timer_at_ns:
            self._timer_at_ns = now_ns + self._timer_ns
            if not self._runner.stopped:
                self._log(self._runner.fire_timer(self._wall.wall_ns()))
        if now_ns >= self._report_at_ns:
            self._report_at_ns = now_ns + _REPORT_NS
            self._report()
        else:
            self._flush()
        self._due_at_ns = min(now_ns + _FLUSH_NS, self._report_at_ns)
        if self._timer_ns and not self._waits:
            self._due_at_ns = min(self._due_at_ns, self._timer_at_ns)

    def rouse(self) -> None:
        """End its wait, for the word to leave; may be called from any thread."""
        if self._following is not None:
            self._following.rouse()

    def _wait(self, following: Following) -> None:
        wait_s = SLEEP_S_MAX if self._parent.leave.is_set() else _IDLE_S
        if self._runner.stopped:
            return
        if self._waits:
            clock.sleep_s(wait_s)  # what there is to read would not let it sleep
            return
        if self._timer_ns:
            wait_s = min(wait_s, (self._timer_at_ns - clock.monotonic_ns()) / clock.NS_PER_S)
        if wait_s > 0:
            following.wait(wait_s)

    def _log(self, outcome: Outcome) -> None:
        self._append(*log_block(outcome))
        failure = outcome.failure
        if failure is not None:
            self._parent.tell("decision_error", words=str(failure.args[0]), hint=failure.hint)

    def _flush(self) -> None:
        for stage in self._stages.values():
            stage.flush()

    def _report(self) -> None:
        assert self._following is not None
        self._flush()
        self._pauses.flush()
        self._writer.tick()
        self._see_room()
        if self._trouble and self._writer.state() is JournalState.OK:
            self._trouble = ""
            self._parent.tell("mended", words="the decisions' disk takes writes again")
        self._parent.tell(
            "statistics",
            behind_bytes=self._following.behind_bytes(),
            **self._runner.statistics()._asdict(),
        )

    def _see_room(self) -> None:
        """Decide nothing while the disk has only what is reserved for the journals."""
        waited, self._waits = self._waits, self._room.is_short()
        if self._waits and not waited:
            words = self._room.words(f"strategy {self._name} waits")
            self._parent.tell("trouble", words=words, hint=HINT)
        elif waited and not self._waits:
            self._parent.tell("mended", words=f"strategy {self._name} goes on")

    def close(self) -> None:
        """Close the readers and the journal; may be called twice."""
        if self._following is not None:
            self._following.close()
        self._writer.close()
        lost = self._writer.untold_frames
        if lost:
            words = f"{lost} entries of strategy {self._name} are lost: the disk refused to the end"
            self._parent.tell("trouble", words=words, hint="")
        for stage in self._stages.values():
            stage.close()
        self._pauses.close()


class _Started(msgspec.Struct):
    run: str = ""


_started = msgspec.json.Decoder(_Started)


def run_of(block: Block) -> str:
    """The run that an epoch's first block says it is of; "" when this block says nothing of it."""
    kind, payload = block.entries()[0]
    return _started.decode(payload).run if kind == EntryKind.SESSION else ""


def _standing_after(log: InputLog) -> Standing:
    standing = Standing(log.start)
    for logged in log.inputs():
        standing.take(logged)
    return standing


def _resumed(start: Start, standing: Standing) -> Start:
    """The start of an instance without memory, where the one before it stood."""
    positions = {feed: (at.epoch, at.offset) for feed, at in standing.positions.items()}
    return Start(start.run, positions, start.file_sha256, standing.next_number)


def _by_epoch(blocks: list[Block]) -> list[list[Block]]:
    """Blocks cut where the epoch changes, for one input names one epoch."""
    groups: dict[int, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.epoch, []).append(block)
    return list(groups.values())


def main(task: DecideTask, parent: Parent) -> int:
    """Run the strategy's child; its exit code."""
    child: DecideChild | None = None
    parent.listen(lambda: child.rouse() if child is not None else None, orphan_s=_ORPHAN_S)
    with turn(RunDirectory(Path(task.directory)), f"decide-{task.decide.name}", parent) as ours:
        if not ours:
            return EXIT_COMPLETE
        child = DecideChild(task, parent)
        try:
            child.begin()
            gc.freeze()  # it lives as long as we do: no collection looks at it again
            return child.run()
        except DecisionError as error:
            parent.tell("decision_error", words=str(error.args[0]), hint=error.hint)
            return EXIT_STOPPED
        finally:
            gc.unfreeze()
            child.close()
