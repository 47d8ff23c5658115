"""Stamps of another counter become outer bounds on our clock."""

import random

import pytest

from ticktape.feeds.mt5.clockmap import RENEW_NS, ClockMap

S = 1_000_000_000
MS = 1_000_000


class Counter:
    """The bridge's counter: it runs at its own rate, in steps of 100 ns that round down."""

    def __init__(self, offset_ns=-7 * 3_600 * S, ppm=0):
        self.offset_ns, self.ppm = offset_ns, ppm

    def at(self, ours_ns):
        return (ours_ns + ours_ns * self.ppm // 1_000_000 + self.offset_ns) // 100 * 100


def exchange(clocks, counter, sent_ns, there_ns, thought_ns, back_ns):
    received_ns = sent_ns + there_ns
    answered_ns = received_ns + thought_ns
    arrived_ns = answered_ns + back_ns
    clocks.exchange(sent_ns, counter.at(received_ns), counter.at(answered_ns), arrived_ns)
    return arrived_ns


@pytest.mark.parametrize("ppm", [-90, 0, 90])
def test_a_mapped_bracket_always_contains_the_true_one(ppm):
    dice, counter, clocks = random.Random(ppm), Counter(ppm=ppm), ClockMap()
    now_ns = exchange(clocks, counter, 100 * S, 40_000, 5_000, 30_000)
    clocks.renew()
    for _ in range(3_000):
        # Up to 40 ms one way, some at once: whatever the network does.
        there_ns, back_ns = (dice.choice((900, 30_000, 40 * MS)) for _ in "ab")
        begun_ns = now_ns + there_ns + 500
        ended_ns = begun_ns + dice.choice((0, 20_000, 3 * MS))
        before, after, sent_ns = counter.at(begun_ns), counter.at(ended_ns), now_ns
        now_ns = exchange(clocks, counter, sent_ns, there_ns, ended_ns - begun_ns + 900, back_ns)
        before_ns, after_ns = clocks.bracket(before, after, sent_ns, now_ns)
        assert sent_ns <= before_ns <= begun_ns
        assert ended_ns <= after_ns <= now_ns
        late_ns = now_ns + dice.randrange(RENEW_NS)  # a stamp that is mapped by an older map
        assert clocks.earliest_ns(counter.at(late_ns)) <= late_ns
        assert clocks.latest_ns(counter.at(late_ns)) >= late_ns
        now_ns += dice.randrange(200 * MS)


def test_the_shortest_exchange_sets_the_error():
    clocks, counter = ClockMap(), Counter()
    now_ns = S
    for there_ns in (5 * MS, 20_000, 9 * MS):
        now_ns = exchange(clocks, counter, now_ns, there_ns, 0, there_ns)
    clocks.renew()
    assert 20_000 <= clocks.map.error_ns <= 22_000
    assert abs(clocks.map.offset_ns + counter.offset_ns) <= clocks.map.error_ns


def test_a_new_map_has_a_new_number_and_is_told_once():
    clocks, counter = ClockMap(), Counter()
    now_ns = exchange(clocks, counter, S, 1_000, 0, 1_000)
    assert clocks.notes() == []  # nothing is mapped before the best of the first is known
    clocks.renew()
    exchange(clocks, counter, now_ns + MS, 1_000, 0, 1_000)
    exchange(clocks, counter, now_ns + RENEW_NS, 1_000, 0, 1_000)
    assert [note.number for note in clocks.notes()] == [1, 2]
    assert clocks.notes() == []
    clocks.restart()
    exchange(clocks, Counter(offset_ns=0), 9 * S, 1_000, 0, 1_000)
    clocks.renew()
    assert [note.number for note in clocks.notes()] == [3]


def test_a_counter_that_jumps_gets_a_new_map_at_once():
    clocks = ClockMap()
    now_ns = exchange(clocks, Counter(), S, 1_000, 0, 1_000)
    clocks.renew()
    jumped = Counter(offset_ns=0)
    exchange(clocks, jumped, now_ns + MS, 1_000, 0, 1_000)
    assert clocks.map.number == 2
    assert abs(clocks.latest_ns(jumped.at(2 * S)) - 2 * S) < 200_000


def test_what_is_only_heard_bounds_from_one_side():
    clocks, counter = ClockMap(), Counter()
    now_ns = exchange(clocks, counter, S, 10_000, 0, 5 * MS)
    clocks.heard(counter.at(now_ns + MS), now_ns + MS + 3_000)
    clocks.renew()
    assert clocks.map.error_ns < 10_000
    assert clocks.earliest_ns(counter.at(2 * S)) <= 2 * S <= clocks.latest_ns(counter.at(2 * S))


def test_a_bracket_never_leaves_what_we_saw_ourselves():
    clocks, counter = ClockMap(), Counter()
    now_ns = exchange(clocks, counter, S, 10 * MS, 0, 10 * MS)
    clocks.renew()
    at = counter.at(now_ns + 500)
    assert clocks.bracket(at, at, now_ns, now_ns + 1_000) == (now_ns, now_ns + 1_000)


def test_stamps_that_contradict_the_map_leave_our_own_readings():
    clocks, counter = ClockMap(), Counter()
    now_ns = exchange(clocks, counter, S, 1_000, 0, 1_000)
    clocks.renew()
    wrong = counter.at(now_ns + 60 * S)
    assert clocks.bracket(wrong, wrong + 5, now_ns, now_ns + 9_000) == (now_ns, now_ns + 9_000)
