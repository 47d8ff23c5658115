"""Real processes: clients that compute the same market, deaths, and the interpreter's lock."""

import contextlib
import os
import statistics
import sys
import threading
import time

import pytest

from ticktape.sim.mt5 import BookDescription, Connection, Description, Terminal, Truth
from ticktape.sim.mt5.books import make_cycle, make_states
from ticktape.sim.mt5.ticks import Ticks
from ticktape.sim.mt5.truth import pack

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="signals and flock")

# Everything that a client computes by itself, as one digest.
DIGEST = """
import hashlib, sys
sys.path.insert(0, {here!r})
from test_processes import digest
print(digest())
"""


def digest():
    import hashlib

    found = hashlib.sha256()
    book = BookDescription(
        kind="generated", poisson=True, anomalies=("crossed", "depth"), share=0.3
    )
    for symbol in ("EURUSD", "GOLD.i#"):
        states = make_states(book, 5, symbol)
        cycle = make_cycle(book, 5, symbol, 1.0, 1)
        found.update(cycle.moments(0, 100_000).tobytes())
        for number in range(0, 3000, 7):
            found.update(pack(states.rows(number)))
        description = Description(books={symbol: book}, seed=5)
        found.update(Ticks(description, symbol, 0, 10**18).rows(0, 40_000).tobytes())
    return found.hexdigest()


def test_every_process_makes_the_same_market(ask):
    script = DIGEST.format(here=os.path.dirname(__file__))
    assert ask(script, PYTHONHASHSEED="1") == [digest()]


# Deaths.

WATCH = """
import sys, time
import MetaTrader5 as mt5
assert mt5.initialize() and mt5.market_book_add("A")
print("up", flush=True)
while mt5.market_book_get("A") is not None:
    time.sleep(0.005)
codes = [mt5.last_error()[0]]
for _ in range(2):
    assert mt5.market_book_get("A") is None
    codes.append(mt5.last_error()[0])
print(mt5.initialize(), codes + [mt5.last_error()[0]], flush=True)
while not mt5.initialize():
    time.sleep(0.01)
print(mt5.market_book_add("A"), len(mt5.market_book_get("A")), flush=True)
"""


@needs_posix
def test_a_killed_terminal_is_dead_for_its_clients_and_lives_when_it_is_started_again(
    command, client, tmp_path
):
    arguments = (tmp_path, "--book", "A=generated:levels=3", "--warm-s", "0")
    first = command(*arguments)
    first.next()
    watcher = client(WATCH, tmp_path)
    assert watcher.stdout.readline() == "up\n"
    died_ns = time.perf_counter_ns()  # and later: a client may notice before we are told
    first.process.kill()  # and not waited for: a zombie is dead, too
    assert watcher.stdout.readline() == "False [-10002, -10004, -10004, -10003]\n"
    second = command(*arguments)
    second.next()
    assert watcher.stdout.readline() == "True 6\n"
    assert watcher.wait(240) == 0
    from ticktape.sim.mt5 import World

    world = World(tmp_path)
    lives = Truth(world, "A").lives
    world.close()
    assert [life.start.number for life in lives] == [1, 2]
    assert died_ns < lives[0].end_mono_ns < lives[1].start.mono_ns


HUNG = """
import os, signal, threading, time
import MetaTrader5 as mt5
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
assert mt5.initialize()
beats = []
def beat():
    while True:
        beats.append(time.perf_counter_ns())
        time.sleep(0.01)
threading.Thread(target=beat, daemon=True).start()
print("up", flush=True)
while not os.path.exists({go!r}):
    time.sleep(0.01)
before = time.perf_counter_ns()
mt5.terminal_info()
after = time.perf_counter_ns()
print("back", sum(before < at < after for at in beats), flush=True)
"""


@needs_posix
def test_a_hung_call_freezes_every_thread_and_is_deaf_to_signals(client, tmp_path):
    description = Description(books={"E": BookDescription(kind="empty")})
    with Terminal(tmp_path, description) as terminal:
        terminal.start()
        go = tmp_path / "go"
        hung = client(HUNG.format(go=str(go)), tmp_path)
        assert hung.stdout.readline() == "up\n"
        terminal.hang()
        go.touch()
        time.sleep(0.3)
        hung.terminate()
        time.sleep(0.3)
        assert hung.poll() is None
        terminal.clear_hang()
        rest = hung.stdout.read().splitlines()
        # Hung for a third of a second, in which the other thread wanted to wake thirty times.
        beats = next(int(line.split()[1]) for line in rest if line.startswith("back"))
        assert beats <= 5
        assert "handled" in rest


@needs_posix
def test_latency_holds_the_interpreter_s_lock(tmp_path):
    """Another thread may wake at the edges of a call that holds it, and else within the call."""
    with latent(tmp_path / "held", hold_gil=True) as mt5:
        assert statistics.median(wakes_in_calls(mt5, 11)) <= 3
    with latent(tmp_path / "free", hold_gil=False) as mt5:
        assert any(count > 5 for count in wakes_in_calls(mt5, 2_000))


@contextlib.contextmanager
def latent(directory, *, hold_gil):
    """A terminal whose calls take 20 ms, and a connection to it."""
    books = {"E": BookDescription(kind="empty")}
    description = Description(books=books, latency_us=20_000, hold_gil=hold_gil)
    with Terminal(directory, description) as terminal:
        terminal.start()
        mt5 = Connection()
        assert mt5.initialize(str(terminal.world.executable))
        yield mt5


def wakes_in_calls(mt5, calls):
    """How often another thread, which wants to all the time, wakes within each of these calls."""
    count, stop = 0, threading.Event()

    def wake():
        nonlocal count
        while not stop.is_set():
            time.sleep(0.0005)
            count += 1

    thread = threading.Thread(target=wake)
    thread.start()
    try:
        for _ in range(calls):
            before = count
            mt5.terminal_info()
            yield count - before
    finally:
        stop.set()
        thread.join()
