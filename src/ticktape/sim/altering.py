"""How a tape is made into another one: rows picked by chance, changed, added; pure.

All chance is `Random.random`, whose numbers Python keeps the same from version to version.
"""

from collections.abc import Mapping
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ticktape.sim.tape import Ints, Tape


class Rows(NamedTuple):
    """Rows of one kind, and when each is sent."""

    table: pa.Table
    due_ns: Ints

    def pick(self, rows: Ints) -> "Rows":
        """Return some of the rows, in the order asked for."""
        return Rows(self.table.take(pa.array(rows, pa.int64())), self.due_ns[rows])

    def changed(self, columns: Mapping[str, Any]) -> "Rows":
        """Return the rows with other columns, of Arrow or numpy."""
        table = self.table
        for name, column in columns.items():
            place, field = table.column_names.index(name), table.field(name)
            if isinstance(column, np.ndarray):
                column = pa.array(column, field.type)
            table = table.set_column(place, field, column)
        return self._replace(table=table)


def rows_of(tape: Tape, kind: str) -> Rows:
    """Return a tape's rows of a kind that it has."""
    return Rows(tape.tables[kind], tape.due_of(kind))


def added(*parts: Rows) -> Rows:
    """Return rows after rows; a tape sorts them by when they are sent."""
    tables = pa.concat_tables([part.table for part in parts])
    return Rows(tables, np.concatenate([part.due_ns for part in parts]))


def altered(tape: Tape, **kinds: Rows) -> Tape:
    """Return the tape with other rows of these kinds."""
    rows = {kind: rows_of(tape, kind) for kind in tape.tables} | kinds
    tables = {kind: these.table for kind, these in rows.items()}
    return Tape(tables, tape.family.name, {kind: these.due_ns for kind, these in rows.items()})


def chosen(count: int, percent: float, random: Random) -> Ints:
    """Return so many percent of `count` rows, sorted; at least one, if there is any."""
    wanted = min(count, max(1, round(count * percent / 100)))
    picked = np.argsort([random.random() for _ in range(count)], kind="stable")[:wanted]
    return np.sort(picked)


def mask_of(count: int, rows: Ints) -> "pa.Array[Any]":
    """Return for each of `count` rows whether it is one of `rows`."""
    mask = np.zeros(count, np.bool_)
    mask[rows] = True
    return pa.array(mask)


def delays_ns(count: int, shortest_ns: int, longest_ns: int, random: Random) -> Ints:
    """Return `count` delays by chance."""
    span_ns = longest_ns - shortest_ns
    return np.array([shortest_ns + int(random.random() * span_ns) for _ in range(count)], np.int64)
