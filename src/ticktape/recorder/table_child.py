"""The table process: what is synced in the journals becomes rows, each exactly once."""

import os
from pathlib import Path

import msgspec

from ticktape import clock
from ticktape.decisions.tables import DecisionTables
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, RunDirectory
from ticktape.errors import TableError
from ticktape.failpoints import from_environment
from ticktape.journal.blocks import Block
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.latency import RunId, StageLog
from ticktape.recorder.following import Following
from ticktape.recorder.parent import Parent
from ticktape.recorder.task import TableTask
from ticktape.table.builder import BlockDecoder as MakesTables
from ticktape.table.builder import TableBuilder
from ticktape.table.store import TableStore

_READ_BYTES = 4 << 20
_POLL_S = 0.25  # the table is warm, not hot: it looks by itself and is never woken
_READER = "table"


class TableChild:
    """Feeds the builder, commits when it is due, saves its positions."""

    def __init__(self, task: TableTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._failpoints = from_environment()
        self._store = TableStore(self._directory.root, on_step=self._on_step)
        # Read before the store's first snapshot: what is saved is then never ahead of the tables.
        saved, counts = load_positions(self._directory.reader_file(_READER))
        self._received: dict[str, dict[str, int]] = msgspec.convert(
            counts, dict[str, dict[str, int]]
        )
        decoders: dict[str, MakesTables] = {
            feed.name: decoder_for(feed.kind, feed.name) for feed in task.feeds
        }
        decoders |= {f"{DECISION}:{name}": DecisionTables(name) for name in task.decisions}
        self._builder = TableBuilder(
            self._store,
            decoders,
            on_step=self._on_step,
            batch_rows=task.table.commit_rows,
            batch_ns=int(task.table.commit_s * clock.NS_PER_S),
        )
        starts = {
            feed: self._builder.start_position(feed, saved.get(feed), self._received.get(feed))
            for feed in decoders
        }
        self._positions = dict(saved)
        self._following = Following(self._directory, starts, synced=True)
        self._stages = {
            feed: StageLog(self._directory.stages / "stored", feed, process) for feed in decoders
        }
        for each in self._store.set_aside:
            self._parent.tell(
                "trouble",
                words=f"table {each.kind} was unreadable ({each.reason})",
                hint=f"It stands at {each.path.name}; it is being rebuilt from the journal.",
            )
        self._ranges: list[tuple[str, int, int, int, int]] = []
        self._trouble = ""
        self._report_at_ns = 0

    def _on_step(self, name: str) -> None:
        if self._failpoints is not None:
            self._failpoints.pass_by(f"table.{name}")

    def run(self) -> int:
        """Build until the parent says leave and all is in the table."""
        while True:
            idle = True
            for feed, blocks in self._following.read(_READ_BYTES):
                idle = False
                self._builder.add(feed, blocks)
                self._note_ranges(feed, blocks)
            if self._builder.due(clock.monotonic_ns()):
                self._commit()
            self._report_sometimes()
            if idle:
                if self._parent.leave.is_set() and self._following.is_drained():
                    break
                clock.sleep_s(0.02 if self._parent.leave.is_set() else _POLL_S)
        self._commit()
        return 1 if self._trouble else 0

    def _note_ranges(self, feed: str, blocks: list[Block]) -> None:
        """Remember which blocks wait for the next commit, for their stamp of the stage `stored`."""
        for block in blocks:
            if self._ranges:
                name, epoch, start, end, count = self._ranges[-1]
                if name == feed and epoch == block.epoch and end == block.offset:
                    self._ranges[-1] = (feed, epoch, start, block.end_offset, count + block.count)
                    continue
            self._ranges.append((feed, block.epoch, block.offset, block.end_offset, block.count))

    def _commit(self) -> None:
        try:
            result = self._builder.commit()
        except TableError as error:
            words = str(error.args[0])
            if words != self._trouble:
                self._trouble = words
                self._parent.tell("trouble", words=words, hint=error.hint)
            return
        if self._trouble:
            self._trouble = ""
            self._parent.tell("mended", words="the table's disk takes writes again")
        self._positions.update(result.positions)
        self._received.update(result.received)
        self._on_step("before-save")
        save_positions(self._directory.reader_file(_READER), self._positions, self._received)
        self._on_step("after-save")
        mono_ns = clock.monotonic_ns()
        for feed, epoch, start, end, count in self._ranges:
            self._stages[feed].append(epoch, start, end, mono_ns, count)
        self._ranges = []
        for stage in self._stages.values():
            stage.flush()

    def _report_sometimes(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns > self._report_at_ns:
            self._report_at_ns = now_ns + 300_000_000
            self.report()

    def report(self) -> None:
        """Tell the parent the counters."""
        behind = {feed: reader.behind_bytes() for feed, reader in self._following.readers.items()}
        self._parent.tell("statistics", behind_bytes=behind, **self._builder.statistics()._asdict())

    def close(self) -> None:
        """Close the readers and the stage rows."""
        self._following.close()
        for stage in self._stages.values():
            stage.close()


def main(task: TableTask, parent: Parent) -> int:
    """Run the table's child; its exit code."""
    parent.listen()
    child = TableChild(task, parent)
    try:
        return child.run()
    finally:
        child.report()
        child.close()
