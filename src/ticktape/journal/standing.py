"""Finds what a journal said last of its feed: whether it was down, and since when; only reading.

The last block alone does not tell: a venue's greeting comes while the feed is still down, and a
note says nothing of it.
"""

from pathlib import Path

from ticktape.journal.blocks import Block, parse_blocks, resync
from ticktape.journal.disk import read_at
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.journal.segments import Segment, list_segments, read_opening
from ticktape.records import EntryKind

_LOOK_BYTES = 4 << 20  # of more than that no login consists: what is further back is data
_STANDING = (EntryKind.SESSION, EntryKind.CLOCK)


def find_standing(directory: Path, before_epoch: int) -> Block | None:
    """The last whole block of an earlier epoch that ends with how the feed stands.

    None when the last few megabytes hold none: the feed was up, and data came.
    """
    left = _LOOK_BYTES
    for segment in reversed(list_segments(directory)):
        if segment.epoch < before_epoch and left > 0:
            found, looked = _last_standing(segment, left)
            if found is not None:
                return found
            left -= looked
    return None


def _last_standing(segment: Segment, most: int) -> tuple[Block | None, int]:
    """The last such block in the end of a segment, and how many bytes were looked at."""
    nonce = read_opening(segment).nonce or b""
    size = segment.size_bytes()
    start = min(max(SEGMENT_HEADER_BYTES, size - most), size)
    with open(segment.path, "rb") as source:
        chunk = read_at(source.fileno(), size - start, start)
    found = None
    at = resync(chunk, 0, segment.base + start, nonce)
    while at is not None:
        offset = segment.base + start + at
        blocks, _ = parse_blocks(chunk[at:], segment.epoch, offset, nonce)
        for block in blocks:
            if block.entries()[-1][0] in _STANDING:
                found = block
        at = (blocks[-1].end_offset if blocks else offset + 1) - segment.base - start
        at = resync(chunk, at, segment.base + start, nonce)
    return found, size - start
