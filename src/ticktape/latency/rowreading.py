"""Reads stage rows and pauses back, as NumPy arrays; the writers need no NumPy, and never see this.

Whole rows are taken and a torn tail is left; what cannot be a row is left out, never guessed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import numpy.typing as npt

from ticktape.latency import pauselog, stagelog
from ticktape.latency.rowfile import HEAD, SUFFIX, RowHead, unpack_head
from ticktape.latency.stagelog import STAGES

_STAGE_ROW: Final = np.dtype([(name, "<i8") for name in stagelog.FIELDS])
ROW: Final = np.dtype([*((name, "<i8") for name in stagelog.FIELDS), ("boot", "<u8", (2,))])
"""A stage row: with the boot whose monotonic clock its stamp is of (see `boot_words`)."""

ROWS_MAX: Final = 2_000_000
"""The newest rows of a stage and feed of which percentiles are made: 112 MB in memory."""

_PAUSE_ROW: Final = np.dtype([(name, "<i8") for name in pauselog.FIELDS])
PAUSE: Final = np.dtype(
    [*((name, "<i8") for name in pauselog.FIELDS), ("boot", "<u8", (2,)), ("process", "S64")]
)
"""A pause: with the boot of its stamps and the name of its process."""


def row_files(directory: Path, name: str | None = None) -> list[Path]:
    """The files in `directory` that are of `name` (None: of any), the newest last."""
    found = []
    for path in directory.glob(f"*{SUFFIX}"):
        prefix, *rest = path.name.rsplit("-", 2)
        if name is None or prefix == quote(name, safe=""):
            with contextlib.suppress(FileNotFoundError):  # it was old, and has been deleted
                found.append((path.stat().st_mtime_ns, len(rest[0]) if rest else 0, path))
    return [path for *_, path in sorted(found)]


def read_files(
    directory: Path, name: str | None, dtype: "np.dtype[np.void]", rows_max: int | None = None
) -> Iterator[tuple[RowHead, npt.NDArray[np.void]]]:
    """Head and whole rows of every file in `directory` that is of `name` (None: of any).

    In order of the processes' starts, but for the oldest files when there are more than `rows_max`
    rows. Files without a whole head of ours are passed over: a process that died while it made one
    had written no row.
    """
    found = []
    total = 0
    for path in reversed(row_files(directory, name)):
        if rows_max is not None and total >= rows_max:
            break
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            continue
        total += max(0, len(raw) - HEAD.size) // dtype.itemsize
        head = unpack_head(raw, dtype.itemsize)
        if head is not None:
            count = (len(raw) - HEAD.size) // dtype.itemsize
            rows = np.frombuffer(raw, dtype=dtype, count=count, offset=HEAD.size)
            found.append((head, rows))
    found.sort(key=lambda one: (one[0].start_ns, one[0].pid))
    yield from found


def boot_words(boot_id: bytes) -> npt.NDArray[np.uint64]:
    """A boot id as the two words that rows carry in their `boot` field."""
    return np.frombuffer(boot_id, dtype="<u8")


def read_rows(directory: Path, feed: str, rows_max: int | None = None) -> npt.NDArray[np.void]:
    """All rows of a stage (`directory` is DIR/stages/<stage>/) for `feed`, as `ROW`.

    In order of the processes' starts, as written within one. Rows that cannot be (zeros that a
    power cut left, an empty range) are left out. Of more than `rows_max` the oldest
    files' are, too.
    """
    parts = []
    for head, rows in read_files(directory, feed, _STAGE_ROW, rows_max):
        is_true = (
            (rows["to_offset"] > rows["from_offset"])
            & (rows["from_offset"] >= 0)
            & (rows["epoch"] >= 0)
            & (rows["mono_ns"] > 0)
            & (rows["count"] >= 0)
        )
        kept = rows[is_true]
        part = np.empty(len(kept), dtype=ROW)
        for name in _STAGE_ROW.names or ():
            part[name] = kept[name]
        part["boot"] = boot_words(head.boot_id)
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0, dtype=ROW)


def read_stages(
    directory: Path, feed: str, rows_max: int | None = None
) -> dict[str, npt.NDArray[np.void]]:
    """Rows per stage from DIR/stages/: the known stages first, in order, then any others by name.

    Of each they are the newest, some `rows_max` at most.
    Stages of which nothing was ever written for `feed` have no rows.
    """
    others = sorted(
        path.name for path in directory.glob("*") if path.is_dir() and path.name not in STAGES
    )
    return {stage: read_rows(directory / stage, feed, rows_max) for stage in (*STAGES[1:], *others)}


def read_pauses(directory: Path) -> npt.NDArray[np.void]:
    """All pauses of all processes, as `PAUSE`."""
    parts = []
    for head, rows in read_files(directory, None, _PAUSE_ROW):
        kept = rows[(rows["start_mono_ns"] > 0) & (rows["duration_ns"] > 0)]
        part = np.empty(len(kept), dtype=PAUSE)
        for name in _PAUSE_ROW.names or ():
            part[name] = kept[name]
        part["boot"] = boot_words(head.boot_id)
        part["process"] = head.name.encode()
        parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0, dtype=PAUSE)
