"""A terminal in this process on a clock that stands still, or in one of its own."""

import json
import os
import subprocess
import sys

import pytest

from ticktape.sim.mt5 import AS_MODULE, BookDescription, Connection, Description, Terminal

MS = 1_000_000
S = 1000 * MS


class FakeClock:
    """Both clocks, and the waiting: `hold` moves the time on and remembers how it was asked."""

    def __init__(self):
        self.now_ns = 5_000 * S
        self.held = []

    def monotonic_ns(self):
        return self.now_ns

    def wall_ns(self):
        return self.now_ns + 1_700_000_000 * S

    def hold(self, wait_ns, with_lock):
        self.now_ns += wait_ns
        self.held.append((wait_ns, with_lock))

    def pass_s(self, seconds):
        self.now_ns += round(seconds * S)


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def run(tmp_path, clock):
    """Start a terminal with these books and options; it ends with the test."""
    opened = []

    def make(books=None, *, directory="world", start=True, **options):
        books = {"EURUSD": BookDescription(kind="generated")} if books is None else books
        terminal = Terminal(tmp_path / directory, Description(books=books, **options), clock=clock)
        opened.append(terminal)
        if start:
            terminal.start()
        return terminal

    yield make
    for terminal in opened:
        terminal.close()


@pytest.fixture
def connect(clock):
    """Attach a client to a terminal, with subscriptions to all books that it has."""

    def make(terminal=None, *, add=True):
        mt5 = Connection(clock=clock, hold=clock.hold)
        if terminal is not None:
            assert mt5.initialize(str(terminal.world.executable)), mt5.last_error()
            for symbol in terminal.world.description.books if add else ():
                mt5.market_book_add(symbol)
        return mt5

    return make


@pytest.fixture
def generated():
    def make(**options):
        return BookDescription(kind="generated", **options)

    return make


# Processes of their own.


def client_environment(path=None):
    environment = {**os.environ, "PYTHONPATH": str(AS_MODULE)}
    return environment | ({"TICKTAPE_SIM_MT5": str(path)} if path else {})


def run_client(script, path=None, **environment):
    """What a Python of its own prints, which has the module and perhaps knows the terminal."""
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env=client_environment(path) | environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


@pytest.fixture
def ask():
    return run_client


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
        return self.process.wait(240)


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
