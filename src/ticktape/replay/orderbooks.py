"""A crypto order book at a moment, put together from the rows of the tables."""

from collections.abc import Iterator

import duckdb
import msgspec

from ticktape.orderbook import OrderBookImage, OrderBooks, place_of
from ticktape.records import CryptoBook, Gap, Record, Unknown
from ticktape.schemas import KINDS

_FEED = """
SELECT feed FROM crypto_books WHERE symbol = $symbol AND recv_ns <= $at_ns
ORDER BY recv_ns DESC, feed LIMIT 1
"""

_WHOLE = """
SELECT epoch, seq, index FROM crypto_books
WHERE feed = $feed AND symbol = $symbol AND recv_ns <= $at_ns AND reset
ORDER BY epoch DESC, seq DESC, index DESC LIMIT 1
"""

_CHANGES = """
SELECT {columns} FROM crypto_books
WHERE feed = $feed AND symbol = $symbol AND recv_ns <= $at_ns
    AND (epoch, seq, index) >= ($epoch, $seq, $index)
"""

# Of all gaps, not only of those after the whole book: how one ended may be told after that.
_GAPS = """
SELECT {columns} FROM gaps_raw
WHERE feed = $feed AND symbol IN ('', $symbol) AND from_ns < $at_ns
"""

_UNKNOWN = """
SELECT {columns} FROM unknown
WHERE feed = $feed AND recv_ns <= $at_ns AND (epoch, seq, index) >= ($epoch, $seq, $index)
"""


def book_at(
    con: duckdb.DuckDBPyConnection, symbol: str, at_ns: int, feed: str | None
) -> OrderBookImage | None:
    """The order book as it stood at `at_ns` of our clock; None if no whole one had come.

    Args:
        con: as `table.query.connect` gives it.
        symbol: the venue's.
        at_ns: what was received by then counts, and every gap that had begun before.
        feed: None takes the one whose change of the symbol came last.
    """
    asked: dict[str, object] = {"symbol": symbol, "at_ns": at_ns}
    if feed is None:
        found = con.execute(_FEED, asked).fetchone()
        if found is None:
            return None
        (feed,) = found
    asked["feed"] = feed
    whole = con.execute(_WHOLE, asked).fetchone()
    if whole is None:
        return None
    since = dict(zip(("epoch", "seq", "index"), whole, strict=True))
    records: list[Record] = [
        *_records(con, CryptoBook, _CHANGES, asked | since),
        *_records(con, Gap, _GAPS, asked),
        *_records(con, Unknown, _UNKNOWN, {"feed": feed, "at_ns": at_ns} | since),
    ]
    books = OrderBooks()
    for record in sorted(records, key=place_of):
        books.update(record)
    book = books.get(feed, symbol)
    assert book is not None
    return book.image(feed, symbol)


def _records(
    con: duckdb.DuckDBPyConnection, made: type[Record], query: str, asked: dict[str, object]
) -> Iterator[Record]:
    names = KINDS[made.kind].names
    columns = ", ".join(f'"{name}"' for name in names)
    for row in con.execute(query.format(columns=columns), asked).fetchall():
        yield msgspec.convert(dict(zip(names, row, strict=True)), made)
