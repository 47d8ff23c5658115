"""A histogram agrees with the exact percentiles within one bucket, however it was filled."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.latency.histogram import BUCKETS, Histogram, bucket_bounds_ns, bucket_of

VALUES = st.integers(0, 2**63 - 1) | st.integers(0, 10_000_000)
WEIGHTED = st.lists(st.tuples(VALUES, st.integers(0, 5)), max_size=60)


def filled(pairs):
    histogram = Histogram()
    values = np.array([value for value, _ in pairs], dtype=np.int64)
    weights = np.array([weight for _, weight in pairs], dtype=np.int64)
    histogram.record(values, weights)
    return histogram


@given(VALUES)
def test_every_value_lies_in_its_bucket_and_the_bucket_is_narrow(value):
    bucket = int(bucket_of(np.array([value], dtype=np.int64))[0])
    assert 0 <= bucket < BUCKETS
    least, greatest = bucket_bounds_ns(bucket)
    assert least <= value <= greatest
    assert (greatest - least) * 32 <= least


@pytest.mark.parametrize("power", range(1, 63))
def test_buckets_meet_at_powers_of_two(power):
    values = np.array([2**power - 1, 2**power, 2**power + 1], dtype=np.int64)
    for value, bucket in zip(values.tolist(), bucket_of(values).tolist(), strict=True):
        least, greatest = bucket_bounds_ns(bucket)
        assert least <= value <= greatest


def test_buckets_follow_one_another_without_a_hole():
    bounds = [bucket_bounds_ns(bucket) for bucket in range(BUCKETS)]
    assert bounds[0] == (0, 0)
    assert all(left[1] + 1 == right[0] for left, right in itertools.pairwise(bounds))
    assert bounds[-1][1] == 2**63 - 1


@given(WEIGHTED, st.sampled_from([0.0, 1.0, 50.0, 90.0, 99.0, 99.9, 100.0]))
def test_percentiles_are_those_of_numpy_within_a_bucket(pairs, percent):
    every = np.repeat([value for value, _ in pairs], [weight for _, weight in pairs])
    histogram = filled(pairs)
    assert histogram.count == len(every)
    found = histogram.percentile_ns(percent)
    if len(every) == 0:
        assert found is None
        return
    exact = int(np.percentile(every.astype(object), percent, method="inverted_cdf"))
    least, greatest = bucket_bounds_ns(int(bucket_of(np.array([exact]))[0]))
    assert least <= found <= greatest
    assert found <= histogram.max_ns == int(every.max())


@given(WEIGHTED, WEIGHTED)
def test_merging_equals_recording_all_in_one(left, right):
    merged = filled(left)
    merged.merge(filled(right))
    together = filled(left + right)
    assert np.array_equal(merged.counts, together.counts)
    assert merged.to_dict() == together.to_dict()


def test_to_dict_speaks_in_the_given_unit():
    histogram = Histogram()
    histogram.record(np.array([1000, 1000, 64_000_000], dtype=np.int64))
    result = histogram.to_dict(1000)
    assert result["max"] == 64_000.0
    assert result["count"] == 3
    assert result["p50"] == pytest.approx(1.0, rel=0.016)


def test_an_empty_histogram_has_no_percentiles():
    assert Histogram().to_dict() == {
        "p50": None,
        "p99": None,
        "p999": None,
        "max": None,
        "count": 0,
    }


@pytest.mark.parametrize(("values", "weights"), [([-1], [1]), ([1], [-1])])
def test_negative_values_and_weights_are_refused(values, weights):
    with pytest.raises(ValueError, match="negative"):
        Histogram().record(np.array(values), np.array(weights))
