"""What REST had and the stream had not, per symbol and minute; and which times of a day to compare.

It is asked of the views, which match both witnesses row by row.
"""

from typing import NamedTuple

import duckdb

from ticktape import clock

_MINUTE_NS = 60 * clock.NS_PER_S
KINDS = ("trades", "quotes", "bars")
VENUE = "venue"
"""The stage at which such a row was lost: it was never sent to us, or we were not there to hear."""

_FOUND = """
SELECT symbol, event_ns - event_ns % $minute AS minute_ns, count(*) AS count
FROM {kind} AS row WHERE feed = $feed AND witness = 'rest' AND recv_ns >= $since
AND NOT EXISTS (
    FROM gaps WHERE gaps.feed = $feed AND planned AND row.event_ns BETWEEN from_ns AND to_ns
)
GROUP BY ALL ORDER BY ALL
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
    for kind in KINDS:
        asked = {"minute": _MINUTE_NS, "feed": feed, "since": since_ns}
        rows = con.execute(_FOUND.format(kind=kind), asked).fetchall()
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
    was a gap and is healed as one.
    """
    parts = " UNION ALL ".join(
        f"SELECT '{kind}' AS kind, symbol, event_ns FROM {kind} "
        "WHERE feed = $feed AND witness <> 'rest' AND day = $day"
        for kind in ("trades", "bars")
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
