"""A block as read back, and what is wrong where there is none; this module never touches a file."""

import struct
from typing import NamedTuple

import msgspec

from ticktape.checksum import crc32
from ticktape.journal.format import (
    BLOCK_HEADER,
    BLOCK_HEADER_BYTES,
    KIND_SHIFT,
    LENGTH_MASK,
    WORD_BYTES,
)
from ticktape.records import Entry, Position

_unpack = BLOCK_HEADER.unpack_from
_HEADER_CRC_AT = BLOCK_HEADER_BYTES - 4
_KIND_IN_BYTE = KIND_SHIFT - 8 * (WORD_BYTES - 1)
# Where the parts lie of a chunk with one block, and of a body with one payload; made once, as
# making them anew for each block would be a tenth of its cost.
_HEAD = slice(_HEADER_CRC_AT)
_BODY = slice(BLOCK_HEADER_BYTES, None)
_PAYLOAD = slice(WORD_BYTES, None)


class Block(msgspec.Struct, frozen=True, gc=False):
    """What one socket read or one poll pass brought.

    `body` is a slice of the chunk that was read; it stays valid as long as the block is kept.
    Entry i has the number `seq + i`. The block lies at [offset, end_offset) of its epoch.
    """

    epoch: int
    offset: int
    end_offset: int
    seq: int
    count: int
    recv_ns: int
    recv_mono_ns: int
    session: int
    body: bytes

    @property
    def position(self) -> Position:
        """Where the block begins."""
        return Position(self.epoch, self.offset)

    @property
    def end(self) -> Position:
        """Where the next one begins."""
        return Position(self.epoch, self.end_offset)

    @property
    def next_seq(self) -> int:
        """Number of the first entry behind it."""
        return self.seq + self.count

    def entries(self) -> list[tuple[int, bytes]]:
        """(kind, payload) of every entry in order; payloads are own copies."""
        count, body = self.count, self.body
        if count == 1:
            # The length is known, and the kind is in the word's last byte.
            return [(body[WORD_BYTES - 1] >> _KIND_IN_BYTE, body[_PAYLOAD])]
        found = []
        at = count * WORD_BYTES
        for word in struct.unpack_from(f"<{count}I", body):
            end = at + (word & LENGTH_MASK)
            found.append((word >> KIND_SHIFT, body[at:end]))
            at = end
        return found

    def entry_records(self) -> list[Entry]:
        """The entries with their numbers and stamps."""
        return [
            Entry(self.seq + index, kind, payload, self.recv_ns, self.recv_mono_ns, self.session)
            for index, (kind, payload) in enumerate(self.entries())
        ]


class TrueHeader(NamedTuple):
    """What a block's header says, once its own checksum proved it true."""

    seq: int
    entries: int
    body_bytes: int


class BadBlock(NamedTuple):
    """Why no block is at a place: `header` if that proved true, `short` if bytes lack."""

    header: TrueHeader | None
    short: bool
    need_bytes: int


def parse_lone(chunk: bytes, epoch: int, offset: int, nonce: bytes) -> Block | None:
    """The block that `chunk` is, if it is just one; else None, and `parse_blocks` tells why.

    Most are when the venue is calm, and a strategy waits for this: it costs two thirds of what
    `parse_blocks` does, whose arguments it takes.
    """
    length = len(chunk)
    if length < BLOCK_HEADER_BYTES:
        return None
    (marker, said_offset, seq, recv_ns, mono_ns, size, count, session, flags, body_crc, crc) = (
        _unpack(chunk)
    )
    if (
        size != length - BLOCK_HEADER_BYTES
        or marker != nonce
        or said_offset != offset
        or flags
        or crc32(chunk[_HEAD]) != crc
    ):
        return None
    body = chunk[_BODY]
    if crc32(body) != body_crc:
        return None
    return Block(epoch, offset, offset + length, seq, count, recv_ns, mono_ns, session, body)


def parse_blocks(
    chunk: bytes, epoch: int, offset: int, nonce: bytes
) -> tuple[list[Block], BadBlock | None]:
    """The whole blocks that `chunk` begins with, and why there is not another one.

    Args:
        chunk: bytes of a segment, from the beginning of a block.
        epoch: the segment's.
        offset: offset in the epoch of `chunk[0]`.
        nonce: the segment's.

    Returns:
        The blocks, and None if the chunk ends where one of them does.
    """
    # One flat loop: at a block for each message, a call per block would be a third of the cost.
    blocks: list[Block] = []
    at, length = 0, len(chunk)
    while at < length:
        body_at = at + BLOCK_HEADER_BYTES
        if body_at > length:
            return blocks, BadBlock(None, short=True, need_bytes=BLOCK_HEADER_BYTES)
        (marker, said_offset, seq, recv_ns, mono_ns, size, count, session, flags, body_crc, crc) = (
            _unpack(chunk, at)
        )
        start = offset + at
        if (
            marker != nonce
            or said_offset != start
            or flags
            or crc32(chunk[at : at + _HEADER_CRC_AT]) != crc
        ):
            return blocks, BadBlock(None, short=False, need_bytes=0)
        end = body_at + size
        if end > length:
            header = TrueHeader(seq, count, size)
            return blocks, BadBlock(header, short=True, need_bytes=end - at)
        body = chunk[body_at:end]
        if crc32(body) != body_crc:
            return blocks, BadBlock(TrueHeader(seq, count, size), short=False, need_bytes=0)
        blocks.append(
            Block(epoch, start, offset + end, seq, count, recv_ns, mono_ns, session, body)
        )
        at = end
    return blocks, None


def parse_header(chunk: bytes, at: int, offset: int, nonce: bytes) -> TrueHeader | None:
    """What the header at `chunk[at]` says, which is `offset` of the epoch; None when it is none."""
    if len(chunk) - at < BLOCK_HEADER_BYTES:
        return None
    fields = BLOCK_HEADER.unpack_from(chunk, at)
    if fields[0] != nonce or fields[1] != offset or fields[8] != 0:
        return None
    if crc32(chunk[at : at + _HEADER_CRC_AT]) != fields[10]:
        return None
    return TrueHeader(fields[2], fields[6], fields[5])


def resync(chunk: bytes, start: int, offset: int, nonce: bytes) -> int | None:
    """Index in `chunk` of the first true block header at or after `start`; None if there is none.

    Args:
        chunk: bytes of a segment.
        start: where to begin looking.
        offset: offset in the epoch of `chunk[0]`.
        nonce: the segment's.
    """
    at = chunk.find(nonce, start) if nonce else -1
    while at >= 0:
        if len(chunk) - at < BLOCK_HEADER_BYTES:
            return None
        if parse_header(chunk, at, offset + at, nonce) is not None:
            return at
        at = chunk.find(nonce, at + 1)
    return None
