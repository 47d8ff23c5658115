"""When a market usually trades, computed from rules; a hint for the watchdog, never a gate.

New York's regular hours with weekends, the exchange's usual holidays and half days; currencies from
Sunday to Friday 17:00 New York; and markets that never close. Nothing is looked up anywhere: a
closure that was decreed for one day is not known here, and nobody may drop data by this.

Source: https://www.nyse.com/trade/hours-calendars (rules as published for 2024 to 2027).
"""

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

NS_PER_S = 1_000_000_000

_MONDAY, _THURSDAY, _FRIDAY, _SATURDAY, _SUNDAY = 0, 3, 4, 5, 6
_DAY = timedelta(days=1)
_FOREVER_NS = 2**63 - 1
_JUNETEENTH_SINCE = 2022

_OPEN = 9 * 60 + 30  # minutes after midnight in New York
_CLOSE = 16 * 60
_EARLY_CLOSE = 13 * 60
_FX_WEEK = 17 * 60


class Hours(StrEnum):
    """When a feed's market usually trades."""

    ALWAYS = "always"
    FX = "fx"
    US_STOCKS = "us stocks"


class Span(NamedTuple):
    """A stretch of time [from_ns, to_ns) in which the market is usually open, or is not."""

    is_open: bool
    from_ns: int
    to_ns: int


def span_at(hours: Hours, ns: int) -> Span:
    """The stretch of usual trading, or of usual rest, in which the instant `ns` lies."""
    if hours is Hours.ALWAYS:
        return Span(True, 0, _FOREVER_NS)
    opened = _us_session if hours is Hours.US_STOCKS else _fx_session
    day = datetime.fromtimestamp(ns // NS_PER_S, UTC).date()
    # A session of the day before may last into this one, and the next may be days away: no rest
    # of the rules is longer than a week.
    sessions = [found for back in range(-8, 9) if (found := opened(day + back * _DAY))]
    before = 0
    for from_ns, to_ns in sessions:
        if ns < from_ns:
            return Span(False, before, from_ns)
        if ns < to_ns:
            return Span(True, from_ns, to_ns)
        before = to_ns
    raise AssertionError("no session within a week")


@lru_cache(maxsize=64)
def _us_session(day: date) -> tuple[int, int] | None:
    if day.weekday() >= _SATURDAY or day in us_holidays(day.year):
        return None
    close = _EARLY_CLOSE if day in us_half_days(day.year) else _CLOSE
    return _new_york_ns(day, _OPEN), _new_york_ns(day, close)


@lru_cache(maxsize=64)
def _fx_session(day: date) -> tuple[int, int] | None:
    if day.weekday() != _SUNDAY:
        return None
    return _new_york_ns(day, _FX_WEEK), _new_york_ns(day + 5 * _DAY, _FX_WEEK)


@lru_cache(maxsize=16)
def us_holidays(year: int) -> frozenset[date]:
    """The days of a year on which New York's exchanges are usually closed, weekends left out."""
    new_year = date(year, 1, 1)
    if new_year.weekday() == _SUNDAY:
        new_year += _DAY
    found = {
        new_year,
        _nth(year, 1, _MONDAY, 3),
        _nth(year, 2, _MONDAY, 3),
        _easter(year) - 2 * _DAY,
        _nth(year, 6, _MONDAY, 1) - 7 * _DAY,
        _observed(date(year, 7, 4)),
        _nth(year, 9, _MONDAY, 1),
        _nth(year, 11, _THURSDAY, 4),
        _observed(date(year, 12, 25)),
    }
    if year >= _JUNETEENTH_SINCE:
        found.add(_observed(date(year, 6, 19)))
    # A New Year's Day on a Saturday is not moved to the Friday: that is the year's last day.
    return frozenset(day for day in found if day.weekday() < _SATURDAY)


@lru_cache(maxsize=16)
def us_half_days(year: int) -> frozenset[date]:
    """The days of a year that usually end at 13:00 in New York."""
    eves = (date(year, 7, 3), date(year, 12, 24), _nth(year, 11, _THURSDAY, 4) + _DAY)
    holidays = us_holidays(year)
    return frozenset(day for day in eves if day.weekday() < _SATURDAY and day not in holidays)


def _observed(day: date) -> date:
    """Saturdays are kept on the Friday before, Sundays on the Monday after."""
    return day + {_SATURDAY: -1, _SUNDAY: 1}.get(day.weekday(), 0) * _DAY


def _nth(year: int, month: int, weekday: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(weekday - first.weekday()) % 7 + 7 * (number - 1))


def _easter(year: int) -> date:
    """Easter Sunday of the Gregorian calendar.

    Source: Oudin's algorithm, https://aa.usno.navy.mil/faq/easter.
    """
    century = year // 100
    golden = year % 19
    moon = (century - century // 4 - (century - (century - 17) // 25) // 3 + 19 * golden + 15) % 30
    moon -= (moon // 28) * (1 - (moon // 28) * (29 // (moon + 1)) * ((21 - golden) // 11))
    week = (year + year // 4 + moon + 2 - century + century // 4) % 7
    days = moon - week
    month = 3 + (days + 40) // 44
    return date(year, month, days + 28 - 31 * (month // 4))


def _new_york_ns(day: date, minutes: int) -> int:
    """UTC nanoseconds of a time of day in New York; never asked for the hours of a switch."""
    # Summer time since 2007: from March's second Sunday to November's first.
    summer = _nth(day.year, 3, _SUNDAY, 2) <= day < _nth(day.year, 11, _SUNDAY, 1)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    offset = timedelta(hours=4 if summer else 5)
    return int((midnight + offset).timestamp()) * NS_PER_S + minutes * 60 * NS_PER_S
