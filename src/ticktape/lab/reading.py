"""Reads back every capture that a cell's files hold, and checks each one's checksum.

What is torn or damaged is found here, and nothing is mended.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ticktape.journal import Reader
from ticktape.lab.packing import checksum_of, parts_of
from ticktape.lab.saving import BOOK_COLUMNS, STREAM_COLUMNS
from ticktape.mt5 import ROW_BYTES

JOURNAL = -1
"""The file of captures that stand in a journal alone."""
_BLOCK_BYTES = 16 << 20
_REPEATS_MAX = 3
_ROW = np.dtype({"names": list(BOOK_COLUMNS[2:6]), "formats": ["<u4", "<f8", "<u8", "<f8"]})
_TYPES = {
    "time_before": pa.int64(),
    "time_after": pa.int64(),
    "type": pa.uint32(),
    "price": pa.float64(),
    "volume": pa.uint64(),
    "volume_dbl": pa.float64(),
    "message": pa.string(),
    "sequence": pa.uint64(),
    "checksum": pa.uint32(),
    "leg": pa.uint32(),
}
Ints = npt.NDArray[np.int64]
Columns = dict[str, Any]


@dataclass
class Found:
    """Captures in the order in which they were read; lists of one length.

    `good` says whether the checksum is right, `file` which file it is in, `state` the number that
    the simulator's generated books carry in their last row.
    """

    leg: list[int] = field(default_factory=list)
    sequence: list[int] = field(default_factory=list)
    before_ns: list[int] = field(default_factory=list)
    after_ns: list[int] = field(default_factory=list)
    state: list[int] = field(default_factory=list)
    good: list[bool] = field(default_factory=list)
    file: list[int] = field(default_factory=list)
    torn_files: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.sequence)

    def add(
        self, head: tuple[int, int, int, int], checksum: int, body: bytes, file: int, state: int
    ) -> bool:
        """Take one capture: its sequence, before, after and leg; whether it is whole."""
        sequence, before_ns, after_ns, leg = head
        good = checksum_of(sequence, before_ns, after_ns, leg, body) == checksum
        self.leg.append(leg)
        self.sequence.append(sequence)
        self.before_ns.append(before_ns)
        self.after_ns.append(after_ns)
        self.state.append(state)
        self.good.append(good)
        self.file.append(file)
        return good

    def drop_torn(self) -> None:
        """Forget the very last capture if it is not whole: its writer was killed over it."""
        if self.good and not self.good[-1]:
            for column in (self.leg, self.sequence, self.before_ns, self.after_ns, self.state):
                column.pop()
            self.good.pop()
            self.file.pop()


def read_files(folder: Path, form: str, *, stream: bool) -> Found:
    """Every capture of a cell's files, file by file."""
    found = Found()
    for number, path in enumerate(sorted(folder.glob(f"*.{form}"))):
        try:
            rest: Columns | None = None
            for columns in _batches(path, form, stream=stream):
                rest = _take(found, columns if rest is None else _joined(rest, columns), number)
            if rest is not None:
                _take(found, rest, number, is_last=True)
        except pa.ArrowInvalid:
            found.torn_files.append(path.name)
    return found


def add_journal(found: Found, folder: Path) -> int:
    """Add what a journal holds and no file has yet; how many captures that is.

    With nobody writing it any more: a restart would read just this.
    """
    rows = zip(found.leg, found.sequence, found.good, strict=True)
    known = {(leg, sequence) for leg, sequence, good in rows if good}
    count = 0
    with Reader(folder, None) as reader:
        while blocks := reader.read():
            for block in blocks:
                for _, packed in block.entries():
                    sequence, before_ns, after_ns, leg, checksum, body = parts_of(packed)
                    if (leg, sequence) in known:
                        continue
                    head = (sequence, before_ns, after_ns, leg)
                    found.add(head, checksum, body, JOURNAL, _state_of_rows(body))
                    count += 1
    return count


def _state_of_rows(body: bytes) -> int:
    if not body or len(body) % ROW_BYTES:
        return -1
    return _state_of(float(np.frombuffer(body[-8:], "<f8")[0]))


def _state_of(volume: float) -> int:
    return round(volume * 100) - 1 if abs(volume) < 1e15 else -1


def _batches(path: Path, form: str, *, stream: bool) -> Iterator[Columns]:
    """The columns of a file as arrays, some rows at a time."""
    names = STREAM_COLUMNS if stream else BOOK_COLUMNS
    if form == "parquet":
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=list(names)):
                yield {name: _array(batch.column(name)) for name in names}
        return
    with pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
        # What a kill cut off in the middle of a row.
        parse_options=pa_csv.ParseOptions(
            newlines_in_values=stream, invalid_row_handler=lambda _: "skip"
        ),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: _TYPES[name] for name in names}, strings_can_be_null=False
        ),
    ) as reader:
        for batch in reader:
            if batch.num_rows:
                yield {name: _array(batch.column(name)) for name in names}


def _array(column: Any) -> Any:  # noqa: ANN401
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), object)
    # A value that a kill cut off: no capture has it, so that its checksum is wrong.
    filled = column.fill_null(0) if column.null_count else column
    return filled.to_numpy(zero_copy_only=False)


def _joined(first: Columns, second: Columns) -> Columns:
    return {name: np.concatenate([first[name], second[name]]) for name in first}


def _take(found: Found, columns: Columns, file: int, *, is_last: bool = False) -> Columns | None:
    """Take the whole captures of these rows; the rows of the last one, which may go on, come back.

    `is_last`: nothing follows, so that one is whole, too.
    """
    if "message" in columns:
        _take_messages(found, columns, file)
        return None
    changed = np.zeros(len(columns["sequence"]), np.bool_)
    changed[0] = True
    for name in ("sequence", "leg", "time_before"):
        changed[1:] |= columns[name][1:] != columns[name][:-1]
    starts = np.flatnonzero(changed)
    stop = len(changed) if is_last else int(starts[-1])
    rows = np.empty(stop, _ROW)
    for name in _ROW.names or ():
        rows[name] = columns[name][:stop]
    _take_books(found, columns, memoryview(rows.tobytes()), [*starts.tolist(), stop], file)
    return None if is_last else {name: column[stop:] for name, column in columns.items()}


def _take_books(
    found: Found, columns: Columns, rows: memoryview, bounds: list[int], file: int
) -> None:
    stop = bounds[-1]
    firsts = [at for at in bounds[:-1] if at < stop]
    picked = np.asarray(firsts, np.int64)
    names = ("sequence", "time_before", "time_after", "leg")
    heads = list(zip(*(columns[name][picked].tolist() for name in names), strict=True))
    checksums = columns["checksum"][picked].tolist()
    kinds = columns["type"][picked].tolist()
    volumes = columns["volume_dbl"][np.asarray([*firsts[1:], stop], np.int64) - 1].tolist()
    for at, (start, end) in enumerate(pairwise([*firsts, stop])):
        body = bytes(rows[start * ROW_BYTES : end * ROW_BYTES]) if kinds[at] else b""
        head, checksum, state = heads[at], checksums[at], _state_of(volumes[at])
        for part in _parts(head, checksum, body):
            found.add(head, checksum, part, file, state)


def _parts(head: tuple[int, int, int, int], checksum: int, body: bytes) -> list[bytes]:
    """The body itself; or, where it is the same capture several times in a row, each of them."""
    sequence, before_ns, after_ns, leg = head
    for repeats in range(1, _REPEATS_MAX + 1):
        length, rest = divmod(len(body), repeats)
        part = body[:length]
        if rest or part * repeats != body:
            continue
        if checksum_of(sequence, before_ns, after_ns, leg, part) == checksum:
            return [part] * repeats
    return [body]


def _take_messages(found: Found, columns: Columns, file: int) -> None:
    names = ("sequence", "time_before", "time_after", "leg")
    heads = zip(*(columns[name].tolist() for name in names), strict=True)
    messages = columns["message"].tolist()
    for head, checksum, text in zip(heads, columns["checksum"].tolist(), messages, strict=True):
        found.add(head, checksum, text.encode(), file, -1)
