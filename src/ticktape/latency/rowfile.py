"""Files of small fixed rows, appended only: one per process start, then one per 16 MiB of them.

    head  "TTROWS01" · version u32 · row bytes u32 · boot id 16 · stage 32 · name 64 ·
          start_ns i64 · pid i64 · CRC-32 of the head u32            148 bytes, little-endian
    rows  row bytes each, up to the end of the file

A disk that refuses never reaches the caller: rows wait in memory up to a bound and are then dropped
and counted, because what they measure must go on. A reader takes whole rows and leaves a torn tail.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote

import msgspec

from ticktape.clock import monotonic_ns

MAGIC: Final = b"TTROWS01"
VERSION: Final = 1
SUFFIX: Final = ".rows"
STAGE_BYTES: Final = 32
NAME_BYTES: Final = 64
# 26,000 stage rows: at 1,000 batches a second, half a minute of a disk that refuses.
PENDING_BYTES_MAX: Final = 1 << 20
# Whole files are what can be deleted of a recorder that runs for months.
FILE_BYTES_MAX: Final = 16 << 20

HEAD: Final = struct.Struct(f"<8sII16s{STAGE_BYTES}s{NAME_BYTES}sqqI")
_CRC = struct.Struct("<I")


class RunId(NamedTuple):
    """One start of one process: what makes its files' names unique and its stamps comparable."""

    boot_id: bytes
    start_ns: int
    pid: int


class RowHead(NamedTuple):
    """The head of one file."""

    boot_id: bytes
    stage: str
    name: str
    start_ns: int
    pid: int


class RowStatistics(msgspec.Struct, frozen=True):
    """Rows given, rows dropped because the disk refused, and what it last said (empty: nothing)."""

    rows: int
    dropped: int
    failure: str


class RowFile:
    """Append rows to DIRECTORY/<name>-<start_ns>-<pid>.rows; the file comes with the first row.

    Raises:
        ValueError: `stage` or `name` is empty or longer than its field.
    """

    def __init__(self, directory: Path, stage: str, name: str, run: RunId, row_bytes: int) -> None:
        self._directory = directory
        self._stage, self._name, self._run = stage, name, run
        self._row_bytes = row_bytes
        self._file_number = -1
        self._begin(run)
        self._rows = 0
        self._rows_before = 0  # in files that are full
        self._dropped = 0
        self._failure = ""

    def _begin(self, run: RunId) -> None:
        self.path = self._directory / (
            f"{quote(self._name, safe='')}-{run.start_ns}-{run.pid}{SUFFIX}"
        )
        self._pending = bytearray(_pack_head(self._stage, self._name, run, self._row_bytes))
        self._written_bytes = 0

    def write(self, rows: bytes) -> None:
        """Append whole rows, with what an earlier refusal left over before them.

        Raises:
            FileExistsError: another log of this process has this name already.
        """
        self._rows += len(rows) // self._row_bytes
        if len(self._pending) + len(rows) > PENDING_BYTES_MAX:
            self._dropped += len(rows) // self._row_bytes
        else:
            self._pending += rows
        self.drain()

    def drain(self) -> None:
        """Write what an earlier refusal left over; before the first row there is nothing to do.

        Raises:
            FileExistsError: another log of this process has this name already.
        """
        is_begun = self._written_bytes > 0 or len(self._pending) > HEAD.size
        if not is_begun or not self._pending:
            return
        try:
            if self._file_number < 0:
                self._file_number = self._open()
            while self._pending:
                # A short write leaves the rest of a row in `pending`: rows stay aligned.
                count_bytes = os.write(self._file_number, self._pending)
                del self._pending[:count_bytes]
                self._written_bytes += count_bytes
            if self._written_bytes >= FILE_BYTES_MAX:
                self._turn()
        except FileExistsError:
            raise
        except OSError as error:
            self._failure = str(error)

    def _turn(self) -> None:
        """End a file that is full; the next one has a name by which it comes behind it."""
        number, self._file_number = self._file_number, -1
        self._rows_before += self._whole_rows()
        self._begin(self._run._replace(start_ns=monotonic_ns()))
        os.close(number)

    def _whole_rows(self) -> int:
        return max(0, self._written_bytes - HEAD.size) // self._row_bytes

    def _open(self) -> int:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_BINARY", 0)
        return os.open(self.path, flags, 0o644)

    def statistics(self) -> RowStatistics:
        """What was given, dropped, and refused."""
        return RowStatistics(self._rows, self._dropped, self._failure)

    def close(self) -> None:
        """Close the file; rows that are not drained by now are dropped. May be called twice."""
        self._pending.clear()
        self._dropped = self._rows - self._rows_before - self._whole_rows()
        if self._file_number >= 0:
            os.close(self._file_number)
        self._file_number = -1


def _pack_head(stage: str, name: str, run: RunId, row_bytes: int) -> bytes:
    stage_text, name_text = stage.encode(), name.encode()
    if not 0 < len(stage_text) <= STAGE_BYTES or not 0 < len(name_text) <= NAME_BYTES:
        raise ValueError(
            f"stage {stage!r} must have 1 to {STAGE_BYTES} bytes, name {name!r} 1 to {NAME_BYTES}"
        )
    head = HEAD.pack(
        MAGIC, VERSION, row_bytes, run.boot_id, stage_text, name_text, run.start_ns, run.pid, 0
    )[: -_CRC.size]
    return head + _CRC.pack(zlib.crc32(head))


def unpack_head(raw: bytes, row_bytes: int) -> RowHead | None:
    """The head at the beginning of `raw`; None when it is none of ours or of other rows."""
    if len(raw) < HEAD.size:
        return None
    magic, version, size, boot_id, stage, name, start_ns, pid, crc = HEAD.unpack_from(raw)
    body = raw[: HEAD.size - _CRC.size]
    if (magic, version, size, crc) != (MAGIC, VERSION, row_bytes, zlib.crc32(body)):
        return None
    return RowHead(
        boot_id, stage.rstrip(b"\0").decode(), name.rstrip(b"\0").decode(), start_ns, pid
    )
