"""Which segments a journal has, and by what nonce their blocks are known; only reading."""

import os
import zlib
from pathlib import Path
from typing import NamedTuple

from ticktape.errors import Corrupt
from ticktape.journal.blocks import Block, parse_blocks, parse_header, resync
from ticktape.journal.format import (
    BLOCK_HEADER_BYTES,
    NONCE_BYTES,
    SEGMENT_HEADER_BYTES,
    SegmentHeader,
    parse_segment_name,
    unpack_segment_header,
)
from ticktape.records import Position

_LOOK_BYTES = 1 << 20  # how far a first block is looked for behind a damaged header
_NONCE_AT = 16


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
    with open(segment.path, "rb") as source:
        chunk = source.read(_LOOK_BYTES)
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
        with open(segment.path, "rb") as source:
            source.seek(SEGMENT_HEADER_BYTES)
            head = source.read(BLOCK_HEADER_BYTES)
            offset = segment.base + SEGMENT_HEADER_BYTES
            header = parse_header(head, 0, offset, nonce)
            if header is None:
                return None
            chunk = head + source.read(min(header.body_bytes, segment.size_bytes()))
    except FileNotFoundError:
        return None
    blocks, _ = parse_blocks(chunk, segment.epoch, offset, nonce)
    return blocks[0] if blocks else None


def _is_whole(head: bytes) -> bool:
    return zlib.crc32(head[:-4]) == int.from_bytes(head[-4:], "little")
