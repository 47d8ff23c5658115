"""What `init --test` writes records the test stream; further feeds of its host come after it."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from ticktape import clock
from ticktape.cli import run as verb
from ticktape.directory import RunDirectory
from ticktape.replay.tail import connect_run

pytestmark = pytest.mark.timeout(900)

FURTHER = """
[[feed]]
name = "{name}"
kind = "alpaca"
url = "{url}"
connect_timeout_s = 30.0
trades = ["*"]
stagger_s = {stagger_s}
"""


@pytest.fixture(scope="module")
def run(run_folder, venue):
    """The config as it is written, with the simulator's URL, and two feeds of the same host."""
    source = venue("--tape", "generated", "--rate", "50", "--passes", "0")
    config = run_folder / "ticktape.toml"
    assert verb(["init", str(config), "--test"]) == 0
    url = f'url = "{source.url("/v2/test")}"\nconnect_timeout_s = 30.0'
    text, count = re.subn(r'(?m)^url = ".*"', url, config.read_text())
    assert count == 1
    text += FURTHER.format(name="soon", url=source.url("/v2/iex"), stagger_s=1.5)
    text += FURTHER.format(name="late", url=source.url("/v2/sip"), stagger_s=300)
    config.write_text(text)
    environment = os.environ | {
        "APCA_API_KEY_ID": "demo-key",
        "APCA_API_SECRET_KEY": "demo-secret",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "ticktape", "record", str(config), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    directory = RunDirectory(run_folder / "tape-test")
    try:
        wait_until(lambda: recorded(directory) >= {"FAKEPACA"}, process)
        process.send_signal(signal.SIGTERM)
        stopped_ns = clock.monotonic_ns()
        out, _ = process.communicate(timeout=240)
        took_s = (clock.monotonic_ns() - stopped_ns) / clock.NS_PER_S
        yield directory, json.loads(out.splitlines()[-1]), took_s
    finally:
        process.kill()
        process.communicate()


def wait_until(condition, process):
    until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
    while not condition():
        assert clock.monotonic_ns() < until_ns and process.poll() is None
        clock.sleep_s(0.1)


def recorded(directory):
    """Symbols of both feeds that had a turn, once there are any of each."""
    if not directory.reader_file("table").exists():
        return set()
    with connect_run(directory) as con:
        found = con.sql("SELECT DISTINCT feed, symbol FROM trades_raw").fetchall()
    feeds = {feed for feed, _ in found}
    return {symbol for _, symbol in found} if feeds == {"test", "soon"} else set()


def events_of(directory, feed):
    """What a feed's capture said of its session, by name."""
    lines = map(json.loads, (directory.log / "events.jsonl").read_text().splitlines())
    said = [line for line in lines if line["child"] == f"capture-{feed}"]
    return [line["content"]["event"] for line in said if line["event"] == "session"]


def test_the_written_config_records_the_test_stream(run):
    _, verdict, _ = run

    assert verdict["feeds"]["test"]["tables"]["trades"] > 0
    assert verdict["feeds"]["test"]["received"] == verdict["feeds"]["test"]["stored"]
    assert verdict["feeds"]["test"]["gaps"] == 0


def test_a_further_feed_of_the_host_waits_for_its_turn_and_a_stop_does_not_wait_for_it(run):
    directory, verdict, took_s = run

    assert events_of(directory, "soon")[:2] == ["started", "connecting"]
    assert events_of(directory, "late") == ["started", "stopped"]
    assert took_s < 240  # its turn would have come 600 s after the start
    assert verdict["feeds"]["late"]["sessions"] == 0
    assert [
        reason for reason in verdict["reasons"] if "stopped before any session" not in reason
    ] == []
