"""How far two layouts are apart, and how sure that is: a paired bootstrap over repeats.

The lab has three repeats by default. A plain bootstrap of three pairs leaves out "no difference"
whenever all three differ in the same direction, which chance alone does one time in four. So:
repeats are drawn within their threshold, each cell's own uncertainty is drawn with them, and the
interval is widened as Student's t is against the normal (`stretch`). One repeat has no interval.
"""

import math
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

DRAWS = 2_000
LEVEL = 0.95

Floats = npt.NDArray[np.float64]
Place = tuple[str, int]
"""Threshold and repeat; two layouts are compared where both have been."""

# Student's t, 97.5 %, by degrees of freedom from 1.
_T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
_NORMAL = 1.960


class Sample(NamedTuple):
    """A figure of one cell, as a logarithm or plain, and draws of what it might as well be."""

    point: float
    draws: Floats


class Interval(msgspec.Struct, frozen=True):
    """A difference, and its 95 % interval; None when there are too few repeats for one."""

    middle: float
    low: float | None = None
    high: float | None = None
    pairs: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return self.low is not None

    @property
    def is_below(self) -> bool:
        """Whether the difference is surely less than 0."""
        return self.high is not None and self.high < 0

    @property
    def is_above(self) -> bool:
        """Whether the difference is surely more than 0."""
        return self.low is not None and self.low > 0

    def to_ratio(self) -> "Interval":
        """A difference of logarithms as the ratio that it is."""
        low = None if self.low is None else math.exp(self.low)
        high = None if self.high is None else math.exp(self.high)
        return Interval(math.exp(self.middle), low, high, self.pairs)


def generator(seed: int, *names: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the names alone, not on who asks first."""
    return np.random.default_rng([seed & 0xFFFF_FFFF, zlib.crc32("\0".join(names).encode())])


def stretch(repeats: list[int]) -> float:
    """By how much an interval from so many repeats at each threshold has to be widened.

    Source: T. Hesterberg, "What Teachers Should Know About the Bootstrap", The American
    Statistician 69 (2015), on its narrowness in small samples.
    """
    freedom = sum(repeats) - len(repeats)
    # Beyond the table t is the normal's and a little: within 0.2 % from 21 on.
    t = _T[freedom - 1] if freedom <= len(_T) else _NORMAL * (1 + 1.27 / freedom)
    least = min(repeats)
    return t / _NORMAL * math.sqrt(least / (least - 1))


def compare(
    first: Mapping[Place, Sample], second: Mapping[Place, Sample], random: np.random.Generator
) -> Interval | None:
    """`first` less `second`: every threshold counts the same; None when they never met."""
    pairs: dict[str, list[Place]] = {}
    for place in sorted(first.keys() & second.keys()):
        pairs.setdefault(place[0], []).append(place)
    if not pairs:
        return None
    repeats = [len(places) for places in pairs.values()]
    points = [
        np.mean([first[place].point - second[place].point for place in places])
        for places in pairs.values()
    ]
    middle = float(np.mean(points))
    if min(repeats) < 2:
        return Interval(middle, pairs=sum(repeats))
    drawn = np.zeros(DRAWS)
    for places in pairs.values():
        # Rows are repeats, columns are draws; each draw takes its own repeats, with replacement.
        apart = np.array([first[place].draws - second[place].draws for place in places])
        taken = random.integers(len(places), size=(len(places), DRAWS))
        drawn += np.take_along_axis(apart, taken, axis=0).mean(axis=0) / len(pairs)
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    wide = stretch(repeats)
    # The middle is inside whatever the draws are.
    below, above = min(0.0, float(low) - middle), max(0.0, float(high) - middle)
    return Interval(middle, middle + wide * below, middle + wide * above, sum(repeats))
