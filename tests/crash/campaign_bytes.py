"""A journal's bytes by the campaign's own idea of the format, against what a victim was fed."""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from campaign_victim import Fed

from ticktape.journal import Damage

HEADER = struct.Struct("<8sHHI8sQQQ")
BLOCK = struct.Struct("<8sQQQQIIIII")
HEADER_BYTES, BLOCK_BYTES = 128, 64


class Violation(Exception):
    """A line of the contract that does not hold."""


def demand(holds: bool, words: str) -> None:
    """Raise a Violation unless it holds."""
    if not holds:
        raise Violation(words)


class Lies(NamedTuple):
    """A whole block in a journal; `body` is the CRC of it."""

    epoch: int
    offset: int
    end_offset: int
    seq: int
    count: int
    recv_ns: int
    recv_mono_ns: int
    session: int
    body: int


class File(NamedTuple):
    """A segment's file as it was found; `inode` stands for it in the victim's claims."""

    epoch: int
    base: int
    path: Path
    size: int
    inode: int


class Epoch(NamedTuple):
    """What one start left: `torn` is what lies behind its last whole block."""

    number: int
    files: list[File]
    first_seq: int
    blocks: list[Lies]
    next_seq: int
    torn: Damage | None

    @property
    def ends(self) -> list[tuple[int, int]]:
        """Every (offset, seq behind it) that may be published, in order."""
        return [
            (HEADER_BYTES, self.first_seq),
            *((b.end_offset, b.seq + b.count) for b in self.blocks),
        ]

    def manifest(self) -> dict[str, object]:
        """What recovery must say of the last segment."""
        last = self.files[-1]
        end, torn = last.base + last.size, self.torn
        return {
            "segment": last.path.name,
            "end_offset": torn.offset if torn else end,
            "next_seq": self.next_seq,
            "torn_bytes": torn.bytes if torn else 0,
            "torn_entries": torn.entries if torn else None,
        }


def packed(block: Fed, nonce: bytes, offset: int, seq: int) -> tuple[bytes, int]:
    """The bytes that a block must have, and the CRC of its body."""
    words = [len(payload) | block.kind << 28 for payload in block.payloads]
    body = struct.pack(f"<{len(words)}I", *words) + b"".join(block.payloads)
    head = BLOCK.pack(
        *(nonce, offset, seq, block.recv_ns, block.recv_mono_ns, len(body), len(words)),
        *(block.session, 0, crc := zlib.crc32(body)),
    )
    return head + struct.pack("<I", zlib.crc32(head)) + body, crc


def nonce_of(content: bytes, file: File, seq: int) -> bytes:
    """The nonce in a segment's header, all of which must be right."""
    magic, version, size, checksum, nonce, *place = HEADER.unpack_from(content)
    words = f"the header of {file.path.name}"
    demand((magic, version, size, checksum) == (b"TICKTAPE", 1, 128, 1), words)
    demand(place == [file.epoch, file.base, seq], f"{words} says {place}, and not {seq}")
    demand(zlib.crc32(content[:124]) == int.from_bytes(content[124:128], "little"), words)
    return nonce


class Walk:
    """Reads the files of one epoch against what its victim was fed."""

    def __init__(self, files: list[File], fed: Iterator[Fed], seq: int, segment_bytes: int) -> None:
        self._files, self._fed, self._segment_bytes = files, fed, segment_bytes
        self._block = next(fed)
        self._blocks: list[Lies] = []
        self._first_seq = self._seq = seq
        self._torn: Damage | None = None
        self.nonces: list[bytes] = []

    def read(self) -> Epoch:
        """All of it.

        Raises:
            Violation: a byte is not what it must be.
        """
        offset = 0
        for file in self._files:
            name = file.path.name
            demand(file.base == offset, f"{name} begins at {file.base} and not at {offset}")
            self._read_file(file, file.path.read_bytes())
            offset = file.base + file.size
        return Epoch(file.epoch, self._files, self._first_seq, self._blocks, self._seq, self._torn)

    def _read_file(self, file: File, content: bytes) -> None:
        last = file is self._files[-1]
        name = file.path.name
        demand(last or self._torn is None, f"{name}: torn, and not the last")
        if not content:
            demand(last, f"{name} is empty, and not the last")
            return
        demand(len(content) >= HEADER_BYTES, f"{name} has {len(content)} bytes")
        nonce = nonce_of(content, file, self._seq)
        self.nonces.append(nonce)
        at = HEADER_BYTES
        while at < len(content):
            demand(at < self._segment_bytes, f"{name} was full at {at}")
            at = self._read_block(file, nonce, content, at)
        demand(last or at >= self._segment_bytes, f"{name} was left at {at} bytes")

    def _read_block(self, file: File, nonce: bytes, content: bytes, at: int) -> int:
        block, offset, seq = self._block, file.base + at, self._seq
        wanted, crc = packed(block, nonce, offset, seq)
        found = content[at : at + len(wanted)]
        demand(wanted.startswith(found), f"{file.path.name}: the block at {at} was altered")
        count = len(block.payloads)
        if len(found) < len(wanted):
            # A header that is whole tells how many entries were cut; their numbers are spent.
            told = count if len(found) >= BLOCK_BYTES else None
            self._torn = Damage(file.epoch, offset, len(found), told, torn=True)
            self._seq += told or 0
            return len(content)
        stamps = (block.recv_ns, block.recv_mono_ns, block.session)
        end = offset + len(wanted)
        self._blocks.append(Lies(file.epoch, offset, end, seq, count, *stamps, crc))
        self._seq += count
        self._block = next(self._fed)
        return at + len(wanted)
