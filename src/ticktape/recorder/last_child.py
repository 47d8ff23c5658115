"""The last-value process: reads every feed's journal, keeps the mapped table of newest values."""

import gc
import os
from pathlib import Path

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.decoders.holes import HoleTeller
from ticktape.directory import RunDirectory
from ticktape.journal.blocks import Block
from ticktape.journal.wakeup import SLEEP_S_MAX
from ticktape.lastvalue import LastValueWriter
from ticktape.latency import PauseLog, RunId, StageLog
from ticktape.recorder.bringing import bring
from ticktape.recorder.following import Following, ranges
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import LAST, take_place
from ticktape.recorder.task import LastTask
from ticktape.recorder.turn import has_successor, turn
from ticktape.records import Position

# Small enough that a burst is shown while it is read, in 3 ms. Measured on frames of 50: half of it
# costs a quarter more a trade.
_READ_BYTES = 1 << 19
_PACE_NS = 1_000_000  # so old may a value be; a wake-up costs us and the capture 50 µs together
# Where so much comes at one pace, four at once cost two thirds: only the newest are written.
_BUSY_BYTES = 16_384
_BUSY_PACE_NS = 4_000_000
_IDLE_S = 0.5
_REPORT_NS = 300_000_000


class LastChild:
    """Keeps the last values of all feeds; one process at a time may write them."""

    def __init__(self, task: LastTask, parent: Parent) -> None:
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, "last", process)
        self._pauses.watch_gc()
        self._last = LastValueWriter(self._directory.last, clock.boot_id())
        self._decoders = {
            feed.name: HoleTeller(
                feed.name, decoder_for(feed.kind, feed.name), self._last.next_seq(feed.name)
            )
            for feed in task.feeds
        }
        self._stages = {
            feed: StageLog(self._directory.stages / "last", feed, process)
            for feed in self._decoders
        }
        starts = {feed: self._last.position(feed) or Position(0, 0) for feed in self._decoders}
        self._following = Following(self._directory, starts, self._pauses)
        self._records = 0
        self._took_ns = 0
        self._pace_ns = _PACE_NS
        self._report_at_ns = 0

    def run(self) -> None:
        """Keep them until the parent says leave and all is read."""
        while True:
            idle = True
            began_ns = clock.monotonic_ns()
            taken_bytes = 0
            for feed, blocks in self._following.read(_READ_BYTES):
                idle = False
                taken_bytes += blocks[-1].end_offset - blocks[0].offset
                self._take(feed, blocks)
            self._report_sometimes()
            if idle:
                if self._parent.leave.is_set() and (
                    has_successor(self._directory, self._parent) or self._following.is_drained()
                ):
                    break
            else:
                self._rest(began_ns, taken_bytes)
            if idle or self._following.is_at_limit():
                self._following.wait(SLEEP_S_MAX if self._parent.leave.is_set() else _IDLE_S)
        self._report()

    def rouse(self) -> None:
        """End its wait, for the word to leave; may be called from any thread."""
        self._following.rouse()

    def _rest(self, began_ns: int, taken_bytes: int) -> None:
        """Let a steady stream wake us once a pace, and not with each block."""
        is_steady = began_ns - self._took_ns < 2 * self._pace_ns
        self._took_ns = began_ns
        bytes_at_pace = taken_bytes * _PACE_NS // self._pace_ns
        self._pace_ns = _BUSY_PACE_NS if bytes_at_pace >= _BUSY_BYTES else _PACE_NS
        left_ns = began_ns + self._pace_ns - clock.monotonic_ns()
        if is_steady and left_ns > 0:
            clock.sleep_s(left_ns / clock.NS_PER_S)

    def _take(self, feed: str, blocks: list[Block]) -> None:
        self._records += bring(self._last, self._decoders[feed], blocks)
        now_ns = clock.monotonic_ns()
        for each in ranges(blocks):
            self._stages[feed].append(
                each.epoch, each.from_offset, each.to_offset, now_ns, each.entries
            )
        # After the values: what a killed process had in hand is read again.
        self._last.set_position(feed, blocks[-1].end, blocks[-1].next_seq)

    def _report_sometimes(self) -> None:
        if clock.monotonic_ns() > self._report_at_ns:
            self._report_at_ns = clock.monotonic_ns() + _REPORT_NS
            self._report()

    def _report(self) -> None:
        for stage in self._stages.values():
            stage.flush()
        self._pauses.flush()
        self._parent.tell(
            "statistics", records=self._records, behind_bytes=self._following.behind_bytes()
        )

    def close(self) -> None:
        """Close the readers, the values and the stage rows."""
        self._following.close()
        self._last.close()
        for stage in self._stages.values():
            stage.close()
        self._pauses.close()


def main(task: LastTask, parent: Parent) -> int:
    """Run the last-value child; its exit code."""
    take_place(LAST)
    child: LastChild | None = None
    parent.listen(lambda: child.rouse() if child is not None else None)
    with turn(RunDirectory(Path(task.directory)), "last", parent) as ours:
        if not ours:
            return 0
        child = LastChild(task, parent)
        try:
            gc.freeze()  # what is there lives as long as we do: no collection looks at it again
            child.run()
        finally:
            gc.unfreeze()
            child.close()
    return 0
