"""The log of state changes: what a run writes, and what the code could, is documented."""

import json
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "reference" / "json.md").read_text("utf-8").partition("## The log")[2]
EVENTS, _, CONTENT = PAGE.partition("The `content` of a session")
KEYS = {"at", "child", "event"}
LINES_MAX = 60  # of a run of two feeds in which nothing happens: a line is no message


def documented(text):
    """Names in the first column of a part's tables."""
    cells = re.findall(r"^\| ((?:`[^`]+`(?:, )?)+)", text, re.M)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def events_of_a_session():
    row = re.search(r"^\| `event` \|(.*)$", CONTENT, re.M)[1]
    return set(re.findall(r"`(\w+)`", row))


def lines_of(directory):
    return [json.loads(line) for line in (directory / "log" / "events.jsonl").open()]


def test_what_a_run_writes_is_documented(demo):
    lines = lines_of(demo)
    assert {line["event"] for line in lines} <= documented(EVENTS)
    everything = set(re.findall(r"`(\w+)`", PAGE))
    assert {key for line in lines for key in line} <= everything
    sessions = [line["content"] for line in lines if line["event"] == "session"]
    assert {said["event"] for said in sessions} <= events_of_a_session()
    assert {key for said in sessions for key in said} <= documented(CONTENT)


def test_every_line_says_when_who_and_what(demo):
    for line in lines_of(demo):
        assert line.keys() >= KEYS
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", line["at"])


def test_messages_are_not_logged(demo):
    lines = [line for line in lines_of(demo) if line["event"] != "alarm"]  # of a busy machine
    assert 10 < len(lines) < LINES_MAX


def test_every_event_that_the_recorder_can_tell_of_is_documented():
    told = set()
    for path in (ROOT / "src" / "ticktape" / "recorder").glob("*.py"):
        text = path.read_text("utf-8")
        told |= set(re.findall(r'\.tell\(\s*"(\w+)"', text))
        told |= set(re.findall(r'ChildEvent\([^()]*?, "(\w+)"', text))
        told |= set(re.findall(r'_news\(\s*"(\w+)"', text))
    told -= {"statistics", "task"}  # kept in memory; to a child
    assert len(told) > 10
    assert told <= documented(EVENTS)


def test_every_event_of_a_session_is_documented():
    said = set()
    for path in (ROOT / "src" / "ticktape" / "feeds").rglob("*.py"):
        text = path.read_text("utf-8")
        said |= set(re.findall(r'Content\(\s*(?:event=)?"(\w+)"', text))
        said |= set(re.findall(r'content\.event, to = "(\w+)"', text))
    said -= {"clock", "note"}  # entries of other kinds, which stand in the journal alone
    assert len(said) > 10
    assert said <= events_of_a_session()


def test_every_key_of_a_session_is_documented():
    from ticktape.feeds.gapkeeper import Content

    assert set(Content.__struct_fields__) == documented(CONTENT)
