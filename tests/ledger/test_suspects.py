"""Alarms as entries: each suspicion has a beginning of its own, and an end."""

import pytest

from ticktape.ledger.alarms import Alarm
from ticktape.ledger.counting import Hole
from ticktape.ledger.entries import GapSaid, LateFeed, Suspect
from ticktape.ledger.suspects import Suspects
from ticktape.records import Position


def alarm(channel="trades", symbol="A", since=100, until=None, kind="silence"):
    return Alarm(kind, "sip", channel, symbol, since, since + 50, until, "silent", "look")


def test_an_alarm_becomes_a_suspicion_that_begins_behind_what_came_last():
    entry = Suspects().take(alarm())
    assert entry == Suspect("sip", GapSaid(101, None, "silent", "A", "trades", False, "suspect"))


def test_its_end_tells_the_same_gap_with_its_end():
    suspects = Suspects()
    began = suspects.take(alarm())
    ended = suspects.take(alarm(until=180)._replace(words="data comes again"))
    assert ended.gap == GapSaid(101, 180, "silent", "A", "trades", False, "suspect")
    assert ended.feed == began.feed
    assert len(suspects) == 0


def test_no_two_of_a_symbol_begin_at_one_instant():
    suspects = Suspects()
    found = [suspects.take(alarm(channel)) for channel in ("trades", "quotes", "crypto_books")]
    assert [each.gap.from_ns for each in found] == [101, 102, 103]
    assert [each.gap.channels for each in found] == ["trades", "quotes", "orderbooks"]
    ended = suspects.take(alarm("quotes", until=180))
    assert (ended.gap.from_ns, ended.gap.channels) == (102, "quotes")
    assert suspects.take(alarm(symbol="B")).gap.from_ns == 101


def test_a_beginning_is_not_used_again_after_its_end():
    suspects = Suspects()
    suspects.take(alarm())
    suspects.take(alarm(until=180))
    assert suspects.take(alarm()).gap.from_ns == 102


def test_lag_is_a_note_and_no_gap():
    suspects = Suspects()
    assert suspects.take(alarm("", "", kind="lag")) == LateFeed("sip", 100, None, "silent")
    assert suspects.take(alarm("", "", until=180, kind="lag")).to_ns == 180
    assert len(suspects) == 0


def test_an_end_of_what_is_not_known_says_nothing():
    assert Suspects().take(alarm(until=180)) is None


@pytest.mark.parametrize("until", [180, 50])
def test_all_that_stand_end_when_nobody_watches_any_more(until):
    """And never before they began, whatever the clock did."""
    suspects = Suspects()
    suspects.take(alarm())
    (ended,) = suspects.end_all({"sip": until})
    assert ended.gap.to_ns == max(until, 102)
    assert suspects.standing() == []


def test_what_a_killed_process_left_is_ended_and_its_beginning_stays_taken():
    suspects = Suspects()
    left = [Suspect("sip", GapSaid(101, symbol="A"))]
    (ended,) = suspects.end_left_over(left, {"sip": 500})
    assert (ended.gap.from_ns, ended.gap.to_ns, ended.gap.state) == (101, 500, "suspect")
    assert suspects.take(alarm()).gap.from_ns == 102


def test_damage_begins_where_no_gap_of_the_feed_and_no_suspicion_does():
    suspects = Suspects()
    suspects.take(alarm(symbol="", channel=""))
    said = suspects.damaged("sip", Hole(100, 900, Position(2, 64)))
    assert (said.gap.from_ns, said.gap.to_ns, said.until) == (102, 900, (2, 64))
    assert (said.gap.state, said.gap.cause) == ("open", "the journal is damaged")
