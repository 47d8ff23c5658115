"""Last values as of the record that a strategy is given; its own, so that replay sees the same."""

from collections.abc import Iterator
from typing import Final

from ticktape.orderbook import Levels, OrderBook, OrderBooks
from ticktape.records import Bar, Book, CryptoBook, Gap, Quote, Record, Status, Tick, Trade, Unknown


class LastOrderBook:
    """An order book as of the record that the strategy is given, to be read only.

    It moves with the records: what is to be kept of it is kept as `bids()` and `asks()`.
    """

    __slots__ = ("_book",)

    def __init__(self, book: OrderBook) -> None:
        self._book = book

    def __repr__(self) -> str:
        return f"LastOrderBook(is_valid={self.is_valid}, bids={self.bids(1)}, asks={self.asks(1)})"

    @property
    def is_valid(self) -> bool:
        """False until the first whole book, and from a gap to the next one; then it is empty."""
        return self._book.is_valid

    @property
    def event_ns(self) -> int:
        """When the venue made the last change that it took; 0 when it took none yet."""
        return self._book.event_ns

    def bids(self, levels: int | None = None) -> Levels:
        """(price, size) of each bid, the highest price first; all, or so many."""
        return self._book.bids(levels)

    def asks(self, levels: int | None = None) -> Levels:
        """(price, size) of each ask, the lowest price first; all, or so many."""
        return self._book.asks(levels)


def _received_ns(view: LastOrderBook) -> int:
    return view._book.recv_ns  # noqa: SLF001 - its own module; strategies are not given it


class Last:
    """The newest trade, quote, bar, … of one symbol; None where none has come.

    `order_book` is the one whose change came last, if several feeds have one; one that is valid
    goes before all that are not.
    """

    __slots__ = ("bar", "book", "order_book", "quote", "status", "tick", "trade")

    def __init__(self) -> None:
        self.trade: Trade | None = None
        self.quote: Quote | None = None
        self.bar: Bar | None = None
        self.book: Book | None = None
        self.tick: Tick | None = None
        self.status: Status | None = None
        self.order_book: LastOrderBook | None = None


_NAMES: Final[dict[type[Record], str]] = {
    Trade: "trade",
    Quote: "quote",
    Bar: "bar",
    Book: "book",
    Tick: "tick",
    Status: "status",
}
_OF_ORDER_BOOKS: Final = (CryptoBook, Gap, Unknown)


class OwnLastValues:
    """Symbol -> Last; `of(feed, symbol)` when several feeds carry a symbol.

    Moves forward only: a late print does not replace a newer value. Order books take every change
    in the order of receipt, and are not valid from a gap to the next whole one.
    """

    def __init__(self) -> None:
        # Of each (feed, symbol): its own, and what all feeds of the symbol share.
        self._both: dict[tuple[str, str], tuple[Last, Last]] = {}
        self._by_symbol: dict[str, Last] = {}
        self._order_books = OrderBooks()
        self._views: dict[str, list[LastOrderBook]] = {}  # of each symbol, one a feed

    def update(self, record: Record) -> None:
        """Take a record in; the runner does this before the callback."""
        name = _NAMES.get(record.__class__)
        if name is None:
            if isinstance(record, _OF_ORDER_BOOKS):
                self._update_order_books(record)
            return
        own, shared = self._both.get((record.feed, record.symbol)) or self._places(record)
        event_ns = record.event_ns
        newest: Record | None = getattr(own, name)
        if newest is not None and event_ns < newest.event_ns:
            return  # and the newest of all feeds is not older than its feed's own
        setattr(own, name, record)
        newest = getattr(shared, name)
        if newest is None or event_ns >= newest.event_ns:
            setattr(shared, name, record)

    def _update_order_books(self, record: Record) -> None:
        changed = self._order_books.update(record)
        if isinstance(record, CryptoBook):
            own, shared = self._places(record)
            if own.order_book is None:
                book = self._order_books.get(record.feed, record.symbol)
                assert book is not None
                own.order_book = LastOrderBook(book)
                self._views.setdefault(record.symbol, []).append(own.order_book)
                shared.order_book = shared.order_book or own.order_book
        for feed, symbol in changed:
            self._choose(self._both[feed, symbol][0].order_book, symbol)

    def _choose(self, changed: LastOrderBook | None, symbol: str) -> None:
        """Let a book that changed be the symbol's, or another one if it is not valid any more."""
        shared = self._by_symbol[symbol]
        if changed is not None and changed.is_valid:
            shared.order_book = changed
        elif shared.order_book is changed:
            valid = [view for view in self._views[symbol] if view.is_valid]
            if valid:
                shared.order_book = max(valid, key=_received_ns)

    def _places(self, record: Record) -> tuple[Last, Last]:
        key = (record.feed, record.symbol)
        both = self._both.get(key)
        if both is None:
            both = self._both[key] = (Last(), self._by_symbol.setdefault(record.symbol, Last()))
        return both

    def __getitem__(self, symbol: str) -> Last:
        """The newest of a symbol over all feeds; empty when nothing has come."""
        return self._by_symbol.get(symbol) or Last()

    def of(self, feed: str, symbol: str) -> Last:
        """The newest of a symbol on one feed; empty when nothing has come."""
        both = self._both.get((feed, symbol))
        return Last() if both is None else both[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)
