"""Changes reach the child and its task; answers wait for the venue, and no longer than they may."""

from pathlib import Path

import msgspec
import pytest

from ticktape import clock
from ticktape.config import JournalConfig, parse_config
from ticktape.errors import ConfigError
from ticktape.recorder.process import ChildEvent
from ticktape.recorder.requests import Request, RequestFolder
from ticktape.recorder.subscriptions import Subscriptions
from ticktape.recorder.task import CaptureTask

TEXT = """
[[feed]]
name = "sip"
kind = "alpaca"
url = "wss://venue/v2/sip"
trades = ["TSLA", "AAPL"]
updated_bars = ["SPY"]
[[feed]]
name = "rts"
kind = "mt5"
books = ["RIZ6"]
"""


class FakeChild:
    """A capture that notes what it is told."""

    def __init__(self, feed):
        self.name = f"capture-{feed.name}"
        self.task = CaptureTask("run", "tape", feed.name, feed, JournalConfig(), "", "", "")
        self.final = self.leaving = False
        self.told = []

    def change(self, task, word):
        self.task = task
        self.told.append(msgspec.json.decode(word))


class Rigged:
    """Subscriptions with fake children, a fake clock, and a command that asks."""

    def __init__(self, place, monkeypatch):
        self.config = parse_config(TEXT, "the config", Path())
        self.sip, self.rts = self.children = [FakeChild(feed) for feed in self.config.feed]
        self.said = []
        self.made = Subscriptions(self.config, RequestFolder(place), self.said.append)
        self.asker = RequestFolder(place)
        self.now_ns = 1
        monkeypatch.setattr(clock, "monotonic_ns", lambda: self.now_ns)

    def later(self, seconds):
        self.now_ns += int(seconds * clock.NS_PER_S)
        self.made.look(self.children)

    def ask(self, feed="sip", add=None, remove=None):
        name = self.asker.ask(Request(feed, add or {}, remove or {}))
        self.later(0.6)
        return name

    def answer(self, name):
        return self.asker.answer_to(name)

    def session(self, event, child="capture-sip", **content):
        content = {"content": {"event": event, **content}}
        self.made.hear(ChildEvent(child, "session", content))

    def subscribed(self, missing=None, words="", **channels):
        self.session("subscribed", channels=channels, missing=missing, words=words)

    def words(self, child, event):
        return [
            each.content["words"]
            for each in self.said
            if (each.child, each.event) == (child, event)
        ]


@pytest.fixture
def rigged(tmp_path, monkeypatch):
    return Rigged(tmp_path / "requests", monkeypatch)


def test_a_change_is_told_as_a_whole_and_the_next_start_begins_with_it(rigged):
    rigged.ask(add={"trades": ["MSFT"]}, remove={"trades": ["TSLA"]})

    (told,) = rigged.sip.told
    assert told == {"trades": ["AAPL", "MSFT"], "updated_bars": ["SPY"]}
    assert rigged.sip.task.feed.trades == ("AAPL", "MSFT")
    assert rigged.words("capture-sip", "changed") == ["trades + MSFT; trades - TSLA"]


def test_the_answer_is_the_venues_in_the_configs_words(rigged):
    name = rigged.ask(add={"trades": ["MSFT"]})
    assert rigged.answer(name) is None
    rigged.subscribed(trades=["AAPL", "MSFT", "TSLA"], updatedBars=["SPY"], corrections=["AAPL"])

    found = rigged.answer(name)
    assert (found.heard, found.state, found.faults) == (True, "subscribed", [])
    assert found.channels["updated_bars"] == ["SPY"]
    assert found.wanted["trades"] == ["TSLA", "AAPL", "MSFT"]


def test_what_the_venue_refuses_is_missing_with_its_reason(rigged):
    name = rigged.ask(add={"trades": ["MSFT"]})
    rigged.subscribed(
        {"trades": ["MSFT"]}, "the plan is full", trades=["AAPL", "TSLA"], updatedBars=["SPY"]
    )

    assert rigged.answer(name).missing == {"trades": ["MSFT"]}
    assert rigged.answer(name).words == "the plan is full"


@pytest.mark.parametrize(
    "change",
    [{"add": {"trades": ["MSFT"]}}, {"remove": {"trades": ["TSLA"]}}],
    ids=["add", "remove"],
)
def test_an_acknowledgement_that_was_on_its_way_is_no_answer_to_a_change(rigged, change):
    name = rigged.ask(**change)
    rigged.subscribed(trades=["AAPL", "TSLA"], updatedBars=["SPY"])

    assert rigged.answer(name) is None


def test_a_venue_that_does_not_answer_is_waited_for_ten_seconds(rigged):
    rigged.session("down", words="connection lost")
    name = rigged.ask(add={"trades": ["MSFT"]})
    rigged.later(9.0)
    assert rigged.answer(name) is None
    rigged.later(1.1)

    found = rigged.answer(name)
    assert (found.heard, found.state, found.words) == (False, "down", "connection lost")
    assert rigged.sip.task.feed.trades == ("TSLA", "AAPL", "MSFT")


def test_changes_one_after_another_add_up_and_are_answered_together(rigged):
    first = rigged.ask(add={"trades": ["MSFT"]})
    second = rigged.ask(remove={"trades": ["AAPL"]})
    rigged.subscribed(trades=["AAPL", "MSFT", "TSLA"], updatedBars=["SPY"])
    assert rigged.answer(first) is None
    rigged.subscribed(trades=["MSFT", "TSLA"], updatedBars=["SPY"])

    assert rigged.answer(first) == rigged.answer(second)
    assert rigged.sip.told[-1]["trades"] == ["TSLA", "MSFT"]


def test_a_question_is_answered_at_once(rigged):
    rigged.subscribed(trades=["AAPL", "TSLA"], updatedBars=["SPY"])
    found = rigged.answer(rigged.ask())

    assert found.channels == {"trades": ["AAPL", "TSLA"], "updated_bars": ["SPY"]}
    assert rigged.sip.told == []


def test_a_process_that_died_has_nothing_subscribed(rigged):
    rigged.subscribed(trades=["AAPL", "TSLA"], updatedBars=["SPY"])
    rigged.made.hear(ChildEvent("capture-sip", "exit", {"code": -9, "pid": 1}))

    found = rigged.answer(rigged.ask())
    assert (found.state, found.channels) == ("ended", {})


def test_a_notice_changes_nothing_of_how_the_session_stands(rigged):
    rigged.subscribed(trades=["AAPL", "TSLA"], updatedBars=["SPY"])
    rigged.session("quiet", words="no data for 60 s")

    assert rigged.answer(rigged.ask()).state == "subscribed"


@pytest.mark.parametrize(
    ("asked", "words", "hint"),
    [
        ({"feed": "nosuch", "add": {"trades": ["A"]}}, "no feed 'nosuch'", "sip, rts"),
        ({"feed": "rts", "add": {"trades": ["A"]}}, "read at its start", "start it again"),
        ({"add": {"trades": ["AAPL"]}}, "nothing to do", "--add"),
        ({"add": {"ticks": ["AAPL"]}}, "no channel 'ticks'", "trades, quotes"),
    ],
)
def test_a_mistake_is_answered_with_what_to_do_and_changes_nothing(rigged, asked, words, hint):
    found = rigged.answer(rigged.ask(**asked))

    assert words in found.faults[0]
    assert hint in found.hint
    assert rigged.sip.told == rigged.rts.told == rigged.said == []


def test_a_feed_that_its_venue_refused_takes_no_change(rigged):
    rigged.session("refused", words="the key is wrong")
    rigged.sip.final = True

    found = rigged.answer(rigged.ask(add={"trades": ["MSFT"]}))
    assert "does not record (refused: the key is wrong)" in found.faults[0]
    assert rigged.sip.task.feed.trades == ("TSLA", "AAPL")


def test_what_is_no_request_is_answered_too(rigged, tmp_path):
    (tmp_path / "requests").mkdir(exist_ok=True)
    (tmp_path / "requests" / "1.ask.json").write_text("nonsense")
    rigged.later(0.6)

    assert "cannot be read" in rigged.answer("1").faults[0]


def test_who_waits_is_told_when_the_recorder_stops(rigged):
    name = rigged.ask(add={"trades": ["MSFT"]})
    rigged.made.close()

    assert rigged.answer(name).faults == ["the recorder has been stopped"]


def test_the_folder_is_looked_at_twice_a_second_and_not_more(rigged):
    rigged.later(0.6)
    name = rigged.asker.ask(Request("sip"))
    rigged.later(0.4)
    assert rigged.answer(name) is None
    rigged.later(0.2)
    assert rigged.answer(name) is not None


# A changed config.


def reread(rigged, text):
    rigged.made.reread(lambda: parse_config(text, "the config", Path()), rigged.children)


def test_a_changed_config_is_taken_over_and_what_needs_a_restart_is_said(rigged):
    changed = TEXT.replace('"AAPL"', '"AMD"').replace("RIZ6", "SIZ6")
    reread(rigged, f"{changed}[journal]\ncommit_ms = 9\n")

    assert rigged.sip.told == [{"trades": ["TSLA", "AMD"], "updated_bars": ["SPY"]}]
    assert rigged.rts.told == []
    assert rigged.words("config", "restart") == [
        "feed 'rts': books (the symbols of a terminal are read at its start): needs a restart",
        "[journal] commit_ms: needs a restart",
    ]


def test_a_config_that_cannot_be_read_changes_nothing_and_is_said_on_one_line(rigged):
    reread(rigged, TEXT.replace('"AAPL"', '"aapl"').replace('kind = "mt5"', 'kind = "mt6"'))

    (words,) = rigged.words("config", "trouble")
    assert words.startswith("nothing is changed: ")
    assert "trades[2]" in words and "kind" in words
    assert "\n" not in words
    assert rigged.sip.told == []


def test_a_config_that_changes_nothing_is_said_to_have_been_read(rigged):
    reread(rigged, TEXT)

    assert rigged.words("config", "state") == ["read again; nothing is changed"]


def test_a_config_whose_file_is_gone_changes_nothing(rigged):
    def gone():
        raise ConfigError(["ticktape.toml: cannot be read: No such file"])

    rigged.made.reread(gone, rigged.children)

    assert len(rigged.words("config", "trouble")) == 1


def test_a_feed_that_ended_does_not_keep_the_others_from_their_change(rigged):
    rigged.sip.final = True
    reread(rigged, TEXT.replace('"AAPL"', '"AMD"'))

    assert "does not record" in rigged.words("config", "trouble")[0]
