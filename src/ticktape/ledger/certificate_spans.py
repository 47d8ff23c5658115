"""Stretches of time as sorted lists of [from_ns, to_ns): what of the asked time is which share.

Pure, whole nanoseconds, so that the parts always add up to the whole.
"""

from collections.abc import Iterable
from typing import NamedTuple

Spans = tuple[tuple[int, int], ...]
"""Stretches in order, none empty, none touching another."""


def union(*parts: Iterable[tuple[int, int]]) -> Spans:
    """All that lies in any of the parts, which may be in any order."""
    found: list[tuple[int, int]] = []
    for from_ns, to_ns in sorted(span for part in parts for span in part):
        if to_ns <= from_ns:
            continue
        if found and from_ns <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], to_ns))
        else:
            found.append((from_ns, to_ns))
    return tuple(found)


def overlap(one: Spans, other: Spans) -> Spans:
    """What lies in both."""
    found = []
    at = 0
    for from_ns, to_ns in one:
        while at < len(other) and other[at][1] <= from_ns:
            at += 1
        here = at
        while here < len(other) and other[here][0] < to_ns:
            found.append((max(from_ns, other[here][0]), min(to_ns, other[here][1])))
            here += 1
    return tuple(found)


def without(one: Spans, other: Spans) -> Spans:
    """What lies in the first and not in the second."""
    found = []
    for from_ns, to_ns in one:
        for begin_ns, end_ns in overlap(((from_ns, to_ns),), other):
            if begin_ns > from_ns:
                found.append((from_ns, begin_ns))
            from_ns = end_ns
        if to_ns > from_ns:
            found.append((from_ns, to_ns))
    return tuple(found)


def length_ns(spans: Spans) -> int:
    """Sum of their lengths."""
    return sum(to_ns - from_ns for from_ns, to_ns in spans)


class Shares(NamedTuple):
    """The asked time of one channel of one symbol, each instant in exactly one of these.

    `verified`: we were there, and REST was compared for it. `healed`: we were not, and REST gave
    it. `unverifiable`: we were there; a feed without sequence numbers says no more. `suspect`: a
    suspicion that is not yet compared, or a damaged stretch of the journal. `missing`: a gap that
    stands open or that nobody can heal.
    """

    verified: Spans = ()
    healed: Spans = ()
    unverifiable: Spans = ()
    suspect: Spans = ()
    missing: Spans = ()

    @property
    def asked_ns(self) -> int:
        """All of it."""
        return sum(length_ns(spans) for spans in self)


def share_out(
    covered: Spans, missing: Spans, healed: Spans, suspect: Spans, asked: Spans
) -> Shares:
    """Give each instant to one share; what was asked for is what was covered, missing or healed.

    Args:
        covered: subscribed and connected.
        missing: gaps that stand open.
        healed: gaps that REST filled.
        suspect: where something may be missing.
        asked: where REST was asked to the end, though it was no gap.
    """
    filled = without(healed, missing)
    # What was dropped lies in covered time: a gap takes precedence over our having been there.
    there = without(without(covered, missing), filled)
    verified = overlap(there, asked)
    doubtful = overlap(without(there, verified), suspect)
    rest = without(without(there, verified), doubtful)
    return Shares(verified, filled, rest, doubtful, missing)


def of_totals(totals: dict[str, int]) -> dict[str, float]:
    """Shares of the whole by name, from nanoseconds by name; all 0 when nothing was asked for."""
    whole = sum(totals.values())
    return {name: ns / whole if whole else 0.0 for name, ns in totals.items()}
