"""A capture that hangs in its terminal is ended once, and only such a one."""

from types import SimpleNamespace

import msgspec
import pytest

from ticktape.config import FeedConfig, JournalConfig
from ticktape.recorder.hang import OPENING_S, HangWatch
from ticktape.recorder.process import ChildEvent
from ticktape.recorder.task import CaptureTask, LastTask

S = 1_000_000_000
START_NS = 1_000 * S


class FakeChild:
    """A child as its supervisor sees it; heard when it starts."""

    def __init__(self, task, name="capture-rts"):
        self.name = name
        self.task = task
        self.pid = 100
        self.heard_ns = START_NS
        self.leaving = False
        self.ended = []

    def end(self, task):
        self.ended.append(task)


def task_of(**feed):
    feed = FeedConfig(**{"name": "rts", "kind": "mt5", "books": ("A",), **feed})
    return CaptureTask("run", "tape", "rts", feed, JournalConfig(), "", "", "")


@pytest.fixture
def now(monkeypatch):
    moment = SimpleNamespace(ns=START_NS)
    monkeypatch.setattr("ticktape.clock.monotonic_ns", lambda: moment.ns)
    return moment


class Watched:
    """One child and its watch; `silent_s` looks so long after the last word."""

    def __init__(self, now, **feed):
        self.now = now
        self.child = FakeChild(task_of(**feed))
        self.watch = HangWatch()

    def say(self, event, name="session"):
        content = {"content": {"event": event}} if name == "session" else {}
        self.watch.hear(ChildEvent(self.child.name, name, content))
        self.child.heard_ns = self.now.ns
        return self

    def silent_s(self, seconds):
        self.now.ns = self.child.heard_ns + int(seconds * S)
        return self.watch.look(self.child)


def test_a_capture_that_is_silent_for_too_long_is_ended_and_its_successor_knows(now):
    watched = Watched(now).say("connecting").say("connected").say("subscribed")
    assert watched.silent_s(29.9) == "" and watched.child.ended == []
    words = watched.silent_s(31)
    assert words == "the terminal has not answered for 31 s"
    (task,) = watched.child.ended
    assert task == msgspec.structs.replace(watched.child.task, killed=words)
    assert watched.child.task.killed == ""


def test_it_is_ended_once_however_long_the_system_takes(now):
    watched = Watched(now).say("subscribed")
    assert watched.silent_s(31) != ""
    assert watched.silent_s(32) == watched.silent_s(90) == ""
    assert len(watched.child.ended) == 1
    watched.say("", "exit").say("subscribed").child.pid = 101
    assert watched.silent_s(31) != ""
    assert len(watched.child.ended) == 2


def test_the_configs_patience_counts(now):
    watched = Watched(now, hang_s=2.0).say("subscribed")
    assert watched.silent_s(1.9) == "" and watched.silent_s(2.1) != ""


def test_a_terminal_that_starts_has_more_time(now):
    watched = Watched(now).say("started").say("connecting")
    assert watched.silent_s(OPENING_S - 1) == ""
    assert watched.silent_s(OPENING_S + 1) != ""


@pytest.mark.parametrize("opened", ["connected", "down", "refused"])
def test_once_the_opening_is_over_its_time_is_too(now, opened):
    watched = Watched(now, hang_s=5.0).say("connecting").say(opened)
    assert watched.silent_s(6) != ""


def test_a_process_that_has_not_spoken_yet_has_the_time_of_an_opening(now):
    """To start Python and to read the journal takes longer than a short patience."""
    watched = Watched(now, hang_s=1.0)
    assert watched.silent_s(20) == ""
    watched.say("subscribed").say("", "exit")
    watched.child.pid = 101
    assert watched.silent_s(20) == ""
    assert watched.silent_s(OPENING_S + 1) != ""


def test_other_events_do_not_say_that_a_terminal_is_open(now):
    watched = Watched(now, hang_s=5.0).say("connecting").say("", "trouble").say("", "mended")
    assert watched.silent_s(20) == ""


@pytest.mark.parametrize(
    "feed",
    [
        {"kind": "alpaca", "url": "wss://host"},
        {"terminal": "rpyc://127.0.0.1:18812"},
    ],
)
def test_only_a_terminal_of_this_machine_can_hang_for_good(now, feed):
    watched = Watched(now, **feed).say("subscribed")
    assert watched.silent_s(10_000) == ""


def test_a_child_that_is_no_capture_or_is_gone_or_leaves_is_let_be(now):
    watched = Watched(now).say("subscribed")
    watched.child.leaving = True
    assert watched.silent_s(1_000) == ""
    watched.child.leaving, watched.child.pid = False, None
    assert watched.silent_s(1_000) == ""
    watched.child.pid, watched.child.task = 100, LastTask("run", "tape", [])
    assert watched.silent_s(1_000) == ""
    assert watched.child.ended == []


def test_one_that_hangs_says_nothing_of_another(now):
    watched = Watched(now).say("subscribed")
    other = FakeChild(task_of(name="two"), "capture-two")
    watched.watch.hear(ChildEvent("capture-two", "session", {"content": {"event": "connecting"}}))
    now.ns += 40 * S
    assert watched.watch.look(other) == ""
    assert watched.watch.look(watched.child) != ""
