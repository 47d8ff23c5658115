"""How often a polled venue was asked, and what can be said of what was missed; pure.

A polled book has no sequence numbers: between two polls states may come and go unseen. So each
second of polling is written down (EntryKind.POLLS), and what was missed is *estimated* from that.
"""

import math
from collections.abc import Iterable, Mapping

import msgspec

_FINE = 3  # bits below the leading one: 8 buckets an octave, each at most 12.5 % wide


class PollCounts(msgspec.Struct, omit_defaults=True):
    """What came of the polls of one symbol in one interval.

    polls = changed + unchanged + errors. `empty` of them had no rows; `stored` images are the
    changed ones and the keyframes. `calls` and `gaps` count nanoseconds by `bucket_of`: how long a
    call took, and from the beginning of a poll to that of the next; polls that failed saw nothing
    and are not among those. `after_one` of the changes were seen by the poll next to the one that
    had seen a change, `after_two` by the one after that. `gap_end_ns` is where the longest gap
    ended; 0 for one that is not remarkable, or when nobody knows.
    """

    symbol: str
    polls: int = 0
    changed: int = 0
    unchanged: int = 0
    stored: int = 0
    empty: int = 0
    errors: dict[str, int] = {}
    rows_min: int = 0
    rows_max: int = 0
    calls: dict[int, int] = {}
    gaps: dict[int, int] = {}
    call_max_ns: int = 0
    gap_max_ns: int = 0
    after_one: int = 0
    after_two: int = 0
    gap_end_ns: int = 0


class Polls(msgspec.Struct, omit_defaults=True):
    """The JSON of a POLLS entry: one interval of a feed, in wall time.

    `late` counts passes that began after their time; `connected` is the terminal's own link to its
    trade server, `ping_us` how far that is; `interval_ns` how often it is meant to poll (0: as
    fast as possible). `cursors` are (newest millisecond, how many of it) by symbol with ticks.
    """

    from_ns: int
    to_ns: int
    interval_ns: int = 0
    late: int = 0
    connected: bool = True
    ping_us: int = 0
    books: list[PollCounts] = []
    ticks: dict[str, int] = {}
    cursors: dict[str, tuple[int, int]] = {}


def bucket_of(ns: int) -> int:
    """The bucket of a length of time, log-linear."""
    if ns < 1 << _FINE:
        return max(ns, 0)
    octave = ns.bit_length() - _FINE - 1
    return (octave << _FINE) + (ns >> octave)


def bucket_ns(bucket: int) -> int:
    """The middle of a bucket, in nanoseconds."""
    if bucket < 1 << _FINE:
        return bucket
    octave = (bucket >> _FINE) - 1
    low = (bucket - (octave << _FINE)) << octave
    return low + (1 << octave) // 2


def quantile_ns(buckets: Mapping[int, int], share: float) -> int | None:
    """The length of time that `share` of all do not exceed, to a bucket's width; None for none."""
    total = sum(buckets.values())
    left = math.ceil(total * share)
    for bucket in sorted(buckets):
        left -= buckets[bucket]
        if left <= 0:
            return bucket_ns(bucket)
    return None


CHANGE_RATIO_MAX = 0.8
"""Beyond it nothing can be said of what was missed: nearly every poll sees a change."""


_CHAIN = 20  # of fewer changes a share says little
_ROUNDS = 20  # far more than it takes for three digits
_LATE_MAX = 0.5  # where most polls are late, there is no usual pace


def missed_estimate(polls: int, changed: int, after_one: int, after_two: int) -> float | None:
    """States that were probably missed beside `changed` seen ones; None when none can tell.

    The polls next to a change say how soon the next one follows: a share h1 of changes is seen one
    poll later, a share h2 of the others two polls later. Continued to the poll that saw the change
    itself, that gives the share h0 of changes which follow within one interval and are not seen:
    h0 = h1 - 2/3 (h2 - h1), and -ln(1-h0)/h0 - 1 missed ones for each seen. Changes at random give
    h1 = h2, regular ones h1 = 0. Measured over both and a real book: while `changed` / `polls` is
    at most 0.5, within 0.05 for each seen one of the truth (tests/test_polls.py). Of changes that
    come in bursts it tells about half.
    """
    if not changed or not polls:
        return 0.0
    # A book that stood still for long has few changes for its polls, however many it then missed.
    is_chain = changed >= _CHAIN and after_one / changed > CHANGE_RATIO_MAX
    if is_chain or changed / polls > CHANGE_RATIO_MAX:
        return None
    return changed * (_states_per_seen(_soon_share(changed, after_one, after_two)) - 1)


def _soon_share(changed: int, after_one: int, after_two: int, late: float = 0.0) -> float:
    """h0 of `missed_estimate`; a share `late` of the polls saw a change for being late alone."""
    one = after_one / changed
    two = after_two / max(changed - after_one, 1)
    one, two = (max(each - late, 0.0) / (1 - late) for each in (one, two))
    return min(max(one - (two - one) * 2 / 3, 0.0), 1 - 0.5 / changed)


def _states_per_seen(share: float) -> float:
    return -math.log1p(-share) / share if share > 0 else 1.0


class PollTotals(msgspec.Struct):
    """Sums over intervals of one symbol.

    `pauses` are those of the `gaps` that were more than twice as long as was usual when they came;
    `usual_ns` is what is usual now.
    """

    symbol: str
    polls: int = 0
    changed: int = 0
    unchanged: int = 0
    stored: int = 0
    empty: int = 0
    errors: dict[str, int] = {}
    calls: dict[int, int] = {}
    gaps: dict[int, int] = {}
    call_max_ns: int = 0
    gap_max_ns: int = 0
    after_one: int = 0
    after_two: int = 0
    pauses: dict[int, int] = {}
    usual_ns: int = 0

    @property
    def missed(self) -> float | None:
        """What was probably missed; None when it was polled too seldom to tell."""
        usual = missed_estimate(self.polls, self.changed, self.after_one, self.after_two)
        if not usual and not self.changed:
            return usual
        return None if usual is None else self._with_pauses(usual)

    def _with_pauses(self, usual: float) -> float:
        """`usual` is true for all polls but those after a long pause.

        The others give the rate of changes, and it holds in the pauses, too. How many of those
        ended with a change seen follows from the rate, which follows from that: so it is repeated.
        """
        pauses = [(bucket_ns(bucket), count) for bucket, count in self.pauses.items()]
        usual_ns = quantile_ns(self.gaps, 0.5) or 0
        total_ns = sum(bucket_ns(bucket) * count for bucket, count in self.gaps.items())
        steady_ns = total_ns - sum(ns * count for ns, count in pauses)
        if not pauses or steady_ns <= 0:
            return usual
        rate, late = (self.changed + usual) / total_ns, 0.0
        for _ in range(_ROUNDS):
            soon = _soon_share(self.changed, self.after_one, self.after_two, late)
            # Between changes on a beat (0) and changes at random (1).
            random = min(soon / -math.expm1(-rate * usual_ns), 1.0)
            seen = sum(
                count * (random * -math.expm1(-rate * ns) + (1 - random) * min(1.0, rate * ns))
                for ns, count in pauses
            )
            late = min(seen / self.polls, _LATE_MAX)
            rate = max(self.changed - seen, 0.0) * _states_per_seen(soon) / steady_ns
            if not rate:
                break
        return max(rate * total_ns - self.changed, 0.0)

    def add(self, counts: PollCounts) -> None:
        """Take one interval."""
        self.polls += counts.polls
        self.changed += counts.changed
        self.unchanged += counts.unchanged
        self.stored += counts.stored
        self.empty += counts.empty
        self.call_max_ns = max(self.call_max_ns, counts.call_max_ns)
        self.gap_max_ns = max(self.gap_max_ns, counts.gap_max_ns)
        self.after_one += counts.after_one
        self.after_two += counts.after_two
        add_counts(self.errors, counts.errors.items())
        add_counts(self.calls, counts.calls.items())
        add_counts(self.gaps, counts.gaps.items())
        self._see_pauses(counts.gaps)

    def _see_pauses(self, gaps: Mapping[int, int]) -> None:
        """The pace may change, but no more than to twice as slow from one interval to the next."""
        median_ns = quantile_ns(gaps, 0.5)
        if median_ns is None:
            return
        self.usual_ns = min(median_ns, 2 * self.usual_ns) if self.usual_ns else median_ns
        long = {b: count for b, count in gaps.items() if bucket_ns(b) > 2 * self.usual_ns}
        add_counts(self.pauses, long.items())

    def to_json(self) -> dict[str, object]:
        """For the certificate: times in microseconds, `change_ratio` = changed / polls."""
        return {
            "polls": self.polls,
            "changed": self.changed,
            "unchanged": self.unchanged,
            "stored": self.stored,
            "empty": self.empty,
            "errors": self.errors,
            "change_ratio": self.changed / self.polls if self.polls else 0.0,
            "missed_estimate": None if self.missed is None else round(self.missed, 1),
            "gap_us": _summary(self.gaps, self.gap_max_ns),
            "call_us": _summary(self.calls, self.call_max_ns),
        }


def add_counts(into: dict[int, int] | dict[str, int], counts: Iterable[tuple[object, int]]) -> None:
    """Add counts by key."""
    for key, count in counts:
        into[key] = into.get(key, 0) + count  # type: ignore[index,call-overload]


def _summary(buckets: Mapping[int, int], max_ns: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
        ns = quantile_ns(buckets, share)
        found[name] = None if ns is None else min(ns, max_ns) / 1_000
    found["max"] = max_ns / 1_000 if buckets else None
    return found
