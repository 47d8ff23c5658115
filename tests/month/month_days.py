"""The month's calendar and its plan: which day it is, when the market closes, what happens on it.

Dates stand here as the exchange and the law publish them, so that they do not come from the rules
that are tested.
"""

import random
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

NS_PER_S = 1_000_000_000
FIRST = date(2026, 10, 29)
"""A Thursday: the clocks change on the Sunday after, and four weeks later is Thanksgiving."""

LAST = date(2027, 3, 31)  # what is published below reaches so far
# Source: https://www.nyse.com/trade/hours-calendars, seen 2026-11.
CLOSED = {date(2026, 11, 26), date(2026, 12, 25), date(2027, 1, 1), date(2027, 1, 18)} | {
    date(2027, 2, 15),
    date(2027, 3, 26),
}
HALF_DAYS = {date(2026, 11, 27), date(2026, 12, 24)}
# From its first to before its last day New York is four hours behind UTC, else five.
SUMMERS = ((date(2026, 3, 8), date(2026, 11, 1)), (date(2027, 3, 14), date(2027, 11, 7)))

PLAIN, BUSY, MUTE, LOST_LINE = "plain", "busy", "mute", "lost line"
KILL_TREE, KILL_CAPTURE, POWER_CUT = "kill tree", "kill capture", "power cut"
KILL_TABLE, KILL_LEDGER, KILL_HEAL = "kill table", "kill ledger", "kill heal"
FULL_DISK, DEAD_STRATEGY, SILENT = "full disk", "dead strategy", "silent"

# Every month has these, in an order of its own; what days are left are plain.
STORIES = (
    *(KILL_TREE, KILL_CAPTURE, POWER_CUT, FULL_DISK, DEAD_STRATEGY, KILL_TABLE, LOST_LINE),
    *(BUSY, KILL_LEDGER, KILL_TREE, KILL_HEAL, FULL_DISK, KILL_CAPTURE, POWER_CUT, BUSY),
    *(KILL_TABLE, LOST_LINE, KILL_TREE),
)
GAPS = {KILL_TREE: 1, KILL_CAPTURE: 1, LOST_LINE: 1, MUTE: 1}
"""Story -> how many spans REST is to be asked for on that day."""


class Day(NamedTuple):
    """One day: the venue plays for `length_s` until `close_ns`; on a closed day it is silent."""

    date: date
    story: str
    close_ns: int
    length_s: float
    rows_per_s: float

    @property
    def is_open(self) -> bool:
        return self.story != SILENT

    @property
    def begin_ns(self) -> int:
        """When the venue begins to play, or, on a closed day, would be expected to."""
        return self.close_ns - int((self.length_s + 0.5) * NS_PER_S)


def is_closed(day: date) -> bool:
    """Whether the exchange does not open on this day."""
    return day.weekday() >= 5 or day in CLOSED


def close_of(day: date) -> int:
    """UTC nanoseconds of the end of the regular hours in New York, were it a day of trading."""
    behind = 4 if any(first <= day < last for first, last in SUMMERS) else 5
    hour = 13 if day in HALF_DAYS else 16
    moment = datetime.combine(day, time(hour), UTC) + timedelta(hours=behind)
    return int(moment.timestamp()) * NS_PER_S


def make_plan(days: list[date], seed: int) -> list[Day]:
    """What happens on each of these days, which may leave out some."""
    rng = random.Random(seed)
    stories = list(STORIES)
    rng.shuffle(stories)
    trading = [day for day in days if not is_closed(day)]
    told: dict[date, str] = {}
    # A real silence on both sides of the change, in the hour that the other side has not.
    for first, last in SUMMERS:
        for change in (first, last):
            before = [day for day in trading if day < change]
            after = [day for day in trading if day >= change]
            if before and after:
                told |= {before[-1]: MUTE, after[0]: MUTE}
    for day in trading[:-1]:
        if day not in told and stories:
            told[day] = stories.pop()
    return [_day(day, SILENT if is_closed(day) else told.get(day, PLAIN), rng) for day in days]


def day_of(day: date, story: str, seed: int = 1) -> Day:
    """One day with a story that is chosen."""
    return _day(day, story, random.Random(seed))


def _day(day: date, story: str, rng: random.Random) -> Day:
    rows_per_s = 1500.0 if story == BUSY else rng.uniform(250, 350)
    lengths = {MUTE: 18.0, KILL_TREE: 8.0, KILL_CAPTURE: 7.0, LOST_LINE: 7.0, FULL_DISK: 7.0}
    return Day(day, story, close_of(day), lengths.get(story, 5.0), rows_per_s)


def dates(first: date, count: int) -> list[date]:
    """So many days in a row.

    Raises:
        ValueError: nobody has yet published when the exchange is closed then.
    """
    if not (first >= SUMMERS[0][0] and first + timedelta(count - 1) <= LAST):
        raise ValueError(f"the calendar in month_days.py reaches from {SUMMERS[0][0]} to {LAST}")
    return [first + timedelta(number) for number in range(count)]
