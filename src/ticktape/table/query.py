"""SQL over the committed tables and the rows still on their way, each row once.

One view per kind: `trades`, `quotes`, ... with the columns of `schemas.KINDS` and `day`. `trades`
has cancels and corrections applied; `trades`, `quotes` and `bars` show what was streamed and what
REST brought besides, each once. `gaps` shows each gap once, as it stands; `books` and `ticks` show
what two legs of a feed saw as one. With `_raw` behind the name, each of these shows what is stored.
`levels` has a row for each level of a book. `ts(ns)` turns nanoseconds into a TIMESTAMP_NS. A query
can never write, nor read other files: what it may open is fixed before the first one runs.
"""

import functools
import re
from collections.abc import Mapping, Set
from typing import cast

import duckdb
import pyarrow as pa

from ticktape.errors import TickTapeError
from ticktape.schemas import KINDS
from ticktape.table.amend import amend
from ticktape.table.healed import Healed, heal, make_gaps
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

_HEALED = ("quotes", "bars", "trades")
# View -> the kinds whose rows it shows.
_VIEWS = {
    **{kind: (kind,) for kind in KINDS},
    **{f"{kind}_raw": (kind,) for kind in RAW},
    "trades": ("trades", "cancels", "corrections"),
    "trades_merged": ("trades",),
    "levels": ("books",),
}
# A text that has one of these may ask for views by other means than their names.
_CATALOGS = ("duckdb_", "schema", "pg_", "sqlite_", "show")
_TS = "CREATE MACRO ts(ns) AS make_timestamp_ns(ns)"
# DuckDB lets a file be written that may be read. These statements do it, also if they are explained
# or prepared, and no SELECT holds one.
_WRITING = re.compile(r"\b(copy|export)\b", re.IGNORECASE)


def connect(
    store: TableStore,
    tails: Mapping[str, pa.Table] | None = None,
    as_of_ns: int | None = None,
    asked: str | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open a connection whose views show the store's snapshot and `tails` as one.

    With `as_of_ns` they show what had been received by then, and so what was known: a trade that
    was cancelled later stands. `tails` are rows by kind that are not in that snapshot, as
    TableBuilder.tails gives them; they and the files stay in use until the connection is closed,
    which is up to the caller. `asked` is a text of SQL that names whatever will be asked for: other
    views may be lacking then, for to make them all can take longer than to answer.
    """
    con = duckdb.connect(":memory:")
    views = _views_of(asked)
    kinds = {kind for view in views for kind in _VIEWS[view]}
    sources = {
        kind: Source(con, kind, store, (tails or {}).get(kind), as_of_ns)
        for kind in KINDS
        if kind in kinds
    }
    for kind, source in sources.items():
        name = f"{kind}_raw" if kind in RAW else kind
        if name in views or kind not in _HEALED:
            con.execute(f"CREATE VIEW {name} AS {source.all()}")
    if "gaps" in views:
        make_gaps(con)
    for kind in _HEALED:
        if kind in sources:
            _make_healed(con, kind, sources, views)
    make_polled(con, views, {kind for kind, source in sources.items() if not source.is_empty})
    con.execute(_TS)
    paths = [quoted(path) for source in sources.values() for path in source.paths]
    if paths:
        con.execute(f"SET allowed_paths = [{', '.join(paths)}]")
    con.execute("SET enable_external_access = false")
    con.execute("SET lock_configuration = true")
    return con


def run_sql(con: duckdb.DuckDBPyConnection, text: str) -> pa.Table:
    """Run one SQL text; the result of its last statement, empty when that has none.

    Raises:
        TickTapeError: it writes files, or DuckDB refuses it; the hint names what there is.
    """
    try:
        for statement in con.extract_statements(text):
            is_select = statement.type == duckdb.StatementType.SELECT
            if not is_select and _WRITING.search(statement.query):
                raise TickTapeError("sql: a query cannot write files", hint=_hint(con, ""))
        found = con.sql(text)
        return pa.table({}) if found is None else cast("pa.Table", found.to_arrow_table())
    except duckdb.Error as error:
        raise TickTapeError(f"sql: {error}", hint=_hint(con, str(error))) from error


def _views_of(asked: str | None) -> Set[str]:
    """The views that a text of SQL names; all of them where that is not certain."""
    every = _VIEWS.keys()
    if asked is None or any(word in asked.lower() for word in _CATALOGS):
        return every
    try:
        with _namer().cursor() as con:
            named = {name.lower() for name in con.get_table_names(asked)}
    except duckdb.Error:
        return every  # several statements, or one that is wrong: it will be told why
    return named if named and named <= every else every


@functools.cache
def _namer() -> duckdb.DuckDBPyConnection:
    """A connection that is asked for the names in a text and can open nothing.

    To name the tables DuckDB looks into every file that the text has in it. It knows `ts`, for of a
    text with a function that it does not know it names none.
    """
    con = duckdb.connect(":memory:", config={"enable_external_access": "false", "threads": 1})
    con.execute(_TS)
    return con


def _make_healed(
    con: duckdb.DuckDBPyConnection, kind: str, sources: Mapping[str, Source], views: Set[str]
) -> None:
    """Make the view of a kind's rows, each once; of trades also `trades_merged`, as they were."""
    if not views & {kind, f"{kind}_merged"}:
        return
    source = sources[kind]
    healed = heal(con, kind, source) if source.rest_rows_max else None
    query = f"SELECT {_columns(kind)} FROM ({source.streamed()})"
    if healed is not None:
        query += f" UNION ALL FROM ({healed.rows})"
    if f"{kind}_merged" in views:
        con.execute(f"CREATE VIEW {kind}_merged AS {query}")
    if kind == "trades" and kind in views and not _is_unamended(con, sources):
        query = _amended(con, source, healed)
    if kind in views:
        con.execute(f"CREATE VIEW {kind} AS {query}")


def _is_unamended(con: duckdb.DuckDBPyConnection, sources: Mapping[str, Source]) -> bool:
    """Whether there is no trade, or nothing that the venue said of them later."""
    return sources["trades"].is_empty or all(
        sources[kind].is_empty or not con.execute(f"SELECT 1 FROM {kind} LIMIT 1").fetchall()
        for kind in ("cancels", "corrections")
    )


def _amended(con: duckdb.DuckDBPyConnection, source: Source, healed: Healed | None) -> str:
    """The query of trades, each once, with cancels and corrections applied."""
    amended = amend(con, source.placed(), healed)
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
        missed="" if healed is None else f"UNION ALL FROM ({healed.rows})",
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
