"""A child as its supervisor sees it: whatever it does, whatever is refused, is only an event."""

import errno
import itertools
import os
import queue
import signal
import subprocess
import sys

import pytest

from ticktape import clock
from ticktape.config import DecideConfig, JournalConfig
from ticktape.recorder.parent import encode_channels
from ticktape.recorder.process import ChildProcess
from ticktape.recorder.task import DecideTask, LastTask

TASK = LastTask("run", "directory", [])
FOREVER = "import sys\nfor line in sys.stdin: pass\n"


class Scripted(ChildProcess):
    """A child that runs a script of the test's own; `scripts` are for its starts in turn."""

    def __init__(self, scripts, log, events, **options):
        super().__init__("last", TASK, log, events, **options)
        self.scripts = list(scripts)
        self.started = []

    def _spawn(self):
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        if isinstance(script, OSError):
            raise script
        process = subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.started.append((clock.monotonic_ns(), process))
        return process


@pytest.fixture
def child(tmp_path):
    made = []

    def make(*scripts, events=None, **options):
        made.append(Scripted(scripts, tmp_path / "last.log", events or queue.Queue(100), **options))
        return made[-1]

    yield make
    for each in made:
        each.kill()


def until(condition, child):
    until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
    while not condition():
        assert clock.monotonic_ns() < until_ns
        child.poll()
        clock.sleep_s(0.005)


def events_of(child):
    until(child.is_heard, child)
    found = []
    while not child._events.empty():
        found.append(child._events.get_nowait())
    return found


def test_it_gets_its_task_on_its_first_line(child):
    made = child("import sys\nsys.stdout.write(sys.stdin.readline())\n")
    made.leaving = True
    made.start()
    until(lambda: made.pid is None, made)

    (task, ended) = events_of(made)
    assert task.content == {"type": "last", "run": "run", "directory": "directory", "feeds": []}
    assert (ended.event, ended.content["code"]) == ("exit", 0)


def test_statistics_are_kept_and_events_are_queued(child):
    made = child(
        'print(\'{"event":"statistics","records":1}\')\nprint(\'{"event":"state","words":1}\')'
    )
    made.leaving = True
    made.start()
    until(lambda: made.pid is None, made)

    assert [(each.event, each.content.get("words")) for each in events_of(made)] == [
        ("state", 1),
        ("exit", None),
    ]
    assert made.statistics == {"records": 1}


def test_half_a_line_of_a_dying_child_is_passed_over(child):
    made = child("print('{\"event\":\"sta', end='')")
    made.leaving = True
    made.start()
    until(lambda: made.pid is None, made)

    assert [each.event for each in events_of(made)] == ["exit"]


def test_one_that_dies_is_started_again_sooner_at_first_than_later(child):
    made = child("raise SystemExit(9)")
    made.start()
    until(lambda: len(made.started) == 4, made)

    times = [at for at, _ in made.started]
    waits_s = [(b - a) / 1e9 for a, b in itertools.pairwise(times)]
    assert made.restarts == 3
    assert waits_s[0] >= 0.1
    assert waits_s[1] >= 0.2
    assert waits_s[2] >= 0.5


def test_one_that_had_run_steadily_is_started_again_at_once(child):
    made = child(FOREVER)
    made.start()
    for _ in range(5):
        made._wait_to_restart()
    made._started_ns -= 31 * clock.NS_PER_S

    made._wait_to_restart()

    assert made._restart_at_ns - clock.monotonic_ns() <= 0.1 * clock.NS_PER_S


@pytest.mark.parametrize("code", [2, 4, 5])
def test_one_that_would_end_the_same_way_is_not_started_again(child, code):
    made = child(f"raise SystemExit({code})")
    made.start()
    until(lambda: made.pid is None, made)
    made._restart_at_ns = 0
    made.poll()

    assert made.final
    assert made.is_gone()
    assert len(made.started) == 1


def test_what_the_machine_refuses_is_said_and_tried_again(child):
    refused = OSError(errno.ENOMEM, "Cannot allocate memory")
    made = child(refused, FOREVER)
    made.start()
    until(lambda: made.pid is not None, made)

    event = made._events.get_nowait()
    assert event.event == "failed"
    assert event.content["words"] == "cannot be started: Cannot allocate memory"


def test_a_full_queue_never_blocks_the_supervisors_own_thread(child):
    events = queue.Queue(1)
    events.put("taken")
    made = child(OSError(errno.EAGAIN, "no process left"), events=events)

    made.start()

    assert events.qsize() == 1


def test_leaving_a_child_that_is_dead_already_is_no_error(child):
    """What it no longer read is still in the pipe's buffer when the pipe is closed."""
    made = child("import os\nos.close(0)\nos._exit(0)")
    made.start()
    made.started[0][1].wait()
    made.leave()

    assert made.is_gone()


def test_leaving_ends_it_and_it_stays_away(child):
    made = child("import sys\nwhile sys.stdin.readline().strip() != 'leave': pass\n")
    made.start()
    made.leave()
    until(made.is_gone, made)

    assert (made.exit_code, len(made.started)) == (0, 1)


def test_a_reader_that_dies_while_it_drains_is_started_again_to_finish(child):
    dies = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    finishes = "import sys\nsys.stdin.readline()\nassert sys.stdin.readline().strip() == 'leave'"
    made = child(dies, finishes, finishes=True)
    made.start()
    made.leave()
    until(made.is_gone, made)

    assert (made.exit_code, len(made.started)) == (0, 2)


def test_a_reader_that_dies_again_and_again_while_it_drains_is_given_up(child):
    made = child("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", finishes=True)
    made.start()
    made.leave()
    until(made.is_gone, made)

    assert (made.exit_code, len(made.started)) == (-signal.SIGKILL, 4)


def test_a_reader_that_says_it_cannot_finish_is_not_started_again(child):
    made = child("raise SystemExit(1)", finishes=True)
    made.start()
    made.leave()
    until(made.is_gone, made)

    assert len(made.started) == 1


def test_a_capture_that_dies_while_it_leaves_stays_away(child):
    made = child("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    made.start()
    made.leave()
    until(made.is_gone, made)

    assert len(made.started) == 1


def test_killing_leaves_no_process_behind(child):
    made = child(FOREVER, finishes=True)
    made.start()
    pid = made.pid
    made.kill()

    assert made.is_gone()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# What it is told while it runs.

REPEATS = """
import json, sys
print(json.dumps({"event": "state", "task": json.loads(sys.stdin.readline())["run"]}), flush=True)
for line in sys.stdin:
    if line.strip() == "leave":
        break
    print(json.dumps({"event": "state", "heard": len(json.loads(line)["trades"])}), flush=True)
"""


def test_a_change_is_told_and_whoever_is_started_next_has_it_in_its_task(child):
    made = child(REPEATS)
    made.start()
    symbols = [f"SYMBOL{number}" for number in range(30_000)]
    made.change(LastTask("changed", "directory", []), encode_channels({"trades": symbols}))
    until(lambda: made._events.qsize() >= 2, made)
    made.started[0][1].kill()
    until(lambda: len(made.started) == 2 and made._events.qsize() >= 4, made)
    made.leave()
    until(made.is_gone, made)

    said = [each.content for each in events_of(made) if each.event == "state"]
    assert said == [{"task": "run"}, {"heard": 30_000}, {"task": "changed"}]


def test_a_child_that_reads_nothing_never_stops_who_tells_it(child):
    """Far more than a pipe holds; of changes that wait only the last is kept."""
    made = child("import time\ntime.sleep(600)\n")
    made.start()
    for number in range(50):
        symbols = [f"SYMBOL{number}"] * 30_000
        made.change(TASK, encode_channels({"trades": symbols}))
    made.leave()

    # Its task, one change, and the word to leave.
    assert len(made._teller._lines) <= 3
    made.kill()
    assert made.is_gone()


def test_another_task_is_for_one_start_alone(child):
    made = child(REPEATS)
    made.start(LastTask("the first", "directory", []))
    until(lambda: made._events.qsize() >= 1, made)
    made.started[0][1].kill()
    until(lambda: len(made.started) == 2 and made._events.qsize() >= 3, made)
    made.kill()

    said = [each.content for each in events_of(made) if each.event == "state"]
    assert said == [{"task": "the first"}, {"task": "run"}]


def test_a_log_that_cannot_be_opened_costs_the_log_and_not_the_child(tmp_path):
    (tmp_path / "folder").mkdir()
    made = ChildProcess("last", TASK, tmp_path / "folder", queue.Queue(100))
    try:
        made.start()
        assert made.pid is not None
    finally:
        made.kill()


def environment_of(task, tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        subprocess, "Popen", lambda *_, env, **__: seen.update(env) or sys.exit("enough")
    )
    with pytest.raises(SystemExit):
        ChildProcess("last", task, tmp_path / "log", queue.Queue(1)).start()
    return seen


def test_keys_and_proxies_are_not_in_a_childs_environment(tmp_path, monkeypatch):
    for name in ("APCA_API_SECRET_KEY", "HTTPS_PROXY", "https_proxy", "KEPT"):
        monkeypatch.setenv(name, "here")

    seen = environment_of(TASK, tmp_path, monkeypatch)

    assert seen["KEPT"] == "here"
    assert not [name for name in seen if name.startswith("APCA") or name.lower() == "https_proxy"]


def test_numpy_starts_no_threads_in_a_child_unless_told_to(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    assert environment_of(TASK, tmp_path, monkeypatch)["OPENBLAS_NUM_THREADS"] == "1"
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    assert environment_of(TASK, tmp_path, monkeypatch)["OPENBLAS_NUM_THREADS"] == "2"


def test_a_strategys_numpy_has_its_threads(tmp_path, monkeypatch):
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    decide = DecideConfig(file=tmp_path / "s.py", name="s")
    task = DecideTask("run", "directory", [], decide, JournalConfig(), {}, 0, "decided")
    assert "OPENBLAS_NUM_THREADS" not in environment_of(task, tmp_path, monkeypatch)
