"""`ticktape probe` against a simulated terminal that runs: here, and behind a bridge."""

import json
import os
import subprocess
import sys

import pytest

from ticktape.cli.probe_child import hold
from ticktape.config import parse_config
from ticktape.errors import Disconnected
from ticktape.sim.mt5 import AS_MODULE

BOOKS = ["RIZ6=generated:rate=50", "XAUUSD=none", "EMPTY=empty"]
LOGIN = "5000001"


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """What a simulated terminal says of itself when it is ready."""
    pytest.importorskip("rpyc")
    world = tmp_path_factory.mktemp("probe") / "world"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ticktape", "sim", "mt5", str(world), "--tick-rate", "20"),
            *(f"--book={book}" for book in BOOKS),
            *("--login", LOGIN, "--rpyc-port", "0", "--until-stdin-closes"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    yield json.loads(process.stdout.readline())
    process.stdin.close()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()


@pytest.fixture
def probe_here():
    """Run the verb where the simulated package is the only one; exit code and both outputs."""

    def call(*arguments, **more):
        ran = subprocess.run(
            [sys.executable, "-m", "ticktape", "probe", "mt5", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(AS_MODULE), **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout, ran.stderr

    return call


@pytest.fixture
def bridge(ready):
    return f"rpyc://127.0.0.1:{ready['rpyc_port']}"


def test_a_terminal_here_is_probed_and_ends_with_a_feed_to_paste(probe_here, ready, tmp_path):
    keys = {"MT5_LOGIN": LOGIN, "MT5_PASSWORD": "demo"}
    code, out, err = probe_here("--terminal", ready["path"], "--seconds", 2, **keys)
    assert code == 0, err
    assert "polling RIZ6, EMPTY for 2 s" in err
    text = out[out.index("[[feed]]") :]
    (feed,) = parse_config(text, "pasted", tmp_path).feed
    assert (feed.terminal, feed.server) == (ready["path"], "Demo-Server")
    assert (feed.books, feed.ticks) == (("RIZ6",), ("RIZ6", "XAUUSD", "EMPTY"))
    # 50 changes a second: about 4.5; a probe that a busy machine seldom lets poll sees fewer.
    assert 1 < feed.poll_ms < 200
    for words in (
        "a second process holds the book of RIZ6, too",
        "no book of XAUUSD",
        "the book of EMPTY is subscribed and stays empty",
        "with legs = 2",
    ):
        assert words in out
    assert LOGIN not in out + err


def test_a_terminal_behind_a_bridge_is_probed_as_json(said, bridge):
    code, out, _ = said("probe", "mt5", "--terminal", bridge, "--seconds", "3", "--json")
    assert code == 0
    content = json.loads(out.splitlines()[-1])
    assert content["books"] == ["RIZ6"]
    assert content["symbols"]["RIZ6"]["book"]["polls"]["changed"] > 1
    assert content["symbols"]["RIZ6"]["book"]["unsubscribed"].startswith("None (-1")
    assert content["can_share"] is None
    assert content["config"].startswith("[[feed]]")
    assert LOGIN not in out


def test_symbols_that_are_named_are_the_ones_asked_for(said, bridge):
    code, out, err = said("probe", "mt5", "RIZ", "--terminal", bridge, "--seconds", "0.2")
    assert code == 0
    assert "asking for RIZ " in err
    assert "Near it there are: RIZ6." in out
    assert "nothing can be recorded" in out
    assert "[[feed]]" not in out


def test_a_terminal_that_does_not_run_is_said_with_what_to_do(probe_here, tmp_path):
    code, out, err = probe_here("--terminal", tmp_path / "terminal64.exe", "--json")
    assert code == 1
    assert "the terminal is not running" in err
    assert json.loads(out.splitlines()[-1])["hint"].startswith("Start MetaTrader 5")


def test_without_the_package_it_says_how_to_get_it(said, monkeypatch):
    monkeypatch.setitem(sys.modules, "MetaTrader5", None)
    code, _, err = said("probe", "mt5")
    assert code == 1
    assert "pip install 'ticktape[mt5]'" in err


@pytest.mark.parametrize(
    "wrong",
    [
        ["alpaca"],
        ["mt5", "--seconds", "0"],
        ["mt5", "--seconds", "nan"],
        ["mt5", "--terminal", "http://127.0.0.1:80"],
    ],
)
def test_a_wrong_command_line_opens_nothing(said, wrong):
    code, out, err = said("probe", *wrong)
    assert (code, out) == (2, "")
    assert "opening" not in err


class GoneTerminal:
    """A terminal that another process cannot open."""

    def open(self):
        raise Disconnected("all pipes are taken")

    def close(self, symbols):
        pass


def test_a_second_process_that_fails_says_why():
    answer = hold(GoneTerminal(), "RIZ6")
    assert (answer.is_held, answer.words) == (False, "a second process fails: all pipes are taken")
