"""Trades as REST shows them: with the venue's corrections and cancels applied.

Nothing is taken away: a cancelled or corrected trade stays and is flagged, the replacement is a row
more. A change counts from where it stands in the tape, so that it is not seen before it was sent.

A change names its trade by exchange and id, and where ids collide by price, size and conditions as
well; of several that fit it means the last one before it. A replacement has the time of the trade
it replaces, since that is when it traded; when no trade fits, the time of the correction. (The
venue does not document this; reference/alpaca.md §4.2.)
"""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.sim.jsontext import row_numbers
from ticktape.sim.tape import Ints, Tape

CANCELED = "canceled"
INCORRECT = "incorrect"
CORRECTED = "corrected"

Row = dict[str, Any]
Key = tuple[str, str, int]


class Flag(NamedTuple):
    """From row `place` of the tape on, row `row` of the trades carries this word in `u`."""

    row: int
    place: int
    word: str


class Amended(NamedTuple):
    """All trades of a tape, replacements last; `places` is where in the tape each row happened."""

    table: pa.Table
    places: Ints
    flags: list[Flag]


def amended_trades(tape: Tape) -> Amended:
    """Apply every correction and cancel of a tape to its trades."""
    trades = tape.tables["trades"]
    places = tape.places("trades")
    changes = _changes(tape)
    if not changes:
        return Amended(trades, places, [])
    book = _Book(trades, changes)
    for place, change in changes:
        book.apply(place, change)
    if not book.replacements:
        return Amended(trades, places, book.flags)
    added = pa.Table.from_pylist(book.replacements, schema=trades.schema)
    every = np.concatenate((places, np.array(book.replacement_places, np.int64)))
    table = pa.concat_tables([trades, added]).combine_chunks()
    return Amended(table, every, book.flags)


def _changes(tape: Tape) -> list[tuple[int, Row]]:
    found: list[tuple[int, Row]] = []
    for kind in ("corrections", "cancels"):
        if kind in tape.tables:
            places = tape.places(kind).tolist()
            found += zip(places, tape.tables[kind].to_pylist(), strict=True)
    return sorted(found, key=lambda change: change[0])


class _Book:
    """The trades that changes may name, by symbol, exchange and id."""

    def __init__(self, trades: pa.Table, changes: list[tuple[int, Row]]) -> None:
        self.flags: list[Flag] = []
        self.replacements: list[Row] = []
        self.replacement_places: list[int] = []
        self._count = trades.num_rows
        self._void: set[int] = set()
        self._named: dict[Key, list[tuple[int, Row]]] = {}
        ids = [change.get(name) for _, change in changes for name in _IDS]
        wanted = pa.array([number for number in ids if number is not None], pa.int64())
        rows = np.flatnonzero(pc.is_in(trades["id"], value_set=wanted).to_numpy())
        chosen = trades.take(row_numbers(rows)).to_pylist()
        for row, trade in zip(rows.tolist(), chosen, strict=True):
            self._note(row, trade)

    def _note(self, row: int, trade: Row) -> None:
        key = (trade["symbol"], trade["exchange"], trade["id"])
        self._named.setdefault(key, []).append((row, trade))

    def apply(self, place: int, change: Row) -> None:
        if "action" in change:
            cancelled = self._find(change, _CANCELLED)
            if cancelled is not None:
                self._flag(cancelled[0], place, CANCELED)
            return
        original = self._find(change, _ORIGINAL)
        if original is not None:
            self._flag(original[0], place, INCORRECT)
        replacement = self._find(change, _CORRECTED)
        if replacement is None:
            replacement = self._replace(place, change, original[1] if original else change)
        self._flag(replacement[0], place, CORRECTED)

    def _replace(self, place: int, change: Row, original: Row) -> tuple[int, Row]:
        trade = {name: change[column] for column, name in _CORRECTED.items()}
        trade |= {name: change[name] for name in ("symbol", "exchange", "tape")}
        trade["event_ns"] = original["event_ns"]
        row = self._count + len(self.replacements)
        self.replacements.append(trade)
        self.replacement_places.append(place)
        self._note(row, trade)
        return row, trade

    def _find(self, change: Row, columns: dict[str, str]) -> tuple[int, Row] | None:
        id_column = next(column for column, name in columns.items() if name == "id")
        key = (change["symbol"], change["exchange"], change[id_column])
        fitting = [
            (row, trade)
            for row, trade in self._named.get(key, [])
            if row not in self._void
            and all(trade[name] == change[column] for column, name in columns.items())
        ]
        before = [found for found in fitting if found[1]["event_ns"] <= change["event_ns"]]
        return before[-1] if before else next(iter(fitting), None)

    def _flag(self, row: int, place: int, word: str) -> None:
        self.flags.append(Flag(row, place, word))
        if word != CORRECTED:
            self._void.add(row)


_IDS = ("id", "original_id", "corrected_id")
_CANCELLED = {"id": "id", "price": "price", "size": "size"}
_ORIGINAL = {
    "original_id": "id",
    "original_price": "price",
    "original_size": "size",
    "original_conditions": "conditions",
}
_CORRECTED = {
    "corrected_id": "id",
    "corrected_price": "price",
    "corrected_size": "size",
    "corrected_conditions": "conditions",
}
