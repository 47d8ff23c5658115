"""What every capture writes into: its journal, the rows of its stages, its word to the parent."""

import os
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.errors import JournalError
from ticktape.feeds.gapkeeper import Content
from ticktape.journal.positions import JournalState
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.latency import PauseLog, RunId, StageLog
from ticktape.recorder.parent import Parent
from ticktape.recorder.task import CaptureTask
from ticktape.recorder.timed_disk import TimedDisk

if TYPE_CHECKING:
    from collections.abc import Callable

_STATS_TICKS = 3  # of a tenth of a second
_TICK_NS = 100_000_000  # how often a capture calls `on_tick`
_STALL_NS = 5_000_000  # a tick so late means that the loop was busy or not run


class Rig:
    """The journal of one capture, opened, and what a capture calls back; closed by its owner."""

    def __init__(self, task: CaptureTask, parent: Parent) -> None:
        self._parent = parent
        self.directory = RunDirectory(Path(task.directory))
        self.wall = clock.WallClock()
        self.statistics: Callable[[], dict[str, object]] = dict
        name = task.name
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self.directory.pauses, f"capture-{name}", process)
        self._tick_due_ns = 0
        self._tick_offset = -1
        self._written = StageLog(self.directory.stages / "written", name, process)
        self._synced = StageLog(self.directory.stages / "synced", name, process)
        self._synced_rows: deque[tuple[int, int, int]] = deque()
        self._trouble = ""
        self._ticks = 0
        self.writer = Writer(
            self.directory.feed_journal(name),
            self.directory.feed_positions(name),
            WriterConfig(
                task.journal.sync,
                task.journal.commit_ms,
                task.journal.segment_bytes,
                task.journal.memory_bytes,
            ),
            disk=TimedDisk(self._pauses),
            on_trouble=self._on_trouble,
            on_synced=self._on_synced,
            wall=self.wall,
        )

    def on_written(self, start: int, end: int, mono_ns: int, count: int) -> None:
        """Note that a block is with the system."""
        self._written.append(self.writer.epoch, start, end, mono_ns, count)

    def on_state(self, content: Content) -> None:
        """Tell the parent what became of the session."""
        self._parent.tell("session", content=content)

    def on_tick(self) -> None:
        """Ten times a second, from the capture's thread: hand on rows and counters.

        Of a capture that has nothing to write the next tick may come later, and is then no stall.
        """
        now_ns = clock.monotonic_ns()
        if self._tick_due_ns and now_ns - self._tick_due_ns > _STALL_NS:
            self._pauses.record_wake(self._tick_due_ns)
        is_idle = self._tick_offset == self.writer.offset
        self._tick_due_ns = 0 if is_idle else now_ns + _TICK_NS
        self._tick_offset = self.writer.offset
        self._pauses.flush()
        self._written.flush()
        self._log_synced()
        self._synced.flush()
        if self._trouble and self.writer.state() is JournalState.OK:
            self._trouble = ""
            self._parent.tell("mended", words="the journal's disk takes writes again")
        self._ticks += 1
        if self._ticks % _STATS_TICKS == 0:
            self.report()

    def report(self) -> None:
        """Tell the parent the counters."""
        self._parent.tell("statistics", **self.statistics())

    def _on_synced(self, start: int, end: int, mono_ns: int) -> None:
        # The commit's own thread calls this; a stage log belongs to one thread, the capture's.
        self._synced_rows.append((start, end, mono_ns))

    def _log_synced(self) -> None:
        while self._synced_rows:
            start, end, mono_ns = self._synced_rows.popleft()
            self._synced.append(self.writer.epoch, start, end, mono_ns, 0)

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._parent.tell("trouble", words=words, hint=error.hint)

    def close(self) -> int:
        """Close the journal; returns the dropped frames of which no entry tells."""
        self.writer.close()
        lost = self.writer.untold_frames
        self._written.close()
        self._log_synced()
        self._synced.close()
        self._pauses.close()
        return lost
