"""Asks a terminal in a minute what no documentation says: books, ticks, latencies, clock.

Every answer comes from calls that a recording makes, too, and nothing is stored. A call cannot be
broken off from here: one that hangs, hangs the probe.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ticktape import mt5
from ticktape.clock import NS_PER_S
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5.books import PolledBooks
from ticktape.feeds.mt5.broker import BrokerClock, BrokerOffset
from ticktape.feeds.mt5.probed import BookFound, ProbeReport, SymbolFound, TicksFound
from ticktape.feeds.mt5.terminal import BookAnswer, Terminal, TickAnswer, raise_if_gone
from ticktape.feeds.mt5.ticks import BATCH

SYMBOLS_MAX = 10
"""So many of Market Watch are asked when none is named."""
_WARM_NS = 5 * NS_PER_S  # a book that has no row by then has none
_WARM_STEP_S = 0.02
_LOOK_NS = 100_000_000  # between two looks for ticks, as a recording does by default
_SAMPLE_S = 60
_SAMPLE_MAX = 20_000
_DAY_S = 86_400
_HISTORY_ROWS = 1_000

_TICKS = np.dtype(
    {
        "names": ["volume", "time_msc", "flags", "volume_real"],
        "formats": ["<u8", "<i8", "<u4", "<f8"],
        "offsets": [32, 40, 48, 52],
        "itemsize": mt5.TICK_BYTES,
    }
)


class ProbeClock(Protocol):
    """What a probe needs of a clock; a `WallClock` is one."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""

    def wall_at(self, mono_ns: int) -> int:
        """UTC nanoseconds of a monotonic instant."""


class Tools(Protocol):
    """What the probe is handed, for a room knows no other: all are functions."""

    def sleep_s(self, seconds: float) -> None:
        """Wait."""

    def flags_of(self, rows: list[tuple[int, float, int, float]]) -> int:
        """The BookFlags of an image."""

    def say(self, words: str) -> None:
        """Tell the person who waits what is being done."""

    def hold(self, symbol: str) -> tuple[bool | None, str]:
        """Whether another process may hold the same book, and what it found; None: not asked."""


def choose(watched: Sequence[tuple[str, int]]) -> list[str]:
    """Up to SYMBOLS_MAX symbols of Market Watch, those that say to have a book first."""
    ordered = sorted(watched, key=lambda each: each[1] <= 0)
    return [symbol for symbol, _ in ordered[:SYMBOLS_MAX]]


class Probe:
    """One probe of a terminal.

    Args:
        terminal: not yet opened; opened and closed here.
        clock: of all durations.
        tools: what else is needed.
    """

    def __init__(self, terminal: Terminal, clock: ProbeClock, tools: Tools) -> None:
        self._terminal = terminal
        self._clock = clock
        self._tools = tools
        self._broker_offset: BrokerOffset | None = None
        self._broker = BrokerClock(clock.wall_at, self._know)
        self._symbols: dict[str, SymbolFound] = {}
        self._booked: dict[str, int] = {}

    def _know(self, offset: BrokerOffset) -> None:
        self._broker_offset = offset

    def run(self, symbols: Sequence[str], seconds: float) -> ProbeReport:
        """Ask everything, with `seconds` of polling; without symbols those of Market Watch.

        Raises:
            Disconnected: the terminal cannot be reached, or is gone.
            Refused: it cannot be used, or shows no symbol.
        """
        self._tools.say(f"opening {self._terminal.where}")
        try:
            report = ProbeReport(
                self._terminal.where,
                self._terminal.open(),
                self._terminal.health(),
                symbols=self._symbols,
            )
            self._subscribe(list(symbols) or self._watched())
            self._warm()
            report.polled_s = self._poll(seconds)
            self._sample()
            report.broker = self._broker_offset
            self._ask_once(report)
        finally:
            self._terminal.close(list(self._booked))
        return report

    def _watched(self) -> list[str]:
        found = choose(self._terminal.market_watch())
        if not found:
            raise Refused(
                "the terminal's Market Watch shows no symbol",
                hint="Name some: ticktape probe mt5 EURUSD",
            )
        return found

    # Subscribing.

    def _subscribe(self, symbols: Sequence[str]) -> None:
        self._tools.say(f"asking for {', '.join(symbols)}")
        for symbol in dict.fromkeys(symbols):
            found = self._symbols[symbol] = SymbolFound()
            refusal = self._terminal.subscribe(symbol, book=False)
            if refusal is not None:
                found.refusal, found.hint = refusal
                continue
            found.ticks.newest_msc = self._terminal.last_tick_msc(symbol)
            book = found.book
            depth = self._terminal.instrument(symbol).get("ticks_bookdepth", 0)
            book.depth, book.polls.symbol = int(depth), symbol
            book.unsubscribed = _answer_words(self._ask_book(symbol))
            refusal = self._terminal.subscribe(symbol, book=True)
            if refusal is not None:
                book.refusal = refusal.words
                continue
            self._booked[symbol] = self._clock.monotonic_ns()
            book.first = _answer_words(self._ask_book(symbol))

    def _ask_book(self, symbol: str) -> BookAnswer:
        (answer,) = self._terminal.poll([symbol])
        if answer.image is None:
            raise_if_gone(answer.code, answer.text)
        return answer

    def _warm(self) -> None:
        """Wait for the first rows of each book."""
        waiting, until_ns = list(self._booked), self._clock.monotonic_ns() + _WARM_NS
        while waiting and self._clock.monotonic_ns() < until_ns:
            for symbol in list(waiting):
                answer = self._ask_book(symbol)
                if answer.image:
                    after_ns = answer.after_ns - self._booked[symbol]
                    self._symbols[symbol].book.rows_after_ms = after_ns / 1e6
                    waiting.remove(symbol)
            self._tools.sleep_s(_WARM_STEP_S)

    # Polling.

    def _poll(self, seconds: float) -> float:
        """Poll all books as fast as possible, and look for ticks; how many seconds it took."""
        if self._booked:
            self._tools.say(f"polling {', '.join(self._booked)} for {seconds:g} s")
        else:
            self._tools.say(f"no book to poll; looking for ticks for {seconds:g} s")
        books = PolledBooks(self._terminal, monotonic_ns=self._clock.monotonic_ns)
        books.watch(list(self._booked))
        self._see_all(books)
        books.counts()  # the first image of a book is no change
        began_ns = look_ns = self._clock.monotonic_ns()
        end_ns = began_ns + int(seconds * NS_PER_S)
        while (now_ns := self._clock.monotonic_ns()) < end_ns:
            self._see_all(books)
            if now_ns >= look_ns:
                look_ns = now_ns + _LOOK_NS
                self._look()
            if not self._booked or len(books.failing) == len(self._booked):
                self._tools.sleep_s(_LOOK_NS / NS_PER_S)
        elapsed_ns = self._clock.monotonic_ns() - began_ns
        for counts in books.counts():
            book = self._symbols[counts.symbol].book
            book.polls.add(counts)
            book.elapsed_ns = elapsed_ns
        return elapsed_ns / NS_PER_S

    def _see_all(self, books: PolledBooks) -> None:
        for image in books.take():
            self._see(image)

    def _see(self, image: mt5.Image) -> None:
        book, rows = self._symbols[image.symbol].book, mt5.unpack_rows(image.rows)
        book.images += 1
        for flag in mt5.BookFlag(self._tools.flags_of(rows)):
            name = str(flag.name).lower()
            book.flags[name] = book.flags.get(name, 0) + 1
        if not rows:
            return
        if book.rows_after_ms is None:  # it came after all
            book.rows_after_ms = (image.after_ns - self._booked[image.symbol]) / 1e6
        _take_rows(book, rows)

    def _look(self) -> None:
        """Ask for the ticks of the present second, as a recording does."""
        for symbol, found in self._symbols.items():
            if found.refusal:
                continue
            ticks = found.ticks
            if not ticks.newest_msc:
                ticks.newest_msc = self._terminal.last_tick_msc(symbol)
                continue
            answer = self._ask_ticks(symbol, ticks, ticks.newest_msc // 1_000, BATCH)
            newest_msc = mt5.last_msc(answer.rows) if answer.rows else 0
            if newest_msc > ticks.newest_msc:
                ticks.newest_msc = newest_msc
                is_full = len(answer.rows or b"") == BATCH * mt5.TICK_BYTES
                self._broker.see(newest_msc, answer.after_ns, is_live=not is_full)

    def _ask_ticks(self, symbol: str, ticks: TicksFound, from_s: int, count: int) -> TickAnswer:
        answer = self._terminal.copy_ticks(symbol, max(from_s, 1), count)
        ticks.called(answer.after_ns - answer.before_ns)
        if answer.rows is None:
            ticks.error = f"{answer.code} {answer.text!r}"
        return answer

    def _sample(self) -> None:
        """Look at the ticks of each symbol's last minute."""
        for symbol, found in self._symbols.items():
            ticks = found.ticks
            if not ticks.newest_msc:
                continue
            newest_s = ticks.newest_msc // 1_000
            answer = self._ask_ticks(symbol, ticks, newest_s - _SAMPLE_S, _SAMPLE_MAX)
            rows = np.frombuffer(answer.rows or b"", _TICKS)
            ticks.count = len(rows)
            ticks.same_ms = int((np.diff(rows["time_msc"]) == 0).sum())
            kinds, counts = np.unique(rows["flags"], return_counts=True)
            ticks.flags = dict(zip(kinds.tolist(), counts.tolist(), strict=True))
            ticks.fractions = bool((rows["volume"] != rows["volume_real"]).any())
            if self._broker_offset is not None:
                utc_ms = ticks.newest_msc - self._broker_offset.offset_ms
                now_ns = self._clock.wall_at(self._clock.monotonic_ns())
                ticks.age_s = (now_ns / 1e6 - utc_ms) / 1e3

    # What is asked once.

    def _ask_once(self, report: ProbeReport) -> None:
        """Questions after which the terminal may be gone: they come last."""
        books, ticks = report.books, report.ticks
        try:
            if books:
                self._share(report, books[0])
            if ticks:
                self._tools.say("asking for yesterday's ticks")
                report.history = self._history(ticks[0])
        except Disconnected as error:
            report.history = str(error.args[0])
        if books:
            self._tools.say("opening it again")
            try:
                self._terminal.open()
                report.after_reopen = _answer_words(self._ask_book(books[0]))
            except Disconnected as error:
                report.after_reopen = str(error.args[0])

    def _share(self, report: ProbeReport, symbol: str) -> None:
        report.can_share, report.second = self._tools.hold(symbol)
        if report.can_share is None:
            return
        # The other one has left by now: what it released was its own, or ours, too.
        answer = self._ask_book(symbol)
        if not answer.image:
            report.can_share = False
            report.second += f"; ours then answered {_answer_words(answer)}"

    def _history(self, symbol: str) -> str:
        ticks = self._symbols[symbol].ticks
        from_s = max(ticks.newest_msc // 1_000 - _DAY_S, 1)
        answer = self._terminal.copy_ticks(symbol, from_s, _HISTORY_ROWS)
        took_ms = (answer.after_ns - answer.before_ns) / 1e6
        if answer.rows is None:
            return f"{symbol}: None ({answer.code} {answer.text!r}) after {took_ms:,.1f} ms"
        return f"{symbol}: {len(answer.rows) // mt5.TICK_BYTES:,} ticks in {took_ms:,.1f} ms"


def _answer_words(answer: BookAnswer) -> str:
    """What market_book_get answered: rows, (), or None with its error."""
    if answer.image is None:
        return f"None ({answer.code} {answer.text!r})"
    image = answer.image
    count = len(image) // mt5.ROW_BYTES if isinstance(image, bytes) else len(image)
    return f"{count} rows" if count else "()"


def _take_rows(book: BookFound, rows: list[tuple[int, float, int, float]]) -> None:
    bids = [row for row in rows if row[0] in mt5.BID_TYPES]
    asks = [row for row in rows if row[0] not in mt5.BID_TYPES]
    book.asks, book.bids = max(book.asks, len(asks)), max(book.bids, len(bids))
    book.fractions = book.fractions or any(row[2] != row[3] for row in rows)
    book.shown = [rows[0], *asks[-1:], *bids[:1], rows[-1]]
