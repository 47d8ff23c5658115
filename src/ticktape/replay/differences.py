"""Finds the rows in which a table and what the journals say differ, place by place.

Both come sorted by place and are walked side by side, so that never more than a window of each is
in memory. Values are compared bit for bit: a zero with another sign is another value.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.replay.derive import Group, Reading
from ticktape.replay.digests import RowsDigest
from ticktape.schemas import KINDS

Batches = Iterable[pa.RecordBatch]
"""Rows of one group with the columns of `schemas.KINDS`, sorted by place."""

_Place = tuple[int, int, int]  # epoch, seq, index
_Row = tuple[bytes, tuple[Any, ...]]  # packed, for comparing, and the values

EXAMPLES_MAX = 5
_IDENTITY = ("symbol", "event_ns", "exchange", "id", "price", "size", "conditions", "tape")
_NS_PER_DAY = 86_400 * NS_PER_S
_pack = msgspec.msgpack.Encoder().encode


class Example(msgspec.Struct, frozen=True):
    """One difference. `what` as in Counts; of an altered row a column, else the column is empty."""

    what: str
    epoch: int
    seq: int
    index: int
    column: str
    table: Any
    journal: Any


class Counts(msgspec.Struct):
    """Rows by how they differ.

    The table's faults: `missing` in it, `surplus` (at a place where the journal has none),
    `doubled`, `altered` (a value is another), `wrong_day`. No faults of the table: `behind`
    (journaled, and behind the table's saved position), `lost` (the journal is damaged there),
    `deleted` (retention took the entry from the journal).
    """

    missing: int = 0
    surplus: int = 0
    doubled: int = 0
    altered: int = 0
    wrong_day: int = 0
    behind: int = 0
    lost: int = 0
    deleted: int = 0

    @property
    def faults(self) -> int:
        """Rows in which the table is wrong."""
        return self.missing + self.surplus + self.doubled + self.altered + self.wrong_day


class Differences:
    """Compares one group; `reading` is None when the source of the rows has no journal."""

    def __init__(self, group: Group, reading: Reading | None) -> None:
        self.counts = Counts()
        self.examples: list[Example] = []
        self._group = group
        self._reading = reading
        self._names = KINDS[group.kind].names
        self._event_at = self._names.index("event_ns")
        self._identity: list[int] = []
        if group.kind == "trades":
            self._identity = [self._names.index(name) for name in _IDENTITY]
        self._lost_trades: set[bytes] = set()
        self._deleted_trades: set[bytes] = set()

    def compare(self, table: Batches, journal: Batches) -> None:
        """Walk both to their ends."""
        for there, derived in _windows(table, journal):
            if _digest(self._group.kind, there) != _digest(self._group.kind, derived):
                self._compare_window(self._by_place(there), self._by_place(derived))

    def _by_place(self, rows: pa.Table) -> dict[_Place, list[_Row]]:
        columns = [rows.column(name).to_pylist() for name in self._names]
        places = zip(*(rows.column(n).to_pylist() for n in ("epoch", "seq", "index")), strict=True)
        found: dict[_Place, list[_Row]] = {}
        for place, values in zip(places, zip(*columns, strict=True), strict=True):
            found.setdefault(place, []).append((_pack(values), values))
        return found

    def _compare_window(
        self, table: dict[_Place, list[_Row]], journal: dict[_Place, list[_Row]]
    ) -> None:
        for place in sorted(table.keys() | journal.keys()):
            there, derived = list(table.get(place, ())), list(journal.get(place, ()))
            is_journaled = bool(derived)
            packed = [row[0] for row in derived]
            for row in list(there):
                if row[0] in packed:
                    at = packed.index(row[0])
                    del packed[at], derived[at]
                    there.remove(row)
            for row, other in zip(there, derived, strict=False):
                self._altered(place, row[1], other[1])
            for _, values in there[len(derived) :]:
                self._too_many(place, values, is_journaled=is_journaled)
            for _, values in derived[len(there) :]:
                self._too_few(place, values)

    def _altered(self, place: _Place, there: tuple[Any, ...], derived: tuple[Any, ...]) -> None:
        self.counts.altered += 1
        for name, mine, other in zip(self._names, there, derived, strict=True):
            if _pack(mine) != _pack(other):
                self._show("altered", place, name, mine, other)

    def _too_many(self, place: _Place, values: tuple[Any, ...], *, is_journaled: bool) -> None:
        day = str(np.datetime64(values[self._event_at] // _NS_PER_DAY, "D"))
        if self._reading is not None and self._reading.is_deleted(*place[:2]):
            self.counts.deleted += 1
            self._deleted_trades.add(self._identity_of(values))
        elif self._reading is None or self._reading.is_lost(*place[:2]):
            self.counts.lost += 1
            self._lost_trades.add(self._identity_of(values))
        elif day != self._group.day:
            self.counts.wrong_day += 1
            self._show("wrong_day", place, "day", self._group.day, day)
        elif is_journaled:
            self.counts.doubled += 1
            self._show("doubled", place)
        else:
            self.counts.surplus += 1
            self._show("surplus", place)

    def _too_few(self, place: _Place, values: tuple[Any, ...]) -> None:
        cut = None if self._reading is None else self._reading.cut
        if cut is not None and place[:2] >= cut:
            self.counts.behind += 1
        elif self._identity and self._identity_of(values) in self._lost_trades:
            # The table has the first arrival of this trade, of which the journal lost the entry.
            self.counts.lost += 1
        elif self._identity and self._identity_of(values) in self._deleted_trades:
            self.counts.deleted += 1  # likewise
        else:
            self.counts.missing += 1
            self._show("missing", place)

    def _identity_of(self, values: tuple[Any, ...]) -> bytes:
        return _pack([values[at] for at in self._identity])

    def _show(
        self, what: str, place: _Place, column: str = "", table: object = None, other: object = None
    ) -> None:
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(Example(what, *place, column, table, other))


def _digest(kind: str, rows: pa.Table) -> str:
    digest = RowsDigest(kind)
    digest.add(rows)
    return digest.hex()


# Walking side by side.


class _Side:
    """One of the two: what of it was read and not yet given."""

    def __init__(self, batches: Batches) -> None:
        self._batches = iter(batches)
        self._rows: pa.Table | None = None
        self.is_over = False

    def grow(self) -> None:
        """Read one batch more."""
        batch = next(self._batches, None)
        if batch is None:
            self.is_over = True
            return
        rows = pa.Table.from_batches([batch])
        self._rows = rows if self._rows is None else pa.concat_tables([self._rows, rows])

    @property
    def is_empty(self) -> bool:
        return self._rows is None or not self._rows.num_rows

    def last(self) -> _Place:
        """The place of the last row in hand."""
        assert self._rows is not None
        epoch, seq, index = (
            self._rows.column(name)[-1].as_py() for name in ("epoch", "seq", "index")
        )
        return epoch, seq, index

    def take(self, bound: _Place | None) -> pa.Table | None:
        """The rows in hand before the place `bound`; all of them when that is None."""
        rows = self._rows
        if rows is None:
            return None
        count = rows.num_rows
        if bound is not None:
            epoch, seq, index = (rows.column(n).to_numpy() for n in ("epoch", "seq", "index"))
            same = (epoch == bound[0]) & (
                (seq < bound[1]) | ((seq == bound[1]) & (index < bound[2]))
            )
            count = int(((epoch < bound[0]) | same).sum())
        self._rows = rows.slice(count)
        return rows.slice(0, count)


def _windows(table: Batches, journal: Batches) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Rows of both between the same two places, in order, until both are at their ends."""
    sides = (_Side(table), _Side(journal))
    empty: pa.Table | None = None
    while True:
        for side in sides:
            while side.is_empty and not side.is_over:
                side.grow()
        if all(side.is_empty for side in sides):
            return
        # A place may go on in the next batch: what is given lies before the last place in hand.
        open_ends = [side.last() for side in sides if not side.is_over]
        taken = [side.take(min(open_ends) if open_ends else None) for side in sides]
        some = next(rows for rows in taken if rows is not None)
        empty = some.slice(0, 0) if empty is None else empty
        there, derived = (empty if rows is None else rows for rows in taken)
        if there.num_rows or derived.num_rows:
            yield there, derived
        else:
            for side in sides:
                if not side.is_over:
                    side.grow()
