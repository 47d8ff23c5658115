"""Symbols that are not sent any more, although they go on happening: a feed that half died.

Which rows nobody ever hears is said as rows of one pass of a tape; the stream makes lanes of it.
"""

import re
from typing import NamedTuple

import numpy as np

from ticktape.clock import NS_PER_S
from ticktape.sim.tape import CHANNELS, Ints, Tape

_NONE: Ints = np.zeros(0, np.int64)
# A symbol of crypto has a stroke of its own.
_VALUE = re.compile(r"(?P<symbols>.+?)(?:/(?P<seconds>\d+(?:\.\d+)?))?", re.ASCII)


class Mute(NamedTuple):
    """Some symbols, and for how many seconds; None for ever."""

    symbols: frozenset[str]
    seconds: float | None


def read_mute(value: str) -> Mute | None:
    """What `AAPL,MSFT` or `AAPL/20` says; None when it says nothing."""
    found = _VALUE.fullmatch(value)
    if found is None:
        return None
    symbols, seconds = found["symbols"].split(","), found["seconds"]
    return Mute(frozenset(symbols), float(seconds) if seconds else None) if all(symbols) else None


class _Standing(NamedTuple):
    symbols: frozenset[str]
    from_row: int
    until_ns: int | None


class Muting:
    """What is mute on one path; `dropped` rows of each pass are never sent anyway."""

    def __init__(self, dropped: Ints) -> None:
        self._dropped = dropped
        self._standing: list[_Standing] = []
        self._over: Ints = _NONE  # rows of this pass that were mute, and are past

    @property
    def timed(self) -> bool:
        """Whether one of them waits for its end."""
        return any(each.until_ns is not None for each in self._standing)

    @property
    def symbols(self) -> frozenset[str]:
        """Who is mute now."""
        return frozenset[str]().union(*(each.symbols for each in self._standing))

    def begin(self, mute: Mute, row: int, now_ns: int) -> None:
        """From `row` of this pass on nothing more of these symbols is sent."""
        until_ns = None if mute.seconds is None else now_ns + int(mute.seconds * NS_PER_S)
        self._standing.append(_Standing(mute.symbols, row, until_ns))

    def end(self, tape: Tape, row: int, now_ns: int) -> bool:
        """Let those speak again from `row` on whose time is over; whether there are such."""
        over = [each for each in self._standing if each.until_ns is not None]
        over = [each for each in over if (each.until_ns or 0) <= now_ns]
        for each in over:
            self._standing.remove(each)
            rows = _rows_of(tape, each)
            self._over = np.union1d(self._over, rows[rows < row])
        return bool(over)

    def next_pass(self) -> None:
        """The tape begins again."""
        self._over = _NONE
        self._standing = [each._replace(from_row=0) for each in self._standing]

    def unsent(self, tape: Tape) -> Ints:
        """Which rows of this pass are not sent, as far as is known by now."""
        found = np.union1d(self._dropped, self._over)
        for each in self._standing:
            found = np.union1d(found, _rows_of(tape, each))
        return found.astype(np.int64)


def _rows_of(tape: Tape, standing: _Standing) -> Ints:
    rows = np.flatnonzero(tape.mask(dict.fromkeys(CHANNELS, standing.symbols)))
    return rows[rows >= standing.from_row]
