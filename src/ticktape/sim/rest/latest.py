"""The newest of each symbol: trades, quotes, bars, snapshots, crypto order books.

A latest trade is one that moves the price and still stands (reference/alpaca.md §4.3). A symbol of
which there is nothing is absent.
"""

from collections.abc import Iterator

import msgspec
import pyarrow as pa

from ticktape.sim.jsontext import instants, objects, row_numbers, split_codes
from ticktape.sim.rest.amended import CANCELED, INCORRECT
from ticktape.sim.rest.codes import updates_price
from ticktape.sim.rest.index import Index
from ticktape.sim.rest.past import Shown
from ticktape.sim.rest.rowtexts import row_texts
from ticktape.sim.tape import Ints

LOOK_ROWS = 256  # a trade that moves the price is seldom further back


class Newest:
    """The newest rows of one path, as JSON objects; each is empty when there is none."""

    def __init__(self, family: str, shown: Shown) -> None:
        self._family = family
        self._shown = shown

    def trade(self, symbol: str) -> str:
        """Return the newest trade that moves the price and still stands."""
        index = self._shown.past.kind("trades")
        for rows in self._backwards(index, symbol):
            assert index is not None
            words = index.flagged(rows, self._shown.rows)
            trades = index.table.take(row_numbers(rows)).select(["conditions", "tape"]).to_pylist()
            for place, trade in enumerate(trades):
                stands = words.get(place) not in (CANCELED, INCORRECT)
                codes = split_codes(trade["conditions"]) or []
                if stands and updates_price(codes, trade["tape"] or ""):
                    text = self._text(index, "trades", int(rows[place]))
                    return f'{text[:-1]},"u":"{words[place]}"}}' if place in words else text
        return ""

    def quote(self, symbol: str) -> str:
        """Return the newest quote."""
        return self._last("quotes", symbol)

    def bar(self, symbol: str, kind: str = "minute") -> str:
        """Return the newest bar, `minute` or `day`."""
        return self._last(kind, symbol)

    def snapshot(self, symbol: str) -> str:
        """Return all of it: trade, quote, minute's bar, day's bar and that of the day before."""
        parts = {
            "latestTrade": self.trade(symbol),
            "latestQuote": self.quote(symbol),
            "minuteBar": self.bar(symbol),
            "dailyBar": self.bar(symbol, "day"),
            "prevDailyBar": self._day_before(symbol),
        }
        texts = [f'"{name}":{text}' for name, text in parts.items() if text]
        return f"{{{','.join(texts)}}}" if texts else ""

    def orderbook(self, symbol: str) -> str:
        """Return the whole book as its changes leave it."""
        found = self._shown.past.books.whole(frozenset({symbol}), self._shown.rows)
        for book in found:
            time = objects(*instants(pa.array([book.event_ns], pa.int64()))).to_pylist()[0]
            sides = {"b": book.bids, "a": book.asks}
            levels = {
                side: [{"p": price, "s": size} for price, size in pairs]
                for side, pairs in sides.items()
            }
            return msgspec.json.encode({"t": time, **levels}).decode()
        return ""

    def _day_before(self, symbol: str) -> str:
        index = self._shown.past.kind("day")
        days: list[int] = []
        for rows in self._backwards(index, symbol):
            assert index is not None
            for row in rows.tolist():
                days = days or [row]
                if index.times[row] < index.times[days[0]]:
                    return self._text(index, "bars", row)
        return ""

    def _last(self, kind: str, symbol: str) -> str:
        index = self._shown.past.kind(kind)
        for rows in self._backwards(index, symbol):
            assert index is not None
            return self._text(index, "bars" if kind in ("minute", "day") else kind, int(rows[0]))
        return ""

    def _backwards(self, index: Index | None, symbol: str) -> Iterator[Ints]:
        """Yield a symbol's rows, the newest first, some at a time."""
        if index is None:
            return
        rows = index.shown(*index.between(symbol, None, None), self._shown.rows)[::-1]
        for first in range(0, len(rows), LOOK_ROWS):
            yield rows[first : first + LOOK_ROWS]

    def _text(self, index: Index, kind: str, row: int) -> str:
        return row_texts(self._family, kind, index.table.slice(row, 1))[0]
