"""Real processes: the command, its clients, their deaths, and the interpreter's lock."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pyarrow.parquet as pq
import pytest

from ticktape.sim.mt5 import AS_MODULE, BookDescription, Description, Terminal, Truth
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


def client_environment(path=None):
    environment = {**os.environ, "PYTHONPATH": str(AS_MODULE)}
    return environment | ({"TICKTAPE_SIM_MT5": str(path)} if path else {})


def ask(script, path=None, **environment):
    """What a Python of its own prints, which has the module and perhaps knows the terminal."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=client_environment(path) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


class Child:
    """`ticktape sim mt5` as a child; `said` are its lines so far."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ticktape.cli.sim", "mt5", *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def next(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def end(self):
        self.process.stdin.close()
        return self.process.wait(30)


@pytest.fixture
def command():
    """Start the command; it is gone when the test is."""
    children = []

    def start(*arguments):
        children.append(Child(*arguments))
        return children[-1]

    yield start
    for child in children:
        child.process.kill()
        child.process.wait()
        for stream in (child.process.stdin, child.process.stdout, child.process.stderr):
            stream.close()


@pytest.fixture
def client():
    """Start a Python of its own that attaches to a world; it is gone when the test is."""
    clients = []

    def start(script, path):
        clients.append(
            subprocess.Popen(
                [sys.executable, "-c", script],
                stdout=subprocess.PIPE,
                text=True,
                env=client_environment(path),
            )
        )
        return clients[-1]

    yield start
    for process in clients:
        process.kill()
        process.wait()
        process.stdout.close()


def test_every_process_makes_the_same_market():
    script = DIGEST.format(here=os.path.dirname(__file__))
    assert ask(script, PYTHONHASHSEED="1") == [digest()]


# The command.


def test_a_client_attaches_to_the_command_and_sees_its_truth(command, tmp_path):
    child = command(
        tmp_path / "world",
        *("--book", "EURUSD=generated:levels=5,rate=200", "--book", "BTC=shipped"),
        *("--warm-s", "0", "--truth", tmp_path / "truth", "--until-stdin-closes"),
    )
    ready = child.next()
    assert ready["event"] == "ready" and ready["pythonpath"] == str(AS_MODULE)
    assert ready["rpyc_port"] is None
    assert ready["path"] == str(tmp_path / "world" / "terminal64.exe")
    lines = ask(
        f"""
import MetaTrader5 as mt5
from time import perf_counter_ns
print(mt5.initialize({ready["path"]!r}), mt5.__version__, mt5.TICK_FLAG_BID, mt5.BOOK_TYPE_BUY)
print(mt5.market_book_add("EURUSD"), mt5.market_book_add("BTC"), mt5.account_info().server)
for _ in range(300):
    before = perf_counter_ns()
    book = mt5.market_book_get("EURUSD")
    print(before, perf_counter_ns(), book[-1].volume_dbl)
"""
    )
    assert lines[:2] == ["True 5.0.6231 2 2", "True True Demo-Server"]
    assert child.end() == 0
    table = pq.read_table(tmp_path / "truth" / "books.parquet")
    rows = [row for row in table.to_pylist() if row["symbol"] == "EURUSD"]
    changed = {row["state"]: row["change_mono_ns"] for row in rows}
    assert len(lines) == 302
    for line in lines[2:]:
        before, after, volume = line.split()
        number = round(float(volume) * 100) - 1
        assert changed[number] <= int(after) and changed[number + 1] > int(before)
    assert {row["symbol"] for row in table.to_pylist()} == {"EURUSD", "BTC"}


def test_the_environment_names_the_terminal(tmp_path):
    description = Description(books={"E": BookDescription(kind="empty")})
    with Terminal(tmp_path / "world", description) as terminal:
        terminal.start()
        script = "import MetaTrader5 as m; print(m.initialize(), m.last_error()[0])"
        assert ask(script, tmp_path / "world") == ["True 1"]
        assert ask(script, terminal.world.executable) == ["True 1"]
        assert ask(script) == ["False -10003"]


def test_the_end_of_a_recording_is_told_and_ends_the_command(command, tmp_path):
    child = command(tmp_path, "--book", "A=shipped", "--speed", "1000x", "--linger-s", "0")
    assert child.next()["event"] == "ready"
    assert child.next() == {"event": "tape_end", "symbol": "A", "start": 1, "states": 6547}
    assert child.process.wait(30) == 0


@needs_posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_ends_on_a_signal_and_marks_the_terminal_dead(command, tmp_path, number):
    child = command(tmp_path)
    child.next()
    child.process.send_signal(number)
    assert child.process.wait(30) == 0
    script = "import MetaTrader5 as m; print(m.initialize(), m.last_error()[0])"
    assert ask(script, tmp_path) == ["False -10003"]


def test_all_mistakes_are_told_together(command, tmp_path):
    child = command(
        tmp_path / "world",
        *("--book", "A=generated:odd=1", "--fault", "explode@1s", "--speed", "fast"),
        *("--spikes", "2", "--latency-us", "-1"),
    )
    out, err = child.process.communicate(timeout=30)
    assert child.process.returncode == 2 and out == ""
    for word in ("5 faults", "odd", "explode", "fast", "--spikes", "--latency-us", "disconnect@T"):
        assert word in err
    assert not (tmp_path / "world").exists()


def test_a_second_terminal_in_the_same_directory_is_refused(command, tmp_path):
    command(tmp_path).next()
    second = command(tmp_path)
    _, err = second.process.communicate(timeout=30)
    assert second.process.returncode == 2 and "already runs" in err


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
    first.process.kill()  # and not waited for: a zombie is dead, too
    died_ns = time.perf_counter_ns()
    assert watcher.stdout.readline() == "False [-10002, -10004, -10004, -10003]\n"
    second = command(*arguments)
    second.next()
    assert watcher.stdout.readline() == "True 6\n"
    assert watcher.wait(30) == 0
    from ticktape.sim.mt5 import World

    world = World(tmp_path)
    lives = Truth(world, "A").lives
    world.close()
    assert [life.start.number for life in lives] == [1, 2]
    assert died_ns < lives[0].end_mono_ns < lives[1].start.mono_ns


HUNG = """
import signal, threading, time
import MetaTrader5 as mt5
signal.signal(signal.SIGTERM, lambda *_: print("handled", flush=True))
assert mt5.initialize()
beats = []
def beat():
    while True:
        beats.append(time.perf_counter_ns())
        time.sleep(0.01)
threading.Thread(target=beat, daemon=True).start()
time.sleep(0.1)
print("up", flush=True)
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
        terminal.hang()
        hung = client(HUNG, tmp_path)
        assert hung.stdout.readline() == "up\n"
        time.sleep(0.2)
        hung.terminate()
        time.sleep(0.3)
        assert hung.poll() is None
        terminal.clear_hang()
        rest = hung.stdout.read().splitlines()
        # Hung for half a second, in which the other thread wanted to wake fifty times.
        beats = next(int(line.split()[1]) for line in rest if line.startswith("back"))
        assert beats <= 5
        assert "handled" in rest


@needs_posix
def test_latency_holds_the_interpreter_s_lock(tmp_path):
    wakes = {}
    for hold_gil in (True, False):
        description = Description(
            books={"E": BookDescription(kind="empty")}, latency_us=20_000, hold_gil=hold_gil
        )
        with Terminal(tmp_path / str(hold_gil), description) as terminal:
            terminal.start()
            wakes[hold_gil] = count_wakes(terminal)
    assert wakes[True] * 5 < wakes[False]


def count_wakes(terminal):
    """How often another thread wakes while a call takes 20 ms, ten times."""
    from ticktape.sim.mt5 import Connection

    mt5 = Connection()
    assert mt5.initialize(str(terminal.world.executable))
    count, stop = 0, threading.Event()

    def wake():
        nonlocal count
        while not stop.is_set():
            time.sleep(0.0005)
            count += 1

    thread = threading.Thread(target=wake)
    thread.start()
    for _ in range(10):
        mt5.terminal_info()
    stop.set()
    thread.join()
    return count
