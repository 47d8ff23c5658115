"""Finds what a journal said last of its feed: whether it was down, and since when; only reading.

The last block alone does not tell: a venue's greeting comes while the feed is still down, and a
note says nothing of it, nor that anything was heard.
"""

from pathlib import Path
from typing import NamedTuple

from ticktape.journal.blocks import Block, parse_blocks, resync
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.journal.segments import Segment, list_segments, read_opening
from ticktape.records import EntryKind

_LOOK_BYTES = 4 << 20  # of more than that no login consists: what is further back is data
_STANDING = (EntryKind.SESSION, EntryKind.CLOCK)
# A polled venue that has nothing new is heard as well: it was asked, and it answered.
_HEARD = (EntryKind.TEXT, EntryKind.BINARY, EntryKind.POLLS)


class Standing(NamedTuple):
    """The last whole block that ends with how the feed stands, and the last that came from outside.

    Either is None when the last few megabytes hold none.
    """

    said: Block | None
    heard: Block | None


def find_standing(directory: Path, before_epoch: int) -> Standing:
    """How the feed stood at the end of the epochs before this one."""
    left = _LOOK_BYTES
    found = Standing(None, None)
    for segment in reversed(list_segments(directory)):
        if segment.epoch < before_epoch and left > 0:
            earlier, looked = _last_standing(segment, left)
            found = Standing(found.said or earlier.said, found.heard or earlier.heard)
            if found.said is not None and found.heard is not None:
                break
            left -= looked
    return found


def _last_standing(segment: Segment, most: int) -> tuple[Standing, int]:
    """The same of the end of one segment, and how many bytes were looked at."""
    nonce = read_opening(segment).nonce or b""
    size = segment.size_bytes()
    start = min(max(SEGMENT_HEADER_BYTES, size - most), size)
    with segment.open() as file:
        chunk = file.read_at(size - start, start)
    said = heard = None
    at = resync(chunk, 0, segment.base + start, nonce)
    while at is not None:
        offset = segment.base + start + at
        blocks, _ = parse_blocks(chunk[at:], segment.epoch, offset, nonce)
        for block in blocks:
            kind = block.entries()[-1][0]
            if kind in _STANDING:
                said = block
            elif kind in _HEARD:
                heard = block
        at = (blocks[-1].end_offset if blocks else offset + 1) - segment.base - start
        at = resync(chunk, at, segment.base + start, nonce)
    return Standing(said, heard), size - start
