"""Which segments a journal has, and where the last whole block of one ends; only reading."""

import os
from pathlib import Path
from typing import NamedTuple

from ticktape.errors import Corrupt
from ticktape.journal.blocks import Block, parse_block, parse_header
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    parse_segment_name,
    unpack_segment_header,
)
from ticktape.records import Position

_BACKWARD_BYTES = 1 << 20  # first look back; doubled until a header is found


class Segment(NamedTuple):
    """One segment file; [base, base + size) are its offsets in the epoch."""

    epoch: int
    base: int
    path: Path

    @property
    def position(self) -> Position:
        """Where its file begins; the first block is SEGMENT_HEADER_BYTES further."""
        return Position(self.epoch, self.base)

    def size_bytes(self) -> int:
        """Bytes of the file now."""
        return self.path.stat().st_size

    def header(self) -> SegmentHeader:
        """Its header.

        Raises:
            Corrupt: it is short or damaged.
        """
        with open(self.path, "rb") as source:
            return unpack_segment_header(source.read(SEGMENT_HEADER_BYTES), self.path)


def list_segments(directory: Path) -> list[Segment]:
    """The segments of a journal in reading order; an empty list when there is no journal."""
    found = []
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in names:
        parsed = parse_segment_name(name)
        if parsed is not None:
            found.append(Segment(*parsed, directory / name))
    return sorted(found)


class SegmentEnd(NamedTuple):
    """How a segment ends: the last whole block, where it ends, and what lies behind it."""

    last: Block | None
    end_offset: int
    next_seq: int
    torn_bytes: int
    torn_entries: int | None


def find_end(segment: Segment) -> SegmentEnd:
    """Find the end of a segment from its back, without reading the rest.

    A segment without a true header has no end that can be told: its next_seq is -1.
    """
    size = segment.size_bytes()
    try:
        header = segment.header()
    except Corrupt:
        return SegmentEnd(None, segment.base, -1, size, None)
    look = _BACKWARD_BYTES
    with open(segment.path, "rb") as source:
        while True:
            start = max(SEGMENT_HEADER_BYTES, size - look)
            source.seek(start)
            chunk = source.read(size - start)
            found = _last_in(chunk, start, segment, header)
            if found is not None:
                return found
            if start == SEGMENT_HEADER_BYTES:
                torn = size - SEGMENT_HEADER_BYTES
                end = segment.base + SEGMENT_HEADER_BYTES
                return SegmentEnd(None, end, header.first_seq, torn, None)
            look *= 4


def _last_in(
    chunk: bytes, start: int, segment: Segment, header: SegmentHeader
) -> SegmentEnd | None:
    torn_seq: int | None = None
    torn_entries: int | None = None
    at = len(chunk)
    while True:
        at = chunk.rfind(header.nonce, 0, at + len(header.nonce) - 1 if at < len(chunk) else at)
        if at < 0:
            return None
        offset = segment.base + start + at
        parsed = parse_block(chunk, at, segment.epoch, offset, header.nonce)
        if isinstance(parsed, Block):
            next_seq = parsed.seq + parsed.count
            torn_bytes = segment.base + start + len(chunk) - parsed.end_offset
            if torn_seq is not None:
                next_seq = max(next_seq, torn_seq)
            return SegmentEnd(parsed, parsed.end_offset, next_seq, torn_bytes, torn_entries)
        told = parse_header(chunk, at, offset, header.nonce)
        if told is not None and torn_seq is None:
            # The header of a torn block proves true: its entries had numbers, and are lost.
            torn_seq = told[0] + told[1]
            torn_entries = told[1]


class JournalEnd(NamedTuple):
    """Where a journal stands before a new start: what recovery found, reading only."""

    next_epoch: int
    next_seq: int
    last: Block | None
    last_segment: Segment | None
    end: SegmentEnd | None
    journal_id: bytes | None


def find_journal_end(directory: Path) -> JournalEnd:
    """Where the journal in `directory` ended, and what the next start must begin with."""
    segments = list_segments(directory)
    if not segments:
        return JournalEnd(0, 0, None, None, None, None)
    next_epoch = segments[-1].epoch + 1
    next_seq = 0
    newest_end: SegmentEnd | None = None
    for segment in reversed(segments):
        end = find_end(segment)
        newest_end = newest_end or end
        next_seq = max(next_seq, end.next_seq)
        if end.last is not None:
            journal_id = segment.header().journal_id
            return JournalEnd(next_epoch, next_seq, end.last, segments[-1], newest_end, journal_id)
    return JournalEnd(next_epoch, next_seq, None, segments[-1], newest_end, None)


def resync(chunk: bytes, start: int, offset: int, nonce: bytes) -> int | None:
    """Index in `chunk` of the first true block header at or after `start`; None if there is none.

    Args:
        chunk: bytes of a segment.
        start: where to begin looking.
        offset: offset in the epoch of `chunk[0]`.
        nonce: the segment's.
    """
    at = chunk.find(nonce, start)
    while at >= 0:
        if len(chunk) - at < BLOCK_HEADER_BYTES:
            return None
        if parse_header(chunk, at, offset + at, nonce) is not None:
            return at
        at = chunk.find(nonce, at + 1)
    return None
