"""Views of what REST brought beside what was streamed: each trade, quote and bar once.

The tables keep both. A streamed row always stands, for it has our receive time; a row of REST is
shown where no streamed one accounts for it, under the feed's own name. Rows are matched as
multisets and never by id alone: venues use one again, also within a nanosecond. Nothing here costs
anything where REST was never asked, and where it was, only rows of the times that it told of are
looked at; a condition on symbol, day or time reaches them.

What was asked for again and again counts as one request says it: the one that has the most rows of
a trade's identity (of a content, where there is no id), of several the newest, for REST may tell a
trade otherwise later. Pages of one request stand right behind one another in their journal, two
entries each. That matters only where a page ends and the next begins in one nanosecond of a symbol:
they are taken for pages of one request then, unless another entry stands between them.
"""

from itertools import pairwise
from typing import NamedTuple

import duckdb

from ticktape.clock import NS_PER_S
from ticktape.config import REST
from ticktape.directory import LEDGER
from ticktape.schemas import KINDS
from ticktape.table.sources import quoted

# Rows of REST by the name of the feed that they heal.
_HEALED_FEED = f"left(feed, -{len(REST)})"

_IDENTITY = {"trades": "CASE WHEN id IS NULL THEN content ELSE hash(exchange, id) END"}
_IDENTITY_OF_NONE = "content"  # what has no id is known by all of its columns
_PLACE = ("feed", "recv_ns", "witness", "epoch", "seq", "index", "day")

_NEAR_NS = 600 * NS_PER_S
_STRETCHES_MAX = 32  # more make each query longer than what they leave out
_SYMBOLS_MAX = 8  # to compare each row with more takes as long as to match them all

_STRETCHES = f"""
SELECT min(event_ns), max(event_ns), day FROM ({{of_rest}})
GROUP BY event_ns // {_NEAR_NS}, day ORDER BY 1
"""
_TOLD_SYMBOLS = f"SELECT DISTINCT symbol FROM ({{of_rest}}) LIMIT {_SYMBOLS_MAX + 1}"

# Pages that go on in the instant in which the one before ended: `request` is the first one's seq.
_SEAMS = """
WITH pages AS (
    SELECT feed, epoch, seq,
        arg_min((symbol, event_ns), index) AS first, arg_max((symbol, event_ns), index) AS last
    FROM ({of_rest}) GROUP BY ALL
),
seams AS (
    SELECT feed, epoch, seq, NOT coalesce(
        lag((epoch, seq + 2, last)) OVER by_place = (epoch, seq, first), false
    ) AS begins
    FROM pages WINDOW by_place AS (PARTITION BY feed ORDER BY epoch, seq)
)
SELECT * EXCLUDE begins, max(CASE WHEN begins THEN seq END) OVER (
    PARTITION BY feed, epoch ORDER BY seq
) AS request
FROM seams QUALIFY NOT begins
"""

# All that may be the same. Every window and group below holds day, feed, symbol and time, so that
# conditions on them are met before anything is sorted; a CTE that was materialized would not let
# them through.
_SIDES = """
    SELECT rest.* REPLACE ({healed_feed} AS feed), true AS is_rest,
        coalesce(seams.request, rest.seq) AS request, hash({own}) AS content
    FROM ({of_rest}) AS rest
    LEFT JOIN {kind}_seams AS seams USING (feed, epoch, seq)
    UNION ALL
    SELECT *, false, NULL, hash({own}) FROM ({streamed}) WHERE {near}
"""
_INSTANT = "day, feed, symbol, event_ns"

# `unsettled` are the instants at which a request may have more of some content than was streamed:
# few, and only there are rows matched. Of as many requests as leave their bits each but one has a
# row at least, and no other can have that. A streamed row of the same content accounts for one of
# REST, or else one that shows the same trade otherwise.
_MATCHED = """
WITH sides AS NOT MATERIALIZED ({sides}),
unsettled AS NOT MATERIALIZED (
    SELECT DISTINCT {instant} FROM (
        SELECT {instant} FROM sides GROUP BY {instant}, content
        HAVING count(*) FILTER (is_rest) > count(*) FILTER (NOT is_rest)
            + bit_count(bit_or(CASE WHEN is_rest
                THEN 1::UBIGINT << (hash(epoch, request) % 64)::INTEGER ELSE 0 END)) - 1
    )
),
told AS NOT MATERIALIZED (
    SELECT *, {identity} AS identity, count(*) OVER (
        PARTITION BY {instant}, {identity}, is_rest, epoch, request
    ) AS told
    FROM sides JOIN unsettled USING ({instant})
),
taken AS NOT MATERIALIZED (
    SELECT * FROM told QUALIFY NOT is_rest OR dense_rank() OVER (
        PARTITION BY {instant}, identity, is_rest
        ORDER BY told DESC, epoch DESC, request DESC
    ) = 1
),
numbered AS NOT MATERIALIZED (
    SELECT *,
        row_number() OVER (
            PARTITION BY {instant}, identity, content, is_rest ORDER BY epoch, seq, index
        ) AS nth,
        count(*) FILTER (is_rest) OVER alike AS of_rest,
        count(*) FILTER (NOT is_rest) OVER alike AS of_stream
    FROM taken WINDOW alike AS (PARTITION BY {instant}, identity, content)
),
unlike AS NOT MATERIALIZED (
    SELECT *,
        row_number() OVER (
            PARTITION BY {instant}, identity, is_rest ORDER BY epoch, seq, index
        ) AS turn,
        count(*) FILTER (NOT is_rest) OVER (PARTITION BY {instant}, identity) AS others
    FROM numbered WHERE nth > CASE WHEN is_rest THEN of_stream ELSE of_rest END
)
SELECT {columns} FROM unlike WHERE is_rest AND turn > others
"""

# The streamed bar stands, and else the last that REST gave.
_BARS = """
SELECT {columns} FROM ({sides}) QUALIFY is_rest AND row_number() OVER (
    PARTITION BY {instant}, span ORDER BY is_rest, epoch DESC, seq DESC, index DESC
) = 1
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
    """The first and the last `event_ns` of the rows that REST brought.

    Between them are `stretches`, both ends inclusive, beyond which there is none, and `days`.
    `symbols` are theirs; none is given where there are many.
    """

    from_ns: int
    to_ns: int
    stretches: tuple[tuple[int, int], ...]
    days: tuple[str, ...]
    symbols: tuple[str, ...]


def rest_span(con: duckdb.DuckDBPyConnection, kind: str, of_rest: str) -> Span | None:
    """Look where the rows of REST lie, which the query `of_rest` gives; None when there are none.

    Makes the table `KIND_seams`, which `missed` needs.
    """
    found = con.execute(_STRETCHES.format(of_rest=of_rest)).fetchall()
    if not found:
        return None
    con.execute(f"CREATE OR REPLACE TABLE {kind}_seams AS {_SEAMS.format(of_rest=of_rest)}")
    symbols = [
        symbol for (symbol,) in con.execute(_TOLD_SYMBOLS.format(of_rest=of_rest)).fetchall()
    ]
    return Span(
        found[0][0],
        max(to_ns for _, to_ns, _ in found),
        _joined([(from_ns, to_ns) for from_ns, to_ns, _ in found]),
        tuple(sorted({str(day) for *_, day in found})),
        tuple(sorted(symbols)) if len(symbols) <= _SYMBOLS_MAX else (),
    )


def _joined(found: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Stretches without the holes that are not worth a condition of their own."""
    holes = sorted((later[0] - before[1] for before, later in pairwise(found)), reverse=True)
    least_ns = max([_NEAR_NS, *holes[_STRETCHES_MAX - 1 : _STRETCHES_MAX]])
    joined = [found[0]]
    for from_ns, to_ns in found[1:]:
        if from_ns - joined[-1][1] > least_ns:
            joined.append((from_ns, to_ns))
        else:
            joined[-1] = (joined[-1][0], to_ns)
    return tuple(joined)


def missed(kind: str, span: Span, of_rest: str, streamed: str) -> str:
    """The query of those rows of REST that no streamed one accounts for.

    Args:
        kind: trades, quotes or bars.
        span: where rows of REST lie.
        of_rest: the query of the rows that REST brought.
        streamed: the query of what was streamed, at least of the stretches of `span`.
    """
    names = {
        "kind": kind,
        "of_rest": of_rest,
        "streamed": streamed,
        "healed_feed": _HEALED_FEED,
        "columns": _columns(kind),
        "own": ", ".join(f'"{name}"' for name in KINDS[kind].names if name not in _PLACE),
        "instant": _INSTANT,
        "identity": _IDENTITY.get(kind, _IDENTITY_OF_NONE),
        "near": _near(span),
    }
    rule = _BARS if kind == "bars" else _MATCHED
    return rule.format(sides=_SIDES.format(**names), **names)


def _near(span: Span) -> str:
    """The condition that a row lies where rows of REST do; by day, too, as the files do."""
    days = ", ".join(map(quoted, span.days))
    times = " OR ".join(f"event_ns BETWEEN {first} AND {last}" for first, last in span.stretches)
    near = f"day IN ({days}) AND event_ns BETWEEN {span.from_ns} AND {span.to_ns} AND ({times})"
    if span.symbols:
        near += f" AND symbol IN ({', '.join(map(quoted, span.symbols))})"
    return near


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
