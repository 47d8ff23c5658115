"""The pipe to the terminal: how it is opened, breaks, and takes its time; the base of a connection.

One pipe and one last error per process, as in the real module. A broken pipe stays broken, whatever
the terminal does, until `initialize` is called again.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ticktape.sim.mt5 import results
from ticktape.sim.mt5.control import Clock
from ticktape.sim.mt5.description import EXECUTABLE, SYMBOL_UNITS_MAX
from ticktape.sim.mt5.holding import NS_PER_MS, NS_PER_US, HangLock, Hold, hold
from ticktape.sim.mt5.results import MESSAGES
from ticktape.sim.mt5.schedule import NS_PER_S, seed_of
from ticktape.sim.mt5.world import Book, World

OK = (results.RES_S_OK, MESSAGES[results.RES_S_OK])
NO_TERMINAL = "IPC initialize failed, MetaTrader 5 x64 not found"
NO_ANSWER = "IPC initialize failed, Pipe server didn't answer in 60 sec"
LAUNCH_WAIT_S = 60.0
LOGIN_WAIT_MS = 60_000
POLL_NS = 10 * NS_PER_MS
TEXT_MAX = 254
RELEASE_DATE = "27 Sep 2026"
TERMINAL_VERSION = 500
PPM = 1_000_000


class Subscription(NamedTuple):
    """A book that was asked for: since when, and how often."""

    book: Book
    added_ns: int
    times: int


class Pipe:
    """What all functions of the module share, and those that make and end the connection.

    `default` says where a terminal is when nobody names one. Tests give a clock, and a `hold` that
    waits on it. One thread at a time, as with the real module.
    """

    def __init__(
        self,
        default: Callable[[], str | None] = lambda: None,
        *,
        clock: Clock | None = None,
        hold: Hold = hold,
    ) -> None:
        self._default = default
        self._clock = clock
        self._hold = hold
        self._world: World | None = None
        self._start = 0  # the life of the terminal that we are attached to; 0: none
        self._error = OK
        self._books: dict[str, Subscription] = {}
        self._random = random.Random(0)
        self._calls = 0
        self._due_ns = 0

    def initialize(self, *args: object, **options: object) -> bool:
        """Attach to a terminal, which may be named; ends a connection that there is."""
        self.shutdown()
        if len(args) > 1:
            return self._refuse(results.RES_E_INVALID_PARAMS, "Invalid number of arguments")
        if args:
            options["path"] = args[0]
        if wrong := _wrong_option(options):
            return self._refuse(results.RES_E_INVALID_PARAMS, f'Invalid "{wrong}" argument')
        path = options.get("path") or self._default()
        world = self._open(Path(str(path))) if path else None
        if world is None:
            return self._refuse(results.RES_E_INTERNAL_FAIL_INIT, NO_TERMINAL)
        wait_ns = LAUNCH_WAIT_S * NS_PER_S * world.description.wait_scale
        if not self._wait(world, wait_ns, lambda: world.is_alive(world.clock.monotonic_ns())):
            return self._refuse(results.RES_E_INTERNAL_FAIL_INIT, NO_ANSWER)
        self._wait_while_hung(world)
        start = world.control.start
        if not self._log_in(world, options):
            return False
        self._random = random.Random(seed_of(world.description.seed, "spikes", str(start)))
        self._start = start
        world.control.connections += 1
        return True

    def login(self, *args: object, **options: object) -> bool:
        """Log in to the account of that number."""
        self._error = OK
        if args:
            options["login"] = args[0]
        wrong = _wrong_option(options)
        if len(args) > 1 or "login" not in options:
            wrong = "login"
        if wrong:
            return self._refuse(results.RES_E_INVALID_PARAMS, f'Invalid "{wrong}" argument')
        if self._begin() is None or self._world is None:
            return False
        return self._log_in(self._world, options)

    def shutdown(self) -> bool:
        """End the connection; never fails."""
        self._error = OK
        self._start = 0
        self._books.clear()
        return True

    def last_error(self) -> tuple[int, str]:
        """Code and text of the last call."""
        return self._error

    def version(self) -> tuple[int, int, str] | None:
        """Version, build and date of the terminal."""
        self._error = OK
        if self._begin() is None or self._world is None:
            return None
        return (TERMINAL_VERSION, self._world.description.build, RELEASE_DATE)

    def _fail(self, code: int, message: str = "") -> None:
        self._error = (code, message or MESSAGES[code])

    def _refuse(self, code: int, message: str = "") -> bool:
        self._fail(code, message)
        return False

    def _open(self, path: Path) -> World | None:
        """The world of that path, as it is now; None when there is none."""
        executable = path / EXECUTABLE if path.is_dir() else path
        if executable.name != EXECUTABLE or not executable.is_file():
            return None
        if self._world is not None:
            self._world.close()
        self._world = World(executable.parent, self._clock)
        return self._world

    def _wait(self, world: World, wait_ns: float, is_done: Callable[[], bool]) -> bool:
        """Wait with the interpreter's lock until it is done; False when the time is over."""
        end_ns = world.clock.monotonic_ns() + wait_ns
        while not is_done():
            if world.clock.monotonic_ns() >= end_ns:
                return False
            self._hold(POLL_NS, bool(world.description.hold_gil))
        return True

    def _log_in(self, world: World, options: dict[str, object]) -> bool:
        """Send the account that was given, then wait until the terminal is logged in."""
        described, control = world.description, world.control
        known_server = options.get("server", described.server) == described.server
        given = [name for name in ("login", "password", "server") if options.get(name)]
        if given and known_server:
            account = (described.login, described.password)
            login = options.get("login", described.login)
            if (login, options.get("password") or described.password) != account:
                return self._refuse(results.RES_E_AUTH_FAILED)
            control.logged_in = 1
        timeout = options.get("timeout", LOGIN_WAIT_MS)
        wait_ns = float(str(timeout)) * NS_PER_MS * described.wait_scale
        if not self._wait(world, wait_ns, lambda: bool(control.logged_in and known_server)):
            return self._refuse(results.RES_E_INTERNAL_FAIL_TIMEOUT)
        return True

    def _begin(self, *, late: bool = False) -> int | None:
        """Send a request: the monotonic ns at which the terminal answers; None when it cannot.

        Of the calls that may answer `late` every second one has its latency after the answer was
        made, so that a client cannot take the end of a call for the moment of what it got.
        """
        world = self._world
        if world is None or not self._start:
            self._fail(results.RES_E_INTERNAL_FAIL_CONNECT)
            return None
        control = world.control
        control.calls += 1
        self._wait_while_hung(world)
        self._due_ns = self._latency_ns(world)
        self._calls += 1
        if not (late and self._calls & 1):
            self._after()
        now_ns = world.clock.monotonic_ns()
        if not world.is_alive(now_ns) or control.start != self._start:
            self._start = 0
            self._books.clear()
            self._fail(results.RES_E_INTERNAL_FAIL_RECEIVE)
            return None
        return now_ns

    def _wait_while_hung(self, world: World) -> None:
        control = world.control
        if control.hang:
            HangLock(world.directory).wait(lambda: bool(control.hang))

    def _after(self) -> None:
        """Wait for what is left of the call's latency."""
        if self._due_ns and self._world is not None:
            self._hold(self._due_ns, bool(self._world.control.hold_gil))
            self._due_ns = 0

    def _latency_ns(self, world: World) -> int:
        control = world.control
        wait_ns = control.latency_us * NS_PER_US
        if control.spike_ppm and self._random.random() * PPM < control.spike_ppm:
            wait_ms = self._random.uniform(control.spike_low_ms, control.spike_high_ms)
            wait_ns += int(wait_ms * NS_PER_MS)
        if control.stall_next_ms:
            wait_ns += control.stall_next_ms * NS_PER_MS
            control.stall_next_ms = 0
        return wait_ns


def symbol_of(value: object) -> str | None:
    """The symbol, when the real module would take it as one."""
    if isinstance(value, str):
        units = len(value.encode("utf-16-le", "surrogatepass")) // 2
        return value if units <= SYMBOL_UNITS_MAX else None
    return None


def _wrong_option(options: dict[str, object]) -> str:
    """The first option that is not of its type; unknown ones are ignored."""
    for name in ("path", "password", "server"):
        value = options.get(name, "")
        if not isinstance(value, str) or len(value) > TEXT_MAX:
            return name
    for name in ("login", "timeout"):
        if not isinstance(options.get(name, 0), int):
            return name
    return ""
