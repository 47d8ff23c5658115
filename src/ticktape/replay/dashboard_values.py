"""Last values as the page shows them: one row per symbol, and which of them changed."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ticktape.dashboard.sources import Cell, Watched
from ticktape.lastvalue import LastValues
from ticktape.lastvalue.layout import NO_ASK, NO_BID
from ticktape.orderbook import OrderBookImage
from ticktape.records import Book

LEVELS_MAX: Final = 25  # of each side: more does not fit on a screen
_LOOK_EVERY: Final = 20  # how often a kind that nobody sends is looked for: every five seconds
_NS_PER_MS: Final = 1_000_000

_OWNER: Final = ("feed", "symbol", "recv_ns", "event_ns", "flags")
_FIELDS: Final = {
    "trade": ("price", "size"),
    "quote": ("bid_price", "bid_size", "ask_price", "ask_size"),
    "tick": ("bid", "ask", "last", "volume_real"),
    "book": ("bid_price", "bid_volume", "ask_price", "ask_volume"),
    "order_book": ("bid_price", "bid_size", "ask_price", "ask_size"),
    "status": ("status_message",),
}
# Where several kinds have a bid and an ask, the first one of these that is there is shown.
_BIDS: Final = ("quote", "book", "order_book", "tick")


class ValueTable:
    """Reads the last values again and again; says which rows changed since the time before."""

    def __init__(self, path: Path) -> None:
        self._last = LastValues(path)
        self.symbols: list[Watched] = []
        self._numbers: dict[tuple[bytes, bytes], int] = {}
        self._cells: list[dict[str, tuple[Any, ...]]] = []
        self._before: dict[str, npt.NDArray[np.uint8]] = {}
        self._looks = 0

    def changes(self) -> dict[int, list[Cell]]:
        """Number of a symbol -> its row, for the rows that changed.

        A row: price, size, bid, bid size, ask, ask size, milliseconds of UTC when the newest of it
        was received, those of its event, the last status.
        """
        changed: set[int] = set()
        for kind, fields in _FIELDS.items():
            if kind in self._before or self._looks % _LOOK_EVERY == 0:
                changed |= self._take(kind, fields)
        self._looks += 1
        return {number: _row(self._cells[number]) for number in changed}

    def _take(self, kind: str, fields: tuple[str, ...]) -> set[int]:
        rows = self._last.array(kind)
        if not len(rows):
            return set()
        raw = rows.view(np.uint8).reshape(len(rows), -1)
        before = self._before.get(kind)
        if before is not None and before.shape == raw.shape:
            rows = rows[(raw != before).any(axis=1)]
        self._before[kind] = raw
        changed = set()
        for cell in rows[[*_OWNER, *fields]].tolist():
            number = self._number(cell[0], cell[1])
            self._cells[number][kind] = cell[2:]
            changed.add(number)
        return changed

    def _number(self, feed: bytes, symbol: bytes) -> int:
        number = self._numbers.get((feed, symbol))
        if number is None:
            number = self._numbers[feed, symbol] = len(self.symbols)
            self.symbols.append((feed.decode(errors="ignore"), symbol.decode(errors="ignore")))
            self._cells.append({})
        return number

    def books(self, watched: Collection[Watched]) -> dict[Watched, object]:
        """The newest trade and the book of each of these, where there is one."""
        found: dict[Watched, object] = {}
        for feed, symbol in watched:
            value = self._last.get(feed, symbol)
            if value is None:
                continue
            trade, order_book, book = value.trade, value.order_book, value.book
            shown: dict[str, object] = {"feed": feed, "symbol": symbol}
            if order_book is not None:
                shown |= _of_changes(order_book)
            elif book is not None:
                shown |= _of_polls(book)
            if trade is not None:
                shown["trade"] = {
                    "id": None if trade.id is None else str(trade.id),
                    "price": trade.price,
                    "size": trade.size,
                    "exchange": trade.exchange,
                    "conditions": trade.conditions,
                    "recv_ms": trade.recv_ns / _NS_PER_MS,
                    "event_ms": trade.event_ns / _NS_PER_MS,
                    "place": [trade.epoch, trade.seq, trade.index],
                }
            found[feed, symbol] = shown
        return found

    def close(self) -> None:
        """Unmap; may be called twice."""
        self._last.close()


def _row(cells: dict[str, tuple[Any, ...]]) -> list[Cell]:
    row: list[Cell] = [None] * 9
    trade, tick, status = cells.get("trade"), cells.get("tick"), cells.get("status")
    if trade is not None:
        row[0], row[1] = trade[3], trade[4]
    elif tick is not None and tick[5]:
        row[0], row[1] = tick[5], tick[6] or None
    for kind in _BIDS:
        if kind in cells:
            row[2:6] = _bids(kind, cells[kind])
            break
    recv_ns, event_ns, _ = max(cell[:3] for cell in cells.values())
    row[6], row[7] = recv_ns / _NS_PER_MS, event_ns / _NS_PER_MS
    if status is not None:
        row[8] = status[3].decode(errors="ignore")
    return row


def _bids(kind: str, cell: tuple[Any, ...]) -> list[Cell]:
    if kind == "tick":
        return [cell[3] or None, None, cell[4] or None, None]
    flags = cell[2]
    # A price of 0 in a quote means that the side is empty.
    bid = [None, None] if flags & NO_BID or not cell[3] else list(cell[3:5])
    ask = [None, None] if flags & NO_ASK or not cell[5] else list(cell[5:7])
    return [*bid, *ask]


def _of_polls(book: Book) -> dict[str, object]:
    return {
        "sort": "polled",
        "valid": True,
        "recv_ms": book.recv_ns / _NS_PER_MS,
        "bids": _levels(book.bid_prices, book.bid_volumes),
        "asks": _levels(book.ask_prices, book.ask_volumes),
        "levels": [len(book.bid_prices), len(book.ask_prices)],
        "call_us": (book.after_ns - book.before_ns) / 1000,
    }


def _of_changes(book: OrderBookImage) -> dict[str, object]:
    since_ns = book.invalid_since_ns
    return {
        "sort": "changes",
        "valid": book.is_valid,
        "since_ms": None if since_ns is None else since_ns / _NS_PER_MS,
        "recv_ms": book.recv_ns / _NS_PER_MS,
        "bids": _levels(book.bid_prices, book.bid_sizes),
        "asks": _levels(book.ask_prices, book.ask_sizes),
        "levels": [book.bid_levels, book.ask_levels],
    }


def _levels(prices: tuple[float, ...], sizes: tuple[float, ...]) -> list[tuple[float, float]]:
    return list(zip(prices[:LEVELS_MAX], sizes[:LEVELS_MAX], strict=False))
