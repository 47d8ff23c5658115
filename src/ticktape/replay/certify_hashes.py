"""Hashes a journal's segments, day by day, while it is read: the bytes are in memory anyway.

A part ends where the first block of a later day begins; a clock that steps back begins no earlier
day again. Bytes that are no block belong to the day before them, those at a segment's head to its
first block.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from ticktape.clock import iso_utc
from ticktape.journal.blocks import Block
from ticktape.journal.format import parse_segment_name
from ticktape.journal.retention import read_deleted
from ticktape.journal.segments import OpenSegment, Segment, list_segments
from ticktape.ledger import Part, part_of
from ticktape.replay.reading import DAY_NS

_READ_BYTES = 1 << 20


class SegmentHashes:
    """The parts of one journal; give it all blocks in order, then `finish`."""

    def __init__(self, directory: Path) -> None:
        self.parts: list[Part] = []
        self._directory = directory
        self._segment: Segment | None = None
        self._file: OpenSegment | None = None
        self._end = 0  # of the segment in hand, in its epoch
        self._day_end_ns = 0  # of the day that is being read; 0 before the first block
        self._begin_part(0)

    def advance(self, blocks: list[Block]) -> None:
        """Take the next blocks, all of one segment."""
        if not self._holds(blocks[0]):
            self._move_to(blocks[0])
        if max(block.recv_ns for block in blocks) >= self._day_end_ns:
            for block in blocks:
                if block.recv_ns >= self._day_end_ns:
                    self._turn_day(block)
                self._has_block = True
        self._has_block = True
        self._hash_to(self._in_file(blocks[-1].end_offset))

    def finish(self, *, live: bool) -> list[Part]:
        """All parts; of a writer at work the last segment is taken as far as it was read.

        Those of segments that retention took come first, as they were written down.
        """
        return [*_deleted_parts(self._directory), *self._finish(live=live)]

    def _finish(self, *, live: bool) -> list[Part]:
        segments = list_segments(self._directory)
        left = [each for each in segments if self._segment is None or each > self._segment]
        if live:
            self._end_part(is_open=True)
            self._close()
            return self.parts
        for segment in left:
            self._end_segment()
            self._open(segment)
        self._end_segment()
        return self.parts

    def _end_segment(self) -> None:
        if self._segment is not None:
            self._hash_to(self._segment.size_bytes())
            self._end_part()
            self._close()

    def _holds(self, block: Block) -> bool:
        segment = self._segment
        if segment is None or segment.epoch != block.epoch:
            return False
        if block.offset >= self._end:
            self._end = self._end_of(segment)  # it may have grown
        return block.offset < self._end

    def _end_of(self, segment: Segment) -> int:
        """Where it ends in its epoch: a torn end may reach over the beginning of the next one."""
        end = segment.base + segment.size_bytes()
        bases = [
            each.base
            for each in list_segments(self._directory)
            if each.epoch == segment.epoch and each > segment
        ]
        return min(end, bases[0]) if bases else end

    def _move_to(self, block: Block) -> None:
        """Go on to the segment that holds the block; what lies between is hashed whole."""
        for segment in list_segments(self._directory):
            if self._segment is not None and segment <= self._segment:
                continue
            if segment.position > block.position:
                break
            self._end_segment()
            self._open(segment)

    def _turn_day(self, block: Block) -> None:
        if self._has_block:
            at = self._in_file(block.offset)
            self._hash_to(at)
            self._end_part()
            self._begin_part(at)
        self._day_end_ns = (block.recv_ns // DAY_NS + 1) * DAY_NS

    def _in_file(self, offset: int) -> int:
        assert self._segment is not None
        return offset - self._segment.base

    def _hash_to(self, offset: int) -> None:
        assert self._file is not None
        while self._to < offset:
            chunk = self._file.read_at(min(_READ_BYTES, offset - self._to), self._to)
            if not chunk:
                break
            self._digest.update(chunk)
            self._to += len(chunk)

    def _open(self, segment: Segment) -> None:
        self._file = segment.open()
        self._segment = segment
        self._end = self._end_of(segment)
        self._begin_part(0)

    def _begin_part(self, at: int) -> None:
        self._from = self._to = at
        self._digest = sha256()
        self._has_block = False

    def _end_part(self, *, is_open: bool = False) -> None:
        if self._segment is not None and self._to > self._from:
            day = day_name(max(self._day_end_ns // DAY_NS - 1, 0))
            digest = self._digest.hexdigest()
            name = self._segment.name
            self.parts.append(Part(name, day, self._from, self._to, digest, is_open))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._segment = None


def day_name(day: int) -> str:
    """YYYY-MM-DD of a day since 1970."""
    return iso_utc(day * DAY_NS)[:10]


def _deleted_parts(directory: Path) -> list[Part]:
    return [
        Part(each.segment, day_name(each.last_ns // DAY_NS), 0, each.bytes, each.sha256)
        for each in read_deleted(directory)
    ]


def digests_now(
    directory: Path, said: Iterable[dict[str, Any]], known: Mapping[str, str] | None = None
) -> list[str | None]:
    """The digest of the bytes of each part that a certificate names; None where they are gone.

    What is `known`, by the name of the part, is not read again. Of a segment that retention took
    the digest is what was written down when it went; of a part of one, what the certificate says.
    """
    gone = {each.segment: each for each in read_deleted(directory)}
    found: list[str | None] = []
    for part in map(part_of, said):
        digest = (known or {}).get(part.name)
        if digest is None and part.segment in gone:
            each = gone[part.segment]
            is_whole = (part.from_byte, part.to_byte) == (0, each.bytes)
            digest = each.sha256 if is_whole else part.sha256
        found.append(_digest_of(directory, part) if digest is None else digest)
    return found


def _digest_of(directory: Path, part: Part) -> str | None:
    digest, at = sha256(), part.from_byte
    name = Path(part.segment).name
    parsed = parse_segment_name(name)
    try:
        if parsed is None:
            return None
        with Segment(*parsed, directory / name).open() as file:
            while chunk := file.read_at(min(_READ_BYTES, part.to_byte - at), at):
                digest.update(chunk)
                at += len(chunk)
    except FileNotFoundError:
        return None
    return digest.hexdigest() if at == part.to_byte else None
