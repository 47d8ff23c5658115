"""Rate, lag and latency of each stage over time, from the stages' rows; pure.

A point in time is given out once, when it can change no more: stages hand their rows on up to a
second late, and what is drawn shall be true.
"""

from typing import Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

SECONDS_MAX: Final = 900
FINAL_S: Final = 2  # rows reach their file within 0.3 s of the stage's doing
LATENCY_S: Final = 5
_RECENT: Final = 3  # spans of LATENCY_S that "now" is made of

Ints = npt.NDArray[np.int64]


class Rows(NamedTuple):
    """Rows of a stage as columns: the second of each, its entries, its epoch, its end."""

    seconds: Ints
    entries: Ints
    epochs: Ints
    ends: Ints


class _Counts:
    """Entries per second, and where a stage stood at the end of each second, of one feed."""

    def __init__(self) -> None:
        self.entries: dict[int, int] = {}
        self.ends: dict[int, tuple[int, int]] = {}
        self.end: tuple[int, int] | None = None


class Percentiles(msgspec.Struct, frozen=True, array_like=True):
    """In µs, of `count` entries."""

    p50: float
    p99: float
    p999: float
    max: float
    count: int


class Timeline:
    """Collects rows of all feeds; seconds are whole ones of UTC.

    Args:
        stages: in the order in which they are shown; the first one is that whose end the others
            are behind of.
    """

    def __init__(self, stages: tuple[str, ...]) -> None:
        self.stages = list(stages)
        self._counts: dict[tuple[str, str], _Counts] = {}
        self._latency: dict[str, dict[int, list[tuple[Ints, Ints]]]] = {}
        self._next_s: int | None = None  # of the earliest row, then of the next point
        self._next_span: int | None = None
        self._given_s: int | None = None
        self._given_span: int | None = None

    def add_rows(self, stage: str, feed: str, rows: Rows) -> None:
        """Rows of one stage and feed, in their order."""
        self._know(stage)
        if not len(rows.seconds):
            return
        counts = self._counts.setdefault((stage, feed), _Counts())
        seconds, firsts = np.unique(rows.seconds, return_index=True)
        for second, first in zip(seconds.tolist(), firsts.tolist(), strict=True):
            there = rows.seconds == second
            counts.entries[second] = counts.entries.get(second, 0) + int(rows.entries[there].sum())
            last = first + int(np.count_nonzero(there)) - 1
            counts.ends[second] = int(rows.epochs[last]), int(rows.ends[last])
        self._next_s = _earlier(self._next_s, int(seconds[0]), self._given_s)

    def add_latency(self, stage: str, seconds: Ints, latency_ns: Ints, weights: Ints) -> None:
        """Latencies of sampled blocks since their socket read, each of so many entries."""
        self._know(stage)
        spans = self._latency.setdefault(stage, {})
        for span in np.unique(seconds // LATENCY_S).tolist():
            at = seconds // LATENCY_S == span
            spans.setdefault(span, []).append((latency_ns[at], weights[at]))
            self._next_span = _earlier(self._next_span, span, self._given_span)

    def _know(self, stage: str) -> None:
        if stage not in self.stages:
            self.stages.append(stage)

    # Giving out.

    def points(self, until_s: int) -> list[list[object]]:
        """`[second, [entries per stage], [bytes behind per stage]]` of seconds before `until_s`.

        Each once, in order; at most SECONDS_MAX of them.
        """
        if self._next_s is None or until_s <= self._next_s:
            return []
        begin = max(self._next_s, until_s - SECONDS_MAX)
        for counts in self._counts.values():
            for second in sorted(counts.ends):
                if second < begin:
                    counts.end = counts.ends.pop(second)
            counts.entries = {s: n for s, n in counts.entries.items() if s >= begin}
        self._next_s = self._given_s = until_s
        return [self._point(second) for second in range(begin, until_s)]

    def _point(self, second: int) -> list[object]:
        entries = dict.fromkeys(self.stages, 0)
        for (stage, _), counts in self._counts.items():
            entries[stage] += counts.entries.pop(second, 0)
            counts.end = counts.ends.pop(second, counts.end)
        behind = self.behind_bytes()
        return [second, list(entries.values()), [behind[stage] for stage in self.stages]]

    def behind_bytes(self) -> dict[str, int]:
        """How far each stage stood behind the first one at the newest second given out."""
        behind = dict.fromkeys(self.stages, 0)
        for (stage, feed), counts in self._counts.items():
            ahead = self._counts.get((self.stages[0], feed))
            if ahead is None or ahead.end is None or counts.end is None:
                continue
            # Of an earlier epoch: all of the present one, at least.
            reached = counts.end[1] if counts.end[0] == ahead.end[0] else 0
            if counts.end[0] <= ahead.end[0]:
                behind[stage] += max(0, ahead.end[1] - reached)
        return behind

    def latency_points(self, until_s: int) -> list[list[object]]:
        """`[second, {stage: [p50, p99, p999, max, count]}]` of spans that ended before `until_s`.

        Percentiles are of what reached the stage in the span, in µs. Each once, in order.
        """
        until = until_s // LATENCY_S
        if self._next_span is None or until <= self._next_span:
            return []
        begin = max(self._next_span, until - SECONDS_MAX // LATENCY_S)
        found: list[list[object]] = []
        for span in range(begin, until):
            of = {stage: percentiles(spans.get(span, [])) for stage, spans in self._latency.items()}
            shown = {stage: each for stage, each in of.items() if each is not None}
            if shown:
                found.append([span * LATENCY_S, shown])
        for spans in self._latency.values():
            for span in [each for each in spans if each < until - _RECENT]:
                del spans[span]
        self._next_span = self._given_span = until
        return found

    def recent_latency(self) -> dict[str, Percentiles]:
        """Percentiles per stage of the newest spans."""
        found = {}
        for stage, spans in self._latency.items():
            parts = [part for span in sorted(spans)[-_RECENT:] for part in spans[span]]
            one = percentiles(parts)
            if one is not None:
                found[stage] = one
        return found


def _earlier(begin: int | None, found: int, given: int | None) -> int:
    """Where the points begin: at the earliest of all feeds' rows, unless they were given out."""
    if given is not None:
        return given
    return found if begin is None else min(begin, found)


def percentiles(parts: list[tuple[Ints, Ints]]) -> Percentiles | None:
    """Percentiles of values with weights; None when there is none."""
    if not parts:
        return None
    values = np.concatenate([part[0] for part in parts])
    weights = np.concatenate([part[1] for part in parts])
    order = np.argsort(values)
    values, ranks = values[order], np.cumsum(weights[order])
    total = int(ranks[-1]) if len(ranks) else 0
    if not total:
        return None
    at = [int(np.searchsorted(ranks, share * total)) for share in (0.5, 0.99, 0.999)]
    p50, p99, p999 = (float(values[min(one, len(values) - 1)]) / 1000 for one in at)
    return Percentiles(p50, p99, p999, float(values[-1]) / 1000, total)
