"""What a probe finds at a terminal that behaves in a known way; its time is its own."""

import pytest

from ticktape import mt5
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5.probe import SYMBOLS_MAX, Probe, choose
from ticktape.feeds.mt5.probed import BookFound
from ticktape.feeds.mt5.terminal import BookAnswer, Facts, Health, Refusal, TickAnswer
from ticktape.polls import PollTotals

CALL_NS = 1_000_000
WALL_NS = 1_764_000_000_000_000_000
HOUR_MS = 3_600_000


class FakeTerminal:
    """A clock and a terminal in one: each call takes a millisecond.

    A book has another volume after every `change_ns`; `ticks` come every 100 ms, on a clock of two
    hours ahead.
    """

    def __init__(self):
        self.where = "a fake"
        self.now_ns = 10**9
        self.books = {"RIZ6": 20_000_000}  # symbol -> change_ns, 0: never, None: no book
        self.warm_ns = 300_000_000
        self.ticking = {"RIZ6"}
        self.connected = True
        self.added = {}
        self.closed = []
        self.opened = 0
        self.gone_at_ns = None
        self.watched = [("RIZ6", 20)]
        self.held = True, "a second process holds it, too"
        self.said = []

    # The clock, and what the command line hands over.

    def monotonic_ns(self):
        return self.now_ns

    def wall_at(self, mono_ns):
        return WALL_NS + mono_ns

    def sleep_s(self, seconds):
        self.now_ns += int(seconds * 1e9)

    def flags_of(self, rows):
        return int(mt5.BookFlag.LOCKED | mt5.BookFlag.ONE_SIDED) if rows else 1

    def say(self, words):
        self.said.append(words)

    def hold(self, symbol):
        return self.held

    # The terminal.

    def call(self):
        before_ns = self.now_ns
        self.now_ns += CALL_NS
        if self.gone_at_ns is not None and before_ns >= self.gone_at_ns:
            raise Disconnected("the terminal is gone")
        return before_ns

    def open(self):
        self.opened += 1
        self.added = {}
        return Facts(5200, "5.0.6231", "Demo-Server", "A Broker")

    def health(self):
        return Health(self.connected, 42_000, 5200)

    def market_watch(self):
        return self.watched

    def subscribe(self, symbol, *, book):
        self.call()
        if symbol not in self.books:
            return Refusal(f"the terminal has no symbol {symbol}", "Look it up.")
        if book and self.books[symbol] is None:
            return Refusal(f"no book of {symbol}", "")
        if book:
            self.added[symbol] = self.now_ns
        return None

    def instrument(self, symbol):
        return {"ticks_bookdepth": 20}

    def poll(self, symbols):
        return [self.ask(symbol) for symbol in symbols]

    def ask(self, symbol):
        before_ns = self.call()
        if symbol not in self.added:
            return BookAnswer(symbol, before_ns, self.now_ns, None, -1, "Call failed")
        if before_ns - self.added[symbol] < self.warm_ns:
            return BookAnswer(symbol, before_ns, self.now_ns, ())
        change_ns = self.books[symbol]
        volume = before_ns // change_ns if change_ns else 7
        rows = ((1, 101.0, 5, 5.0), (1, 100.5, volume, volume + 0.5), (2, 100.0, 3, 3.0))
        return BookAnswer(symbol, before_ns, self.now_ns, rows)

    def newest_msc(self):
        return (self.wall_at(self.now_ns) // 100_000_000) * 100 + 2 * HOUR_MS

    def last_tick_msc(self, symbol):
        return self.newest_msc() if symbol in self.ticking else 0

    def copy_ticks(self, symbol, from_s, count):
        before_ns = self.call()
        first_msc = max(from_s * 1_000, self.newest_msc() - 60_000)
        times = [msc for msc in range(first_msc, self.newest_msc() + 1, 100) for _ in range(2)]
        rows = b"".join(
            mt5.TICK.pack(msc // 1_000, 1.0, 1.1, 0.0, 0, msc, 134, 0.0) for msc in times[:count]
        )
        return TickAnswer(before_ns, self.now_ns, rows)

    def close(self, symbols):
        self.closed.append(list(symbols))


@pytest.fixture
def fake():
    return FakeTerminal()


@pytest.fixture
def probe(fake):
    return lambda *symbols, seconds=10: Probe(fake, fake, fake).run(symbols, seconds)


def test_a_book_that_changes_is_measured(probe):
    book = probe("RIZ6").symbols["RIZ6"].book
    assert (book.asks, book.bids, book.depth) == (2, 1, 20)
    assert book.rows_after_ms == pytest.approx(300, abs=25)
    # A change every 20 ms for 10 s; the first image is none.
    assert book.polls.changed == pytest.approx(500, abs=2)
    assert book.polls.call_max_ns == CALL_NS
    assert book.fractions
    assert book.flags.keys() == {"locked", "one_sided"}
    assert book.flags["locked"] == book.images
    assert [row[:2] for row in book.shown] == [(1, 101.0), (1, 100.5), (2, 100.0), (2, 100.0)]


def test_the_pace_it_wants_is_that_of_one_change_in_five_polls(probe):
    report = probe("RIZ6")
    # 50 changes a second, taken as random: -ln(0.8) / 50 s.
    assert report.poll_ms == pytest.approx(4.46, abs=0.2)
    assert report.notes() == []


def test_a_book_that_no_pace_can_follow_wants_0_and_says_so(fake, probe):
    fake.books["RIZ6"] = 1_000_000
    report = probe("RIZ6")
    assert report.poll_ms == 0
    (note,) = report.notes()
    assert "of the polls of RIZ6 see a change" in note


def test_a_book_that_stands_still_wants_no_pace(fake, probe):
    fake.books["RIZ6"] = 0
    report = probe("RIZ6")
    assert report.books == ["RIZ6"]
    assert report.poll_ms is None
    assert any("no book changed in 10 s" in note for note in report.notes())


def test_the_busiest_book_sets_the_pace(fake, probe):
    fake.books["SiZ6"] = 100_000_000
    report = probe("RIZ6", "SiZ6")
    assert report.poll_ms == report.symbols["RIZ6"].book.poll_ms
    assert report.symbols["SiZ6"].book.poll_ms > report.poll_ms


def test_what_is_answered_without_a_subscription_is_told_apart(probe):
    report = probe("RIZ6")
    book = report.symbols["RIZ6"].book
    assert book.unsubscribed == report.after_reopen == "None (-1 'Call failed')"
    assert book.first == "()"


def test_ticks_are_sampled_and_tell_the_brokers_clock(probe):
    report = probe("RIZ6")
    ticks = report.symbols["RIZ6"].ticks
    assert report.broker.offset_ms == 2 * HOUR_MS
    assert ticks.flags == {134: ticks.count}
    assert ticks.same_ms == ticks.count / 2
    assert 0 <= ticks.age_s < 0.2
    assert ticks.call_max_ns == CALL_NS
    assert report.history.endswith("1,000 ticks in 1.0 ms")


def test_ticks_that_do_not_come_leave_the_brokers_clock_unknown(fake, probe):
    fake.newest_msc = lambda: WALL_NS // 1_000_000 - 86_400_000
    report = probe("RIZ6")
    assert report.broker is None
    assert report.symbols["RIZ6"].ticks.age_s is None
    assert any("too few fresh ticks" in note for note in report.notes())


def test_symbols_that_cannot_be_recorded_are_named_and_left_out(fake, probe):
    fake.books |= {"XAUUSD": None, "EMPTY": 5}
    fake.ticking.add("XAUUSD")
    warm = fake.ask
    fake.ask = lambda symbol: (
        warm(symbol)._replace(image=()) if symbol == "EMPTY" and fake.added else warm(symbol)
    )
    report = probe("RIZ6", "NOPE", "XAUUSD", "EMPTY")
    assert (report.books, report.ticks) == (["RIZ6"], ["RIZ6", "XAUUSD"])
    notes = "\n".join(report.notes())
    for words in ("no symbol NOPE", "no book of XAUUSD", "the book of EMPTY is subscribed and"):
        assert words in notes


def test_without_symbols_it_asks_those_of_market_watch_with_a_book_first(fake, probe):
    shown = [(f"S{number}", 0) for number in range(20)]
    assert choose([*shown, ("DEEP", 5)]) == ["DEEP", *(f"S{n}" for n in range(SYMBOLS_MAX - 1))]
    assert list(probe().symbols) == ["RIZ6"]
    fake.watched = []
    with pytest.raises(Refused, match="shows no symbol"):
        probe()


def test_a_second_process_that_takes_our_book_away_is_told(fake, probe):
    assert probe("RIZ6").can_share

    def hold(symbol):
        fake.added = {}
        return True, "a second process holds it, too"

    fake.hold = hold
    report = probe("RIZ6")
    assert report.can_share is False
    assert report.second.endswith("ours then answered None (-1 'Call failed')")


def test_a_terminal_without_a_link_is_told(fake, probe):
    fake.connected = False
    assert "no link to its trade server" in probe("RIZ6").notes()[0]


def test_books_are_released_whatever_happens(fake, probe):
    fake.gone_at_ns = fake.now_ns + 3 * 10**9
    with pytest.raises(Disconnected):
        probe("RIZ6")
    assert fake.closed == [["RIZ6"]]


def test_a_terminal_that_is_lost_by_the_last_questions_costs_only_those(fake, probe):
    ask = fake.copy_ticks

    def copy_ticks(symbol, from_s, count):
        if count == 1_000:
            fake.gone_at_ns = 0
        return ask(symbol, from_s, count)

    fake.copy_ticks = copy_ticks
    report = probe("RIZ6")
    assert report.history == report.after_reopen == "the terminal is gone"
    assert report.poll_ms is not None


def test_json_has_percentiles_and_no_histograms(probe):
    content = probe("RIZ6").to_json()
    book, ticks = (content["symbols"]["RIZ6"][part] for part in ("book", "ticks"))
    assert book["polls"]["call_us"]["p50"] == pytest.approx(1_000)
    assert ticks["call_us"]["max"] == pytest.approx(1_000)
    assert "calls" not in ticks
    assert content["broker"]["offset_ms"] == 2 * HOUR_MS
    assert content["books"] == ["RIZ6"]


@pytest.mark.parametrize(
    ("changed", "poll_ms"), [(0, None), (1, 1_000.0), (400, 5.5), (4_000, 0.54), (99_999, 0.0)]
)
def test_the_pace_is_cut_to_two_digits_and_bounded(changed, poll_ms):
    polls = PollTotals("A", polls=100_000, changed=changed)
    assert BookFound(elapsed_ns=10**10, polls=polls).poll_ms == poll_ms
