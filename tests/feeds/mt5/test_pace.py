"""Passes at a steady pace, late ones not made up for; and the pace that finds itself."""

import math
import random

import pytest

from ticktape.feeds.mt5.pace import AUTO_RATIO, AutoPace, Pace, pace_of

MS = 1_000_000
S = 1_000 * MS


def test_passes_begin_at_their_times_however_long_each_takes():
    pace, now_ns, begun = Pace(10 * MS), 5_000 * MS, []
    pace.restart(now_ns)
    for work_ns in (1 * MS, 9 * MS, 0, 4 * MS, 9 * MS):
        now_ns += work_ns
        wait_ns = pace.wait_ns(now_ns)
        assert 0 < wait_ns <= 10 * MS
        now_ns += wait_ns
        begun.append(now_ns - 5_000 * MS)
    assert begun == [10 * MS, 20 * MS, 30 * MS, 40 * MS, 50 * MS]
    assert pace.late == 0


def test_a_late_pass_is_counted_and_no_burst_follows():
    pace, now_ns = Pace(10 * MS), 5 * S
    pace.restart(now_ns)
    now_ns += 75 * MS  # a call that took long
    assert pace.wait_ns(now_ns) == 0
    assert pace.late == 1
    waits = [pace.wait_ns(now_ns + number * 10 * MS) for number in range(5)]
    assert waits == [10 * MS] * 5
    assert pace.late == 1


def test_a_pass_that_is_on_time_to_the_end_is_the_last_that_is_not_late():
    pace = Pace(10 * MS)
    pace.restart(S)
    assert pace.wait_ns(S + 10 * MS - 1) == 1
    assert (pace.wait_ns(S + 20 * MS + 1), pace.late) == (0, 1)


def test_a_pause_that_was_meant_is_not_late():
    pace = Pace(10 * MS)
    pace.restart(0)
    pace.restart(900 * S)
    assert pace.wait_ns(900 * S + MS) == 9 * MS
    assert pace.late == 0


def test_as_fast_as_possible_never_waits_and_is_never_late():
    pace = pace_of(0)
    pace.restart(0)
    assert [pace.wait_ns(now_ns) for now_ns in (5, 6, 10 * S)] == [0, 0, 0]
    assert pace.late == 0


@pytest.mark.parametrize(
    ("poll_ms", "interval_ns"), [(2, 2 * MS), (0.5, 500_000), (2.0001, 2_000_100), (60_000, 60 * S)]
)
def test_the_configs_pace_may_have_a_fraction(poll_ms, interval_ns):
    pace = pace_of(poll_ms)
    assert pace.interval_ns == interval_ns
    pace.adjust(100, 100, S)
    assert pace.interval_ns == interval_ns


def beats(pace, rate, seconds, seed=3, cost_ns=0):
    """Changed and polls of each second, of a random book polled at the pace."""
    rng = random.Random(seed)
    found = []
    for _ in range(seconds):
        gap_ns = max(pace.interval_ns, cost_ns)
        polls = S // gap_ns
        share = -math.expm1(-rate * gap_ns / S)
        changed = sum(rng.random() < share for _ in range(polls))
        pace.adjust(changed, polls, S)
        found.append((changed, polls))
    return found


@pytest.mark.parametrize("rate", [2, 10, 100, 1_000])
def test_auto_comes_to_where_one_poll_in_five_sees_a_change(rate):
    pace = pace_of("auto")
    found = beats(pace, rate, 160)[40:]
    ratio = sum(changed for changed, _ in found) / sum(polls for _, polls in found)
    assert ratio == pytest.approx(AUTO_RATIO, abs=0.05)


def test_auto_follows_a_market_that_wakes_up():
    pace = AutoPace()
    beats(pace, 0, 60)
    sleepy_ns = pace.interval_ns
    assert sleepy_ns > 200 * MS
    beats(pace, 500, 15)
    assert pace.interval_ns < 1 * MS


def test_auto_at_most_doubles_or_halves_in_a_second():
    pace = AutoPace()
    before_ns = pace.interval_ns
    for changed, polls in [(0, 100), (100, 100), (100, 100), (1, 1), (0, 1), (0, 5_000)]:
        pace.adjust(changed, polls, S)
        assert before_ns // 2 <= pace.interval_ns <= before_ns * 2
        before_ns = pace.interval_ns


def test_auto_stays_within_its_bounds_and_whole():
    pace = AutoPace()
    for _ in range(40):
        pace.adjust(10_000, 10_000, S)
    assert pace.interval_ns == 200_000 and isinstance(pace.interval_ns, int)
    for _ in range(40):
        pace.adjust(0, max(S // pace.interval_ns, 1), S)
    assert 200 * MS < pace.interval_ns <= S


def test_auto_goes_by_the_polls_that_there_were():
    """A terminal that takes 20 ms a call is not polled every 10; the rate of changes is known."""
    pace = AutoPace()
    found = beats(pace, 10, 100, cost_ns=20 * MS)[30:]
    assert all(polls <= 50 for _, polls in found)
    ratio = sum(changed for changed, _ in found) / sum(polls for _, polls in found)
    assert ratio == pytest.approx(AUTO_RATIO, abs=0.05)


@pytest.mark.parametrize(("polls", "elapsed_ns"), [(0, S), (10, 0), (10, -5 * S)])
def test_auto_learns_nothing_from_no_polls_or_from_a_clock_that_was_set_back(polls, elapsed_ns):
    pace = AutoPace()
    pace.adjust(0, polls, elapsed_ns)
    assert pace.interval_ns == AutoPace().interval_ns
