"""Which gaps of a terminal's feed the history of its ticks has filled; pure.

Ticks are asked for by a cursor, so that what came in a gap is fetched after it; a book that was
polled has no history. A gap is never called healed before every symbol's ticks are past its end.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
import numpy as np

from ticktape import mt5
from ticktape.feeds.gapkeeper import Content

_TICKS = "ticks"
_BOOKS = "books"
_WAITING_MAX = 100  # they are noted each second; those beyond stay open
_NS_PER_MS = 1_000_000
_TIMES = np.dtype(
    {"names": ["time_msc"], "formats": ["<i8"], "offsets": [40], "itemsize": mt5.TICK_BYTES}
)


class ClosedGap(msgspec.Struct, omit_defaults=True):
    """A gap that is over; `ticks` of it were fetched since. It is the JSON of a note, too."""

    from_ns: int
    to_ns: int
    cause: str = ""
    symbol: str = ""
    ticks: int = 0


class Cursor(Protocol):
    """What is needed of a symbol's cursor (`ticks.TickCursor`).

    `since_ns` is when it began, 0 for before this process, -1 when it has not begun; at
    `caught_up_ns` the history had no more than was taken; both monotonic.
    """

    @property
    def symbol(self) -> str:
        """As the terminal calls it."""

    @property
    def cursor(self) -> tuple[int, int] | None:
        """(Newest millisecond, how many of it were delivered)."""

    @property
    def since_ns(self) -> int:
        """When it began."""

    @property
    def caught_up_ns(self) -> int:
        """When it last had all that there was."""

    @property
    def is_set_back(self) -> bool:
        """Whether ticks are lost behind the cursor, for the broker's clock was set back."""


class _Waiting(msgspec.Struct):
    gap: ClosedGap
    closed_ns: int  # monotonic; 0 for in an earlier process


class TickHealing:
    """The closed gaps of one feed whose ticks are still being fetched.

    Args:
        cursors: of all symbols with ticks.
        has_books: whether books are polled, too: a gap of them cannot be healed.
        wall_at: our wall clock at a monotonic instant.
        gaps: those that an earlier process left.
    """

    def __init__(
        self,
        cursors: Sequence[Cursor],
        wall_at: Callable[[int], int],
        gaps: Iterable[ClosedGap] = (),
        *,
        has_books: bool,
    ) -> None:
        self._cursors = cursors
        self._wall_at = wall_at
        self._has_books = has_books
        self._waiting = [_Waiting(gap, 0) for gap in gaps]
        self._down_ticks = 0

    @property
    def waiting(self) -> list[ClosedGap]:
        """The gaps that wait, for a note: a later process must know them."""
        return [each.gap for each in self._waiting]

    def close(self, content: Content, now_ns: int) -> bool:
        """Take the gaps that an entry of ours ends; whether there were any whose ticks can come.

        `now_ns` is monotonic. Planned pauses are no loss, and stay what they are.
        """
        before = len(self._waiting)
        for gap in content.gaps or ():
            symbol = gap["symbol"]
            if gap["to_ns"] is None or gap.get("planned") or not self._can_come(gap):
                continue
            ticks = 0 if symbol else self._down_ticks
            closed = ClosedGap(gap["from_ns"], gap["to_ns"], gap["cause"], symbol, ticks)
            self._waiting.append(_Waiting(closed, now_ns))
        found = len(self._waiting) > before
        del self._waiting[:-_WAITING_MAX]
        if not content.down_since_ns:
            self._down_ticks = 0
        return found

    def _can_come(self, gap: Mapping[str, Any]) -> bool:
        """Whether the cursors stood when the gap began: one that begins later knows no place."""
        if gap["symbol"] and gap.get("channels") != _TICKS:
            return False  # of its book, of which there is no history
        of = self._of(gap["symbol"])
        return bool(of) and all(
            each.since_ns >= 0 and self._wall_at(each.since_ns) <= gap["from_ns"] for each in of
        )

    def _of(self, symbol: str) -> list[Cursor]:
        return [each for each in self._cursors if symbol in ("", each.symbol)]

    def see(self, batches: Sequence[mt5.TickBatch], down_since_ns: int) -> None:
        """Count the ticks that came of gaps; `down_since_ns` is of the one that lasts, or 0."""
        if not self._waiting and not down_since_ns:
            return
        for batch in batches:
            msc = np.frombuffer(batch.rows, _TIMES)["time_msc"] - batch.offset_ms
            if down_since_ns:
                self._down_ticks += int((msc >= down_since_ns // _NS_PER_MS).sum())
            for gap in self.waiting:
                if gap.symbol in ("", batch.symbol):
                    from_msc, to_msc = gap.from_ns // _NS_PER_MS, gap.to_ns // _NS_PER_MS
                    gap.ticks += int(((msc >= from_msc) & (msc <= to_msc)).sum())

    def finished(self, offset_ms: int) -> Iterator[Content]:
        """Give the entry of each gap whose ticks are all there now, and forget the gap.

        `offset_ms` is the broker's, of the times in the cursors.
        """
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            gap = each.gap
            of = self._of(gap.symbol)
            if any(cursor.is_set_back for cursor in of):
                continue  # its ticks are lost, and it stays open
            if all(_is_past(cursor, each, offset_ms) for cursor in of):
                yield self._entry(gap)
            else:
                self._waiting.append(each)

    def _entry(self, gap: ClosedGap) -> Content:
        words = f"{gap.ticks:,} ticks of the gap were fetched from the terminal's history"
        state, channels = "healed", _TICKS if gap.symbol else ""
        if self._has_books and not gap.symbol:
            state, channels = "unhealable", _BOOKS
            words += "; a polled book has no history: what it showed meanwhile nobody knows"
        told = msgspec.structs.asdict(gap)
        del told["ticks"]
        told |= {"planned": False, "state": state, "channels": channels}
        return Content(state, words=words, gap=told)


def _is_past(cursor: Cursor, waiting: _Waiting, offset_ms: int) -> bool:
    """Whether all of the history was taken after the gap, and a tick from behind its end was seen.

    The second alone shows that the history did not end before the gap, where nothing else can tell.
    """
    if cursor.cursor is None or not cursor.caught_up_ns > waiting.closed_ns:
        return False
    return (cursor.cursor[0] - offset_ms) * _NS_PER_MS >= waiting.gap.to_ns
