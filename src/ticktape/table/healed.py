"""Views of what REST brought beside what was streamed: each trade, quote and bar once.

The tables keep both. A streamed row always stands, for it has our receive time; a row of REST is
shown where no streamed one accounts for it, under the feed's own name. Rows are matched as
multisets and never by id alone: venues use one again, also within a nanosecond. Nothing here costs
anything where REST was never asked.

Where it was, the rows that it has more are found when the views are made, and kept as a table of
their own while they are few. Of many rows of REST, whose whole days were compared, the most are as
they were streamed: spans of a symbol in which both sides have as many, and the same by the sum of
their hashes, are left aside first, and no row of theirs is looked at again.

What was asked for again and again counts as one request says it: the one that has the most rows of
a trade's identity (of a content, where there is no id), of several the newest, for REST may tell a
trade otherwise later. Pages of one request stand right behind one another in their journal, two
entries each. That matters only where a page ends and the next begins in one nanosecond of a symbol:
they are taken for pages of one request then, unless another entry stands between them.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import duckdb

from ticktape.clock import NS_PER_S
from ticktape.config import REST
from ticktape.directory import LEDGER
from ticktape.schemas import KINDS
from ticktape.table.sources import Source, quoted

# Rows of REST by the name of the feed that they heal.
_HEALED_FEED = f"left(feed, -{len(REST)})"

_IDENTITY = {"trades": "CASE WHEN id IS NULL THEN content ELSE hash(exchange, id) END"}
_IDENTITY_OF_NONE = "content"  # what has no id is known by all of its columns
_PLACE = ("feed", "recv_ns", "witness", "epoch", "seq", "index", "day")

_NEAR_NS = 600 * NS_PER_S
_STRETCHES_MAX = 32  # more make each query longer than what they leave out
_SYMBOLS_MAX = 8  # to compare each row with more takes as long as to match them all
_KEPT_ROWS: Final = 200_000  # of REST, in memory: matched once, when the views are made

# What two rows have in common of which one accounts for the other, beside symbol and span.
_KEYS = {"trades": ("event_ns", "exchange", "id"), "bars": ("event_ns", "span")}
# Without an id rows are known by all that they have, and not by these keys.
_IS_KNOWN = {"trades": "count(id) = count(*)"}

# Spans of a symbol as REST tells of them. Twice hashed, because the first hash of several columns
# is a linear combination: sums of those can be equal where ids have changed places.
_TOLD = f"""
CREATE OR REPLACE TABLE {{kind}}_told AS
SELECT {{feed}} AS feed, symbol, event_ns // {_NEAR_NS} AS part, {{is_known}} AS is_known,
    count(*) AS number, sum(hash(hash({{keys}}))) AS content,
    min(event_ns) AS from_ns, max(event_ns) AS to_ns
FROM ({{of_rest}}) GROUP BY {{by}}
"""
# Those of them that were not streamed just so: there REST may have more.
_DOUBTFUL = f"""
CREATE OR REPLACE TABLE {{kind}}_doubtful AS
SELECT told.* FROM {{kind}}_told AS told LEFT JOIN (
    SELECT {{by}}, count(*) AS number, sum(hash(hash({{keys}}))) AS content FROM (
        SELECT *, event_ns // {_NEAR_NS} AS part FROM ({{streamed}}) WHERE {{near}}
    ) GROUP BY {{by}}
) AS heard USING ({{by}})
WHERE NOT is_known OR (told.number, told.content) IS DISTINCT FROM (heard.number, heard.content)
"""
_OF_DOUBTFUL = f"""
SELECT rest.* FROM ({{of_rest}}) AS rest SEMI JOIN {{kind}}_doubtful AS doubtful
ON rest.symbol = doubtful.symbol AND rest.event_ns // {_NEAR_NS} = doubtful.part{{same_feed}}
"""
_LIE = """
SELECT min(from_ns) AS first_ns, max(to_ns) AS last_ns,
    strftime(make_timestamp_ns(first_ns), '%Y-%m-%d'),
    strftime(make_timestamp_ns(last_ns), '%Y-%m-%d')
FROM {kind}_{where} GROUP BY part ORDER BY 1
"""
_SYMBOLS = f"SELECT DISTINCT symbol FROM {{kind}}_{{where}} LIMIT {_SYMBOLS_MAX + 1}"

# Rows of an instant come from several pages: only then it matters which are of one request.
_SHARING = """
CREATE OR REPLACE TABLE {kind}_sharing AS
SELECT DISTINCT feed, epoch, seq FROM {kind}_rest SEMI JOIN (
    SELECT feed, symbol, event_ns FROM {kind}_rest GROUP BY ALL
    HAVING min(epoch) < max(epoch) OR min(seq) < max(seq)
) USING (feed, symbol, event_ns)
"""

# Pages that go on in the instant in which the one before ended: `request` is the first one's seq.
_SEAMS = """
CREATE OR REPLACE TABLE {kind}_seams AS
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
    LEFT JOIN {kind}_seams AS seams USING (feed, epoch, seq) WHERE {near}
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
    """The first and the last `event_ns` of rows of REST.

    Between them are `stretches`, both ends inclusive, beyond which there is none, and `days`.
    `symbols` are theirs; none is given where there are many.
    """

    from_ns: int
    to_ns: int
    stretches: tuple[tuple[int, int], ...]
    days: tuple[str, ...]
    symbols: tuple[str, ...]


class Healed:
    """Those rows of REST that no streamed one accounts for.

    `rows` is their query. `kept` when they are in a table of the connection, and few.
    """

    def __init__(self, kind: str, span: Span, rows: str, *, kept: bool) -> None:
        self.rows = rows
        self._kind = kind
        self._span = span
        self._kept = kept

    def among(self, of_rest: str, streamed: str) -> str:
        """The query of those among rows of both sides, which must be all of their identities."""
        return self.rows if self._kept else _missed(self._kind, self._span, of_rest, streamed)


def heal(con: duckdb.DuckDBPyConnection, kind: str, source: Source) -> Healed | None:
    """Find the rows of a kind that REST has and the stream has not; None when there are none.

    The connection keeps tables for it, named after the kind: of so many rows at most as
    `_KEPT_ROWS`, or else of spans in which REST may have more.
    """
    names = {"kind": kind, "of_rest": source.of_rest()}
    if source.rest_rows_max <= _KEPT_ROWS:
        con.execute("CREATE OR REPLACE TABLE {kind}_rest AS {of_rest}".format(**names))
        return _kept(con, kind, source, f"FROM {kind}_rest")
    if not _compare(con, kind, source):
        return None
    span = _span_of(con, kind, "doubtful")
    names["of_rest"] = _OF_DOUBTFUL.format(
        kind=kind,
        of_rest=f"FROM ({source.of_rest(span.stretches)}) WHERE {_near(span)}",
        same_feed="" if _is_one_feed(source) else f" AND {_HEALED_FEED} = doubtful.feed",
    )
    (rows,) = con.execute(f"SELECT sum(number) FROM {kind}_doubtful").fetchall()[0]
    if rows <= _KEPT_ROWS:
        con.execute("CREATE OR REPLACE TABLE {kind}_rest AS {of_rest}".format(**names))
        return _kept(con, kind, source, source.of_rest())
    con.execute(_SEAMS.format(kind=kind, of_rest=source.of_rest()))
    rows = _missed(kind, span, names["of_rest"], source.streamed(span.stretches))
    return Healed(kind, span, rows, kept=False)


def _kept(con: duckdb.DuckDBPyConnection, kind: str, source: Source, of_rest: str) -> Healed | None:
    """Match the rows of `KIND_rest`, which are those of `of_rest` that may not be streamed."""
    con.execute(
        f"CREATE OR REPLACE TABLE {kind}_told AS SELECT symbol, event_ns // {_NEAR_NS} AS part,"
        f" min(event_ns) AS from_ns, max(event_ns) AS to_ns FROM {kind}_rest GROUP BY ALL"
    )
    if not con.execute(f"SELECT 1 FROM {kind}_told LIMIT 1").fetchall():
        return None
    span = _span_of(con, kind, "told")
    con.execute(_SHARING.format(kind=kind))
    pages = f"SELECT * FROM ({of_rest}) SEMI JOIN {kind}_sharing USING (feed, epoch, seq)"
    con.execute(_SEAMS.format(kind=kind, of_rest=pages))
    near = f"SELECT * FROM ({source.streamed(span.stretches)}) WHERE {_near(span)}"
    streamed = f"SELECT * FROM ({near}) SEMI JOIN {kind}_rest USING (symbol, event_ns)"
    rows = _missed(kind, span, f"FROM {kind}_rest", streamed)
    con.execute(f"CREATE OR REPLACE TABLE {kind}_missed AS {rows}")
    for name in ("told", "rest", "sharing", "seams"):
        con.execute(f"DROP TABLE {kind}_{name}")
    return Healed(kind, span, f"SELECT {_columns(kind)} FROM {kind}_missed", kept=True)


def _compare(con: duckdb.DuckDBPyConnection, kind: str, source: Source) -> bool:
    """Make `KIND_doubtful`: where REST may have more than was streamed; whether there is such."""
    others = [name for name in KINDS[kind].names if name not in (*_PLACE, "symbol")]
    one_feed = _is_one_feed(source)  # a text less to group by: half the time
    names = {
        "kind": kind,
        "keys": ", ".join(f'"{name}"' for name in _KEYS.get(kind, others)),
        "is_known": _IS_KNOWN.get(kind, "true"),
        "by": "symbol, part" if one_feed else "feed, symbol, part",
    }
    feed = "NULL" if one_feed else _HEALED_FEED
    con.execute(_TOLD.format(**names, feed=feed, of_rest=source.of_rest()))
    if not con.execute(f"SELECT 1 FROM {kind}_told LIMIT 1").fetchall():
        return False
    span = _span_of(con, kind, "told")
    streamed = source.streamed(span.stretches)
    con.execute(_DOUBTFUL.format(**names, streamed=streamed, near=_near(span)))
    con.execute(f"DROP TABLE {kind}_told")
    return bool(con.execute(f"SELECT 1 FROM {kind}_doubtful LIMIT 1").fetchall())


def _is_one_feed(source: Source) -> bool:
    """Whether all rows are certainly of one feed, and of what healed it."""
    feeds = source.feeds
    return None not in feeds and len({str(feed).removesuffix(REST) for feed in feeds}) == 1


def _span_of(con: duckdb.DuckDBPyConnection, kind: str, where: str) -> Span:
    """Where the rows lie that are told of in the table `KIND_where`; it has some."""
    parts = con.execute(_LIE.format(kind=kind, where=where)).fetchall()
    found = [(first_ns, last_ns) for first_ns, last_ns, *_ in parts]
    days = {day for _, _, *both in parts for day in both}
    symbols = [s for (s,) in con.execute(_SYMBOLS.format(kind=kind, where=where)).fetchall()]
    return Span(
        found[0][0],
        max(to_ns for _, to_ns in found),
        _joined(found),
        tuple(sorted(days)),
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


def _missed(kind: str, span: Span, of_rest: str, streamed: str) -> str:
    """The query of those rows of REST that no streamed one accounts for.

    Args:
        kind: trades, quotes or bars.
        span: where rows of REST lie that may not be streamed; of others none is looked at.
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
