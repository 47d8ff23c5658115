"""A block as read back, and what is wrong where there is none; this module never touches a file."""

import struct
import zlib
from typing import NamedTuple

from ticktape.journal.format import (
    BLOCK_HEADER,
    BLOCK_HEADER_BYTES,
    KIND_SHIFT,
    LENGTH_MASK,
    WORD_BYTES,
)
from ticktape.records import Entry, Position

_HEADER_CRC_AT = BLOCK_HEADER_BYTES - 4


class Block:
    """What one socket read or one poll pass brought.

    `body` is a slice of the chunk that was read; it stays valid as long as the block is kept.
    Entry i has the number `seq + i`. The block lies at [offset, end_offset) of its epoch.
    """

    __slots__ = (
        "body",
        "count",
        "end_offset",
        "epoch",
        "offset",
        "recv_mono_ns",
        "recv_ns",
        "seq",
        "session",
    )

    def __init__(
        self,
        epoch: int,
        offset: int,
        end_offset: int,
        seq: int,
        count: int,
        recv_ns: int,
        recv_mono_ns: int,
        session: int,
        body: bytes,
    ) -> None:
        self.epoch = epoch
        self.offset = offset
        self.end_offset = end_offset
        self.seq = seq
        self.count = count
        self.recv_ns = recv_ns
        self.recv_mono_ns = recv_mono_ns
        self.session = session
        self.body = body

    @property
    def position(self) -> Position:
        """Where the block begins."""
        return Position(self.epoch, self.offset)

    @property
    def end(self) -> Position:
        """Where the next one begins."""
        return Position(self.epoch, self.end_offset)

    def entries(self) -> list[tuple[int, bytes]]:
        """(kind, payload) of every entry in order; payloads are own copies."""
        count, body = self.count, self.body
        if count == 1:
            word = int.from_bytes(body[:WORD_BYTES], "little")
            return [(word >> KIND_SHIFT, body[WORD_BYTES:])]
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


class Damage(NamedTuple):
    """Bytes of a journal that are not a whole block.

    `entries` is how many entries were lost there, None when nothing tells. `torn` marks the end of
    a segment that a dying writer left; anything else was damaged later.
    """

    epoch: int
    offset: int
    bytes: int
    entries: int | None
    torn: bool

    def __str__(self) -> str:
        lost = "an unknown number of" if self.entries is None else str(self.entries)
        what = "torn end" if self.torn else "damaged block"
        return (
            f"{what} at epoch {self.epoch} offset {self.offset}: "
            f"{self.bytes} bytes, {lost} entries lost"
        )


class BadBlock(NamedTuple):
    """Why no block is at a place: `entries` if its header proved true, `short` if bytes lack."""

    entries: int | None
    short: bool
    need_bytes: int


def parse_block(chunk: bytes, at: int, epoch: int, offset: int, nonce: bytes) -> Block | BadBlock:
    """The block whose header begins at `chunk[at]`, which is `offset` of the epoch."""
    if len(chunk) - at < BLOCK_HEADER_BYTES:
        return BadBlock(None, short=True, need_bytes=BLOCK_HEADER_BYTES)
    (
        marker,
        said_offset,
        seq,
        recv_ns,
        recv_mono_ns,
        body_bytes,
        count,
        session,
        flags,
        body_crc,
        header_crc,
    ) = BLOCK_HEADER.unpack_from(chunk, at)
    if (
        marker != nonce
        or said_offset != offset
        or zlib.crc32(chunk[at : at + _HEADER_CRC_AT]) != header_crc
        or flags != 0
    ):
        return BadBlock(None, short=False, need_bytes=0)
    body_at = at + BLOCK_HEADER_BYTES
    end = body_at + body_bytes
    if len(chunk) < end:
        return BadBlock(count, short=True, need_bytes=BLOCK_HEADER_BYTES + body_bytes)
    body = chunk[body_at:end]
    if zlib.crc32(body) != body_crc:
        return BadBlock(count, short=False, need_bytes=0)
    return Block(
        epoch,
        offset,
        offset + BLOCK_HEADER_BYTES + body_bytes,
        seq,
        count,
        recv_ns,
        recv_mono_ns,
        session,
        body,
    )


def parse_header(chunk: bytes, at: int, offset: int, nonce: bytes) -> tuple[int, int, int] | None:
    """(seq, count, body_bytes) of a true header at `chunk[at]`; None when it is not one."""
    if len(chunk) - at < BLOCK_HEADER_BYTES:
        return None
    fields = BLOCK_HEADER.unpack_from(chunk, at)
    if fields[0] != nonce or fields[1] != offset or fields[8] != 0:
        return None
    if zlib.crc32(chunk[at : at + _HEADER_CRC_AT]) != fields[10]:
        return None
    return fields[2], fields[6], fields[5]
