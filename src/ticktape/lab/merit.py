"""The figures by which layouts are compared, each with what its own cell leaves open.

Times and rates are compared by their ratio, shares of missed states too; losses on kill by their
difference, for they are often nought. Averages over repeats and thresholds are geometric, so that
the ratio of two of them is the ratio that is shown.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from ticktape.lab.bootstrap import DRAWS, Floats, Interval, Place, Sample, compare, generator
from ticktape.lab.lineup import Entry, Lineup, loss_on_kill
from ticktape.lab.results import CellResult, Gaps, Threshold
from ticktape.lab.wording import duration, rate, ratio, share

_HALF = 0.5  # Jeffreys' prior of a count: none seen is not none possible


@dataclass(frozen=True)
class Measure:
    """One figure of a cell; `values` are logarithms of it and draws of what it might as well be."""

    name: str
    has: Callable[[CellResult], bool]
    sample: Callable[[CellResult, np.random.Generator], Sample]
    text: Callable[[float], str]
    sentence: str  # with {} for the figure


def _missed(cell: CellResult, random: np.random.Generator) -> Sample:
    assert cell.missed is not None
    true, missed = cell.missed.true, cell.missed.missed
    draws = np.log(random.gamma(missed + _HALF, size=DRAWS) / (true + 1))
    return Sample(math.log((missed + _HALF) / (true + 1)), draws)


def _p999(cell: CellResult, random: np.random.Generator) -> Sample:
    gaps = cell.gaps
    # How many of so many gaps are longer than the true p99.9 is itself a matter of chance.
    longer = random.gamma(gaps.count * 0.001 + _HALF, size=DRAWS) / gaps.count
    return Sample(math.log(max(1, gaps.p999)), np.log(np.maximum(1, _gap_at(gaps, longer))))


def _gap_at(gaps: Gaps, longer: Floats) -> Floats:
    """The gaps that these shares of all are longer than, between the points of the CCDF."""
    points = sorted({gap: tail for gap, tail in gaps.ccdf if tail > 0}.items())
    if not points:
        return np.full(len(longer), float(gaps.p999))
    lengths = np.array([math.log(max(1, gap)) for gap, _ in points] + [math.log(max(1, gaps.max))])
    tails = np.array([math.log(tail) for _, tail in points] + [math.log(_HALF / gaps.count)])
    drawn: Floats = np.exp(np.interp(-np.log(longer), -tails, lengths))
    return drawn


def _rate(cell: CellResult, random: np.random.Generator) -> Sample:
    point = math.log(cell.captures_per_s)
    return Sample(point, np.full(DRAWS, point))


MISSED = Measure(
    "missed states",
    lambda cell: cell.missed is not None and cell.missed.true > 0,
    _missed,
    share,
    "misses {} of the states",
)
GAP = Measure(
    "p99.9 gap",
    lambda cell: cell.gaps.count > 0,
    _p999,
    duration,
    "has a p99.9 gap of {}",
)
RATE = Measure(
    "captures/s",
    lambda cell: cell.captures_per_s > 0,
    _rate,
    rate,
    "takes {}",
)


def samples(measure: Measure, entries: Iterable[Entry], seed: int) -> dict[Place, Sample]:
    """The figure in each cell that was left alone and has it."""
    found = {}
    for cell in (cell for entry in entries for cell in entry.cells):
        if measure.has(cell):
            random = generator(seed, measure.name, cell.key.name)
            place = (cell.key.threshold.name, cell.key.repeat)
            found[place] = measure.sample(cell, random)
    return found


def figure(measure: Measure, entries: list[Entry]) -> float | None:
    """The average of a figure: thresholds weigh the same; None when no cell has it."""
    if measure is MISSED and not any(
        cell.missed and cell.missed.missed for entry in entries for cell in entry.cells
    ):
        return 0.0 if samples(measure, entries, 0) else None
    means: dict[str, list[float]] = {}
    for (threshold, _), sample in samples(measure, entries, 0).items():
        means.setdefault(threshold, []).append(sample.point)
    if not means:
        return None
    return math.exp(np.mean([np.mean(points) for points in means.values()]))


def compared(
    measure: Measure, first: list[Entry], second: list[Entry], seed: int
) -> Interval | None:
    """The ratio's logarithm, `first` to `second`."""
    random = generator(seed, measure.name, first[0].layout, second[0].layout)
    return compare(samples(measure, first, seed), samples(measure, second, seed), random)


def compared_thresholds(measure: Measure, first: Entry, second: Entry, seed: int) -> Interval:
    """The same of one layout at two thresholds, repeat by repeat."""
    low, high = (
        {("", repeat): sample for (_, repeat), sample in samples(measure, [entry], seed).items()}
        for entry in (first, second)
    )
    random = generator(seed, measure.name, first.threshold.name, second.threshold.name)
    return compare(low, high, random) or Interval(0.0)


def kill_losses(entries: Iterable[Entry]) -> dict[Place, Sample]:
    """The loss of the victim that cost most, by threshold and repeat."""
    worst: dict[Place, float] = {}
    for kill in (kill for entry in entries for kill in entry.kills if kill.at_kill):
        place = (kill.key.threshold.name, kill.key.repeat)
        worst[place] = max(worst.get(place, 0.0), loss_on_kill(kill))
    return {place: Sample(loss, np.full(DRAWS, loss)) for place, loss in worst.items()}


def compared_losses(first: list[Entry], second: list[Entry], seed: int) -> Interval | None:
    """Loss on kill of `first` less that of `second`, as shares."""
    random = generator(seed, "kill", first[0].layout, second[0].layout)
    return compare(kill_losses(first), kill_losses(second), random)


def worst_kill(entries: Iterable[Entry]) -> CellResult | None:
    """The costliest kill at any of the thresholds."""
    found = [entry.worst_kill for entry in entries]
    return max((kill for kill in found if kill), key=loss_on_kill, default=None)


def primary(lineup: Lineup, layouts: Iterable[str], thresholds: list[Threshold]) -> Measure:
    """What decides among layouts: missed states where all of them have a truth, or the gap."""
    cells = [
        cell
        for layout in layouts
        for entry in lineup.across(layout, thresholds)
        for cell in entry.cells
    ]
    return MISSED if cells and all(map(MISSED.has, cells)) else GAP


def ratio_text(apart: Interval | None) -> str:
    """`ratio 0.52, 95 % 0.45 to 0.60`, of a difference of logarithms."""
    if apart is None:
        return "no repeat in common, so no ratio"
    times = apart.to_ratio()
    if times.low is None or times.high is None:
        return f"ratio {ratio(times.middle)}; one repeat, so no interval"
    return f"ratio {ratio(times.middle)}, 95 % {ratio(times.low)} to {ratio(times.high)}"
