"""How long each series of events is usually silent, learned as it goes; pure.

A *series* is one symbol of one channel, one channel, or a feed as a whole. Its recent **pace** is
the mean of its silences over the last minutes (or the last few dozen silences of a rare one). Its
usual **shape** is how silences far above the pace are spread, in multiples of the pace and over the
last thousands of them: it says whether the series comes evenly or in bursts, and stays much the
same from the open to the close while the pace does not. A silence is improbable when pace and shape
together would bring one as long less often than the alarms a day that are allowed.

All series of a feed are columns of numbers; nothing here is kept per event.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# A pace is believed after so many silences; below, one long pause decides it.
LEARNED_COUNT = 8
# A minute: on a recorded day and on made ones the worst false silence came nearer to the limit with
# two or five, at the same mean limit. A rare symbol's pace needs some thirty silences.
_PACE_HALF_LIFE_S = 60.0
_PACE_HALF_LIFE_SILENCES = 30.0
# The shape is a trait of the symbol: some thousands of silences, an hour of a busy one.
_SHAPE_DECAY = 1.0 - 1.0 / 5_000
# Only silences beyond three times the pace tell of the far ones: 5 % of an even series.
_FAR = 3.0
# What is thought of a shape before anything is known: 5 % are far, by 1.5 paces more; weighs as
# two far silences.
_PRIOR_FAR, _PRIOR_SHARE, _PRIOR_EXCESS = 2.0, 0.05, 1.5
# How heavy the tail is, as the shape of a generalised Pareto: never ideal chance (0), for no market
# is that; and no heavier than what still has a limit worth waiting for. From few silences it is
# taken as heavier.
_HEAVY_MIN, _HEAVY_MAX = 1.0 / 25.0, 1.0 / 5.0
# Below this a stall of the network, the venue or this machine is more likely than a muted symbol.
LIMIT_MIN_S = 3.0
# What is kept of a series, in this order, by `saved` and `restore`.
_KEPT = ("_count", "_silent_s", "_spaced_s", "_shape_count", "_far_count", "_excess", "_squares")


class Rates:
    """The rhythm of every series of one feed.

    `pace_s` is the mean silence (infinite before the first), `rate` how many busy ticks a second
    are expected (0 before it is learned), `limit_s` how long a silence is improbable (infinite
    before it is learned). Arrays float64, one place per series; they are replaced by `grow` and
    changed by `learn`: never keep them.
    """

    def __init__(self, alarms_a_day: float, day_s: float) -> None:
        self._alarms_a_day = alarms_a_day
        self._day_s = day_s
        self.size = 0
        for name in (*_KEPT, "pace_s", "rate", "limit_s"):
            setattr(self, name, np.empty(0))
        self._count: Reals
        self._silent_s: Reals
        self._spaced_s: Reals
        self._shape_count: Reals
        self._far_count: Reals
        self._excess: Reals
        self._squares: Reals
        self.pace_s: Reals
        self.rate: Reals
        self.limit_s: Reals

    def grow(self, size: int) -> None:
        """Have places for `size` series; new ones know nothing."""
        more = size - self.size
        for name in (*_KEPT, "rate"):
            setattr(self, name, np.append(getattr(self, name), np.zeros(more)))
        for name in ("pace_s", "limit_s"):
            setattr(self, name, np.append(getattr(self, name), np.full(more, np.inf)))
        self.size = size

    def learn(self, rows: Rows, silences_s: Reals, spacings_s: Reals, usual: Flags) -> None:
        """Take one ended silence of each of these series, none twice.

        `spacings_s` is from the beginning of one busy tick to that of the next. Only `usual` ones
        add to the shape: a pause that was called an outage must not be taken for how the series is.
        """
        pace = self.pace_s[rows]
        multiples = silences_s / pace
        known = usual & (self._count[rows] >= LEARNED_COUNT)
        life_s = np.maximum(
            _PACE_HALF_LIFE_S, _PACE_HALF_LIFE_SILENCES * np.where(np.isfinite(pace), pace, 0.0)
        )
        weight = np.exp2(-silences_s / life_s)
        self._count[rows] = self._count[rows] * weight + 1.0
        self._silent_s[rows] = self._silent_s[rows] * weight + silences_s
        self._spaced_s[rows] = self._spaced_s[rows] * weight + spacings_s
        self._shape(rows[known], multiples[known])
        self._conclude(rows)

    def _shape(self, rows: Rows, multiples: Reals) -> None:
        excess = np.maximum(multiples - _FAR, 0.0)
        self._shape_count[rows] = self._shape_count[rows] * _SHAPE_DECAY + 1.0
        self._far_count[rows] = self._far_count[rows] * _SHAPE_DECAY + (excess > 0)
        self._excess[rows] = self._excess[rows] * _SHAPE_DECAY + excess
        self._squares[rows] = self._squares[rows] * _SHAPE_DECAY + excess * excess

    def _conclude(self, rows: Rows) -> None:
        """Pace, rate and limit from what is learned.

        Beyond `_FAR` paces the silences are a generalised Pareto: the chance of more than y paces
        is share · (1 + heavy · (y - far) / scale)^(-1 / heavy), with scale and heavy from mean and
        square of the excess. The limit is where that, times the
        silences a day, is the series' part of the alarms allowed.
        """
        count = self._count[rows]
        # Never zero: a series whose first silences were none must not divide by it.
        pace = np.maximum(self._silent_s[rows] / count, 1e-6)
        spacing = np.maximum(self._spaced_s[rows] / count, 1e-6)
        far = self._far_count[rows] + _PRIOR_FAR
        share = far / (self._shape_count[rows] + _PRIOR_FAR / _PRIOR_SHARE)
        excess = (self._excess[rows] + _PRIOR_FAR * _PRIOR_EXCESS) / far
        square = (self._squares[rows] + _PRIOR_FAR * 2.0 * _PRIOR_EXCESS**2) / far
        ratio = square / excess**2  # 2 for an exponential tail, more for a heavier one
        # Less twice its own uncertainty: only what is seen often lengthens the wait.
        heavy = (ratio - 2.0) / (2.0 * ratio - 2.0) - 2.0 / np.sqrt(far)
        heavy = np.clip(np.maximum(heavy, 1.0 / (far + 1.0)), _HEAVY_MIN, _HEAVY_MAX)
        chance = self._alarms_a_day / self.size * spacing / self._day_s
        beyond = excess * (1.0 - heavy) / heavy * ((share / chance) ** heavy - 1.0)
        # A mean of n silences is itself uncertain by one part in the root of n.
        limit = (_FAR + beyond) * pace * (1.0 + 1.0 / np.sqrt(count))
        learned = count >= LEARNED_COUNT
        self.pace_s[rows] = pace
        self.rate[rows] = np.where(learned, 1.0 / spacing, 0.0)
        self.limit_s[rows] = np.where(learned, np.maximum(limit, LIMIT_MIN_S), np.inf)

    def forget(self, rows: Rows) -> None:
        """Know nothing of these series any more."""
        for name in (*_KEPT, "rate"):
            getattr(self, name)[rows] = 0.0
        self.pace_s[rows] = np.inf
        self.limit_s[rows] = np.inf

    def saved(self, row: int) -> list[float]:
        """What is learned of a series, for `restore`; empty when that is nothing."""
        if not self._count[row]:
            return []
        return [float(f"{getattr(self, name)[row]:.6g}") for name in _KEPT]

    def restore(self, row: int, saved: Sequence[float]) -> None:
        """Go on from what `saved` gave.

        Raises:
            ValueError: these are not the numbers of a series.
        """
        if len(saved) != len(_KEPT) or not all(0.0 <= value < np.inf for value in saved):
            raise ValueError(f"{saved!r} is not what is kept of a series")
        if saved[0] <= 0.0:
            raise ValueError(f"{saved!r} is of no silence at all")
        for name, value in zip(_KEPT, saved, strict=True):
            getattr(self, name)[row] = value
        self._conclude(np.array([row]))
