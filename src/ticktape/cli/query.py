"""`ticktape sql`: ask the tables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ticktape.cli.asking import ask, for_csv, values
from ticktape.cli.terminal import print_json, print_line, print_rows
from ticktape.replay.places import open_run
from ticktape.replay.tail import connect_run
from ticktape.tape import instant_ns

if TYPE_CHECKING:
    import io

_ROWS_SHOWN = 40


def sql(
    directory: Path,
    query: str,
    /,
    *,
    as_of: str | None = None,
    format: Literal["table", "csv", "parquet", "arrow"] = "table",
    json: bool = False,
) -> int:
    """Ask the tables in SQL (DuckDB's), with the live tail: every row that is journaled, once.

    Tables: trades (healed, corrections and cancels applied), quotes, bars, corrections, cancels,
    statuses, lulds, imbalances, crypto_books, news, books, levels, ticks, gaps, decisions, unknown;
    trades_raw, quotes_raw, bars_raw, books_raw, ticks_raw and gaps_raw show what is stored. Times
    are nanoseconds UTC; `ts(event_ns)` makes a timestamp.

    Example: `ticktape sql runs/demo "select symbol, count(*) from trades group by 1"`

    Parameters
    ----------
    directory
        The run's directory.
    query
        The SQL.
    as_of
        Show what had been received by this moment, as it was known then: a trade that was
        cancelled later stands. 2013-10-08T15:59:00-04:00; without an offset it is UTC.
    format
        table for people, its first 40 rows; csv, parquet or arrow (an IPC stream) to standard
        output, all rows.
    json
        Print {"columns": [...], "rows": [...]} instead.
    """
    as_of_ns = None if as_of is None else instant_ns(as_of)
    con = connect_run(open_run(directory), as_of_ns, query)
    try:
        found = ask(con, query)
    finally:
        con.close()
    if json:
        print_json({"columns": found.column_names, "rows": values(found)})
    elif format == "table":
        _print_table(found)
    else:
        _write_rows(found, format)
    return 0


def _print_table(found: pa.Table) -> None:
    if not found.column_names:
        return
    print_rows(found.column_names, values(found.slice(0, _ROWS_SHOWN)))
    if not found.num_rows:
        print_line("(no rows)")
    elif found.num_rows > _ROWS_SHOWN:
        print_line(f"… {found.num_rows - _ROWS_SHOWN:,} more rows; --format csv gives all")


def _write_rows(rows: pa.Table, format: str) -> None:
    sink = sys.stdout.buffer
    if format == "csv":
        pyarrow.csv.write_csv(for_csv(rows), sink)
    elif format == "parquet":
        pyarrow.parquet.write_table(rows, sink)
    else:
        with pa.ipc.new_stream(cast("io.IOBase", sink), rows.schema) as writer:
            writer.write_table(rows)
    sink.flush()
