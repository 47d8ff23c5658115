"""A recorder and a venue started from Python: the real process tree, without a terminal."""

import logging
import os
import subprocess
import sys
import textwrap
import threading
import tomllib
from pathlib import Path

import pytest

import ticktape as tt
from ticktape import clock
from ticktape.config import Keys
from ticktape.errors import ConfigError, DecisionError, FeedError, Locked, Refused, TickTapeError
from ticktape.recording import _given, _toml

STRATEGY = """
class Echo:
    def on_trade(self, trade, last):
        return {"price": trade.price}
"""
EVENTS = 2_000
WAIT_S = 240.0


@pytest.fixture(scope="module")
def venue():
    options = ("--passes", "0", "--hold", "--connection-limit", "9")
    with tt.simulate_alpaca(*options, tape="generated", speed=5) as started:
        yield started


@pytest.fixture
def config(tmp_path, venue):
    feed = {"name": "sip", "kind": "alpaca", "url": venue.url, "trades": ["*"], "quotes": ["*"]}
    feed["connect_timeout_s"] = 30.0  # a busy machine is no venue that does not answer
    return {"directory": tmp_path / "run", "feed": [feed], "table": {"commit_s": 0.5}}


def strategy(tmp_path, text):
    path = tmp_path / "echo.py"
    path.write_text(textwrap.dedent(text))
    return {"decide": [{"file": path}]}


def until(condition):
    due_ns = clock.monotonic_ns() + int(WAIT_S * 1e9)
    while not condition():
        assert clock.monotonic_ns() < due_ns
        threading.Event().wait(0.01)


def test_a_run_is_recorded_followed_and_proven_without_a_terminal(config, venue, tmp_path):
    with tt.record(config | strategy(tmp_path, STRATEGY), keys=venue.keys) as run:
        follow = run.tape.follow(timeout_s=WAIT_S)
        run.wait_ready(WAIT_S)
        assert run.state == "recording"
        assert run.sessions == {"sip": "subscribed"}
        assert "sip subscribed" in repr(run)
        with pytest.raises(TickTapeError, match="still being recorded"):
            _ = run.verdict
        records = [next(follow) for _ in range(EVENTS)]
        # What it says of itself is renewed three times a second, or later on a busy machine.
        until(lambda: run.statistics()["capture-sip"].get("state") == "ready")
        assert {"table", "last", "decide-echo", "capture-sip"} <= run.statistics().keys()
        run.stop()
        records += follow
    gaps = [each for each in records if each.kind == "gaps"]
    records = [each for each in records if each.kind != "gaps"]
    assert run.state == "ended"
    assert run.verdict.complete
    assert run.verdict.last_line().startswith("COMPLETE  received")
    assert list((run.directory / "certificate").glob("*.json"))
    assert run.verdict.feeds[0].total("received") == len(records)
    assert {each.planned for each in gaps} == {True}
    places = [(each.seq, each.index) for each in records]
    assert places == sorted(set(places))
    counts = run.tape.sql(
        "select count(*) n from trades_raw union all select count(*) from decisions"
    )
    trades, decisions = counts["n"].to_pylist()
    assert trades == decisions == sum(each.kind == "trades" for each in records)
    assert run.tape.latency()["recv_to_decided"]["count"] > 0
    run.stop()


def test_what_a_venue_refuses_is_raised_in_its_words(config, caplog):
    with tt.record(config, keys={"sip": ("other", "wrong")}) as run:
        with pytest.raises(Refused, match=r"feed 'sip' is refused: authentication failed") as fault:
            run.wait_ready(WAIT_S)
        assert "APCA_API_KEY_ID" in fault.value.hint
    assert run.sessions == {"sip": "refused"}
    assert not run.verdict.complete
    warned = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(warned) == 1, warned
    assert "authentication failed" in warned[0]
    assert "wrong" not in caplog.text


def test_a_strategy_that_cannot_be_loaded_is_raised(config, venue, tmp_path):
    broken = strategy(tmp_path, "raise RuntimeError('no luck')")
    with tt.record(config | broken, keys=venue.keys) as run:
        with pytest.raises(DecisionError, match="no luck"):
            run.wait_ready(WAIT_S)
        assert run.state == "recording", "the feeds go on"
    assert "stopped itself" in " ".join(run.verdict.reasons())


def test_a_venue_that_is_not_there_is_said_after_the_timeout(config, venue):
    config["feed"][0]["url"] = "ws://127.0.0.1:9/v2/sip"
    run = tt.record(config, keys=venue.keys)
    until(lambda: run.sessions == {"sip": "down"})
    with pytest.raises(FeedError, match=r"not ready within 0 s: feed 'sip' is .*cannot connect"):
        run.wait_ready(0)
    run.stop()
    with pytest.raises(FeedError, match="the run has ended"):
        run.wait_ready(WAIT_S)


def test_an_error_in_the_block_stops_the_recorder_and_travels_on(config, venue):
    with pytest.raises(ZeroDivisionError), tt.record(config, keys=venue.keys) as run:
        with pytest.raises(Locked, match="another ticktape records") as fault:
            tt.record(config, keys=venue.keys)
        assert "run.stop()" in fault.value.hint
        _ = 1 / 0
    assert run.state == "ended"
    tt.record(config, keys=venue.keys).stop()


CHILD = """
import os
import sys
import ticktape as tt
run = tt.record(sys.stdin.read(), keys=("demo-key", "demo-secret"))
run.wait_ready(240)
print(*run._supervisor.pids().values(), flush=True)
if sys.argv[1] == "kill":
    os.kill(os.getpid(), 9)
"""


def start_and_end(config, end):
    """Record in a process that ends at once; the pids of the recorder's processes."""
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, end],
        input=_toml(config),
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, [int(pid) for pid in ran.stdout.split()]


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.skipif(os.name == "nt", reason="os.kill would end the process there")
@pytest.mark.parametrize(("end", "code"), [("kill", -9), ("leave", 0)])
def test_a_process_that_ends_leaves_no_recorder_behind(config, end, code):
    ended, pids = start_and_end(config, end)
    assert ended == code
    due_ns = clock.monotonic_ns() + int(WAIT_S * 1e9)
    while any(map(is_there, pids)) and clock.monotonic_ns() < due_ns:
        threading.Event().wait(0.02)
    assert [pid for pid in pids if is_there(pid)] == []
    # Of a process that just ended the recorder was stopped in order; of a killed one it is a gap.
    assert tt.open(config["directory"]).gaps()["planned"].to_pylist()[-1] is (end == "leave")


# The config, and the keys.


def test_a_config_may_be_a_dict_a_text_or_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = 'directory = "run"\n[[feed]]\nname = "a"\nkind = "nosuch"'
    Path("file.toml").write_text(text)
    for config in (text, tomllib.loads(text), "file.toml", Path("file.toml")):
        with pytest.raises(ConfigError, match=r'feed\[1\] "a".kind') as fault:
            tt.record(config)
        assert all("kind" in each or "url" in each or "asks" in each for each in fault.value.faults)
    with pytest.raises(ConfigError, match=r"nosuch\.toml: cannot be read"):
        tt.record("nosuch.toml")


def test_a_dict_reads_back_as_it_was():
    config = {
        "feed": [{"name": 'q"uoted', "trades": ("A", "B")}, {"a.b": True}],
        "directory": "run",
        "journal": {"commit_ms": 5, "left out": None, "odd\x7f": 0.5},
    }
    assert tomllib.loads(_toml(config | {"path": Path("x")})) == {
        "feed": [{"name": 'q"uoted', "trades": ["A", "B"]}, {"a.b": True}],
        "directory": "run",
        "path": "x",
        "journal": {"commit_ms": 5, "odd\x7f": 0.5},
    }


def test_keys_are_of_all_feeds_or_of_each():
    assert _given(None, ["a"]) == {}
    assert _given(("key", "secret"), ["a", "b"]) == dict.fromkeys("ab", Keys("key", "secret"))
    assert _given({"b": ("key", "secret")}, ["a", "b"]) == {"b": Keys("key", "secret")}
    for wrong in ({"c": ("key", "hush")}, "hush", {"a": ("hush",)}):
        with pytest.raises(ConfigError) as fault:
            _given(wrong, ["a", "b"])
        assert "hush" not in str(fault.value)


def test_keys_that_nobody_gives_are_missed_before_anything_opens(config):
    with pytest.raises(ConfigError, match="the environment has no APCA_API_KEY_ID"):
        tt.record(config)
    assert not config["directory"].exists()


# The venue.


def test_a_venue_says_when_its_tape_is_through(tmp_path):
    with tt.simulate_alpaca("--events", "50", "--linger-s", "0", tape="generated") as venue:
        assert venue.url == venue.urls["/v2/sip"]
        assert repr(venue) == f"SimulatedVenue({venue.url!r})"
        assert not venue.tape_ended
        assert not venue.wait_tape_end(0.01)
    assert venue.wait_tape_end(WAIT_S), "a venue that is gone plays no more"
    venue.close()


@pytest.mark.parametrize(
    ("options", "more", "words"),
    [
        (("--fault", "nosuch"), {}, "fault 'nosuch' is not on the menu"),
        (("--nosuch",), {}, "Unknown option"),
        ((), {"tape": "nosuch.parquet"}, "there is no such file"),
        ((), {"speed": "fast"}, "fast"),
    ],
)
def test_a_wrong_option_is_said_as_the_command_says_it(options, more, words):
    with pytest.raises(ConfigError, match=words) as fault:
        tt.simulate_alpaca(*options, **more)
    assert fault.value.hint
