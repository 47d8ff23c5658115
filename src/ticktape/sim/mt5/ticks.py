"""A symbol's ticks: when each becomes visible, and what it says, in the broker's own time.

A tick's number is its place in time. Ticks of one millisecond become visible one by one within it,
so that a client that asks in between sees a part of them, as at a real terminal.
"""

import random
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ticktape.sim.mt5.books import RecordedStates, make_states, recorded_cycle
from ticktape.sim.mt5.description import BookDescription, Description
from ticktape.sim.mt5.generated import MID_TICKS, POINT
from ticktape.sim.mt5.results import (
    COPY_TICKS_ALL,
    COPY_TICKS_INFO,
    COPY_TICKS_TRADE,
    TICK_DTYPE,
    TICK_FLAG_ASK,
    TICK_FLAG_BID,
    TICK_FLAG_BUY,
    TICK_FLAG_LAST,
    TICK_FLAG_SELL,
    TICK_FLAG_UNDOCUMENTED,
    TICK_FLAG_VOLUME,
    Ints,
    TickRows,
)
from ticktape.sim.mt5.schedule import Cycle, seed_of

NS_PER_MS = 1_000_000
MS_PER_S = 1000
MS_PER_HOUR = 3_600_000
TICKS = 1 << 14  # of one cycle, about
WHOLE_SECOND_EVERY = 50  # bursts: one in so many holds a whole second's ticks in one millisecond
QUOTE_FLAGS = TICK_FLAG_BID | TICK_FLAG_ASK
DEAL_FLAGS = TICK_FLAG_LAST | TICK_FLAG_VOLUME


class Market:
    """What ticks say, again in each cycle, and their moments since the ticks' beginning."""

    def __init__(self, cycle: Cycle, values: TickRows) -> None:
        assert len(cycle) == len(values)
        self.cycle = cycle
        self.values = values


def generate(book: BookDescription, seed: int, rate: float, same_ms: int) -> Market:
    """Make ticks in bursts of equal milliseconds, `rate` a second on average."""
    rng = random.Random(seed)
    moments: list[int] = []
    ms = 0.0
    while len(moments) < TICKS:
        count = rng.randint(1, max(same_ms, 1))
        if len(moments) and rng.randrange(WHOLE_SECOND_EVERY) == 0:
            count = max(count, int(rate))
        step = NS_PER_MS // (count + 1)
        moments += [int(ms) * NS_PER_MS + place * step for place in range(count)]
        # At least a millisecond, so that a burst is never joined by the next one.
        ms = int(ms) + max(count * MS_PER_S / rate * rng.uniform(0.2, 1.8), 1.0)
    values = np.zeros(len(moments), TICK_DTYPE)
    mid = MID_TICKS
    for place in range(len(moments)):
        mid = min(max(mid + rng.choice((-1, 0, 1)), MID_TICKS - 50), MID_TICKS + 50)
        values["bid"][place] = mid * POINT
        values["ask"][place] = (mid + rng.choice((1, 1, 2))) * POINT
        flags = rng.choice((TICK_FLAG_BID, TICK_FLAG_ASK, QUOTE_FLAGS))
        if rng.random() < 0.1:
            flags |= TICK_FLAG_UNDOCUMENTED
        if book.exchange:
            flags = _deal(values, place, flags, rng)
        values["flags"][place] = flags
    return Market(Cycle(np.asarray(moments, np.int64), int(ms) * NS_PER_MS), values)


def _deal(values: TickRows, place: int, flags: int, rng: random.Random) -> int:
    """Give a tick of an exchange's symbol its last deal; return its flags."""
    if place and rng.random() < 0.7:
        for name in ("last", "volume", "volume_real"):
            values[name][place] = values[name][place - 1]
        return flags
    volume = round(rng.uniform(0.1, 50.0), 1)
    values["last"][place] = values["ask"][place]
    values["volume"][place] = int(volume)
    values["volume_real"][place] = volume
    return DEAL_FLAGS | rng.choice((TICK_FLAG_BUY, TICK_FLAG_SELL))


def from_tops(states: RecordedStates, speed: float, passes: int) -> Market:
    """Make a tick of every change of a recording's best bid or best ask."""
    whole = recorded_cycle(states, speed, passes)
    tops = states.tops()
    moved = np.concatenate([[[True, True]], tops[1:] != tops[:-1]])
    places = np.flatnonzero(moved.any(axis=1))
    values = np.zeros(len(places), TICK_DTYPE)
    values["bid"], values["ask"] = tops[places, 0], tops[places, 1]
    values["flags"] = moved[places, 0] * TICK_FLAG_BID + moved[places, 1] * TICK_FLAG_ASK
    count_max = passes * len(places) or None
    return Market(Cycle(whole.offsets[places], whole.period_ns, count_max), values)


@lru_cache(maxsize=64)
def _market(
    book: BookDescription,
    seed: int,
    symbol: str,
    rate: float,
    same_ms: int,
    pace: tuple[float, int],
) -> Market | None:
    if not rate:
        return None
    states = make_states(book, seed, symbol)
    if isinstance(states, RecordedStates):
        return from_tops(states, *pace)
    return generate(book, seed_of(seed, symbol, "ticks"), rate, same_ms)


class Ticks:
    """The ticks of one symbol from the monotonic `mono_ns` on, which is `wall_ns` in UTC."""

    def __init__(self, description: Description, symbol: str, mono_ns: int, wall_ns: int) -> None:
        # A recording whose books wait for calls has its ticks at its own pace.
        pace = (description.speed or 1.0, description.passes)
        book = description.books[symbol]
        self._market = _market(
            book, description.seed, symbol, description.tick_rate, description.same_ms, pace
        )
        # To the whole millisecond, so that a burst stays within one; back, so that none is early.
        ahead_ns = -wall_ns % NS_PER_MS
        self._mono_ns = mono_ns + ahead_ns
        self._wall_ms = (wall_ns + ahead_ns) // NS_PER_MS
        self._offset_ms = round(description.broker_hours * MS_PER_HOUR)
        self._later_ms = self._offset_ms
        self._switch_ms = description.switch_wall_ns // NS_PER_MS
        if self._switch_ms:
            self._later_ms += round(description.switch_hours * MS_PER_HOUR)

    def count(self, now_mono_ns: int) -> int:
        """How many ticks are visible."""
        return self._market.cycle.count(now_mono_ns - self._mono_ns) if self._market else 0

    def is_through(self, now_mono_ns: int) -> bool:
        """Whether the last of them is visible; never when there are ever more."""
        market = self._market
        return market is not None and self.count(now_mono_ns) == market.cycle.count_max

    def visible_ns(self, first: int, stop: int) -> Ints:
        """The monotonic nanoseconds from which on each of these ticks is visible."""
        if self._market is None:
            return np.zeros(0, np.int64)
        return self._market.cycle.moments(first, stop) + self._mono_ns

    def rows(self, first: int, stop: int) -> TickRows:
        """The ticks numbered `first` to `stop`, a new array of `TICK_DTYPE`."""
        if self._market is None or stop <= first:
            return np.zeros(0, TICK_DTYPE)
        cycle = self._market.cycle
        rows = self._market.values[np.arange(first, stop) % len(cycle)]
        utc_ms = self._wall_ms + cycle.moments(first, stop) // NS_PER_MS
        rows["time_msc"] = utc_ms + self._offset(utc_ms)
        rows["time"] = rows["time_msc"] // MS_PER_S
        return rows

    def _offset(self, utc_ms: Ints) -> Ints:
        return np.where(utc_ms < self._switch_ms, self._offset_ms, self._later_ms)

    def _first_from(self, broker_ms: int, offset_ms: int) -> int:
        """Number of the first tick that is not before `broker_ms` on a clock with this offset."""
        assert self._market is not None
        wanted_ns = (broker_ms - offset_ms - self._wall_ms) * NS_PER_MS
        return self._market.cycle.count(wanted_ns - 1)

    def copy(self, from_ms: int, to_ms: int | None, kind: int, count: int, now_ns: int) -> TickRows:
        """Visible ticks with a broker time in [from_ms, to_ms], oldest first, at most `count`."""
        stop = self.count(now_ns)
        if not stop:
            return np.zeros(0, TICK_DTYPE)
        # While the broker's clock changes, an hour comes twice or never: take what may be in the
        # range on either clock, then look at each tick's own time.
        first = self._first_from(from_ms, max(self._offset_ms, self._later_ms))
        if to_ms is not None:
            last = self._first_from(to_ms + 1, min(self._offset_ms, self._later_ms))
            stop = min(stop, last)
        if kind == COPY_TICKS_ALL and self._offset_ms == self._later_ms:
            # Nothing to look at: these are the ticks, and this is the polling client's way.
            return self.rows(first, min(stop, first + count))
        rows = self.rows(first, stop)
        keep: npt.NDArray[np.bool_] = rows["time_msc"] >= from_ms
        if to_ms is not None:
            keep &= rows["time_msc"] <= to_ms
        if kind == COPY_TICKS_INFO:
            keep &= rows["flags"] & QUOTE_FLAGS != 0
        elif kind == COPY_TICKS_TRADE:
            keep &= rows["flags"] & DEAL_FLAGS != 0
        return rows[np.flatnonzero(keep)[:count]]
