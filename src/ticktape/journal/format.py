"""The bytes of a segment; anything that reads or writes them does so through this module.

A segment file is named `<epoch>-<base>.seg` (epoch in 6 digits, base in 20): the epoch is one
start of one writer, the base is the offset of the file's first byte in that epoch. All integers are
little-endian.

    segment header, 128 bytes                     block header, 64 bytes
     0  magic       8s  "TICKTAPE"                 0  nonce          8s  the segment's own
     8  version     u16 1                          8  offset         u64 of this header in the epoch
    10  header      u16 128                       16  seq            u64 of the first entry
    12  checksum    u32 1 = zlib.crc32            24  recv_ns        u64 wall clock, UTC
    16  nonce       8s  random                    32  recv_mono_ns   u64 monotonic clock
    24  epoch       u64                           40  body_bytes     u32
    32  base        u64                           44  count          u32 entries
    40  first_seq   u64                           48  session        u32 connection; 0: none
    48  created_ns  u64 wall clock, UTC           52  flags          u32 0; readers refuse others
    56  mono_ns     u64 the same instant          56  body_crc       u32 of the body
    64  boot_id     16s                           60  header_crc     u32 of bytes 0..59
    80  journal_id  16s
    96  zero        28s                           body: count x u32 (kind << 28 | length),
   124  crc         u32 of bytes 0..123           then the payloads, back to back, as received

A block is what one socket read brought. Its nonce is random per segment, so that no payload can
contain a false block: after damage a reader looks for the next nonce whose header proves true.
docs/reference/journal-format.md shows a whole segment in hex.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ticktape.checksum import crc32
from ticktape.errors import Corrupt

SEGMENT_MAGIC = b"TICKTAPE"
FORMAT_VERSION = 1
CHECKSUM_CRC32 = 1
SEGMENT_HEADER = struct.Struct("<8sHHI8sQQQQQ16s16s28sI")
BLOCK_HEADER = struct.Struct("<8sQQQQIIIIII")
SEGMENT_HEADER_BYTES = SEGMENT_HEADER.size
BLOCK_HEADER_BYTES = BLOCK_HEADER.size
NONCE_BYTES = 8
WORD_BYTES = 4
KIND_SHIFT = 28
LENGTH_MASK = (1 << KIND_SHIFT) - 1
# So that any length fits into its 28 bits, and one `write` (2 GiB at most on Linux) takes a block.
BODY_BYTES_MAX = LENGTH_MASK
SUFFIX = ".seg"
SEALED_SUFFIX = ".seg.zst"

assert SEGMENT_HEADER_BYTES == 128
assert BLOCK_HEADER_BYTES == 64

_pack_head = struct.Struct("<8sQQQQIIIII").pack
_pack_u32 = struct.Struct("<I").pack
# From here on a copy of the body costs more than a second piece does (measured).
_PIECE_BYTES = 16_384


class SegmentHeader(NamedTuple):
    """The head of a segment, as on the disk."""

    nonce: bytes
    epoch: int
    base: int
    first_seq: int
    created_ns: int
    created_mono_ns: int
    boot_id: bytes
    journal_id: bytes

    def pack(self) -> bytes:
        """The 128 bytes of it."""
        head = SEGMENT_HEADER.pack(
            SEGMENT_MAGIC,
            FORMAT_VERSION,
            SEGMENT_HEADER_BYTES,
            CHECKSUM_CRC32,
            self.nonce,
            self.epoch,
            self.base,
            self.first_seq,
            self.created_ns,
            self.created_mono_ns,
            self.boot_id,
            self.journal_id,
            b"",
            0,
        )
        return head[:-4] + _pack_u32(crc32(head[:-4]))


def unpack_segment_header(head: bytes, path: Path) -> SegmentHeader:
    """The head of the segment at `path` from its first 128 bytes.

    Raises:
        Corrupt: too short, not ours, a version we do not know, or a wrong checksum.
    """
    if len(head) < SEGMENT_HEADER_BYTES:
        raise Corrupt(f"{path}: only {len(head)} bytes, too short for a segment's header")
    fields = SEGMENT_HEADER.unpack_from(head)
    if fields[0] != SEGMENT_MAGIC:
        raise Corrupt(f"{path}: not a segment of a ticktape journal")
    if fields[-1] != crc32(head[: SEGMENT_HEADER_BYTES - 4]):
        raise Corrupt(f"{path}: the segment's header is damaged (wrong checksum)")
    if fields[1] != FORMAT_VERSION or fields[3] != CHECKSUM_CRC32:
        raise Corrupt(
            f"{path}: format version {fields[1]} with checksum kind {fields[3]}",
            hint="Read it with the ticktape that wrote it, or a newer one.",
        )
    return SegmentHeader(*fields[4:12])


def pack_body(payloads: Sequence[bytes], kind: int, kinds: Sequence[int] | None) -> bytes:
    """The body of a block: a word for each payload, then the payloads.

    Args:
        payloads: the entries, at least one.
        kind: what all of them are, unless `kinds` says it one by one.
        kinds: one EntryKind for each payload.
    """
    if kinds is None:
        mark = kind << KIND_SHIFT
        if len(payloads) == 1:
            payload = payloads[0]
            return _pack_u32(len(payload) | mark) + payload
        words = [len(payload) | mark for payload in payloads] if mark else map(len, payloads)
    else:
        words = [
            len(payload) | kind << KIND_SHIFT for payload, kind in zip(payloads, kinds, strict=True)
        ]
    return b"".join((struct.pack(f"<{len(payloads)}I", *words), *payloads))


def pack_payloads(
    nonce: bytes,
    offset: int,
    seq: int,
    recv_ns: int,
    recv_mono_ns: int,
    session: int,
    payloads: Sequence[bytes],
    kind: int,
    kinds: Sequence[int] | None,
) -> tuple[bytes, bytes]:
    """A whole block of `payloads`, as `pack_pieces` makes it of what `pack_body` made of them.

    Raises:
        ValueError: the body has more than BODY_BYTES_MAX.
    """
    if len(payloads) == 1 and kinds is None:
        # What most blocks are when the venue is calm. With no call that can be spared: from here to
        # the end of its write, everyone waits for it.
        payload = payloads[0]
        size = len(payload)
        body_bytes = size + WORD_BYTES
        if body_bytes < _PIECE_BYTES:
            body = _pack_u32(size | kind << KIND_SHIFT) + payload
            head = _pack_head(
                nonce, offset, seq, recv_ns, recv_mono_ns, body_bytes, 1, session, 0, crc32(body)
            )
            return head + _pack_u32(crc32(head)) + body, b""
    body, count = pack_body(payloads, kind, kinds), len(payloads)
    return pack_pieces(nonce, offset, seq, recv_ns, recv_mono_ns, count, session, body)


def pack_pieces(
    nonce: bytes,
    offset: int,
    seq: int,
    recv_ns: int,
    recv_mono_ns: int,
    count: int,
    session: int,
    body: bytes,
) -> tuple[bytes, bytes]:
    """A whole block in two pieces for one write, of its header and of what `pack_body` made.

    A long body is a piece of its own: to copy it behind its header would be dear. Of any other the
    second piece is empty.

    Raises:
        ValueError: the body has more than BODY_BYTES_MAX.
    """
    body_bytes = len(body)
    if body_bytes > BODY_BYTES_MAX:
        raise ValueError(f"a block of {body_bytes} bytes; {BODY_BYTES_MAX} is the most it can hold")
    head = _pack_head(
        nonce, offset, seq, recv_ns, recv_mono_ns, body_bytes, count, session, 0, crc32(body)
    )
    head += _pack_u32(crc32(head))
    return (head + body, b"") if body_bytes < _PIECE_BYTES else (head, body)


def pack_block(
    nonce: bytes,
    offset: int,
    seq: int,
    recv_ns: int,
    recv_mono_ns: int,
    count: int,
    session: int,
    body: bytes,
) -> bytes:
    """A whole block in one piece.

    Raises:
        ValueError: the body has more than BODY_BYTES_MAX.
    """
    pieces = pack_pieces(nonce, offset, seq, recv_ns, recv_mono_ns, count, session, body)
    return b"".join(pieces)


def segment_name(epoch: int, base: int) -> str:
    """File name of the segment that begins at (epoch, base)."""
    return f"{epoch:06d}-{base:020d}{SUFFIX}"


def parse_segment_name(name: str) -> tuple[int, int] | None:
    """(epoch, base) of a segment's file name, plain or sealed; None when it is not one."""
    stem, dot, suffix = name.partition(".")
    epoch, dash, base = stem.partition("-")
    if dot + suffix not in (SUFFIX, SEALED_SUFFIX) or not dash:
        return None
    if not (stem.isascii() and epoch.isdigit() and base.isdigit()):
        return None
    return int(epoch), int(base)
