"""Last values as of the record that a strategy is given; its own, so that replay sees the same."""

import copy
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
    Bar: "bar",
    Book: "book",
    Tick: "tick",
    Status: "status",
}
_OF_ORDER_BOOKS: Final = (CryptoBook, Gap, Unknown)


def _forward(last: Last, name: str, record: Record) -> None:
    """Let a record be the newest of its kind, unless it is older than that."""
    newest: Record | None = getattr(last, name)
    if newest is None or record.event_ns >= newest.event_ns:
        setattr(last, name, record)


class OwnLastValues:
    """Symbol -> Last; `of(feed, symbol)` when several feeds carry a symbol.

    Moves forward only: a late print does not replace a newer value. Order books take every change
    in the order of receipt, and are not valid from a gap to the next whole one.
    """

    def __init__(self) -> None:
        # Of each feed and symbol: its own, and what all feeds of the symbol share. That is one
        # object as long as the symbol has one feed, which `_alone` then says, and nobody asked for
        # that feed's own.
        self._both: dict[str, dict[str, tuple[Last, Last]]] = {}
        self._alone: dict[str, str] = {}
        self._by_symbol: dict[str, Last] = {}
        self._order_books = OrderBooks()
        self._views: dict[str, list[LastOrderBook]] = {}  # of each symbol, one a feed

    def update(self, record: Record) -> None:
        """Take a record in; the runner does this before the callback."""
        if type(record) is not Trade and type(record) is not Quote:
            self._update_other(record)
            return
        # What comes in masses: without a call, and without a name to look up.
        try:
            own, shared = self._both[record.feed][record.symbol]
        except KeyError:
            own, shared = self._places(record)
        if type(record) is Trade:
            if own.trade is None or record.event_ns >= own.trade.event_ns:
                own.trade = record
                if shared is not own:
                    _forward(shared, "trade", record)
        elif type(record) is Quote and (own.quote is None or record.event_ns >= own.quote.event_ns):
            own.quote = record
            if shared is not own:
                _forward(shared, "quote", record)

    def _update_other(self, record: Record) -> None:
        name = _NAMES.get(record.__class__)
        if name is not None:
            own, shared = self._places(record)
            _forward(own, name, record)
            if shared is not own:
                _forward(shared, name, record)
        elif isinstance(record, _OF_ORDER_BOOKS):
            self._update_order_books(record)

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
            self._choose(self._both[feed][symbol][0].order_book, symbol)

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
        feed, symbol = record.feed, record.symbol
        both = self._both.setdefault(feed, {}).get(symbol)
        if both is None:
            shared = self._by_symbol.get(symbol)
            if shared is None:
                own = shared = self._by_symbol[symbol] = Last()
                self._alone[symbol] = feed
            else:
                self._part(symbol)
                own = Last()
            both = self._both[feed][symbol] = (own, shared)
        return both

    def _part(self, symbol: str) -> None:
        """Give the only feed of a symbol an object of its own, with all that is in the shared."""
        feed = self._alone.pop(symbol, None)
        if feed is not None:
            _, shared = self._both[feed][symbol]
            self._both[feed][symbol] = (copy.copy(shared), shared)

    def __getitem__(self, symbol: str) -> Last:
        """The newest of a symbol over all feeds; empty when nothing has come."""
        return self._by_symbol.get(symbol) or Last()

    def of(self, feed: str, symbol: str) -> Last:
        """The newest of a symbol on one feed; empty when nothing has come."""
        if self._alone.get(symbol) == feed:
            self._part(symbol)  # whoever keeps it is not to see another feed's in it later
        both = self._both.get(feed, {}).get(symbol)
        return Last() if both is None else both[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)
