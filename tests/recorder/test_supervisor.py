"""Who may record into a directory, what becomes of children, and how a run's end is told."""

import errno
import json
import os
import queue
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock

from ticktape import clock
from ticktape.config import Keys, dump, parse_config
from ticktape.directory import RunDirectory
from ticktape.errors import Full, Locked, WriteFailed
from ticktape.journal.disk import Disk
from ticktape.recorder.process import ChildEvent, ChildProcess
from ticktape.recorder.supervisor import RunEnd, Supervisor
from ticktape.replay.check import check

CONFIG = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = "ws://127.0.0.1:9/v2/sip"
trades = ["*"]
"""


@pytest.fixture
def config(tmp_path):
    text = CONFIG.format(directory=str(tmp_path / "tape"))
    return parse_config(text, "the test's config", tmp_path)


@pytest.fixture
def supervise(config):
    heard = []
    made = []

    def make(on_event=heard.append):
        made.append(Supervisor(config, {"sip": Keys("key", "secret")}, {}, on_event))
        made[-1].heard = heard
        return made[-1]

    yield make
    for each in made:
        each.__exit__()


# The directory.


def test_a_second_recorder_on_a_directory_is_turned_away_with_what_to_do(supervise, tmp_path):
    supervise()

    with pytest.raises(Locked, match="another ticktape records into this directory") as caught:
        supervise()

    assert caught.value.exit_code == 3
    assert "another directory" in caught.value.hint


def test_who_only_looks_whether_a_recorder_is_at_work_turns_none_away(
    supervise, tmp_path, monkeypatch
):
    """`check` holds the lock for a moment; a recorder that starts then waits for it."""
    monkeypatch.setattr("ticktape.recorder.supervisor._LOCK_S", 240.0)  # its moment may be long
    lock = FileLock(RunDirectory(tmp_path / "tape").lock, thread_local=False)
    (tmp_path / "tape").mkdir()
    lock.acquire()
    threading.Timer(0.2, lock.release).start()

    assert supervise().directory.config.exists()


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.EROFS, WriteFailed, "Read-only file system"),
        (errno.EACCES, WriteFailed, "Permission denied"),
        (errno.ENOSPC, Full, "no room"),
    ],
)
def test_a_directory_that_cannot_be_written_is_named(
    supervise, monkeypatch, number, kind, words, tmp_path
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Disk, "replace", refuse)

    with pytest.raises(kind, match=words) as caught:
        supervise()

    assert str(tmp_path / "tape") in str(caught.value)
    assert caught.value.hint
    assert caught.value.exit_code == 3


def test_a_full_disk_at_the_start_does_not_cost_the_config_of_what_is_recorded(
    supervise, monkeypatch, config
):
    first = supervise()
    before = first.directory.config.read_text()
    first.__exit__()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Disk, "write", refuse)
    with pytest.raises(Full):
        supervise()

    assert first.directory.config.read_text() == before == dump(config)
    monkeypatch.undo()
    supervise()


# Events.


def test_events_are_heard_and_logged_one_json_object_a_line(supervise):
    made = supervise()
    made._events.put(ChildEvent("table", "state", {"words": "fine"}))
    made.poll(0.0)

    (line,) = (made.directory.log / "events.jsonl").read_text().splitlines()
    assert [event.child for event in made.heard] == ["table"]
    assert json.loads(line) | {"child": "table", "event": "state", "words": "fine"} == json.loads(
        line
    )


def test_a_log_that_cannot_be_written_is_told_once_and_stops_nothing(supervise):
    made = supervise()
    (made.directory.log / "events.jsonl").mkdir()
    for number in range(500):
        made._events.put(ChildEvent("table", "state", {"words": str(number)}))
    made.poll(0.0)

    assert len(made.heard) == 500
    assert made.stop(lambda _: None).journal_trouble == ["the log cannot be written"]


def test_what_is_kept_of_trouble_is_bounded(supervise):
    made = supervise()
    for number in range(3000):
        made._events.put(ChildEvent("capture-sip", "trouble", {"words": f"at offset {number}"}))
    made.poll(0.0)

    assert len(made.stop(lambda _: None).journal_trouble) == 100


def test_lost_frames_are_summed_by_feed(supervise):
    made = supervise()
    for lost in (5, 6):
        content = {"words": "lost", "lost_frames": lost}
        made._events.put(ChildEvent("capture-sip", "trouble", content))
    made.poll(0.0)

    assert made.stop(lambda _: None).lost_frames == {"sip": 11}


# The end.


class FakeChild:
    """A child that is gone at once, or never."""

    task = None
    pid = 1

    def __init__(self, name, code=0, *, stays=False, restarts=0):
        self.name, self.exit_code, self.stays, self.restarts = name, code, stays, restarts
        self.leaving = self.final = False
        self.log = []

    def leave(self):
        self.leaving = True
        self.log.append("leave")

    def is_gone(self):
        return not self.stays

    def kill(self):
        self.stays, self.exit_code = False, -9

    def poll(self):
        pass

    def is_heard(self):
        return True


def end_of(made, captures, readers):
    made.captures, made.readers = captures, readers
    return made.stop(lambda _: None)


def test_how_children_ended_is_told_by_kind(supervise):
    end = end_of(
        supervise(),
        [FakeChild("capture-sip", 4), FakeChild("capture-iex", 2)],
        [FakeChild("decide-a", 5), FakeChild("table", 70, restarts=3), FakeChild("last")],
    )

    assert end.refused == ["capture-sip"]
    assert end.stopped_decisions == ["decide-a"]
    assert end.failed == {"capture-iex": 2, "table": 70}
    assert end.restarts == {"table": 3}
    assert end.reasons() == [
        "decide-a stopped itself at an error",
        "table ended with code 70",
        "capture-iex ended with code 2",
    ]


def test_a_strategy_that_does_not_leave_is_cut_off_after_its_bound(supervise, monkeypatch):
    monkeypatch.setattr("ticktape.recorder.supervisor.DECISIONS_LEAVE_S", 0.05)
    slow = FakeChild("decide-slow", None, stays=True)

    end = end_of(supervise(), [FakeChild("capture-sip")], [slow, FakeChild("last")])

    assert end.cut_off == ["decide-slow"]
    assert end.failed == {}
    assert end.reasons() == ["decide-slow was cut off: it did not finish in time"]


def test_it_waits_long_for_news_only_while_nothing_is_to_be_started(supervise, monkeypatch):
    supervisor = supervise()
    waited_s = []

    def get(timeout):
        waited_s.append(timeout)
        raise queue.Empty

    monkeypatch.setattr(supervisor._events, "get", get)
    monkeypatch.setattr(ChildProcess, "poll", lambda _: None)
    alive = SimpleNamespace(pid=1, final=False, poll=lambda: None)
    gone = SimpleNamespace(pid=None, final=False, poll=lambda: None)
    refused = SimpleNamespace(pid=None, final=True, poll=lambda: None)
    for readers in ([alive], [alive, refused], [alive, gone]):
        supervisor.readers = readers
        supervisor.poll(9.0)
    supervisor.readers = []
    supervisor._disk.is_growing = True
    monkeypatch.setattr(supervisor._disk, "look", lambda: None)
    supervisor.poll(9.0)

    assert waited_s == [9.0, 9.0, 0.1, 0.1]


def test_feeds_leave_before_readers(supervise):
    order = []
    children = [FakeChild(name) for name in ("capture-sip", "table", "decide-a", "last")]
    for child in children:
        child.leave = lambda name=child.name: order.append(name)
    made = supervise()
    made.captures, made.readers = children[:1], children[1:]
    made.stop(lambda _: None)

    assert order[0] == "capture-sip"
    assert set(order) == {"capture-sip", "table", "decide-a", "last"}


def test_a_run_whose_feeds_are_all_final_is_over(supervise):
    made = supervise()
    made.captures = [
        SimpleNamespace(final=True, pid=None, task=None, poll=lambda: None, kill=lambda: None)
    ]

    assert not made.poll(0.0)


def test_a_run_end_without_fault_has_no_reasons():
    assert RunEnd([], [], [], {}, {"last": 2}, [], {}).reasons() == []


# Its feeds' first connections.


def test_only_the_first_start_of_a_feed_waits_for_its_turn(tmp_path, monkeypatch):
    started = {}
    monkeypatch.setattr(
        ChildProcess, "start", lambda child, task=None: started.update({child.name: task})
    )
    second = CONFIG.replace('name = "sip"', 'name = "iex"').partition("[[feed]]")[2]
    text = f"{CONFIG.format(directory=str(tmp_path / 'tape'))}[[feed]]{second}stagger_s = 3.0\n"
    config = parse_config(text, "the config", Path())
    keys = dict.fromkeys(("sip", "iex"), Keys("key", "secret"))
    with Supervisor(config, keys, {}, lambda _: None) as made:
        made.start()
        waits = {child.name: child.task.start_wait_s for child in made.captures}

    assert started["capture-sip"].start_wait_s == 0.0
    assert started["capture-iex"].start_wait_s == 3.0
    assert waits == {"capture-sip": 0.0, "capture-iex": 0.0}  # of a start after a death
    assert started["table"] is None


# With real children.


def sessions_of(made):
    return {each.content["content"]["event"] for each in made.heard if each.event == "session"}


def test_children_that_cannot_connect_leave_when_they_are_told_and_none_stays(supervise):
    made = supervise()
    made.start()
    until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
    names = ("capture-sip", "table", "last")
    while not (all(made.statistics().get(name) for name in names) and "down" in sessions_of(made)):
        assert clock.monotonic_ns() < until_ns
        made.poll(0.02)
    pids = made.pids()
    end = made.stop(lambda _: None)

    # The upkeep comes 5 s later, which is sooner than the others on a busy machine.
    assert {*pids} - {"upkeep"} == {"capture-sip", "ledger", "table", "last"}
    assert (made.pids(), end.reasons()) == ({}, [])
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_fault_that_only_a_child_can_find_ends_its_feed_and_the_run_is_incomplete(tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("this is no certificate")
    text = CONFIG.format(directory=str(tmp_path / "tape")).replace("ws://", "wss://")
    config = parse_config(f"{text}ca_file = {str(broken)!r}\n", "the config", Path())
    heard = []
    with Supervisor(config, {"sip": Keys("key", "secret")}, {}, heard.append) as made:
        made.start()
        until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
        while made.poll(0.02):
            assert clock.monotonic_ns() < until_ns
        end = made.stop(lambda _: None)
    verdict = check(made.directory, tmp_path, lambda *_: None)

    assert end.refused == ["capture-sip"]
    assert end.restarts == {}
    assert [words for words in verdict.reasons() if "broken.pem" in words]
