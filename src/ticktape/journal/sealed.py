"""The bytes of a sealed segment, and a file that reads one as if it were still plain.

A sealed segment, `<epoch>-<base>.seg.zst`, gives back every byte of the segment it was made of, at
the same positions. Whatever is damaged in it reads as zeros, which are no block: so a reader
passes over it, and counts what was lost, as in a plain segment. All integers are little-endian.

    head, 256 bytes                                frame, 64 bytes, then its packed bytes
     0  magic     u32 0x184D2A54                    0  magic        u32 0x184D2A55
     4  bytes     u32 248: those that follow        4  bytes        u32 56: those that follow
     8  name      8s  "TICKSEAL"                    8  nonce        8s  the segment's
    16  version   u16 1                            16  offset       u64 of its first byte, epoch's
    18  flags     u16 1: it is named suspect       24  seq          u64 of its first entry
    20  zero      u32                              32  plain_bytes  u32 what it gives back
    24  header    128s the segment's own header    36  packed_bytes u32 the zstd frame behind this
   152  bytes     u64 of the segment               40  blocks       u32; 0: bytes as they are
   160  sha256    32s of the segment               44  packed_crc   u32 of the zstd frame
   192  previous  32s link of the one before       48  zero         12s
   224  zero      28s                              60  header_crc   u32 of bytes 0..59
   252  crc       u32 of bytes 0..251

    index, last in the file: magic u32 0x184D2A56 · bytes u32 that follow · for each frame, and for
    what would be the next: offset u64 in the epoch, place u64 in the file · then 16 bytes:
    place u64 of the index · entries u32 · crc u32 of the index before it

Head, frames' heads and index are skippable frames of zstd's own format: `zstd -t` proves the file.
docs/reference/journal-format.md says what is in a packed frame, and shows a whole file in hex.
"""

import os
import struct
from bisect import bisect_right
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ticktape.checksum import crc32
from ticktape.errors import Corrupt
from ticktape.journal.disk import read_at
from ticktape.journal.format import NONCE_BYTES, SEGMENT_HEADER_BYTES
from ticktape.journal.packing import PACK_ERRORS, unpack_frame

SEALED_NAME = b"TICKSEAL"
SEALED_VERSION = 1
SUSPECT = 1
HEAD = struct.Struct("<II8sHHI128sQ32s32s28sI")
FRAME = struct.Struct("<II8sQQIIII12sI")
INDEX_ENTRY = struct.Struct("<QQ")
INDEX_END = struct.Struct("<QII")
HEAD_MAGIC, FRAME_MAGIC, INDEX_MAGIC = 0x184D2A54, 0x184D2A55, 0x184D2A56
HEAD_BYTES, FRAME_BYTES = HEAD.size, FRAME.size
LINK_BYTES = 32

assert HEAD_BYTES == 256
assert FRAME_BYTES == 64

_SKIP = struct.Struct("<II")
_LOOK_BYTES = 1 << 20
_BINARY = getattr(os, "O_BINARY", 0)


class SealedHead(NamedTuple):
    """What the head says of the segment; `previous` is the link of the sealed one before it."""

    flags: int
    header: bytes
    plain_bytes: int
    sha256: bytes
    previous: bytes

    def pack(self) -> bytes:
        """The 256 bytes of it."""
        head = HEAD.pack(
            HEAD_MAGIC,
            HEAD_BYTES - _SKIP.size,
            SEALED_NAME,
            SEALED_VERSION,
            self.flags,
            0,
            self.header,
            self.plain_bytes,
            self.sha256,
            self.previous,
            b"",
            0,
        )
        return _with_crc(head)

    def link(self, name: str) -> bytes:
        """What the next one is chained to; `name` is the plain segment's."""
        said = f"{name}:0-{self.plain_bytes}"
        return sha256(self.previous + self.sha256 + said.encode()).digest()


def unpack_head(head: bytes, path: Path) -> SealedHead:
    """The head of the sealed segment at `path` from its first 256 bytes.

    Raises:
        Corrupt: too short, not ours, a version we do not know, or a wrong checksum.
    """
    if not _is_whole(head):
        raise Corrupt(f"{path}: the sealed segment's head is damaged")
    fields = HEAD.unpack_from(head)
    if fields[2] != SEALED_NAME or fields[3] != SEALED_VERSION:
        raise Corrupt(
            f"{path}: sealed in version {fields[3]}",
            hint="Read it with the ticktape that wrote it, or a newer one.",
        )
    return SealedHead(fields[4], *fields[6:10])


class FrameHead(NamedTuple):
    """What stands before a packed frame; `blocks` is 0 for bytes that are none."""

    nonce: bytes
    offset: int
    seq: int
    plain_bytes: int
    packed_bytes: int
    blocks: int
    packed_crc: int

    def pack(self) -> bytes:
        """The 64 bytes of it."""
        return _with_crc(FRAME.pack(FRAME_MAGIC, FRAME_BYTES - _SKIP.size, *self, b"", 0))


def parse_frame(chunk: bytes, at: int = 0) -> FrameHead | None:
    """The frame's head at `chunk[at]`; None when there is no true one."""
    head = chunk[at : at + FRAME_BYTES]
    if len(head) < FRAME_BYTES or crc32(head[:-4]) != _last_word(head):
        return None
    fields = FRAME.unpack(head)
    return FrameHead(*fields[2:9]) if fields[0] == FRAME_MAGIC else None


def pack_index(entries: list[tuple[int, int]]) -> bytes:
    """The index; its last entry is (offset behind all frames, the index's own place)."""
    body = b"".join(INDEX_ENTRY.pack(*entry) for entry in entries)
    start = _SKIP.pack(INDEX_MAGIC, len(body) + INDEX_END.size) + body
    return _with_crc(start + INDEX_END.pack(entries[-1][1], len(entries), 0))


def _is_whole(head: bytes) -> bool:
    return len(head) == HEAD_BYTES and crc32(head[:-4]) == _last_word(head)


def _with_crc(packed: bytes) -> bytes:
    return packed[:-4] + crc32(packed[:-4]).to_bytes(4, "little")


def _last_word(packed: bytes) -> int:
    return int.from_bytes(packed[-4:], "little")


class SealedFile:
    """Reads a sealed segment as the segment that it was; what is damaged in it reads as zeros.

    One thread at a time. The last frame that was unpacked is kept: a reader goes on in it.

    Raises:
        FileNotFoundError: there is none.
        Corrupt: it is of a version that we do not know.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | _BINARY)
        try:
            head = read_at(self._descriptor, HEAD_BYTES, 0)
            self.head: SealedHead | None = unpack_head(head, path) if _is_whole(head) else None
            self.has_index = True
            entries = self._read_index()
            if entries is None:
                self.has_index = False
                entries = self._find_frames()
        except BaseException:
            os.close(self._descriptor)
            raise
        self._offsets = [offset for offset, _ in entries]
        self._places = [place for _, place in entries]
        # Of the first byte of the segment; its header is in our head, and in no frame.
        self._base = self._offsets[0] - SEGMENT_HEADER_BYTES
        self._kept = (-1, b"")

    def size(self) -> int:
        """Bytes of the segment that it was."""
        return self._offsets[-1] - self._base

    def read_at(self, count_bytes: int, file_offset: int) -> bytes:
        """Up to `count_bytes` of the segment from a place in it; fewer at its end."""
        parts = []
        at, end = file_offset, min(file_offset + count_bytes, self.size())
        if at < SEGMENT_HEADER_BYTES and at < end:
            header = self.head.header if self.head is not None else bytes(SEGMENT_HEADER_BYTES)
            parts.append(header[at:end])
            at += len(parts[0])
        while at < end:
            number = bisect_right(self._offsets, at + self._base) - 1
            within = at + self._base - self._offsets[number]
            parts.append(self._frame(number)[within : within + end - at])
            at += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def damaged_frames(self) -> list[tuple[int, int]]:
        """(offset in the epoch, bytes) of the frames that do not prove true; reads all."""
        return [
            (self._offsets[number], self._plain_bytes(number))
            for number in range(len(self._offsets) - 1)
            if self._unpack(number) is None
        ]

    def close(self) -> None:
        """Close the file; may be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "SealedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Frames.

    def _plain_bytes(self, number: int) -> int:
        return self._offsets[number + 1] - self._offsets[number]

    def _frame(self, number: int) -> bytes:
        if self._kept[0] != number:
            found = self._unpack(number)
            self._kept = (number, bytes(self._plain_bytes(number)) if found is None else found)
        return self._kept[1]

    def _unpack(self, number: int) -> bytes | None:
        place = self._places[number]
        if place < 0:
            return None
        head = parse_frame(read_at(self._descriptor, FRAME_BYTES, place))
        if head is None or head.offset != self._offsets[number]:
            return None
        body = read_at(self._descriptor, head.packed_bytes, place + FRAME_BYTES)
        if crc32(body) != head.packed_crc:
            return None
        try:
            plain = unpack_frame(body, head.nonce, head.offset, head.seq, head.blocks)
        except PACK_ERRORS:
            return None
        return plain if len(plain) == self._plain_bytes(number) else None

    def _read_index(self) -> list[tuple[int, int]] | None:
        size = os.fstat(self._descriptor).st_size
        end = read_at(self._descriptor, INDEX_END.size, max(size - INDEX_END.size, 0))
        if len(end) < INDEX_END.size:
            return None
        place, count, crc = INDEX_END.unpack(end)
        if not HEAD_BYTES <= place < size or size - place > _SKIP.size + (count + 1) * 16:
            return None
        index = read_at(self._descriptor, size - place, place)
        if crc32(index[:-4]) != crc or not count:
            return None
        return list(INDEX_ENTRY.iter_unpack(index[_SKIP.size : -INDEX_END.size]))

    def _find_frames(self) -> list[tuple[int, int]]:
        """The index again, from the frames; where a head among them is damaged, the next is found.

        What lies between two frames that do not join is an entry at no place: it reads as zeros.
        """
        size = os.fstat(self._descriptor).st_size
        first_offset = self._first_offset()
        entries: list[tuple[int, int]] = []
        at, offset = HEAD_BYTES, first_offset
        while at < size:
            head = parse_frame(read_at(self._descriptor, FRAME_BYTES, at))
            if head is None:
                found = self._next_frame(at + 1, size)
                if found is None:
                    break
                at = found
                continue
            if head.offset > offset:
                entries.append((offset, -1))
            entries.append((head.offset, at))
            at += FRAME_BYTES + head.packed_bytes
            offset = head.offset + head.plain_bytes
        if self.head is not None:
            whole = first_offset - SEGMENT_HEADER_BYTES + self.head.plain_bytes
            if whole > offset:
                entries.append((offset, -1))
                offset = whole
        return [*entries, (offset, min(at, size))]

    def _first_offset(self) -> int:
        """Offset in the epoch of the first byte behind the segment's own header."""
        base = self.path.name.partition(".")[0].partition("-")[2]
        return int(base) + SEGMENT_HEADER_BYTES

    def _next_frame(self, start: int, size: int) -> int | None:
        magic = _SKIP.pack(FRAME_MAGIC, FRAME_BYTES - _SKIP.size)
        while start < size:
            chunk = read_at(self._descriptor, _LOOK_BYTES, start)
            at = chunk.find(magic)
            while at >= 0:
                if parse_frame(read_at(self._descriptor, FRAME_BYTES, start + at)) is not None:
                    return start + at
                at = chunk.find(magic, at + 1)
            start += max(len(chunk) - len(magic) - NONCE_BYTES, 1)
        return None
