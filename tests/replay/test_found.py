"""Which times of a day are worth a comparison with REST."""

from datetime import UTC, datetime

import duckdb
import pytest

from ticktape.ledger.sessions import Hours
from ticktape.replay.found import session_end_ns

S = 10**9


def at(hour, minute=0, day=16):
    """Nanoseconds of a time (UTC) in June 2025; the 16th is a Monday."""
    return int(datetime(2025, 6, day, hour, minute, tzinfo=UTC).timestamp()) * S


CLOSE_NS = at(20)  # 16:00 in New York
LATER_NS = at(12, day=17)


@pytest.fixture
def con():
    with duckdb.connect() as made:
        made.execute(
            "CREATE TABLE gaps (feed VARCHAR, from_ns BIGINT, to_ns BIGINT, planned BOOLEAN)"
        )
        yield made


def end(con, last_ns, hours=Hours.US_STOCKS, now_ns=LATER_NS):
    return session_end_ns(con, "sip", last_ns, hours, now_ns)


def test_a_stream_that_ended_within_the_usual_hours_is_compared_to_their_end(con):
    assert end(con, at(15)) == CLOSE_NS


def test_one_that_was_heard_after_them_or_has_none_is_compared_to_its_last_row(con):
    assert end(con, at(20, 30)) == at(20, 30)
    assert end(con, at(15), Hours.ALWAYS) == at(15)


def test_hours_that_last_for_days_end_with_the_day(con):
    assert end(con, at(15), Hours.FX) == at(0, day=17) - 1


def test_it_is_never_later_than_now(con):
    assert end(con, at(15), now_ns=at(16)) == at(16)


def test_behind_a_planned_stop_nobody_missed_anything(con):
    rows = [
        ("other", at(15, 1), None, True),
        ("sip", at(15, 2), at(15, 3), True),
        ("sip", at(17), None, True),
        ("sip", at(15, 30), None, False),
    ]
    con.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?)", rows)
    assert end(con, at(15)) == at(17)
