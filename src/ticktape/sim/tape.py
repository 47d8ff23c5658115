"""A tape: what happened at the venue, in the order in which the venue sends it.

A tape never changes once made; the same source and seed give the same tape, byte for byte.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.errors import ConfigError
from ticktape.schemas import KINDS
from ticktape.sim.families import FAMILIES, STOCKS, Family
from ticktape.sim.states import Subscription

TAPE_KINDS = tuple(dict.fromkeys(kind for family in FAMILIES.values() for kind in family.kinds))
_SESSION_COLUMNS = {"feed", "recv_ns", "witness", "epoch", "seq", "index"}
COLUMNS: dict[str, pa.Schema] = {
    kind: pa.schema([field for field in KINDS[kind] if field.name not in _SESSION_COLUMNS])
    for kind in TAPE_KINDS
}
"""Kind -> the columns a tape has of it: those of `schemas` that the venue knows."""

OPTIONAL = frozenset({"id", "exchange", "bid_exchange", "ask_exchange", "conditions", "tape"}) | {
    "taker_side"
}
"""Columns that a family may not have: a tape then holds what a recorder writes without them."""

IDS = ("id", "original_id", "corrected_id")
"""Columns that, besides the times, are other ones when a tape is played again."""

CHANNELS = tuple(dict.fromkeys(name for family in FAMILIES.values() for name in family.channels))
_CHANNEL_OF_KIND = {kind: kind for kind in ("trades", "quotes", "statuses", "lulds", "imbalances")}
_CHANNEL_OF_KIND |= {"corrections": "trades", "cancels": "trades"}
_CHANNEL_OF_KIND |= {"crypto_books": "orderbooks", "news": "news"}
_CHANNEL_OF_SPAN = {"minute": "bars", "updated": "updatedBars", "day": "dailyBars"}

BAR_NS = 60 * NS_PER_S
# The venue's minute bars left 491 ms after the minute in the median (reference/alpaca.md §2.4),
# corrected ones about half a minute later.
BAR_DELAY_NS = {"minute": NS_PER_S // 2, "updated": 30 * NS_PER_S, "day": NS_PER_S // 2}

Ints = npt.NDArray[np.int64]


class Tape:
    """Rows of several kinds in one order.

    `tables[kind]` has the columns `COLUMNS[kind]`, each sorted by when the venue sends it. Over all
    rows: `kind_codes` (index into `TAPE_KINDS`), `kind_rows` (row in that kind's table), `due_ns`
    (never falling; equals `event_ns` except for bars, which leave after their minute). `family` is
    the paths' that it may be played on. `due` says otherwise when rows are sent: kind -> a time for
    each row of its table.

    Raises:
        ConfigError: the family's paths do not carry such a kind.
    """

    def __init__(
        self,
        tables: Mapping[str, pa.Table],
        family: str = STOCKS.name,
        due: Mapping[str, Ints] | None = None,
    ) -> None:
        self.family: Family = FAMILIES[family]
        if foreign := sorted(set(tables) - set(self.family.kinds)):
            raise ConfigError(
                [f"a tape of {family} has no {kind}" for kind in foreign],
                hint=f"It may have: {', '.join(self.family.kinds)}",
            )
        self.tables = {
            kind: as_kind(tables[kind], kind)
            for kind in TAPE_KINDS
            if kind in tables and tables[kind].num_rows
        }
        sent: list[Ints] = []
        codes: list[Ints] = []
        rows: list[Ints] = []
        for kind, table in self.tables.items():
            times = due[kind] if due and kind in due else _due_ns(kind, table)
            order = np.argsort(times, kind="stable")
            if np.any(order[1:] < order[:-1]):
                self.tables[kind] = table.take(pa.array(order, pa.int64())).combine_chunks()
                times = times[order]
            sent.append(times)
            codes.append(np.full(len(times), TAPE_KINDS.index(kind), np.int64))
            rows.append(np.arange(len(times), dtype=np.int64))
        merged = np.concatenate(sent) if sent else np.zeros(0, np.int64)
        # Stable, so that rows of one nanosecond stand as TAPE_KINDS does: trades before quotes.
        order = np.argsort(merged, kind="stable")
        self.due_ns: Ints = merged[order]
        self.kind_codes = np.concatenate(codes)[order].astype(np.int8) if sent else _NO_CODES
        self.kind_rows: Ints = np.concatenate(rows)[order] if sent else merged

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
        channel_codes, symbol_codes = self.codes
        heard: npt.NDArray[np.bool_] = wanted[channel_codes, symbol_codes]
        if "news" in self.tables:
            # An article has many symbols, or none.
            heard[self.places("news")] = self._heard_news(subscription.get("news", frozenset()))
        return heard

    def _heard_news(self, names: frozenset[str]) -> list[bool]:
        articles = self.tables["news"]["symbols"].to_pylist()
        return ["*" in names or not names.isdisjoint(symbols or ()) for symbols in articles]

    def places(self, kind: str) -> Ints:
        """Return which rows of the tape are of this kind."""
        return np.flatnonzero(self.kind_codes == TAPE_KINDS.index(kind))

    def due_of(self, kind: str) -> Ints:
        """Return when each row of this kind's table is sent."""
        return self.due_ns[self.places(kind)]

    @cached_property
    def codes(self) -> tuple[Ints, Ints]:
        """The channel and the symbol of each row, by number."""
        channels = np.zeros(len(self), np.int64)
        symbols = np.zeros(len(self), np.int64)
        names = pa.array(self.symbols, pa.string())
        for kind, table in self.tables.items():
            places = self.kind_codes == TAPE_KINDS.index(kind)
            symbols[places] = pc.index_in(table["symbol"], names).to_numpy()
            if kind == "bars":
                spans = [_CHANNEL_OF_SPAN[str(span)] for span in table["span"].to_pylist()]
                channels[places] = [CHANNELS.index(channel) for channel in spans]
            else:
                channels[places] = CHANNELS.index(_CHANNEL_OF_KIND[kind])
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
            moved = table
            for column in ("event_ns", "created_ns", "updated_ns"):
                moved = _add(moved, column, times * span_ns)
            for column in IDS:
                moved = _add(moved, column, times * self._ids_span)
            shifted[kind] = moved
        due = {kind: self.due_of(kind) + times * span_ns for kind in shifted}
        later = type(self)(shifted, self.family.name, due)
        # They are asked for at once, and to find them takes longer than all the rest.
        later.symbols, later.codes = self.symbols, self.codes
        return later

    @cached_property
    def _ids_span(self) -> int:
        # Not the largest id: twice one of 19 digits is more than 64 bits hold.
        columns = [
            table[column].drop_null()
            for table in self.tables.values()
            for column in IDS
            if column in table.column_names
        ]
        smallest = [int(pc.min(column).as_py()) for column in columns if len(column)]
        largest = [int(pc.max(column).as_py()) for column in columns if len(column)]
        return max(largest) - min(smallest) + 1 if largest else 0

    def only(self, kinds: Iterable[str]) -> Self:
        """Return the tape with the rows of these kinds."""
        kept = {kind: self.tables[kind] for kind in self.tables if kind in kinds}
        return type(self)(kept, self.family.name, {kind: self.due_of(kind) for kind in kept})


_NO_CODES = np.zeros(0, np.int8)
_fill_null: Any = pc.fill_null  # its stub knows only equal types of arguments


def as_kind(table: pa.Table, kind: str) -> pa.Table:
    """Return the table with exactly the columns of its kind; what `OPTIONAL` names may be missing.

    Raises:
        KeyError: another column is missing.
    """
    columns: dict[str, Any] = {}
    for field in COLUMNS[kind]:
        given = field.name in table.column_names
        if given or field.name not in OPTIONAL:
            column = table[field.name].cast(field.type)
        else:
            column = pa.chunked_array([pa.nulls(table.num_rows, field.type)])
        # Conditions may be null on the wire; no other text ever is.
        text = pa.types.is_string(field.type) and not (given and field.name == "conditions")
        columns[field.name] = _fill_null(column, "") if text else column
    return pa.table(columns, schema=COLUMNS[kind]).combine_chunks()


def _due_ns(kind: str, table: pa.Table) -> Ints:
    times: Ints = table["event_ns"].to_numpy()
    if kind != "bars":
        return times
    delays = [BAR_NS + BAR_DELAY_NS[str(span)] for span in table["span"].to_pylist()]
    return times + np.array(delays, np.int64)


def _add(table: pa.Table, column: str, amount: int) -> pa.Table:
    if column not in table.column_names:
        return table
    place = table.column_names.index(column)
    return table.set_column(place, table.field(column), pc.add(table[column], amount))
