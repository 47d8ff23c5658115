"""Cancels and corrections applied to trades: which rows are out, and which get other values.

The trades' own rows are never touched: the venue's later word is applied to a view of them. A
cancel or correction names exchange, id, price and size but not the trade's time, and venues use an
id again on another day (and exchange D within one), so the choice among trades of one id is made
here, in the order in which the venue spoke.
"""

from collections import defaultdict
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from ticktape.schemas import KINDS

# How far a trade may be from the cancel that names its id but not its price and size.
_NEAR_NS = 86_400 * 1_000_000_000

_PLACE: list[tuple[str, pa.DataType]] = [
    ("feed", pa.string()),
    ("epoch", pa.int64()),
    ("seq", pa.int64()),
    ("index", pa.int32()),
]
REMOVED_SCHEMA = pa.schema(_PLACE)
REPLACED_SCHEMA = pa.schema(
    [
        *_PLACE,
        ("id", pa.int64()),
        ("price", pa.float64()),
        ("size", pa.float64()),
        ("conditions", pa.string()),
    ]
)

_KEY_SCHEMA = KINDS["cancels"].empty_table().select(["feed", "symbol", "exchange", "id"]).schema

_AMENDMENTS = """
SELECT event_ns, feed, symbol, exchange, id, price, size,
       NULL AS new_id, NULL AS new_price, NULL AS new_size, NULL AS new_conditions
FROM cancels
UNION
SELECT event_ns, feed, symbol, exchange, original_id, original_price, original_size,
       corrected_id, corrected_price, corrected_size, corrected_conditions
FROM corrections
ORDER BY event_ns
"""

_TRADES = """
SELECT feed, symbol, exchange, id, event_ns, price, size, conditions, epoch, seq, index
FROM trades_raw SEMI JOIN named_ids USING (feed, symbol, exchange, id)
ORDER BY event_ns, epoch, seq, index
"""

_Key = tuple[str, str, str, int]  # feed, symbol, exchange, id


class Amended(NamedTuple):
    """Rows of trades_raw by their place: `removed` are out, `replaced` have new values."""

    removed: pa.Table
    replaced: pa.Table


class _Trade:
    """A trade as it stands after the amendments so far."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.event_ns: int = row[4]
        self.id: int = row[3]
        self.price: float = row[5]
        self.size: float = row[6]
        self.conditions: str = row[7]
        self.place = (row[0], row[8], row[9], row[10])


def amend(con: duckdb.DuckDBPyConnection) -> Amended:
    """Apply all cancels and corrections that the connection's views show to `trades_raw`.

    Takes memory for the trades that they name and no others.
    """
    amendments = con.execute(_AMENDMENTS).fetchall()
    standing = _named_trades(con, amendments)
    touched: list[_Trade] = []
    removed: list[_Trade] = []
    for event_ns, feed, symbol, exchange, old_id, price, size, *new in amendments:
        key = (feed, symbol, exchange, old_id)
        trade = _chosen(standing[key], event_ns, price, size)
        if trade is None:
            continue  # it was before our time, or in a gap
        standing[key].remove(trade)
        new_id, new_price, new_size, new_conditions = new
        there = standing[(feed, symbol, exchange, new_id)] if new_id is not None else []
        came_itself = new_id != old_id and any(
            (t.price, t.size) == (new_price, new_size) for t in there
        )
        if new_id is None or came_itself:
            removed.append(trade)
            continue
        trade.id, trade.price, trade.size = new_id, new_price, new_size
        trade.conditions = new_conditions
        touched.append(trade)
        there.append(trade)
    out = {trade.place for trade in removed}
    kept = {t.place: t for t in touched if t.place not in out}
    return Amended(
        _table(REMOVED_SCHEMA, sorted(out)),
        _table(
            REPLACED_SCHEMA,
            [(*t.place, t.id, t.price, t.size, t.conditions) for t in kept.values()],
        ),
    )


def _named_trades(
    con: duckdb.DuckDBPyConnection, amendments: list[tuple[Any, ...]]
) -> defaultdict[_Key, list[_Trade]]:
    """Find the trades with an id that some amendment names, old or new."""
    keys = {(row[1], row[2], row[3], id_) for row in amendments for id_ in (row[4], row[7])}
    con.register("named_ids", _table(_KEY_SCHEMA, [key for key in keys if key[3] is not None]))
    found: defaultdict[_Key, list[_Trade]] = defaultdict(list)
    for row in con.execute(_TRADES).fetchall():
        found[row[:4]].append(_Trade(row))
    con.unregister("named_ids")
    return found


def _chosen(trades: list[_Trade], event_ns: int, price: float, size: float) -> _Trade | None:
    """Choose the trade that an amendment means: by content, then the last before `event_ns`."""
    meant = [trade for trade in trades if (trade.price, trade.size) == (price, size)]
    if meant:
        return max(meant, key=lambda t: (t.event_ns <= event_ns, -abs(event_ns - t.event_ns)))
    # No such content: the only one of that day can be meant, among several it would be a guess.
    near = [trade for trade in trades if abs(event_ns - trade.event_ns) <= _NEAR_NS]
    return near[0] if len(near) == 1 else None


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
