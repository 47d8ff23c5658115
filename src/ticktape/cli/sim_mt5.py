"""The verb `sim mt5`: a MetaTrader 5 terminal on this machine, to which any client can attach."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from ticktape.cli.sim_child import collect, end_with_stdin, joined, say
from ticktape.clock import sleep_s
from ticktape.errors import EXIT_COMPLETE, ConfigError
from ticktape.sim.mt5 import AS_MODULE, Description, Terminal, parse_book, write_truth
from ticktape.sim.mt5.description import ANOMALIES
from ticktape.sim.mt5.faults import Fault, menu_text, parse_faults
from ticktape.sim.mt5.running import Run
from ticktape.sim.mt5.schedule import NS_PER_S
from ticktape.sim.pace import parse_speed

MARKET = Group.create_ordered("The market")
TERMINAL = Group.create_ordered("The terminal")
PROCESS = Group.create_ordered("The process")

BRIDGE_END_S = 5.0  # a server whose call hangs does not hear that its stdin closed


@Parameter(name="*", group=MARKET)
@dataclass(frozen=True)
class MarketOptions:
    """The market."""

    book: tuple[str, ...] = ("BTCUSDT=shipped",)
    """A symbol and where its book comes from, as often as you like; see below."""

    speed: str = "1x"
    """Of recorded books: times real time, or `max`: one state further with each call."""

    passes: int = 1
    """Play recorded books so often, 0 for ever; after the end the last one stays."""

    tick_rate: float = 5.0
    """Ticks a second of a generated symbol, 0 for none; recorded ones tick as their book does."""

    seed: int = 0
    """Of everything that is made up."""


@Parameter(name="*", group=TERMINAL)
@dataclass(frozen=True)
class TerminalOptions:
    """The terminal."""

    latency_us: int = 50
    """Microseconds that a call takes, with the interpreter's lock held as in the real module."""

    spikes: str = "0"
    """Share of calls that take much longer, and how long in ms: `0.001:50-500`."""

    warm_s: float = 0.3
    """How long a book is empty after market_book_add."""

    broker_hours: float = 2.0
    """The broker's clock, which ticks carry, less UTC."""

    server: str = "Demo-Server"
    """Name of the trade server."""

    login: int = 5_000_001
    """Number of the account that is logged in; its password is `demo`."""

    fault: tuple[str, ...] = ()
    """What shall go wrong, as often as you like; see the menu below."""


@Parameter(name="*", group=PROCESS)
@dataclass(frozen=True)
class ProcessOptions:
    """The process."""

    rpyc_port: int | None = None
    """Also serve the module over rpyc on 127.0.0.1, as a Windows Python under Wine; 0: free."""

    truth: Path | None = None
    """Folder for the private record of every state and tick, as Parquet, written at the end."""

    linger_s: float | None = None
    """End so long after all recorded books; without it, stay until stopped."""

    until_stdin_closes: bool = False
    """End when stdin closes: for a parent that may die."""


HELP = """Run a MetaTrader 5 terminal on this machine, its world in the directory DIR.

The first line printed is `{"event":"ready","path":…,"pythonpath":…}`. With `pythonpath` on
PYTHONPATH, `import MetaTrader5` is the real module's likeness, and `initialize(path)` attaches to
this terminal, from as many processes as you like.
"""

EXAMPLES = f"""
Examples:

```text
    ticktape sim mt5 world
    ticktape sim mt5 world --book RIZ6=shipped --book EURUSD=generated:levels=20,rate=100
    ticktape sim mt5 world --speed max --truth truth/
    ticktape sim mt5 world --fault kill@10s:5s --fault stall@2s:500ms --rpyc-port 0

Books:

    NAME=shipped             6,547 real books of 20+20 levels, in 344 s
    NAME=FILE.parquet        columns snapshot recv_ns type price volume
    NAME=generated:OPTIONS   levels=10,rate=100,poisson,exchange,share=0.05,anomalies=all
    NAME=none                the symbol has no book
    NAME=empty               its book never fills

Anomalies, joined by +: {" ".join(ANOMALIES)}

Faults:

{menu_text()}
```

T is a time since the start: 2s, 500ms, 1m.
"""

_DEFAULTS = (MarketOptions(), TerminalOptions(), ProcessOptions())


def mt5(
    directory: Annotated[Path, Parameter(name="DIR")],
    /,
    *,
    market: MarketOptions = _DEFAULTS[0],
    terminal: TerminalOptions = _DEFAULTS[1],
    process: ProcessOptions = _DEFAULTS[2],
) -> int:
    """Run the terminal; return the exit code. The help is `HELP`."""
    wrong: list[ConfigError] = []
    description = collect(wrong, lambda: _description(market, terminal))
    faults = collect(wrong, lambda: parse_faults(terminal.fault))
    if process.rpyc_port is not None and find_spec("rpyc") is None:
        hint = "Run: pip install 'ticktape[mt5-linux]'"
        wrong.append(ConfigError(["--rpyc-port needs the package rpyc"], hint=hint))
    if wrong or description is None or faults is None:
        raise joined(wrong)
    directory = directory.absolute()
    stop = _Stop()
    for number in (signal.SIGINT, signal.SIGTERM):  # before anyone is told that we are ready
        signal.signal(number, lambda *_: stop.ask())
    if process.until_stdin_closes:
        end_with_stdin(stop.ask)
    with Terminal(directory, description, locked=True, pid=os.getpid()) as running:
        running.start()
        with _bridge(directory, process.rpyc_port) as served:
            ready = {"event": "ready", "path": str(running.world.executable)}
            say(ready | {"pythonpath": str(AS_MODULE)} | served)
            _run(running, faults, process.linger_s, stop)
        running.end()
        if process.truth is not None:
            write_truth(running.world, process.truth)
    return EXIT_COMPLETE


class _Stop:
    """Whether to end. No event of `threading`: its lock may be held by whom a signal interrupts."""

    asked = False

    def ask(self) -> None:
        self.asked = True


def _run(running: Terminal, faults: tuple[Fault, ...], linger_s: float | None, stop: _Stop) -> None:
    linger_ns = None if linger_s is None else int(linger_s * NS_PER_S)
    run = Run(running, faults, say, linger_ns)
    while (wait_s := run.turn()) is not None and not stop.asked:
        sleep_s(wait_s)


def _description(market: MarketOptions, terminal: TerminalOptions) -> Description:
    wrong: list[ConfigError] = []
    books = [collect(wrong, partial(parse_book, text)) for text in market.book]
    speed = collect(wrong, lambda: parse_speed(market.speed))
    spikes = collect(wrong, lambda: _spikes(terminal.spikes))
    share, low_ms, high_ms = spikes or (0.0, 0, 0)
    description = Description(
        books=dict(book for book in books if book is not None),
        seed=market.seed,
        speed=1.0 if speed is None else speed,
        passes=market.passes,
        warm_s=terminal.warm_s,
        tick_rate=market.tick_rate,
        broker_hours=terminal.broker_hours,
        login=terminal.login,
        server=terminal.server,
        latency_us=terminal.latency_us,
        spike_ppm=round(share * 1_000_000),
        spike_low_ms=low_ms,
        spike_high_ms=high_ms,
    )
    collect(wrong, description.check)
    if wrong:
        raise joined(wrong)
    return description


def _spikes(text: str) -> tuple[float, int, int]:
    """Share, and shortest and longest in ms, of `0.001` or `0.001:50-500`."""
    share, _, span = text.partition(":")
    low, _, high = (span or "50-500").partition("-")
    try:
        spikes = float(share), int(low), int(high or low)
    except ValueError:
        spikes = -1.0, 0, 0
    if not (0 <= spikes[0] <= 1 and 0 <= spikes[1] <= spikes[2]):
        raise ConfigError(
            [f"--spikes {text!r} is no share of calls"], hint="Say 0.001 or 0.001:50-500 (ms)."
        )
    return spikes


@contextmanager
def _bridge(directory: Path, port: int | None) -> Iterator[dict[str, object]]:
    """Serve the module over rpyc in a process of its own; give what the ready line says of it."""
    if port is None:
        yield {"rpyc_port": None, "rpyc_pid": None}
        return
    child = subprocess.Popen(
        [sys.executable, "-m", "ticktape.sim.mt5.bridge", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TICKTAPE_SIM_MT5": str(directory)},
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        served = child.stdout.readline().strip()
        if not served:
            raise ConfigError(
                [f"cannot serve rpyc on port {port}"],
                hint="Give another --rpyc-port, or 0 for a free one.",
            )
        yield {"rpyc_port": int(served), "rpyc_pid": child.pid}
    finally:
        child.stdin.close()
        try:
            child.wait(BRIDGE_END_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()
