"""A recorder whose subscription changes while data flows: by command, by SIGHUP, over a death."""

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
from ticktape.replay.tail import connect_run
from ticktape.sim.generate import made_up

A, B, C, D, E = made_up(5)
LIMIT = 6  # of symbols in trades and quotes together
TEXT = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = "{url}"
connect_timeout_s = 30.0
backoff_max_s = 0.5
trades = {trades}
quotes = {quotes}
{more}[table]
commit_s = 0.3
"""

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP"),
    pytest.mark.timeout(900),
]


def ticktape(*arguments):
    return [sys.executable, "-m", "ticktape", *map(str, arguments)]


class Run:
    """`ticktape record` as a process, its log, and the commands that one gives meanwhile."""

    def __init__(self, folder, url):
        self.directory = RunDirectory(folder / "tape")
        self.config = folder / "config.toml"
        self.url = url
        self.write(trades=[A], quotes=[A])
        environment = os.environ | {"APCA_API_KEY_ID": "demo-key"}
        environment["APCA_API_SECRET_KEY"] = "demo-secret"
        self.process = subprocess.Popen(
            ticktape("record", self.config, "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        )

    def write(self, more="", **channels):
        lists = {name: json.dumps(listed) for name, listed in channels.items()}
        directory = str(self.directory.root)
        self.config.write_text(TEXT.format(directory=directory, url=self.url, more=more, **lists))

    def lines(self):
        with contextlib.suppress(FileNotFoundError):
            text = (self.directory.log / "events.jsonl").read_text()
            return [json.loads(line) for line in text.split("\n")[:-1]]
        return []

    def words(self, child, event):
        found = [line for line in self.lines() if (line["child"], line["event"]) == (child, event)]
        return [line["words"] for line in found]

    def sessions(self, event):
        said = [line["content"] for line in self.lines() if line["event"] == "session"]
        return [content for content in said if content["event"] == event]

    def until(self, condition):
        until_ns = clock.monotonic_ns() + 240 * clock.NS_PER_S
        while not (found := condition()):
            assert clock.monotonic_ns() < until_ns, self.lines()
            assert self.process.poll() is None, self.process.stderr.read().decode()
            clock.sleep_s(0.05)
        return found

    def until_subscribed(self, **channels):
        """Wait until the venue has acknowledged just that."""
        wanted = {name: sorted(symbols) for name, symbols in channels.items()}

        def is_so():
            subscribed = self.sessions("subscribed")
            return subscribed and subscribed[-1].get("channels") == wanted

        self.until(is_so)

    def hang_up(self, child, event):
        """Send SIGHUP; what is said of it, one line for each."""
        before = len(self.words(child, event))
        self.process.send_signal(signal.SIGHUP)
        return self.until(lambda: self.words(child, event)[before:])

    def subscribe(self, *arguments):
        """Exit code, and the answer as JSON."""
        command = ticktape("subscribe", self.directory.root, *arguments, "--json")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, json.loads(done.stdout.splitlines()[-1])

    def capture(self):
        (found,) = [
            child
            for child in psutil.Process(self.process.pid).children()
            if "capture-sip" in child.cmdline()
        ]
        return found

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=240)
        self.verdict = json.loads(out.splitlines()[-1])
        self.printed = err.decode()

    def rows(self):
        """What is recorded by now: (table, symbol)."""
        ask = "SELECT DISTINCT 'trades', symbol FROM trades_raw UNION ALL"
        with connect_run(self.directory) as con:
            return set(con.sql(f"{ask} SELECT DISTINCT 'quotes', symbol FROM quotes").fetchall())

    def close(self):
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children():
                child.kill()
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def run(run_folder, venue):
    source = venue(
        *("--tape", "generated", "--rate", "400", "--passes", "0"),
        *("--max-symbols", str(LIMIT)),
    )
    made = Run(run_folder, source.url())
    try:
        made.until_subscribed(trades=[A], quotes=[A])
        changes = ("--add", f"trades:{C},{B}", "--add", f"quotes:{B}", "--remove", f"quotes:{A}")
        made.changed = made.subscribe("sip", *changes)
        made.shown = made.subscribe("sip")
        made.wrong = made.subscribe("nosuch", "--add", f"trades:{B}")
        made.idle = made.subscribe("sip", "--add", f"trades:{B}")
        made.until(lambda: made.rows() >= {("trades", A), ("trades", B), ("trades", C)})
        made.write(trades=["lower"], quotes=[A])
        made.bad = made.hang_up("config", "trouble")
        made.write(trades=[A, D], quotes=[B], more="quiet_s = 5\n")
        made.both = made.hang_up("config", "restart")
        made.write(trades=[A, D], quotes=[B], more="[journal]\ncommit_ms = 9\n")
        made.restart = made.hang_up("config", "restart")
        made.until_subscribed(trades=[A, D], quotes=[B])
        made.sessions_before = len(made.sessions("connecting"))
        made.until(lambda: made.rows() >= {("trades", D), ("quotes", B)})
        before = len(made.sessions("subscribed"))
        made.capture().kill()
        made.back = made.until(lambda: made.sessions("subscribed")[before:])
        made.too_many = made.subscribe(
            "sip", "--add", f"trades:{B},{C},{E}", "--add", f"quotes:{E}"
        )
        made.stop()
        yield made
    finally:
        made.close()


def test_a_command_adds_and_removes_and_shows_the_venues_answer(run):
    code, said = run.changed

    assert (code, said["state"], said["missing"]) == (0, "subscribed", {})
    assert said["channels"] == {"trades": sorted([A, B, C]), "quotes": [B]}
    assert run.shown == run.changed


def test_what_was_added_is_recorded_and_what_was_never_asked_for_is_not(run):
    recorded = run.rows()

    assert {symbol for kind, symbol in recorded if kind == "trades"} >= {A, B, C, D}
    assert {B} <= {symbol for kind, symbol in recorded if kind == "quotes"} <= {A, B, E}


def test_no_change_costs_a_connection(run):
    assert run.sessions_before == 1
    assert run.verdict["feeds"]["sip"]["sessions"] == 2  # and the one after the death


def test_mistakes_are_told_with_what_there_is(run):
    code, said = run.wrong
    assert (code, said["exit"]) == (2, 2)
    assert "Feeds: sip" in said["hint"]

    code, said = run.idle
    assert code == 2
    assert "nothing to do" in said["error"]


def test_a_bad_config_changes_nothing_and_is_said(run):
    (words,) = run.bad

    assert "nothing is changed" in words
    assert "upper case" in words
    assert "send SIGHUP again" in run.printed


def test_a_feed_of_which_more_is_changed_needs_a_restart(run):
    assert run.both == ["feed 'sip': quiet_s: needs a restart"]


def test_channels_of_a_changed_config_are_taken_over_and_the_rest_is_said(run):
    assert run.restart == ["[journal] commit_ms: needs a restart"]
    assert run.words("capture-sip", "changed")[1] == f"trades + {D}; trades - {C}, {B}"
    assert "needs a restart" in run.printed


def test_a_capture_that_died_comes_back_with_the_changed_symbols(run):
    assert run.back[0]["channels"] == {"trades": sorted([A, D]), "quotes": [B]}


def test_what_the_plan_does_not_take_is_missing_and_the_command_ends_with_1(run):
    code, said = run.too_many
    held = sum(len(symbols) for symbols in said["channels"].values())

    assert (code, held) == (1, LIMIT)
    assert "405" in said["words"]
    assert said["missing"]


def test_everything_that_came_is_stored(run):
    feed = run.verdict["feeds"]["sip"]

    assert feed["received"] == feed["stored"] > 0
    assert [reason for reason in run.verdict["reasons"] if not reason.startswith("sip: gap")] == []
