"""What was last known of one symbol at one moment: the cells' bytes, decoded when asked for."""

from typing import Final

from ticktape.lastvalue.books import BookTop, decode_image
from ticktape.lastvalue.cells import Held, decode
from ticktape.lastvalue.layout import CUT, FLAGS_AT, CellKind, decode_event_ns
from ticktape.lastvalue.orderbooks import decode_order_book
from ticktape.orderbook import OrderBookImage
from ticktape.records import Bar, Book, Quote, Status, Tick, Trade

KIND_NAMES: Final = {
    "trade": int(CellKind.TRADE),
    "quote": int(CellKind.QUOTE),
    "bar": int(CellKind.BAR),
    "book": int(CellKind.BOOK),
    "day": int(CellKind.DAY),
    "tick": int(CellKind.TICK),
    "order_book": int(CellKind.ORDER_BOOK),
    "status": int(CellKind.STATUS),
}
NAMES: Final = {kind: name for name, kind in KIND_NAMES.items()}
"""Kind of a cell -> its name."""


class LastValue:
    """What was last known of a symbol at one moment; it does not change by itself.

    `feeds` are the feeds that have the symbol. `torn` names the kinds that could not be read,
    because a writer died or was stopped in the middle of them: they are None here and come back
    with its restart. Of a torn "book" the top may still be there.
    """

    __slots__ = (
        "_book",
        "_images",
        "_order_book",
        "_payloads",
        "_records",
        "feeds",
        "symbol",
        "torn",
    )

    def __init__(
        self,
        symbol: str,
        feeds: tuple[str, ...],
        payloads: dict[int, bytes],
        torn: tuple[str, ...],
        images: dict[int, bytes] | None = None,
    ) -> None:
        self.symbol = symbol
        self.feeds = feeds
        self.torn = torn
        self._payloads = payloads
        self._images = images or {}
        self._book: Book | None = None
        self._order_book: OrderBookImage | None = None
        self._records: dict[int, Held | None] = {}

    def __repr__(self) -> str:
        return (
            f"LastValue(symbol={self.symbol!r}, feeds={self.feeds!r}, trade={self.trade!r}, "
            f"quote={self.quote!r}, bar={self.bar!r}, day={self.day!r}, top={self.top!r}, "
            f"tick={self.tick!r}, order_book={self.order_book!r}, status={self.status!r}, "
            f"torn={self.torn!r})"
        )

    def _record(self, kind: int) -> Held | None:
        if kind not in self._records:
            payload = self._payloads.get(kind)
            self._records[kind] = None if payload is None else decode(payload)
        return self._records[kind]

    @property
    def trade(self) -> Trade | None:
        """The last trade; None when there was none yet (or it is `torn`)."""
        record = self._record(CellKind.TRADE)
        return record if isinstance(record, Trade) else None

    @property
    def quote(self) -> Quote | None:
        """The last quote; None when there was none yet (or it is `torn`)."""
        record = self._record(CellKind.QUOTE)
        return record if isinstance(record, Quote) else None

    @property
    def bar(self) -> Bar | None:
        """The last minute's bar, as last updated; None when there was none (or it is `torn`)."""
        record = self._record(CellKind.BAR)
        return record if isinstance(record, Bar) else None

    @property
    def day(self) -> Bar | None:
        """The last day's bar; None when there was none yet (or it is `torn`)."""
        record = self._record(CellKind.DAY)
        return record if isinstance(record, Bar) else None

    @property
    def top(self) -> BookTop | None:
        """The best of both sides of the last polled book; None when there was none (or `torn`)."""
        top = self._record(CellKind.BOOK)
        return top if isinstance(top, BookTop) else None

    @property
    def book(self) -> Book | None:
        """The last image of a polled book, whole; `top` is of the same image.

        Of more than 512 rows the worst are missing, and `cut` says "book". None when there was no
        book, its image is `torn`, or it has no room: 256 others have it, or the disk is full.
        """
        image = self._images.pop(CellKind.BOOK, None)
        if image is not None:
            self._book = decode_image(image)
        return self._book

    @property
    def order_book(self) -> OrderBookImage | None:
        """The order book that the changes came to; not `is_valid` from a gap to the next whole one.

        Of more than 896 levels the worst are missing, and `cut` says "order_book"; where the image
        has no room (256 others have it, or the disk is full), all but the best of each side. None
        when no whole one ever came, or it is `torn`.
        """
        cell = self._payloads.get(CellKind.ORDER_BOOK)
        if cell is not None and self._order_book is None:
            self._order_book = decode_order_book(cell, self._images.pop(CellKind.ORDER_BOOK, None))
        return self._order_book

    @property
    def status(self) -> Status | None:
        """The last status: halted, resumed, …; None when there was none yet (or it is `torn`)."""
        record = self._record(CellKind.STATUS)
        return record if isinstance(record, Status) else None

    @property
    def tick(self) -> Tick | None:
        """The last tick; None when there was none yet (or it is `torn`)."""
        record = self._record(CellKind.TICK)
        return record if isinstance(record, Tick) else None

    @property
    def cut(self) -> tuple[str, ...]:
        """Kinds of which a text (mostly the conditions) or a book was longer than its place.

        A text is cut at its end; a book loses its worst levels.
        """
        return tuple(
            NAMES[kind] for kind, payload in self._payloads.items() if payload[FLAGS_AT] & CUT
        )

    def age_ns(self, now_ns: int, kind: str | None = None) -> int | None:
        """Nanoseconds from the event of a kind, or the newest event of all, to `now_ns` (UTC).

        `kind` is "trade", "quote", "bar", "day", "book", "tick", "order_book" or "status". None
        when there is no such value.
        """
        kinds = self._payloads if kind is None else (KIND_NAMES[kind],)
        events = [decode_event_ns(self._payloads[one]) for one in kinds if one in self._payloads]
        return now_ns - max(events) if events else None
