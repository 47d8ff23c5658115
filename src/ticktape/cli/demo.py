"""`ticktape demo`: two simulated venues play real data; record both, decide, prove it."""

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ticktape.cli.certificate import print_verdict
from ticktape.cli.clearing import clear
from ticktape.cli.dashboard_child import page_of
from ticktape.cli.running import run_to_end
from ticktape.cli.terminal import errors, print_json
from ticktape.cli.venue import SimulatedTerminal, Venue
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.replay.tail import connect_run

if TYPE_CHECKING:
    from ticktape.ledger import Verdict

_SECONDS = 15.0
_TAPE_S = 360.0  # the shipped tape: 15:55 to 16:01 New York time
_CONFIG = """
directory = {directory!r}
[[feed]]
name = "sip"
kind = "alpaca"
url = {url!r}
trades = ["*"]
quotes = ["*"]
bars = ["*"]
[[feed]]
name = "mt5"
kind = "mt5"
terminal = {terminal!r}
books = ["BTCUSDT"]
ticks = ["BTCUSDT"]
poll_ms = 1
[table]
commit_s = 2.0
[[decide]]
file = {strategy!r}
name = "bursts"
"""
_HINTS = """\
     ticktape dashboard {run}
     ticktape sql {run} "select symbol, count(*) from trades group by 1"
     ticktape sql {run} "select * from levels order by seq desc, side, level limit 10"
     ticktape last {run}
     ticktape trace {run} IBM 349
     ticktape latency {run} --worst 3
     ticktape replay {run}
     ticktape check {run}
     ticktape certificate {run}
"""


def demo(
    *,
    seconds: float = _SECONDS,
    directory: Path = Path("runs/demo"),
    open: bool = False,
    json: bool = False,
) -> int:
    """Record six real minutes from two simulated venues at once, decide on them, prove it.

    No key and no network: `ticktape sim alpaca` plays the trades and quotes around a close in New
    York over a WebSocket on loopback, `ticktape sim mt5` a real order book through the calls of
    the MetaTrader5 package. Both recordings ship with ticktape. Afterwards everything works on
    runs/demo: sql, last, trace, latency, check, replay, export.

    Parameters
    ----------
    seconds
        How long the tape shall take; its six minutes are played faster.
    directory
        Where the run goes; an earlier demo there is replaced.
    open
        Show the run in a browser meanwhile, and until Ctrl-C afterwards.
    json
        Print one JSON object at the end instead of the certificate.
    """
    if not 0 < seconds <= _TAPE_S:
        raise ConfigError(
            [f"--seconds {seconds:g} cannot be"], hint=f"Say 15; {_TAPE_S:g} is as it was."
        )
    errors.print(
        f"the last minutes of 2013-10-08 in New York, and a Bitcoin book of 2024, "
        f"{_TAPE_S / seconds:.3g} times as fast,\nfrom two simulated venues into {directory}",
        markup=False,
    )
    clear(directory)
    with contextlib.ExitStack() as shown:
        page = shown.enter_context(page_of(directory, browser=True)) if open else None
        code = _record(seconds, directory, json=json)
        if page is not None:
            errors.print(f"\nThe page stays at {page.url}; Ctrl-C ends it.", markup=False)
            page.stay()
    return code


def _record(seconds: float, directory: Path, *, json: bool) -> int:
    """Record both venues, prove it, print what was proved; the exit code."""
    speed = _TAPE_S / seconds
    with contextlib.ExitStack() as venues:
        venue = venues.enter_context(contextlib.closing(Venue(speed)))
        terminal = venues.enter_context(contextlib.closing(SimulatedTerminal(speed)))
        text = _CONFIG.format(
            directory=str(directory.resolve()),
            url=venue.url(),
            terminal=terminal.executable(),
            strategy=str(Path(__file__).with_name("sample_strategy.py")),
        )
        config = parse_config(text, "the demo's config", Path())
        keys = {"sip": Keys("demo-key", "demo-secret"), "mt5": Keys("", "")}
        finished = run_to_end(config, keys, venue.is_over)
        truth = _missed(directory, finished.verdict, terminal)
    if json:
        print_json({**finished.verdict.to_json(), "missed_truth": truth})
    else:
        print_verdict(
            finished.verdict, _hints(directory) if finished.verdict.complete else (), truth
        )
    return finished.exit_code


def _hints(directory: Path) -> list[str]:
    """What to try next; first how `ticktape` is found, where the shell would not find it."""
    lines = _HINTS.format(run=os.path.relpath(directory)).splitlines()
    activate = Path(sys.executable).with_name("activate")
    if shutil.which("ticktape") or not activate.is_file():
        return ["Try  " + lines[0].lstrip(), *lines[1:]]
    near = os.path.relpath(activate)
    place = activate if near.startswith("..") else near
    return [f"Try  source {place}    puts ticktape on your path; then", *lines]


def _missed(directory: Path, verdict: "Verdict", terminal: SimulatedTerminal) -> dict[str, int]:
    """What the simulated terminal knows of the states that no poll saw."""
    feed = next((each for each in verdict.feeds if each.name == "mt5"), None)
    if feed is None or feed.first_ns is None:
        return {}
    con = connect_run(RunDirectory(directory))
    try:
        (first_ns,) = con.execute("SELECT min(after_ns) FROM books").fetchall()[0]
    finally:
        con.close()
    return {} if first_ns is None else terminal.missed(feed, first_ns, feed.polled_ns)
