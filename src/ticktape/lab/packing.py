"""A capture and its bytes, which every file can be checked against, whoever carried it there.

A *capture* is what one poll brought: (sequence, leg, before_ns, after_ns, rows). Every poll is one,
also when nothing has changed, as in the notebook. Packed, it is

     0  sequence u64    8  before u64   16  after u64   24  rows u32, bytes   28  leg u32
    32  the rows, 28 bytes each (or a message), then the CRC-32 of all of this, u32
"""

import struct

from ticktape import mt5
from ticktape.checksum import crc32
from ticktape.lab.source import Rows

Capture = tuple[int, int, int, int, Rows]
"""Sequence (from 0, of its leg), leg, before and after (monotonic ns), rows."""
Parts = tuple[int, int, int, int, int, bytes]
"""Sequence, before, after, leg, checksum, body."""

HEAD = struct.Struct("<QQQII")
CHECKSUM = struct.Struct("<I")


def pack(capture: Capture) -> bytes:
    """A capture as bytes, with its checksum."""
    sequence, leg, before_ns, after_ns, rows = capture
    body = rows if isinstance(rows, bytes) else mt5.pack_rows(rows)  # type: ignore[arg-type]
    packed = HEAD.pack(sequence, before_ns, after_ns, len(body), leg) + body
    return packed + CHECKSUM.pack(crc32(packed))


def plain(capture: Capture) -> Capture:
    """The same with rows that can be pickled: the terminal's own cannot."""
    rows = capture[4]
    if isinstance(rows, bytes):
        return capture
    return (*capture[:4], list(map(tuple, rows)))  # type: ignore[call-overload]


def parts_of(packed: bytes) -> Parts:
    """A packed capture in its parts; nothing is checked."""
    sequence, before_ns, after_ns, _, leg = HEAD.unpack_from(packed)
    (checksum,) = CHECKSUM.unpack_from(packed, len(packed) - CHECKSUM.size)
    return sequence, before_ns, after_ns, leg, checksum, packed[HEAD.size : -CHECKSUM.size]


def checksum_of(sequence: int, before_ns: int, after_ns: int, leg: int, body: bytes) -> int:
    """What the checksum of such a capture is."""
    return crc32(body, crc32(HEAD.pack(sequence, before_ns, after_ns, len(body), leg)))


def sequence_of(packed: bytes) -> int:
    """A packed capture's number."""
    return int.from_bytes(packed[:8], "little")


def before_of(packed: bytes) -> int:
    """When a packed capture's poll began."""
    return int.from_bytes(packed[8:16], "little")
