"""The broker's clock is found from fresh ticks, and believed when three agree."""

import pytest

from ticktape.feeds.mt5.broker import BrokerClock

S = 1_000_000_000
HOUR_MS = 3_600_000
# Monotonic zero in UTC: Sunday 2024-03-31 00:30, half an hour before Europe's clocks change.
ZERO_NS = 1_711_845_000 * S


class Broker:
    """A broker whose ticks arrive `late_ms` after their time on its own clock."""

    def __init__(self, offset_ms=0):
        self.known = []
        self.clock = BrokerClock(lambda mono_ns: ZERO_NS + mono_ns, self.known.append, offset_ms)

    def tick(self, at_s, offset_ms, late_ms=40, *, is_live=True):
        msc = (ZERO_NS + int(at_s * S)) // 1_000_000 + offset_ms - late_ms
        self.clock.see(msc, int(at_s * S), is_live=is_live)
        return self.clock.offset_ms


@pytest.mark.parametrize(
    "hours", [0, 2, 3, -5, -0.75, 5.75, 13, 14, -12], ids=lambda hours: f"{hours:+}"
)
def test_three_fresh_ticks_make_an_offset_known_once(hours):
    broker, offset_ms = Broker(), int(hours * HOUR_MS)
    for number in range(30):
        assert broker.tick(number, offset_ms) == offset_ms
    (known,) = broker.known
    assert known == (offset_ms, "ticks", 3, 40)


@pytest.mark.parametrize("late_ms", [-5_000, -900, 0, 1, 3_000, 20_000])
def test_a_tick_may_be_a_little_early_or_some_seconds_late(late_ms):
    broker = Broker()
    for number in range(3):
        broker.tick(number, 3 * HOUR_MS, late_ms)
    assert [each.offset_ms for each in broker.known] == [3 * HOUR_MS]
    assert broker.known[0].residual_ms == late_ms


@pytest.mark.parametrize("late_ms", [20_001, 60_000, 400_000, 890_000, 16 * 60_000 + 0])
def test_stale_ticks_say_nothing(late_ms):
    broker = Broker(offset_ms=7)
    for number in range(10):
        assert broker.tick(number, 3 * HOUR_MS, late_ms) == 7
    assert broker.known == []


def test_ticks_of_last_friday_say_nothing_of_a_sunday():
    broker = Broker()
    friday_ms = 50 * HOUR_MS  # a whole number of quarters of an hour ago
    for number in range(10):
        broker.tick(number, 2 * HOUR_MS, friday_ms)
    assert broker.known == [] and broker.clock.offset_ms == 0


def test_ticks_of_a_batch_behind_which_more_waits_say_nothing():
    broker = Broker()
    for number in range(5):
        broker.tick(number, 2 * HOUR_MS, is_live=False)
    assert broker.known == [] and broker.clock.offset_ms == 0


def test_one_tick_is_better_than_none_until_three_agree():
    broker = Broker()
    assert broker.tick(0, 2 * HOUR_MS) == 2 * HOUR_MS
    assert broker.known == []


def test_ticks_that_do_not_agree_make_nothing_known():
    broker = Broker()
    for number in range(12):
        broker.tick(number, (2 + number % 2) * HOUR_MS)
    assert broker.known == []


def test_one_odd_tick_does_not_move_what_is_known():
    broker = Broker()
    for number in range(3):
        broker.tick(number, 2 * HOUR_MS)
    assert broker.tick(3_700, 3 * HOUR_MS) == 2 * HOUR_MS
    for number in range(3_701, 3_704):
        broker.tick(number, 2 * HOUR_MS)
    assert [each.offset_ms for each in broker.known] == [2 * HOUR_MS, 2 * HOUR_MS]


@pytest.mark.parametrize("change_ms", [HOUR_MS, -HOUR_MS])
def test_daylight_saving_is_heard_within_the_hour_and_its_ticks(change_ms):
    broker, switch_s = Broker(), 1_800
    wrong = 0
    for second in range(7_200):
        offset_ms = 2 * HOUR_MS + (change_ms if second >= switch_s else 0)
        found_ms = broker.tick(second, offset_ms)
        wrong += found_ms != offset_ms
    assert broker.clock.offset_ms == 2 * HOUR_MS + change_ms
    assert {each.offset_ms for each in broker.known} == {2 * HOUR_MS, 2 * HOUR_MS + change_ms}
    assert wrong <= 3_600 - switch_s + 5


def test_what_an_earlier_run_knew_holds_until_fresh_ticks_come():
    broker = Broker(offset_ms=3 * HOUR_MS)
    assert broker.clock.offset_ms == 3 * HOUR_MS
    assert broker.tick(0, 2 * HOUR_MS, 400_000) == 3 * HOUR_MS
    for number in range(3):
        broker.tick(number, 2 * HOUR_MS)
    assert broker.clock.offset_ms == 2 * HOUR_MS


def test_what_is_known_is_said_again_once_an_hour():
    broker = Broker()
    for second in range(0, 3 * 3_600 + 200, 10):
        broker.tick(second, 2 * HOUR_MS)
    assert len(broker.known) == 4
