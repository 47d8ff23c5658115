"""`ticktape record` as a process: signals end it in order, and nothing of it stays behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys

import psutil
import pytest

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import load_positions
from ticktape.recorder.turn import is_locked

QUIET = """
class Quiet:
    def on_trade(self, trade, last):
        return None
"""
SLEEPS = """
import time
class Sleeps:
    def on_trade(self, trade, last):
        time.sleep(3600)
"""


@pytest.fixture
def record(tmp_path, venue):
    """Start `ticktape record`; whatever happens, none of its processes survives the test."""
    source = venue("--tape", "generated", "--events", "50000", "--rate", "500")
    started = []

    def start(strategy, *options):
        directory = tmp_path / "tape"
        text = (
            f'directory = {str(directory)!r}\n[[feed]]\nname = "sip"\nkind = "alpaca"\n'
            f'url = "{source.url()}"\ntrades = ["*"]\nbackoff_max_s = 0.5\n'
            f"[table]\ncommit_s = 0.3\n[[decide]]\nfile = {str(strategy)!r}\n"
        )
        config = tmp_path / "config.toml"
        config.write_text(text)
        environment = os.environ | {
            "APCA_API_KEY_ID": "demo-key",
            "APCA_API_SECRET_KEY": "demo-secret",
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "ticktape", "record", str(config), "--json", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )
        process.directory = RunDirectory(directory)
        process.known = []
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        for child in process.known:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.communicate()


def wait_until(condition):
    until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
    while not condition():
        assert clock.monotonic_ns() < until_ns
        clock.sleep_s(0.05)


def stored_trades(directory):
    """Trades of the feed that the table holds; its first commit may be of a session's begin."""
    _, counts = load_positions(directory.reader_file("table"))
    return counts.get("sip", {}).get("trades", 0)


def children_of(process):
    """Wait until all children are up and trades are stored; name -> process."""
    wait_until(lambda: stored_trades(process.directory) > 0)
    found = {
        child.cmdline()[-1]: child
        for child in psutil.Process(process.pid).children()
        if "ticktape.recorder.child" in child.cmdline()
    }
    process.known += found.values()
    assert set(found) >= {"capture-sip", "table", "last", "ledger"}
    # Who is still starting answers a signal as Python does, and a strategy drains too late.
    live = process.directory.live
    wait_until(lambda: all((live / f"{name}.lock").exists() for name in found))
    return found


def gone(children):
    return not any(
        child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children.values()
    )


def test_sigterm_ends_a_run_in_order_and_complete(record, strategy_file):
    process = record(strategy_file("quiet", QUIET))
    children = children_of(process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=240)

    said = json.loads(out.splitlines()[-1])
    assert (process.returncode, said["complete"], said["reasons"]) == (0, True, []), err.decode()
    assert said["received"] > 0
    assert gone(children)


def test_a_signal_to_the_whole_group_as_the_terminal_sends_it_ends_in_order(record, strategy_file):
    process = record(strategy_file("quiet", QUIET))
    children = children_of(process)
    for child in children.values():
        child.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=240)

    assert json.loads(out.splitlines()[-1])["complete"], err.decode()
    assert gone(children)


def test_a_second_signal_ends_it_at_once_and_leaves_nobody_behind(record, strategy_file):
    process = record(strategy_file("sleeps", SLEEPS))
    children = children_of(process)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: not psutil.pid_exists(children["capture-sip"].pid))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=240)

    assert process.returncode == 130
    assert gone(children)


def test_orphans_drain_and_leave_by_themselves_and_store_all_that_was_written(
    record, strategy_file, proven, tmp_path
):
    process = record(strategy_file("quiet", QUIET))
    children = children_of(process)
    process.kill()
    wait_until(lambda: gone(children))
    verdict = proven(process.directory.root, tmp_path)
    (feed,) = verdict.feeds

    assert all(count.adds_up for count in feed.counts)
    assert [gap.cause for gap in feed.open_gaps] == ["the recorder's supervisor died"]
    assert [part.reasons() for part in verdict.decisions] == [[]]


def test_a_second_recorder_exits_with_the_journals_code_and_says_what_to_do(record, strategy_file):
    strategy = strategy_file("quiet", QUIET)
    first = record(strategy)
    wait_until(lambda: is_locked(first.directory.lock))
    second = record(strategy)
    _, err = second.communicate(timeout=240)

    assert second.returncode == 3
    assert b"another ticktape records into this directory" in err
    assert b"\xe2\x86\x92" in err
