"""A terminal in this process, on a clock that stands still until a test or a call moves it."""

import pytest

from ticktape.sim.mt5 import BookDescription, Connection, Description, Terminal

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
