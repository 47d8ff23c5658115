from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.errors import ConfigError
from ticktape.sim.pace import Pace, parse_speed, step_s

DUE = np.array([100, 100, 200, 1_000, 1_000_000_000], np.int64)


def pace(**options):
    made = Pace(DUE, random=Random(1), **options)
    made.start(5_000)
    return made


def test_real_time_follows_the_tape():
    made = pace(speed=1.0)
    assert [made.rows_due(now) for now in (4_999, 5_000, 5_100, 5_899, 5_900)] == [0, 2, 3, 3, 4]
    assert made.wait_s(4, 5_000) == pytest.approx((1_000_000_000 - 100) / 1e9)


def test_ten_times_faster():
    made = pace(speed=10.0)
    assert [made.rows_due(now) for now in (5_009, 5_010, 5_090)] == [2, 3, 4]


def test_rate_ignores_the_tapes_own_times():
    made = pace(rate=1000.0)
    assert [made.rows_due(5_000 + ms * 1_000_000) for ms in (0, 1, 2, 99)] == [1, 2, 3, 5]


def test_only_frames_of_more_than_one_a_millisecond_go_out_together():
    assert step_s(0, 1) == step_s(1000, 1) == step_s(50_000, 50) == 0
    assert 0 < step_s(1001, 1) == step_s(200_000, 50) < 0.002


def test_as_fast_as_possible_is_all_at_once():
    made = pace(speed=0.0)
    assert made.unbounded and made.rows_due(0) == 5 and made.wait_s(4, 0) == 0


def test_after_a_pause_the_tape_goes_on_where_it_was():
    made = pace(speed=1.0)
    made.start(1_000_000, row=3)
    assert made.rows_due(1_000_000) == 4
    assert made.rows_due(999_999) == 3


@given(st.floats(0.01, 1000), st.floats(0, 5), st.integers(0, 100))
def test_what_is_waited_for_is_due_then_and_never_falls_back(speed, jitter_ms, seed):
    made = Pace(DUE, random=Random(seed), speed=speed, jitter_ms=jitter_ms)
    made.start(0)
    now, seen = 0, 0
    while seen < len(DUE):
        now += int(made.wait_s(seen, now) * 1e9) + 2
        due = made.rows_due(now)
        assert due >= seen
        seen = max(due, seen)
    assert now >= (DUE[-1] - DUE[0]) / speed


@pytest.mark.parametrize(("text", "speed"), [("1x", 1), ("0.5x", 0.5), ("10", 10), ("max", 0)])
def test_speeds_are_read(text, speed):
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["0", "0x", "-1x", "fast", "", "nan", "infx", "x"])
def test_what_is_no_speed_is_refused(text):
    with pytest.raises(ConfigError, match="is no speed"):
        parse_speed(text)
