"""Which segments a journal has, and by what nonce their blocks are known; only reading.

A segment is the same whether it is still plain or sealed by now: its bytes, read through `open`,
its size and its position are those of the plain one. Where both files lie, the plain one counts.
"""

import os
from bisect import bisect_right
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from ticktape.checksum import crc32
from ticktape.errors import Corrupt
from ticktape.journal.blocks import Block, parse_blocks, parse_header, resync
from ticktape.journal.disk import read_at
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    NONCE_BYTES,
    SEALED_SUFFIX,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    parse_segment_name,
    segment_name,
    unpack_segment_header,
)
from ticktape.journal.sealed import SealedFile
from ticktape.records import Position

_LOOK_BYTES = 1 << 20  # how far a first block is looked for behind a damaged header
_NONCE_AT = 16
_BINARY = getattr(os, "O_BINARY", 0)


class PlainFile:
    """A plain segment that is open: it stays readable when its name is gone (not on Windows).

    Raises:
        FileNotFoundError: there is none.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | _BINARY)

    def size(self) -> int:
        """Bytes that it has now."""
        return os.fstat(self._descriptor).st_size

    def read_at(self, count_bytes: int, file_offset: int) -> bytes:
        """Up to `count_bytes` from a place of it; fewer at its end."""
        return read_at(self._descriptor, count_bytes, file_offset)

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "PlainFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


OpenSegment = PlainFile | SealedFile
"""A segment that is open to read."""


@dataclass(frozen=True, order=True)
class Segment:
    """One segment; [base, base + size) are its offsets in the epoch.

    Plain or sealed, it is equal to itself: `path` is where it lay when it was listed.
    """

    epoch: int
    base: int
    path: Path = field(compare=False)

    @property
    def name(self) -> str:
        """Its file's name while it is plain, by which certificates know it."""
        return segment_name(self.epoch, self.base)

    @property
    def plain_path(self) -> Path:
        """Where the plain file lies, or lay."""
        return self.path.with_name(self.name)

    @property
    def sealed_path(self) -> Path:
        """Where the sealed file lies, or will."""
        return self.path.with_name(self.name.partition(".")[0] + SEALED_SUFFIX)

    @property
    def is_sealed(self) -> bool:
        """Whether only the sealed file was there when it was listed."""
        return self.path.name.endswith(SEALED_SUFFIX)

    @property
    def position(self) -> Position:
        """Where its file begins; the first block is SEGMENT_HEADER_BYTES further."""
        return Position(self.epoch, self.base)

    def open(self) -> OpenSegment:
        """Open it to read, also when it was sealed since it was listed.

        Raises:
            FileNotFoundError: it is gone.
        """
        if not self.is_sealed:
            try:
                return PlainFile(self.plain_path)
            except FileNotFoundError:
                pass  # sealed a moment ago: the sealed one was there before this one went
        return SealedFile(self.sealed_path)

    def size_bytes(self) -> int:
        """Bytes of the plain file now, or of what the sealed one gives back."""
        if not self.is_sealed:
            try:
                return self.plain_path.stat().st_size
            except FileNotFoundError:
                pass  # as in `open`
        with self.open() as file:
            return file.size()

    def disk_bytes(self) -> int:
        """Bytes that it takes on the disk."""
        return self.path.stat().st_size

    def header(self) -> SegmentHeader:
        """Its header.

        Raises:
            Corrupt: it is short or damaged.
        """
        with self.open() as file:
            return unpack_segment_header(file.read_at(SEGMENT_HEADER_BYTES, 0), self.path)


def list_segments(directory: Path) -> list[Segment]:
    """The segments of a journal in reading order; an empty list when there is no journal."""
    found: dict[tuple[int, int], Segment] = {}
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in names:
        parsed = parse_segment_name(name)
        # While both are there the sealed one is not yet proved, or the plain one about to go.
        if parsed is not None and (parsed not in found or not name.endswith(SEALED_SUFFIX)):
            found[parsed] = Segment(*parsed, directory / name)
    return sorted(found.values())


def find_segment(directory: Path, position: Position) -> Segment | None:
    """The segment that holds a position, or the first behind it; None when there is neither."""
    segments = list_segments(directory)
    behind = bisect_right(segments, position, key=attrgetter("position"))
    if behind and segments[behind - 1].epoch == position.epoch:
        return segments[behind - 1]
    return segments[behind] if behind < len(segments) else None


def find_next_epoch(directory: Path) -> int:
    """The first epoch that no file in the folder has, of whatever kind it is; 0 when it is empty.

    Manifests and sealed segments count: an epoch whose segments were moved away is not free.
    """
    found = -1
    for path in directory.glob("*-*.*"):
        epoch = path.name.partition("-")[0]
        if epoch.isascii() and epoch.isdigit():
            found = max(found, int(epoch))
    return found + 1


class Opening(NamedTuple):
    """How a segment begins: its header if that is true, and the nonce of its blocks if known."""

    header: SegmentHeader | None
    nonce: bytes | None


def read_opening(segment: Segment) -> Opening:
    """Find out by what nonce the blocks of a segment are known, even if its header is damaged.

    One flipped bit in a header must not cost the blocks behind it: the nonce also stands at the
    head of the first block, and is believed when a block's header proves true with it. Both
    places are fixed, so that no payload can pass for one.
    """
    with segment.open() as file:
        chunk = file.read_at(_LOOK_BYTES, 0)
    head = chunk[:SEGMENT_HEADER_BYTES]
    try:
        header = unpack_segment_header(head, segment.path)
    except Corrupt:
        if len(head) == SEGMENT_HEADER_BYTES and _is_whole(head):
            return Opening(None, None)  # not damaged, but of a version that we do not know
    else:
        return Opening(header, header.nonce)
    for at in (_NONCE_AT, SEGMENT_HEADER_BYTES):
        nonce = chunk[at : at + NONCE_BYTES]
        if len(nonce) == NONCE_BYTES:
            found = resync(chunk, SEGMENT_HEADER_BYTES, segment.base, nonce)
            if found is not None:
                return Opening(None, nonce)
    return Opening(None, None)


def read_first_block(segment: Segment) -> Block | None:
    """The block that a segment begins with; None when that is not whole, or the file is gone."""
    try:
        nonce = read_opening(segment).nonce or b""
        with segment.open() as file:
            head = file.read_at(BLOCK_HEADER_BYTES, SEGMENT_HEADER_BYTES)
            offset = segment.base + SEGMENT_HEADER_BYTES
            header = parse_header(head, 0, offset, nonce)
            if header is None:
                return None
            wanted = min(BLOCK_HEADER_BYTES + header.body_bytes, file.size())
            chunk = file.read_at(wanted, SEGMENT_HEADER_BYTES)
    except FileNotFoundError:
        return None
    blocks, _ = parse_blocks(chunk, segment.epoch, offset, nonce)
    return blocks[0] if blocks else None


def _is_whole(head: bytes) -> bool:
    return crc32(head[:-4]) == int.from_bytes(head[-4:], "little")
