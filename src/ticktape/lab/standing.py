"""Where `journal` stands against the five layouts of the notebook; pure."""

import msgspec

from ticktape.lab.bootstrap import Interval
from ticktape.lab.lineup import JOURNAL, Entry, Lineup, faults_of, loss_on_kill
from ticktape.lab.merit import (
    GAP,
    MISSED,
    RATE,
    Measure,
    compared,
    figure,
    primary,
    ratio_text,
    worst_kill,
)
from ticktape.lab.results import NOTEBOOK_LAYOUTS, Threshold
from ticktape.lab.wording import UNKNOWN, listed, ordinal, share

MEASURES = (GAP, MISSED, RATE)
_KILL = "loss on kill"


class Standing(msgspec.Struct):
    """One layout over all thresholds at which it and journal were run.

    `figures` are by measure: p99.9 gap in ns, missed states and loss on kill as shares, captures/s.
    `ratios` are those of journal's figure to this layout's, None where one is not known.
    """

    layout: str
    thresholds: list[str]
    is_safe: bool
    faults: list[str]
    figures: dict[str, float | None]
    ratios: dict[str, Interval | None]
    victim: str = ""


def stand(lineup: Lineup, thresholds: list[Threshold] | None = None) -> list[Standing]:
    """Journal first, then the five; without what was not run. [] without journal."""
    asked = lineup.thresholds if thresholds is None else thresholds
    found = []
    for layout in (JOURNAL, *NOTEBOOK_LAYOUTS):
        both = [
            threshold
            for threshold in asked
            if lineup.at(layout, threshold).cells and lineup.at(JOURNAL, threshold).cells
        ]
        if both:
            found.append(_standing(lineup, layout, both))
    return found


def _standing(lineup: Lineup, layout: str, thresholds: list[Threshold]) -> Standing:
    entries = lineup.across(layout, thresholds)
    ours = lineup.across(JOURNAL, thresholds)
    kill = worst_kill(entries)
    return Standing(
        layout,
        [threshold.name for threshold in thresholds],
        all(entry.is_safe for entry in entries),
        faults_of(cell for entry in entries for cell in entry.cells),
        {
            **{measure.name: figure(measure, entries) for measure in MEASURES},
            _KILL: None if kill is None else loss_on_kill(kill),
        },
        {measure.name: _ratio(measure, ours, entries, lineup.plan.seed) for measure in MEASURES},
        "" if kill is None else kill.key.victim,
    )


def _ratio(measure: Measure, ours: list[Entry], theirs: list[Entry], seed: int) -> Interval | None:
    if ours[0].layout == theirs[0].layout:
        return None
    apart = compared(measure, ours, theirs, seed)
    return apart and apart.to_ratio()


def journal_words(
    lineup: Lineup, standings: list[Standing], safe: list[str], tied: list[str]
) -> str:
    """Journal's places among the six, and what it lacks to be the best of the safe ones."""
    if not standings:
        return ""
    places = [
        f"{_place(standings, name, lower_is_better=lower)} on {name}"
        for name, lower in (
            (GAP.name, True),
            (MISSED.name, True),
            (_KILL, True),
            (RATE.name, False),
        )
        if sum(row.figures[name] is not None for row in standings) > 1
        and standings[0].figures[name] is not None
    ]
    words = f"{_behind(lineup, standings[0], safe, tied)}."
    if not places:
        return words
    return f"{words} Against the notebook's layouts it is {listed(places)}."


def _place(standings: list[Standing], name: str, *, lower_is_better: bool) -> str:
    known = [value for row in standings if (value := row.figures[name]) is not None]
    own = standings[0].figures[name]
    assert own is not None
    better = [value for value in known if (value < own if lower_is_better else value > own)]
    level = known.count(own) > 1
    return f"{'level ' if level else ''}{ordinal(len(better) + 1)} of {len(known)}"


def _behind(lineup: Lineup, own: Standing, safe: list[str], tied: list[str]) -> str:
    if JOURNAL not in safe:
        if own.faults:
            return f"{JOURNAL} is not safe: {listed(own.faults)}"
        return f"{JOURNAL} has not been run at every threshold"
    if safe[0] == JOURNAL:
        return f"{JOURNAL} is {'among ' if len(tied) > 1 else ''}the best of the safe layouts"
    best = safe[0]
    measure = primary(lineup, safe, lineup.thresholds)
    ours, theirs = (lineup.across(name, lineup.thresholds) for name in (JOURNAL, best))
    values = figure(measure, ours), figure(measure, theirs)
    assert values[0] is not None
    assert values[1] is not None
    apart = ratio_text(compared(measure, ours, theirs, lineup.plan.seed))
    told = (
        f"is not told apart from {best}"
        if JOURNAL in tied
        else f"is safe, but not the best: {best} is ahead"
    )
    return (
        f"{JOURNAL} {told}: it {measure.sentence.format(measure.text(values[0]))} against "
        f"{measure.text(values[1])} ({apart})"
    )


def kill_text(row: Standing) -> str:
    """Loss on kill with its victim."""
    lost = row.figures[_KILL]
    if lost is None:
        return UNKNOWN
    return f"{share(lost)} ({row.victim})" if lost else share(lost)
