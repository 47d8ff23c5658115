"""A crypto order book at a moment, put together from the rows of the tables."""

from collections.abc import Iterator

import duckdb
import msgspec

from ticktape.directory import LEDGER
from ticktape.ledger.suspects import DAMAGED
from ticktape.orderbook import OrderBookImage, OrderBooks, place_of
from ticktape.records import CryptoBook, Gap, Record, Unknown
from ticktape.schemas import KINDS

_FEED = """
SELECT feed FROM crypto_books WHERE symbol = $symbol AND recv_ns <= $at_ns
ORDER BY recv_ns DESC, feed LIMIT 1
"""

# Up to where the journal counts. After it our clock may have stood before the moment again: what
# came between is in all the same, for a book is made of its changes in their order.
_NEWEST = """
SELECT epoch, seq, index FROM (
    SELECT epoch, seq, index FROM crypto_books
    WHERE feed = $feed AND symbol = $symbol AND recv_ns <= $at_ns
    UNION ALL
    SELECT epoch, seq, index FROM gaps_raw
    WHERE feed = $feed AND symbol IN ('', $symbol) AND recv_ns <= $at_ns
    UNION ALL
    SELECT epoch, seq, index FROM unknown WHERE feed = $feed AND recv_ns <= $at_ns
)
ORDER BY epoch DESC, seq DESC, index DESC LIMIT 1
"""

# Not as the rows are compared else: of two such comparisons DuckDB makes a BETWEEN, which has none.
_UP_TO = """(epoch < $to_epoch OR epoch = $to_epoch AND
        (seq < $to_seq OR seq = $to_seq AND index <= $to_index))"""

_WHOLE = f"""
SELECT epoch, seq, index FROM crypto_books
WHERE feed = $feed AND symbol = $symbol AND reset
    AND {_UP_TO}
ORDER BY epoch DESC, seq DESC, index DESC LIMIT 1
"""

_CHANGES = """
SELECT {columns} FROM crypto_books
WHERE feed = $feed AND symbol = $symbol
    AND (epoch, seq, index) >= ($epoch, $seq, $index)
    AND {up_to}
"""

# Of all gaps, not only of those after the whole book: how one ended may be told after that. And
# of those, too, that had begun by then and were noticed later.
_GAPS = """
SELECT {columns} FROM gaps_raw
WHERE feed = $feed AND symbol IN ('', $symbol)
    AND (from_ns < $at_ns OR {up_to})
"""

# The ledger tells of damage, at places of its own journal. What was lost lay before the first
# change that came behind it.
_DAMAGES = f"""
SELECT {{columns}} FROM gaps_raw
WHERE feed = '{LEDGER}' || $feed AND cause = '{DAMAGED}' AND from_ns < $at_ns
"""
_BEHIND = f"""
SELECT epoch, seq, index FROM crypto_books
WHERE feed = $feed AND symbol = $symbol AND recv_ns >= $to_ns AND {_UP_TO}
ORDER BY epoch, seq, index LIMIT 1
"""

_UNKNOWN = """
SELECT {columns} FROM unknown
WHERE feed = $feed
    AND (epoch, seq, index) >= ($epoch, $seq, $index)
    AND {up_to}
"""


def book_at(
    con: duckdb.DuckDBPyConnection, symbol: str, at_ns: int, feed: str | None
) -> OrderBookImage | None:
    """The order book as it stood at `at_ns` of our clock; None if no whole one had come.

    Args:
        con: as `table.query.connect` gives it.
        symbol: the venue's.
        at_ns: what was received by then counts, all that the journal has before it, and every gap
            that had begun before.
        feed: None takes the one whose change of the symbol came last.
    """
    asked: dict[str, object] = {"symbol": symbol, "at_ns": at_ns}
    if feed is None:
        found = con.execute(_FEED, asked).fetchone()
        if found is None:
            return None
        (feed,) = found
    asked["feed"] = feed
    newest = con.execute(_NEWEST, asked).fetchone()
    if newest is None:
        return None
    of_book: dict[str, object] = {"feed": feed, "symbol": symbol}
    to = dict(zip(("to_epoch", "to_seq", "to_index"), newest, strict=True))
    whole = con.execute(_WHOLE, of_book | to).fetchone()
    if whole is None:
        return None
    span = dict(zip(("epoch", "seq", "index"), whole, strict=True)) | to
    records: list[Record] = [
        *_records(con, CryptoBook, _CHANGES, of_book | span),
        *_records(con, Gap, _GAPS, asked | to),
        *_damages(con, asked, to),
        *_records(con, Unknown, _UNKNOWN, {"feed": feed} | span),
    ]
    books = OrderBooks()
    for record in sorted(records, key=place_of):
        books.update(record)
    book = books.get(feed, symbol)
    assert book is not None
    return book.image(feed, symbol)


def _damages(
    con: duckdb.DuckDBPyConnection, asked: dict[str, object], to: dict[str, int]
) -> Iterator[Gap]:
    """What the feed's journal lost to damage, as gaps of the feed itself, where they tell."""
    for gap in _records(con, Gap, _DAMAGES, {"feed": asked["feed"], "at_ns": asked["at_ns"]}):
        assert isinstance(gap, Gap)
        book: dict[str, object] = {"feed": asked["feed"], "symbol": asked["symbol"]}
        behind = con.execute(_BEHIND, book | to | {"to_ns": gap.to_ns}).fetchone()
        epoch, seq, index = behind or (*to.values(),)
        index += -1 if behind else 1
        yield msgspec.structs.replace(
            gap, feed=str(asked["feed"]), epoch=epoch, seq=seq, index=index
        )


def _records(
    con: duckdb.DuckDBPyConnection, made: type[Record], query: str, asked: dict[str, object]
) -> Iterator[Record]:
    names = KINDS[made.kind].names
    columns = ", ".join(f'"{name}"' for name in names)
    for row in con.execute(query.format(columns=columns, up_to=_UP_TO), asked).fetchall():
        yield msgspec.convert(dict(zip(names, row, strict=True)), made)
