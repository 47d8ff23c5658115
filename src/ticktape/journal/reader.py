"""Follows a journal from a position of the reader's own; live and replay are the same code.

A reader never writes to the journal and never makes the writer wait. Damage costs the damaged
block: the reader finds the next true header, goes on, and lists what it passed over.
"""

from collections.abc import Sequence
from pathlib import Path

from ticktape.journal.blocks import BadBlock, Block, TrueHeader, parse_blocks, parse_lone, resync
from ticktape.journal.damage import Damage, DamageList
from ticktape.journal.format import BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES
from ticktape.journal.positions import BASE_INDEX, EPOCH_INDEX, GATE_INDEXES, Positions
from ticktape.journal.segments import (
    OpenSegment,
    Segment,
    find_segment,
    list_segments,
    read_first_block,
    read_opening,
)
from ticktape.journal.wakeup import SLEEP_S_MAX, Seen, Sleeper
from ticktape.records import Position

CHUNK_BYTES = 1 << 20  # one read; a larger block is read whole
_RESYNC_BYTES = 4 << 20
_NO_LIMIT = 1 << 63
_UNKNOWN = -1  # epoch: no writer of this boot is known


class Reader:
    """Reads a journal's blocks in order.

    Args:
        directory: the journal's folder; it may not exist yet.
        positions_path: the writer's mapped positions; None reads what is in the files, to their
            end, and is for when the writer is gone.
        start: the first block wanted is the one at this position, or the first behind it.
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
        self._epoch, self._offset = start
        self._positions_path = positions_path
        self._positions: Positions | None = None
        self._synced = synced
        self._segment: Segment | None = None
        self._next: Segment | None = None
        self._file: OpenSegment | None = None
        self._nonce = b""
        self._damage = DamageList()
        self._seen_epoch, self._seen_offset = _UNKNOWN, 0
        self._is_live = False
        # The writer's words while blocks of the segment that it writes are being read.
        self._live: memoryview | None = None
        self._base = 0  # of that segment
        self._gate = GATE_INDEXES[synced]

    @property
    def position(self) -> Position:
        """Where it goes on: behind the last block that `read` gave, or behind damage."""
        return Position(self._epoch, self._offset)

    @property
    def damage(self) -> list[Damage]:
        """What was passed over so far, in reading order; the reader's own list."""
        return self._damage.found

    # Reading.

    def read(self, max_bytes: int = CHUNK_BYTES) -> list[Block]:
        """The next blocks, about `max_bytes` of them at most; an empty list when there are none."""
        words = self._live
        if words is not None:
            # What most calls come to, with no call that can be spared: a strategy waits for this.
            # In this order, as `Positions.limit`; this epoch has been the writer's before.
            end = words[self._gate]
            epoch = self._epoch
            if words[BASE_INDEX] == self._base and words[EPOCH_INDEX] == epoch:
                self._seen_epoch, self._seen_offset = epoch, end
                offset = self._offset
                if offset >= end:
                    return []
                file, want = self._file, end - offset
                if file is not None and want <= max_bytes:
                    chunk = file.read_at(want, offset - self._base)
                    lone = parse_lone(chunk, epoch, offset, self._nonce)
                    if lone is not None:
                        self._offset = lone.end_offset
                        self._damage.resume(lone, lone.seq + lone.count)
                        return [lone]
                    blocks, bad = parse_blocks(chunk, epoch, offset, self._nonce)
                    if blocks and bad is None:
                        last = blocks[-1]
                        self._offset = last.end_offset
                        self._damage.resume(blocks[0], last.seq + last.count)
                        return blocks
        return self._read_anew(max_bytes)

    def _read_anew(self, max_bytes: int) -> list[Block]:
        """As `read`, wherever it stands and whatever it finds there."""
        while True:
            # Asked before the bytes are read, so that none of a finished segment can be missed.
            epoch, limit, base = self._ask_writer()
            self._seen_epoch, self._seen_offset = epoch, limit
            if self._segment is None and not self._open_at_position():
                return []
            segment = self._segment
            assert segment is not None
            end = limit if segment.epoch == epoch else self._readable_end(segment, epoch)
            self._is_live = segment.epoch == epoch and segment.base == base
            if self._offset < end:
                blocks = self._read_segment(segment, end, max_bytes)
                if blocks:
                    if self._is_live and self._positions is not None:
                        self._live, self._base = self._positions.words, base
                    return blocks
            finished = self._is_finished(segment, epoch, limit, base)
            if not finished or not self._open_next(segment):
                return []

    def read_until(self, end: Position, max_bytes: int = CHUNK_BYTES) -> list[Block]:
        """As `read`, but only blocks that begin before `end`; nothing further is read or listed."""
        if self.position >= end:
            return []
        if self._epoch == end.epoch:
            max_bytes = min(max_bytes, end.offset - self._offset)
        blocks = self.read(max_bytes)
        wanted = [block for block in blocks if block.position < end]
        if len(wanted) < len(blocks):
            self.seek(blocks[len(wanted)].position)
        return wanted

    def seek(self, position: Position) -> None:
        """Go on from another position."""
        self._epoch, self._offset = position
        self._close_segment()
        self._damage.forget_seq()

    def read_files(self) -> None:
        """Go over to the files themselves, to their end; for when the writer is gone."""
        self._positions_path = self._live = None
        if self._positions is not None:
            self._positions.close()
            self._positions = None

    def _ask_writer(self) -> tuple[int, int, int]:
        """How far we may read: (epoch, offset in it, base of its newest segment)."""
        if self._positions is None and self._positions_path is not None:
            self._positions = Positions.for_reader(self._positions_path)
        if self._positions is None:
            return _UNKNOWN, _NO_LIMIT, -1
        return self._positions.limit(synced=self._synced)

    def _readable_end(self, segment: Segment, epoch: int) -> int:
        """How far a segment may be read that is not of the writer's epoch."""
        if self._positions_path is None or segment.epoch < epoch:
            return _NO_LIMIT
        if epoch == _UNKNOWN:
            # What a dead writer left is readable, but only a new one makes sure that it is synced.
            return 0 if self._synced else _NO_LIMIT
        return 0  # of a later epoch, whose writer is not known yet

    def _is_finished(self, segment: Segment, epoch: int, limit: int, base: int) -> bool:
        """Whether nothing will ever be added to the segment, and all of it may be read."""
        if segment.epoch == epoch:
            if segment.base == base:
                return False
            following = self._following(segment)
            return following is not None and following.epoch == epoch and following.base <= limit
        if self._positions_path is None or segment.epoch < epoch:
            return True
        return epoch == _UNKNOWN and not self._synced

    def _read_segment(self, segment: Segment, end: int, max_bytes: int) -> list[Block]:
        file = self._opened()
        want = min(max_bytes, end - self._offset)
        while want > 0:
            offset = self._offset
            chunk = file.read_at(want, offset - segment.base)
            blocks, bad = parse_blocks(chunk, segment.epoch, offset, self._nonce)
            if blocks and not self._is_live and self._is_rewritten(segment, blocks[-1]):
                last = blocks.pop()
                bad = BadBlock(TrueHeader(last.seq, last.count, len(last.body)), False, 0)
            if blocks:
                last = blocks[-1]
                self._offset = last.end_offset
                self._damage.resume(blocks[0], last.seq + last.count)
                return blocks
            if bad is None:
                return []
            if bad.short and len(chunk) == want and want < min(bad.need_bytes, end - offset):
                want = min(bad.need_bytes, end - offset, file.size())
                continue
            if self._may_grow(segment, bad) or not self._pass_damage(segment, end, bad):
                return []
            want = min(max_bytes, end - self._offset)
        return []

    def _is_rewritten(self, segment: Segment, block: Block) -> bool:
        """Whether a disk refused this block although it took it: then the next segment has it."""
        if block.end_offset < segment.base + self._opened().size():
            return False  # after a refusal nothing more was written there
        for each in list_segments(self.directory):
            if each.epoch == segment.epoch and each.base > segment.base:
                # Its header does not tell: the writer may have died before it wrote the block.
                first = read_first_block(each)
                if first is not None:
                    return first.seq <= block.seq
        return False

    def _may_grow(self, segment: Segment, bad: BadBlock) -> bool:
        """Whether the rest of a block may still come: it is the last, and no writer is known."""
        return (
            bad.short
            and self._positions_path is not None
            and self._positions is None
            and self._following(segment) is None
        )

    def _pass_damage(self, segment: Segment, end: int, bad: BadBlock) -> bool:
        """Step over bytes that are no block; False when the rest of the segment is none."""
        offset, file = self._offset, self._opened()
        stop = min(end, segment.base + file.size())
        at = offset + 1
        while at < stop:
            chunk = file.read_at(min(_RESYNC_BYTES, stop - at), at - segment.base)
            found = resync(chunk, 0, at, self._nonce)
            if found is not None:
                self._skip_to(segment, at + found, bad, torn=False)
                return True
            # A header may straddle the chunks.
            at += max(len(chunk) - BLOCK_HEADER_BYTES + 1, 1)
            if len(chunk) < BLOCK_HEADER_BYTES:
                break
        if stop > offset:
            self._skip_to(segment, stop, bad, torn=True)
        return False

    def _skip_to(self, segment: Segment, offset: int, bad: BadBlock, *, torn: bool) -> None:
        start = self._offset
        self._damage.pass_over(segment.epoch, start, offset - start, bad.header, torn=torn)
        self._epoch, self._offset = segment.epoch, offset

    # Segments.

    def _open_at_position(self) -> bool:
        """Open the segment that holds `position`, or the first behind it."""
        segment = find_segment(self.directory, self.position)
        if segment is None:
            return False
        if segment.position > self.position and self._offset > 0:
            self._note_fallen_off(segment)
        return self._open(segment)

    def _note_fallen_off(self, first: Segment) -> None:
        """List that what stood here was deleted, up to the first segment that is there."""
        epoch, offset = self._epoch, self._offset
        gone_bytes = first.base - offset if first.epoch == epoch else 0
        self._damage.miss(epoch, offset, gone_bytes)
        self._epoch, self._offset = first.position

    def _following(self, segment: Segment) -> Segment | None:
        """The segment behind the one in hand; once there is one, it does not change."""
        if self._next is None:
            self._next = next(
                (each for each in list_segments(self.directory) if each > segment), None
            )
        return self._next

    def _open_next(self, segment: Segment) -> bool:
        following = self._following(segment)
        if following is None:
            return False
        self._note_end(segment, following)
        self._close_segment()
        self._epoch, self._offset = following.position
        return self._open(following)

    def _note_end(self, segment: Segment, following: Segment) -> None:
        """List what is not there between a segment's end and the next one."""
        try:
            end = segment.base + segment.size_bytes()
        except FileNotFoundError:
            end = segment.base + self._opened().size()  # retention took it: it is still open
        if self._offset > end:
            # A power cut took what we had read: what was made of it is suspect.
            self._damage.miss(segment.epoch, end, self._offset - end)
        elif following.epoch == segment.epoch and following.base > end:
            # A segment between them is gone.
            self._damage.miss(segment.epoch, end, following.base - end)

    def _open(self, segment: Segment) -> bool:
        """Open a segment; False when there is nothing to read in it yet."""
        try:
            header, nonce = read_opening(segment)
            file = segment.open()
        except FileNotFoundError:
            return False  # a refusing disk: it was removed, half made, after we had seen it
        if nonce is None and self._following(segment) is None:
            file.close()
            return False  # just being made
        # A header that was cut is all that there is of its segment.
        header_bytes = min(file.size(), SEGMENT_HEADER_BYTES)
        first = Position(segment.epoch, segment.base + header_bytes)
        if header is None and self.position < first:
            self._damage.pass_header(segment.epoch, segment.base, header_bytes)
        self._file, self._segment = file, segment
        # Without a nonce no block is known as one, and all of the segment is damage.
        self._nonce = nonce or b""
        self._epoch, self._offset = max(self.position, first)
        return True

    def _opened(self) -> OpenSegment:
        assert self._file is not None
        return self._file

    def _close_segment(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._live = None
        self._segment = self._next = None

    # Waiting.

    def seen(self) -> Seen | None:
        """What this reader has seen of the writer's positions, for `Sleeper.sleep`."""
        if self._positions is None:
            return None
        return self._positions, self._seen_epoch, self._seen_offset, self._synced

    def has_news(self) -> bool:
        """Whether the writer has moved since `read` last looked; False when none is known."""
        words = self._live
        if words is not None:  # who spins asks nothing else
            moved: bool = words[self._gate] != self._seen_offset
            return moved or words[EPOCH_INDEX] != self._seen_epoch
        positions, epoch, offset = self._positions, self._seen_epoch, self._seen_offset
        return positions is not None and positions.has_moved(epoch, offset, self._synced)

    def is_at_limit(self) -> bool:
        """Whether all that `read` was allowed when it last looked is read."""
        return self._offset == self._seen_offset and self._epoch == self._seen_epoch

    def behind_bytes(self) -> int:
        """Bytes of the live epoch between this reader and its gate; 0 when no writer is known."""
        epoch, limit, _ = self._ask_writer()
        if epoch == _UNKNOWN:
            return 0
        return limit if self._epoch != epoch else max(0, limit - self._offset)

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


def wait_any(readers: Sequence[Reader], sleeper: Sleeper, timeout_s: float) -> int:
    """Sleep until one of `readers` may have something new, at most `timeout_s` (and LONG_S).

    Returns:
        When the last step of the sleep was to end at the latest, in monotonic ns; 0 without one.
    """
    return sleeper.sleep(*watch_all(readers, sleeper, timeout_s))


def watch_all(
    readers: Sequence[Reader], sleeper: Sleeper, timeout_s: float
) -> tuple[list[Seen], float]:
    """Have the writers of `readers` wake a sleeper; what it is to be given, and for how long.

    A writer that is not there yet wakes nobody: it has to be looked for.
    """
    seen = []
    for reader in readers:
        known = reader.seen()
        if known is None:
            timeout_s = min(timeout_s, SLEEP_S_MAX)
        else:
            sleeper.watch(known[0])
            seen.append(known)
    return seen, timeout_s
