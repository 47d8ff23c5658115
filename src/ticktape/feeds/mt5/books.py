"""Polls the books of one terminal: which answers are news, and which are not.

Three outcomes are kept apart: rows, an empty book, an error with its code. Nothing is sorted,
repaired or left out; what did not change is counted and not stored.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ticktape import clock, mt5
from ticktape.feeds.mt5.codes import PIPE_CODES, call_words, disconnected
from ticktape.feeds.mt5.counts import SymbolPolls
from ticktape.feeds.mt5.terminal import BookAnswer, Refusal, Terminal
from ticktape.feeds.mt5.watch import GAP_NS
from ticktape.polls import PollCounts

if TYPE_CHECKING:
    from ticktape.errors import Disconnected

KEYFRAME_NS = 60 * clock.NS_PER_S
"""So often an image is stored although nothing changed: nobody must read further back."""
FAILING_NS = clock.NS_PER_S
"""A symbol whose calls fail for so long is one that is not recorded."""
# A plain number: the operators of an enum cost a microsecond each.
_KEYFRAME = int(mt5.Mark.KEYFRAME)
RETRY_NS = (100_000_000, 500_000_000, 2 * clock.NS_PER_S, 10 * clock.NS_PER_S, 30 * clock.NS_PER_S)


class Failing(NamedTuple):
    """A symbol whose calls fail: since when (monotonic), and why."""

    since_ns: int
    words: str


class BookSource(Protocol):
    """Where images come from: polled by us, or pushed by a bridge that polls for us."""

    @property
    def failing(self) -> dict[str, Failing]:
        """Symbols whose calls fail for longer than a moment."""

    @property
    def refusal(self) -> Refusal | None:
        """Why the better way to get images is not gone; None when it is."""

    @property
    def is_self_paced(self) -> bool:
        """Whether `take` waits by itself for what comes next."""

    @property
    def late(self) -> int:
        """Passes of a self-paced source that began after their time; only grows."""

    def set_interval_ns(self, interval_ns: int) -> None:
        """Change the pace of a source that is self-paced."""

    def resume(self, *, after_gap: bool) -> None:
        """A session begins, `after_gap` behind a hole; each symbol begins with a keyframe."""

    def watch(self, symbols: Sequence[str]) -> None:
        """Take images of these symbols from now on; what is new begins with a keyframe."""

    def take(self, wait_s: float) -> list[mt5.Image]:
        """The next images: after one pass, or when they come, within `wait_s`.

        Raises:
            Disconnected: the terminal is gone; images before that were given.
        """

    def counts(self) -> list[PollCounts]:
        """What was polled since the last time."""

    def close(self) -> list[mt5.Image]:
        """Stop; images that came and were not taken. Never raises."""


class _Symbol:
    """What is known of one symbol between two polls."""

    __slots__ = (
        "errors",
        "failing_since_ns",
        "keyframe_at_ns",
        "marks",
        "packed",
        "poll",
        "polls",
        "previous_ns",
        "raw",
        "retry_at_ns",
        "unchanged",
    )

    def __init__(self, symbol: str, marks: int) -> None:
        self.polls = SymbolPolls(symbol)
        self.poll = 0
        self.unchanged = 0
        self.raw: Any = None  # None: the next answer is news, whatever it is
        self.packed = b""
        self.previous_ns: int | None = None
        self.keyframe_at_ns = 0
        self.marks = marks
        self.failing_since_ns = 0
        self.errors = 0
        self.retry_at_ns = 0


class PolledBooks:
    """Books of a terminal, polled in passes by the caller's pace.

    Args:
        terminal: asked for all symbols at once.
        marks: set on every image: which leg this is.
        monotonic_ns: the clock of retries.
    """

    def __init__(
        self,
        terminal: Terminal,
        marks: int = 0,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
    ) -> None:
        self.failing: dict[str, Failing] = {}
        self.refusal: Refusal | None = None
        self.is_self_paced = False
        self.late = 0
        self._terminal = terminal
        self._marks = marks
        self._monotonic_ns = monotonic_ns
        self._symbols: dict[str, _Symbol] = {}
        self._order: list[str] = []
        self._first_marks = 0
        self._has_errors = False
        self._gone: Disconnected | None = None

    def watch(self, symbols: Sequence[str]) -> None:
        """Poll these from the next pass on; one that was polled before goes on as it stands."""
        known, marks = self._symbols, self._first_marks
        self._symbols = {symbol: known.get(symbol) or _Symbol(symbol, marks) for symbol in symbols}
        self._order = list(symbols)
        self.failing = {symbol: why for symbol, why in self.failing.items() if symbol in symbols}

    def resume(self, *, after_gap: bool) -> None:
        """A session begins: nothing that was known before says how a book stands now."""
        self._gone = None
        self._symbols, self._order, self.failing = {}, [], {}
        self._has_errors = False
        self._first_marks = int(mt5.Mark.AFTER_GAP) if after_gap else 0

    def take(self, wait_s: float = 0.0) -> list[mt5.Image]:
        """Poll every symbol once; the images that are news.

        Raises:
            Disconnected: the terminal is gone; what the pass brought before that was given.
        """
        if self._gone is not None:
            raise self._gone
        order = self._order
        if self._has_errors:
            now_ns = self._monotonic_ns()
            order = [each for each in order if self._symbols[each].retry_at_ns <= now_ns]
        images = []
        for answer in self._terminal.poll(order):
            image = self._see(self._symbols[answer.symbol], answer)
            if image is not None:
                images.append(image)
        if self._gone is not None and not images:
            raise self._gone
        return images

    def _see(self, state: _Symbol, answer: BookAnswer) -> mt5.Image | None:
        polls, before_ns, raw = state.polls, answer.before_ns, answer.image
        state.poll += 1
        polls.calls.append(call_ns(answer))
        if raw is None:
            # This poll saw nothing: what comes next changed after the one before it.
            self._failed(state, answer)
            return None
        previous_ns, state.previous_ns = state.previous_ns, before_ns
        if previous_ns is not None and answer.symbol not in self.failing:
            # What a failing symbol missed is a gap of its own.
            gap_ns = before_ns - previous_ns
            polls.gaps.append(gap_ns)
            if gap_ns >= GAP_NS:
                polls.gap_end_ns = before_ns
        if state.errors:
            state.errors = state.failing_since_ns = state.retry_at_ns = 0
            self.failing.pop(answer.symbol, None)
            self._has_errors = any(each.errors for each in self._symbols.values())
        if not raw:
            polls.empty += 1
        if raw == state.raw and before_ns < state.keyframe_at_ns:
            state.unchanged += 1
            polls.unchanged += 1
            return None
        return self._news(state, answer, previous_ns)

    def _news(
        self, state: _Symbol, answer: BookAnswer, previous_ns: int | None
    ) -> mt5.Image | None:
        polls, raw = state.polls, answer.image
        packed = raw if isinstance(raw, bytes) else mt5.pack_rows(raw)
        is_first = state.raw is None
        state.raw = raw
        # By the bytes: a price that is not a number never equals itself.
        same = packed == state.packed and not is_first
        if same:
            state.unchanged += 1
            polls.unchanged += 1
            if answer.before_ns < state.keyframe_at_ns:
                return None
        else:
            polls.changed += 1
            # The first one says nothing of how soon a change follows a change.
            polls.after_one += state.unchanged == 0 and not is_first
            polls.after_two += state.unchanged == 1 and not is_first
        count = len(packed) // mt5.ROW_BYTES
        polls.rows_min = count if polls.rows_min < 0 else min(polls.rows_min, count)
        polls.rows_max = max(polls.rows_max, count)
        polls.stored += 1
        marks = self._marks | state.marks
        if same or is_first:
            marks |= _KEYFRAME
        image = mt5.Image(
            answer.symbol,
            answer.before_ns,
            answer.after_ns,
            previous_ns,
            state.poll,
            state.unchanged,
            marks,
            packed,
            answer.remote,
        )
        state.packed, state.unchanged, state.marks = packed, 0, 0
        state.keyframe_at_ns = answer.before_ns + KEYFRAME_NS
        return image

    def _failed(self, state: _Symbol, answer: BookAnswer) -> None:
        code = str(answer.code)
        errors = state.polls.errors
        errors[code] = errors.get(code, 0) + 1
        said = call_words(answer.code, answer.text)
        if answer.code in PIPE_CODES:
            self._gone = disconnected(said)
            return
        state.failing_since_ns = state.failing_since_ns or answer.before_ns
        state.retry_at_ns = answer.after_ns + RETRY_NS[min(state.errors, len(RETRY_NS) - 1)]
        state.errors += 1
        self._has_errors = True
        if answer.after_ns - state.failing_since_ns >= FAILING_NS:
            since_ns = state.previous_ns or state.failing_since_ns
            self.failing.setdefault(answer.symbol, Failing(since_ns, said[0]))

    def counts(self) -> list[PollCounts]:
        """What was polled since the last time, by symbol."""
        return [each.polls.take() for each in self._symbols.values()]

    def set_interval_ns(self, interval_ns: int) -> None:
        """Nothing: the caller keeps the pace."""

    def close(self) -> list[mt5.Image]:
        """Nothing runs beside the caller's own thread, and nothing is kept."""
        return []


def call_ns(answer: BookAnswer) -> int:
    """How long the call took: by the bridge's own clock where it was there, ours only encloses."""
    remote = answer.remote
    if remote is not None:
        return remote.after - remote.before
    return answer.after_ns - answer.before_ns
