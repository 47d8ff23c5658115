"""A late feed is told from late prints, delayed feeds and clocks that are off."""

import numpy as np
import pytest

from ticktape.ledger.coded import coded
from ticktape.ledger.lag import Lag, is_late_print

NS = 1_000_000_000
MS = 1_000_000
T0 = 1_700_000_000 * NS


def run(lag, seconds, late_ns, *, since=0, each=20, conditions="@", tape="C"):
    """`each` prints a second, each `late_ns` after its event; gives the changes."""
    changes = []
    for second in range(since, since + seconds):
        recv = T0 + second * NS + np.arange(each) * (NS // each)
        changes += lag.observe(
            recv - late_ns, recv, coded([conditions] * each), coded([tape] * each)
        )
        changes += lag.advance(T0 + (second + 1) * NS)
    return changes


def test_a_feed_that_falls_behind_alarms_after_three_seconds_and_ends_once():
    lag = Lag("sip")
    assert run(lag, 60, 20 * MS) == []

    (alarm,) = run(lag, 20, 1_500 * MS, since=60)
    assert (alarm.kind, alarm.feed, alarm.symbol, alarm.until_ns) == ("lag", "sip", "", None)
    assert alarm.since_ns == T0 + 60 * NS
    assert 3 * NS < alarm.noticed_ns - alarm.since_ns <= 5 * NS
    assert "1.500 s" in alarm.words and "0.020 s" in alarm.words
    assert lag.open_alarms == [alarm]

    (end,) = run(lag, 20, 20 * MS, since=80)
    assert end[:5] == alarm[:5]
    assert end.until_ns == T0 + 80 * NS
    assert lag.open_alarms == []


def test_two_late_seconds_are_no_alarm():
    lag = Lag("sip")
    changes = run(lag, 20, 20 * MS)
    changes += run(lag, 2, 3 * NS, since=20)
    changes += run(lag, 20, 20 * MS, since=22)

    assert changes == []


def test_a_good_second_in_a_late_minute_neither_ends_nor_repeats_the_alarm():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)
    changes = []
    for since in range(20, 80, 10):
        changes += run(lag, 9, 2 * NS, since=since)
        changes += run(lag, 1, 20 * MS, since=since + 9)

    assert len(changes) == 1


def test_a_delayed_feed_is_not_late():
    lag = Lag("delayed_sip")

    assert run(lag, 60, 900 * NS) == []
    assert lag.figures().usual_ns == pytest.approx(900 * NS, rel=1e-4)


def test_a_delayed_feed_that_falls_behind_is_late():
    lag = Lag("delayed_sip")
    run(lag, 30, 900 * NS)

    assert [each.kind for each in run(lag, 30, 902 * NS, since=30)] == ["lag"]


def test_late_prints_do_not_make_the_feed_late():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)
    changes = []
    for second in range(20, 60):
        changes += run(lag, 1, 30 * NS, since=second, conditions="@,Z", each=60)
        changes += run(lag, 1, 20 * MS, since=second, each=3)

    assert changes == []
    assert lag.figures().late_prints == 40 * 60
    assert lag.figures().late_max_ns == 30 * NS
    assert lag.figures().now_ns == 20 * MS


def test_seconds_of_late_prints_alone_say_nothing():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)

    assert run(lag, 20, 30 * NS, since=20, conditions="Z") == []
    assert lag.figures().now_ns == 20 * MS


@pytest.mark.parametrize(
    ("conditions", "tape", "late"),
    [
        ("@", "C", False),
        ("@,F,T", "C", False),
        ("@,F,I", "C", False),
        (" ", "A", False),
        ("", "", False),
        ("Z", "A", True),
        ("@,U", "C", True),
        (" ,L", "B", True),
        ("W", "C", True),
        ("W", "A", False),
        ("B", "A", True),
        ("B", "C", False),
        ("G", "C", True),
    ],
)
def test_what_a_condition_says_depends_on_the_tape(conditions, tape, late):
    assert is_late_print(conditions, tape) is late


def test_a_lag_that_creeps_is_noticed():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)
    changes = []
    for second in range(20, 620):
        changes += run(lag, 1, 20 * MS + (second - 20) * 5 * MS, since=second, each=4)

    assert [each.kind for each in changes] == ["lag"]


def test_a_drifting_clock_is_not_lag():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)
    changes = []
    for minute in range(300):
        # 90 parts in a million for five hours make 1.6 s.
        drifted = 20 * MS + minute * 60 * 90_000
        for second in range(60):
            changes += run(
                lag, 1, drifted + second * 90_000, since=20 + minute * 60 + second, each=1
            )

    assert changes == []


def test_a_clock_that_is_behind_makes_negative_lags_and_no_alarm():
    lag = Lag("sip")

    assert run(lag, 60, -1_270 * MS) == []
    assert lag.figures().usual_ns == -1_270 * MS


def test_a_step_of_our_clock_is_not_lag():
    lag = Lag("sip")
    run(lag, 20, 20 * MS)
    lag.stepped(5 * NS)

    assert run(lag, 20, 20 * MS + 5 * NS, since=20) == []


def test_after_a_step_back_a_late_feed_is_noticed_as_soon_as_ever():
    lag = Lag("sip")
    run(lag, 60, 20 * MS, since=9_000)
    lag.stepped(-9_000 * NS)

    (alarm,) = run(lag, 20, 1_500 * MS - 9_000 * NS, since=60)
    assert alarm.noticed_ns < T0 + 66 * NS


def test_what_is_usual_survives_a_restart():
    first, second = Lag("delayed_sip"), Lag("delayed_sip")
    run(first, 30, 900 * NS)
    second.restore(first.saved())

    assert len(run(second, 10, 905 * NS)) == 1


def test_batches_may_be_cut_anywhere():
    whole, cut = Lag("sip"), Lag("sip")
    recv = T0 + np.arange(4_000) * (NS // 50)
    late = np.where(np.arange(4_000) < 2_000, 20 * MS, 2 * NS)
    changes = whole.observe(recv - late, recv)
    found = []
    for begin in range(0, 4_000, 37):
        part = slice(begin, begin + 37)
        found += cut.observe((recv - late)[part], recv[part])

    assert len(changes) == 1
    assert found == changes
