"""Log-linear histogram (the HDR scheme): 32 buckets per power of two, so at most 3.2 % wide.

A value is never dropped or moved to another bucket: 64-bit nanoseconds all fit, and the maximum is
exact.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

_HALF_BITS: Final = 5
_HALF: Final = 1 << _HALF_BITS
# Below 64 a bucket is one value wide; 63-bit values have a shift of 57, and 57 * 32 + 63 is the
# last.
BUCKETS: Final = 57 * _HALF + 2 * _HALF


def bucket_of(values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bucket of each value, 0 to BUCKETS - 1; values are not negative."""
    # The float's exponent may be one too high just below a power of two above 2**53; the value then
    # has 31 in place of 63 and a shift one greater, which is the same bucket.
    exponents = np.frexp(values.astype(np.float64))[1].astype(np.int64)
    shifts = np.clip(exponents - _HALF_BITS - 1, 0, 57)
    buckets: npt.NDArray[np.int64] = shifts * _HALF + (values >> shifts)
    return buckets


def bucket_bounds_ns(bucket: int) -> tuple[int, int]:
    """Least and greatest value of a bucket."""
    shift = max(0, (bucket >> _HALF_BITS) - 1)
    least = (bucket - shift * _HALF) << shift
    return least, least + (1 << shift) - 1


class Histogram:
    """Counts per bucket; values are nanoseconds, not negative."""

    __slots__ = ("count", "counts", "max_ns")

    def __init__(self) -> None:
        self.counts = np.zeros(BUCKETS, dtype=np.int64)
        self.count = 0
        self.max_ns = 0

    def record(
        self, values_ns: npt.NDArray[np.int64], weights: npt.NDArray[np.int64] | None = None
    ) -> None:
        """Add values, each `weights` times (once when None).

        Raises:
            ValueError: a value or a weight is negative.
        """
        if weights is None:
            weights = np.ones(len(values_ns), dtype=np.int64)
        if np.any(values_ns < 0) or np.any(weights < 0):
            raise ValueError("a histogram takes neither negative values nor negative weights")
        present = weights > 0
        values_ns, weights = values_ns[present], weights[present]
        if len(values_ns) == 0:
            return
        np.add.at(self.counts, bucket_of(values_ns), weights)
        self.count += int(weights.sum())
        self.max_ns = max(self.max_ns, int(values_ns.max()))

    def merge(self, other: "Histogram") -> None:
        """Add all that `other` counted."""
        self.counts += other.counts
        self.count += other.count
        self.max_ns = max(self.max_ns, other.max_ns)

    def percentile_ns(self, percent: float) -> float | None:
        """The least value with at least `percent` of the counts at or below it; None when empty.

        The middle of its bucket, at most 1.6 % off, and never above the exact maximum.
        """
        if self.count == 0:
            return None
        # Rounded first: 99.9 % of 1,000 is the 999th, which the float product misses by an ulp.
        rank = max(1, int(np.ceil(round(percent / 100 * self.count, 6))))
        bucket = int(np.searchsorted(np.cumsum(self.counts), rank))
        least, greatest = bucket_bounds_ns(bucket)
        return min((least + greatest) / 2, float(self.max_ns))

    def to_dict(self, unit_ns: int = 1) -> dict[str, float | int | None]:
        """p50, p99, p999 and max in units of `unit_ns` (None when empty), and the count."""
        percentiles = {"p50": 50.0, "p99": 99.0, "p999": 99.9}
        values = {name: self.percentile_ns(percent) for name, percent in percentiles.items()}
        result: dict[str, float | int | None] = {
            name: None if value is None else value / unit_ns for name, value in values.items()
        }
        result["max"] = self.max_ns / unit_ns if self.count else None
        result["count"] = self.count
        return result
