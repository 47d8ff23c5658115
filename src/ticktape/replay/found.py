"""What REST had and the stream had not, per symbol and minute; and which times of a day to compare.

It is asked of the views, which match both witnesses row by row; of trades before cancels and
corrections are applied, for one that was lost and then cancelled was lost all the same.
"""

from typing import NamedTuple

import duckdb

from ticktape import clock
from ticktape.config import REST
from ticktape.ledger.sessions import Hours, span_at

_MINUTE_NS = 60 * clock.NS_PER_S
_DAY_NS = 86_400 * clock.NS_PER_S
VENUE = "venue"
"""The stage at which such a row was lost: it was never sent to us, or we were not there to hear."""

_FOUND = """
SELECT symbol, event_ns - event_ns % $minute AS minute_ns, count(*) AS count
FROM {rows} AS row WHERE feed = $feed AND witness = 'rest' AND recv_ns >= $since
AND NOT EXISTS (
    FROM gaps WHERE gaps.feed = $feed AND planned AND row.event_ns BETWEEN from_ns AND to_ns
)
{more}
GROUP BY ALL ORDER BY ALL
"""

# REST shows the replacement of a trade as a row; the stream sent the correction instead.
# An id is used again on another day, so the correction must be near.
_NOT_REPLACED = """
AND NOT EXISTS (
    FROM corrections AS c WHERE c.feed = $feed AND c.symbol = row.symbol
    AND c.exchange = row.exchange AND c.corrected_id = row.id
    AND row.event_ns BETWEEN c.event_ns - 86400000000000 AND c.event_ns + 2000000000
)
"""
# Of what REST told again the views show the newest; it was found before.
_NOT_TOLD_BEFORE = f"""
AND NOT EXISTS (
    FROM {{kind}}_raw AS told WHERE told.feed = $feed || '{REST}' AND told.recv_ns < $since
    AND told.symbol = row.symbol AND told.event_ns = row.event_ns AND {{same}}
)
"""
_SAME = {
    "trades": ("exchange", "id"),
    "quotes": ("bid_exchange", "bid_price", "bid_size", "ask_exchange", "ask_price", "ask_size"),
    "bars": ("span",),
}
# Kind -> the view to ask, and which of its rows do not count.
_ASKED = {
    kind: (
        "trades_merged" if kind == "trades" else kind,
        (_NOT_REPLACED if kind == "trades" else "")
        + _NOT_TOLD_BEFORE.format(
            kind=kind, same=" AND ".join(f"told.{n} IS NOT DISTINCT FROM row.{n}" for n in names)
        ),
    )
    for kind, names in _SAME.items()
}
# Whose rows say which symbols to compare, and up to when we were there to hear.
_SEEN = {"trades": "trades", "cancels": "trades", "corrections": "trades", "bars": "bars"}
_STOPPED = """
SELECT min(from_ns) FROM gaps
WHERE feed = $feed AND planned AND from_ns > $last AND (to_ns IS NULL OR to_ns > $end)
"""


class Found(NamedTuple):
    """So many rows of one kind, symbol and minute that only REST had."""

    feed: str
    kind: str
    symbol: str
    minute_ns: int
    rows: int
    stage: str = VENUE


def only_rest(con: duckdb.DuckDBPyConnection, feed: str, since_ns: int) -> list[Found]:
    """What REST said since `since_ns` (our clock) that the stream of a feed never did.

    What happened while the recorder was stopped on purpose is not counted: nobody missed it.
    """
    found: list[Found] = []
    for kind, (view, more) in _ASKED.items():
        asked = {"minute": _MINUTE_NS, "feed": feed, "since": since_ns}
        rows = con.execute(_FOUND.format(rows=view, more=more), asked).fetchall()
        found += [Found(feed, kind, str(symbol), int(ns), int(count)) for symbol, ns, count in rows]
    return found


class DaySeen(NamedTuple):
    """What the stream of a feed brought of one UTC day of the venue's time."""

    from_ns: int
    to_ns: int
    symbols: dict[str, list[str]]


def seen_on(con: duckdb.DuckDBPyConnection, feed: str, day: str) -> DaySeen | None:
    """The times and symbols of a day that are worth a comparison; None when nothing came.

    Before the first and behind the last row of the stream nobody was there to miss anything, or it
    was a gap and is healed as one; see `session_end_ns`.
    """
    parts = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, symbol, event_ns FROM {view} "
        "WHERE feed = $feed AND witness <> 'rest' AND day = $day"
        for view, kind in _SEEN.items()
    )
    rows = con.execute(
        f"SELECT kind, symbol, min(event_ns), max(event_ns) FROM ({parts}) GROUP BY ALL",
        {"feed": feed, "day": day},
    ).fetchall()
    if not rows:
        return None
    symbols: dict[str, list[str]] = {}
    for kind, symbol, _, _ in rows:
        symbols.setdefault(str(kind), []).append(str(symbol))
    first_ns, last_ns = min(row[2] for row in rows), max(row[3] for row in rows)
    return DaySeen(int(first_ns), int(last_ns), symbols)


def session_end_ns(
    con: duckdb.DuckDBPyConnection, feed: str, last_ns: int, hours: Hours, now_ns: int
) -> int:
    """Up to when to compare a day whose stream was heard last at `last_ns`.

    A stream that ends within the usual hours may have been mute from there on: then it is the end
    of that session and day, but not behind a planned stop, nor later than now.
    """
    span = span_at(hours, last_ns)
    if not span.is_open or hours is Hours.ALWAYS:
        return last_ns
    end_ns = min(span.to_ns, last_ns - last_ns % _DAY_NS + _DAY_NS - 1, now_ns)
    stopped = {"feed": feed, "last": last_ns, "end": end_ns}
    row = con.execute(_STOPPED, stopped).fetchone()
    if row is not None and row[0] is not None:
        end_ns = min(end_ns, int(row[0]))
    return max(end_ns, last_ns)
