"""What a stage did: a row of 40 bytes per batch, saying which positions reached it and when.

`append` is on the hot path: it never touches the disk until its memory is full, and nothing that
the disk does ever raises from it.
"""

import struct
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from ticktape.latency.rowfile import RowFile, RowStatistics, RunId, boot_words, read_files

STAGES: Final = ("recv", "written", "synced", "last", "decided", "stored")
"""The stages in the order of an entry's way; `recv` stands in the journal's block headers."""

# A row: the stage has done the blocks [from_offset, to_offset) of `epoch`, `count` entries, at
# `mono_ns`.
_FIELDS: Final = [
    ("epoch", "<i8"),
    ("from_offset", "<i8"),
    ("to_offset", "<i8"),
    ("mono_ns", "<i8"),
    ("count", "<i8"),
]
_FILE_ROW: Final = np.dtype(_FIELDS)
ROW: Final = np.dtype([*_FIELDS, ("boot", "<u8", (2,))])
"""A row as read back: with the boot whose monotonic clock its stamp is of (see `boot_words`)."""

_ROW_WORDS: Final = len(_FIELDS)
# 4,096 rows wait in memory at most, 160 kB on the disk.
_WORDS_MAX: Final = 4096 * _ROW_WORDS


class StageLog:
    """The rows of one stage for one feed, in one process; for one thread.

    `directory` is DIR/stages/<stage>/ and its name is the stage's. The caller flushes when it has a
    moment (before it sleeps, or every 50 ms); a killed process loses what it had not flushed, and
    those entries then have no stamp.
    """

    __slots__ = ("_file", "_words")

    def __init__(self, directory: Path, name: str, run_id: RunId) -> None:
        self._file = RowFile(directory, directory.name, name, run_id, _FILE_ROW.itemsize)
        self._words: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file, which is there after the first flush of a row."""
        return self._file.path

    def append(
        self, epoch: int, from_offset: int, to_offset: int, mono_ns: int, count: int
    ) -> None:
        """Note that the stage has done [from_offset, to_offset) of `epoch` at `mono_ns`."""
        # A flat list takes a row in half the time of packing it, which is left to `flush`.
        words = self._words
        words += (epoch, from_offset, to_offset, mono_ns, count)
        if len(words) >= _WORDS_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand the rows to the system: they then survive `kill -9`."""
        words = self._words
        if words:
            self._file.write(struct.pack(f"<{len(words)}q", *words))
            words.clear()
        else:
            self._file.drain()

    def statistics(self) -> RowStatistics:
        """Rows flushed, and those that the disk refused."""
        return self._file.statistics()

    def close(self) -> None:
        """Flush and close; may be called twice."""
        self.flush()
        self._file.close()


def read_rows(directory: Path, feed: str) -> npt.NDArray[np.void]:
    """All rows of a stage (`directory` is DIR/stages/<stage>/) for `feed`, as `ROW`.

    In order of the processes' starts, as written within one. Rows that cannot be (zeros that a
    power cut left, an empty range) are left out.
    """
    parts = []
    for head, rows in read_files(directory, feed, _FILE_ROW):
        is_true = (
            (rows["to_offset"] > rows["from_offset"])
            & (rows["from_offset"] >= 0)
            & (rows["epoch"] >= 0)
            & (rows["mono_ns"] > 0)
            & (rows["count"] >= 0)
        )
        kept = rows[is_true]
        part = np.empty(len(kept), dtype=ROW)
        for name in _FILE_ROW.names or ():
            part[name] = kept[name]
        part["boot"] = boot_words(head.boot_id)
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0, dtype=ROW)


def read_stages(directory: Path, feed: str) -> dict[str, npt.NDArray[np.void]]:
    """Rows per stage from DIR/stages/: the known stages first, in order, then any others by name.

    Stages of which nothing was ever written for `feed` have no rows.
    """
    others = sorted(
        path.name for path in directory.glob("*") if path.is_dir() and path.name not in STAGES
    )
    return {stage: read_rows(directory / stage, feed) for stage in (*STAGES[1:], *others)}
