"""One entry's way through the stages, found by bisection: a few headers and rows, at any length.

`ticktape trace` reads the whole journal instead, and needs no stage rows to find an entry.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from ticktape.clock import iso_utc
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.latency import STAGES, path_of
from ticktape.latency.rowfile import HEAD, SUFFIX, unpack_head
from ticktape.latency.rowreading import ROW, boot_words
from ticktape.latency.stagelog import FIELDS
from ticktape.records import Position
from ticktape.replay.dashboard_stages import HeaderReader, block_index

_AROUND: Final = 2_048  # rows beside the one that is looked for: those of a restart overlap
_ROW: Final = np.dtype([(name, "<i8") for name in FIELDS])


class _Mapped(NamedTuple):
    """Rows of one process, mapped: only what is looked at is read from the disk."""

    rows: npt.NDArray[np.void]
    boot_id: bytes


def path(directory: RunDirectory, given: Mapping[str, str]) -> object:
    """The steps of the entry `seq` of an `epoch` of a `feed`.

    Raises:
        ConfigError: there is no such feed.
    """
    feed, epoch, seq = given["feed"], int(given["epoch"]), int(given["seq"])
    if feed not in directory.feeds():
        raise ConfigError([f"there is no feed {feed!r}"])
    folders = sorted(entry.name for entry in directory.stages.glob("*") if entry.is_dir())
    files = {stage: _map_files(directory.stages / stage, feed) for stage in folders}
    headers = HeaderReader(directory, feed)
    try:
        block = _find_block(headers, files.get(STAGES[1], []), epoch, seq)
        boot_id = headers.boot_id(epoch)
    finally:
        headers.close()
    if block is None or boot_id is None:
        return {"words": "No stamp leads to this entry; ticktape trace reads the whole journal."}
    index = block_index(feed, np.array([block], dtype=np.int64), {epoch: boot_id})
    stages = {stage: _rows_near(each, epoch, block[2]) for stage, each in files.items()}
    found = path_of(index, stages, Position(epoch, block[1]))
    # A run without a strategy has no such stage: nothing was to be reached there.
    steps = [step for step in found if step.stage in files or step.stage == STAGES[0]]
    return {"steps": [step._asdict() for step in steps], "recv_time": iso_utc(block[6])}


def _map_files(folder: Path, feed: str) -> list[_Mapped]:
    found = []
    for file in folder.glob(f"*{SUFFIX}"):
        with open(file, "rb") as source:
            head = unpack_head(source.read(HEAD.size), _ROW.itemsize)
        count = (file.stat().st_size - HEAD.size) // _ROW.itemsize
        if head is not None and head.name == feed and count > 0:
            rows = np.memmap(file, _ROW, "r", HEAD.size, (count,))
            found.append(_Mapped(rows, head.boot_id))
    return found


def _find_block(
    headers: HeaderReader, written: list[_Mapped], epoch: int, seq: int
) -> tuple[int, ...] | None:
    """The block that holds an entry: every row of `written` begins where a block does."""
    for mapped in written:
        rows = mapped.rows

        def seq_at(at: int, rows: npt.NDArray[np.void] = rows) -> int:
            of_epoch = int(rows["epoch"][at])
            if of_epoch != epoch:
                return -1 if of_epoch < epoch else 1 << 62
            header = headers.read(epoch, int(rows["from_offset"][at]))
            return -1 if header is None else header[5]

        at = bisect_right(range(len(rows)), seq, key=seq_at) - 1
        if at < 0 or int(rows["epoch"][at]) != epoch:
            continue
        header = headers.read(epoch, int(rows["from_offset"][at]))
        if header is not None and header[5] <= seq < header[5] + header[4]:
            return header
    return None


def _rows_near(files: list[_Mapped], epoch: int, end_offset: int) -> npt.NDArray[np.void]:
    """The rows of a stage around the first one that may cover a block, and the last of each."""
    parts = []
    for rows, boot_id in files:

        def end_at(at: int, rows: npt.NDArray[np.void] = rows) -> tuple[int, int]:
            return int(rows["epoch"][at]), int(rows["to_offset"][at])

        found = bisect_left(range(len(rows)), (epoch, end_offset), key=end_at)
        for near in (rows[max(0, found - _AROUND) : found + _AROUND], rows[-1:]):
            part = np.empty(len(near), dtype=ROW)
            for name in FIELDS:
                part[name] = near[name]
            part["boot"] = boot_words(boot_id)
            parts.append(part)
    return np.concatenate(parts) if parts else np.empty(0, dtype=ROW)
