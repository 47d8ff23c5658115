"""Numbers, times and texts for people."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.cli.figures import age, cell, duration, moment, plain_number, printable, span

S = 1_000_000_000


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (78_840, "78.8 µs"),
        (999_400, "999 µs"),
        (999_600, "1.00 ms"),
        (9_949_000, "9.95 ms"),
        (27_525_000, "27.5 ms"),
        (1_493_172_000, "1.49 s"),
        (12_345 * S, "12,345 s"),
    ],
)
def test_a_duration_has_three_digits_and_its_unit(ns, text):
    assert duration(ns) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (12.3, "12 s"),
        (300, "5 min"),
        (3 * 3600, "3 hours"),
        (47 * 3600, "47 hours"),
        (72 * 3600, "3 days"),
        (414_052_305, "13 years"),
        (-5, "-5.0 s"),
    ],
)
def test_an_age_is_plain_words(seconds, text):
    assert age(int(seconds * S)) == text


def test_moments_are_utc_and_name_their_day_when_it_is_another():
    assert moment(1381262449234519454, 1381262450 * S) == "20:00:49.234"
    assert moment(1381262449234519454, 1381348850 * S) == "2013-10-08 20:00:49"
    assert span(1381262340 * S, 1381262449 * S) == "2013-10-08 19:59:00 to 20:00:49 UTC"
    assert span(1381262340 * S, 1381348740 * S) == "2013-10-08 19:59:00 to 2013-10-09 19:59:00 UTC"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "NULL"),
        (178.92718918918933, "178.927189"),
        (100.0, "100.0"),
        (0.0, "0"),
        (1.5e-7, "1.5e-07"),
        (float("nan"), "nan"),
        (True, "True"),
        (1381262449234519454, "1381262449234519454"),
    ],
)
def test_a_cell_shows_a_value_on_one_line(value, text):
    assert cell(value) == text


def test_whole_decimals_are_whole_numbers():
    assert plain_number(Decimal("44800068")) == 44_800_068
    assert plain_number(Decimal("1.5")) == 1.5


@given(st.text())
def test_what_is_printed_never_steers_the_terminal(text):
    assert printable(text).isprintable()
