"""The last-value process: reads every feed's journal, keeps the mapped table of newest values."""

import os
from pathlib import Path

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.directory import RunDirectory
from ticktape.lastvalue import LastValueWriter
from ticktape.latency import RunId, StageLog
from ticktape.recorder.following import Following
from ticktape.recorder.parent import Parent
from ticktape.recorder.task import LastTask
from ticktape.records import Position

_READ_BYTES = 1 << 18  # small enough that a burst is shown while it is read
_IDLE_S = 0.25
_REPORT_NS = 300_000_000


def main(task: LastTask, parent: Parent) -> int:
    """Run the last-value child; its exit code."""
    parent.listen()
    directory = RunDirectory(Path(task.directory))
    process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
    decoders = {feed.name: decoder_for(feed.kind, feed.name) for feed in task.feeds}
    stages = {feed: StageLog(directory.stages / "last", feed, process) for feed in decoders}
    directory.live.mkdir(parents=True, exist_ok=True)
    with LastValueWriter(directory.last, clock.boot_id()) as last:
        starts = {feed: last.position(feed) or Position(0, 0) for feed in decoders}
        following = Following(directory, starts)
        report_at_ns, records_count = 0, 0
        while True:
            idle = True
            for feed, blocks in following.read(_READ_BYTES):
                idle = False
                decode = decoders[feed].decode
                stage = stages[feed]
                for block in blocks:
                    records = decode(block)
                    last.update(records)
                    records_count += len(records)
                    stage.append(
                        block.epoch,
                        block.offset,
                        block.end_offset,
                        clock.monotonic_ns(),
                        block.count,
                    )
                last.set_position(feed, blocks[-1].end)
            if clock.monotonic_ns() > report_at_ns:
                report_at_ns = clock.monotonic_ns() + _REPORT_NS
                _report(parent, following, records_count)
                for stage in stages.values():
                    stage.flush()
            if idle:
                if parent.leave.is_set() and following.is_drained():
                    break
                following.wait(_IDLE_S)
        _report(parent, following, records_count)
    following.close()
    for stage in stages.values():
        stage.close()
    return 0


def _report(parent: Parent, following: Following, records_count: int) -> None:
    behind = {feed: reader.behind_bytes() for feed, reader in following.readers.items()}
    parent.tell("statistics", records=records_count, behind_bytes=behind)
