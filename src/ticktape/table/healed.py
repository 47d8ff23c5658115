"""Views of what REST brought beside what was streamed: each trade, quote and bar once.

The tables keep both. A streamed row always stands, for it has our receive time; a row of REST is
shown where no streamed one accounts for it, under the feed's own name. Rows are matched as
multisets and never by id alone: venues use one again, also within a nanosecond. Nothing here costs
anything where REST was never asked.

Where it was, parts of time are found when the views are made that REST told just as they were
streamed, and those of which nothing was streamed: no row of theirs is matched. The others are, and
what REST has more is kept as a table of its own, while they are few.

What was asked for again and again counts as one request says it: the one that has the most rows of
a trade's identity (of a content, where there is no id), of several the newest, for REST may tell a
trade otherwise later. Pages of one request stand right behind one another in their journal, two
entries each. That matters only where a page ends and the next begins in one nanosecond of a symbol:
they are taken for pages of one request then, unless another entry stands between them.
"""

import duckdb

from ticktape.clock import NS_PER_S
from ticktape.config import REST
from ticktape.directory import LEDGER
from ticktape.schemas import KINDS
from ticktape.table.comparing import HEALED_FEED, INSTANT_NS, PLACE, Comparison, Span
from ticktape.table.sources import Source

_IDENTITY = {"trades": "CASE WHEN id IS NULL THEN content ELSE hash(exchange, id) END"}
_IDENTITY_OF_NONE = "content"  # what has no id is known by all of its columns
_KEPT_ROWS = 500_000  # of REST, in memory: matched once, when the views are made

# What was compared in short parts leaves less to match; there are more of them to add up.
_PART_NS = 10 * NS_PER_S
_LONG_PART_NS = 600 * NS_PER_S
_FEW_ROWS = 2_000_000

# Rows of an instant come from several pages: only then it matters which are of one request.
_SHARING = """
CREATE OR REPLACE TABLE {kind}_sharing AS
SELECT DISTINCT feed, epoch, seq FROM {kind}_matched SEMI JOIN (
    SELECT feed, symbol, event_ns FROM {kind}_matched GROUP BY ALL
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


class Healed:
    """Those rows of REST that no streamed one accounts for.

    `rows` is their query. `kept` when it has nothing to match any more.
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

    Its tables stay in the connection.
    """
    part_ns = _PART_NS if source.rest_rows_max <= _FEW_ROWS else _LONG_PART_NS
    comparison = Comparison(con, kind, source, part_ns=part_ns, name=kind)
    span = comparison.tell(source.of_rest())
    if span is None:
        return None
    near = f"FROM ({source.streamed(span.stretches)}) WHERE {span.near()}"
    span = comparison.doubt(near)
    if span is None:
        return None
    near = f"FROM ({source.of_rest(span.stretches)}) WHERE {span.near()}"
    parts = []
    if comparison.number(alone=True):
        parts.append(_named(kind, comparison.doubtful(near, alone=True)))
    in_question = comparison.number(alone=False)
    others = comparison.doubtful(near, alone=False)
    if 0 < in_question <= _KEPT_ROWS:
        _match(con, kind, source, span, others)
        parts.append(f"SELECT {_columns(kind)} FROM {kind}_missed")
    elif in_question:
        con.execute(_SEAMS.format(kind=kind, of_rest=source.of_rest()))
        matched = _missed(kind, span, others, source.streamed(span.stretches))
        parts.append(f"SELECT * FROM ({matched})")
    return Healed(kind, span, " UNION ALL ".join(parts), kept=in_question <= _KEPT_ROWS)


def _match(
    con: duckdb.DuckDBPyConnection, kind: str, source: Source, span: Span, of_rest: str
) -> None:
    """Make `KIND_missed` of rows of REST: those that no streamed one accounts for."""
    con.execute(f"CREATE OR REPLACE TABLE {kind}_rest AS {of_rest}")
    con.execute(
        f"CREATE OR REPLACE TABLE {kind}_heard AS"
        f" SELECT * FROM ({source.streamed(span.stretches)}) WHERE {span.near()}"
        f" AND (symbol, event_ns) IN (SELECT (symbol, event_ns) FROM {kind}_rest)"
    )
    comparison = Comparison(con, kind, source, part_ns=INSTANT_NS, name=f"{kind}_rest")
    comparison.tell(f"FROM {kind}_rest")
    comparison.doubt(f"FROM {kind}_heard")
    rows = _named(kind, comparison.doubtful(f"FROM {kind}_rest", alone=True))
    if comparison.number(alone=False):
        others = comparison.doubtful(f"FROM {kind}_rest", alone=False)
        con.execute(f"CREATE OR REPLACE TABLE {kind}_matched AS {others}")
        con.execute(_SHARING.format(kind=kind))
        pages = f"FROM ({source.of_rest()}) SEMI JOIN {kind}_sharing USING (feed, epoch, seq)"
        con.execute(_SEAMS.format(kind=kind, of_rest=pages))
        matched = _missed(kind, span, f"FROM {kind}_matched", f"FROM {kind}_heard")
        rows += f" UNION ALL FROM ({matched})"
    con.execute(f"CREATE OR REPLACE TABLE {kind}_missed AS {rows}")
    for name in ("rest", "rest_doubtful", "heard", "matched", "sharing", "seams"):
        con.execute(f"DROP TABLE IF EXISTS {kind}_{name}")


def _named(kind: str, of_rest: str) -> str:
    """Rows of REST under the name of the feed that they heal."""
    return (
        f"SELECT {_columns(kind)} FROM (SELECT * REPLACE ({HEALED_FEED} AS feed) FROM ({of_rest}))"
    )


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
        "healed_feed": HEALED_FEED,
        "columns": _columns(kind),
        "own": ", ".join(f'"{name}"' for name in KINDS[kind].names if name not in PLACE),
        "instant": _INSTANT,
        "identity": _IDENTITY.get(kind, _IDENTITY_OF_NONE),
        "near": span.near(),
    }
    rule = _BARS if kind == "bars" else _MATCHED
    return rule.format(sides=_SIDES.format(**names), **names)


def make_gaps(con: duckdb.DuckDBPyConnection) -> None:
    """Make the view `gaps` over `gaps_raw`: one row for each, as it stands.

    A gap is known by feed, symbol and beginning. Its end stays once it was told.
    """
    columns = _columns("gaps").replace(
        '"to_ns"', 'coalesce(to_ns, first_value(to_ns IGNORE NULLS) OVER newest) AS "to_ns"'
    )
    query = _GAPS.format(
        columns=columns,
        healed_feed=HEALED_FEED,
        ledger=LEDGER,
        ledger_chars=len(LEDGER),
        rest_end=REST,
    )
    con.execute(f"CREATE VIEW gaps AS {query}")


def _columns(kind: str) -> str:
    return ", ".join(f'"{name}"' for name in [*KINDS[kind].names, "day"])
