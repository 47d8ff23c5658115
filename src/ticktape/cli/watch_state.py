"""What `ticktape watch` knows of a run: samples come in, rows and rates go out; pure."""

from collections import deque
from enum import Enum
from typing import Any, Final, NamedTuple

import numpy as np

from ticktape.dashboard.sources import Cell, Sample

RATE_S: Final = 5
_RANK_LOOKS: Final = 5  # so many looks a rank holds: who moves all the time cannot be read
_SMOOTH: Final = 0.2  # what the newest look counts in a symbol's usual age
_RECV: Final = 6  # place of the milliseconds of receipt in a row


class Order(Enum):
    """In which order symbols are shown."""

    BUSIEST = "busiest"
    NEWEST = "newest"
    SYMBOL = "by symbol"


class ValueRow(NamedTuple):
    """The last values of a symbol; cells as `replay.dashboard_values` gives them."""

    feed: str
    symbol: str
    price: Cell
    size: Cell
    bid: Cell
    bid_size: Cell
    ask: Cell
    ask_size: Cell
    recv_ms: Cell
    event_ms: Cell
    status: Cell


class WatchState:
    """The newest state of a run, for one viewer.

    Args:
        symbols: show only these, in this order; empty: all.
    """

    def __init__(self, symbols: tuple[str, ...] = ()) -> None:
        self.parts: dict[str, Any] = {}
        self.now_ms = 0
        self.order = Order.BUSIEST
        self._wanted = {symbol: at for at, symbol in enumerate(symbols)}
        self._rows: list[ValueRow | None] = []
        self._ages = np.empty(0)
        self._recv = np.empty(0)
        self._ranked: list[int] = []
        self._looks = 0
        self._points: deque[list[Any]] = deque(maxlen=RATE_S)

    @property
    def sorted_words(self) -> str:
        """How the symbols are sorted, in words."""
        return "as named" if self._wanted else self.order.value

    def take(self, sample: Sample) -> None:
        """Take in how the run stands now."""
        self.parts = dict(sample.parts)
        self.now_ms = sample.now_ms
        self._points.extend(sample.points)
        more = len(sample.symbols) - len(self._rows)
        self._rows += [None] * more
        self._recv = np.append(self._recv, np.zeros(more))
        for number, row in sample.values.items():
            feed, symbol = sample.symbols[number]
            self._rows[number] = ValueRow(feed, symbol, *row)
            self._recv[number] = row[_RECV]
        ages = np.maximum(0.0, sample.now_ms - self._recv)
        # Of a symbol that comes λ times a second the usual age is 1/λ, however seldom one looks.
        known = self._ages * (1 - _SMOOTH) + ages[: len(self._ages)] * _SMOOTH
        self._ages = np.append(known, ages[len(known) :])
        if self._looks % _RANK_LOOKS == 0 or more:
            self._rank()
        self._looks += 1

    def next_order(self) -> None:
        """Show the symbols in the next of the orders."""
        orders = list(Order)
        self.order = orders[(orders.index(self.order) + 1) % len(orders)]
        self._rank()

    def _rank(self) -> None:
        numbers = [
            number
            for number, row in enumerate(self._rows)
            if row is not None and (not self._wanted or row.symbol in self._wanted)
        ]
        self._ranked = sorted(numbers, key=self._key)

    def _key(self, number: int) -> tuple[float, str, str]:
        row = self._rows[number]
        assert row is not None
        place = 0.0
        if self._wanted:
            place = float(self._wanted[row.symbol])
        elif self.order is Order.BUSIEST:
            place = float(self._ages[number])
        elif self.order is Order.NEWEST:
            place = -float(self._recv[number])
        return place, row.symbol, row.feed

    def rows(self) -> list[ValueRow]:
        """The last values in their order."""
        return [row for number in self._ranked if (row := self._rows[number]) is not None]

    def missing(self) -> list[str]:
        """Symbols that were named and of which there is no value."""
        there = {row.symbol for row in self._rows if row is not None}
        return [symbol for symbol in self._wanted if symbol not in there]

    def rates(self) -> dict[str, float]:
        """Stage -> entries a second, over the newest seconds that are final."""
        names = self.parts["stages"]["names"]
        count = len(self._points) or 1
        sums = [0] * len(names)
        for point in self._points:
            for at, entries in enumerate(point[1]):
                sums[at] += entries
        return {name: total / count for name, total in zip(names, sums, strict=True)}

    def to_json(self, rows_max: int) -> dict[str, Any]:
        """The whole state, for machines; of the last values the first `rows_max`."""
        stages = self.parts["stages"]
        return {
            "now_ms": self.now_ms,
            **{name: self.parts[name] for name in ("run", "standing", "feeds")},
            "rates": self.rates(),
            "lag_s": stages["lag_s"],
            "latency_us": {
                stage: {
                    "p50": figures.p50,
                    "p99": figures.p99,
                    "p999": figures.p999,
                    "max": figures.max,
                    "count": figures.count,
                }
                for stage, figures in stages["latency"].items()
            },
            "values": [row._asdict() for row in self.rows()[:rows_max]],
            "missing": self.missing(),
            **{name: self.parts[name] for name in ("log", "disk", "certificate")},
        }
