import numpy as np
import pytest

from ticktape.lab.bootstrap import DRAWS, Sample, compare, generator, stretch


def certain(point):
    return Sample(point, np.full(DRAWS, float(point)))


def at(points, threshold="1MB"):
    return {(threshold, repeat): certain(point) for repeat, point in enumerate(points)}


def test_one_repeat_has_a_middle_and_no_interval():
    apart = compare(at([1.0]), at([3.0]), generator(1))
    assert apart.middle == -2
    assert not apart.is_known
    assert not apart.is_below
    assert not apart.is_above


def test_one_repeat_at_any_threshold_leaves_no_interval():
    first = at([1, 2, 3]) | at([1], "10MB")
    assert not compare(first, at([0, 0, 0]) | at([0], "10MB"), generator(1)).is_known


def test_layouts_that_never_met_are_not_compared():
    assert compare(at([1.0], "1MB"), at([1.0], "10MB"), generator(1)) is None


def test_thresholds_count_the_same_however_many_repeats_they_have():
    first = at([1, 1, 1, 1]) | at([3, 3], "10MB")
    second = at([0, 0, 0, 0]) | at([0, 0], "10MB")
    assert compare(first, second, generator(1)).middle == 2


def test_a_difference_between_thresholds_is_not_taken_for_noise():
    first = at([1, 1, 1]) | at([3, 3, 3], "10MB")
    apart = compare(first, at([0, 0, 0]) | at([0, 0, 0], "10MB"), generator(1))
    assert (apart.low, apart.high) == (2, 2)


def test_the_same_seed_gives_the_same_interval_and_another_one_does_not():
    first, second = at([1, 2, 4, 7, 8.5, 3.1, 2.7]), at([0] * 7)
    same = [compare(first, second, generator(5, "a")) for _ in range(2)]
    assert same[0] == same[1]
    assert compare(first, second, generator(6, "a")) != same[0]


def test_what_a_cell_leaves_open_widens_the_interval():
    first, second = at([1, 2, 3]), at([0, 0, 0])
    random = generator(3)
    noisy = {
        place: Sample(point, point + random.normal(size=DRAWS))
        for place, (point, _) in first.items()
    }
    sure, unsure = (compare(each, second, generator(1)) for each in (first, noisy))
    assert unsure.high - unsure.low > sure.high - sure.low


@pytest.mark.parametrize(("repeats", "thresholds"), [(3, 1), (3, 3), (5, 2)])
def test_equal_layouts_are_rarely_told_apart(repeats, thresholds):
    """The promise of 95 %: of layouts that do not differ, about one comparison in twenty errs."""
    random = np.random.default_rng(11)
    wrong = 0
    for trial in range(300):
        both = [
            {
                place: each
                for at_one in range(thresholds)
                for place, each in at(random.normal(size=repeats), f"{at_one}MB").items()
            }
            for _ in range(2)
        ]
        apart = compare(*both, generator(trial))
        wrong += apart.is_below or apart.is_above
    assert 0 < wrong < 30


def test_few_repeats_are_stretched_more_than_many():
    assert stretch([3]) > stretch([3, 3, 3]) > stretch([10]) > stretch([100]) > 1
    assert stretch([1000]) == pytest.approx(1, abs=0.01)
    # Where the table of Student's t ends, the rule goes on.
    assert stretch([21]) > stretch([22])
