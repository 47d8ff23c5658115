"""A tape: what happened at the venue, in the order in which the venue sends it.

A tape never changes once made; the same source and seed give the same tape, byte for byte.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.schemas import KINDS
from ticktape.sim.states import Subscription

TAPE_KINDS = ("trades", "quotes", "bars", "corrections", "cancels")
_SESSION_COLUMNS = {"feed", "recv_ns", "witness", "epoch", "seq", "index", "taker_side"}
COLUMNS: dict[str, pa.Schema] = {
    kind: pa.schema([field for field in KINDS[kind] if field.name not in _SESSION_COLUMNS])
    for kind in TAPE_KINDS
}
"""Kind -> the columns a tape has of it: those of `schemas` that the venue knows."""

CHANNELS = ("trades", "quotes", "bars", "updatedBars", "dailyBars")
_CHANNEL_OF_KIND = {"trades": 0, "quotes": 1, "corrections": 0, "cancels": 0}
_CHANNEL_OF_SPAN = {"minute": 2, "updated": 3, "day": 4}

BAR_NS = 60 * NS_PER_S
# The venue's minute bars left 491 ms after the minute in the median (reference/alpaca.md §2.4),
# corrected ones about half a minute later.
BAR_DELAY_NS = {"minute": NS_PER_S // 2, "updated": 30 * NS_PER_S, "day": NS_PER_S // 2}

Ints = npt.NDArray[np.int64]


class Tape:
    """Rows of several kinds in one order.

    `tables[kind]` has the columns `COLUMNS[kind]`, each sorted by when the venue sends it. Over all
    rows: `kind_codes` (index into `TAPE_KINDS`), `kind_rows` (row in that kind's table), `due_ns`
    (never falling; equals `event_ns` except for bars, which leave after their minute).
    """

    def __init__(self, tables: Mapping[str, pa.Table]) -> None:
        self.tables = {
            kind: tables[kind].select(COLUMNS[kind].names).cast(COLUMNS[kind]).combine_chunks()
            for kind in TAPE_KINDS
            if kind in tables and tables[kind].num_rows
        }
        due: list[Ints] = []
        codes: list[Ints] = []
        rows: list[Ints] = []
        for kind, table in self.tables.items():
            times = _due_ns(kind, table)
            order = np.argsort(times, kind="stable")
            if np.any(order[1:] < order[:-1]):
                self.tables[kind] = table.take(pa.array(order, pa.int64())).combine_chunks()
                times = times[order]
            due.append(times)
            codes.append(np.full(len(times), TAPE_KINDS.index(kind), np.int64))
            rows.append(np.arange(len(times), dtype=np.int64))
        merged = np.concatenate(due) if due else np.zeros(0, np.int64)
        # Stable, so that rows of one nanosecond stand as TAPE_KINDS does: trades before quotes.
        order = np.argsort(merged, kind="stable")
        self.due_ns: Ints = merged[order]
        self.kind_codes = np.concatenate(codes)[order].astype(np.int8) if due else _NO_CODES
        self.kind_rows: Ints = np.concatenate(rows)[order] if due else merged

    def __len__(self) -> int:
        return len(self.due_ns)

    @cached_property
    def symbols(self) -> list[str]:
        """All symbols, sorted."""
        found: set[str] = set()
        for table in self.tables.values():
            found.update(str(symbol) for symbol in pc.unique(table["symbol"]).to_pylist())
        return sorted(found)

    def mask(self, subscription: Subscription) -> npt.NDArray[np.bool_]:
        """Return for each row whether `subscription` hears it."""
        wanted = np.zeros((len(CHANNELS), len(self.symbols)), np.bool_)
        for number, channel in enumerate(CHANNELS):
            names = subscription.get(channel, frozenset())
            wanted[number] = ["*" in names or symbol in names for symbol in self.symbols]
        channel_codes, symbol_codes = self._codes
        heard: npt.NDArray[np.bool_] = wanted[channel_codes, symbol_codes]
        return heard

    @cached_property
    def _codes(self) -> tuple[Ints, Ints]:
        channels = np.zeros(len(self), np.int64)
        symbols = np.zeros(len(self), np.int64)
        names = pa.array(self.symbols, pa.string())
        for kind, table in self.tables.items():
            places = self.kind_codes == TAPE_KINDS.index(kind)
            symbols[places] = pc.index_in(table["symbol"], names).to_numpy()
            if kind == "bars":
                spans = [_CHANNEL_OF_SPAN[str(span)] for span in table["span"].to_pylist()]
                channels[places] = spans
            else:
                channels[places] = _CHANNEL_OF_KIND[kind]
        return channels, symbols

    def rows(self, start: int, stop: int) -> list[tuple[str, Ints, pa.Table]]:
        """Return rows `start` to `stop` by kind: its name, the places in the range, its rows."""
        codes = self.kind_codes[start:stop]
        found = []
        for kind, table in self.tables.items():
            places = np.flatnonzero(codes == TAPE_KINDS.index(kind))
            if len(places):
                first = int(self.kind_rows[start + places[0]])
                # A kind's rows stand in its table in the order of the tape, so they are one slice.
                found.append((kind, places, table.slice(first, len(places))))
        return found

    def again(self, times: int) -> Self:
        """Return the tape as it would run `times` later: later events, other ids, else the same.

        Repeating equal ids at equal times would be a flood of duplicates, which no venue sends.
        """
        if times == 0 or not len(self):
            return self
        span_ns = (int(self.due_ns[-1] - self.due_ns[0]) // NS_PER_S + 1) * NS_PER_S
        shifted = {}
        for kind, table in self.tables.items():
            moved = _add(table, "event_ns", times * span_ns)
            for column in ("id", "original_id", "corrected_id"):
                if column in moved.column_names:
                    moved = _add(moved, column, times * self._ids_max)
            shifted[kind] = moved
        return type(self)(shifted)

    @cached_property
    def _ids_max(self) -> int:
        columns = [
            ("trades", "id"),
            ("corrections", "original_id"),
            ("corrections", "corrected_id"),
        ]
        largest = [
            pc.max(self.tables[kind][column]).as_py() or 0
            for kind, column in columns
            if kind in self.tables
        ]
        return max(largest, default=0)

    def only(self, kinds: frozenset[str]) -> Self:
        """Return the tape with the rows of these kinds."""
        return type(self)({kind: self.tables[kind] for kind in self.tables if kind in kinds})


_NO_CODES = np.zeros(0, np.int8)


def _due_ns(kind: str, table: pa.Table) -> Ints:
    times: Ints = table["event_ns"].to_numpy()
    if kind != "bars":
        return times
    delays = [BAR_NS + BAR_DELAY_NS[str(span)] for span in table["span"].to_pylist()]
    return times + np.array(delays, np.int64)


def _add(table: pa.Table, column: str, amount: int) -> pa.Table:
    place = table.column_names.index(column)
    return table.set_column(place, table.field(column), pc.add(table[column], amount))
