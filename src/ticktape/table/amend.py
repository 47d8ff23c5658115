"""Cancels and corrections applied to trades: which rows are out, and which get other values.

The trades' own rows are never touched: the venue's later word is applied to a view of them. A
cancel or correction names exchange, id, price and size but not the trade's time, and venues use an
id again on another day (and exchange D within one), so the choice among trades of one id is made
here, in the order in which the venue spoke.

What REST brought is amended under the name of its feed. It shows a corrected trade twice, as it was
and as it is: where a streamed correction made the one out of the other, the second is left out. And
its word that a trade was taken back comes last, and counts where the stream has not said so itself.
"""

from collections import defaultdict
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from ticktape.config import REST
from ticktape.records import Witness
from ticktape.schemas import KINDS
from ticktape.table.healed import Healed

# How far a trade may be from the cancel that names its id but not its price and size.
_NEAR_NS = 86_400 * 1_000_000_000

_PLACE: list[tuple[str, pa.DataType]] = [
    ("feed", pa.string()),
    ("witness", pa.string()),
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

_KEY_SCHEMA = pa.schema(
    [KINDS["cancels"].field(name) for name in ("feed", "symbol", "exchange", "id")]
)

_AMENDMENTS = """
SELECT event_ns, feed, symbol, exchange, id, price, size,
       NULL AS new_id, NULL AS new_price, NULL AS new_size, NULL AS new_conditions
FROM cancels WHERE witness <> 'rest'
UNION
SELECT event_ns, feed, symbol, exchange, original_id, original_price, original_size,
       corrected_id, corrected_price, corrected_size, corrected_conditions
FROM corrections
ORDER BY event_ns
"""

# Of REST, with the trade's own time: it does not say when it was taken back.
_TAKEN_BACK = f"""
SELECT DISTINCT event_ns, left(feed, -{len(REST)}), symbol, exchange, id, price, size
FROM cancels WHERE witness = 'rest' ORDER BY ALL
"""

# By id alone first: one number is compared at a tenth of what the others cost.
_NAMED_TRADES = """
CREATE TABLE trades_named AS
SELECT * FROM (
    SELECT * FROM ({placed}) SEMI JOIN (SELECT id FROM named_ids) USING (id)
) SEMI JOIN named_ids USING (symbol, exchange, id)
"""
_OF_REST = "SELECT * FROM trades_named WHERE witness = 'rest'"
_STREAMED = "SELECT * FROM trades_named WHERE witness <> 'rest'"
_TRADES = """
SELECT feed, symbol, exchange, id, event_ns, price, size, conditions, witness, epoch, seq, index
FROM ({rows}) SEMI JOIN named_ids USING (feed, symbol, exchange, id)
ORDER BY event_ns, witness = 'rest', epoch, seq, index
"""

_Key = tuple[str, str, str, int]  # feed, symbol, exchange, id


class Amended(NamedTuple):
    """Rows of the merged trades by their place: `removed` are out, `replaced` have new values."""

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
        self.is_rest: bool = row[8] == Witness.REST.value
        self.place = (row[0], *row[8:12])


class _Trades:
    """The trades that amendments name, as they stand after those so far."""

    def __init__(self, rows: list[tuple[Any, ...]]) -> None:
        self.removed: set[tuple[Any, ...]] = set()
        self._touched: list[_Trade] = []
        self._amended: set[tuple[Any, ...]] = set()  # key, time and content before
        self._standing: defaultdict[_Key, list[_Trade]] = defaultdict(list)
        for row in rows:
            self._standing[row[:4]].append(_Trade(row))

    @property
    def replaced(self) -> list[_Trade]:
        """Those that have new values, each once."""
        return list({t.place: t for t in self._touched if t.place not in self.removed}.values())

    def amend(self, amendment: tuple[Any, ...]) -> None:
        """Apply one amendment of the stream; without its trade it changes nothing."""
        event_ns, feed, symbol, exchange, old_id, price, size, *new = amendment
        key = (feed, symbol, exchange, old_id)
        trade = _chosen(self._standing[key], event_ns, price, size)
        if trade is None:
            return  # it was before our time, or in a gap
        self._take(key, trade)
        new_id, new_price, new_size, new_conditions = new
        if new_id is None:
            self.removed.add(trade.place)
            return
        new_key = (feed, symbol, exchange, new_id)
        there = self._standing[new_key]
        alike = [t for t in there if (t.price, t.size) == (new_price, new_size)]
        shown_by_rest = [t for t in alike if t.is_rest and _is_near(t, trade.event_ns)]
        if shown_by_rest:
            twin = min(
                shown_by_rest,
                key=lambda t: (t.conditions != new_conditions, abs(t.event_ns - trade.event_ns)),
            )
            there.remove(twin)
            self.removed.add(twin.place)
        if new_id != old_id and any(not t.is_rest for t in alike):
            self.removed.add(trade.place)  # the replacement came itself
            return
        trade.id, trade.price, trade.size = new_id, new_price, new_size
        trade.conditions = new_conditions
        self._touched.append(trade)
        there.append(trade)

    def take_back(self, said: tuple[Any, ...]) -> None:
        """Apply what REST said of a trade, unless the stream has amended that trade."""
        event_ns, feed, symbol, exchange, id_, price, size = said
        key = (feed, symbol, exchange, id_)
        if (key, event_ns, price, size) in self._amended:
            return
        there = [t for t in self._standing[key] if t.event_ns == event_ns]
        meant = [t for t in there if (t.price, t.size) == (price, size)]
        # The only one of that instant is the same trade, which the stream showed otherwise.
        trade = meant[0] if meant else there[0] if len(there) == 1 else None
        if trade is not None:
            self._take(key, trade)
            self.removed.add(trade.place)

    def _take(self, key: _Key, trade: _Trade) -> None:
        self._standing[key].remove(trade)
        self._amended.add((key, trade.event_ns, trade.price, trade.size))


def amend(con: duckdb.DuckDBPyConnection, placed: str, healed: Healed | None) -> Amended:
    """Apply all cancels and corrections that the connection's views show to the merged trades.

    Makes the table `trades_named`: all stored trades that may be meant. Takes memory for those and
    no others.

    Args:
        con: the connection.
        placed: the query of all stored trades, and of their place in the files.
        healed: trades that REST has and the stream has not.
    """
    amendments = con.execute(_AMENDMENTS).fetchall()
    taken_back = con.execute(_TAKEN_BACK).fetchall()
    keys = {(row[1], row[2], row[3], id_) for row in amendments for id_ in (row[4], row[7])}
    keys |= {row[1:5] for row in taken_back}
    trades = _Trades(_named_trades(con, placed, keys, healed))
    for amendment in amendments:
        trades.amend(amendment)
    for said in taken_back:
        trades.take_back(said)
    return Amended(
        _table(REMOVED_SCHEMA, sorted(trades.removed)),
        _table(
            REPLACED_SCHEMA,
            [(*t.place, t.id, t.price, t.size, t.conditions) for t in trades.replaced],
        ),
    )


def _named_trades(
    con: duckdb.DuckDBPyConnection, placed: str, keys: set[_Key], healed: Healed | None
) -> list[tuple[Any, ...]]:
    """Find the trades with an id that some amendment names, old or new."""
    con.register("named_ids", _table(_KEY_SCHEMA, [key for key in keys if key[3] is not None]))
    con.execute(_NAMED_TRADES.format(placed=placed))
    columns = ", ".join(f'"{name}"' for name in [*KINDS["trades"].names, "day"])
    rows = f"SELECT {columns} FROM ({_STREAMED})"
    if healed is not None:
        rows += f" UNION ALL FROM ({healed.among(_OF_REST, _STREAMED)})"
    found = con.execute(_TRADES.format(rows=rows)).fetchall()
    con.unregister("named_ids")
    return found


def _chosen(trades: list[_Trade], event_ns: int, price: float, size: float) -> _Trade | None:
    """Choose the trade that an amendment means: by content, then the last before `event_ns`."""
    meant = [trade for trade in trades if (trade.price, trade.size) == (price, size)]
    if meant:
        return max(meant, key=lambda t: (t.event_ns <= event_ns, -abs(event_ns - t.event_ns)))
    # No such content: the only one of that day can be meant, among several it would be a guess.
    near = [trade for trade in trades if _is_near(trade, event_ns)]
    return near[0] if len(near) == 1 else None


def _is_near(trade: _Trade, event_ns: int) -> bool:
    return abs(event_ns - trade.event_ns) <= _NEAR_NS


def _table(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(
        [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)],
        schema=schema,
    )
