"""The usual hours of markets, from rules alone."""

from datetime import UTC, date, datetime, timedelta

import pytest

from ticktape.ledger.sessions import Hours, span_at, us_half_days, us_holidays

NS = 1_000_000_000


def utc(*parts):
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * NS


def text(ns):
    return f"{datetime.fromtimestamp(ns / NS, UTC):%Y-%m-%d %H:%M}"


# As the exchange published them.
PUBLISHED = {
    2013: "01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25",
    2021: "01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24",
    2022: "01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26",
    2024: "01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25",
    2026: "01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25",
    2027: "01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24",
}
HALF = {
    2013: "07-03 11-29 12-24",
    2024: "07-03 11-29 12-24",
    2026: "11-27 12-24",
    2027: "11-26",
}


@pytest.mark.parametrize("year", PUBLISHED)
def test_the_holidays_are_those_that_the_exchange_published(year):
    assert " ".join(f"{day:%m-%d}" for day in sorted(us_holidays(year))) == PUBLISHED[year]


@pytest.mark.parametrize("year", HALF)
def test_the_half_days_are_those_that_the_exchange_published(year):
    assert " ".join(f"{day:%m-%d}" for day in sorted(us_half_days(year))) == HALF[year]


@pytest.mark.parametrize(
    ("at", "is_open", "begin", "end"),
    [
        # summer and winter time
        (utc(2013, 10, 8, 15), True, "2013-10-08 13:30", "2013-10-08 20:00"),
        (utc(2026, 11, 25, 15), True, "2026-11-25 14:30", "2026-11-25 21:00"),
        # Thanksgiving lasts from Wednesday's close to Friday's open, and that is a half day
        (utc(2026, 11, 26, 15), False, "2026-11-25 21:00", "2026-11-27 14:30"),
        (utc(2026, 11, 27, 15), True, "2026-11-27 14:30", "2026-11-27 18:00"),
        # a weekend across the switch of clocks
        (utc(2026, 3, 8, 12), False, "2026-03-06 21:00", "2026-03-09 13:30"),
        # before the open of a plain day
        (utc(2013, 10, 8, 13, 29), False, "2013-10-07 20:00", "2013-10-08 13:30"),
    ],
)
def test_stocks_trade_in_new_yorks_regular_hours(at, is_open, begin, end):
    span = span_at(Hours.US_STOCKS, at)

    assert (span.is_open, text(span.from_ns), text(span.to_ns)) == (is_open, begin, end)


def test_currencies_rest_from_friday_to_sunday_evening():
    week = span_at(Hours.FX, utc(2026, 11, 25, 12))
    rest = span_at(Hours.FX, week.to_ns)

    assert (week.is_open, text(week.from_ns), text(week.to_ns)) == (
        True,
        "2026-11-22 22:00",
        "2026-11-27 22:00",
    )
    assert (rest.is_open, text(rest.to_ns)) == (False, "2026-11-29 22:00")


def test_crypto_never_closes():
    span = span_at(Hours.ALWAYS, utc(2026, 12, 25, 3))

    assert span.is_open
    assert span.from_ns < utc(1980, 1, 1) and span.to_ns > utc(2200, 1, 1)


@pytest.mark.parametrize("hours", [Hours.US_STOCKS, Hours.FX])
def test_the_spans_of_years_follow_one_another_without_a_hole(hours):
    at = utc(2012, 1, 3, 12)
    span = span_at(hours, at)
    while span.to_ns < utc(2029, 1, 1):
        following = span_at(hours, span.to_ns)

        assert following.from_ns == span.to_ns
        assert following.is_open != span.is_open
        assert following.to_ns > following.from_ns
        span = following


def test_a_year_has_as_many_sessions_as_weekdays_less_holidays():
    days = (date(2026, 1, 1) + timedelta(days=n) for n in range(365))
    opened = sum(
        span_at(Hours.US_STOCKS, utc(day.year, day.month, day.day, 16)).is_open for day in days
    )

    assert opened == 261 - len(us_holidays(2026))
