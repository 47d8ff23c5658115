"""Whole gaps between captures: percentiles and the share of gaps that are longer; pure.

A gap is a number of nanoseconds and never cut to a part of itself: the notebook kept only the
milliseconds below a second, and could not see where its seconds went.
"""

import math

import numpy as np
import numpy.typing as npt

from ticktape.lab.results import Gaps

POINTS = 200
Ints = npt.NDArray[np.int64]


def gaps_between(before_ns: npt.ArrayLike) -> Gaps:
    """The gaps between polls that began at these moments, in their order."""
    return gaps_of(np.diff(np.asarray(before_ns, np.int64)))


def gaps_of(lengths_ns: npt.ArrayLike) -> Gaps:
    """Figures of gaps of these lengths; percentiles are gaps that there were (nearest rank)."""
    lengths: Ints = np.sort(np.asarray(lengths_ns, np.int64))
    count = len(lengths)
    if not count:
        return Gaps()
    zero = int(np.searchsorted(lengths, 0, "right"))
    return Gaps(
        count=count,
        zero=zero,
        p50=_ranked(lengths, 0.5),
        p99=_ranked(lengths, 0.99),
        p999=_ranked(lengths, 0.999),
        max=int(lengths[-1]),
        lowest=int(lengths[zero]) if zero < count else 0,
        mean=float(lengths.mean()),
        ccdf=_ccdf(lengths, zero),
    )


def _ranked(lengths: Ints, share: float) -> int:
    return int(lengths[max(math.ceil(share * len(lengths)) - 1, 0)])


def _ccdf(lengths: Ints, zero: int) -> list[tuple[int, float]]:
    """Points evenly spaced on a logarithmic axis; with few gaps, one a gap."""
    count = len(lengths)
    if zero == count:
        return []
    low, high = int(lengths[zero]), int(lengths[-1])
    if count - zero <= POINTS:
        points = np.unique(lengths[zero:])
    else:
        spaced = np.geomspace(low, high, POINTS).astype(np.int64)
        points = np.unique(np.concatenate([[low], spaced, [high]]))
    longer = count - np.searchsorted(lengths, points, "right")
    return [(int(x), int(n) / count) for x, n in zip(points, longer, strict=True)]
