"""What each second of polling says of a terminal's health: stalls, silence, a lost link; pure."""

from collections.abc import Iterator

from ticktape.clock import NS_PER_S
from ticktape.feeds.gapkeeper import Content
from ticktape.feeds.mt5.terminal import Health
from ticktape.polls import PollCounts, Polls, quantile_ns

STALL_NS = 250_000_000
"""A call or a pause between polls of this length, beyond the pace that is wanted, is named."""
GAP_NS = 2 * NS_PER_S
"""Without a poll for so long we were not there to see: that is a gap and not a slow poll."""
_WARM_BEATS = 5  # a book fills within a second of its subscription


class PollWatch:
    """Judges the heartbeats of one feed.

    `last_ns` is where the last whole pass began (monotonic); `changed` and `polls` are of the last
    beat. While `is_unlinked` the terminal has no trade server.
    """

    def __init__(self, quiet_s: float) -> None:
        self.health = Health(True, 0, 0)
        self.last_ns = 0
        self.changed = self.polls = 0
        self.changed_total = self.polls_total = 0
        self.change_ratio = 0.0
        self.gap_p99_us = 0.0
        self.is_quiet = False
        self.is_unlinked = False
        self._quiet_ns = int(quiet_s * NS_PER_S)
        self._call_ns = 0
        self._linked_ns = 0
        self._from_ns = 0
        self._news_ns = 0
        self._ticks: dict[str, int] = {}
        self._empty_beats: dict[str, int] = {}

    def restart(self, mono_ns: int, wall_ns: int) -> None:
        """A session begins."""
        self.health = Health(True, 0, 0)
        self.last_ns = mono_ns
        self.is_quiet = self.is_unlinked = False
        self._call_ns = 0
        self._from_ns = self._news_ns = self._linked_ns = wall_ns
        self._empty_beats = {}

    def hear(self, health: Health, asked_ns: int) -> None:
        """Take in how the terminal's link stood at `asked_ns`, in wall time."""
        self.health = health
        if health.connected and not self.is_unlinked:
            self._linked_ns = asked_ns

    def shift(self, step_ns: int) -> None:
        """Our wall clock was set by so much."""
        self._from_ns += step_ns
        self._news_ns += step_ns
        self._linked_ns += step_ns

    def beat(self, counts: list[PollCounts], ticks: dict[str, int], wall_ns: int) -> Polls:
        """A heartbeat of what was polled since the last one; `ticks` are totals by symbol."""
        self.changed = sum(each.changed for each in counts)
        # Of several books the busiest sets the pace.
        busiest = max(counts, key=lambda each: each.changed, default=PollCounts(""))
        self.changed_total += self.changed
        self.polls_total += sum(each.polls for each in counts)
        self.changed, self.polls = busiest.changed, busiest.polls
        self.change_ratio = busiest.changed / busiest.polls if busiest.polls else 0.0
        self.gap_p99_us = (quantile_ns(busiest.gaps, 0.99) or 0) / 1_000
        new = {symbol: total - self._ticks.get(symbol, 0) for symbol, total in ticks.items()}
        self._ticks = dict(ticks)
        if self.changed or any(new.values()):
            self._news_ns = wall_ns
        polls = Polls(
            self._from_ns,
            wall_ns,
            connected=self.health.connected,
            ping_us=self.health.ping_us,
            books=counts,
            ticks=new,
        )
        self._from_ns = wall_ns
        return polls

    def notices(self, polls: Polls, wall_ns: int) -> Iterator[tuple[Content, bool | None]]:
        """What is worth saying; with True the terminal's link is lost, with False it is back."""
        yield from self._stalls(polls)
        yield from self._link()
        for each in polls.books:
            beats = self._empty_beats.get(each.symbol, 0)
            if each.polls and each.empty == each.polls:
                self._empty_beats[each.symbol] = beats + 1
                if beats + 1 == _WARM_BEATS:
                    words = f"the book of {each.symbol} stays empty"
                    hint = "The market may be closed, or the broker sends no depth for it."
                    yield Content("empty", words=words, hint=hint), None
            elif each.polls:
                self._empty_beats[each.symbol] = 0 if beats < _WARM_BEATS else beats
        quiet_ns = wall_ns - self._news_ns
        if self._quiet_ns and quiet_ns > self._quiet_ns and not self.is_quiet:
            self.is_quiet = True
            words = f"connected and polled, but nothing changed for {quiet_ns / NS_PER_S:.0f} s"
            hint = "The market may be closed."
            yield Content("quiet", words=words, hint=hint), None
        elif self.is_quiet and quiet_ns <= self._quiet_ns:
            self.is_quiet = False
            yield Content("flowing", words="books or ticks change again"), None

    def _stalls(self, polls: Polls) -> Iterator[tuple[Content, bool | None]]:
        worst = max(polls.books, key=lambda each: each.gap_max_ns, default=PollCounts(""))
        gap_ns = worst.gap_max_ns
        # A slow call may end with one beat, and the gap that it made with the poll behind that.
        last_call_ns = self._call_ns
        self._call_ns = max((each.call_max_ns for each in polls.books), default=0)
        call_ns = max(last_call_ns, self._call_ns)
        if gap_ns - polls.interval_ns < STALL_NS:
            return
        if call_ns >= STALL_NS:
            words = f"the terminal took {call_ns / 1e6:,.0f} ms for a call"
            hint = "It was busy, or this machine is; the books were not polled meanwhile."
        else:
            words = f"{gap_ns / 1e6:,.0f} ms passed between two polls"
            hint = "The terminal's other calls, or other work on this machine, took that long."
        content = Content("stalled", words=words, hint=hint)
        if gap_ns - polls.interval_ns >= GAP_NS:
            end_ns = worst.gap_end_ns or polls.to_ns
            content.gaps = [
                {
                    "from_ns": end_ns - gap_ns,
                    "to_ns": end_ns,
                    "cause": words,
                    "symbol": worst.symbol,
                }
            ]
        yield content, None

    def _link(self) -> Iterator[tuple[Content, bool | None]]:
        if not self.health.connected and not self.is_unlinked:
            self.is_unlinked = True
            words = "the terminal has lost its trade server: books stand still"
            hint = "Look at the terminal's status line; nothing can be recorded until it is back."
            yield Content("unlinked", words=words, hint=hint, down_since_ns=self._linked_ns), True
        elif self.health.connected and self.is_unlinked:
            self.is_unlinked = False
            yield Content("linked", words="the terminal has its trade server again"), False
