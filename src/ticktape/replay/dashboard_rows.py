"""Follows the stages' row files from near their ends, and the log; only reading."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt

from ticktape.directory import LOG_FILES, older_log
from ticktape.latency.rowfile import HEAD, SUFFIX, RowHead, unpack_head
from ticktape.latency.rowreading import ROW, boot_words
from ticktape.latency.stagelog import FIELDS

TAIL_BYTES: Final = 4 << 20  # 100,000 rows: what a page that is opened shows of the past
_FILES_MAX: Final = 4  # of one stage and feed: earlier processes' rows are long past
_ROW: Final = np.dtype([(name, "<i8") for name in FIELDS])
_LOG_BYTES: Final = 1 << 20


class NewRows(NamedTuple):
    """Rows of one stage and feed that came since the time before, as `latency.rowreading.ROW`."""

    stage: str
    feed: str
    boot_id: bytes
    rows: npt.NDArray[np.void]


class _RowTail:
    """One file of rows, read on from near its end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self.head: RowHead | None = None

    def read(self) -> npt.NDArray[np.void]:
        """Whole rows that are new; at most the last TAIL_BYTES of them."""
        with open(self._path, "rb") as source:
            if self.head is None:
                self.head = unpack_head(source.read(HEAD.size), _ROW.itemsize)
                self._at = HEAD.size
            if self.head is None:
                return np.empty(0, dtype=ROW)
            end = source.seek(0, 2)
            count = (end - self._at) // _ROW.itemsize
            skipped = max(0, count - TAIL_BYTES // _ROW.itemsize)
            source.seek(self._at + skipped * _ROW.itemsize)
            raw = source.read((count - skipped) * _ROW.itemsize)
        rows = np.frombuffer(raw, dtype=_ROW, count=len(raw) // _ROW.itemsize)
        self._at += (skipped + len(rows)) * _ROW.itemsize
        kept = rows[(rows["to_offset"] > rows["from_offset"]) & (rows["mono_ns"] > 0)]
        made = np.empty(len(kept), dtype=ROW)
        for name in FIELDS:
            made[name] = kept[name]
        made["boot"] = boot_words(self.head.boot_id)
        return made


class StageTails:
    """All stages of all feeds; a strategy's own journal is left out."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tails: dict[Path, _RowTail] = {}

    def read(self) -> Iterator[NewRows]:
        """What is new, file by file; `written` first, for the others are measured by it."""
        for path in self._files():
            tail = self._tails.setdefault(path, _RowTail(path))
            try:
                rows = tail.read()
            except OSError:
                continue  # taken away since; its rows are of no use without it
            if len(rows) and tail.head is not None:
                yield NewRows(path.parent.name, tail.head.name, tail.head.boot_id, rows)

    def _files(self) -> list[Path]:
        newest: dict[tuple[str, str], list[tuple[int, Path]]] = {}
        for path in self._folder.glob(f"*/*{SUFFIX}"):
            name, start_ns, _ = path.name.rsplit("-", 2)
            if ":" not in unquote(name) and start_ns.isdigit():
                newest.setdefault((path.parent.name, name), []).append((int(start_ns), path))
        found = [path for paths in newest.values() for _, path in sorted(paths)[-_FILES_MAX:]]
        return sorted(found, key=lambda path: (path.parent.name != "written", path))


class LineTail:
    """Lines of a log that grows; it begins near its end, and goes on in the file that follows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._at = 0
        self._file = 0

    def read(self) -> list[bytes]:
        """Whole lines that are new; of each file at most the last MiB, cut at its beginning."""
        lines = []
        for path in self._unread():
            lines += self._lines(path)
        return lines

    def _unread(self) -> list[Path]:
        """The file, and before it those that were moved aside since we read."""
        older: list[Path] = []
        try:
            if self._path.stat().st_ino == self._file:
                return [self._path]
            for number in range(1, LOG_FILES):
                older.insert(0, older_log(self._path, number))
                if older[0].stat().st_ino == self._file:
                    return [*older, self._path]
                if not self._file:  # the first time: a file that has just begun tells too little
                    return [*older, self._path]
        except OSError:
            pass  # not there: it was never moved aside
        return [self._path]

    def _lines(self, path: Path) -> list[bytes]:
        try:
            with open(path, "rb") as source:
                status = os.fstat(source.fileno())
                if status.st_ino != self._file or status.st_size < self._at:
                    self._file, self._at = status.st_ino, 0
                begin = max(self._at, status.st_size - _LOG_BYTES)
                source.seek(begin)
                raw = source.read(status.st_size - begin)
        except OSError:
            return []
        whole = raw[: raw.rfind(b"\n") + 1]
        lines = whole.splitlines()
        # What was skipped ended in the middle of a line.
        cut = begin > self._at
        self._at = begin + len(whole)
        return lines[cut:]
