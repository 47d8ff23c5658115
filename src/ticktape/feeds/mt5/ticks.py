"""Every tick once: a cursor over a call whose lower bound is a whole second.

The cursor is (newest millisecond, how many of it were delivered). Two identical ticks in one
millisecond are two ticks: nothing is ever left out for looking alike.
"""

import numpy as np

from ticktape import clock, mt5
from ticktape.clock import NS_PER_S
from ticktape.errors import Disconnected
from ticktape.feeds.mt5.books import FAILING_NS
from ticktape.feeds.mt5.broker import BrokerClock
from ticktape.feeds.mt5.terminal import Terminal

BATCH = 4_096
"""What a terminal keeps at hand of a symbol without a book; more is asked for when that is full."""
_BATCH_MAX = 1 << 20
_ROUNDS_MAX = 8  # calls for one symbol before the books have their turn again
_BACK_MS = 600_000  # no tick is so much older than one before it, but by the broker's clock
_BACK_NS = 5 * NS_PER_S  # how often that is looked for while no ticks come
_FIRST_MS = 1_000  # between two looks a symbol's very first ticks may span as much
_TIMES = np.dtype({"names": ["time_msc"], "formats": ["<i8"], "offsets": [40], "itemsize": 60})


class TickCursor:
    """The ticks of one symbol.

    Args:
        symbol: as the terminal calls it.
        cursor: (newest millisecond, how many of it were delivered); None begins with the next tick.
        marks: set on every batch: which leg this is.

    `since_ns` is when it began, 0 for before this process and -1 for not yet; at `caught_up_ns`
    the terminal had no more than was taken. Both are monotonic.
    """

    def __init__(self, symbol: str, cursor: tuple[int, int] | None = None, marks: int = 0) -> None:
        self.symbol = symbol
        self.cursor = cursor
        self.delivered = 0
        self.failing = ""
        self.since_ns = -1 if cursor is None else 0
        self.caught_up_ns = 0
        self._failing_since_ns = 0
        self._set_back = ""
        self._look_at_ns = 0
        self._marks = marks
        self._after_gap = cursor is not None

    def start(self, terminal: Terminal) -> None:
        """Begin behind what is there now; a cursor that is known stays.

        Without any tick there is no place yet: to ask from the epoch on would bring all of history.

        Raises:
            Disconnected: the terminal is gone.
        """
        if self.cursor is not None:
            return
        newest = terminal.last_tick_msc(self.symbol)
        if newest <= 0:
            return
        answer = terminal.copy_ticks(self.symbol, _second_of(newest), BATCH)
        times = _times(answer.rows or b"")
        if len(times):
            newest = max(newest, int(times[-1]))
        self.cursor = (newest, int((times == newest).sum()))
        self.since_ns = clock.monotonic_ns()

    @property
    def is_set_back(self) -> bool:
        """Whether ticks are lost behind the cursor, for the broker's clock was set back."""
        return bool(self._set_back)

    def resume(self) -> None:
        """A session begins: what comes next fills the hole before it from the history."""
        self._after_gap = self.cursor is not None
        self.failing = self._set_back = ""
        self._failing_since_ns = self._look_at_ns = 0

    def take(self, terminal: Terminal, broker: BrokerClock) -> list[mt5.TickBatch]:
        """All ticks since the last call, or as many as a few calls bring.

        Raises:
            Disconnected: the terminal is gone; what came before that is lost to this call alone.
        """
        found: list[mt5.TickBatch] = []
        if self.cursor is None:
            newest = terminal.last_tick_msc(self.symbol)
            if newest <= 0:
                return found
            self.cursor = (newest - _FIRST_MS, 0)
            self.since_ns = clock.monotonic_ns()
        count = BATCH
        for _ in range(_ROUNDS_MAX):
            before = self.cursor
            try:
                batch, is_full = self._ask(terminal, broker, before, count)
            except Disconnected:
                if not found:
                    raise
                break  # the next call finds the same; these are here
            if batch is not None:
                found.append(batch)
            if not is_full:
                break
            if self.cursor == before and count < _BATCH_MAX:
                count *= 2  # a whole batch of this second was delivered before
        return found

    def _ask(
        self, terminal: Terminal, broker: BrokerClock, cursor: tuple[int, int], count: int
    ) -> tuple[mt5.TickBatch | None, bool]:
        newest, seen = cursor
        answer = terminal.copy_ticks(self.symbol, _second_of(newest), count)
        if answer.rows is None:
            self._failing_since_ns = self._failing_since_ns or answer.before_ns
            # The history still has them: that one call fails costs nothing.
            if answer.after_ns - self._failing_since_ns >= FAILING_NS:
                self.failing = f"copy_ticks_from fails ({answer.code} {answer.text!r})"
            return None, False
        self.failing, self._failing_since_ns = self._set_back, 0
        times = _times(answer.rows)
        low = int(times.searchsorted(newest, "left"))
        high = int(times.searchsorted(newest, "right"))
        is_full = len(times) == count
        if not is_full:
            self.caught_up_ns = answer.before_ns
        marks = self._marks
        if high - low < seen:
            marks |= mt5.Mark.REGRESS  # of that millisecond there were more: history was rewritten
        first = low + min(seen, high - low)
        rows = answer.rows[first * mt5.TICK_BYTES :]
        if not rows:
            if not is_full:
                self._look_back(terminal, newest, answer.after_ns)
            return None, is_full
        self.failing = self._set_back = ""
        if self._after_gap:
            marks |= mt5.Mark.AFTER_GAP
        tail = int(times[-1])
        of_tail = int((times[first:] == tail).sum())
        self.cursor = (tail, seen + of_tail if tail == newest else of_tail)
        self.delivered += len(times) - first
        broker.see(tail, answer.after_ns, is_live=not is_full)
        self._after_gap = is_full and self._after_gap
        batch = mt5.TickBatch(
            self.symbol,
            answer.before_ns,
            answer.after_ns,
            broker.offset_ms,
            self.cursor[1],
            marks,
            rows,
        )
        return batch, is_full

    def _look_back(self, terminal: Terminal, newest: int, now_ns: int) -> None:
        """See whether the broker's clock was set back: its ticks hide behind those that we have.

        They cannot be told from the ones of the hour before; that they are missing can be said.
        """
        if now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + _BACK_NS
        last = terminal.last_tick_msc(self.symbol)
        if 0 < last < newest - _BACK_MS:
            self.failing = self._set_back = (
                "the broker's clock was set back: ticks are lost until it is where it was"
            )


def _second_of(msc: int) -> int:
    # Second 0 is refused by some terminals; there was no tick in it.
    return max(msc // 1_000, 1)


def _times(rows: bytes) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    found: np.ndarray[tuple[int], np.dtype[np.int64]] = np.frombuffer(rows, _TIMES)["time_msc"]
    return found
