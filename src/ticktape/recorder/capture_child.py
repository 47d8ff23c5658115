"""The capture process: one feed, its journal, and nothing else."""

import asyncio
import os
import random
from collections import deque
from pathlib import Path

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.errors import JournalError
from ticktape.feeds import protocol_maker
from ticktape.feeds.capture import Capture, CaptureConfig
from ticktape.feeds.gapkeeper import Content
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState
from ticktape.journal.positions import JournalState
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.latency import PauseLog, RunId, StageLog
from ticktape.recorder.parent import EXIT_REFUSED, Parent
from ticktape.recorder.task import CaptureTask
from ticktape.recorder.timed_disk import TimedDisk
from ticktape.recorder.turn import turn

_STATS_TICKS = 3  # of a tenth of a second
_TICK_NS = 100_000_000  # how often the capture calls `on_tick`
_STALL_NS = 5_000_000  # a tick so late means that the loop was busy or not run


class CaptureChild:
    """Opens the journal, runs the capture, reports."""

    def __init__(self, task: CaptureTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        feed = task.feed
        directory = RunDirectory(Path(task.directory))
        self._wall = clock.WallClock()
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(directory.pauses, f"capture-{feed.name}", process)
        self._tick_due_ns = 0
        self._written = StageLog(directory.stages / "written", feed.name, process)
        self._synced = StageLog(directory.stages / "synced", feed.name, process)
        self._synced_rows: deque[tuple[int, int, int]] = deque()
        self._writer = Writer(
            directory.feed_journal(feed.name),
            directory.feed_positions(feed.name),
            WriterConfig(
                task.journal.sync,
                task.journal.commit_ms,
                task.journal.segment_bytes,
                task.journal.memory_bytes,
            ),
            disk=TimedDisk(self._pauses),
            on_trouble=self._on_trouble,
            on_synced=self._on_synced,
            wall=self._wall,
        )
        self._trouble = ""
        self._ticks = 0
        make = protocol_maker(feed.kind)
        wanted = {channel: list(symbols) for channel, symbols in feed.channels().items()}
        self._capture = Capture(
            CaptureConfig(
                feed.name,
                task.run,
                feed.connect_timeout_s,
                feed.quiet_s,
                feed.stale_s,
                feed.backoff_max_s,
            ),
            SocketConfig(
                feed.url,
                {},
                feed.connect_timeout_s,
                feed.ping_s,
                feed.pong_timeout_s,
                feed.max_frame_bytes,
                feed.ca_file,
                task.proxy,
            ),
            lambda: make(task.key, task.secret, wanted),
            self._writer,
            self._wall,
            on_written=self._on_written,
            on_state=self._on_state,
            on_tick=self._on_tick,
            jitter=random.Random(os.urandom(8)),
        )

    def _on_written(self, start: int, end: int, mono_ns: int, count: int) -> None:
        self._written.append(self._writer.epoch, start, end, mono_ns, count)

    def _on_synced(self, start: int, end: int, mono_ns: int) -> None:
        # The commit's own thread calls this; a stage log belongs to one thread, the loop's.
        self._synced_rows.append((start, end, mono_ns))

    def _log_synced(self) -> None:
        while self._synced_rows:
            start, end, mono_ns = self._synced_rows.popleft()
            self._synced.append(self._writer.epoch, start, end, mono_ns, 0)

    def _on_trouble(self, error: JournalError) -> None:
        words = str(error.args[0])
        if words != self._trouble:
            self._trouble = words
            self._parent.tell("trouble", words=words, hint=error.hint)

    def _on_state(self, content: Content) -> None:
        self._parent.tell("session", content=content)

    def _on_tick(self) -> None:
        now_ns = clock.monotonic_ns()
        if self._tick_due_ns and now_ns - self._tick_due_ns > _STALL_NS:
            self._pauses.record_wake(self._tick_due_ns)
        self._tick_due_ns = now_ns + _TICK_NS
        self._pauses.flush()
        self._written.flush()
        self._log_synced()
        self._synced.flush()
        if self._trouble and self._writer.state() is JournalState.OK:
            self._trouble = ""
            self._parent.tell("mended", words="the journal's disk takes writes again")
        self._ticks += 1
        if self._ticks % _STATS_TICKS == 0:
            self.report()

    def report(self) -> None:
        """Tell the parent the counters."""
        self._parent.tell("statistics", **self._capture.statistics()._asdict())

    async def run(self) -> SessionState:
        """Record until the parent says leave."""
        loop = asyncio.get_running_loop()

        def leave() -> None:
            cause = "the recorder's supervisor died" if self._parent.orphaned else ""
            loop.call_soon_threadsafe(self._capture.stop, cause)

        self._parent.listen(leave)
        return await self._capture.run()

    def close(self) -> int:
        """Close the journal; returns the dropped frames of which no entry tells."""
        self._writer.close()
        lost = self._writer.untold_frames
        self._written.close()
        self._log_synced()
        self._synced.close()
        self._pauses.close()
        return lost


def _pin(cpu: int) -> None:
    if cpu >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})


def main(task: CaptureTask, parent: Parent) -> int:
    """Run the capture child; its exit code."""
    _pin(task.feed.pin_cpu)
    with turn(RunDirectory(Path(task.directory)), f"capture-{task.feed.name}", parent):
        return _capture(task, parent)


def _capture(task: CaptureTask, parent: Parent) -> int:
    child = CaptureChild(task, parent)
    try:
        state = asyncio.run(child.run())
    finally:
        child.report()
        lost = child.close()
        if lost:
            words = f"{lost} frames are in no journal: the disk refused to the end"
            parent.tell("trouble", words=words, hint="", lost_frames=lost)
    return EXIT_REFUSED if state is SessionState.REFUSED else 0
