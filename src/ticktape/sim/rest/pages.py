"""One page of a history: rows over all symbols, symbol by symbol, and the token for the rest.

A page never holds more rows than asked for. Whoever follows the tokens gets each row exactly once
that had happened when the first page was made, in the order of `index`.
"""

from typing import NamedTuple

import numpy as np

from ticktape.sim.jsontext import row_numbers
from ticktape.sim.rest.cursors import Cursor, Tokens
from ticktape.sim.rest.index import Index
from ticktape.sim.rest.parameters import Wanted
from ticktape.sim.rest.rowtexts import row_texts
from ticktape.sim.tape import Ints


class Page(NamedTuple):
    """Symbol -> the JSON objects of its rows; `token` is None at the end."""

    rows: dict[str, list[str]]
    token: str | None


class Pager:
    """Cuts the rows of one kind into pages; `count` rows of the tape have happened."""

    def __init__(self, index: Index, family: str, kind: str, wanted: Wanted, count: int) -> None:
        self._index = index
        self._family = family
        self._kind = kind
        self._tokens = Tokens(family, kind, descending=wanted.descending)
        self._wanted = wanted
        self._count = count
        self._cursor = self._tokens.read(wanted.token) if wanted.token else None

    def page(self, limit: int) -> Page:
        """Return the next page, of at most `limit` rows."""
        taken: list[tuple[str, Ints]] = []
        room = limit
        for symbol in self._wanted.symbols:
            if self._cursor is not None and symbol < self._cursor.symbol:
                continue
            rows = self._rows(symbol)
            if len(rows) and room:
                taken.append((symbol, rows[:room]))
            if len(rows) > room:
                return Page(self._texts(taken), self._token(taken))
            room -= len(rows)
        return Page(self._texts(taken), None)

    def _rows(self, symbol: str) -> Ints:
        """Return a symbol's rows that are still to be given, in the order wanted."""
        first, end = self._index.between(symbol, self._wanted.start_ns, self._wanted.end_ns)
        if self._cursor is not None and symbol == self._cursor.symbol:
            first, end = self._rest(first, end, self._cursor)
        rows = self._index.shown(first, max(first, end), self._count)
        if self._tokens.is_bar and len(rows):
            # An updated bar replaces the one before it, and a day's bar all earlier ones of it.
            times = self._index.times[rows]
            rows = rows[np.append(times[1:] != times[:-1], True)]
        return rows[::-1] if self._wanted.descending else rows

    def _rest(self, first: int, end: int, cursor: Cursor) -> tuple[int, int]:
        """Return what is left of a range after the cursor's row."""
        low, high = self._index.between(cursor.symbol, cursor.event_ns, cursor.event_ns)
        row = self._row_of(cursor, low, high)
        if self._tokens.is_bar:  # one to a time, whichever of its versions
            before, after = low, high
        elif row is None:  # not on this tape: rather its whole nanosecond again than a hole
            before, after = high, low
        else:
            before, after = row, row + 1
        if self._wanted.descending:
            return first, min(end, before)
        return max(first, after), end

    def _row_of(self, cursor: Cursor, low: int, high: int) -> int | None:
        ties = self._tokens.ties(self._index.table.slice(low, high - low))
        same = [row for row, tie in enumerate(ties, low) if tie == cursor.tie]
        return same[cursor.number] if cursor.number < len(same) else None

    def _token(self, taken: list[tuple[str, Ints]]) -> str:
        symbol, rows = taken[-1]
        last = int(rows[-1])
        event_ns = int(self._index.times[last])
        low, high = self._index.between(symbol, event_ns, event_ns)
        ties = self._tokens.ties(self._index.table.slice(low, high - low))
        tie = ties[last - low]
        number = ties[: last - low].count(tie)
        return self._tokens.write(Cursor(symbol, event_ns, tie, number))

    def _texts(self, taken: list[tuple[str, Ints]]) -> dict[str, list[str]]:
        if not taken:
            return {}
        # All symbols at once: a call for each of thousands would take seconds.
        rows = np.concatenate([rows for _, rows in taken])
        kind = "bars" if self._tokens.is_bar else self._kind
        texts = row_texts(self._family, kind, self._index.table.take(row_numbers(rows)))
        for place, word in self._index.flagged(rows, self._count).items():
            texts[place] = f'{texts[place][:-1]},"u":"{word}"}}'
        found, first = {}, 0
        for symbol, own in taken:
            found[symbol] = texts[first : first + len(own)]
            first += len(own)
        return found
