"""One tape's rows in the order in which REST gives them, and which of them happened until now.

An index is made once for each tape; what is shown of it is cut off by a count of rows played.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.sim.jsontext import Column, flat, row_numbers
from ticktape.sim.orderbooks import BookKeeper
from ticktape.sim.rest.amended import Flag, amended_trades
from ticktape.sim.tape import Ints, Tape

UNSET = np.iinfo(np.int64).min


class Index:
    """Rows of one kind by symbol, then time, then exchange and id, then as sent.

    `table` and `times` (`event_ns`) are in that order; `places` says where in the tape each row
    happened: it is shown once more rows than that were played. `symbols` has first row and end.
    """

    def __init__(self, table: pa.Table, places: Ints, flags: list[Flag] | None = None) -> None:
        order = _order(table)
        self.table: pa.Table = table.take(row_numbers(order)).combine_chunks()
        self.times: Ints = self.table["event_ns"].to_numpy()
        self.places: Ints = places[order]
        names = self.table["symbol"].to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(names[1:] != names[:-1]) + 1 if len(names) else np.zeros(0, int)
        edges = [0, *starts.tolist(), len(names)]
        self.symbols: dict[str, tuple[int, int]] = {
            str(names[first]): (first, end) for first, end in pairwise(edges) if first < end
        }
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        self._flags: dict[int, list[Flag]] = {}
        for flag in flags or []:
            self._flags.setdefault(int(back[flag.row]), []).append(flag)
        self._flagged_rows = np.array(list(self._flags), np.int64)

    def between(self, symbol: str, start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
        """Return first row and end of a symbol's rows from `start_ns` to `end_ns`, inclusive."""
        first, end = self.symbols.get(symbol, (0, 0))
        times = self.times[first:end]
        low = 0 if start_ns is None else int(np.searchsorted(times, start_ns, side="left"))
        high = len(times)
        if end_ns is not None:
            high = max(low, int(np.searchsorted(times, end_ns, side="right")))
        return first + low, first + high

    def shown(self, first: int, end: int, count: int) -> Ints:
        """Return the rows of a range that happened within the tape's first `count`."""
        return first + np.flatnonzero(self.places[first:end] < count).astype(np.int64)

    def flagged(self, rows: Ints, count: int) -> dict[int, str]:
        """Return which of `rows`, by their place in it, are flagged by now, and the word of `u`."""
        found = {}
        for place in np.flatnonzero(np.isin(rows, self._flagged_rows)).tolist():
            words = [flag.word for flag in self._flags[int(rows[place])] if flag.place < count]
            if words:
                found[place] = words[-1]
        return found


class TapeIndex:
    """The indexes of a tape's kinds, each made when first asked for.

    Bars are two kinds here, as they are two timeframes: `minute` (with the updated ones, which
    replace them) and `day`.
    """

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.books = BookKeeper(tape)
        self._made: dict[str, Index | None] = {}

    def kind(self, kind: str) -> Index | None:
        """Return the index of a kind, None when the tape has none of it."""
        if kind not in self._made:
            self._made[kind] = self._make(kind)
        return self._made[kind]

    def _make(self, kind: str) -> Index | None:
        tape = self.tape
        if kind in ("minute", "day"):
            return self._bars(("day",) if kind == "day" else ("minute", "updated"))
        if kind not in tape.tables:
            return None
        if kind == "trades":
            return Index(*amended_trades(tape))
        return Index(tape.tables[kind], tape.places(kind))

    def _bars(self, spans: tuple[str, ...]) -> Index | None:
        bars = self.tape.tables.get("bars")
        if bars is None:
            return None
        wanted = pc.is_in(bars["span"], value_set=pa.array(spans))
        chosen = np.flatnonzero(wanted.to_numpy())
        table = bars.take(row_numbers(chosen))
        return Index(table, self.tape.places("bars")[chosen]) if len(chosen) else None


def _order(table: pa.Table) -> Ints:
    keys: list[Ints] = [_codes(table["symbol"]), table["event_ns"].to_numpy()]
    if "id" in table.column_names:
        # The order of the venue's cursors; an id that a family does not have counts as none.
        keys.append(_codes(table["exchange"]))
        ids: Any = table["id"]
        keys.append(ids.fill_null(UNSET).to_numpy())
    return np.lexsort(keys[::-1]).astype(np.int64)


def _codes(column: Column) -> Ints:
    """Return numbers that sort as the texts of a column do."""
    texts: Any = column
    coded: Any = flat(texts.fill_null("")).dictionary_encode()
    ranks = pc.rank(coded.dictionary, sort_keys="ascending").to_numpy().astype(np.int64)
    codes: Ints = ranks[coded.indices.to_numpy()]
    return codes
