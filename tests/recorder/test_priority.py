"""Capture goes first: by niceness, where the system allows it."""

import os
import subprocess
import sys

import pytest

from ticktape.recorder import priority

CODE = """
import os
from ticktape.recorder.priority import take_place
take_place({})
print(os.nice(0))
"""


def niceness_after(steps):
    return int(subprocess.check_output([sys.executable, "-c", CODE.format(steps)]))


def test_readers_step_back_by_what_is_said():
    assert niceness_after(priority.TABLE) == os.nice(0) + priority.TABLE


def test_capture_that_may_not_step_forward_stays_where_it_is(monkeypatch):
    def refuse(steps):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "nice", refuse)
    priority.take_place(priority.CAPTURE)


def test_system_without_niceness_is_left_alone(monkeypatch):
    monkeypatch.delattr(os, "nice")
    priority.take_place(priority.TABLE)


def test_who_gives_way_comes_back_also_where_the_system_has_no_word_for_it(monkeypatch):
    priority.give_way()
    slept = []
    monkeypatch.setattr("ticktape.clock.sleep_s", slept.append)
    monkeypatch.delattr(os, "sched_yield", raising=False)
    priority.give_way()
    assert slept == [0]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root may step forward")
def test_root_lets_captures_step_forward():
    assert niceness_after(priority.CAPTURE) == max(os.nice(0) + priority.CAPTURE, -20)
