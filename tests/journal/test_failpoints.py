"""Failpoints fire at the pass that was named, once, and are absent outside tests."""

import os
import signal
import subprocess
import sys

import pytest

from ticktape.failpoints import Failpoints, from_environment


def test_only_the_named_pass_of_the_named_place_is_hit():
    failpoints = Failpoints("journal.write:3")
    hits = [failpoints.hit(name) for name in ("journal.write", "table.commit") * 5]
    assert [index for index, hit in enumerate(hits) if hit] == [4]


def test_without_a_number_it_is_the_first_pass():
    failpoints = Failpoints("table.commit")
    assert [failpoints.hit("table.commit") for _ in range(3)] == [True, False, False]


def test_outside_tests_there_are_none(monkeypatch):
    assert from_environment() is None
    monkeypatch.setenv("TICKTAPE_FAILPOINT", "journal.write:7")
    assert from_environment().name == "journal.write"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9")
def test_to_die_runs_nothing_that_a_clean_end_would():
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import atexit\n"
            "from ticktape.failpoints import from_environment\n"
            "atexit.register(print, 'clean', flush=True)\n"
            "failpoints = from_environment()\n"
            "try:\n"
            "    for number in range(5):\n"
            "        print(number, flush=True)\n"
            "        failpoints.pass_by('here')\n"
            "finally:\n"
            "    print('finally', flush=True)\n",
        ],
        env={**os.environ, "TICKTAPE_FAILPOINT": "here:2"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == [b"0", b"1"]
