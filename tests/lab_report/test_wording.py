import pytest

from ticktape.lab.wording import duration, listed, ordinal, rate, share, size


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0 %"), (0.00012, "0.012 %"), (0.041, "4.1 %"), (0.6, "60 %"), (1, "100 %")],
)
def test_a_share_has_two_digits_that_mean_something(value, text):
    assert share(value) == text


@pytest.mark.parametrize("value", [0.9951, 0.9996, 0.9999999])
def test_what_is_not_all_is_never_called_all(value):
    assert share(value) != "100 %"
    assert float(share(value).split()[0]) < 100


@pytest.mark.parametrize(
    ("ns", "text"),
    [(0, "0 ns"), (126_000, "126 µs"), (27_500_000, "27.5 ms"), (2_004_000_000, "2.00 s")],
)
def test_a_duration_keeps_its_seconds(ns, text):
    assert duration(ns) == text


def test_sizes_rates_places_and_lists():
    assert size(12_500_000) == "12.5 MB"
    assert rate(93_800) == "93,800/s"
    assert rate(4.25) == "4.25/s"
    assert [ordinal(place) for place in (1, 2, 3, 4, 11, 22)] == (
        ["1st", "2nd", "3rd", "4th", "11th", "22nd"]
    )
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
