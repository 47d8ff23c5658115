"""A child's link to its parent: it never makes the child wait, and its end ends the child."""

import json
import os
import signal
import subprocess
import sys

import pytest

from ticktape.recorder.parent import EXIT_ORPHANED, encode_channels

BEGIN = """
import os, sys
from ticktape.recorder import parent as link
link._FAREWELL_S = 240.0  # what is told here is to arrive, however busy the machine is
parent = link.Parent()
"""


@pytest.fixture
def child():
    """Start children that run BEGIN and some lines; all are ended afterwards."""
    started = []

    def start(lines, **pipes):
        options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([sys.executable, "-c", BEGIN + lines], **(options | pipes))
        started.append(process)
        process.stdin.write(b"the task\n")
        process.stdin.flush()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(line):
    return json.loads(line)


def test_what_is_told_arrives_in_order_with_the_last_words(child):
    process = child(
        """
for number in range(50):
    parent.tell("state", words=str(number))
parent.tell("statistics", records=7)
parent.close()
os._exit(0)
"""
    )
    out, _ = process.communicate()
    lines = [said(line) for line in out.splitlines()]

    assert [line["words"] for line in lines if line["event"] == "state"] == [
        str(number) for number in range(50)
    ]
    assert lines[-1] == {"event": "statistics", "records": 7}


def test_statistics_that_have_not_changed_are_told_once_a_second(child):
    process = child(
        """
from ticktape import clock
for now_s, said in ((0, b"a"), (0.3, b"a"), (0.6, b"b"), (1.5, b"b"), (1.7, b"b"), (1.8, b"a")):
    clock.monotonic_ns = lambda: int(now_s * 1e9)
    sys.stderr.write(f"{parent._is_news(said):d}")
parent.again_ns = 0
said = b"c"
parent._is_news(said)
sys.stderr.write(f"{parent._is_news(said):d}{parent._is_news(said):d}")
os._exit(0)
"""
    )
    _, err = process.communicate()

    assert err == b"10101111"


def test_a_parent_that_does_not_listen_never_makes_the_child_wait(child):
    """More than any pipe holds is told; the child ends all the same."""
    process = child(
        """
for number in range(20_000):
    parent.tell("statistics", filler="x" * 500, number=number)
    parent.tell("session", filler="x" * 500, number=number)
sys.stderr.write("done")
os._exit(0)
"""
    )

    assert process.wait(240) == 0
    assert process.stderr.read() == b"done"


def test_a_parent_that_listens_again_hears_how_much_it_missed(child):
    process = child(
        """
for number in range(20_000):
    parent.tell("session", filler="x" * 500, number=number)
sys.stderr.write("done")
sys.stderr.flush()
parent.close()
os._exit(0)
"""
    )
    assert process.stderr.read(4) == b"done"

    lines = [said(line) for line in process.stdout.read().splitlines()]

    heard = [line["number"] for line in lines if line["event"] == "session"]
    missed = [line["words"] for line in lines if line["event"] == "state"]
    assert heard == sorted(heard)
    assert all(words.endswith(" reports were dropped: nobody took them") for words in missed)
    assert len(heard) + sum(int(words.partition(" ")[0]) for words in missed) == 20_000


def test_what_is_printed_goes_to_the_log_even_from_a_process_of_the_strategys_own(child):
    process = child(
        """
print("printed")
os.system("echo from a shell")
parent.tell("state", words="heard")
parent.close()
os._exit(0)
"""
    )
    out, err = process.communicate()

    assert [said(line)["words"] for line in out.splitlines()] == ["heard"]
    assert err == b"printed\nfrom a shell\n"


def test_input_of_the_strategys_own_is_empty_and_takes_nothing_from_the_parent(child):
    process = child(
        """
parent.listen()
read = sys.stdin.read()
parent.leave.wait(240)
sys.stderr.write(repr((read, parent.leave.is_set(), parent.orphaned)))
os._exit(0)
"""
    )
    process.stdin.write(b"leave\n")
    process.stdin.flush()
    process.wait(240)

    assert process.stderr.read() == b"('', True, False)"


def test_leaving_is_told_once_and_by_whichever_comes_first(child):
    process = child(
        """
import signal
calls = []
parent.listen(lambda: calls.append(1))
signal.raise_signal(signal.SIGTERM)
signal.raise_signal(signal.SIGTERM)
sys.stderr.write(str(len(calls)))
os._exit(0)
"""
    )
    process.wait(240)

    assert process.stderr.read() == b"1"


def test_changes_are_heard_in_order_however_long_they_are_also_from_before_it_listened(child):
    process = child(
        """
heard = []
def change(channels):
    heard.append({name: len(symbols) for name, symbols in channels.items()})
parent.tell("state", words="up")
parent.leave.wait(0.2)
parent.listen(None, change)
parent.leave.wait(240)
sys.stderr.write(repr(heard))
os._exit(0)
"""
    )
    process.stdin.write(encode_channels({"trades": ["IBM"]}) + b"\n")
    symbols = [f"SYMBOL{number}" for number in range(30_000)]
    process.stdin.write(encode_channels({"trades": symbols, "quotes": ["*"]}) + b"\nleave\n")
    process.stdin.flush()
    process.wait(240)

    assert process.stderr.read() == b"[{'trades': 1}, {'trades': 30000, 'quotes': 1}]"


def test_a_change_that_the_parents_death_cut_off_is_none(child):
    process = child(
        """
parent.listen(None, lambda channels: sys.stderr.write("changed"))
parent.leave.wait(240)
sys.stderr.write(repr((parent.leave.is_set(), parent.orphaned)))
os._exit(0)
"""
    )
    process.stdin.write(b'{"trades": ["IBM", "TS')
    process.stdin.close()
    process.wait(240)

    assert process.stderr.read() == b"(True, True)"
    process.stdin = None


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_the_terminals_signals_are_the_parents_to_answer(child, name):
    process = child(
        """
parent.tell("state", words="up")
parent.listen()
parent.leave.wait(240)
os._exit(0)
"""
    )
    process.stdout.readline()
    os.kill(process.pid, getattr(signal, name))
    process.stdin.write(b"leave\n")
    process.stdin.flush()

    assert process.wait(240) == 0


def test_the_parents_death_is_the_word_to_leave(child):
    process = child(
        """
parent.listen()
parent.leave.wait(240)
sys.stderr.write(repr((parent.leave.is_set(), parent.orphaned)))
os._exit(0)
"""
    )
    process.stdin.close()
    process.wait(240)

    assert process.stderr.read() in (b"(True, True)",)
    process.stdin = None


def test_a_parent_that_dies_while_the_child_drains_is_noticed(child):
    process = child(
        """
parent.listen()
parent.leave.wait(240)
parent.tell("state", words="draining")
while not parent.orphaned:
    pass
os._exit(0)
"""
    )
    process.stdin.write(b"leave\n")
    process.stdin.flush()
    process.stdout.readline()
    process.stdin.close()

    assert process.wait(240) == 0
    process.stdin = None


def test_an_orphan_that_never_finishes_is_ended_after_its_bound(child):
    process = child(
        """
parent.listen(orphan_s=0.05)
while True:
    pass
"""
    )
    process.stdin.close()

    assert process.wait(240) == EXIT_ORPHANED
    assert b"the parent died, and 0.05 s were not enough" in process.stderr.read()
    process.stdin = None


def test_a_dead_parent_hears_nothing_and_the_child_goes_on(child):
    process = child(
        """
parent.listen()
parent.leave.wait(240)
for number in range(1000):
    parent.tell("session", filler="x" * 1000)
parent.close()
sys.stderr.write("fine")
sys.stderr.flush()
os._exit(0)
"""
    )
    process.stdout.close()
    process.stdin.close()
    process.wait(240)

    assert process.stderr.read() == b"fine"
    process.stdin = process.stdout = None
