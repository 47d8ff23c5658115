"""A capture that polls as fast as it can has a CPU of its own, where there are enough of them."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ticktape.config import DecideConfig, FeedConfig, Keys, parse_config
from ticktape.recorder import cpus
from ticktape.recorder.supervisor import Supervisor

FAST = FeedConfig(name="rts", kind="mt5", books=("A",), poll_ms=0.0)
SLOW = FeedConfig(name="fx", kind="mt5", books=("A",), poll_ms=5.0)
SPINS = DecideConfig(file=Path("a.py"), wait="spin")
BLOCKS = DecideConfig(file=Path("b.py"))
STOCKS = FeedConfig(name="sip", kind="alpaca", url="wss://host", trades=("A",))


def changed(**changes):
    return msgspec.structs.replace(FAST, **changes)


def test_fast_one_has_the_last_cpu_and_all_others_share_the_rest():
    assert cpus.shares([STOCKS, FAST, SLOW], [0, 1, 2]) == ({"rts": 2}, {0, 1})


def test_each_leg_has_one():
    alone, shared = cpus.shares([changed(legs=2)], [0, 1, 2, 3])
    assert alone == {"rts": 2, "rts.b": 3}
    assert shared == {0, 1}


@pytest.mark.parametrize(
    "feed",
    [
        SLOW,
        STOCKS,
        changed(poll_ms="auto"),
        changed(pin_cpu=0),
        changed(terminal="rpyc://127.0.0.1:18812"),
    ],
)
def test_nothing_changes_where_nothing_spins_here(feed):
    assert cpus.shares([feed], [0, 1]) == ({}, set())


@pytest.mark.parametrize(("legs", "there"), [(1, [0]), (2, [0, 1]), (1, [])])
def test_nothing_changes_where_no_cpu_would_be_left(legs, there):
    assert cpus.shares([changed(legs=legs)], there) == ({}, set())


def test_strategy_that_spins_has_the_captures_beside_it_and_all_others_elsewhere():
    assert cpus.beside_spinners([BLOCKS, SPINS], [STOCKS, SLOW], [0, 1]) == ({1}, {0})
    assert cpus.beside_spinners([SPINS], [STOCKS], [2, 5, 3]) == ({5}, {2, 3})


@pytest.mark.parametrize(
    ("decides", "feeds", "there"),
    [
        ([BLOCKS], [STOCKS], [0, 1]),
        ([SPINS], [STOCKS, FAST], [0, 1]),
        ([SPINS], [STOCKS], [0]),
        ([SPINS], [STOCKS], []),
        ([SPINS], [STOCKS], [0, 1, 2, 3]),
    ],
)
def test_captures_go_nowhere_where_nothing_spins_or_cpus_are_one_or_many(decides, feeds, there):
    assert cpus.beside_spinners(decides, feeds, there) == (set(), set())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no say in it")
def test_confined_process_stays_on_its_cpus_and_an_empty_word_changes_nothing():
    code = (
        "import os, sys; from ticktape.recorder.cpus import confine; confine(sys.argv[1]);"
        " print(sorted(os.sched_getaffinity(0)))"
    )
    there = sorted(os.sched_getaffinity(0))
    for word, wanted in ((str(there[-1]), there[-1:]), ("", there)):
        said = subprocess.check_output([sys.executable, "-c", code, word], text=True)
        assert said.strip() == str(wanted)


def test_each_child_of_a_run_with_a_spinning_strategy_is_told_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr("ticktape.recorder.supervisor.usable", lambda: {0, 1})
    for name in ("fast.py", "slow.py"):
        (tmp_path / name).touch()
    text = (
        f"directory = {str(tmp_path / 'run')!r}\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\n"
        "url = 'ws://127.0.0.1:1'\ntrades = ['*']\n[[decide]]\nfile = 'fast.py'\nwait = 'spin'\n"
        "[[decide]]\nfile = 'slow.py'\n"
    )
    config = parse_config(text, "test", tmp_path)
    places = {}

    def noted(name, task, log, events, *, finishes, cpus):
        places[name] = set(cpus)
        return FakeChild(name, task)

    monkeypatch.setattr("ticktape.recorder.supervisor.ChildProcess", noted)
    supervisor = Supervisor(config, {"sip": Keys("k", "s")}, {}, lambda event: None)
    with supervisor:
        supervisor.start()
    assert places.pop("capture-sip") == places.pop("decide-fast") == {1}
    assert set(places) >= {"decide-slow", "last", "table", "ledger", "upkeep"}
    assert all(place == {0} for place in places.values())


class FakeChild:
    def __init__(self, name, task):
        self.name = name
        self.task = task

    def start(self, task=None):
        pass

    def kill(self):
        pass
