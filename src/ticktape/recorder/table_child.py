"""The table process: what is synced in the journals becomes rows, each exactly once.

When the disk refuses it stops reading, so that its memory stays bounded: the journals wait. When
there is nothing to store it makes large files of the small ones, a slice at a time: as the one
writer of the tables it has nobody to agree with about that.
"""

import os
from pathlib import Path

import msgspec
import pyarrow as pa

from ticktape import clock
from ticktape.decisions.tables import DecisionTables
from ticktape.decoders import decoder_for
from ticktape.decoders.ledger import LedgerTables
from ticktape.directory import DECISION, LEDGER, RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, JournalError, TableError
from ticktape.failpoints import from_environment
from ticktape.journal.disk import write_error
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.latency import PauseKind, PauseLog, RunId, StageLog
from ticktape.recorder.following import Following, Range, ranges
from ticktape.recorder.heap import use_small_pages
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import TABLE, take_place
from ticktape.recorder.room import Room
from ticktape.recorder.task import TableTask
from ticktape.recorder.turn import has_successor, turn
from ticktape.table.builder import BlockDecoder as MakesTables
from ticktape.table.builder import CommitResult, TableBuilder
from ticktape.table.compact import Compactor
from ticktape.table.store import TableStore

_READ_BYTES = 4 << 20
_POLL_S = 0.25  # the table is warm, not hot: it looks by itself and is never woken
_DRAIN_POLL_S = 0.02
_REPORT_NS = 300_000_000
_RETRY_S = 0.5  # how often a disk that refused a commit is tried again
_FAREWELL_TRIES = 10  # of such, when it is time to leave
_READER = "table"
_SYNC_STEPS = {"after-commit": "after-sync"}  # between them the commit is made durable


class TableChild:
    """Feeds the builder, commits when it is due, saves its positions."""

    def __init__(self, task: TableTask, parent: Parent) -> None:
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, "table", process)
        self._pauses.watch_gc()
        self._failpoints = from_environment()
        self._room = Room(self._directory.root, task.reserve_bytes)
        self._step_ns = ("", 0)
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
        decoders[LEDGER] = LedgerTables()
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
        self._following = Following(self._directory, starts, self._pauses, synced=True)
        self._stages = {
            feed: StageLog(self._directory.stages / "stored", feed, process) for feed in decoders
        }
        for each in self._store.set_aside:
            self._parent.tell(
                "trouble",
                words=f"table {each.kind} was unreadable ({each.reason})",
                hint=f"It stands at {each.path.name}; it is being rebuilt from the journal.",
            )
        for each in self._store.dropped:
            self._parent.tell(
                "trouble",
                words=f"table {each.kind}: {each.reason}, as a power loss leaves it",
                hint=f"It stands at {each.path.name}; its rows come again from the journal.",
            )
        self._compactor = Compactor(
            self._store, lambda words: parent.tell("compacted", words=words)
        )
        self._ranges: list[tuple[str, Range]] = []
        self._trouble = ""
        self._report_at_ns = 0

    def _on_step(self, name: str) -> None:
        if self._failpoints is not None:
            self._failpoints.pass_by(f"table.{name}")
        now_ns = clock.monotonic_ns()
        before, since_ns = self._step_ns
        if _SYNC_STEPS.get(before) == name:
            self._pauses.record(PauseKind.FSYNC, since_ns, now_ns - since_ns)
        self._step_ns = (name, now_ns)

    def run(self) -> int:
        """Build until the parent says leave and all is in the table."""
        tries = _FAREWELL_TRIES
        while True:
            idle = self._trouble != "" or not self._read()
            if self._trouble or self._builder.due(clock.monotonic_ns()):
                self._commit()
            self._report_sometimes()
            if not idle:
                continue
            if self._parent.leave.is_set():
                tries -= self._trouble != ""
                if tries < 0 or has_successor(self._directory, self._parent):
                    break
                if not self._trouble and self._following.is_drained():
                    break
            elif self._compact():
                continue
            self._pause()
        self._commit()
        return EXIT_INCOMPLETE if self._trouble else EXIT_COMPLETE

    def _read(self) -> bool:
        """Take what is new; whether there was something, or there may be."""
        found = False
        for feed, blocks in self._following.read(_READ_BYTES):
            found = True
            self._builder.add(feed, blocks)
            self._ranges += [(feed, each) for each in ranges(blocks)]
        return found

    def _pause(self) -> None:
        if self._trouble:
            clock.sleep_s(_RETRY_S)
        else:
            clock.sleep_s(_DRAIN_POLL_S if self._parent.leave.is_set() else _POLL_S)

    def _compact(self) -> bool:
        """Work for a slice on the tables' files; whether there is more of that to do now."""
        if self._trouble or self._room.is_short():
            return False
        try:
            return self._compactor.step()
        except TableError as error:
            self._parent.tell("trouble", words=str(error.args[0]), hint=error.hint)
            return False

    def _commit(self) -> None:
        try:
            self._room.ask("the table waits")
            result = self._builder.commit()
            self._compactor.note_files(len(result.rows))
            self._save(result)
            # Arrow's allocator keeps what was freed, with a merge that goes on in between:
            # beside merging it grew to 220 MB in 250 commits; so it stays at 100, for no CPU.
            pa.default_memory_pool().release_unused()
        except (TableError, JournalError) as error:
            words = str(error.args[0])
            if words != self._trouble:
                self._trouble = words
                self._parent.tell("trouble", words=words, hint=error.hint)
            return
        if self._trouble:
            self._trouble = ""
            self._parent.tell("mended", words="the table's disk takes writes again")

    def _save(self, result: CommitResult) -> None:
        """Save the positions of a commit; a refusal loses nothing, the tables have their own.

        Raises:
            JournalError: the disk refused.
        """
        self._positions.update(result.positions)
        self._received.update(result.received)
        mono_ns = clock.monotonic_ns()
        for feed, each in self._ranges:
            self._stages[feed].append(
                each.epoch, each.from_offset, each.to_offset, mono_ns, each.entries
            )
        self._ranges = []
        for stage in self._stages.values():
            stage.flush()
        self._on_step("before-save")
        path = self._directory.reader_file(_READER)
        try:
            save_positions(path, self._positions, self._received)
        except OSError as error:
            raise write_error(error, str(path)) from error
        self._on_step("after-save")

    def _report_sometimes(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns > self._report_at_ns:
            self._report_at_ns = now_ns + _REPORT_NS
            self.report()

    def report(self) -> None:
        """Tell the parent the counters."""
        self._pauses.flush()
        behind = self._following.behind_bytes()
        counts = self._builder.statistics()._asdict() | self._compactor.statistics()._asdict()
        self._parent.tell("statistics", behind_bytes=behind, **counts)

    def close(self) -> None:
        """Close the readers and the stage rows."""
        self._compactor.close()
        self._following.close()
        for stage in self._stages.values():
            stage.close()
        self._pauses.close()


def main(task: TableTask, parent: Parent) -> int:
    """Run the table's child; its exit code."""
    take_place(TABLE)
    use_small_pages()
    parent.listen()
    with turn(RunDirectory(Path(task.directory)), "table", parent) as ours:
        if not ours:
            return EXIT_COMPLETE
        child = TableChild(task, parent)
        try:
            return child.run()
        finally:
            child.report()
            child.close()
