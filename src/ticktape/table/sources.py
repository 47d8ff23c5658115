"""Where the rows of one kind lie, as queries: in which files, and in the tail.

What the Delta log says of each file (whose rows, of what times) is asked before any of them is
opened. So what was streamed is read without a look at each row's witness, what REST brought apart
from it, and of either only the files that have rows of the times in question.
"""

import functools
import os
from collections.abc import Container, Iterable, Sequence
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.config import REST
from ticktape.records import Witness
from ticktape.schemas import KINDS
from ticktape.table.store import TableStore

_IS_REST = f"witness = '{Witness.REST.value}'"
_IS_STREAMED = f"witness <> '{Witness.REST.value}'"
_FILE_ROW = ", filename AS file, file_row_number AS file_row"


_TYPES = {
    pa.string(): "VARCHAR",
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
}
_MANY = 1 << 63
_NS_MAX = (1 << 63) - 2


class _File(NamedTuple):
    """A file, the range of its times, and its rows.

    `feed` is theirs, None when they may be of several. `is_streamed` when it certainly has no row
    of REST.
    """

    path: str
    from_ns: int
    to_ns: int
    rows: int
    feed: str | None
    is_streamed: bool


class Source:
    """The rows of a kind as a connection sees them.

    Its queries have the columns of `schemas.KINDS` and `day`.

    Args:
        con: where the tail is made known; it stays in use as long as this is.
        kind: of `schemas.KINDS`.
        store: the committed rows.
        tail: rows that are not in the store's snapshot.
        as_of_ns: leave out what was received later.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        kind: str,
        store: TableStore,
        tail: pa.Table | None,
        as_of_ns: int | None,
    ) -> None:
        self._kind = kind
        self._own = ", ".join(f'"{column}"' for column in KINDS[kind].names)
        self._known = [] if as_of_ns is None else [f"recv_ns <= {int(as_of_ns)}"]
        self._files = _files(store, kind)
        rows = KINDS[kind].empty_table() if tail is None else tail
        told = pc.equal(rows.column("witness"), pa.scalar(Witness.REST.value))
        self._tail_rest_rows: int = pc.sum(told.cast(pa.int64())).as_py() or 0
        self._tail_has_rest = self._tail_rest_rows > 0
        self._tail_feeds = set(map(str, pc.unique(rows.column("feed")).to_pylist()))
        self._has_tail = bool(rows.num_rows)
        if self._has_tail:
            con.register(f"{kind}_tail", rows)

    @property
    def paths(self) -> list[str]:
        """All files that its queries may open."""
        return [file.path for file in self._files]

    @property
    def is_empty(self) -> bool:
        """Whether it certainly has no rows."""
        return not self._files and not self._has_tail

    @property
    def rest_rows_max(self) -> int:
        """So many rows of REST there are at most."""
        return self._tail_rest_rows + sum(f.rows for f in self._files if not f.is_streamed)

    @property
    def feeds(self) -> set[str | None]:
        """Names of the feeds that its rows are of; among them None where that is not certain."""
        return self._tail_feeds | {file.feed for file in self._files}

    def all(self) -> str:
        """Every row as it is stored."""
        return self._union([self._of_files(self._files), self._of_tail()])

    def of_rest(self, spans_ns: Iterable[tuple[int, int]] | None = None) -> str:
        """The rows that REST brought; with `spans_ns` at least those of these times."""
        files = [file for file in self._files_of(spans_ns) if not file.is_streamed]
        tail = self._of_tail(_IS_REST) if self._tail_has_rest else ""
        return self._union([self._of_files(files, _IS_REST), tail])

    def streamed(self, spans_ns: Iterable[tuple[int, int]] | None = None) -> str:
        """The rows that were streamed; with `spans_ns` at least those of these times.

        Both ends of a span belong to it.
        """
        return self._streamed_of(self._files_of(spans_ns), with_tail=True)

    def placed(self) -> str:
        """Every row as it is stored, with `file` and `file_row`; of the tail they are NULL."""
        nowhere = ", NULL::VARCHAR AS file, NULL::BIGINT AS file_row"
        return self._union(
            [self._of_files(self._files, of=_FILE_ROW), self._of_tail(of=nowhere)],
        )

    def streamed_but(self, table: str, files: Container[str], place: Iterable[str]) -> str:
        """The streamed rows but for those in `table`.

        They are known by `file` and `file_row`, and those of the tail by the columns `place`;
        `files` are all that it names.
        """
        quiet = [file for file in self._files if file.path not in files]
        others = [file for file in self._files if file.path in files]
        columns = f"{self._own}, day"
        parts = [
            self._streamed_of(quiet, with_tail=False),
            f"SELECT {columns} FROM ({self._streamed_of(others, of=_FILE_ROW, with_tail=False)})"
            f" ANTI JOIN {table} USING (file, file_row)",
            f"SELECT {columns} FROM ({self._streamed_of([], with_tail=True)})"
            f" ANTI JOIN {table} USING ({', '.join(place)})",
        ]
        return self._union([parts[0], *parts[1:2] * bool(others), *parts[2:] * self._has_tail])

    def _files_of(self, spans_ns: Iterable[tuple[int, int]] | None) -> list[_File]:
        if spans_ns is None:
            return self._files
        spans = list(spans_ns)
        return [file for file in self._files if _meets(file, spans)]

    def _streamed_of(self, files: Iterable[_File], *, of: str = "", with_tail: bool) -> str:
        sure = [file for file in files if file.is_streamed]
        mixed = [file for file in files if not file.is_streamed]
        parts = [self._of_files(sure, of=of), self._of_files(mixed, _IS_STREAMED, of=of)]
        if with_tail:
            parts.append(self._of_tail(*[_IS_STREAMED] * self._tail_has_rest))
        return self._union(parts)

    def _of_files(self, files: Sequence[_File], *conditions: str, of: str = "") -> str:
        if not files:
            return ""
        paths = ", ".join(quoted(file.path) for file in files)
        more = ", filename = true, file_row_number = true" if of else ""
        return (
            f"SELECT {self._own}, day{of} FROM read_parquet([{paths}],"
            f" hive_partitioning = true, hive_types = {{'day': VARCHAR}}{more})"
            f"{self._where(conditions)}"
        )

    def _of_tail(self, *conditions: str, of: str = "") -> str:
        if not self._has_tail:
            return ""
        return (
            f"SELECT {self._own}, {day_of('event_ns')} AS day{of}"
            f" FROM {self._kind}_tail{self._where(conditions)}"
        )

    def _where(self, conditions: Iterable[str]) -> str:
        wanted = [*self._known, *conditions]
        return f" WHERE {' AND '.join(wanted)}" if wanted else ""

    def _union(self, parts: Iterable[str]) -> str:
        there = [part for part in parts if part]
        return " UNION ALL ".join(there) or self._none()

    def _none(self) -> str:
        if self._files:
            return self._of_files(self._files[:1], "false")
        return self._of_tail("false") or _nothing(self._kind)


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def day_of(ns: str) -> str:
    """The expression of the day of a time, as the tables' folders are named."""
    # The ends of int64 are no timestamps of DuckDB's: it has them stand for infinity.
    return f"strftime(make_timestamp_ns(greatest(-{_NS_MAX}, least({_NS_MAX}, {ns}))), '%Y-%m-%d')"


@functools.cache
def _nothing(kind: str) -> str:
    """The query of no rows, where there is nothing that has the columns."""
    columns = [f'NULL::{_type(field.type)} AS "{field.name}"' for field in KINDS[kind]]
    return f"SELECT {', '.join(columns)}, NULL::VARCHAR AS day WHERE false"


def _type(of: pa.DataType) -> str:
    """How SQL names the type."""
    return f"{_TYPES[of.value_type]}[]" if isinstance(of, pa.ListType) else _TYPES[of]


def _files(store: TableStore, kind: str) -> list[_File]:
    actions = store.actions(kind)
    if actions is None:
        return []
    names = ("path", "min.feed", "max.feed", "min.event_ns", "max.event_ns", "num_records")
    columns: list[list[Any]] = [actions.column(name).to_pylist() for name in names]
    folder = store.root / kind
    return [
        _File(
            os.path.join(folder, path),
            -_MANY if from_ns is None else from_ns,
            _MANY if to_ns is None else to_ns,
            _MANY if rows is None else rows,
            # A file holds one feed's rows; of one that does not, nothing is certain.
            feed if feed == last_feed else None,
            is_streamed=feed is not None and feed == last_feed and not feed.endswith(REST),
        )
        for path, feed, last_feed, from_ns, to_ns, rows in zip(*columns, strict=True)
    ]


def _meets(file: _File, spans_ns: Iterable[tuple[int, int]]) -> bool:
    return any(file.from_ns <= last and first <= file.to_ns for first, last in spans_ns)
