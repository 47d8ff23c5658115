"""Follows a journal from a position of the reader's own; live and replay are the same code.

A reader never writes to the journal and never makes the writer wait. Damage costs the damaged
block: the reader finds the next true header, goes on, and lists what it passed over.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from ticktape.errors import Corrupt
from ticktape.journal.blocks import BadBlock, Block, Damage, parse_block
from ticktape.journal.disk import read_at
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.journal.positions import Positions
from ticktape.journal.segments import Segment, list_segments, resync
from ticktape.journal.wakeup import Sleeper
from ticktape.records import Position

CHUNK_BYTES = 1 << 20  # one pread; a larger block is read whole
_BINARY = getattr(os, "O_BINARY", 0)
_NO_LIMIT = 1 << 63


class Reader:
    """Reads a journal's blocks in order.

    Args:
        directory: the journal's folder; it may not exist yet.
        positions_path: the writer's mapped positions; None reads what is in the files, to their
        end. start: the first block wanted is the one at or after this position.
        synced: read only what survives power loss (for readers that make something durable).
    """

    def __init__(
        self,
        directory: Path,
        positions_path: Path | None,
        start: Position = Position(0, 0),  # noqa: B008 - immutable
        *,
        synced: bool = False,
    ) -> None:
        self.directory = directory
        self.position = start
        self.damage: list[Damage] = []
        self._positions_path = positions_path
        self._positions: Positions | None = None
        self._synced = synced
        self._segment: Segment | None = None
        self._descriptor = -1
        self._nonce = b""
        self._expected_seq: int | None = None
        self._seen = (-1, -1)

    # Reading.

    def read(self, max_bytes: int = CHUNK_BYTES) -> list[Block]:
        """The next blocks, about `max_bytes` of them at most; an empty list when there are none."""
        while True:
            live_epoch, limit, live_base = self._limit()
            self._seen = (live_epoch, limit)
            if self._segment is None and not self._open_at_position():
                return []
            segment = self._segment
            assert segment is not None
            # A segment is final when its writer's epoch is over, or the writer has gone on to the
            # next; that is asked before the bytes are read, so that none can be missed.
            final = segment.epoch != live_epoch or live_base != segment.base
            end = _NO_LIMIT if final or live_epoch < 0 else limit
            blocks = self._read_segment(segment, end, max_bytes, final=final)
            if blocks:
                return blocks
            if not final or not self._open_next(segment):
                return []

    def read_until(self, end: Position, max_bytes: int = CHUNK_BYTES) -> list[Block]:
        """As `read`, but only blocks that begin before `end`."""
        blocks = self.read(max_bytes)
        if blocks and blocks[-1].position >= end:
            blocks = [block for block in blocks if block.position < end]
            if not blocks or blocks[-1].end >= end:
                self.seek(end)
        return blocks

    def seek(self, position: Position) -> None:
        """Go on from another position."""
        self.position = position
        self._close_segment()
        self._expected_seq = None

    def read_files(self) -> None:
        """Go over to the files themselves, to their end; for when the writer is gone."""
        self._positions_path = None
        if self._positions is not None:
            self._positions.close()
            self._positions = None

    def _limit(self) -> tuple[int, int, int]:
        if self._positions_path is None:
            return -1, _NO_LIMIT, -1
        if self._positions is None:
            self._positions = Positions.for_reader(self._positions_path)
            if self._positions is None:
                return -1, _NO_LIMIT, -1
        return self._positions.limit(synced=self._synced)

    def _read_segment(
        self, segment: Segment, end: int, max_bytes: int, *, final: bool
    ) -> list[Block]:
        offset = self.position.offset
        want = min(max_bytes, end - offset)
        while want > 0:
            chunk = read_at(self._descriptor, want, offset - segment.base)
            blocks, bad = self._parse(chunk, segment.epoch, offset)
            if blocks:
                self.position = blocks[-1].end
                return blocks
            if bad is None:
                return []
            if bad.short and len(chunk) == want and bad.need_bytes > want:
                want = min(bad.need_bytes, end - offset)
                if want > len(chunk):
                    continue
            if bad.short and not final and end == _NO_LIMIT:
                return []  # no writer known: the rest of this block may still come
            if not self._pass_damage(segment, end, offset, bad):
                return []
            offset = self.position.offset
            want = min(max_bytes, end - offset)
        return []

    def _parse(self, chunk: bytes, epoch: int, offset: int) -> tuple[list[Block], BadBlock | None]:
        blocks: list[Block] = []
        at, nonce, length = 0, self._nonce, len(chunk)
        while at < length:
            parsed = parse_block(chunk, at, epoch, offset + at, nonce)
            if isinstance(parsed, BadBlock):
                return blocks, parsed
            if self._expected_seq is not None and parsed.seq > self._expected_seq:
                self._note_lost(parsed)
            self._expected_seq = parsed.seq + parsed.count
            blocks.append(parsed)
            at = parsed.end_offset - offset
        return blocks, None

    def _note_lost(self, block: Block) -> None:
        """The first good block after damage says how many entries were lost in it."""
        assert self._expected_seq is not None
        lost = block.seq - self._expected_seq
        if self.damage and self.damage[-1].entries is None:
            self.damage[-1] = self.damage[-1]._replace(entries=lost)

    def _pass_damage(self, segment: Segment, end: int, offset: int, bad: BadBlock) -> bool:
        """Step over bytes that are no block; False when the rest of the segment is none."""
        stop = min(end, segment.base + segment.size_bytes())
        at = offset + 1
        while at < stop:
            chunk = read_at(self._descriptor, min(4 * CHUNK_BYTES, stop - at), at - segment.base)
            found = resync(chunk, 0, at, self._nonce)
            if found is not None:
                self._add_damage(segment, offset, at + found - offset, bad.entries, torn=False)
                self.position = Position(segment.epoch, at + found)
                return True
            if len(chunk) < 128:
                break
            at += len(chunk) - 63  # a header may straddle the chunks
        if stop > offset:
            self._add_damage(segment, offset, stop - offset, bad.entries, torn=True)
            self.position = Position(segment.epoch, stop)
        return False

    def _add_damage(
        self, segment: Segment, offset: int, count_bytes: int, entries: int | None, *, torn: bool
    ) -> None:
        self.damage.append(Damage(segment.epoch, offset, count_bytes, entries, torn))
        if entries is not None and self._expected_seq is not None:
            self._expected_seq += entries

    # Segments.

    def _open_at_position(self) -> bool:
        """Open the segment that holds `position`, or the first behind it."""
        segments = list_segments(self.directory)
        chosen: Segment | None = None
        for segment in segments:
            if (segment.position <= self.position and segment.epoch == self.position.epoch) or (
                segment.position > self.position and chosen is None
            ):
                chosen = segment
        if chosen is not None and chosen.position <= self.position:
            end = chosen.base + chosen.size_bytes()
            later = [segment for segment in segments if segment > chosen]
            if self.position.offset >= end and later:
                if self.position.offset > end:
                    # A power cut took what we had read: what was made of it is suspect.
                    lost = self.position.offset - end
                    self.damage.append(Damage(chosen.epoch, end, lost, None, torn=False))
                chosen = later[0]
        return chosen is not None and self._open(chosen)

    def _open_next(self, segment: Segment) -> bool:
        for candidate in list_segments(self.directory):
            if candidate > segment:
                self._close_segment()
                return self._open(candidate)
        return False

    def _open(self, segment: Segment) -> bool:
        try:
            header = segment.header()
        except Corrupt:
            return self._skip_headless(segment)
        self._descriptor = os.open(segment.path, os.O_RDONLY | _BINARY)
        self._nonce = header.nonce
        self._segment = segment
        first = Position(segment.epoch, segment.base + SEGMENT_HEADER_BYTES)
        self.position = max(self.position, first)
        return True

    def _skip_headless(self, segment: Segment) -> bool:
        """A segment without a true header: all of it is damage, unless it is just being made."""
        later = [candidate for candidate in list_segments(self.directory) if candidate > segment]
        if not later:
            return False
        size = segment.size_bytes()
        if size:
            self.damage.append(Damage(segment.epoch, segment.base, size, None, torn=False))
        return self._open(later[0])

    def _close_segment(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._segment = None

    # Waiting.

    def seen(self) -> tuple[Positions, int, int, bool] | None:
        """What this reader has seen of the writer's positions, for `Sleeper.sleep`."""
        if self._positions is None:
            return None
        return self._positions, self._seen[0], self._seen[1], self._synced

    def behind_bytes(self) -> int:
        """Bytes of the live epoch between this reader and its gate; 0 when no writer is known."""
        epoch, limit, _ = self._limit()
        if epoch < 0 or limit == _NO_LIMIT:
            return 0
        if self.position.epoch != epoch:
            return limit
        return max(0, limit - self.position.offset)

    def close(self) -> None:
        """Close the file and the mapping; may be called twice."""
        self._close_segment()
        if self._positions is not None:
            self._positions.close()
            self._positions = None

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_any(readers: Sequence[Reader], sleeper: Sleeper, timeout_s: float) -> None:
    """Sleep until one of `readers` may have something new, at most `timeout_s` (and 20 ms)."""
    seen = []
    for reader in readers:
        known = reader.seen()
        if known is not None:
            sleeper.watch(known[0])
            seen.append(known)
    sleeper.sleep(seen, timeout_s)
