"""A capture that polls as fast as it can has a CPU of its own, where there are enough of them."""

import os
import subprocess
import sys

import msgspec
import pytest

from ticktape.config import FeedConfig
from ticktape.recorder import cpus

FAST = FeedConfig(name="rts", kind="mt5", books=("A",), poll_ms=0.0)
SLOW = FeedConfig(name="fx", kind="mt5", books=("A",), poll_ms=5.0)
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
