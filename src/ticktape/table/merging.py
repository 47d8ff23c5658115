"""One large Parquet file of the rows of many small ones, made and proved in slices.

Rows keep their order. The file is read back and compared with those it is made of, bit for bit,
before anybody is told of it: they are deleted one day, and may be the only copy.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction

from ticktape.errors import TableError
from ticktape.table.files import GROUP_ROWS, parquet_options, statistics_of, sync_directory

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_Array: TypeAlias = "pa.Array[Any]"
_Piece: TypeAlias = tuple[str, int]  # a part, and which of its row groups

_GROUP_BYTES = 64 << 20  # in memory; images of books have a thousand bytes each


class Merge:
    """Makes `root/name` of the files `parts` (all of one day, in the order of their rows).

    `action` describes it once `run` is through. A merge that ends early leaves nothing.
    """

    def __init__(self, root: Path, name: str, parts: list[str], schema: pa.Schema) -> None:
        self.action: AddAction | None = None
        self._root = root
        self._name = name
        self._parts = parts
        self._schema = schema
        self._path = root / name
        self._partial = self._path.with_name(f".{self._path.name}.partial")
        self._groups: list[list[_Piece]] = []  # of which pieces each row group is
        self._statistics: list[str] = []

    def run(self) -> Iterator[None]:
        """Make it, pausing after each piece of a part, and each time that rows were written.

        Raises:
            TableError: what was read back are other rows.
            OSError: the disk refused. ArrowException: a part cannot be read.
        """
        try:
            with open(self._partial, "wb") as file:
                yield from self._write(file)
                file.flush()
                os.fsync(file.fileno())
                size, modified_ns = file.tell(), os.fstat(file.fileno()).st_mtime_ns
            yield
            yield from self._prove()
            os.replace(self._partial, self._path)
            sync_directory(self._path.parent)
        finally:
            self._partial.unlink(missing_ok=True)
        day = self._path.parent.name.partition("=")[2]
        statistics = _combined(self._statistics)
        modified_ms = modified_ns // 1_000_000
        self.action = AddAction(self._name, size, {"day": day}, modified_ms, False, statistics)

    def _write(self, file: IO[bytes]) -> Iterator[None]:
        options = parquet_options(self._schema)
        with pq.ParquetWriter(file, self._schema, **options) as writer:
            waiting: list[pa.Table] = []
            group: list[_Piece] = []
            for part in self._parts:
                for number in range(len(self._pieces(part))):
                    waiting.append(self._read(part, number))
                    group.append((part, number))
                    if _is_enough(waiting):
                        self._write_group(writer, waiting, group)
                        waiting, group = [], []
                    yield
            if group:
                self._write_group(writer, waiting, group)

    def _write_group(
        self, writer: pq.ParquetWriter, waiting: list[pa.Table], group: list[_Piece]
    ) -> None:
        rows = pa.concat_tables(waiting)
        writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self._statistics.append(statistics_of(rows))
        self._groups.append(group)

    def _prove(self) -> Iterator[None]:
        with pq.ParquetFile(self._partial) as file:
            for number, group in enumerate(self._groups):
                rows = file.read_row_group(number)
                at = 0
                for part, piece in group:
                    whole = self._read(part, piece)
                    if not is_same(rows.slice(at, whole.num_rows), whole):
                        raise TableError(
                            f"{self._path}: other rows were read back than were written",
                            hint="The files that it is made of are untouched; look at the disk.",
                        )
                    at += whole.num_rows
                    yield
            if file.metadata.num_rows != sum(json.loads(s)["numRecords"] for s in self._statistics):
                raise TableError(f"{self._path}: rows are missing", hint="Look at the disk.")

    def _pieces(self, part: str) -> "list[ds.Fragment]":
        """The row groups of a part, none of them read: one that is large has thirty."""
        import pyarrow.dataset as ds

        # It guesses no partitions: else the folder's name would become a column.
        found = ds.dataset(self._root / part, schema=self._schema, format="parquet")
        return [piece for file in found.get_fragments() for piece in file.split_by_row_group()]

    def _read(self, part: str, number: int) -> pa.Table:
        return self._pieces(part)[number].to_table(schema=self._schema, use_threads=False)


def _is_enough(waiting: list[pa.Table]) -> bool:
    rows, size = sum(each.num_rows for each in waiting), sum(each.nbytes for each in waiting)
    return rows >= GROUP_ROWS or size >= _GROUP_BYTES


def is_same(one: pa.Table, other: pa.Table) -> bool:
    """Whether two tables of one schema hold the same values, bit for bit; NaN is itself here."""
    return one.num_rows == other.num_rows and all(
        _is_same_column(a.combine_chunks(), b.combine_chunks())
        for a, b in zip(one.columns, other.columns, strict=True)
    )


def _is_same_column(one: _Array, other: _Array) -> bool:
    if pa.types.is_floating(one.type):
        return bool(one.view(pa.int64()).equals(other.view(pa.int64())))
    if pa.types.is_list(one.type):
        lengths = [pc.list_value_length(each) for each in (one, other)]
        items = [pc.list_flatten(each) for each in (one, other)]
        return lengths[0].equals(lengths[1]) and _is_same_column(*items)
    return bool(one.equals(other))


def _combined(parts: list[str]) -> str:
    """The statistics of rows of which each of `parts` has some."""
    whole: dict[str, Any] = {"numRecords": 0, "minValues": {}, "maxValues": {}, "nullCount": {}}
    for part in map(json.loads, parts):
        whole["numRecords"] += part["numRecords"]
        for name, count in part["nullCount"].items():
            whole["nullCount"][name] = whole["nullCount"].get(name, 0) + count
        for key, choose in (("minValues", min), ("maxValues", max)):
            for name, value in part[key].items():
                known = whole[key].get(name, value)
                whole[key][name] = choose(known, value)
    return json.dumps(whole)
