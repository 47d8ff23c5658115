"""The series of a feed as row numbers, and what came of each in each tick; pure.

Row 0 is the feed as a whole, then channels and symbols of channels as they appear. Events become
(tick, row, first, last): nothing is kept per event.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ticktape.ledger.rates import Rows

TICK_NS = 250_000_000
FEED_ROW = 0
# Memory is some 150 bytes a series; the whole US market's trades and quotes are 25,000.
SERIES_MAX = 50_000
NO_SYMBOL = "-"  # the symbol of what has none, as some news


class Name(NamedTuple):
    """What a row is of: neither for the feed, no symbol for a channel."""

    channel: str
    symbol: str


class SeriesTable:
    """Names to rows and back."""

    def __init__(self) -> None:
        self.names: list[Name] = [Name("", "")]
        self._channels: dict[str, int] = {}
        self._rows: dict[str, dict[str, int]] = {}
        self._parents: list[int] = [FEED_ROW]

    def rows_of(self, channel: str, symbols: Sequence[str]) -> Rows:
        """The rows of these symbols, new ones made; -1 where no more are watched."""
        if channel not in self._channels:
            self._channels[channel] = self._add(Name(channel, ""), FEED_ROW)
            self._rows[channel] = {}
        known = self._rows[channel]
        found = [known.get(symbol, -1) for symbol in symbols]
        if -1 in found:
            for symbol in dict.fromkeys(symbols):
                if symbol not in known and len(self.names) < SERIES_MAX:
                    name = Name(channel, symbol or NO_SYMBOL)
                    known[symbol] = self._add(name, self._channels[channel])
            found = [known.get(symbol, -1) for symbol in symbols]
        return np.array(found, np.int64)

    def channel_rows(self) -> Rows:
        """For each row that of its channel; the feed's for channels and for the feed itself."""
        return np.array(self._parents, np.int64)

    def _add(self, name: Name, parent: int) -> int:
        self.names.append(name)
        self._parents.append(parent)
        return len(self.names) - 1


class Busy(NamedTuple):
    """The rows that had events in one tick, ascending, and the first and last event of each."""

    tick: int
    rows: Rows
    first_ns: Rows
    last_ns: Rows


class Pending:
    """Events that are not yet judged, in batches as they came."""

    def __init__(self) -> None:
        self._rows: list[Rows] = []
        self._recv_ns: list[Rows] = []

    def add(self, rows: Rows, recv_ns: Rows) -> None:
        """Keep a batch; both arrays belong to this from now on."""
        self._rows.append(rows)
        self._recv_ns.append(recv_ns)

    def first_tick(self) -> int | None:
        """The tick of the earliest event; None when there is none."""
        ticks = [int(each.min()) // TICK_NS for each in self._recv_ns if len(each)]
        return min(ticks) if ticks else None

    def take(self, from_tick: int, to_tick: int, parents: Rows) -> Iterator[Busy]:
        """Give away what came before `to_tick`, by tick; the feed and the channels have rows, too.

        An event before `from_tick`, which is judged already, counts as one of that tick.
        """
        if not self._rows:
            return
        rows, recv_ns = np.concatenate(self._rows), np.concatenate(self._recv_ns)
        ticks = np.maximum(recv_ns // TICK_NS, from_tick)
        later = ticks >= to_tick
        self._rows, self._recv_ns = [rows[later]], [recv_ns[later]]
        rows, recv_ns, ticks = rows[~later], recv_ns[~later], ticks[~later]
        symbols = _grouped(ticks, rows, recv_ns, recv_ns)
        channels = _grouped(symbols[0], parents[symbols[1]], *symbols[2:])
        feed = _grouped(channels[0], parents[channels[1]], *channels[2:])
        yield from _by_tick((symbols, channels, feed))


def _grouped(ticks: Rows, rows: Rows, first: Rows, last: Rows) -> tuple[Rows, Rows, Rows, Rows]:
    """One line for each tick and row, in that order: (tick, row, first, last)."""
    if not len(rows):
        return ticks, rows, first, last
    order = np.lexsort((rows, ticks))
    ticks, rows = ticks[order], rows[order]
    new = np.append(True, (np.diff(ticks) != 0) | (np.diff(rows) != 0))
    starts = np.flatnonzero(new)
    return (
        ticks[starts],
        rows[starts],
        np.minimum.reduceat(first[order], starts),
        np.maximum.reduceat(last[order], starts),
    )


def _by_tick(parts: Sequence[tuple[Rows, Rows, Rows, Rows]]) -> Iterator[Busy]:
    ticks, rows, first, last = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((rows, ticks))
    ticks, rows, first, last = ticks[order], rows[order], first[order], last[order]
    edges = np.flatnonzero(np.diff(ticks)) + 1
    bounds = [0, *edges.tolist(), len(ticks)]
    for begin, end in pairwise(bounds):
        if begin < end:
            yield Busy(int(ticks[begin]), rows[begin:end], first[begin:end], last[begin:end])
