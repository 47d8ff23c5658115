"""Last values as of the record that a strategy is given; its own, so that replay sees the same."""

from collections.abc import Iterator
from typing import Final

from ticktape.records import Bar, Book, Quote, Record, Tick, Trade


class Last:
    """The newest trade, quote, bar, book and tick of one symbol; None where none has come."""

    __slots__ = ("bar", "book", "quote", "tick", "trade")

    def __init__(self) -> None:
        self.trade: Trade | None = None
        self.quote: Quote | None = None
        self.bar: Bar | None = None
        self.book: Book | None = None
        self.tick: Tick | None = None


_NAMES: Final[dict[type[Record], str]] = {
    Trade: "trade",
    Quote: "quote",
    Bar: "bar",
    Book: "book",
    Tick: "tick",
}


class OwnLastValues:
    """Symbol -> Last; `of(feed, symbol)` when several feeds carry a symbol.

    Moves forward only: a late print does not replace a newer value.
    """

    def __init__(self) -> None:
        self._by_feed: dict[tuple[str, str], Last] = {}
        self._by_symbol: dict[str, Last] = {}

    def update(self, record: Record) -> None:
        """Take a record in; the runner does this before the callback."""
        name = _NAMES.get(type(record))
        if name is None:
            return
        for last in self._places(record):
            newest: Record | None = getattr(last, name)
            if newest is None or record.event_ns >= newest.event_ns:
                setattr(last, name, record)

    def _places(self, record: Record) -> tuple[Last, Last]:
        own = self._by_feed.get((record.feed, record.symbol))
        if own is None:
            own = self._by_feed[record.feed, record.symbol] = Last()
        shared = self._by_symbol.get(record.symbol)
        if shared is None:
            shared = self._by_symbol[record.symbol] = Last()
        return own, shared

    def __getitem__(self, symbol: str) -> Last:
        """The newest of a symbol over all feeds; empty when nothing has come."""
        return self._by_symbol.get(symbol) or Last()

    def of(self, feed: str, symbol: str) -> Last:
        """The newest of a symbol on one feed; empty when nothing has come."""
        return self._by_feed.get((feed, symbol)) or Last()

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_symbol)

    def __len__(self) -> int:
        return len(self._by_symbol)
