"""Every tick once and in order, whatever a second holds and wherever one begins again."""

import itertools
import random

import numpy as np
import pytest

from ticktape import mt5
from ticktape.errors import Disconnected
from ticktape.feeds.mt5.books import FAILING_NS
from ticktape.feeds.mt5.broker import BrokerClock
from ticktape.feeds.mt5.terminal import TickAnswer
from ticktape.feeds.mt5.ticks import BATCH, TickCursor
from ticktape.mt5 import Mark

S = 1_000_000_000
MS = 1_000_000
FIRST_MSC = 1_700_000_000_000
TICK = np.dtype(
    {
        "names": ["time_msc", "bid"],
        "formats": ["<i8", "<f8"],
        "offsets": [40, 8],
        "itemsize": mt5.TICK_BYTES,
    }
)


def history(*times):
    """Ticks of these milliseconds; each bid is the tick's own number."""
    rows = np.zeros(len(times), TICK)
    rows["time_msc"] = times
    rows["bid"] = np.arange(len(times))
    return rows


def numbers(batches):
    return [row[1] for batch in batches for row in mt5.TICK.iter_unpack(batch.rows)]


class FakeTerminal:
    """copy_ticks_from as the package has it, over a history of which `shown` ticks are there."""

    def __init__(self, rows, shown=None):
        self.rows = rows
        self.shown = len(rows) if shown is None else shown
        self.now_ns = 100 * S
        self.asked = []
        self.fault = None
        self.newest = None

    def last_tick_msc(self, symbol):
        if self.newest is not None:
            return self.newest
        return int(self.rows["time_msc"][self.shown - 1]) if self.shown else 0

    def copy_ticks(self, symbol, from_s, count):
        assert 1 <= from_s < 2**31, "the package raises SystemError"
        before_ns, self.now_ns = self.now_ns, self.now_ns + MS
        self.asked.append((from_s, count))
        code = self.fault(len(self.asked)) if self.fault else 0
        if code == -10_002:
            raise Disconnected("gone")
        if code:
            return TickAnswer(before_ns, self.now_ns, None, code, "text")
        there = self.rows[: self.shown]
        first = int(there["time_msc"].searchsorted(from_s * 1_000, "left"))
        return TickAnswer(before_ns, self.now_ns, there[first : first + count].tobytes())


@pytest.fixture
def broker():
    return BrokerClock(lambda mono_ns: FIRST_MSC * MS + mono_ns, lambda offset: None)


def random_times(rng, count):
    """Quiet and busy, many in one millisecond, and whole seconds in one millisecond."""
    times, msc = [], FIRST_MSC
    while len(times) < count:
        burst = rng.choice([1, 1, 1, 2, 3, 7, 40])
        if rng.random() < 0.001:
            burst = rng.randint(BATCH // 2, 2 * BATCH)
            msc += 1_000 - msc % 1_000  # nothing else in that second before it
        times += [msc] * burst
        msc += rng.choice([0, 1, 1, 2, 30, 400, 1_500])
    return times


@pytest.mark.parametrize("seed", range(6))
def test_thousands_of_ticks_come_once_each_and_in_order(broker, seed):
    rng = random.Random(seed)
    times = random_times(rng, 22_000)
    terminal = FakeTerminal(history(*times), shown=0)
    cursor = TickCursor("A", (FIRST_MSC - 1, 0))
    found = []
    while terminal.shown < len(times):
        terminal.shown = min(terminal.shown + rng.choice([0, 1, 3, 50, 700, 9_000]), len(times))
        found += numbers(cursor.take(terminal, broker))
    for _ in range(4):
        found += numbers(cursor.take(terminal, broker))
    assert found == list(range(len(times)))
    assert cursor.delivered == len(times)
    assert cursor.cursor == (times[-1], times.count(times[-1]))


@pytest.mark.parametrize("seed", range(4))
def test_one_may_begin_again_behind_any_batch(broker, seed):
    """What the batches say of their own cursor is enough: the process may die between any two."""
    rng = random.Random(seed)
    times = random_times(rng, 21_000)
    terminal = FakeTerminal(history(*times), shown=0)
    found, cursor = [], (FIRST_MSC - 1, 0)
    quiet = 0
    while quiet < 4:
        terminal.shown = min(terminal.shown + rng.choice([0, 1, 3, 400, 6_000]), len(times))
        batches = TickCursor("A", cursor).take(terminal, broker)
        kept = batches[: rng.randint(0, len(batches))]  # the rest dies with the process
        found += numbers(kept)
        if kept:
            cursor = (mt5.last_msc(kept[-1].rows), kept[-1].seen)
        quiet = quiet + 1 if terminal.shown == len(times) and not batches else 0
    assert found == list(range(len(times)))


def test_a_millisecond_that_fills_whole_batches_is_got_over(broker):
    """All in one millisecond, shown a few at a time: more than a batch was delivered before."""
    count = 5 * BATCH
    terminal = FakeTerminal(history(*[FIRST_MSC] * count, FIRST_MSC + 5), shown=0)
    cursor, found = TickCursor("A", (FIRST_MSC - 1, 0)), []
    for terminal.shown in [*range(1, count, 1_500), count, count + 1, count + 1]:
        found += numbers(cursor.take(terminal, broker))
    assert found == list(range(count + 1))
    assert max(asked for _, asked in terminal.asked) <= 8 * BATCH


def test_a_long_history_comes_in_portions_and_all_of_it(broker):
    """The books have their turns between; all of it is marked as coming from behind a gap."""
    times = [FIRST_MSC + number for number in range(50_000)]
    terminal = FakeTerminal(history(*times))
    cursor = TickCursor("A", (FIRST_MSC - 1, 0))
    first = cursor.take(terminal, broker)
    assert len(terminal.asked) == 8
    assert 0 < len(numbers(first)) < len(times)
    batches = [*first]
    while found := cursor.take(terminal, broker):
        batches += found
    assert numbers(batches) == list(range(50_000))
    assert all(batch.marks == Mark.AFTER_GAP for batch in batches)
    terminal.rows = history(*times, times[-1])
    terminal.shown += 1
    (batch,) = cursor.take(terminal, broker)
    assert batch.marks == 0


def test_every_second_is_asked_for_as_a_whole(broker):
    terminal = FakeTerminal(history(FIRST_MSC + 999, FIRST_MSC + 1_001))
    cursor = TickCursor("A", (FIRST_MSC + 999, 1))
    assert numbers(cursor.take(terminal, broker)) == [1]
    assert terminal.asked == [(FIRST_MSC // 1_000, BATCH)]
    cursor.take(terminal, broker)
    assert terminal.asked[-1] == (FIRST_MSC // 1_000 + 1, BATCH)


# Where to begin.


def test_a_new_cursor_begins_behind_what_is_there(broker):
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC + 5, FIRST_MSC + 5, FIRST_MSC + 5), 3)
    cursor = TickCursor("A")
    cursor.start(terminal)
    assert cursor.cursor == (FIRST_MSC + 5, 2)
    assert cursor.take(terminal, broker) == []
    terminal.shown = 4
    (batch,) = cursor.take(terminal, broker)
    assert (numbers([batch]), batch.marks, batch.seen) == ([3], 0, 3)


def test_a_symbol_without_any_tick_is_not_asked_for_all_of_history(broker):
    """A symbol that was just selected says so for a while; its history may be of years."""
    terminal = FakeTerminal(history(*range(FIRST_MSC - 10**9, FIRST_MSC, 10**6), FIRST_MSC))
    terminal.newest = 0
    cursor = TickCursor("A")
    cursor.start(terminal)
    assert cursor.take(terminal, broker) == [] and terminal.asked == []
    terminal.newest = None
    assert numbers(cursor.take(terminal, broker)) == [1000]
    assert terminal.asked[0] == (FIRST_MSC // 1_000 - 1, BATCH)


def test_the_very_first_ticks_of_a_symbol_are_all_there(broker):
    terminal = FakeTerminal(history(FIRST_MSC + 998, FIRST_MSC + 1_002, FIRST_MSC + 1_002), 0)
    cursor = TickCursor("A")
    cursor.start(terminal)
    assert (cursor.cursor, cursor.take(terminal, broker)) == (None, [])
    terminal.shown = 3
    assert numbers(cursor.take(terminal, broker)) == [0, 1, 2]


def test_a_cursor_that_is_known_stays_where_it_is(broker):
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC + 5, FIRST_MSC + 9))
    cursor = TickCursor("A", (FIRST_MSC, 1))
    cursor.start(terminal)
    (batch,) = cursor.take(terminal, broker)
    assert numbers([batch]) == [1, 2] and batch.marks == Mark.AFTER_GAP


def test_a_new_session_marks_what_fills_the_hole_before_it(broker):
    terminal = FakeTerminal(history(*range(FIRST_MSC, FIRST_MSC + 6)), 1)
    cursor = TickCursor("A", marks=Mark.LEG_A)
    cursor.resume()
    cursor.start(terminal)
    marks = []
    for terminal.shown in range(2, 7):
        if terminal.shown == 4:
            cursor.resume()
        marks += [batch.marks for batch in cursor.take(terminal, broker)]
    assert marks == [Mark.LEG_A, Mark.LEG_A, Mark.LEG_A | Mark.AFTER_GAP, Mark.LEG_A, Mark.LEG_A]


def test_start_is_not_put_off_by_a_history_that_cannot_be_read(broker):
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC), 1)
    terminal.fault = lambda number: -1 if number == 1 else 0
    cursor = TickCursor("A")
    cursor.start(terminal)
    terminal.shown = 2
    assert 1 in numbers(cursor.take(terminal, broker))


# What goes wrong.


def test_history_that_was_rewritten_is_said_and_nothing_is_made_up(broker):
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC, FIRST_MSC, FIRST_MSC + 7))
    cursor = TickCursor("A", (FIRST_MSC, 3))
    cursor.take(terminal, broker)
    terminal.rows = history(FIRST_MSC, FIRST_MSC + 9)
    terminal.shown = 2
    cursor.cursor = (FIRST_MSC, 3)
    (batch,) = cursor.take(terminal, broker)
    assert batch.marks & Mark.REGRESS and numbers([batch]) == [1]
    assert cursor.cursor == (FIRST_MSC + 9, 1)
    (seen,) = {batch.seen}
    assert seen == 1


def test_a_full_batch_does_not_hide_that_history_was_rewritten(broker):
    terminal = FakeTerminal(history(FIRST_MSC, *range(FIRST_MSC + 1, FIRST_MSC + BATCH + 9)))
    batches = TickCursor("A", (FIRST_MSC, 3)).take(terminal, broker)
    assert [bool(batch.marks & Mark.REGRESS) for batch in batches] == [True, False]


def test_a_full_batch_that_ends_within_the_millisecond_is_no_rewritten_history(broker):
    terminal = FakeTerminal(history(*[FIRST_MSC] * (BATCH + 10)))
    cursor = TickCursor("A", (FIRST_MSC, BATCH + 5))
    batches = cursor.take(terminal, broker)
    assert numbers(batches) == list(range(BATCH + 5, BATCH + 10))
    assert not any(batch.marks & Mark.REGRESS for batch in batches)


def test_an_error_loses_nothing_and_is_named_only_when_it_lasts(broker):
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC + 1))
    cursor = TickCursor("A", (FIRST_MSC, 1))
    terminal.fault = lambda number: -1
    assert cursor.take(terminal, broker) == [] and cursor.failing == ""
    terminal.now_ns += FAILING_NS
    assert cursor.take(terminal, broker) == []
    assert cursor.failing == "copy_ticks_from fails (-1 'text')"
    assert cursor.cursor == (FIRST_MSC, 1)
    terminal.fault = None
    assert numbers(cursor.take(terminal, broker)) == [1] and cursor.failing == ""


def test_errors_that_come_and_go_are_not_added_up(broker):
    terminal = FakeTerminal(history(FIRST_MSC))
    cursor = TickCursor("A", (FIRST_MSC, 1))
    for code in (-1, 0, -1, 0, -1):
        terminal.fault = lambda number, code=code: code
        cursor.take(terminal, broker)
        terminal.now_ns += FAILING_NS
        assert cursor.failing == ""


def test_a_brokers_clock_that_is_set_back_is_told_until_it_is_where_it_was(broker):
    """In autumn, where a market is open: the package cannot be asked for what is new then."""
    terminal = FakeTerminal(history(FIRST_MSC, FIRST_MSC + 3_600_000, FIRST_MSC + 3_600_009), 2)
    cursor = TickCursor("A", (FIRST_MSC, 1))
    cursor.take(terminal, broker)
    cursor.take(terminal, broker)
    assert cursor.failing == ""
    terminal.newest = FIRST_MSC + 5_000
    for _ in range(3):
        terminal.now_ns += 6 * S
        assert cursor.take(terminal, broker) == []
        assert "clock was set back" in cursor.failing
    terminal.newest, terminal.shown = None, 3
    assert numbers(cursor.take(terminal, broker)) == [2] and cursor.failing == ""
    terminal.now_ns += 6 * S
    assert cursor.take(terminal, broker) == [] and cursor.failing == ""


@pytest.mark.parametrize("newest", [0, FIRST_MSC - 500_000, FIRST_MSC, FIRST_MSC + 9])
def test_a_newest_tick_that_lags_or_is_not_known_is_no_clock_set_back(broker, newest):
    terminal = FakeTerminal(history(FIRST_MSC))
    terminal.newest = newest
    cursor = TickCursor("A", (FIRST_MSC, 1))
    assert cursor.take(terminal, broker) == [] and cursor.failing == ""


def test_the_newest_tick_is_asked_for_seldom(broker):
    terminal, looks = FakeTerminal(history(FIRST_MSC)), []
    last_tick_msc = terminal.last_tick_msc
    terminal.last_tick_msc = lambda symbol: looks.append(symbol) or last_tick_msc(symbol)
    cursor = TickCursor("A", (FIRST_MSC, 1))
    for _ in range(200):
        cursor.take(terminal, broker)
        terminal.now_ns += S // 10
    assert 3 <= len(looks) <= 5


def test_a_new_session_does_not_inherit_a_failure(broker):
    terminal = FakeTerminal(history(FIRST_MSC))
    cursor = TickCursor("A", (FIRST_MSC, 1))
    terminal.fault = lambda number: -1
    cursor.take(terminal, broker)
    terminal.now_ns += FAILING_NS
    cursor.take(terminal, broker)
    cursor.resume()
    assert cursor.failing == ""


def test_when_the_terminal_goes_between_two_calls_the_first_is_kept(broker):
    times = range(FIRST_MSC, FIRST_MSC + 3 * BATCH)
    terminal = FakeTerminal(history(*times))
    terminal.fault = lambda number: -10_002 if number == 2 else 0
    cursor = TickCursor("A", (FIRST_MSC - 1, 0))
    assert numbers(cursor.take(terminal, broker)) == list(range(BATCH))
    terminal.fault = lambda number: -10_002
    with pytest.raises(Disconnected):
        cursor.take(terminal, broker)
    assert cursor.cursor == (FIRST_MSC + BATCH - 1, 1)


def test_when_the_terminal_goes_at_once_it_is_told(broker):
    terminal = FakeTerminal(history(FIRST_MSC))
    terminal.fault = lambda number: -10_002
    for cursor in (TickCursor("A", (FIRST_MSC, 1)), TickCursor("A")):
        with pytest.raises(Disconnected):
            cursor.start(terminal)
            cursor.take(terminal, broker)


def test_the_batch_has_the_offset_that_its_own_ticks_showed():
    rows = history(*[FIRST_MSC + 3 * 3_600_000 + second * 1_000 for second in range(4)])
    terminal = FakeTerminal(rows, 0)
    terminal.now_ns = 0
    known = []
    broker = BrokerClock(lambda mono_ns: FIRST_MSC * MS + mono_ns, known.append)
    cursor = TickCursor("A", (FIRST_MSC, 0))
    offsets = []
    for terminal.shown in range(1, 5):
        terminal.now_ns = (terminal.shown - 1) * S
        offsets += [batch.offset_ms for batch in cursor.take(terminal, broker)]
    assert offsets == [3 * 3_600_000] * 4
    assert [each.offset_ms for each in known] == [3 * 3_600_000]


def test_brackets_are_those_of_the_call_that_brought_the_ticks(broker):
    terminal = FakeTerminal(history(*range(FIRST_MSC, FIRST_MSC + BATCH + 1)))
    batches = TickCursor("A", (FIRST_MSC - 1, 0)).take(terminal, broker)
    assert [(each.before_ns, each.after_ns) for each in batches] == [
        (100 * S, 100 * S + MS),
        (100 * S + MS, 100 * S + 2 * MS),
    ]
    assert [a.after_ns <= b.before_ns for a, b in itertools.pairwise(batches)] == [True]
