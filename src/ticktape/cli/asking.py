"""One SQL text asked of a run, and its answer as plain values; shared by sql and export."""

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ticktape.cli.figures import plain_number
from ticktape.errors import ConfigError, TickTapeError
from ticktape.table.query import run_sql

if TYPE_CHECKING:
    import duckdb


def ask(con: "duckdb.DuckDBPyConnection", text: str) -> pa.Table:
    """Run the user's SQL.

    Raises:
        ConfigError: DuckDB refuses it; it came from the command line.
    """
    if not text.strip(" \t\r\n;"):
        raise ConfigError(
            ["sql: there is no question"],
            hint='E.g. "select symbol, count(*) from trades group by 1"',
        )
    try:
        return run_sql(con, text)
    except TickTapeError as error:
        raise ConfigError([str(error.args[0]).rstrip()], hint=error.hint) from error


def values(rows: pa.Table) -> list[list[object]]:
    """The rows as lists of values; times as text with all of their digits.

    By column and not by name, for a query may give two columns one name.
    """
    columns = [_values(column) for column in rows.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _values(column: "pa.ChunkedArray[Any]") -> list[object]:
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        # Python's own times stop at microseconds.
        column = column.cast(pa.string())
    return [plain_number(value) for value in column.to_pylist()]


def for_csv(rows: pa.Table) -> pa.Table:
    """The rows with each list as one text, [1.5,2.0]: CSV has no lists."""
    for at, field in enumerate(rows.schema):
        if pa.types.is_list(field.type):
            texts = rows.column(at).combine_chunks().cast(pa.list_(pa.string()))
            joined: Any = pc.binary_join(texts, ",")
            bracketed = pc.binary_join_element_wise(
                pa.scalar("["), joined, pa.scalar("]"), pa.scalar("")
            )
            rows = rows.set_column(at, field.name, bracketed)
    return rows
