"""Rate, lag and latency of the stages from their rows and from sampled headers of the journals.

A recorder at full speed writes a row per block: of each feed a bounded sample of blocks is looked
at, one header of 64 bytes each, so that the page costs the same at any rate.
"""

from bisect import bisect_right
from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from ticktape import clock
from ticktape.checksum import crc32
from ticktape.dashboard.timeline import FINAL_S, Rows, Timeline
from ticktape.directory import RunDirectory
from ticktape.errors import Corrupt
from ticktape.journal.format import BLOCK_HEADER, BLOCK_HEADER_BYTES
from ticktape.journal.segments import OpenSegment, Segment, list_segments
from ticktape.latency import STAGES, BlockIndex
from ticktape.latency.join import first_stamps
from ticktape.replay.dashboard_rows import NewRows, StageTails

SAMPLE_MAX: Final = 400  # headers of one feed looked at in one pass: a millisecond
_FIRST_SAMPLE_MAX: Final = 10_000  # of the past, when the page is opened
_KEPT_MAX: Final = 20_000
_KEPT_NS: Final = 120 * clock.NS_PER_S
_WRITTEN: Final = STAGES[1]
_HEADER_CRC_AT: Final = BLOCK_HEADER_BYTES - 4

Ints = npt.NDArray[np.int64]


class HeaderReader:
    """Reads single block headers of one feed's journal, at positions known to be blocks."""

    def __init__(self, directory: RunDirectory, feed: str) -> None:
        self._folder = directory.feed_journal(feed)
        self._segments: list[Segment] = []
        self._open: Segment | None = None
        self._opened: OpenSegment | None = None

    def read(self, epoch: int, offset: int) -> tuple[int, ...] | None:
        """(epoch, offset, end, recv_mono_ns, count, seq, recv_ns) of a block; None for no block."""
        known = self._find(epoch, offset)
        found = None if known is None else self._header(known, epoch, offset)
        if found is None and (known is None or known == self._segments[-1]):
            # The newest segment may have a successor since.
            self._segments = list_segments(self._folder)
            known = self._find(epoch, offset)
            found = None if known is None else self._header(known, epoch, offset)
        return found

    def _header(self, segment: Segment, epoch: int, offset: int) -> tuple[int, ...] | None:
        try:
            raw = self._file(segment).read_at(BLOCK_HEADER_BYTES, offset - segment.base)
        except OSError:
            return None
        if len(raw) < BLOCK_HEADER_BYTES:
            return None
        _, at, seq, recv_ns, mono_ns, body_bytes, count, _, _, _, crc = BLOCK_HEADER.unpack(raw)
        if at != offset or crc != crc32(raw[:_HEADER_CRC_AT]):
            return None
        end = offset + BLOCK_HEADER_BYTES + body_bytes
        return epoch, offset, end, mono_ns, count, seq, recv_ns

    def _find(self, epoch: int, offset: int) -> Segment | None:
        at = bisect_right(self._segments, (epoch, offset), key=lambda one: (one.epoch, one.base))
        segment = self._segments[at - 1] if at else None
        return segment if segment is not None and segment.epoch == epoch else None

    def _file(self, segment: Segment) -> OpenSegment:
        if self._opened is None or segment != self._open:
            self.close()
            self._opened = segment.open()
            self._open = segment
        return self._opened

    def boot_id(self, epoch: int) -> bytes | None:
        """The boot of an epoch; None when its header is damaged or gone."""
        for segment in self._segments:
            if segment.epoch == epoch:
                try:
                    return segment.header().boot_id
                except (OSError, Corrupt):
                    return None
        return None

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._opened is not None:
            self._opened.close()
        self._opened = self._open = None


def block_index(feed: str, blocks: Ints, boots: Mapping[int, bytes]) -> BlockIndex:
    """An index of blocks whose rows begin as `HeaderReader.read` gives them.

    Raises:
        ValueError: they are not in reading order.
    """
    epoch, offset, end_offset, mono_ns, count, seq = np.ascontiguousarray(blocks[:, :6].T)
    return BlockIndex(feed, epoch, offset, end_offset, mono_ns, count, seq, boots)


class _Feed:
    """Sampled blocks of one feed, and which stages they have reached."""

    def __init__(self, directory: RunDirectory, feed: str) -> None:
        self.feed = feed
        self.headers = HeaderReader(directory, feed)
        self.blocks: Ints = np.empty((0, 6), dtype=np.int64)
        self.reached: dict[str, npt.NDArray[np.bool_]] = {}
        self.boots: dict[int, bytes] = {}
        self.wall_less_mono: dict[bytes, int] = {}
        self.heard_ns = 0
        self._is_first = True
        # The ends of all written blocks that came lately, and how many entries there were by then.
        self._ends: Ints = np.empty((0, 3), dtype=np.int64)

    def sample(self, new: NewRows) -> None:
        """Look at some of the blocks that were written."""
        limit = _FIRST_SAMPLE_MAX if self._is_first else SAMPLE_MAX
        self._is_first = False
        chosen = np.unique(np.linspace(0, len(new.rows) - 1, min(limit, len(new.rows)), dtype=int))
        rows = new.rows[chosen]
        found = []
        for epoch, offset in zip(rows["epoch"].tolist(), rows["from_offset"].tolist(), strict=True):
            header = self.headers.read(epoch, offset)
            if header is not None:
                found.append(header[:6])
                self.wall_less_mono[new.boot_id] = header[6] - header[3]
                self.heard_ns = max(self.heard_ns, header[6])
                self.boots.setdefault(epoch, new.boot_id)
        self._keep(np.array(found, dtype=np.int64).reshape(-1, 6))
        self._count(new.rows)

    def _keep(self, found: Ints) -> None:
        last = tuple(self.blocks[-1, :2]) if len(self.blocks) else (-1, -1)
        if len(found) and tuple(found[0, :2]) <= last:
            self.blocks, self.reached = self.blocks[:0], {}  # of an older process; begin again
        self.blocks = np.concatenate([self.blocks, found])
        first = max(0, len(self.blocks) - _KEPT_MAX)
        if len(self.blocks):
            old_ns = self.blocks[-1, 3] - _KEPT_NS
            # The past that is read at once may be older; its stages' rows come with the same pass.
            first = max(first, int(np.searchsorted(self.blocks[:, 3], old_ns)))
        self.blocks = self.blocks[first:]
        for stage, reached in self.reached.items():
            grown = np.concatenate([reached, np.zeros(len(found), dtype=bool)])
            self.reached[stage] = grown[first:]

    def _count(self, rows: npt.NDArray[np.void]) -> None:
        before = self._ends[-1, 2] if len(self._ends) else 0
        more = np.stack(
            [rows["epoch"], rows["to_offset"], before + np.cumsum(rows["count"])], axis=1
        )
        self._ends = np.concatenate([self._ends, more])[-200_000:]

    def entries(self, rows: npt.NDArray[np.void]) -> Ints:
        """Entries of each row; of `synced`, which does not count them, by the blocks written."""
        counts: Ints = rows["count"].copy()
        for epoch in np.unique(rows["epoch"][counts == 0]).tolist():
            ends = self._ends[self._ends[:, 0] == epoch]
            if len(ends):
                of = (rows["epoch"] == epoch) & (counts == 0)
                to = np.interp(rows["to_offset"][of], ends[:, 1], ends[:, 2])
                begin = np.interp(rows["from_offset"][of], ends[:, 1], ends[:, 2])
                counts[of] = (to - begin).astype(np.int64)
        return counts

    def latencies(self, new: NewRows) -> tuple[Ints, Ints, Ints] | None:
        """(stamp, latency in ns, entries) of the sampled blocks that reached a stage first now."""
        reached = self.reached.setdefault(new.stage, np.zeros(len(self.blocks), dtype=bool))
        waiting = np.flatnonzero(~reached)
        if not len(waiting):
            return None
        try:
            index = block_index(self.feed, self.blocks[waiting], self.boots)
        except ValueError:
            self.blocks, self.reached = self.blocks[:0], {}
            return None
        stamps = first_stamps(index, new.rows).row
        there = np.flatnonzero(stamps >= 0)
        reached[waiting[there]] = True
        mono_ns = new.rows["mono_ns"][stamps[there]]
        latency_ns = mono_ns - index.recv_mono_ns[there]
        possible = latency_ns >= 0
        return mono_ns[possible], latency_ns[possible], index.count[there[possible]]

    def lags_ns(self, now_ns: int, boot_id: bytes) -> dict[str, int]:
        """Stage -> how long the first block behind all that reached it has been waiting."""
        lags = {}
        for stage, reached in self.reached.items():
            there = np.flatnonzero(reached)
            first = int(there[-1]) + 1 if len(there) else 0
            if first < len(self.blocks):
                block = self.blocks[first]
                is_ours = self.boots.get(int(block[0])) == boot_id
                lags[stage] = max(0, now_ns - int(block[3])) if is_ours else 0
            else:
                lags[stage] = 0
        return lags


class StageReader:
    """Keeps a `Timeline` of a run up to date."""

    def __init__(self, directory: RunDirectory) -> None:
        self._directory = directory
        self._tails = StageTails(directory.stages)
        self._feeds: dict[str, _Feed] = {}
        self.timeline = Timeline(STAGES[1:])
        own = clock.wall_now_ns() - clock.monotonic_ns()
        self._own_boot = (clock.boot_id(), own)

    @property
    def heard_ns(self) -> Mapping[str, int]:
        """Feed -> when the newest block that was looked at was received."""
        return {name: feed.heard_ns for name, feed in self._feeds.items() if feed.heard_ns}

    def read(self) -> None:
        """Take in the rows that are new."""
        for new in self._tails.read():
            feed = self._feeds.get(new.feed)
            if feed is None:
                feed = self._feeds[new.feed] = _Feed(self._directory, new.feed)
            if new.stage == _WRITTEN:
                feed.sample(new)
            offset = feed.wall_less_mono.get(new.boot_id)
            if offset is None and new.boot_id == self._own_boot[0]:
                offset = self._own_boot[1]
            if offset is None:
                continue  # of another boot, and no block says how its clock stood
            self._add(feed, new, offset)

    def _add(self, feed: _Feed, new: NewRows, offset: int) -> None:
        rows = new.rows
        seconds = (rows["mono_ns"] + offset) // clock.NS_PER_S
        self.timeline.add_rows(
            new.stage,
            new.feed,
            Rows(seconds, feed.entries(rows), rows["epoch"], rows["to_offset"]),
        )
        found = feed.latencies(new)
        if found is not None and len(found[0]):
            mono_ns, latency_ns, weights = found
            stamped = (mono_ns + offset) // clock.NS_PER_S
            self.timeline.add_latency(new.stage, stamped, latency_ns, weights)

    def points(
        self, now_ns: int, *, is_live: bool
    ) -> tuple[list[list[object]], list[list[object]]]:
        """Points of rate and lag, and of latency, that have become final."""
        newest = max(self.heard_ns.values(), default=0)
        # What nobody adds to any more is final to its end, and nothing is drawn behind it.
        until_ns = now_ns if is_live else min(now_ns, newest + 10 * clock.NS_PER_S)
        until_s = until_ns // clock.NS_PER_S - FINAL_S
        return self.timeline.points(until_s), self.timeline.latency_points(until_s)

    def lag_s(self) -> dict[str, float]:
        """Stage -> how long the oldest block that has not reached it waits, over all feeds.

        Only of this boot, for a run that is live.
        """
        now_ns = clock.monotonic_ns()
        found: dict[str, float] = {}
        for feed in self._feeds.values():
            for stage, lag_ns in feed.lags_ns(now_ns, self._own_boot[0]).items():
                found[stage] = max(found.get(stage, 0.0), lag_ns / clock.NS_PER_S)
        return found

    def close(self) -> None:
        """Close the journals; may be called twice."""
        for feed in self._feeds.values():
            feed.headers.close()
