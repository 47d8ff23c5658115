"""The fastest layout that is safe, by how much, or no difference: in sentences; pure.

"Fastest" is decided by one figure: the share of the market's states that no saved capture shows,
or, where there is no truth to count them by, the p99.9 gap. Layouts whose interval against the
leader holds "no difference" are not told apart, and without repeats the sentence says so.
"""

import msgspec

from ticktape.lab.bootstrap import Interval
from ticktape.lab.lineup import JOURNAL, JOURNAL_X2, Entry, Lineup, faults_of, loss_on_kill
from ticktape.lab.merit import (
    GAP,
    MISSED,
    Measure,
    compared,
    compared_losses,
    compared_thresholds,
    figure,
    primary,
    ratio_text,
    worst_kill,
)
from ticktape.lab.results import CellResult, Plan, Threshold
from ticktape.lab.standing import Standing, journal_words, stand
from ticktape.lab.wording import listed, share

_ALIKE = 0.005  # of losses on kill that were seen once: closer than half a per cent is the same


class Ranking(msgspec.Struct):
    """Who is safe at one threshold, or at all of them, and the sentence on who is fastest.

    `safe` are from the best to the worst; `tied` are the leader and those not told apart from it.
    """

    thresholds: list[str]
    measure: str
    safe: list[str] = []
    tied: list[str] = []
    sentence: str = ""


class Verdict(msgspec.Struct):
    """All that a lab says in words; `partial` is "" when every cell is done."""

    overall: Ranking
    rankings: list[Ranking]
    best_threshold: str
    doubled: str
    journal: str
    standings: list[Standing]
    partial: str = ""

    @property
    def each(self) -> list[str]:
        """A sentence a threshold, when there are several."""
        return [ranking.sentence for ranking in self.rankings] if len(self.rankings) > 1 else []

    @property
    def sentences(self) -> list[str]:
        """All of it to be read in this order."""
        found = [
            self.partial,
            self.overall.sentence,
            self.best_threshold,
            self.doubled,
            self.journal,
            *self.each,
        ]
        return [sentence for sentence in found if sentence]


def judge(plan: Plan, results: list[CellResult]) -> Verdict:
    """What the cells that are done say."""
    lineup = Lineup(plan, results)
    overall = rank(lineup, lineup.thresholds)
    rankings = [rank(lineup, [threshold]) for threshold in lineup.thresholds]
    if not overall.safe and any(ranking.safe for ranking in rankings):
        overall.sentence = "No layout is safe at every threshold; at some there is one."
    standings = stand(lineup)
    return Verdict(
        overall,
        rankings,
        _best_threshold(lineup, overall),
        _doubled(lineup),
        journal_words(lineup, standings, overall.safe, overall.tied),
        standings,
        _partial(lineup),
    )


def _partial(lineup: Lineup) -> str:
    missing, planned = len(lineup.missing), len(lineup.plan.cells)
    if not missing:
        return ""
    return (
        f"Only {planned - missing} of {planned} cells are done; what follows is of them. "
        "`ticktape lab run --directory` with the same folder does the rest."
    )


def rank(lineup: Lineup, thresholds: list[Threshold]) -> Ranking:
    """Order the layouts that are safe at all of the thresholds, and say who leads."""
    names = [threshold.name for threshold in thresholds]
    where = f"at {names[0]}" if len(names) == 1 else f"at every threshold ({listed(names)})"
    entries = {layout: lineup.across(layout, thresholds) for layout in lineup.layouts}
    judged = [name for name, found in entries.items() if all(entry.cells for entry in found)]
    safe = [name for name in judged if all(entry.is_safe for entry in entries[name])]
    measure = primary(lineup, safe, thresholds)
    figures = {name: figure(measure, entries[name]) for name in safe}
    known = {name: value for name, value in figures.items() if value is not None}
    safe = sorted(known, key=lambda name: known[name])
    ranking = Ranking(names, measure.name, safe)
    if not judged:
        ranking.sentence = f"Nothing to judge {where}: no layout has a cell that is done there."
    elif not safe:
        ranking.sentence = f"No layout is safe {where}."
    else:
        field = _Field(measure, where, {name: entries[name] for name in safe}, lineup.plan.seed)
        ranking.tied, ranking.sentence = field.words(safe)
    return ranking


class _Field:
    """The safe layouts at some thresholds, to be put into words."""

    def __init__(
        self, measure: Measure, where: str, entries: dict[str, list[Entry]], seed: int
    ) -> None:
        self._measure = measure
        self._where = where
        self._entries = entries
        self._seed = seed

    def words(self, order: list[str]) -> tuple[list[str], str]:
        """The leader and who is not told apart from it; the sentence."""
        best, rest = order[0], order[1:]
        if not rest:
            return order, (
                f"{best} is the only layout that is safe {self._where}: it {self._says(best)}"
                f"{self._kills([best])}."
            )
        apart = {
            name: compared(self._measure, self._entries[best], self._entries[name], self._seed)
            for name in rest
        }
        against = {
            name: f"{self._text(name)} for {name} ({ratio_text(apart[name])})" for name in rest
        }
        if not any(interval and interval.is_known for interval in apart.values()):
            return order, (
                f"{best} leads the layouts that are safe {self._where}, which may be chance: it "
                f"{self._says(best)} against {against[rest[0]]}{self._kills([best])}."
            )
        equal = [name for name in rest if not _is_ahead(apart[name])]
        if not equal:
            return [best], (
                f"{best} is the fastest layout that is safe {self._where}: it {self._says(best)} "
                f"against {against[rest[0]]}{self._kills([best])}."
            )
        behind = [name for name in rest if name not in equal]
        head = "the fastest of the safe layouts" if behind else "the layouts that are safe"
        then = f"; behind them come {against[behind[0]]}" if behind else ""
        tied = [best, *equal]
        return tied, (
            f"No difference {self._where} between {head}: {listed(tied)} overlap. "
            f"{best} {self._says(best)} against {listed([against[name] for name in equal])}"
            f"{then}{self._kills(tied)}."
        )

    def _text(self, name: str) -> str:
        value = figure(self._measure, self._entries[name])
        assert value is not None  # who has no figure is not among the safe ones
        return self._measure.text(value)

    def _says(self, name: str) -> str:
        return self._measure.sentence.format(self._text(name))

    def _kills(self, names: list[str]) -> str:
        words = [kill_words(name, worst_kill(self._entries[name])) for name in names]
        return "".join(f"; {each}" for each in words if each)


def _is_ahead(apart: Interval | None) -> bool:
    return apart is not None and apart.is_below


def kill_words(layout: str, worst: CellResult | None) -> str:
    """What a layout loses at worst when one of its processes is killed."""
    if worst is None:
        return ""
    lost = loss_on_kill(worst)
    if not lost:
        return f"killed, {layout} loses nothing"
    where = f"{worst.key.victim} at {worst.key.threshold.name}"
    return f"killed, {layout} loses up to {share(lost)} ({where})"


def _best_threshold(lineup: Lineup, overall: Ranking) -> str:
    """At which threshold the leader is at its best."""
    if len(lineup.thresholds) < 2 or not overall.safe:
        return ""
    leader = overall.safe[0]
    measure = MISSED if overall.measure == MISSED.name else GAP
    found = {}
    for entry in lineup.across(leader, lineup.thresholds):
        value = figure(measure, [entry])
        assert value is not None  # it is among the safe ones
        found[entry.threshold.name] = (value, entry)
    order = sorted(found, key=lambda name: found[name][0])
    best = found[order[0]][1]
    apart = {
        name: compared_thresholds(measure, best, found[name][1], lineup.plan.seed)
        for name in order[1:]
    }
    figures = (
        measure.name + " " + listed([f"{measure.text(found[name][0])} at {name}" for name in order])
    )
    if not any(interval.is_known for interval in apart.values()):
        return f"{leader} by threshold, one repeat each: {figures}."
    equal = [name for name, interval in apart.items() if not interval.is_below]
    if not equal:
        return f"{leader} is best at {order[0]}: {figures}."
    return f"{leader} is not told apart at {listed([order[0], *equal])}: {figures}."


def _doubled(lineup: Lineup) -> str:
    """Whether two captures in parallel are safer, or only slower."""
    thresholds = [
        threshold
        for threshold in lineup.thresholds
        if lineup.at(JOURNAL, threshold).cells and lineup.at(JOURNAL_X2, threshold).cells
    ]
    if not thresholds:
        return ""
    two, one = lineup.across(JOURNAL_X2, thresholds), lineup.across(JOURNAL, thresholds)
    measure = primary(lineup, [JOURNAL, JOURNAL_X2], thresholds)
    speed = compared(measure, two, one, lineup.plan.seed)
    details = [
        _against(each, two, one, lineup.plan.seed)
        for each in ((MISSED, GAP) if measure is MISSED else (GAP,))
    ]
    losses = [worst_kill(two), worst_kill(one)]
    if all(losses):
        lost = [share(loss_on_kill(kill)) for kill in losses if kill]
        details.append(f"killed, it loses up to {lost[0]} against {lost[1]}")
    if speed is None or not speed.is_known:
        head = "stands beside journal so (one repeat, which settles nothing)"
    else:
        head = f"is {_safer_and_slower(two, one, speed, lineup.plan.seed)}"
    faults = faults_of(cell for entry in two for cell in entry.cells)
    unsafe = f" ({listed(faults)})" if faults else ""
    return (
        f"{JOURNAL_X2}, two captures in parallel and merged, {head}{unsafe}: "
        f"it {'; '.join(detail for detail in details if detail)}."
    )


def _against(measure: Measure, first: list[Entry], second: list[Entry], seed: int) -> str:
    values = figure(measure, first), figure(measure, second)
    if values[0] is None or values[1] is None:
        return ""
    apart = ratio_text(compared(measure, first, second, seed))
    says = measure.sentence.format(measure.text(values[0]))
    return f"{says} against {measure.text(values[1])} ({apart})"


def _safer_and_slower(two: list[Entry], one: list[Entry], speed: Interval, seed: int) -> str:
    slow = "slower" if speed.is_above else "faster" if speed.is_below else "no slower"
    safe = _safer(two, one, seed)
    if safe == "safer":
        return f"safer, but {slow}" if slow == "slower" else f"safer and {slow}"
    if safe == "no safer":
        return "only slower" if slow == "slower" else f"no safer and {slow}"
    return f"{safe} and {slow}"


def _safer(two: list[Entry], one: list[Entry], seed: int) -> str:
    safe = [all(entry.is_safe for entry in entries) for entries in (two, one)]
    if safe[0] != safe[1]:
        return "safer" if safe[0] else "not safe"
    losses = compared_losses(two, one, seed)
    if losses is None:
        return "no safer"
    if losses.is_known:
        return "safer" if losses.is_below else "less safe" if losses.is_above else "no safer"
    if abs(losses.middle) < _ALIKE:
        return "no safer"
    return "safer" if losses.middle < 0 else "less safe"
