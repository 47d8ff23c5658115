"""The process of one strategy: its callbacks, its log of inputs, its decisions."""

import hashlib
import os
from pathlib import Path

from ticktape import clock
from ticktape.decisions import DecisionRunner, InputLog, give_logged, load_strategy
from ticktape.decisions.log import Restart, Start, encode
from ticktape.decisions.runner import Outcome, log_block
from ticktape.decoders import decoder_for
from ticktape.directory import RunDirectory
from ticktape.errors import DecisionError
from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.latency import RunId, StageLog
from ticktape.recorder.following import Following
from ticktape.recorder.parent import EXIT_STOPPED, Parent
from ticktape.recorder.task import DecideTask
from ticktape.records import EntryKind, Position

# One look's worth of a feed: it bounds how late a timer can be, and what is lost in a crash is
# decided
# again.
_READ_BYTES = 1 << 16
_IDLE_S = 0.25
_REPORT_NS = 300_000_000


class DecideChild:
    """One strategy, live."""

    def __init__(self, task: DecideTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        self._name = task.decide.name
        self._directory = RunDirectory(Path(task.directory))
        self._wall = clock.WallClock()
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._stages = {
            feed.name: StageLog(self._directory.stages / task.stage, feed.name, process)
            for feed in task.feeds
        }
        self._writer = Writer(
            self._directory.decision_journal(self._name),
            self._directory.decision_positions(self._name),
            WriterConfig("group", task.journal.commit_ms, task.journal.segment_bytes),
            wall=self._wall,
        )
        self._starts = {feed: Position(*at) for feed, at in task.positions.items()}
        self._report_at_ns = 0
        self._timer_at_ns = 0
        self._runner = self._new_runner()
        self._take_up()
        self._following = Following(
            self._directory,
            self._starts,
            synced=task.decide.gate == "synced",
            spin=task.decide.wait == "spin",
        )

    def _new_runner(self) -> DecisionRunner:
        strategy = load_strategy(self._task.decide.file, self._name, self._task.decide.class_name)
        return DecisionRunner(
            strategy,
            {feed.name: decoder_for(feed.kind, feed.name) for feed in self._task.feeds},
            self._task.decide.on_error,
            self._on_block,
        )

    def _on_block(self, feed: str, block: Block) -> None:
        self._stages[feed].append(
            block.epoch, block.offset, block.end_offset, clock.monotonic_ns(), block.count
        )

    # Coming back.

    def _take_up(self) -> None:
        """Find this run's inputs in the log; a new run or a resuming one begins anew."""
        log = InputLog()
        with Reader(self._directory.decision_journal(self._name), None) as reader:
            while blocks := reader.read():
                for block in blocks:
                    log.take(block)
        if log.start is None or log.start.run != self._task.run:
            self._log_start()
            return
        self._starts.update(log.positions())
        if self._task.decide.on_restart == "resume":
            self._log_start()
            return
        self._runner.on_block = None  # muted: no stage is stamped twice
        for index, outcome in enumerate(give_logged(self._runner, self._directory, log)):
            logged = log.inputs[index].decisions
            if outcome.decisions != logged:
                self._parent.tell(
                    "trouble",
                    words=f"strategy {self._name} decided otherwise when it was replayed "
                    f"(input {index}: {len(outcome.decisions)} decisions, {len(logged)} logged)",
                    hint="It uses a clock, randomness or the network; its memory is uncertain.",
                )
                break
        self._runner.on_block = self._on_block
        said = Restart(self._task.run, len(log.inputs))
        self._append([encode(said)], [EntryKind.INPUT])
        self._parent.tell("state", words=f"replayed {len(log.inputs)} inputs, going on")

    def _log_start(self) -> None:
        digest = hashlib.sha256(self._task.decide.file.read_bytes()).hexdigest()
        positions = {feed: (at.epoch, at.offset) for feed, at in self._starts.items()}
        self._append([encode(Start(self._task.run, positions, digest))], [EntryKind.INPUT])

    def _append(self, payloads: list[bytes], kinds: list[int]) -> None:
        mono_ns = clock.monotonic_ns()
        self._writer.append(payloads, self._wall.wall_at(mono_ns), mono_ns, 0, 0, kinds)

    # Going on.

    def run(self) -> int:
        """Decide until the parent says leave and all is read, or the strategy stops itself."""
        timer_ns = int(self._runner.strategy.timer_s * clock.NS_PER_S)
        self._timer_at_ns = clock.monotonic_ns() + timer_ns
        while not self._runner.stopped:
            idle = True
            for feed, blocks in self._following.read(_READ_BYTES):
                idle = False
                for same_epoch in _by_epoch(blocks):
                    self._log(self._runner.give(feed, same_epoch))
                if self._runner.stopped:
                    break
            if timer_ns and clock.monotonic_ns() >= self._timer_at_ns:
                self._timer_at_ns = clock.monotonic_ns() + timer_ns
                self._log(self._runner.fire_timer(self._wall.wall_ns()))
            self._report_sometimes()
            if idle:
                if self._parent.leave.is_set() and self._following.is_drained():
                    break
                self._wait(timer_ns)
        self._report()
        return EXIT_STOPPED if self._runner.stopped else 0

    def _wait(self, timer_ns: int) -> None:
        wait_s = _IDLE_S
        if timer_ns:
            wait_s = min(wait_s, (self._timer_at_ns - clock.monotonic_ns()) / clock.NS_PER_S)
        if wait_s > 0:
            self._following.wait(wait_s)

    def _log(self, outcome: Outcome) -> None:
        self._append(*log_block(outcome))
        failure = outcome.failure
        if failure is not None:
            self._parent.tell("decision_error", words=str(failure.args[0]), hint=failure.hint)

    def _report_sometimes(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns > self._report_at_ns:
            self._report_at_ns = now_ns + _REPORT_NS
            self._report()

    def _report(self) -> None:
        for stage in self._stages.values():
            stage.flush()
        self._writer.tick()
        behind = {feed: reader.behind_bytes() for feed, reader in self._following.readers.items()}
        self._parent.tell("statistics", behind_bytes=behind, **self._runner.statistics()._asdict())

    def close(self) -> None:
        """Close the readers and the journal."""
        self._following.close()
        self._writer.close()
        for stage in self._stages.values():
            stage.close()


def _by_epoch(blocks: list[Block]) -> list[list[Block]]:
    """Blocks cut where the epoch changes, for one input names one epoch."""
    if blocks[0].epoch == blocks[-1].epoch:
        return [blocks]
    groups: dict[int, list[Block]] = {}
    for block in blocks:
        groups.setdefault(block.epoch, []).append(block)
    return list(groups.values())


def main(task: DecideTask, parent: Parent) -> int:
    """Run the strategy's child; its exit code."""
    parent.listen()
    try:
        child = DecideChild(task, parent)
    except DecisionError as error:
        parent.tell("decision_error", words=str(error.args[0]), hint=error.hint)
        return EXIT_STOPPED
    try:
        return child.run()
    finally:
        child.close()
