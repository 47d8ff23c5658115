"""How late what comes is: receive time less event time, by feed; pure.

A print that is late by its own conditions (sold out of sequence, an average price, an official
close) says nothing of the feed, and is counted apart. The rest gives a median for each second. What
is usual is learned, so that a delayed feed is not late because it is delayed, and a clock that is
off is not a late feed.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ticktape.ledger.alarms import NS_PER_S, Alarm, OpenAlarms
from ticktape.ledger.coded import Coded

Times = npt.NDArray[np.int64]

# Channels whose event time is the moment of the event: not a bar's beginning, nor a poll's end.
LAG_CHANNELS = frozenset({"trades", "quotes", "ticks", "crypto_books"})
LATE_ABOVE_NS = NS_PER_S
LATE_AFTER_S = 3
# So many seconds with data before a feed's usual lag is known.
_LEARNED_S = 10
# A quartz clock is off by up to 100 parts in a million, so the usual lag may rise by that without
# anyone's fault; what rises faster is lag. It falls at once, half of the way each second.
_DRIFT_NS = 100_000
_KEPT_MAX = 4_096  # prints of one second whose lags are kept for its median
_HOLD_NS = 3 * NS_PER_S
_ONLY = 0  # a feed has one lag

# Conditions by which a trade is reported later than it was made, or has a time of another event.
# Tapes A and B, then C; Alpaca gives the codes of the SIPs. Source: reference of conditions,
# https://docs.alpaca.markets/docs/real-time-stock-pricing-data and the CTS and UTP specifications.
_LATE_AB = frozenset("BLMNPQRUVZ479")
_LATE_C = frozenset("GLMNPQRUVWZ479")
_TAPE_C = "C"  # all others have the codes of A and B


def is_late_print(conditions: str, tape: str) -> bool:
    """Whether a trade with these conditions (joined by commas) may be late by itself."""
    late = _LATE_C if tape == _TAPE_C else _LATE_AB
    return not late.isdisjoint(conditions.split(","))


class LagFigures(NamedTuple):
    """A feed's lag: the median of the last second with ordinary prints, and what is usual.

    Nanoseconds, None before known. `late_prints` were late by their own conditions; `late_max_ns`
    is the greatest lag among those.
    """

    now_ns: int | None
    usual_ns: int | None
    prints: int
    late_prints: int
    late_max_ns: int


class Lag:
    """Watches how late one feed is."""

    def __init__(self, feed: str) -> None:
        self._feed = feed
        self._alarms = OpenAlarms()
        self._late_codes: dict[tuple[str, str], bool] = {}
        self._second = -1
        self._lags: list[Times] = []
        self._kept = 0
        self._now_ns: int | None = None
        self._usual_ns: int | None = None
        self._learning: list[int] = []
        self._late_since_ns: int | None = None
        self._prints = self._late_prints = self._late_max_ns = 0

    @property
    def open_alarms(self) -> list[Alarm]:
        """The alarm that stands, if one does."""
        return self._alarms.alarms()

    def figures(self) -> LagFigures:
        """How late the feed is."""
        return LagFigures(
            self._now_ns, self._usual_ns, self._prints, self._late_prints, self._late_max_ns
        )

    def observe(
        self,
        event_ns: Times,
        recv_ns: Times,
        conditions: Coded | None = None,
        tapes: Coded | None = None,
    ) -> list[Alarm]:
        """Take a batch in the order received; conditions and tapes only of trades, or none.

        Returns alarms that began and ends of alarms.
        """
        if not len(recv_ns):
            return []
        lags = recv_ns - event_ns
        if conditions is not None:
            late = self._late(conditions, tapes)
            if late.any():
                self._late_prints += int(late.sum())
                self._late_max_ns = max(self._late_max_ns, int(lags[late].max()))
                lags, recv_ns = lags[~late], recv_ns[~late]
        self._prints += len(lags)
        seconds = recv_ns // NS_PER_S
        edges = np.flatnonzero(np.diff(seconds)) + 1
        changes: list[Alarm] = []
        for begin, end in zip([0, *edges.tolist()], [*edges.tolist(), len(lags)], strict=True):
            if begin < end:
                changes += self.advance(int(seconds[begin]) * NS_PER_S)
                self._second = max(self._second, int(seconds[begin]))
                self._keep(lags[begin:end])
        return changes

    def _late(self, conditions: Coded, tapes: Coded | None) -> npt.NDArray[np.bool_]:
        late = conditions.spread(partial(self._are_late, ""))
        if tapes is None:
            return late
        on_c = tapes.spread(lambda texts: np.array([text == _TAPE_C for text in texts], np.bool_))
        return np.where(on_c, conditions.spread(partial(self._are_late, _TAPE_C)), late)

    def _are_late(self, tape: str, conditions: list[str]) -> npt.NDArray[np.bool_]:
        known = self._late_codes
        if len(known) >= _KEPT_MAX:
            known.clear()
        for each in conditions:
            if (each, tape) not in known:
                known[each, tape] = is_late_print(each, tape)
        return np.array([known[each, tape] for each in conditions], np.bool_)

    def _keep(self, lags: Times) -> None:
        room = _KEPT_MAX - self._kept
        if room > 0:
            self._lags.append(lags[:room])
            self._kept += min(room, len(lags))

    def advance(self, until_ns: int) -> list[Alarm]:
        """Judge the seconds that ended by `until_ns`."""
        if self._second < 0 or until_ns < (self._second + 1) * NS_PER_S:
            return []
        second, self._second = self._second, -1
        median = int(np.median(np.concatenate(self._lags)))
        self._lags, self._kept, self._now_ns = [], 0, median
        if self._usual_ns is None:
            self._learning.append(median)
            if len(self._learning) >= _LEARNED_S:
                self._usual_ns = int(np.median(self._learning))
                self._learning = []
            return []
        return self._judge(median, self._usual_ns, (second + 1) * NS_PER_S)

    def _judge(self, median: int, usual: int, end_ns: int) -> list[Alarm]:
        if median < usual:
            self._usual_ns = usual - (usual - median + 1) // 2
        else:
            self._usual_ns = usual + min(_DRIFT_NS, median - usual)
        if median - usual <= LATE_ABOVE_NS:
            self._late_since_ns = None
            self._alarms.resume(_ONLY, end_ns - NS_PER_S)
            ended = self._alarms.settled(_ONLY, end_ns) if _ONLY in self._alarms else None
            return [ended] if ended else []
        if self._late_since_ns is None:
            self._late_since_ns = end_ns - NS_PER_S
        if _ONLY in self._alarms:
            self._alarms.relapse(_ONLY)
            return []
        if end_ns - self._late_since_ns <= LATE_AFTER_S * NS_PER_S:
            return []
        words = (
            f"what comes is {median / NS_PER_S:.3f} s old, usual is {usual / NS_PER_S:.3f} s "
            "(median of a second's ordinary prints)"
        )
        hint = "see whether the network, the venue or this machine cannot keep up"
        alarm = Alarm("lag", self._feed, "", "", self._late_since_ns, end_ns, None, words, hint)
        return [self._alarms.raise_alarm(_ONLY, alarm, _HOLD_NS)]

    def stepped(self, by_ns: int) -> None:
        """Our wall clock was set forward by `by_ns` (back: negative): no lag, a step."""
        self._learning = [each + by_ns for each in self._learning]
        if self._usual_ns is not None:
            self._usual_ns += by_ns
        if by_ns < 0:  # its second comes once more, and must not wait for the clock to catch up
            self._second, self._lags, self._kept = -1, [], 0

    def saved(self) -> int | None:
        """The usual lag in nanoseconds, for `restore`."""
        return self._usual_ns

    def restore(self, usual_ns: int | None) -> None:
        """Go on from what `saved` gave."""
        self._usual_ns = usual_ns
