"""A crypto order book put together from its changes; pure, and the same live and in replay.

The venue gives no sequence numbers and no checksums: after a gap the book is not valid until the
venue sends a whole one (`reset`).
"""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from ticktape.records import CryptoBook, Gap, Record, Unknown

Levels = tuple[tuple[float, float], ...]
"""(price, size) of each level, best first."""

Key = tuple[str, str]
"""Feed and symbol."""

Place = tuple[int, int, int]
"""Epoch, seq and index of a record: its place in its feed's journal, in reading order."""

NOWHERE: Final[Place] = (-1, -1, -1)

LEVELS_MAX: Final = 100_000
"""Levels of a side. One of more is no book: what would remove them does not come."""

_CHANNEL: Final = "orderbooks"  # as a gap names it that is of some channels only

# One message that begins with its type (the venue's always do), and it is not an order book's.
_OF_OTHER_TYPE: Final = re.compile(r'\s*\{\s*"T"\s*:\s*"(?!o")')


class OrderBook:
    """One symbol's book; `is_valid` is false until the first whole one, and after a gap.

    A book that is not valid takes no changes: nobody knows what they would change. `event_ns` is
    that of the last change taken, also when it is not valid any more, and 0 when there was none;
    `place` and `recv_ns` are those of the record that made it what it is, a gap's included.
    `invalid_since_ns` says from when on (our clock) something is missing; None while it is valid
    and before the first whole one. A change that leaves more than LEVELS_MAX levels on a side ends
    the book, too.
    """

    __slots__ = (
        "_asks",
        "_bids",
        "event_ns",
        "invalid_since_ns",
        "is_valid",
        "place",
        "recv_ns",
    )

    def __init__(self) -> None:
        self._bids: dict[float, float] = {}
        self._asks: dict[float, float] = {}
        self.is_valid = False
        self.event_ns = 0
        self.invalid_since_ns: int | None = None
        self.place = NOWHERE
        self.recv_ns = 0

    def apply(self, change: CryptoBook) -> None:
        """Take a change, or a whole book."""
        if change.reset:
            self._bids.clear()
            self._asks.clear()
            self.is_valid = True
            self.invalid_since_ns = None
        elif not self.is_valid:
            return
        _put(self._bids, change.bid_prices, change.bid_sizes)
        _put(self._asks, change.ask_prices, change.ask_sizes)
        self.event_ns = change.event_ns
        self.recv_ns = change.recv_ns
        self.place = place_of(change)
        if max(len(self._bids), len(self._asks)) > LEVELS_MAX:
            self.invalidate(change.recv_ns)

    def invalidate(self, since_ns: int | None = None) -> None:
        """Forget everything: a gap, of which `since_ns` is the beginning."""
        self._bids.clear()
        self._asks.clear()
        self.is_valid = False
        self.invalid_since_ns = since_ns

    def bids(self, levels: int | None = None) -> Levels:
        """Bids, the highest price first."""
        return tuple(sorted(self._bids.items(), reverse=True)[:levels])

    def asks(self, levels: int | None = None) -> Levels:
        """Asks, the lowest price first."""
        return tuple(sorted(self._asks.items())[:levels])

    def image(self, feed: str, symbol: str) -> "OrderBookImage":
        """The book as it stands, to keep."""
        bids, asks = self.bids(), self.asks()
        epoch, seq, index = self.place
        return OrderBookImage(
            feed=feed,
            symbol=symbol,
            event_ns=self.event_ns,
            recv_ns=self.recv_ns,
            epoch=epoch,
            seq=seq,
            index=index,
            is_valid=self.is_valid,
            invalid_since_ns=self.invalid_since_ns,
            bid_prices=tuple(price for price, _ in bids),
            bid_sizes=tuple(size for _, size in bids),
            ask_prices=tuple(price for price, _ in asks),
            ask_sizes=tuple(size for _, size in asks),
            bid_levels=len(bids),
            ask_levels=len(asks),
        )

    @classmethod
    def of_image(cls, image: "OrderBookImage") -> "OrderBook":
        """A book that goes on from a whole image, or from one that is not valid."""
        assert image.bid_levels == len(image.bid_prices)
        assert image.ask_levels == len(image.ask_prices)
        book = cls()
        _put(book._bids, image.bid_prices, image.bid_sizes)
        _put(book._asks, image.ask_prices, image.ask_sizes)
        book.is_valid, book.invalid_since_ns = image.is_valid, image.invalid_since_ns
        book.event_ns, book.recv_ns = image.event_ns, image.recv_ns
        book.place = place_of(image)
        return book


class OrderBookImage(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """An order book at one moment, both sides best first; it does not change by itself.

    When it is not valid both sides are empty, and `invalid_since_ns` says from when on (our clock)
    something is missing; what else there is as in `OrderBook`. `bid_levels` and `ask_levels` count
    the levels that the book had: more than are here when the image is cut.
    """

    feed: str
    symbol: str
    event_ns: int
    recv_ns: int
    epoch: int
    seq: int
    index: int
    is_valid: bool
    invalid_since_ns: int | None
    bid_prices: tuple[float, ...]
    bid_sizes: tuple[float, ...]
    ask_prices: tuple[float, ...]
    ask_sizes: tuple[float, ...]
    bid_levels: int
    ask_levels: int

    def bids(self, levels: int | None = None) -> Levels:
        """Bids, the highest price first."""
        return tuple(zip(self.bid_prices[:levels], self.bid_sizes[:levels], strict=True))

    def asks(self, levels: int | None = None) -> Levels:
        """Asks, the lowest price first."""
        return tuple(zip(self.ask_prices[:levels], self.ask_sizes[:levels], strict=True))


class OrderBooks:
    """The order books of any number of feeds, kept by the records of these, in their order.

    A gap of a feed or of a symbol makes the books that it concerns invalid, but not when it is of
    other channels, or the record only says how a gap went on that was told before. So does what
    could not be read and may have been a change. What stands at or before a book's place is in it
    already: reading again changes nothing.
    """

    def __init__(self) -> None:
        self._books: dict[str, dict[str, OrderBook]] = {}
        self._gaps: dict[Key, int] = {}  # where the last gap told of a feed or symbol began

    def get(self, feed: str, symbol: str) -> OrderBook | None:
        """The book; None when nothing of it ever came."""
        return self._books.get(feed, {}).get(symbol)

    def put(self, feed: str, symbol: str, book: OrderBook) -> None:
        """Go on from a book that was kept elsewhere."""
        self._books.setdefault(feed, {})[symbol] = book
        if book.invalid_since_ns is not None:
            self._gaps[feed, symbol] = book.invalid_since_ns

    def update(self, record: Record) -> list[Key]:
        """Take a record in, of whichever kind; the books that it changed."""
        if isinstance(record, CryptoBook):
            return self._change(record)
        if isinstance(record, Gap):
            return self._lose(record)
        if isinstance(record, Unknown) and may_be_change(record):
            books = self._books.get(record.feed, {})
            return _invalidate(books, books, record, record.recv_ns)
        return []

    def _change(self, change: CryptoBook) -> list[Key]:
        books = self._books.setdefault(change.feed, {})
        book = books.get(change.symbol)
        if book is None:
            book = books[change.symbol] = OrderBook()
        if place_of(change) <= book.place or not (change.reset or book.is_valid):
            return []
        book.apply(change)
        return [(change.feed, change.symbol)]

    def _lose(self, gap: Gap) -> list[Key]:
        if gap.state != "open" or (gap.channels and _CHANNEL not in gap.channels.split(",")):
            return []
        books = self._books.get(gap.feed, {})
        concerned: Iterable[str] = [gap.symbol] if gap.symbol else list(books)
        gaps, key, from_ns = self._gaps, (gap.feed, gap.symbol), gap.from_ns
        if gap.to_ns is None:
            gaps[key] = from_ns
        elif gaps.get(key) == from_ns:
            return []
        else:
            concerned = [name for name in concerned if gaps.get((gap.feed, name)) != from_ns]
        return _invalidate(books, concerned, gap, from_ns)


def _invalidate(
    books: dict[str, OrderBook], names: Iterable[str], record: Record, since_ns: int
) -> list[Key]:
    changed = []
    place = place_of(record)
    for name in names:
        book = books.get(name)
        if book is not None and book.is_valid and place > book.place:
            book.invalidate(since_ns)
            book.place, book.recv_ns = place, record.recv_ns
            changed.append((record.feed, name))
    return changed


def place_of(record: Record | OrderBookImage) -> Place:
    """Where a record stands in its feed's journal."""
    return record.epoch, record.seq, record.index


def may_be_change(unknown: Unknown) -> bool:
    """Whether what could not be read may have been an order book's change.

    No only when it is one message whose type can be read and is another's.
    """
    return _OF_OTHER_TYPE.match(unknown.text) is None


def _put(side: dict[float, float], prices: tuple[float, ...], sizes: tuple[float, ...]) -> None:
    for price, size in zip(prices, sizes, strict=True):
        if size:
            side[price] = size
        else:
            side.pop(price, None)
