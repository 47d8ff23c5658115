"""Views of what REST brought beside what was streamed: each trade, quote and bar once.

The tables keep both. A streamed row always stands, for it has our receive time; a row of REST is
shown where no streamed one accounts for it, under the feed's own name. Rows are matched as
multisets and never by id alone: venues use one again, also within a nanosecond. Nothing here costs
anything where REST was never asked, and where it was, only rows of the symbols and times that it
told of are looked at.

A row that was asked for again and again counts as often as the request says that had it most often.
Pages of one request stand right behind one another in their journal, two entries each. That matters
only where a page ends and the next begins in one nanosecond of a symbol: they are taken for pages
of one request then, unless another entry stands between them.
"""

from typing import NamedTuple

import duckdb

from ticktape.config import REST
from ticktape.directory import LEDGER
from ticktape.records import Witness
from ticktape.schemas import KINDS

_REST = f"'{Witness.REST.value}'"
# Rows of REST by the name of the feed that they heal.
_HEALED_FEED = f"left(feed, -{len(REST)})"

_IDENTITY = {"trades": "feed, symbol, event_ns, exchange, id"}
_IDENTITY_OF_NONE = "feed, symbol, event_ns"  # what has no id is known by all of its columns
_PLACE = ("feed", "recv_ns", "witness", "epoch", "seq", "index", "day")

# `unsettled` are the instants at which REST has more of some content than was streamed: few, and
# only there are rows compared column by column. `taken` has the n-th copy of a row once, from
# whichever request. A streamed row of the same content accounts for it, or, where rows have an id,
# one that shows the same trade otherwise.
_MATCHED = """
WITH told AS (
    SELECT {healed_feed} AS feed, symbol, event_ns, hash({own}) AS content
    FROM {rows} WHERE witness = {rest}
),
heard AS (
    SELECT feed, symbol, event_ns, hash({own}) AS content FROM {rows} AS streamed
    SEMI JOIN told USING (feed, symbol, event_ns)
    WHERE streamed.witness <> {rest} AND streamed.event_ns BETWEEN {from_ns} AND {to_ns}
),
unsettled AS MATERIALIZED (
    SELECT DISTINCT feed, symbol, event_ns FROM (
        SELECT *, 1 AS more FROM told UNION ALL SELECT *, -1 FROM heard
    )
    GROUP BY feed, symbol, event_ns, content HAVING sum(more) > 0
),
pages AS (
    SELECT {healed_feed} AS feed, epoch, seq,
        arg_min((symbol, event_ns), index) AS first, arg_max((symbol, event_ns), index) AS last
    FROM {rows} WHERE witness = {rest} GROUP BY ALL
),
seams AS (
    SELECT feed, epoch, seq, NOT coalesce(
        lag((epoch, seq + 2, last)) OVER by_place = (epoch, seq, first), false
    ) AS begins
    FROM pages WINDOW by_place AS (PARTITION BY feed ORDER BY epoch, seq)
),
requests AS (
    SELECT feed, epoch, seq, count(*) FILTER (begins) OVER (
        PARTITION BY feed ORDER BY epoch, seq
    ) AS request
    FROM seams
),
asked AS (
    SELECT {columns} FROM (
        SELECT * REPLACE ({healed_feed} AS feed) FROM {rows} WHERE witness = {rest}
    )
    SEMI JOIN unsettled USING (feed, symbol, event_ns)
),
copies AS (
    SELECT asked.*, row_number() OVER (
        PARTITION BY {content}, request ORDER BY epoch, seq, index
    ) AS copy
    FROM asked JOIN requests USING (feed, epoch, seq)
),
taken AS (
    SELECT {columns} FROM copies
    QUALIFY row_number() OVER (PARTITION BY {content}, copy ORDER BY epoch, seq, index) = 1
),
either AS (
    SELECT {columns} FROM taken
    UNION ALL
    SELECT {columns} FROM {rows} AS streamed
    SEMI JOIN unsettled USING (feed, symbol, event_ns)
    WHERE streamed.witness <> {rest} AND streamed.event_ns BETWEEN {from_ns} AND {to_ns}
),
numbered AS (
    SELECT *, witness = {rest} AS is_rest,
        row_number() OVER (
            PARTITION BY {content}, witness = {rest} ORDER BY epoch, seq, index
        ) AS nth,
        count(*) FILTER (witness = {rest}) OVER alike AS of_rest,
        count(*) FILTER (witness <> {rest}) OVER alike AS of_stream
    FROM either WINDOW alike AS (PARTITION BY {content})
),
unlike AS (
    SELECT *, row_number() OVER (
            PARTITION BY {identity}, is_rest ORDER BY epoch, seq, index
        ) AS turn,
        count(*) FILTER (NOT is_rest) OVER (PARTITION BY {identity}) AS others
    FROM numbered WHERE nth > CASE WHEN is_rest THEN of_stream ELSE of_rest END
)
SELECT {columns} FROM unlike WHERE is_rest AND ({has_no_id} OR turn > others)
"""

_BARS = """
WITH asked AS (
    SELECT * REPLACE ({healed_feed} AS feed) FROM {rows} WHERE witness = {rest}
    QUALIFY row_number() OVER (
        PARTITION BY feed, symbol, span, event_ns ORDER BY epoch DESC, seq DESC, index DESC
    ) = 1
)
SELECT {columns} FROM asked
ANTI JOIN (
    SELECT feed, symbol, span, event_ns FROM {rows}
    WHERE witness <> {rest} AND event_ns BETWEEN {from_ns} AND {to_ns}
) AS streamed USING (feed, symbol, span, event_ns)
"""

# The feed tells of a gap, the ledger suspects one, the healer says what became of it.
_GAPS = """
SELECT {columns} FROM (
    SELECT * REPLACE (
        CASE source WHEN 2 THEN {healed_feed} WHEN 1 THEN feed[{ledger_chars} + 1:] ELSE feed END
        AS feed
    )
    FROM (
        SELECT *, CASE WHEN ends_with(feed, '{rest_end}') THEN 2
            WHEN starts_with(feed, '{ledger}') THEN 1 ELSE 0 END AS source
        FROM gaps_raw
    )
)
WINDOW newest AS (
    PARTITION BY feed, symbol, from_ns
    ORDER BY source DESC, to_ns IS NULL, epoch DESC, seq DESC, index DESC
    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
)
QUALIFY row_number() OVER newest = 1
"""


class Span(NamedTuple):
    """The first and the last `event_ns` of the rows that REST brought."""

    from_ns: int
    to_ns: int


def rest_span(con: duckdb.DuckDBPyConnection, kind: str) -> Span | None:
    """Look where the rows of REST lie in `KIND_raw`; None when there are none."""
    from_ns, to_ns = con.execute(
        f"SELECT min(event_ns), max(event_ns) FROM {kind}_raw WHERE witness = {_REST}"
    ).fetchall()[0]
    return None if from_ns is None else Span(from_ns, to_ns)


def merged(kind: str, span: Span | None, rows: str = "") -> str:
    """The query of a kind's rows, each once; `span` is what `rest_span` found.

    Args:
        kind: trades, quotes or bars.
        span: where rows of REST lie.
        rows: what to take for `KIND_raw`: all rows of whatever symbols and ids are wanted.
    """
    columns = _columns(kind)
    rows = rows or f"{kind}_raw"
    if span is None:
        return f"SELECT {columns} FROM {rows}"
    own = [f'"{name}"' for name in KINDS[kind].names if name not in _PLACE]
    missed = (_BARS if kind == "bars" else _MATCHED).format(
        rows=rows,
        rest=_REST,
        healed_feed=_HEALED_FEED,
        columns=columns,
        own=", ".join(own),
        content=", ".join(["feed", *own]),
        identity=_IDENTITY.get(kind, _IDENTITY_OF_NONE),
        has_no_id="id IS NULL" if kind in _IDENTITY else "true",
        from_ns=span.from_ns,
        to_ns=span.to_ns,
    )
    return (
        f"SELECT {columns} FROM {rows} WHERE witness <> {_REST}"
        f" UNION ALL SELECT {columns} FROM ({missed})"
    )


def make_gaps(con: duckdb.DuckDBPyConnection) -> None:
    """Make the view `gaps` over `gaps_raw`: one row for each, as it stands.

    A gap is known by feed, symbol and beginning. Its end stays once it was told.
    """
    columns = _columns("gaps").replace(
        '"to_ns"', 'coalesce(to_ns, first_value(to_ns IGNORE NULLS) OVER newest) AS "to_ns"'
    )
    query = _GAPS.format(
        columns=columns,
        healed_feed=_HEALED_FEED,
        ledger=LEDGER,
        ledger_chars=len(LEDGER),
        rest_end=REST,
    )
    con.execute(f"CREATE VIEW gaps AS {query}")


def _columns(kind: str) -> str:
    return ", ".join(f'"{name}"' for name in [*KINDS[kind].names, "day"])
