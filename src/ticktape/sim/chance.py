"""What made-up tapes are made of: whole numbers, times and choices from a seed.

The same seed gives the same for ever: all chance comes from PCG64's raw stream, which is fixed by
NumPy's policy.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.sim.tape import Ints


class Chance:
    """Whole numbers from a seed; another `stream` of the same seed has others."""

    def __init__(self, seed: int, stream: int = 0) -> None:
        self._bits = np.random.PCG64([seed, stream] if stream else seed)

    def below(self, limit: int, count: int) -> Ints:
        """Return `count` numbers from 0 to `limit` - 1."""
        raw = self._bits.random_raw(count).astype(np.uint64) >> np.uint64(11)
        return (raw % np.uint64(limit)).astype(np.int64)

    def times(self, count: int, per_s: float, start_ns: int) -> Ints:
        """Return times that never fall, in the mean `per_s` of them a second."""
        mean_ns = max(1, int(NS_PER_S / per_s))
        times = start_ns + np.cumsum(self.below(2 * mean_ns, count))
        # Some clocks are coarse: their fractions of a second end in zeros, which the wire trims.
        # The first event in a unit of time can be put at its beginning without passing the one
        # before it.
        for unit, every in ((1000, 3), (1_000_000, 3), (NS_PER_S, 1)):
            units = times // unit
            coarse = (np.diff(units, prepend=-1) != 0) & (units % every == 0)
            times[coarse] = units[coarse] * unit
        # And some events share a nanosecond.
        times[13::17] = times[12:-1:17]
        return times


def pick(values: Sequence[str], places: Ints) -> "pa.Array[Any]":
    """Return the values at these places."""
    return pa.array(list(values), pa.string()).take(pa.array(places, pa.int64()))


def made_up(count: int) -> tuple[str, ...]:
    """Return `count` symbols of four letters that sort in their order."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return tuple(
        "Z" + letters[n // 676 % 26] + letters[n // 26 % 26] + letters[n % 26] for n in range(count)
    )
