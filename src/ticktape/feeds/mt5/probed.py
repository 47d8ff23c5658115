"""What a probe found at a terminal, and what follows from that for a config; pure.

Nothing here knows a login: a report may be shown to anyone.
"""

from typing import Any

import msgspec

from ticktape.feeds.mt5.broker import BrokerOffset
from ticktape.feeds.mt5.pace import AUTO_RATIO, wanted_interval_ns
from ticktape.feeds.mt5.terminal import Facts, Health
from ticktape.feeds.mt5.watch import STALL_NS
from ticktape.polls import PollTotals, bucket_of, quantile_ns

Row = tuple[int, float, int, float]
"""Type, price, volume and volume_dbl of one row of a book."""

_AS_FAST_NS = 200_000  # a shorter interval is as fast as possible, in effect
_POLL_MS_MAX = 1_000.0


class BookFound(msgspec.Struct):
    """One symbol's book. `refusal` says why there is none; the rest is empty then.

    `unsubscribed` and `first` are what market_book_get answered before market_book_add and right
    behind it. `asks` and `bids` are the most rows of a side, `flags` counts images by what is
    remarkable about them, `shown` are first row, last ask, first bid and last row of the last image
    with rows. `elapsed_ns` is how long it was polled.
    """

    refusal: str = ""
    unsubscribed: str = ""
    first: str = ""
    rows_after_ms: float | None = None
    depth: int = 0
    asks: int = 0
    bids: int = 0
    images: int = 0
    flags: dict[str, int] = {}
    fractions: bool = False
    shown: list[Row] = []
    elapsed_ns: int = 0
    polls: PollTotals = msgspec.field(default_factory=lambda: PollTotals(""))

    @property
    def has_rows(self) -> bool:
        """Whether it ever showed a row."""
        return self.rows_after_ms is not None

    @property
    def change_ratio(self) -> float:
        """The share of polls that saw a change, polled as fast as possible."""
        return self.polls.changed / self.polls.polls if self.polls.polls else 0.0

    @property
    def poll_ms(self) -> float | None:
        """The config's `poll_ms` for which one poll in five would see a change.

        0: as fast as possible, and not even then. None: nothing changed, so that nobody knows.
        """
        if not self.polls.changed or not self.elapsed_ns:
            return None
        wanted_ns = wanted_interval_ns(self.polls.changed, self.polls.polls, self.elapsed_ns)
        if wanted_ns <= max(self.elapsed_ns / self.polls.polls, _AS_FAST_NS):
            return 0.0
        return min(_two_digits(wanted_ns / 1e6), _POLL_MS_MAX)


class TicksFound(msgspec.Struct):
    """One symbol's ticks: `flags` by their number, and how many of `count` in the last minute.

    `newest_msc` is on the broker's clock; `same_ms` have the millisecond of the one before them.
    `calls` count how long copy_ticks_from took, by `polls.bucket_of`.
    """

    newest_msc: int = 0
    age_s: float | None = None
    count: int = 0
    same_ms: int = 0
    flags: dict[int, int] = {}
    fractions: bool = False
    error: str = ""
    calls: dict[int, int] = {}
    call_max_ns: int = 0

    def called(self, ns: int) -> None:
        """Note how long a call took."""
        bucket = bucket_of(ns)
        self.calls[bucket] = self.calls.get(bucket, 0) + 1
        self.call_max_ns = max(self.call_max_ns, ns)


class SymbolFound(msgspec.Struct):
    """One symbol; `refusal` says why there is neither book nor tick of it."""

    refusal: str = ""
    hint: str = ""
    book: BookFound = msgspec.field(default_factory=BookFound)
    ticks: TicksFound = msgspec.field(default_factory=TicksFound)


class ProbeReport(msgspec.Struct):
    """All that was found; `history`, `after_reopen` and `second` are answers in words.

    `second` and `can_share` say whether another process may hold the same book; None: not asked.
    """

    where: str
    facts: Facts
    health: Health
    polled_s: float = 0.0
    symbols: dict[str, SymbolFound] = {}
    broker: BrokerOffset | None = None
    history: str = ""
    after_reopen: str = ""
    second: str = ""
    can_share: bool | None = None

    @property
    def books(self) -> list[str]:
        """Symbols whose book can be recorded."""
        return [name for name, each in self.symbols.items() if each.book.has_rows]

    @property
    def ticks(self) -> list[str]:
        """Symbols whose ticks can be recorded."""
        return [name for name, each in self.symbols.items() if each.ticks.newest_msc]

    @property
    def poll_ms(self) -> float | None:
        """What the busiest book needs; None when none changed."""
        wanted = [self.symbols[name].book.poll_ms for name in self.books]
        return min((each for each in wanted if each is not None), default=None)

    def notes(self) -> list[str]:
        """What stands in the way, and what to do about it."""
        found = [] if self.health.connected else [_UNLINKED]
        for name, each in self.symbols.items():
            if each.refusal:
                found.append(f"{each.refusal}. {each.hint}")
            elif each.book.refusal:
                found.append(each.book.refusal)
            elif not each.book.has_rows:
                found.append(f"the book of {name} is subscribed and stays empty: {_CLOSED}")
        return [*found, *self._pace_notes()]

    def _pace_notes(self) -> list[str]:
        found = []
        if self.books and self.poll_ms is None:
            found.append(f"no book changed in {self.polled_s:.0f} s: {_CLOSED}")
        fast = {name: self.symbols[name].book.change_ratio for name in self.books}
        busiest = max(fast, key=lambda name: fast[name], default="")
        if busiest and fast[busiest] > AUTO_RATIO:
            found.append(
                f"as fast as possible, {fast[busiest]:.0%} of the polls of {busiest} see a change:"
                " more than a tenth of its states is missed. Fewer books in a feed are polled"
                " more often."
            )
        slow_ns = max((each.book.polls.call_max_ns for each in self.symbols.values()), default=0)
        if slow_ns >= STALL_NS:
            found.append(
                f"a call took {slow_ns / 1e6:,.0f} ms: meanwhile nothing was polled. The terminal"
                " was busy, or this machine is."
            )
        if self.ticks and self.broker is None:
            found.append(
                "too few fresh ticks to know the broker's clock: a recording notes it as soon as"
                " three agree."
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """For programs: times in µs where they say so, percentiles in place of histograms."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        content["facts"], content["health"] = self.facts._asdict(), self.health._asdict()
        content["broker"] = None if self.broker is None else self.broker._asdict()
        for name, each in self.symbols.items():
            book, ticks = content["symbols"][name]["book"], content["symbols"][name]["ticks"]
            book |= {"polls": each.book.polls.to_json(), "poll_ms": each.book.poll_ms}
            del ticks["calls"], ticks["call_max_ns"]
            calls, max_ns = each.ticks.calls, each.ticks.call_max_ns
            ticks["call_us"] = {
                "p50": min(quantile_ns(calls, 0.5) or 0, max_ns) / 1_000,
                "p99": min(quantile_ns(calls, 0.99) or 0, max_ns) / 1_000,
                "max": max_ns / 1_000,
            }
        own = {"books": self.books, "ticks": self.ticks, "poll_ms": self.poll_ms}
        return content | own | {"notes": self.notes()}


_UNLINKED = "the terminal has no link to its trade server: books stand still. Look at its status."
_CLOSED = "the market may be closed, or the broker sends none; probe again when it is open"


def _two_digits(number: float) -> float:
    """The number cut to two digits: no figure of a minute's polling is better."""
    size = 10.0 ** (len(str(int(number))) - 2) if number >= 1 else 0.01
    return round(number // size * size, 2)
