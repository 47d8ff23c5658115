"""What is captured: a simulated terminal, a real one, or a stream of messages.

A source is opened by the process that acquires, from one line of text that stands in the plan:

    sim-mt5                         a terminal of the lab's own; its world lies in the cell's folder
    mt5 SYMBOL TERMINAL             module, a path, or rpyc://host:port
    alpaca CHANNEL:SYMBOL URL       a venue or its simulator; each message is a capture
"""

from pathlib import Path
from typing import NamedTuple, Protocol

from ticktape.config import Keys
from ticktape.config.terminal import MODULE, bridge_of
from ticktape.errors import ConfigError, Disconnected, TickTapeError
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.terminal import Account, LocalTerminal, Terminal

SIMULATED, TERMINAL, STREAM = "sim-mt5", "mt5", "alpaca"
SIM_SYMBOL = "EURUSD"
SIM_LEVELS = 64  # a side: the book of the notebook's author
SIM_RATE = 2000.0  # changes a second, as the terminal's own limit has it
WORLD = "world"

Rows = object
"""A book's rows as the terminal gave them, the same packed, or a message's bytes."""


class Polled(NamedTuple):
    """One answer of a source, and when it was asked and had answered (monotonic ns)."""

    before_ns: int
    after_ns: int
    rows: Rows


class Source(Protocol):
    """Something to be asked for its present state, again and again, by one thread."""

    def poll(self) -> Polled | None:
        """Ask once; None when a stream had nothing for a moment.

        Raises:
            TickTapeError: it is gone.
        """

    def close(self) -> None:
        """Leave it."""


class Place(NamedTuple):
    """A source's text in its parts."""

    kind: str
    what: str = ""
    where: str = ""

    @property
    def is_stream(self) -> bool:
        """Whether captures are messages, not books."""
        return self.kind == STREAM


def parse_source(text: str) -> Place:
    """The parts of a plan's `source`.

    Raises:
        ConfigError: it is none.
    """
    place = Place(*text.split(" ", 2))
    wanted = 1 if place.kind == SIMULATED else 3
    if place.kind not in (SIMULATED, TERMINAL, STREAM) or len(text.split(" ", 2)) != wanted:
        raise ConfigError(
            [f"{text!r} is no source of captures"],
            hint="Say --source sim-mt5, or --source mt5 --symbol EURUSD --terminal module.",
        )
    return place


class PolledBook:
    """A terminal's book; every poll is a capture, also one that shows nothing new."""

    def __init__(self, terminal: Terminal, symbol: str) -> None:
        """Connect and subscribe.

        Raises:
            TickTapeError: it cannot be reached, or has no such book.
        """
        self._terminal = terminal
        self._symbols = [symbol]
        terminal.open()
        refusal = terminal.subscribe(symbol, book=True)
        if refusal is not None:
            raise TickTapeError(refusal.words, hint=refusal.hint)

    def poll(self) -> Polled:
        """Ask once.

        Raises:
            Disconnected: the terminal is gone, or refuses the book.
        """
        answer = self._terminal.poll(self._symbols)[0]
        if answer.image is None:
            raise Disconnected(f"{self._symbols[0]}: {answer.text} ({answer.code})")
        return Polled(answer.before_ns, answer.after_ns, answer.image)

    def close(self) -> None:
        """Release the book and leave."""
        self._terminal.close(self._symbols)


def open_source(place: Place, folder: Path, keys: Keys | None = None) -> Source:
    """Open a source for a cell in `folder`; a venue wants its keys.

    Raises:
        TickTapeError: it cannot be reached.
    """
    if place.kind == STREAM:
        from ticktape.lab.stream import Stream

        return Stream(place, keys or Keys("", ""))
    if place.kind == SIMULATED:
        # Only who polls it needs the simulator, which brings much with it.
        from ticktape.sim.mt5 import Connection

        account = Account(path=str(folder / WORLD))
        return PolledBook(LocalTerminal(account, Connection()), SIM_SYMBOL)
    bridge = bridge_of(place.where)
    if bridge is not None:
        return PolledBook(BridgeTerminal(Account(), *bridge), place.what)
    path = "" if place.where == MODULE else place.where
    return PolledBook(LocalTerminal(Account(path=path)), place.what)
