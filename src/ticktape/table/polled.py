"""Views of polled books and ticks: two legs of a feed as one, and a row for each level of a book.

Nothing that only one leg saw is left out, and nothing that both saw stands twice.
"""

from collections.abc import Container, Set

import duckdb

from ticktape.mt5 import BookFlag
from ticktape.schemas import KINDS

_IMAGE = "ask_prices, ask_volumes, bid_prices, bid_volumes, types, whole_volumes"
_KEYFRAME = int(BookFlag.KEYFRAME)
_TICK = "time_msc, bid, ask, last, volume, volume_real, flags"
# The second leg's rows stand under the feed's own name.
_FEED = "CASE WHEN witness = 'leg B' THEN left(feed, -2) ELSE feed END"

# Where each leg looked, in the middle of its call. A row that shows what the other leg showed just
# before says nothing new, unless its leg saw something else in between; one that shows what its own
# leg showed is a keyframe, and stays.
_BOOKS = """
SELECT {columns} FROM (
    SELECT * REPLACE ({feed} AS feed),
        lag(witness) OVER legs AS before_witness,
        lag(after_ns) OVER legs AS before_after_ns,
        lag(struct_pack({fields})) OVER legs AS before_image
    FROM books_raw
    WINDOW legs AS (
        PARTITION BY {feed}, symbol ORDER BY before_ns // 2 + after_ns // 2, witness, epoch, seq
    )
)
WHERE before_witness IS NULL OR before_witness = witness
    OR before_image IS DISTINCT FROM struct_pack({fields})
    OR (flags & {keyframe} = 0 AND previous_ns > before_after_ns)
"""

# Two equal ticks of one millisecond are two: the n-th of one leg is the n-th of the other.
_TICKS = """
SELECT {columns} FROM (
    SELECT * REPLACE ({feed} AS feed), row_number() OVER (
        PARTITION BY {feed}, symbol, witness, {tick} ORDER BY epoch, seq, index
    ) AS nth
    FROM ticks_raw
)
QUALIFY row_number() OVER (PARTITION BY feed, symbol, {tick}, nth ORDER BY witness) = 1
"""

_LEGS = "SELECT 1 FROM {kind}_raw WHERE witness = 'leg B' LIMIT 1"

_LEVELS = """
SELECT feed, symbol, event_ns, recv_ns, witness, epoch, seq, '{side}' AS side,
    unnest(range(1, len({side}_prices) + 1))::INTEGER AS level,
    unnest({side}_prices) AS price, unnest({side}_volumes) AS volume, day
FROM books
"""


def make_polled(con: duckdb.DuckDBPyConnection, views: Set[str], filled: Container[str]) -> None:
    """Make those of the views `books`, `ticks` and `levels` that are among `views`.

    They are made over `books_raw` and `ticks_raw`; what is not in `filled` has no rows.
    """
    fields = ", ".join(f"{name} := {name}" for name in _IMAGE.split(", "))
    merged = {
        "books": _BOOKS.format(
            columns=_columns("books"), feed=_FEED, fields=fields, keyframe=_KEYFRAME
        ),
        "ticks": _TICKS.format(columns=_columns("ticks"), feed=_FEED, tick=_TICK),
    }
    if "levels" in views:
        views = views | {"books"}
    for kind in views & merged.keys():
        plain = f"SELECT {_columns(kind)} FROM {kind}_raw"
        has_legs = kind in filled and con.execute(_LEGS.format(kind=kind)).fetchall()
        con.execute(f"CREATE VIEW {kind} AS {merged[kind] if has_legs else plain}")
    if "levels" in views:
        levels = " UNION ALL ".join(_LEVELS.format(side=side) for side in ("ask", "bid"))
        con.execute(f"CREATE VIEW levels AS {levels}")


def _columns(kind: str) -> str:
    return ", ".join(f'"{name}"' for name in [*KINDS[kind].names, "day"])
