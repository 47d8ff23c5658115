"""The order books of a tape as they stand at any of its rows: whole ones, for who joins late.

Pure. Nothing is invented: a symbol of which the tape has said nothing yet has no book.
"""

from typing import NamedTuple

from ticktape.records import CryptoBook
from ticktape.sim.tape import Ints, Tape

Levels = dict[float, float]
"""Price -> size."""


class WholeBook(NamedTuple):
    """A symbol's book; `event_ns` is that of its last change, both sides best first."""

    symbol: str
    event_ns: int
    bids: tuple[tuple[float, float], ...]
    asks: tuple[tuple[float, float], ...]


class BookKeeper:
    """The books of one pass of a tape; asked for rows that never go back."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._places: Ints | None = None
        self._done = 0
        self._sides: dict[str, tuple[Levels, Levels]] = {}
        self._event_ns: dict[str, int] = {}

    def whole(self, symbols: frozenset[str], row: int) -> list[WholeBook]:
        """Return these symbols' books as they stand before `row`, sorted by symbol."""
        self._advance(row)
        return [
            WholeBook(
                symbol,
                self._event_ns[symbol],
                tuple(sorted(bids.items(), reverse=True)),
                tuple(sorted(asks.items())),
            )
            for symbol, (bids, asks) in sorted(self._sides.items())
            if "*" in symbols or symbol in symbols
        ]

    def _advance(self, row: int) -> None:
        if CryptoBook.kind not in self._tape.tables:
            return
        if self._places is None:
            self._places = self._tape.places(CryptoBook.kind)
        stop = int(self._places.searchsorted(row))
        changes = self._tape.tables[CryptoBook.kind].slice(self._done, stop - self._done)
        self._done = stop
        for change in changes.to_pylist():
            symbol = change["symbol"]
            if change["reset"] or symbol not in self._sides:
                self._sides[symbol] = ({}, {})
            self._event_ns[symbol] = change["event_ns"]
            for side, name in zip(self._sides[symbol], ("bid", "ask"), strict=True):
                _put(side, change[f"{name}_prices"], change[f"{name}_sizes"])


def _put(side: Levels, prices: list[float], sizes: list[float]) -> None:
    for price, size in zip(prices, sizes, strict=True):
        if size:
            side[price] = size
        else:
            side.pop(price, None)
