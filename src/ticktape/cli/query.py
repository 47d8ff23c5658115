"""`ticktape sql` and `ticktape last`."""

import sys
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ticktape import clock
from ticktape.cli.terminal import console, print_json, print_rows
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.lastvalue import LastValues
from ticktape.replay.places import open_run
from ticktape.replay.tail import connect_run
from ticktape.table.query import run_sql

_ROWS_SHOWN = 40


def sql(
    directory: Path,
    query: str,
    /,
    *,
    format: Literal["table", "csv", "parquet", "arrow"] = "table",
    json: bool = False,
) -> int:
    """Ask the tables in SQL (DuckDB's), with the live tail: every row that is journaled, once.

    Tables: trades (corrections and cancels applied), trades_raw, quotes, bars, corrections,
    cancels, gaps, decisions, unknown. Times are nanoseconds UTC; `ts(event_ns)` makes a timestamp.

    Example: `ticktape sql runs/demo "select symbol, count(*) from trades group by 1"`

    Parameters
    ----------
    directory
        The run's directory.
    query
        The SQL.
    format
        table for people; csv, parquet or arrow (an IPC stream) to standard output.
    json
        Print {"columns": [...], "rows": [...]} instead.
    """
    con = connect_run(open_run(directory))
    try:
        found = run_sql(con, query)
    finally:
        con.close()
    if json:
        columns = found.column_names
        print_json({"columns": columns, "rows": [list(r.values()) for r in found.to_pylist()]})
    elif format == "table":
        rows = [list(row.values()) for row in found.slice(0, _ROWS_SHOWN).to_pylist()]
        print_rows(found.column_names, rows)
        if found.num_rows > _ROWS_SHOWN:
            console.print(f"… {found.num_rows - _ROWS_SHOWN:,} more rows; --format csv has all")
    else:
        write_rows(found, format)
    return 0


def write_rows(rows: pa.Table, format: str) -> None:
    """Write rows to standard output as csv, parquet or an Arrow IPC stream."""
    sink = sys.stdout.buffer
    if format == "csv":
        pyarrow.csv.write_csv(rows, sink)
    elif format == "parquet":
        pyarrow.parquet.write_table(rows, sink)
    else:
        with pa.ipc.new_stream(pa.PythonFile(sink), rows.schema) as writer:
            writer.write_table(rows)
    sink.flush()


def last(directory: Path, /, *symbols: str, json: bool = False) -> int:
    """Print the last values once: newest trade, quote and bar per symbol, with their age.

    They are read from a mapped file without asking the recorder; `--json` gives whole records.

    Parameters
    ----------
    directory
        The run's directory.
    symbols
        Only these; all when none is named.
    json
        Print one JSON object instead.
    """
    values = _rows(open_run(directory), symbols)
    if json:
        print_json({"last": values})
        return 0
    cells = [
        (
            row["feed"],
            row["symbol"],
            _price(row["trade"], "price"),
            _price(row["trade"], "size"),
            _time(row["trade"]),
            _price(row["quote"], "bid_price"),
            _price(row["quote"], "ask_price"),
            _price(row["bar"], "close"),
            f"{row['age_s']:.3f}" if row["age_s"] is not None else "",
        )
        for row in values
    ]
    print_rows(
        ("feed", "symbol", "price", "size", "traded at (UTC)", "bid", "ask", "close", "age s"),
        cells,
    )
    return 0


def _rows(directory: RunDirectory, symbols: tuple[str, ...]) -> list[dict[str, object]]:
    now_ns = clock.wall_now_ns()
    found: list[dict[str, object]] = []
    with LastValues(directory.last) as values:
        for feed, symbol in sorted(values):
            if symbols and symbol not in symbols:
                continue
            value = values.get(feed, symbol)
            if value is None:
                continue
            age_ns = value.age_ns(now_ns)
            found.append(
                {
                    "feed": feed,
                    "symbol": symbol,
                    "trade": value.trade,
                    "quote": value.quote,
                    "bar": value.bar,
                    "age_s": age_ns / clock.NS_PER_S if age_ns is not None else None,
                }
            )
        known = sorted({symbol for _, symbol in values})
    strangers = [symbol for symbol in symbols if symbol not in known]
    if strangers:
        raise ConfigError(
            [f"no last value of {symbol}" for symbol in strangers],
            hint=f"There are: {', '.join(known[:30]) or 'none yet'}.",
        )
    return found


def _price(record: object, field: str) -> str:
    value = getattr(record, field, None)
    return "" if value is None else f"{value:g}" if field == "size" else f"{value:.4f}".rstrip("0")


def _time(record: object) -> str:
    event_ns = getattr(record, "event_ns", None)
    return "" if event_ns is None else clock.iso_utc(event_ns)
