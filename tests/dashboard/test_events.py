"""The log folded into feeds and history; what is not ours is passed over."""

import json

import pytest

from ticktape.dashboard.events import HISTORY_MAX, LOG_MAX, EventFold


def line(event, child="capture-sip", at="2026-11-26T10:00:00Z", **content):
    return json.dumps({"at": at, "child": child, "event": event, **content}).encode()


def session(event, **said):
    return line("session", content={"event": event, **said})


def test_a_feed_stands_as_its_last_event_says():
    fold = EventFold()
    for event in ("started", "connecting", "connected", "authenticated", "subscribed"):
        fold.add(session(event))
    assert fold.feeds["sip"].state == "receiving"
    fold.add(session("down", words="lost", cause="eof"))
    fold.add(session("connecting"))
    assert fold.feeds["sip"].state == "connecting"
    assert fold.feeds["sip"].sessions == 2
    assert not fold.is_stopped("sip")
    fold.add(session("stopped", planned=True))
    assert fold.is_stopped("sip")
    assert [each.event for each in fold.history["sip"]][-3:] == ["down", "connecting", "stopped"]


def test_history_and_log_are_bounded():
    fold = EventFold()
    for _ in range(3 * LOG_MAX):
        fold.add(session("down", words="x" * 10_000))
    assert len(fold.log) == LOG_MAX
    assert len(fold.history["sip"]) == HISTORY_MAX
    assert len(fold.log[0].words) < 1_000


def test_trouble_is_bad_and_a_quiet_exit_is_no_news():
    fold = EventFold()
    fold.add(line("exit", child="last", code=0, pid=1))
    fold.add(line("exit", child="last", code=-9, pid=1))
    fold.add(line("trouble", child="table", words="no room\nlast line", hint="free some"))
    assert [(each.who, each.event, each.tone) for each in fold.log] == [
        ("last", "exit", "doubtful"),
        ("table", "trouble", "bad"),
    ]
    assert fold.log[1].words == "last line → free some"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"null", b'{"at": 1}', b"\xff\xfe", b'{"at":"","child":"","event":3}']
)
def test_a_line_that_is_none_of_ours_is_passed_over(raw):
    fold = EventFold()
    fold.add(raw)
    fold.add(session("subscribed", channels=None)[:-5])
    assert (fold.feeds, list(fold.log)) == ({}, [])


@pytest.mark.parametrize("event", ["stalled", "notice", "requested", "healed", "empty"])
def test_what_happens_in_a_session_is_history_and_no_state(event):
    fold = EventFold()
    fold.add(session("subscribed"))
    fold.add(session(event, words="for a moment"))
    assert fold.feeds["sip"].state == "receiving"
    assert fold.history["sip"][-1].event == event


def test_a_strategy_that_stopped_itself_is_known_until_the_next_run():
    fold = EventFold()
    fold.add(line("exit", child="decide-tens", code=-9))
    assert fold.stopped_strategies == set()
    fold.add(line("exit", child="decide-tens", code=5))
    assert fold.stopped_strategies == {"tens"}
    fold.add(session("started"))
    assert fold.stopped_strategies == set()
