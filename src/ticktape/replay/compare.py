"""Compares the tables as they stand with what was derived again, group by group.

What the journals cannot give any more is told apart from what the tables have wrong.
"""

from typing import Any, NamedTuple

from ticktape.replay.derive import Derivation, EntryPlace, Group, Progress
from ticktape.replay.differences import Counts, Differences, Example
from ticktape.replay.digests import RowsDigest
from ticktape.replay.last_values import LastComparison
from ticktape.replay.states import BEHIND, DIFFERENT, SAME, UNPROVEN
from ticktape.replay.tables import Tables
from ticktape.schemas import KINDS


class GroupComparison(NamedTuple):
    """One group as it stands in the table and as the journals give it."""

    group: Group
    rows: int
    derived_rows: int
    digest: str
    derived_digest: str
    counts: Counts
    examples: list[Example]

    @property
    def state(self) -> str:
        """SAME, DIFFERENT, BEHIND or UNPROVEN."""
        if self.digest == self.derived_digest:
            return SAME
        if self.counts.faults:
            return DIFFERENT
        if self.counts.lost:
            return UNPROVEN
        if self.counts.deleted and not self.counts.behind:
            return SAME  # as far as there is a journal
        return BEHIND if self.counts.behind else DIFFERENT

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        kind, source, day = self.group
        return {
            "kind": kind,
            "feed": source,
            "day": day,
            "state": self.state,
            "rows": self.rows,
            "derived_rows": self.derived_rows,
            "digest": self.digest,
            "derived_digest": self.derived_digest,
            "counts": self.counts,
            "differences": self.examples,
        }


class Comparison(NamedTuple):
    """All tables, and the last values when they were compared.

    `faults` are what could not be read of the tables; `damage` what could not be read of the
    journals; `not_compared` what is out of reach, and why; all in words.
    """

    groups: list[GroupComparison]
    last: LastComparison | None
    faults: list[str]
    damage: list[str]
    not_compared: list[str]

    @property
    def state(self) -> str:
        """The worst that was found: DIFFERENT, UNPROVEN, BEHIND, or SAME."""
        found = {each.state for each in self.groups}
        if self.faults:
            found.add(DIFFERENT)
        if self.last is not None:
            found.add(self.last.state)
        return next(each for each in (DIFFERENT, UNPROVEN, BEHIND, SAME) if each in {*found, SAME})

    @property
    def lost_rows(self) -> int:
        """Rows of the tables that no journal can give any more."""
        return sum(each.counts.lost + each.counts.deleted for each in self.groups)

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "state": self.state,
            "tables": [each.to_json() for each in self.groups],
            "last": None if self.last is None else self.last.to_json(),
            "faults": self.faults,
            "damage": self.damage,
            "not_compared": self.not_compared,
        }


def compare(
    tables: Tables, derived: Tables, made: Derivation, progress: Progress, *, live: bool
) -> Comparison:
    """Compare tables with what was derived; `derived` is read only where they differ."""
    stored = tables.groups()
    order = {kind: number for number, kind in enumerate(KINDS)}
    groups = sorted(stored.keys() | made.digests.keys(), key=lambda g: (order[g.kind], *g[1:]))
    total = sum(stored.values())
    done = 0
    compared = []
    not_compared = []
    for group in groups:
        reading = made.readings.get(group.source)
        before = reading.cut if live and reading is not None else None
        found = _compare_group(group, tables, derived, made, before)
        compared.append(found)
        behind = stored.get(group, 0) - found.rows
        if behind:
            not_compared.append(
                f"{group.source}: {behind} {group.kind} of {group.day} are in the table "
                "behind its saved position"
            )
        done += stored.get(group, 0)
        progress("comparing tables", done, total)
    if live:
        not_compared += [
            f"{name}: what is journaled behind the table's saved position, from epoch "
            f"{each.cut[0]} seq {each.cut[1]} on"
            for name, each in made.readings.items()
            if each.cut is not None
        ]
    faults = list(tables.faults)
    strangers = sorted({group.source for group in stored} - made.readings.keys())
    damage = [f"the table has rows of {name!r}, which has no journal" for name in strangers]
    damage += [f"{name}: {words}" for name, each in made.readings.items() for words in each.damage]
    return Comparison(compared, None, faults, damage, not_compared)


def _compare_group(
    group: Group,
    tables: Tables,
    derived: Tables,
    made: Derivation,
    before: EntryPlace | None,
) -> GroupComparison:
    digest = RowsDigest(group.kind)
    for batch in tables.batches(group, before):
        digest.add(batch)
    other = made.digests.get(group) or RowsDigest(group.kind)
    differences = Differences(group, made.readings.get(group.source))
    if digest.hex() != other.hex():
        differences.compare(tables.batches(group, before), derived.batches(group))
    return GroupComparison(
        group,
        digest.rows,
        other.rows,
        digest.hex(),
        other.hex(),
        differences.counts,
        differences.examples,
    )
