r"""Brings stamps of the bridge's own counter to our monotonic clock, as outer bounds; pure.

We send at s, the bridge reads its counter at r when it has the request and at t before it answers,
and we have the answer at e. Whatever the network did, ours less theirs lies in [s - r, e - t]:

    ours    ----s-----------------------e---->
                 \                     /
    theirs  ------r-------------------t------>

Every request gives such bounds for nothing, and the narrowest of them hold on, a little wider with
every second, for the two counters do not run alike. A stamp is mapped so that `before` is surely
not later and `after` surely not earlier than the call was.
"""

from typing import NamedTuple

from ticktape import clock

RENEW_NS = 2 * clock.NS_PER_S
"""So often a map is numbered anew: after 2 s it may be off by 0.2 ms more than when it was taken,
which is about what a request takes; a map of 10 s would say less than the request itself."""
DRIFT_DIVISOR = 10_000
"""The counters drift apart by less than a 10,000th (100 ppm): two quartzes of 50 ppm each."""
COUNTER_NS = 100
"""One step of Windows' own counter (QueryPerformanceCounter), which rounds down."""


class MapNote(NamedTuple):
    """One numbered map: ours = theirs + `offset_ns`, give or take `error_ns`, at `taken_mono_ns`.

    The error grows by a 10,000th of the time that passes.
    """

    number: int
    offset_ns: int
    error_ns: int
    taken_mono_ns: int


class ClockMap:
    """The bounds of (our clock less the bridge's counter), and the map that stamps use.

    Numbers of maps never repeat, also not when the bridge is another process after `restart`.
    """

    def __init__(self) -> None:
        self.map = MapNote(0, 0, 0, 0)
        self._notes: list[MapNote] = []
        self._low = self._high = self._at_ns = 0
        self._is_known = self._is_numbered = False

    def restart(self) -> None:
        """Forget all bounds, for the counter that comes may be another one; then `renew`."""
        self._is_known = self._is_numbered = False

    def exchange(self, sent_ns: int, received: int, answered: int, arrived_ns: int) -> None:
        """Take one exchange: `received` and `answered` are the bridge's, the others ours."""
        # They bound at the ends of a request that may have taken long.
        drift_ns = (arrived_ns - sent_ns) // DRIFT_DIVISOR + 1
        low = sent_ns - received - COUNTER_NS - drift_ns
        high = arrived_ns - answered + drift_ns
        is_true = True
        if self._is_known:
            aged_ns = self._aged_ns(arrived_ns)
            low_then, high_then = self._low - aged_ns, self._high + aged_ns
            # Bounds that exclude each other: a clock was set or stood still. The newest are true.
            is_true = max(low, low_then) <= min(high, high_then)
            if is_true:
                low, high = max(low, low_then), min(high, high_then)
        self._low, self._high, self._at_ns, self._is_known = low, high, arrived_ns, True
        if self._is_numbered and (self.is_due(arrived_ns) or not is_true):
            self.renew()

    def heard(self, answered: int, arrived_ns: int) -> None:
        """Take a stamp that came without a request: it bounds from one side only."""
        if not self._is_known:
            return
        aged_ns = self._aged_ns(arrived_ns)
        low = self._low - aged_ns
        self._low, self._high = low, max(min(self._high + aged_ns, arrived_ns - answered), low)
        self._at_ns = arrived_ns

    def renew(self) -> None:
        """Make a map of the bounds as they are now, under the next number."""
        assert self._is_known
        offset_ns = (self._low + self._high) // 2
        error_ns = max(self._high - offset_ns, offset_ns - self._low) + COUNTER_NS
        self.map = MapNote(self.map.number + 1, offset_ns, error_ns, self._at_ns)
        self._is_numbered = True
        self._notes.append(self.map)

    def is_due(self, now_ns: int) -> bool:
        """Whether the map is old: the next exchange makes a new one."""
        return now_ns - self.map.taken_mono_ns >= RENEW_NS

    def notes(self) -> list[MapNote]:
        """The maps that were made since the last time; a journal with stamps needs them all."""
        notes, self._notes = self._notes, []
        return notes

    def earliest_ns(self, stamp: int) -> int:
        """Our time that is surely not later than the bridge's `stamp`."""
        ours_ns = stamp + self.map.offset_ns
        return ours_ns - self._error_ns(ours_ns)

    def latest_ns(self, stamp: int) -> int:
        """Our time that is surely not earlier than the bridge's `stamp`."""
        ours_ns = stamp + self.map.offset_ns
        return ours_ns + self._error_ns(ours_ns)

    def bracket(self, before: int, after: int, sent_ns: int, arrived_ns: int) -> tuple[int, int]:
        """A call's bracket on our clock; never outside of when we asked and had the answer."""
        before_ns = max(self.earliest_ns(before), sent_ns)
        after_ns = min(self.latest_ns(after), arrived_ns)
        if after_ns < before_ns:  # the clocks contradict the map: only our own readings are sure
            return sent_ns, arrived_ns
        return before_ns, after_ns

    def _error_ns(self, ours_ns: int) -> int:
        _, _, error_ns, taken_ns = self.map
        return error_ns + abs(ours_ns - taken_ns) // DRIFT_DIVISOR + 1

    def _aged_ns(self, now_ns: int) -> int:
        return max(now_ns - self._at_ns, 0) // DRIFT_DIVISOR + 1
