"""What of one feed is silent that should not be; pure.

Time goes in ticks. A silence of a series counts in full while the feed's other series come as they
usually do, and less while they are quiet, too: a quiet market is no outage. A whole feed has no
others; its silence counts in full. While a channel or the feed is silent its symbols are not spoken
of singly. Outside the usual hours nothing alarms and nothing is learned.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import numpy.typing as npt

from ticktape.ledger.alarms import NS_PER_S, Alarm, OpenAlarms, silence_alarm
from ticktape.ledger.coded import Coded
from ticktape.ledger.rates import LIMIT_MIN_S, Rates, Reals, Rows
from ticktape.ledger.series import (
    FEED_ROW,
    NO_SYMBOL,
    TICK_NS,
    Busy,
    Name,
    Pending,
    SeriesTable,
)
from ticktape.ledger.sessions import Hours, Span, span_at

# That the others are quiet, too, says little while no more than some three were expected of them.
_PRIOR_OTHERS = 3.0
# One alarm in five days of a feed may be false; ten times fewer would cost a sixth more time.
ALARMS_A_DAY = 0.2
_TICK_S = TICK_NS / NS_PER_S
_DAY_S = {Hours.ALWAYS: 86_400.0, Hours.FX: 86_400.0, Hours.US_STOCKS: 23_400.0}
# Auctions open some symbols minutes late; the feed as a whole begins within seconds.
_SYMBOL_GRACE_S, _FEED_GRACE_S = 300, 30
# Data has come again when it came for twice what would be a silence, but a minute is enough.
_HOLD_MAX_NS = 60 * NS_PER_S
# Whole feeds stall for seconds and catch up, all symbols at once: half as long again for those.
_WHOLE = 1.5
# A long empty stretch (a reader that catches up) is looked at in so many steps.
_EMPTY_STEPS = 400


class Silence:
    """Watches one feed; `hours` are a hint when silence means nothing."""

    def __init__(self, feed: str, hours: Hours = Hours.ALWAYS) -> None:
        self._feed = feed
        self._hours = hours
        self._table = SeriesTable()
        self._pending = Pending()
        self._alarms = OpenAlarms()
        self._rates = Rates(ALARMS_A_DAY, _DAY_S[hours])
        self._span: Span | None = None
        self._connected = False
        self._next = -1  # the first tick that is not judged yet
        self._grace_ns = 0
        # What all symbols brought so far, in busy ticks, what they were expected to, and in which
        # time.
        self._observed = 0.0
        self._expected = 0.0
        self._passed_s = 0.0
        self._parents: Rows = np.empty(0, np.int64)
        self._last_ns: Rows = np.empty(0, np.int64)
        self._first_ns: Rows = np.empty(0, np.int64)
        self._observed_then: Reals = np.empty(0)
        self._expected_then: Reals = np.empty(0)
        self._passed_then: Reals = np.empty(0)
        self._own_rate: Reals = np.empty(0)
        # How much rarer a channel or the feed is while symbols of it are silent.
        self._thinned: Reals = np.empty(0)
        self._counted: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        # A silence that began before our time, or at an open or a connect, teaches nothing.
        self._fresh: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._seen: npt.NDArray[np.bool_] = np.empty(0, np.bool_)
        self._grow()

    def _grow(self) -> None:
        size = len(self._table.names)
        more = size - self._rates.size
        if not more:
            return
        self._rates.grow(size)
        self._parents = self._table.channel_rows()
        for name in ("_last_ns", "_first_ns"):
            setattr(self, name, np.append(getattr(self, name), np.zeros(more, np.int64)))
        for name in ("_observed_then", "_expected_then", "_passed_then"):
            setattr(self, name, np.append(getattr(self, name), np.zeros(more)))
        self._fresh = np.append(self._fresh, np.ones(more, np.bool_))
        self._seen = np.append(self._seen, np.ones(more, np.bool_))
        self._count_in()

    @property
    def open_alarms(self) -> list[Alarm]:
        """The alarms that stand."""
        return self._alarms.alarms()

    def limit_s(self, channel: str, symbol: str) -> float:
        """How long this series is silent before it alarms; infinite before that is learned."""
        name = Name(channel, symbol)
        return float(self._rates.limit_s[self._table.names.index(name)])

    def connected(self, ns: int) -> list[Alarm]:
        """A session is subscribed since `ns`: every silence begins anew. Judges up to `ns`."""
        changes = self.advance(ns)
        self._connected = True
        self._restart(np.arange(self._rates.size), ns)
        return changes

    def disconnected(self, ns: int) -> list[Alarm]:
        """The session ended: silence is a gap now and no alarm. Judges up to `ns`.

        What was said of a symbol or a channel stands until that comes again.
        """
        changes = self.advance(ns)
        self._connected = False
        if FEED_ROW in self._alarms:
            changes += self._end_all([FEED_ROW], ns, ns, "the connection ended")
        return changes

    def set_back(self, ns: int) -> None:
        """Our wall clock was set back to `ns`: its time is judged anew from there."""
        self._next = ns // TICK_NS
        self._span = None
        self._pending = Pending()  # of the tick in which it was set

    def forget(self, channel: str, symbols: Sequence[str], ns: int) -> list[Alarm]:
        """These symbols are not subscribed any more. Returns the ends of their alarms."""
        rows = self._table.rows_of(channel, symbols)
        self._grow()
        rows = np.unique(rows[rows >= 0])
        self._rates.forget(rows)
        self._fresh[rows] = True
        ended = [row for row in rows.tolist() if row in self._alarms]
        return self._end_all(ended, ns, ns, "not subscribed any more")

    def observe(self, channel: str, symbols: Coded, recv_ns: Rows) -> None:
        """Take what was received; judged by `advance`."""
        if not len(symbols):
            return
        rows = symbols.spread(partial(self._table.rows_of, channel))
        self._grow()
        watched = rows >= 0
        # Who sends is connected, even if nobody told us.
        self._connected = True
        self._pending.add(rows[watched], recv_ns[watched])

    def advance(self, until_ns: int) -> list[Alarm]:
        """Judge all ticks that ended by `until_ns`; what came before it must be observed already.

        Returns alarms that began and ends of alarms, in their order.
        """
        until = until_ns // TICK_NS
        if self._next < 0:
            first = self._pending.first_tick()
            self._next = until if first is None else min(first, until)
        changes: list[Alarm] = []
        for busy in self._pending.take(self._next, until, self._parents):
            changes += self._pass_empty(busy.tick)
            changes += self._step(busy.tick, busy)
        changes += self._pass_empty(until)
        return changes

    def _pass_empty(self, until: int) -> list[Alarm]:
        changes: list[Alarm] = []
        stride = max(1, (until - self._next) // _EMPTY_STEPS)
        while self._next < until:
            if self._span is not None and not self._span.is_open:
                # Nothing can change before the market opens.
                self._next = min(until, max(self._next, self._span.to_ns // TICK_NS))
                if self._next == until:
                    break
            changes += self._step(min(self._next + stride, until) - 1, None)
        return changes

    def _step(self, tick: int, busy: Busy | None) -> list[Alarm]:
        begin_ns, end_ns = tick * TICK_NS, (tick + 1) * TICK_NS
        changes = self._turn(begin_ns)
        before_s = (tick - self._next) * _TICK_S
        self._next = tick + 1
        if self._span is None or not self._span.is_open:
            return changes
        self._expect(before_s)
        if busy is not None:
            # What ends in this tick is weighed by the whole ticks before it, for expected and
            # observed must be of the same time.
            self._wake(busy)
        self._pass_tick(busy)
        if self._connected:
            changes += self._judge(end_ns)
        return changes

    def _turn(self, ns: int) -> list[Alarm]:
        """Open or close with the market; returns the ends of alarms at its close."""
        if self._span is not None and ns < self._span.to_ns:
            return []
        before, self._span = self._span, span_at(self._hours, ns)
        ends: list[Alarm] = []
        if before is not None:
            alarms = self._alarms.numbers()
            ends = self._end_all(alarms, before.to_ns, ns, "the usual hours ended")
        if self._span.is_open:
            if before is not None:
                # Who said nothing for a whole session is not expected in the next.
                self._rates.forget(np.flatnonzero(~self._seen))
                self._seen[:] = False
                ns = self._grace_ns = self._span.from_ns
            self._restart(np.arange(self._rates.size), ns)
        return ends

    def _restart(self, rows: Rows, ns: int) -> None:
        """Let the silences of these rows begin at `ns`, and teach nothing."""
        self._last_ns[rows] = ns
        self._first_ns[rows] = ns
        self._observed_then[rows] = self._observed
        self._expected_then[rows] = self._expected
        self._passed_then[rows] = self._passed_s
        self._fresh[rows] = True

    def _wake(self, busy: Busy) -> None:
        """Learn from the silences that end in this tick."""
        rows = busy.rows
        parents = self._parents
        for row in self._alarms.numbers():
            at = np.searchsorted(rows, row)
            if at < len(rows) and rows[at] == row:
                if not self._alarms.is_resumed(row) and self._table.names[row].symbol == "":
                    children = (parents == row) | (row == FEED_ROW)
                    children[row] = False
                    self._restart(np.flatnonzero(children), int(busy.first_ns[at]))
                self._alarms.resume(row, int(busy.first_ns[at]))
        known = ~self._fresh[rows]
        self._learn(rows[known], busy.first_ns[known])
        self._last_ns[rows] = busy.last_ns
        self._first_ns[rows] = busy.first_ns
        self._fresh[rows] = False
        self._seen[rows] = True

    def _pass_tick(self, busy: Busy | None) -> None:
        """Count what this tick was expected to bring, and what it brought."""
        self._expect(_TICK_S)
        if busy is not None:
            self._observed += float(np.count_nonzero(self._counted[busy.rows]))
            self._observed_then[busy.rows] = self._observed
            self._expected_then[busy.rows] = self._expected
            self._passed_then[busy.rows] = self._passed_s
            self._reckon()

    def _expect(self, elapsed_s: float) -> None:
        self._expected += elapsed_s * float(self._own_rate[FEED_ROW])
        self._passed_s += elapsed_s

    def _learn(self, rows: Rows, first_ns: Rows) -> None:
        silences = np.maximum((first_ns - self._last_ns[rows]) / NS_PER_S, 0.0)
        silences = silences * self._weights(rows)
        limits = self._rates.limit_s[rows]
        usual = silences < limits
        spacings = np.maximum((first_ns - self._first_ns[rows]) / NS_PER_S, _TICK_S)
        self._rates.learn(
            rows, np.minimum(silences, limits), np.minimum(spacings, limits + _TICK_S), usual
        )

    def _weights(self, rows: Rows) -> Reals:
        """How much of each silence counts: all, unless the others brought less than usual."""
        observed = self._observed - self._observed_then[rows]
        expected = self._expected - self._expected_then[rows]
        own = (self._passed_s - self._passed_then[rows]) * self._own_rate[rows]
        expected = np.maximum(expected - own, 0.0)
        return np.minimum((_PRIOR_OTHERS + observed) / (_PRIOR_OTHERS + expected), 1.0)

    def _count_in(self) -> None:
        """Choose the rows that tell of the feed's flow: symbols that are not called silent."""
        parents = self._parents
        self._counted = parents != FEED_ROW
        for row in self._alarms.numbers():
            self._counted[row] = False
            self._counted[parents == row] = False
        self._reckon()

    def _reckon(self) -> None:
        """Expect of the feed and its channels what their symbols' paces say."""
        counted = np.where(self._counted, self._rates.rate, 0.0)
        self._own_rate = self._summed(counted)
        symbol = self._parents != FEED_ROW
        self._thinned = np.where(symbol, 1.0, _WHOLE)
        if len(self._alarms):
            every = self._summed(np.where(symbol, self._rates.rate, 0.0))
            thinned = ~symbol & (self._own_rate > 0.0)
            self._thinned[thinned] *= every[thinned] / self._own_rate[thinned]

    def _summed(self, rates: Reals) -> Reals:
        """The same, with the sum of its symbols for each channel, and of all for the feed."""
        summed = rates + np.bincount(self._parents, rates, len(rates))
        summed[FEED_ROW] = rates.sum()
        return summed

    def _judge(self, end_ns: int) -> list[Alarm]:
        silences = (end_ns - self._last_ns) / NS_PER_S
        limits = self._rates.limit_s * self._thinned
        silent = silences > limits
        changes = self._settle(silent, end_ns)
        if not silent.any():
            return changes
        silent &= silences * self._weights(np.arange(self._rates.size)) > limits
        for row in np.flatnonzero(silent).tolist():
            if self._is_told(row, end_ns):
                continue
            if row not in self._alarms:
                changes += self._end_all(self._children(row), end_ns, end_ns, "all is silent now")
                changes.append(self._raise(row, end_ns))
        return changes

    def _is_told(self, row: int, end_ns: int) -> bool:
        """Whether a silence of this row needs no word: too early, or one for more than it."""
        parent = int(self._parents[row])
        grace_s = _SYMBOL_GRACE_S if parent != FEED_ROW else _FEED_GRACE_S
        early = end_ns - self._grace_ns < grace_s * NS_PER_S
        if early or row == FEED_ROW:
            return early
        alone = self._last_ns[parent] <= self._last_ns[row]
        return bool(alone) or FEED_ROW in self._alarms or parent in self._alarms

    def _children(self, row: int) -> list[int]:
        """The alarms that say nothing more once this row's stands."""
        parents = self._parents
        return [
            each
            for each in self._alarms.numbers()
            if each != row and (row == FEED_ROW or parents[each] == row)
        ]

    def _settle(self, silent: npt.NDArray[np.bool_], end_ns: int) -> list[Alarm]:
        """End the alarms whose data came again and stayed."""
        ended = []
        for row in self._alarms.numbers():
            if silent[row]:
                self._alarms.relapse(row)
            elif end := self._alarms.settled(row, end_ns):
                ended.append(end)
        if ended:
            self._count_in()
        return ended

    def _raise(self, row: int, end_ns: int) -> Alarm:
        name, since_ns = self._table.names[row], int(self._last_ns[row])
        pace = float(self._rates.pace_s[row])
        limit = float(self._rates.limit_s[row] * self._thinned[row])
        alarm = silence_alarm(self._feed, name.channel, name.symbol, since_ns, end_ns, pace, limit)
        hold_ns = min(2 * int(max(limit, LIMIT_MIN_S) * NS_PER_S), _HOLD_MAX_NS)
        self._alarms.raise_alarm(row, alarm, hold_ns)
        self._count_in()
        return alarm

    def _end_all(self, rows: Sequence[int], until_ns: int, now_ns: int, why: str) -> list[Alarm]:
        ends = [self._alarms.end(row, until_ns, now_ns, why) for row in rows]
        if ends:
            self._count_in()
        return ends

    def saved(self) -> dict[str, dict[str, list[float]]]:
        """What is learned, by channel and symbol; as JSON, for `restore`."""
        found: dict[str, dict[str, list[float]]] = {}
        for row, name in enumerate(self._table.names):
            if numbers := self._rates.saved(row):
                found.setdefault(name.channel, {})[name.symbol] = numbers
        return found

    def restore(self, saved: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
        """Go on from what `saved` gave, before anything is observed.

        Raises:
            ValueError: these are not the numbers of series.
        """
        for channel, symbols in saved.items():
            if channel:
                named = [each for each in symbols if each]
                self._table.rows_of(channel, ["" if each == NO_SYMBOL else each for each in named])
        self._grow()
        rows = {name: row for row, name in enumerate(self._table.names)}
        for channel, symbols in saved.items():
            for symbol, numbers in symbols.items():
                row = rows.get(Name(channel, symbol))
                if row is not None:
                    self._rates.restore(row, numbers)
        self._reckon()
