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
_SMALL = 1 << 16  # numbers that fit into 16 bits are sorted without a comparison
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


class _Lines(NamedTuple):
    """What came of each row in each tick."""

    ticks: Rows
    rows: Rows
    first_ns: Rows
    last_ns: Rows


class Pending:
    """What is not yet judged: of each batch that came, a line for each tick and row."""

    def __init__(self) -> None:
        self._lines: list[_Lines] = []

    def add(self, rows: Rows, recv_ns: Rows) -> None:
        """Keep a batch of events."""
        # At once: a tick is as long as many reads of a busy feed, and each would look at all again.
        self._lines.append(_grouped(_Lines(recv_ns // TICK_NS, rows, recv_ns, recv_ns)))

    def first_tick(self) -> int | None:
        """The tick of the earliest event; None when there is none."""
        ticks = [int(each.ticks.min()) for each in self._lines if len(each.ticks)]
        return min(ticks) if ticks else None

    def take(self, from_tick: int, to_tick: int, parents: Rows) -> Iterator[Busy]:
        """Give away what came before `to_tick`, by tick; the feed and the channels have rows, too.

        An event before `from_tick`, which is judged already, counts as one of that tick.
        """
        if not self._lines:
            return
        lines = _joined(self._lines)
        lines = lines._replace(ticks=np.maximum(lines.ticks, from_tick))
        later = lines.ticks >= to_tick
        self._lines = [_Lines(*(column[later] for column in lines))]
        symbols = _grouped(_Lines(*(column[~later] for column in lines)))
        channels = _grouped(symbols._replace(rows=parents[symbols.rows]))
        feed = _grouped(channels._replace(rows=parents[channels.rows]))
        yield from _by_tick(_joined([symbols, channels, feed]))


def _joined(parts: Sequence[_Lines]) -> _Lines:
    return _Lines(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _grouped(lines: _Lines) -> _Lines:
    """One line for each tick and row, in that order."""
    if not len(lines.ticks):
        return lines
    order = _order(lines)
    ticks, rows = lines.ticks[order], lines.rows[order]
    new = np.append(True, (ticks[1:] != ticks[:-1]) | (rows[1:] != rows[:-1]))
    starts = np.flatnonzero(new)
    return _Lines(
        ticks[starts],
        rows[starts],
        np.minimum.reduceat(lines.first_ns[order], starts),
        np.maximum.reduceat(lines.last_ns[order], starts),
    )


def _order(lines: _Lines) -> Rows:
    """Their places by tick, then by row."""
    from_tick, width = int(lines.ticks.min()), int(lines.rows.max()) + 1
    if (int(lines.ticks.max()) - from_tick + 1) * width > _SMALL:
        return np.lexsort((lines.rows, lines.ticks))
    places = (lines.ticks - from_tick) * width + lines.rows
    return np.argsort(places.astype(np.uint16), kind="stable")  # a tenth of the time


def _by_tick(lines: _Lines) -> Iterator[Busy]:
    if not len(lines.ticks):
        return
    order = _order(lines)
    ticks, rows, first, last = (column[order] for column in lines)
    edges = np.flatnonzero(np.diff(ticks)) + 1
    bounds = [0, *edges.tolist(), len(ticks)]
    for begin, end in pairwise(bounds):
        if begin < end:
            yield Busy(int(ticks[begin]), rows[begin:end], first[begin:end], last[begin:end])
