"""A lab's results in order: each layout at each threshold, its cells, its kills, what is not done.

A layout is safe at a threshold when every cell of it there that was left alone is safe. What a
killed process takes with it is shown beside that, for no layout survives it for nothing.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from ticktape.lab.results import NOTEBOOK_LAYOUTS, CellKey, CellResult, Plan, Threshold

JOURNAL = "journal"
JOURNAL_X2 = "journal-x2"

ORDER = (
    *NOTEBOOK_LAYOUTS,
    "queue-4-ordered",
    "queue-4x2",
    "queue-4x2to1",
    "threads",
    JOURNAL,
    JOURNAL_X2,
)
"""In this order tables and pictures show them; layouts that are not here come behind."""

_FAULTS = (
    ("lost_in_run", "lost in the run"),
    ("lost_at_stop", "lost at the stop"),
    ("left_behind", "left behind"),
    ("duplicated", "twice"),
    ("corrupted", "corrupted"),
    ("out_of_order", "out of order"),
)


def place_of(layout: str) -> tuple[int, str]:
    """Where a layout stands in ORDER."""
    return (ORDER.index(layout) if layout in ORDER else len(ORDER), layout)


def is_safe(cell: CellResult) -> bool:
    """Whether a cell that was left alone did its work and did no harm; none acquired is no work."""
    return cell.is_safe and cell.acquired > 0


def faults_of(cells: Iterable[CellResult]) -> list[str]:
    """What makes cells unsafe, summed up: `12 out of order`."""
    cells = list(cells)
    found = [(sum(getattr(cell, name) for cell in cells), words) for name, words in _FAULTS]
    faults = [f"{count:,} {words}" for count, words in found if count]
    if any(not cell.acquired for cell in cells):
        faults.append("nothing acquired")
    return faults


def loss_on_kill(cell: CellResult) -> float:
    """The share of what was acquired at the kill that is not in the files; 0 to 1."""
    return 1 - cell.survived / cell.at_kill if cell.at_kill else 0.0


@dataclass(frozen=True)
class Entry:
    """One layout at one threshold: `cells` were left alone, in `kills` a process was killed."""

    layout: str
    threshold: Threshold
    cells: tuple[CellResult, ...]
    kills: tuple[CellResult, ...]

    @property
    def is_safe(self) -> bool:
        """Whether it was run, and every cell is safe."""
        return bool(self.cells) and all(map(is_safe, self.cells))

    @property
    def worst_kill(self) -> CellResult | None:
        """The kill that cost the largest share; None without any that had captures."""
        return max((kill for kill in self.kills if kill.at_kill), key=loss_on_kill, default=None)

    @property
    def reached(self) -> int:
        """Cells that came to their threshold."""
        return sum(cell.threshold_reached for cell in self.cells)


@dataclass(frozen=True)
class Lineup:
    """All results of a plan by layout and threshold."""

    plan: Plan
    results: Sequence[CellResult]

    @cached_property
    def layouts(self) -> list[str]:
        """All that were planned, in the order of ORDER."""
        return sorted({key.layout for key in self.plan.cells}, key=place_of)

    @cached_property
    def thresholds(self) -> list[Threshold]:
        """All that were planned, bytes before seconds, the smallest first."""
        found = {key.threshold for key in self.plan.cells}
        return sorted(found, key=lambda threshold: (threshold.seconds, threshold.bytes))

    @cached_property
    def missing(self) -> list[CellKey]:
        """Cells that were planned and are not done."""
        done = {result.key for result in self.results}
        return [key for key in self.plan.cells if key not in done]

    @cached_property
    def _entries(self) -> dict[tuple[str, Threshold], Entry]:
        found: dict[tuple[str, Threshold], tuple[list[CellResult], list[CellResult]]] = {}
        for result in self.results:
            place = (result.key.layout, result.key.threshold)
            found.setdefault(place, ([], []))[bool(result.key.victim)].append(result)
        return {
            place: Entry(*place, tuple(cells), tuple(kills))
            for place, (cells, kills) in found.items()
        }

    def at(self, layout: str, threshold: Threshold) -> Entry:
        """A layout at a threshold; without cells when none is done."""
        return self._entries.get((layout, threshold), Entry(layout, threshold, (), ()))

    def across(self, layout: str, thresholds: Sequence[Threshold]) -> list[Entry]:
        """A layout at each of the thresholds."""
        return [self.at(layout, threshold) for threshold in thresholds]
