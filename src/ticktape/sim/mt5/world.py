"""A world: one directory with a terminal's description, its switches, and the log of its starts.

The market in it is a schedule of states over time, so that every process computes the present state
by itself, all the same one, and the truth can be told afterwards without having been written.

    terminal64.exe      the description, as JSON; clients give its path to initialize()
    control.map         the switches
    starts.jsonl        when the terminal began and ended, and when its link was down
    terminal.lock       held by the terminal's process while it lives
    calls-SYMBOL-N.map  the moments of the calls that moved a book of start N on (--speed max)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ticktape import clock as real_clock
from ticktape.sim.mt5.books import RecordedStates, States, make_cycle, make_states
from ticktape.sim.mt5.control import NEVER_NS, Clock, Control
from ticktape.sim.mt5.description import EXECUTABLE, Description, from_json
from ticktape.sim.mt5.results import Row
from ticktape.sim.mt5.schedule import Calls, Cycle
from ticktape.sim.mt5.ticks import Ticks

STARTS = "starts.jsonl"
LOCK = "terminal.lock"
PROBE_NS = 50_000_000  # a terminal that was killed is noticed within so long


@dataclass(frozen=True)
class Start:
    """One life of the terminal; `end_mono_ns` is None while it lives."""

    number: int
    mono_ns: int
    wall_ns: int
    ticks_mono_ns: int
    ticks_wall_ns: int
    description: Description
    end_mono_ns: int | None
    frozen: tuple[tuple[int, int], ...]
    """When its link to the trade server was down: from (then shown for the last time) and until."""


class Book:
    """One symbol's book in one start; `cycle` or `calls` says when its states come."""

    def __init__(
        self, states: States, cycle: Cycle | None, calls: Calls | None, start_mono_ns: int
    ) -> None:
        self.states = states
        self.cycle = cycle
        self.calls = calls
        self._start_mono_ns = start_mono_ns

    @property
    def states_max(self) -> int | None:
        """How many states it will have; None when it has no end."""
        if self.calls is not None:
            return self.calls.count_max
        return self.cycle.count_max if self.cycle is not None else None

    def is_through(self, elapsed_ns: int) -> bool:
        """Whether the last of its states is shown, so long after the start."""
        if self.calls is not None:
            return self.calls.count() == self.calls.count_max
        assert self.cycle is not None
        return self.cycle.count(elapsed_ns) == self.cycle.count_max

    def shown(self, at_ns: int, *, move: bool) -> Sequence[Row]:
        """The rows at the monotonic `at_ns`, which moves a book on that waits for calls."""
        if self.calls is not None:
            count = self.calls.advance(at_ns) if move else max(self.calls.count(), 1)
        else:
            assert self.cycle is not None
            count = self.cycle.count(at_ns - self._start_mono_ns)
        return self.states.rows(count - 1) if count else ()


class World:
    """What all processes know of one terminal; see `Connection` for what a client sees."""

    def __init__(self, directory: Path, clock: Clock | None = None) -> None:
        """Open the world in `directory`.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its files are of something else.
        """
        self.directory = directory
        self.executable = directory / EXECUTABLE
        self.clock: Clock = clock or real_clock.WallClock()
        self.text = self.executable.read_text(encoding="utf-8")
        self.description = from_json(self.text)
        self.control = Control(directory / "control.map")
        self._books: dict[tuple[int, str], Book | None] = {}
        self._ticks: dict[tuple[int, str], Ticks] = {}
        self._probe_ns = 0

    def close(self) -> None:
        """Give the maps back; may be called twice."""
        for book in self._books.values():
            if book is not None and book.calls is not None:
                book.calls.close()
        self._books.clear()
        self.control.close()

    def book(self, symbol: str) -> Book | None:
        """The symbol's book in the present start; None when it has none or is unknown."""
        number = self.control.start
        key = (number, symbol)
        if key not in self._books:
            self._books[key] = self.make_book(
                self.description, symbol, number, self.control.start_mono_ns
            )
        return self._books[key]

    def make_book(
        self, description: Description, symbol: str, number: int, start_mono_ns: int
    ) -> Book | None:
        """The symbol's book in the start of that number and description."""
        book = description.books.get(symbol)
        states = make_states(book, description.seed, symbol) if book else None
        if book is None or states is None:
            return None
        cycle = make_cycle(book, description.seed, symbol, description.speed, description.passes)
        calls = None
        if cycle is None:
            assert isinstance(states, RecordedStates)
            path = self.directory / f"calls-{_file_name(symbol)}-{number}.map"
            calls = Calls(path, len(states) * description.passes)
        return Book(states, cycle, calls, start_mono_ns)

    def ticks(self, symbol: str) -> Ticks:
        """The ticks of a symbol of the description."""
        mono_ns, wall_ns = self.control.ticks_mono_ns, self.control.ticks_wall_ns
        key = (mono_ns, symbol)
        if key not in self._ticks:
            self._ticks[key] = Ticks(self.description, symbol, mono_ns, wall_ns)
        return self._ticks[key]

    def wall_at(self, mono_ns: int) -> int:
        """UTC nanoseconds of a monotonic instant, by the clocks of the present start."""
        return self.control.start_wall_ns + mono_ns - self.control.start_mono_ns

    def is_alive(self, now_ns: int) -> bool:
        """Whether the terminal runs; a killed one is noticed at every 50 ms at the latest."""
        control = self.control
        if not control.alive:
            return False
        if not control.locked or now_ns < self._probe_ns:
            return True
        self._probe_ns = now_ns + PROBE_NS
        try:
            with FileLock(self.directory / LOCK, timeout=0):
                pass
        except Timeout:
            return True
        # From here on it is dead for everyone, and the truth ends when the first one noticed.
        control.alive = 0
        control.ended_mono_ns = self.clock.monotonic_ns()
        return False

    def starts(self) -> list[Start]:
        """All lives of the terminal so far, the present one last."""
        path = self.directory / STARTS
        if not path.exists():
            return []
        begun: list[dict[str, object]] = []
        ends: dict[int, int] = {}
        frozen: dict[int, list[tuple[int, int]]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event["event"] == "start":
                begun.append(event)
            elif event["event"] == "end":
                ends[event["number"]] = event["mono_ns"]
            else:
                frozen.setdefault(event["number"], []).append((event["from_ns"], event["until_ns"]))
        control = self.control
        number = control.start
        if not control.alive and number:
            ends.setdefault(number, control.ended_mono_ns)
        if control.frozen_from_ns != NEVER_NS:
            last = (control.frozen_from_ns, control.frozen_until_ns)
            if last not in frozen.setdefault(number, []):
                frozen[number].append(last)
        return [_start(event, ends, frozen) for event in begun]


def _start(
    event: dict[str, object], ends: dict[int, int], frozen: dict[int, list[tuple[int, int]]]
) -> Start:
    values = {name: event[name] for name in _STAMPS}
    numbers = {name: value for name, value in values.items() if isinstance(value, int)}
    number = numbers["number"]
    return Start(
        **numbers,
        description=from_json(str(event["description"])),
        end_mono_ns=ends.get(number),
        frozen=tuple(frozen.get(number, ())),
    )


_STAMPS = ("number", "mono_ns", "wall_ns", "ticks_mono_ns", "ticks_wall_ns")


def _file_name(symbol: str) -> str:
    # Symbols such as `GOLD.i#` or `A/B` and their like in other letters, on any file system.
    return symbol.encode().hex()


def create_world(directory: Path, description: Description, clock: Clock | None = None) -> World:
    """Make the directory a world of this description, or change the one that is there.

    Raises:
        ConfigError: the description cannot be played.
    """
    description.check()
    for symbol, book in description.books.items():
        make_states(book, description.seed, symbol)
    directory.mkdir(parents=True, exist_ok=True)
    written = directory / f"{EXECUTABLE}.new"
    written.write_text(description.to_json(), encoding="utf-8")
    written.replace(directory / EXECUTABLE)
    return World(directory, clock)
