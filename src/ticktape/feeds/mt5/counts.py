"""Counts of one symbol's polls while an interval lasts; cheap, for it is counted at every poll."""

from array import array

import numpy as np

from ticktape.polls import PollCounts, bucket_of


class SymbolPolls:
    """Collects polls of one symbol; `take` gives them away and begins anew.

    The poller adds to `calls` and `gaps` (nanoseconds) and to the counters itself: a call for each
    poll would cost as much as all of the counting. `gap_end_ns` is where a very long gap ended
    (monotonic).
    """

    __slots__ = (
        "after_one",
        "after_two",
        "calls",
        "changed",
        "empty",
        "errors",
        "gap_end_ns",
        "gaps",
        "rows_max",
        "rows_min",
        "stored",
        "symbol",
        "unchanged",
    )

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol
        self._clear()

    def _clear(self) -> None:
        self.changed = self.unchanged = self.stored = self.empty = 0
        self.after_one = self.after_two = 0
        self.rows_min, self.rows_max = -1, 0
        self.gap_end_ns = 0
        self.errors: dict[str, int] = {}
        self.calls = array("q")
        self.gaps = array("q")

    def take(self) -> PollCounts:
        """What came since the last time."""
        counts = PollCounts(
            self.symbol,
            len(self.calls),
            self.changed,
            self.unchanged,
            self.stored,
            self.empty,
            self.errors,
            max(self.rows_min, 0),
            self.rows_max,
            buckets(self.calls),
            buckets(self.gaps),
            max(self.calls, default=0),
            max(self.gaps, default=0),
            self.after_one,
            self.after_two,
            self.gap_end_ns,
        )
        self._clear()
        return counts


def buckets(lengths_ns: "array[int]") -> dict[int, int]:
    """How many lengths fall into each bucket of `polls.bucket_of`."""
    if not lengths_ns:
        return {}
    # An octave and the three bits below its leading one: what `bucket_of` does, for all at once.
    lengths = np.maximum(np.frombuffer(lengths_ns, np.int64), 0)
    octave = np.maximum(np.frexp(lengths.astype(np.float64))[1] - 4, 0)
    found, counts = np.unique((octave << 3) + (lengths >> octave), return_counts=True)
    return {int(each): int(count) for each, count in zip(found, counts, strict=True)}


assert bucket_of(1_000_000) in buckets(array("q", [1_000_000]))
