"""How polls are counted, and how near the estimate of what was missed comes to the truth."""

import random
from array import array
from importlib.resources import files
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.feeds.mt5.counts import SymbolPolls, buckets
from ticktape.polls import (
    CHANGE_RATIO_MAX,
    PollCounts,
    Polls,
    PollTotals,
    bucket_ns,
    bucket_of,
    missed_estimate,
    quantile_ns,
)

MS = 1_000_000
S = 1000 * MS
LENGTHS = st.one_of(
    st.integers(0, 300), st.integers(0, 2**53 - 1), st.integers(3, 52).map(lambda bit: 2**bit)
)

# Lengths of time by their bucket.


@given(LENGTHS, LENGTHS)
def test_buckets_stand_in_the_order_of_what_is_in_them(one, other):
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)
    assert bucket_ns(bucket_of(low)) <= bucket_ns(bucket_of(high))


@given(LENGTHS)
def test_the_middle_of_a_bucket_lies_in_it_and_a_bucket_is_an_eighth_wide_at_most(ns):
    bucket = bucket_of(ns)
    assert bucket_of(bucket_ns(bucket)) == bucket
    assert abs(bucket_ns(bucket) - ns) <= ns / 8


def test_no_bucket_is_left_out_and_none_overlaps():
    found = [bucket_of(ns) for ns in range(5_000)]
    assert sorted(set(found)) == list(range(max(found) + 1))
    assert bucket_of(-5) == 0


@given(st.lists(LENGTHS | st.integers(-(2**40), 2**53 - 1)))
def test_lengths_in_bulk_fall_where_they_fall_one_by_one(lengths):
    one_by_one = {}
    for ns in lengths:
        one_by_one[bucket_of(ns)] = one_by_one.get(bucket_of(ns), 0) + 1
    assert buckets(array("q", lengths)) == one_by_one


@given(st.lists(st.integers(0, 10**12), min_size=1), st.floats(0.01, 1))
def test_a_quantile_is_that_of_the_sorted_lengths_to_a_buckets_width(lengths, share):
    exact = sorted(lengths)[max(int(np.ceil(len(lengths) * share)) - 1, 0)]
    assert quantile_ns(buckets(array("q", lengths)), share) == bucket_ns(bucket_of(exact))


def test_of_nothing_there_is_no_quantile():
    assert quantile_ns({}, 0.5) is None


# What one interval counts.


def test_counts_are_given_away_and_begin_anew():
    polls = SymbolPolls("A")
    polls.calls.extend([5, 70])
    polls.gaps.append(3 * S)
    polls.changed, polls.rows_min, polls.rows_max, polls.gap_end_ns = 2, 4, 9, 77
    polls.errors["-1"] = 1
    first = polls.take()
    assert (first.polls, first.changed, first.rows_min, first.rows_max) == (2, 2, 4, 9)
    assert (first.call_max_ns, first.gap_max_ns, first.gap_end_ns) == (70, 3 * S, 77)
    assert (first.calls, first.errors) == ({5: 1, bucket_of(70): 1}, {"-1": 1})
    assert polls.take() == PollCounts("A")
    assert first.errors == {"-1": 1}


def test_an_interval_survives_its_entry():
    counts = PollCounts("A", 3, 1, 1, errors={"-1": 1}, calls={7: 3}, gaps={90: 2}, after_one=1)
    polls = Polls(5, 9, 10, 1, False, 300, [counts], {"A": 4}, {"A": (17, 2)})
    assert msgspec.json.decode(msgspec.json.encode(polls), type=Polls) == polls


def test_totals_are_the_sum_of_their_intervals():
    first = PollCounts("A", 10, 4, 5, 5, 1, {"-1": 1}, 2, 9, {8: 10}, {20: 9}, 70, 90, 2, 1)
    second = PollCounts("A", 5, 1, 4, 1, 0, {}, 3, 3, {8: 4, 9: 1}, {20: 4, 30: 1}, 60, 95, 0, 1)
    totals = PollTotals("A")
    for each in (first, second):
        totals.add(each)
    assert (totals.polls, totals.changed, totals.unchanged, totals.stored) == (15, 5, 9, 6)
    assert totals.polls == totals.changed + totals.unchanged + sum(totals.errors.values())
    assert (totals.empty, totals.errors) == (1, {"-1": 1})
    assert (totals.calls, totals.gaps) == ({8: 14, 9: 1}, {20: 13, 30: 1})
    assert (totals.call_max_ns, totals.gap_max_ns) == (70, 95)
    assert (totals.after_one, totals.after_two) == (2, 2)
    assert first == PollCounts("A", 10, 4, 5, 5, 1, {"-1": 1}, 2, 9, {8: 10}, {20: 9}, 70, 90, 2, 1)


def test_totals_as_json_are_in_microseconds_and_never_above_the_true_maximum():
    totals = PollTotals("A")
    totals.add(PollCounts("A", 3, 1, 2, calls={bucket_of(1_000_001): 3}, call_max_ns=1_000_001))
    shown = totals.to_json()
    assert shown["call_us"]["max"] == 1000.001 >= shown["call_us"]["p999"] >= 900
    assert shown["gap_us"] == {"p50": None, "p99": None, "p999": None, "max": None}
    assert shown["change_ratio"] == 1 / 3
    assert PollTotals("A").to_json()["change_ratio"] == 0.0
    msgspec.json.encode(shown)


# The estimate against the truth.


def poll(changes_ns, interval_ns, seed, pauses=()):
    """Totals of polls with jitter over the states that begin at `changes_ns`; and how many states.

    The rule of `books.PolledBooks`, on a whole array; `pauses` are (when, how long).
    """
    rng = np.random.default_rng(seed)
    count = int((changes_ns[-1] - changes_ns[0]) / interval_ns)
    at_ns = changes_ns[0] + np.arange(count) * interval_ns
    at_ns = at_ns + rng.exponential(interval_ns * 0.02, count)
    for begin_ns, length_ns in pauses:
        at_ns[at_ns >= begin_ns] += length_ns
    at_ns = at_ns[at_ns < changes_ns[-1]]
    state = np.searchsorted(changes_ns, at_ns, "right")
    is_changed = np.diff(state) > 0
    polls = np.flatnonzero(is_changed)
    between = np.diff(polls) - 1
    gaps = np.diff(at_ns).astype(np.int64)
    totals = PollTotals("A")
    totals.add(
        PollCounts(
            "A",
            len(is_changed),
            int(is_changed.sum()),
            int((~is_changed).sum()),
            gaps=buckets(array("q", gaps.tolist())),
            after_one=int((between == 0).sum()),
            after_two=int((between == 1).sum()),
        )
    )
    return totals, int(state[-1] - state[0])


def poisson(rate, seconds, seed):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(S / rate, int(rate * seconds)))


def regular(rate, seconds, seed):
    return random.Random(seed).random() * S + np.arange(int(rate * seconds)) * S / rate


def half_regular(rate, seconds, seed):
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.gamma(4, S / rate / 4, int(rate * seconds)))


def bursts(rate, seconds, seed):
    """Three in ten follow at once, the others take longer."""
    rng = np.random.default_rng(seed)
    count = int(rate * seconds)
    soon, late = (rng.exponential(each * S / rate, count) for each in (0.1, 1.39))
    return np.cumsum(np.where(rng.random(count) < 0.3, soon, late))


def real(rate, seconds, seed):
    """When the book changed that ships with the package, over and over at another pace."""
    name = "book20_usdm_btcusdt_20240808_cut.parquet"
    path = files("ticktape.sim") / "tapes" / name
    table = pq.read_table(path, columns=["snapshot", "recv_ns"])
    snapshots, recv_ns = (table[column].to_numpy() for column in table.column_names)
    times = recv_ns[np.concatenate([[True], snapshots[1:] != snapshots[:-1]])]
    times = (times - times[0]).astype(np.float64)
    span_ns = times[-1] + (times[-1] / len(times))
    scale = len(times) / (span_ns / S) / rate
    turns = int(rate * seconds / len(times)) + 1
    return (times[None, :] + (np.arange(turns) * span_ns)[:, None]).ravel() * scale


@pytest.mark.parametrize(
    ("changes", "interval_ms"),
    [
        *[(poisson, interval_ms) for interval_ms in (0.5, 1, 2, 4, 6, 7)],
        *[(regular, interval_ms) for interval_ms in (0.5, 1, 2, 3.5, 5, 5.5)],
        *[(half_regular, interval_ms) for interval_ms in (1, 2, 4)],
        *[(real, interval_ms) for interval_ms in (0.5, 1, 2, 3.5, 4.5, 5)],
    ],
)
def test_the_estimate_is_within_a_twentieth_of_each_seen_change(changes, interval_ms):
    totals, states = poll(changes(90, 400, 7), interval_ms * MS, 11)
    assert totals.changed / totals.polls <= 0.5
    missed = states - totals.changed
    assert totals.changed > 5_000
    assert abs(totals.missed - missed) <= 0.05 * totals.changed


def test_the_estimate_tells_much_from_little():
    """Not merely near zero: at 7 ms a third of a random book's changes is missed."""
    totals, states = poll(poisson(90, 400, 7), 7 * MS, 11)
    assert (states - totals.changed) / totals.changed > 0.3
    totals, states = poll(regular(90, 400, 7), 5 * MS, 11)
    assert states == totals.changed
    assert totals.missed < 0.01 * totals.changed


@pytest.mark.parametrize("interval_ms", [1, 2, 4, 6])
def test_of_bursts_the_estimate_tells_at_least_two_fifths_and_never_too_much(interval_ms):
    totals, states = poll(bursts(90, 400, 7), interval_ms * MS, 11)
    missed = states - totals.changed
    assert 0.4 * missed < totals.missed < 1.1 * missed


def test_beyond_its_bound_nothing_is_said():
    totals, _ = poll(poisson(90, 100, 3), 30 * MS, 5)
    assert totals.changed / totals.polls > CHANGE_RATIO_MAX
    assert totals.missed is None
    assert totals.to_json()["missed_estimate"] is None
    assert missed_estimate(10, 8, 6, 1) is not None
    assert missed_estimate(10, 9, 6, 1) is None


@pytest.mark.parametrize(
    ("polls", "changed", "one", "two", "missed"),
    [(0, 0, 0, 0, 0), (9, 0, 0, 0, 0), (9, 1, 0, 0, 0), (90, 9, 0, 9, 0), (100, 1, 1, 0, 0.39)],
)
def test_of_little_little_is_said(polls, changed, one, two, missed):
    assert missed_estimate(polls, changed, one, two) == pytest.approx(missed, abs=0.01)


@given(st.integers(0, 10**6), st.data())
def test_no_counts_make_a_negative_or_endless_estimate(polls, data):
    changed = data.draw(st.integers(0, polls))
    one = data.draw(st.integers(0, changed))
    two = data.draw(st.integers(0, changed - one))
    found = missed_estimate(polls, changed, one, two)
    assert found is None or 0 <= found < changed * (np.log(2 * changed + 2) + 1) + 1


@pytest.mark.parametrize("changes", [poisson, regular, half_regular, real])
@pytest.mark.parametrize(
    ("share", "late_ms"), [(0.05, 8), (0.1, 8), (0.2, 5), (0.3, 2), (0.01, 99)]
)
def test_on_a_busy_machine_many_polls_are_late_and_the_estimate_holds(changes, share, late_ms):
    """Within 0.07 for each seen change, wherever up to one for each is missed in pauses."""
    times = changes(200, 100, 7)
    rng = np.random.default_rng(5)
    at_ns = times[0] + np.arange(0, times[-1] - times[0], 2 * MS)
    late = at_ns[rng.random(len(at_ns)) < share]
    pauses = zip(late, rng.exponential(late_ms * MS, len(late)), strict=True)
    totals, states = poll(times, 2 * MS, 11, np.array(sorted(pauses)))
    missed = states - totals.changed
    assert missed > 0.05 * totals.changed
    assert abs(totals.missed - missed) <= 0.07 * totals.changed


@pytest.mark.parametrize("changes", [poisson, regular, real])
def test_what_long_pauses_cost_is_added(changes):
    times = changes(90, 200, 7)
    pauses = [(times[0] + at * S, 700 * MS) for at in range(5, 150, 10)]
    totals, states = poll(times, 2 * MS, 11, pauses)
    missed = states - totals.changed
    assert missed > 15 * 50
    assert abs(totals.missed - missed) <= 0.05 * totals.changed + 0.1 * missed
    without = missed_estimate(totals.polls, totals.changed, totals.after_one, totals.after_two)
    assert totals.missed - without > 15 * 50


def test_polls_at_another_pace_are_no_pauses_while_they_see_a_change_a_poll_at_most():
    """`auto` changes the interval while it records."""
    slow, states_slow = poll(poisson(9, 400, 1), 20 * MS, 2)
    fast, states_fast = poll(poisson(90, 100, 3), 2 * MS, 4)
    totals = PollTotals("A")
    for each in (slow, fast):
        totals.add(
            PollCounts(
                "A",
                each.polls,
                each.changed,
                each.unchanged,
                gaps=each.gaps,
                after_one=each.after_one,
                after_two=each.after_two,
            )
        )
    missed = states_slow + states_fast - totals.changed
    assert abs(totals.missed - missed) <= 0.05 * totals.changed


def test_the_simulation_of_this_file_polls_as_it_says():
    totals, states = poll(np.arange(1, 1001) * float(10 * MS), 4 * MS, 1)
    assert states == totals.changed == pytest.approx(998, abs=2)
    pairs = list(pairwise(sorted(totals.gaps)))
    assert pairs and max(map(bucket_ns, totals.gaps)) < 5 * MS
