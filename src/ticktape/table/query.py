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
from ticktape.table.healed import Span, make_gaps, missed, rest_span
from ticktape.table.polled import make_polled
from ticktape.table.sources import Source, quoted
from ticktape.table.store import TableStore

# The few rows that are amended, apart from all others, which are read as they are.
_AMENDED_TRADES = """
{unamended}
UNION ALL
SELECT {amended} FROM (
    SELECT {columns} FROM trades_amended
    {missed}
) AS t
ANTI JOIN trades_removed AS r ON {r_place}
LEFT JOIN trades_replaced AS n ON {n_place}
"""
_AMENDED_PLACES = """
CREATE TABLE trades_amended AS SELECT * FROM trades_named AS t
WHERE witness <> 'rest' AND (
    EXISTS (FROM trades_removed AS r WHERE {r_place})
    OR EXISTS (FROM trades_replaced AS n WHERE {n_place})
)
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
    sources = {kind: Source(con, kind, store, (tails or {}).get(kind), as_of_ns) for kind in KINDS}
    for kind, source in sources.items():
        name = f"{kind}_raw" if kind in RAW else kind
        con.execute(f"CREATE VIEW {name} AS {source.all()}")
    make_gaps(con)
    for kind in ("quotes", "bars"):
        _, query = _merged(con, kind, sources[kind])
        con.execute(f"CREATE VIEW {kind} AS {query}")
    con.execute(f"CREATE VIEW trades AS {_trades(con, sources['trades'])}")
    make_polled(con)
    con.execute("CREATE MACRO ts(ns) AS make_timestamp_ns(ns)")
    paths = [quoted(path) for source in sources.values() for path in source.paths]
    if paths:
        con.execute(f"SET allowed_paths = [{', '.join(paths)}]")
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


def _merged(con: duckdb.DuckDBPyConnection, kind: str, source: Source) -> tuple[Span | None, str]:
    """Where rows of REST lie, and the query of a kind's rows, each once."""
    span = rest_span(con, kind, source.of_rest()) if source.may_have_rest else None
    columns = _columns(kind)
    query = f"SELECT {columns} FROM ({source.streamed()})"
    if span is not None:
        query += f" UNION ALL FROM ({_missed(kind, source, span)})"
    return span, query


def _missed(kind: str, source: Source, span: Span) -> str:
    return missed(kind, span, source.of_rest(), source.streamed(span.stretches))


def _trades(con: duckdb.DuckDBPyConnection, source: Source) -> str:
    """The query of trades, each once and amended; `trades_merged` shows them as they were."""
    span, query = _merged(con, "trades", source)
    con.execute(f"CREATE VIEW trades_merged AS {query}")
    (amendments,) = con.execute(
        "SELECT (SELECT count(*) FROM cancels) + (SELECT count(*) FROM corrections)"
    ).fetchall()[0]
    if not amendments:
        return query
    amended = amend(con, source.placed(), span)
    con.register("trades_removed", amended.removed)
    con.register("trades_replaced", amended.replaced)
    places = {
        f"{name}_place": " AND ".join(f't."{column}" = {name}."{column}"' for column in _PLACE)
        for name in ("r", "n")
    }
    con.execute(_AMENDED_PLACES.format(**places))
    files = con.execute("SELECT DISTINCT file FROM trades_amended").fetchall()
    columns = []
    for name in [*KINDS["trades"].names, "day"]:
        if name in ("id", "price", "size", "conditions"):
            # A replaced row is known by its seq: its id may be null on neither side.
            columns.append(
                f'CASE WHEN n.seq IS NULL THEN t."{name}" ELSE n."{name}" END AS "{name}"'
            )
        else:
            columns.append(f't."{name}"')
    return _AMENDED_TRADES.format(
        unamended=source.streamed_but("trades_amended", {file for (file,) in files}, _PLACE),
        columns=_columns("trades"),
        amended=", ".join(columns),
        missed="" if span is None else f"UNION ALL FROM ({_missed('trades', source, span)})",
        **places,
    )


def _columns(kind: str) -> str:
    return ", ".join(f'"{name}"' for name in [*KINDS[kind].names, "day"])


def _hint(con: duckdb.DuckDBPyConnection, error: str) -> str:
    named = [kind for kind in KINDS if kind in error]
    if "column" in error.lower() and not named:
        named = ["trades"]
    raw = [f"{kind}_raw" for kind in RAW]
    lines = [f"Tables: {', '.join([*KINDS, 'levels', *raw])}."]
    lines += [f"Columns of {kind}: {', '.join([*KINDS[kind].names, 'day'])}." for kind in named]
    return " ".join(lines)
