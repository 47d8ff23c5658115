"""Waits between sessions."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ticktape.feeds.backoff import Backoff


def waits(count, *, cap_s=30.0, session_s=0.0, seed=1):
    backoff = Backoff(cap_s, random.Random(seed))
    return [backoff.next_s(session_s) for _ in range(count)]


def test_first_retry_is_immediate():
    assert waits(1) == [0.0]


@given(seed=st.integers(0, 2**32), cap_s=st.floats(0.01, 3600))
def test_waits_double_with_jitter_up_to_the_cap(seed, cap_s):
    for number, wait_s in enumerate(waits(20, cap_s=cap_s, seed=seed)[1:]):
        whole_s = min(cap_s, 0.5 * 2**number)
        assert whole_s / 2 <= wait_s <= whole_s


def test_recorders_with_other_seeds_do_not_come_back_together():
    assert len({waits(5, seed=seed)[4] for seed in range(20)}) == 20


def test_seed_repeats_the_waits():
    assert waits(9, seed=3) == waits(9, seed=3)


def test_session_that_soon_falls_keeps_the_wait_growing():
    found = waits(12, session_s=5.0)
    assert found[11] > 7.5


def test_steady_session_earns_an_immediate_retry_once():
    backoff = Backoff(30.0, random.Random(1))
    for _ in range(9):
        backoff.next_s(0.0)
    assert backoff.next_s(30.0) == 0.0
    assert backoff.next_s(0.0) > 0.0


def test_venues_own_wait_is_kept_at_least():
    backoff = Backoff(30.0, random.Random(1))
    assert backoff.next_s(0.0, 0.5) == 0.5
    assert backoff.next_s(100.0, 2.0) == 2.0
    for _ in range(10):
        backoff.next_s(0.0)
    assert backoff.next_s(0.0, 0.5) >= 15.0


def test_thousand_failures_do_not_overflow():
    assert waits(3000)[-1] <= 30.0


def test_venues_own_bound_is_kept_with_jitter_however_often_it_failed():
    backoff = Backoff(30.0, random.Random(1))
    found = [backoff.next_s(0.0, 0.5, 5.0) for _ in range(20)]
    assert max(found) <= 5.0 and min(found) == 0.5 and len(set(found[10:])) > 5
    assert backoff.next_s(0.0) >= 15.0, "another failure is not bounded"
