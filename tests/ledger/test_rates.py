"""The rhythm of a series: its pace, and how long a silence is improbable."""

import numpy as np
import pytest

from ticktape.ledger.rates import LEARNED_COUNT, LIMIT_MIN_S, Rates

DAY_S = 86_400.0


def rates(size=10, alarms_a_day=0.1):
    made = Rates(alarms_a_day, DAY_S)
    made.grow(size)
    return made


def learn(made, silences, row=0, usual=True):
    for silence in silences:
        made.learn(
            np.array([row]), np.array([silence]), np.array([silence + 0.1]), np.array([usual])
        )


def even(mean_s, count=2_000, seed=1):
    """The silences of events that come independently of one another."""
    return np.random.default_rng(seed).exponential(mean_s, count)


def bursty(mean_s, count=2_000, seed=1):
    """The same mean, but the pace itself wanders, by more than half either way."""
    random = np.random.default_rng(seed)
    pace = random.lognormal(-0.125, 0.5, count)
    return random.exponential(1.0, count) * pace * mean_s


def test_a_series_without_a_past_is_never_silent_too_long():
    made = rates()
    learn(made, even(1.0, LEARNED_COUNT - 1))

    assert made.limit_s[0] == np.inf
    assert made.rate[0] == 0.0


@pytest.mark.parametrize("mean_s", [0.02, 0.1, 0.2, 1.0, 10.0, 60.0, 600.0])
def test_the_limit_of_an_even_series_is_some_twenty_paces(mean_s):
    made = rates(size=30)
    learn(made, even(mean_s))

    limit = made.limit_s[0]
    assert limit >= LIMIT_MIN_S
    assert 10 * mean_s < limit
    assert limit < max(36 * mean_s, LIMIT_MIN_S + 1e-9)


def test_six_even_events_a_second_are_missed_within_five_seconds():
    made = rates(size=30)
    learn(made, even(1 / 6, 5_000))

    assert made.limit_s[0] < 5.0


def test_bursts_lengthen_the_limit_at_the_same_pace():
    made = rates()
    learn(made, even(1.0), row=0)
    learn(made, bursty(1.0), row=1)

    assert made.limit_s[1] / made.pace_s[1] > 1.2 * made.limit_s[0] / made.pace_s[0]


@pytest.mark.parametrize("silences", [even, bursty])
def test_the_silences_of_forty_series_stay_below_their_limits(silences):
    made = rates(size=40)
    rows, usual = np.arange(40), np.ones(40, np.bool_)
    exceeded = 0
    for each in silences(1.0, 40 * 2_000, seed=3).reshape(2_000, 40):
        exceeded += np.count_nonzero(each > made.limit_s)
        made.learn(rows, each, each + 0.1, usual)

    assert exceeded == 0


def test_the_pace_follows_the_day():
    made = rates()
    learn(made, even(0.2, 5_000))
    busy = made.limit_s[0]
    learn(made, even(2.0, 300))

    assert made.pace_s[0] == pytest.approx(2.0, rel=0.4)
    assert made.limit_s[0] > 5 * busy


def test_one_pause_does_not_change_what_is_usual():
    made = rates()
    learn(made, even(1.0))
    before = made.limit_s[0]
    learn(made, [before], usual=False)
    learn(made, even(1.0, 100))

    assert made.limit_s[0] < 1.25 * before


def test_a_lasting_slower_pace_is_learned_although_each_silence_alarmed():
    made = rates()
    learn(made, even(1.0))
    slow = even(40.0, 60, seed=5)
    for silence in slow:
        limit = made.limit_s[0]
        learn(made, [min(silence, limit)], usual=silence < limit)

    assert made.pace_s[0] > 20.0


def test_more_series_share_the_alarms_that_are_allowed():
    few, many = rates(size=1), rates(size=10_000)
    learn(few, even(1.0))
    learn(many, even(1.0))

    assert many.limit_s[0] > few.limit_s[0]


def test_one_series_learns_nothing_from_another():
    made = rates()
    learn(made, even(1.0), row=0)
    before = made.limit_s[0], made.pace_s[0]
    learn(made, even(50.0), row=1)

    assert (made.limit_s[0], made.pace_s[0]) == before


def test_what_is_saved_is_all_that_is_needed_to_go_on():
    made, again = rates(), rates()
    learn(made, bursty(1.0))
    again.restore(0, made.saved(0))

    assert made.saved(1) == []
    assert again.limit_s[0] == pytest.approx(made.limit_s[0], rel=1e-4)
    assert again.rate[0] == pytest.approx(made.rate[0], rel=1e-4)


@pytest.mark.parametrize(
    "saved", [[], [1.0], [0.0] * 7, [-1.0] * 7, [float("nan")] * 7, [float("inf")] * 7]
)
def test_numbers_that_cannot_be_of_a_series_are_refused(saved):
    with pytest.raises(ValueError, match="is"):
        rates().restore(0, saved)


def test_a_forgotten_series_begins_anew():
    made = rates()
    learn(made, even(1.0))
    made.forget(np.array([0]))

    assert made.saved(0) == []
    assert made.limit_s[0] == np.inf
