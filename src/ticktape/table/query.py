"""SQL over the committed tables and the rows still on their way, each row once.

One view per kind: `trades`, `quotes`, ... with the columns of `schemas.KINDS` and `day`. `trades`
has cancels and corrections applied; `trades`, `quotes` and `bars` show what was streamed and what
REST brought besides, each once. `gaps` shows each gap once, as it stands; `books` and `ticks` show
what two legs of a feed saw as one. With `_raw` behind the name, each of these shows what is stored.
`levels` has a row for each level of a book. `ts(ns)` turns nanoseconds into a TIMESTAMP_NS. A query
can never write, nor read other files: what it may open is fixed before the first one runs.
"""

from collections.abc import Mapping
from typing import cast

import duckdb
import pyarrow as pa

from ticktape.errors import TickTapeError
from ticktape.schemas import KINDS
from ticktape.table.amend import amend
from ticktape.table.healed import make_gaps, merged, rest_span
from ticktape.table.polled import make_polled
from ticktape.table.store import TableStore

_AMENDED_TRADES = """
SELECT {columns} FROM trades_merged AS t
ANTI JOIN trades_removed AS r ON {r_place}
LEFT JOIN trades_replaced AS n ON {n_place}
"""

_PLACE = ("feed", "witness", "epoch", "seq", "index")
RAW = ("trades", "quotes", "bars", "gaps", "books", "ticks")
"""Kinds whose rows stand as they came in a view of their own, with `_raw` behind the name."""


def connect(
    store: TableStore, tails: Mapping[str, pa.Table] | None = None, as_of_ns: int | None = None
) -> duckdb.DuckDBPyConnection:
    """Open a connection whose views show the store's snapshot and `tails` as one.

    With `as_of_ns` they show what had been received by then, and so what was known: a trade that
    was cancelled later stands. `tails` are rows by kind that are not in that snapshot, as
    TableBuilder.tails gives them; they and the files stay in use until the connection is closed,
    which is up to the caller.
    """
    con = duckdb.connect(":memory:")
    paths: list[str] = []
    for kind in KINDS:
        name = f"{kind}_raw" if kind in RAW else kind
        tail = (tails or {}).get(kind)
        paths += _make_view(con, name, kind, store.files(kind), tail, as_of_ns)
    make_gaps(con)
    for kind in ("quotes", "bars"):
        con.execute(f"CREATE VIEW {kind} AS {merged(kind, rest_span(con, kind))}")
    _make_trades(con)
    make_polled(con)
    con.execute("CREATE MACRO ts(ns) AS make_timestamp_ns(ns)")
    if paths:
        con.execute(f"SET allowed_paths = [{', '.join(map(_quoted, paths))}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def run_sql(con: duckdb.DuckDBPyConnection, text: str) -> pa.Table:
    """Run one SQL text; the result of its last statement, empty when that has none.

    Raises:
        TickTapeError: DuckDB refuses it; the hint names what there is.
    """
    try:
        found = con.sql(text)
        return pa.table({}) if found is None else cast("pa.Table", found.to_arrow_table())
    except duckdb.Error as error:
        raise TickTapeError(f"sql: {error}", hint=_hint(con, str(error))) from error


def _make_view(
    con: duckdb.DuckDBPyConnection,
    name: str,
    kind: str,
    paths: list[str],
    tail: pa.Table | None,
    as_of_ns: int | None,
) -> list[str]:
    """Make the view `name`; the paths that it reads."""
    known = "" if as_of_ns is None else f" WHERE recv_ns <= {int(as_of_ns)}"
    own = ", ".join(f'"{column}"' for column in KINDS[kind].names)
    parts = []
    if paths:
        files = ", ".join(map(_quoted, paths))
        parts.append(
            f"SELECT {own}, day FROM read_parquet([{files}],"
            f" hive_partitioning = true, hive_types = {{'day': VARCHAR}}){known}"
        )
    rows = KINDS[kind].empty_table() if tail is None else tail
    if rows.num_rows or not parts:
        con.register(f"{kind}_tail", rows)
        parts.append(
            f"SELECT {own}, strftime(make_timestamp_ns(event_ns), '%Y-%m-%d') AS day"
            f" FROM {kind}_tail{known}"
        )
    con.execute(f"CREATE VIEW {name} AS {' UNION ALL '.join(parts)}")
    return paths


def _make_trades(con: duckdb.DuckDBPyConnection) -> None:
    span = rest_span(con, "trades")
    con.execute(f"CREATE VIEW trades_merged AS {merged('trades', span)}")
    (amendments,) = con.execute(
        "SELECT (SELECT count(*) FROM cancels) + (SELECT count(*) FROM corrections)"
    ).fetchall()[0]
    if not amendments:
        con.execute(f"CREATE VIEW trades AS SELECT {_columns('trades')} FROM trades_merged")
        return
    amended = amend(con, span)
    con.register("trades_removed", amended.removed)
    con.register("trades_replaced", amended.replaced)
    columns = []
    for name in [*KINDS["trades"].names, "day"]:
        if name in ("id", "price", "size", "conditions"):
            # A replaced row is known by its seq: its id may be null on neither side.
            columns.append(
                f'CASE WHEN n.seq IS NULL THEN t."{name}" ELSE n."{name}" END AS "{name}"'
            )
        else:
            columns.append(f't."{name}"')
    query = _AMENDED_TRADES.format(
        columns=", ".join(columns),
        r_place=" AND ".join(f't."{name}" = r."{name}"' for name in _PLACE),
        n_place=" AND ".join(f't."{name}" = n."{name}"' for name in _PLACE),
    )
    con.execute(f"CREATE VIEW trades AS {query}")


def _columns(kind: str) -> str:
    return ", ".join(f'"{name}"' for name in [*KINDS[kind].names, "day"])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _hint(con: duckdb.DuckDBPyConnection, error: str) -> str:
    named = [kind for kind in KINDS if kind in error]
    if "column" in error.lower() and not named:
        named = ["trades"]
    raw = [f"{kind}_raw" for kind in RAW]
    lines = [f"Tables: {', '.join([*KINDS, 'levels', *raw])}."]
    lines += [f"Columns of {kind}: {', '.join([*KINDS[kind].names, 'day'])}." for kind in named]
    return " ".join(lines)
