"""Latency from socket read to each stage: percentiles of all entries, the slowest with their cause.

An entry that waited behind others counts its whole wait (no coordinated omission), and what cannot
be measured is counted apart and never guessed.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ticktape.latency.blockindex import BlockIndex
from ticktape.latency.histogram import Histogram
from ticktape.latency.join import first_stamps
from ticktape.latency.pauselog import PauseKind
from ticktape.latency.rowreading import boot_words
from ticktape.latency.stagelog import STAGES
from ticktape.records import Position

NS_PER_US: Final = 1_000
WORST_COUNT: Final = 100


class Pause(NamedTuple):
    """A pause that overlaps a slow batch, and by how much."""

    kind: PauseKind
    process: str
    start_mono_ns: int
    duration_ns: int
    overlap_ns: int


class SlowBatch(msgspec.Struct, frozen=True, kw_only=True):
    """The slowest block of one batch: where it is, how long it took, what happened meanwhile."""

    stage: str
    feed: str
    position: Position
    seq: int
    recv_mono_ns: int
    latency_ns: int
    batch_count: int
    boot_id: bytes
    pauses: tuple[Pause, ...] = ()

    @property
    def why(self) -> str:
        """The likeliest cause in words: a pause of at least half the time, or the batch's size."""
        if self.pauses and 2 * self.pauses[0].overlap_ns >= self.latency_ns:
            pause = self.pauses[0]
            microseconds = pause.duration_ns / NS_PER_US
            return f"{pause.kind.name} pause of {microseconds:.0f} µs in {pause.process}"
        if self.batch_count > 1:
            return f"one of a batch of {self.batch_count}"
        return "no pause seen"


class StageStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Entries and rows of a stage that the percentiles do not show.

    All entries = measured + unreached + impossible.
    """

    measured: int = 0
    unreached: int = 0  # entries without a stamp: not there yet, lost with a process, or other boot
    impossible: int = 0  # entries stamped before they were received: a damaged row
    other_boot_rows: int = 0


class LatencyReport:
    """Collects feeds, and parts of a feed, and gives one table for all of them.

    `worst_count` bounds how many slow batches per stage are kept.
    """

    def __init__(self, worst_count: int = WORST_COUNT) -> None:
        self._worst_count = worst_count
        self._histograms: dict[str, Histogram] = {}
        self._statistics: dict[str, StageStatistics] = {}
        self._slow: dict[str, list[SlowBatch]] = {}

    def add(self, index: BlockIndex, stages: Mapping[str, npt.NDArray[np.void]]) -> None:
        """Add the blocks of `index` with the rows per stage (`stagelog.read_stages`) of its feed.

        A feed may come in parts, each block in one part only; rows may be given again with each.
        """
        for stage, rows in stages.items():
            self._add_stage(index, stage, rows)

    def _add_stage(self, index: BlockIndex, stage: str, rows: npt.NDArray[np.void]) -> None:
        stamps = first_stamps(index, rows)
        reached = np.flatnonzero(stamps.row >= 0)
        latency_ns = rows["mono_ns"][stamps.row[reached]] - index.recv_mono_ns[reached]
        is_possible = latency_ns >= 0
        impossible = int(index.count[reached[~is_possible]].sum())
        reached, latency_ns = reached[is_possible], latency_ns[is_possible]
        counts = index.count[reached]
        measured = int(counts.sum())
        self._histograms.setdefault(stage, Histogram()).record(latency_ns, counts)
        old = self._statistics.get(stage, StageStatistics())
        self._statistics[stage] = StageStatistics(
            measured=old.measured + measured,
            unreached=old.unreached + int(index.count.sum()) - measured - impossible,
            impossible=old.impossible + impossible,
            other_boot_rows=old.other_boot_rows + stamps.other_boot_rows,
        )
        self._keep_slow(index, stage, rows, reached, stamps.row[reached], latency_ns)

    def _keep_slow(
        self,
        index: BlockIndex,
        stage: str,
        rows: npt.NDArray[np.void],
        blocks: npt.NDArray[np.intp],
        block_rows: npt.NDArray[np.int64],
        latency_ns: npt.NDArray[np.int64],
    ) -> None:
        slow = self._slow.setdefault(stage, [])
        seen: set[int] = set()
        for at in np.argsort(-latency_ns, kind="stable"):
            if len(seen) == self._worst_count:
                break
            row, block = int(block_rows[at]), int(blocks[at])
            # One line per batch: else a single stall would fill the list with all of its blocks.
            if row in seen or index.count[block] == 0:
                continue
            seen.add(row)
            epoch = int(index.epoch[block])
            slow.append(
                SlowBatch(
                    stage=stage,
                    feed=index.feed,
                    position=Position(epoch, int(index.offset[block])),
                    seq=int(index.seq[block]),
                    recv_mono_ns=int(index.recv_mono_ns[block]),
                    latency_ns=int(latency_ns[at]),
                    batch_count=int(rows["count"][row]),
                    boot_id=index.boots[epoch],
                )
            )
        slow.sort(key=lambda batch: -batch.latency_ns)
        del slow[self._worst_count :]

    def to_dict(self) -> dict[str, dict[str, float | int | None]]:
        """`recv_to_<stage>` -> p50, p99, p999, max in µs (None: nothing measured), and count."""
        return {
            f"recv_to_{stage}": self._histograms[stage].to_dict(NS_PER_US)
            for stage in self._stages()
        }

    def histogram(self, stage: str) -> Histogram:
        """The histogram of a stage, empty when nothing was added."""
        return self._histograms.get(stage, Histogram())

    def statistics(self) -> dict[str, StageStatistics]:
        """What was measured and what was left out, per stage."""
        return {stage: self._statistics[stage] for stage in self._stages()}

    def worst(self, count: int, pauses: npt.NDArray[np.void] | None = None) -> list[SlowBatch]:
        """The `count` slowest batches of each stage, slowest first, stages in their order.

        Per stage, because else the slow ones (stored: seconds) would hide the fast ones. Each is
        named by its slowest block. `pauses` (`pauselog.read_pauses`) that overlap the time from
        socket read to stage are attached, the longest overlap first.
        """
        found = [batch for stage in self._stages() for batch in self._slow[stage][:count]]
        if pauses is None:
            return found
        return [
            msgspec.structs.replace(batch, pauses=_overlapping(batch, pauses)) for batch in found
        ]

    def _stages(self) -> list[str]:
        known = [stage for stage in STAGES if stage in self._histograms]
        return known + sorted(set(self._histograms).difference(STAGES))


def _overlapping(batch: SlowBatch, pauses: npt.NDArray[np.void]) -> tuple[Pause, ...]:
    start_ns, end_ns = batch.recv_mono_ns, batch.recv_mono_ns + batch.latency_ns
    ends_ns = pauses["start_mono_ns"] + pauses["duration_ns"]
    overlap_ns = np.minimum(ends_ns, end_ns) - np.maximum(pauses["start_mono_ns"], start_ns)
    is_same_boot = (pauses["boot"] == boot_words(batch.boot_id)).all(axis=1)
    known = np.isin(pauses["kind"], [int(kind) for kind in PauseKind])
    chosen = np.flatnonzero((overlap_ns > 0) & is_same_boot & known)
    found = [
        Pause(
            PauseKind(int(pauses["kind"][at])),
            bytes(pauses["process"][at]).decode(errors="ignore"),
            int(pauses["start_mono_ns"][at]),
            int(pauses["duration_ns"][at]),
            int(overlap_ns[at]),
        )
        for at in chosen
    ]
    return tuple(sorted(found, key=lambda pause: -pause.overlap_ns))
