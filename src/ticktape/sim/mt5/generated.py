"""Books made up from a seed: a cycle of states that move like a market's, each state unlike others.

The last row of a state holds its number as a volume, so that a test can tell from the rows alone
which state a client saw.
"""

import random
from collections.abc import Sequence

import numpy as np

from ticktape.sim.mt5.description import BookDescription
from ticktape.sim.mt5.results import (
    BOOK_TYPE_BUY,
    BOOK_TYPE_BUY_MARKET,
    BOOK_TYPE_SELL,
    BOOK_TYPE_SELL_MARKET,
    Ints,
    Row,
)

STATES = 1024  # of one cycle; later ones differ from them in their number only
POINT = 1e-5
MID_TICKS = 120_043  # 1.20043, as in the documentation's example
DEPTH_MIN = 4

Half = list[Row]


def state_number(rows: Sequence[Sequence[float]]) -> int | None:
    """Which state of a generated book these rows are; None for an empty one."""
    return round(rows[-1][3] * 100) - 1 if rows else None


def _row(kind: int, tick: int, volume: float) -> Row:
    # A product of a whole number and a point carries the binary noise that brokers' prices have.
    return (kind, tick * POINT, int(volume), volume)


class GeneratedStates:
    """The states of one generated book."""

    def __init__(self, book: BookDescription, seed: int) -> None:
        self.depth = book.levels
        self._random = random.Random(seed)
        self._book = book
        self._mid = MID_TICKS
        self._asks: Half = []  # from the best up
        self._bids: Half = []  # from the best down
        self._states: list[Half] = []
        self._same = np.zeros(STATES, np.bool_)
        self._empty = np.zeros(STATES, np.bool_)
        self._shown = book.levels
        self._build()

    def rows(self, state: int) -> Sequence[Row]:
        """The rows of one state."""
        place = state % STATES
        if self._same[place] and state:
            state -= 1
            place = state % STATES
        rows = self._states[place]
        if not rows:
            return rows
        kind, price, _, _ = rows[-1]
        volume = (state + 1) / 100
        return [*rows[:-1], (kind, price, int(volume), volume)]

    def contents(self, states: Ints) -> Ints:
        """For each state a number that is equal for equal rows."""
        places = states % STATES
        numbers = np.where(self._same[places] & (states > 0), states - 1, states)
        found: Ints = np.where(self._empty[numbers % STATES], -1, numbers)
        return found

    def _build(self) -> None:
        book, rng = self._book, self._random
        for level in range(book.levels):
            self._asks.append(_row(BOOK_TYPE_SELL, self._mid + 1 + level, self._volume()))
            self._bids.append(_row(BOOK_TYPE_BUY, self._mid - level, self._volume()))
        odd = [name for name in book.anomalies if name != "depth"]
        for place in range(STATES):
            self._move()
            name = rng.choice(odd) if odd and rng.random() < book.share else ""
            if name == "identical":
                # Not the first, and not after its like: its predecessor must be a state of its own.
                self._same[place] = place > 0 and not self._same[place - 1]
            rows = self._odd(name) if name else self._plain(self._depth_shown())
            self._empty[place] = not rows
            self._states.append(rows)

    def _volume(self) -> float:
        return round(self._random.uniform(0.01, 500.0), 2)

    def _depth_shown(self) -> int:
        if "depth" in self._book.anomalies and self._book.levels > DEPTH_MIN:
            step = self._shown + self._random.randint(-3, 3)
            self._shown = min(max(step, DEPTH_MIN), self._book.levels)
        return self._shown

    def _plain(self, depth: int) -> Half:
        return [*reversed(self._asks[:depth]), *self._bids[:depth]]

    def _move(self) -> None:
        """Change a level's volume, or let the best price of one side be taken or bettered."""
        rng = self._random
        if rng.random() < 0.8:
            side, kind = (
                (self._asks, BOOK_TYPE_SELL) if rng.random() < 0.5 else (self._bids, BOOK_TYPE_BUY)
            )
            level = min(int(rng.expovariate(0.5)), len(side) - 1)
            volume = self._volume()
            side[level] = (kind, side[level][1], int(volume), volume)
            return
        up = self._mid < MID_TICKS + 50 and (self._mid < MID_TICKS - 50 or rng.random() < 0.5)
        self._mid += 1 if up else -1
        levels = len(self._asks)
        volume = self._volume()
        if up:  # the best ask is taken and becomes a bid; one more ask shows far away
            self._asks = [
                *self._asks[1:],
                _row(BOOK_TYPE_SELL, self._mid + levels, volume),
            ]
            self._bids = [_row(BOOK_TYPE_BUY, self._mid, volume), *self._bids[:-1]]
        else:
            self._asks = [_row(BOOK_TYPE_SELL, self._mid + 1, volume), *self._asks[:-1]]
            self._bids = [
                *self._bids[1:],
                _row(BOOK_TYPE_BUY, self._mid - levels + 1, volume),
            ]

    def _odd(self, name: str) -> Half:
        """The present book with one anomaly; with too few rows for it, as it is."""
        rows = self._plain(self._depth_shown())
        best_ask = len(rows) // 2 - 1
        match name:
            case "empty":
                return []
            case "one_level":
                return rows[best_ask + 1 : best_ask + 2]
            case "one_sided":
                return rows[: best_ask + 1] if self._random.random() < 0.5 else rows[best_ask + 1 :]
            case "overfull":
                far = rows[-1][1]
                return [*rows, *(self._beyond(far, step) for step in range(1, 6 + len(rows) // 2))]
            case "crossed":
                kind, _, volume, exact = rows[best_ask + 1]
                rows[best_ask + 1] = (kind, rows[best_ask][1] + POINT, volume, exact)
            case "unsorted" if best_ask >= 1:
                rows[0], rows[1] = rows[1], rows[0]
            case "duplicate" if best_ask >= 1:
                kind, _, volume, exact = rows[1]
                rows[1] = (kind, rows[0][1], volume, exact)
            case "market_rows":
                rows[best_ask] = (BOOK_TYPE_SELL_MARKET, *rows[best_ask][1:])
                rows[best_ask + 1] = (BOOK_TYPE_BUY_MARKET, *rows[best_ask + 1][1:])
            case "fraction":
                rows[0] = (*rows[0][:2], 0, 0.37)
        return rows

    def _beyond(self, price: float, step: int) -> Row:
        volume = self._volume()
        return (BOOK_TYPE_BUY, price - step * POINT, int(volume), volume)
