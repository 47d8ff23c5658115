"""A mapped file itself: made of real zeros, mapped, judged, and one cell written or read safely.

A file is never sparse (a hole on a full disk kills its reader with SIGBUS) and never made shorter
(so does a page that is gone); a new head is published last, so that nobody reads half of one.
"""

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from ticktape.checksum import crc32
from ticktape.clock import sleep_s
from ticktape.errors import Full, WriteFailed
from ticktape.failpoints import Failpoints, from_environment
from ticktape.lastvalue.layout import (
    CHECK_BYTES,
    HEAD_BYTES,
    MAGIC,
    VERSION,
    WORD_BOOT,
    WORD_BYTES,
    WORD_CAPACITY,
    WORD_CELL_BYTES,
    WORD_COUNT,
    WORD_GENERATION,
    WORD_MAGIC,
    WORD_VERSION,
    Shape,
)

BOOT_BYTES: Final = 16
_ZEROS_BYTES: Final = 1 << 20
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# A writer holds a cell odd for under a microsecond, unless the scheduler takes its core in between:
# look often first, then wait 50 µs each, together about 20 ms, which is several time slices.
READ_TRIES: Final = 300
READ_TRIES_NOWAIT: Final = 100
READ_WAIT_S: Final = 50e-6

_CHECK = struct.Struct("=Q")  # the CRC, and above it the payload's length
_CRC_MASK: Final = 0xFFFF_FFFF
_LENGTH_SHIFT: Final = 32
_WORD_MASK: Final = 0xFFFF_FFFF_FFFF_FFFF


class Mapping:
    """One file in memory: `view` for cells as bytes, `words` for the words that others watch.

    `words` is a memoryview of unsigned 64-bit words: one store is one store, while
    `struct.pack_into` clears its target first and lets a reader see the zeros.
    """

    __slots__ = ("_cell_bytes", "_failpoints", "_room_bytes", "file_id", "shape", "view", "words")

    def __init__(self, file_number: int, length_bytes: int, shape: Shape, *, write: bool) -> None:
        access = mmap.ACCESS_WRITE if write else mmap.ACCESS_READ
        status = os.fstat(file_number)
        self.file_id = (status.st_dev, status.st_ino)
        self.shape = shape
        self._cell_bytes = shape.cell_bytes
        self._room_bytes = shape.cell_bytes - CHECK_BYTES
        self.view = mmap.mmap(file_number, length_bytes, access=access)
        self.words = memoryview(self.view).cast("Q")
        self._failpoints: Failpoints | None = from_environment() if write else None

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self.words.release()
        self.view.close()

    def head_is_valid(self) -> bool:
        """Whether the head is one of ours and the file is long enough for what it says."""
        words = self.words
        return (
            words[WORD_MAGIC] == MAGIC
            and words[WORD_VERSION] == VERSION
            and words[WORD_CELL_BYTES] == self._cell_bytes
            and words[WORD_GENERATION] != 0
            and words[WORD_COUNT] <= words[WORD_CAPACITY]
            and self.shape.file_bytes(words[WORD_CAPACITY]) <= len(self.view)
        )

    def boot_id(self) -> bytes:
        """The boot in which the file was made: 16 bytes."""
        return self.view[WORD_BOOT * WORD_BYTES : WORD_BOOT * WORD_BYTES + BOOT_BYTES]

    def store_cell(self, cell: int, payload: bytes) -> None:
        """Write a cell so that no reader takes half of it: odd, payload, even.

        One memcpy writes CRC, length and payload. On machines that reorder stores the CRC says what
        the sequence cannot.
        """
        assert 0 < len(payload) <= self._room_bytes
        word = (HEAD_BYTES + cell * self._cell_bytes) // WORD_BYTES
        start = (word + 1) * WORD_BYTES
        sequence = self.words[word] | 1
        self.words[word] = sequence
        checked = _CHECK.pack(crc32(payload) | len(payload) << _LENGTH_SHIFT) + payload
        if self._failpoints is not None and self._failpoints.hit(self.shape.failpoint):
            half = len(checked) // 2
            self.view[start : start + half] = checked[:half]
            self._failpoints.die()
        self.view[start : start + len(checked)] = checked
        self.words[word] = sequence + 1 & _WORD_MASK

    def load_cell(self, cell: int, tries: int = READ_TRIES) -> bytes | None:
        """Payload of a cell, whole; None when after `tries` it still was odd or did not check.

        None means that its writer died or stands still in the middle of it.
        """
        start = HEAD_BYTES + cell * self._cell_bytes
        word = start // WORD_BYTES
        start += CHECK_BYTES
        words = self.words
        view = self.view
        room = self._room_bytes
        for attempt in range(tries):
            sequence = words[word]
            if not sequence & 1:
                check = words[word + 1]
                length = check >> _LENGTH_SHIFT
                # A check that is itself half written may say any length.
                if 0 < length <= room:
                    payload = view[start : start + length]
                    if words[word] == sequence and check & _CRC_MASK == crc32(payload):
                        return payload
            if attempt >= READ_TRIES_NOWAIT:
                sleep_s(READ_WAIT_S)
        return None

    def peek_cell(self, cell: int) -> tuple[bool, bytes]:
        """Whether a cell's CRC holds, and its payload as it stands, odd or even.

        When the CRC does not hold, neither may the length: the payload then is all of its room.
        """
        start = HEAD_BYTES + cell * self._cell_bytes + CHECK_BYTES
        check = self.words[start // WORD_BYTES - 1]
        room = self.view[start : start + self._room_bytes]
        length = check >> _LENGTH_SHIFT
        payload = room[:length]
        if 0 < length <= len(room) and check & _CRC_MASK == crc32(payload):
            return True, payload
        return False, room

    def is_odd(self, cell: int) -> bool:
        """Whether a writer is, or was when it died, in the middle of the cell."""
        return bool(self.words[self.shape.cell_word(cell)] & 1)


assert WORD_BYTES + _CHECK.size == CHECK_BYTES


def open_for_reading(path: Path, shape: Shape) -> Mapping | None:
    """Map what is there; None while there is no file or its head is not one of ours (yet)."""
    try:
        with path.open("rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length < HEAD_BYTES:
                return None
            mapping = Mapping(file.fileno(), length - length % WORD_BYTES, shape, write=False)
    except (FileNotFoundError, NotADirectoryError):
        return None
    if mapping.head_is_valid():
        return mapping
    mapping.close()
    return None


def open_for_writing(
    path: Path, boot_id: bytes, capacity: int, shape: Shape
) -> tuple[Mapping, bool]:
    """Map `path` to write it, and say whether what stood there was kept.

    What stands there is kept when it is of this boot, version and capacity. Otherwise it is made
    anew in place, never shorter, because others may have it mapped.

    Raises:
        Full: the disk has no room for the zeros.
        WriteFailed: the file cannot be made or mapped.
    """
    assert len(boot_id) == BOOT_BYTES
    length = shape.file_bytes(capacity)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        number = os.open(path, flags, 0o644)
        try:
            if os.fstat(number).st_size >= length:
                mapping = Mapping(number, length, shape, write=True)
                if (
                    mapping.head_is_valid()
                    and mapping.boot_id() == boot_id
                    and mapping.words[WORD_CAPACITY] == capacity
                ):
                    return mapping, True
                mapping.close()
            _write_zeros(number, length)
            mapping = Mapping(number, length, shape, write=True)
        finally:
            os.close(number)
    except OSError as error:
        kind = Full if error.errno in _NO_ROOM else WriteFailed
        raise kind(
            f"{path}: cannot make the last-value file of {length} bytes: {error.strerror}",
            hint="Free some space or make the directory writable; recording does not need it.",
        ) from error
    publish_head(mapping, boot_id, capacity)
    return mapping, False


def _write_zeros(file_number: int, length_bytes: int) -> None:
    """Overwrite the whole file with zeros, the head first: from then on no reader trusts it."""
    os.lseek(file_number, 0, os.SEEK_SET)
    zeros = memoryview(bytes(min(length_bytes, _ZEROS_BYTES)))
    left = length_bytes
    while left:
        left -= os.write(file_number, zeros[:left])


def publish_head(mapping: Mapping, boot_id: bytes, capacity: int) -> None:
    """Write the head of a zeroed file; the magic comes last and makes it valid."""
    words = mapping.words
    words[WORD_VERSION] = VERSION
    words[WORD_CELL_BYTES] = mapping.shape.cell_bytes
    words[WORD_CAPACITY] = capacity
    words[WORD_COUNT] = 0
    mapping.view[WORD_BOOT * WORD_BYTES : WORD_BOOT * WORD_BYTES + BOOT_BYTES] = boot_id
    # Never 0, and never the one that a reader still has in mind: by chance and not by counting,
    # because a file that is made twice in a row may have lost its count.
    words[WORD_GENERATION] = int.from_bytes(os.urandom(WORD_BYTES), "little") | 1
    words[WORD_MAGIC] = MAGIC


def wipe(mapping: Mapping, boot_id: bytes, capacity: int) -> None:
    """Make an open file anew: invalid first, then zeros, then a head of a new generation."""
    mapping.words[WORD_MAGIC] = 0
    mapping.words[WORD_GENERATION] = 0
    mapping.view[: len(mapping.view)] = bytes(len(mapping.view))
    publish_head(mapping, boot_id, capacity)
