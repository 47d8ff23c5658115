"""`ticktape lab`: which layout of processes misses least on this machine, and the page about it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App, Parameter
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from ticktape.cli.figures import duration
from ticktape.cli.terminal import errors, print_json, print_line, print_rows
from ticktape.config import Keys, read_keys
from ticktape.errors import EXIT_COMPLETE, ConfigError, TickTapeError

if TYPE_CHECKING:
    from ticktape.lab.results import CellResult, Plan
    from ticktape.lab.running import Progress as LabProgress

_DIRECTORY = Path("lab")

lab_app = App(
    help_format="markdown",
    name="lab",
    help="Which layout of processes misses least on this machine: measure it, then see.",
    default_parameter=Parameter(negative=()),
)


@lab_app.command
def run(
    *,
    quick: bool = False,
    source: str | None = None,
    symbol: str = "",
    terminal: str = "module",
    url: str = "",
    layouts: str | None = None,
    thresholds: str | None = None,
    format: str | None = None,
    acquirer: str | None = None,
    repeats: int | None = None,
    seconds: float | None = None,
    seed: int | None = None,
    skip_kills: bool = False,
    directory: Path = _DIRECTORY,
    json: bool = False,
) -> int:
    """Run every layout at every threshold; at the first one, kill each of its processes, too.

    What is found is kept cell by cell. Ctrl-C drops the present cell only; the same command, or
    `ticktape lab run --directory DIR` alone, goes on with those that are left. About twenty minutes
    by default; `--quick` takes about five.

    Parameters
    ----------
    quick
        One repeat, thresholds of 1 and 10 MB.
    source
        sim-mt5 (a simulated terminal of the lab's own), mt5, or alpaca.
    symbol
        What to capture; with mt5 a symbol, with alpaca a channel and a symbol: `trades:AAPL`.
    terminal
        Of --source mt5: module, the path of terminal64.exe, or rpyc://host:port.
    url
        Of --source alpaca: a venue's stream, or that of `ticktape sim alpaca`.
    layouts
        Names with commas between them; all by default.
    thresholds
        How much is held in memory before it is saved: `1e6,1e7,1e9` bytes, `3600s` of time.
    format
        csv, as the notebook had it, or parquet.
    acquirer
        plain, or busy: it also parses every capture.
    repeats
        How often every cell is run.
    seconds
        How long a cell is measured, after its warm-up; up to twice that for want of three flushes.
    seed
        Of the order of the cells, and of the simulated market.
    skip_kills
        Kill nothing.
    directory
        Where results go; a lab that was begun there goes on.
    json
        Print one JSON object instead of the table.
    """
    from ticktape.lab.plan import QUICK, Options, left_to_do, make_plan, open_plan
    from ticktape.lab.results import load_results

    given = {
        "source": _source(source, symbol, terminal, url),
        "layouts": _listed(layouts),
        "thresholds": _thresholds(thresholds),
        "format": format,
        "acquirer": acquirer,
        "repeats": repeats,
        "seconds": seconds,
        "seed": seed,
        "kills": False if skip_kills else None,
    }
    chosen = {name: value for name, value in given.items() if value is not None}
    wanted = (QUICK if quick else Options())._replace(**chosen)
    is_new = bool(quick or chosen) or not (directory / "lab.json").exists()
    plan = open_plan(directory, make_plan(wanted) if is_new else None)
    todo = len(left_to_do(directory, plan))
    errors.print(f"{todo} of {len(plan.cells)} cells to run, into {directory}", markup=False)
    try:
        _run(directory, plan, _keys(plan))
    except KeyboardInterrupt:
        errors.print(_resume(directory, plan, "stopped"), markup=False)
        raise
    except TickTapeError as error:
        if not isinstance(error, ConfigError):
            errors.print(_resume(directory, plan, "not finished"), markup=False)
        raise
    results = load_results(directory)
    if json:
        print_json({"directory": directory, "cells": len(plan.cells), "done": len(results)})
    else:
        _print(results)
        print_line("")
        print_line(f"Now  ticktape lab report --directory {directory}")
    return EXIT_COMPLETE


@lab_app.command
def report(*, directory: Path = _DIRECTORY, json: bool = False) -> int:
    """Say what a lab found, and write the page about it: verdict, pictures, tables.

    Also of a lab that is not finished: it says what is missing.

    Parameters
    ----------
    directory
        Where `lab run` put its results.
    json
        Print one JSON object instead.
    """
    from ticktape.lab.plan import open_plan
    from ticktape.lab.report import load_verdict, write_report

    open_plan(directory, None)
    page = write_report(directory)
    sentences = load_verdict(directory).sentences
    if json:
        print_json({"page": page, "verdict": sentences})
        return EXIT_COMPLETE
    for sentence in sentences:
        print_line(f"- {sentence}")
    print_line(f"written: {page}")
    return EXIT_COMPLETE


# What was asked for.


def _source(source: str | None, symbol: str, terminal: str, url: str) -> str | None:
    """The plan's word for a source; None when none was given."""
    if source is None:
        return None
    if source == "sim-mt5":
        return source
    where = {"mt5": terminal, "alpaca": url}.get(source)
    if where is None:
        raise ConfigError(
            [f"--source {source}: there is no such source"],
            hint="Say sim-mt5, mt5 or alpaca.",
        )
    if not symbol or not where or " " in symbol:
        needs = "--symbol" if source == "mt5" else "--symbol trades:AAPL and --url"
        raise ConfigError([f"--source {source} needs {needs}"], hint="See ticktape lab run --help.")
    return f"{source} {symbol} {where}"


def _listed(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _thresholds(text: str | None) -> Any:  # noqa: ANN401 - of Threshold, loaded only then
    from ticktape.lab.plan import parse_threshold

    names = _listed(text)
    return None if names is None else tuple(map(parse_threshold, names))


def _keys(plan: "Plan") -> Keys | None:
    """Those of a venue, from the environment; the simulator on this machine takes any."""
    from ticktape.lab.source import parse_source

    place = parse_source(plan.source)
    if not place.is_stream:
        return None
    if place.where.startswith("ws://"):
        return Keys("demo-key", "demo-secret")
    return read_keys("env", os.environ, label="--source alpaca")


# Running.


def _run(directory: Path, plan: "Plan", keys: Keys | None) -> None:
    from ticktape.lab.running import run_lab

    columns = (
        TextColumn("{task.completed}/{task.total}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
    )
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bar:
        task = bar.add_task("", total=len(plan.cells), words="")
        run_lab(directory, plan, _teller(bar, task), keys)


def _teller(bar: Progress, task: TaskID) -> Callable[["LabProgress"], None]:
    """Show how far it is: a bar on a terminal, a line a cell elsewhere."""

    def tell(progress: "LabProgress") -> None:
        left = f"about {max(progress.left_s / 60, 0.1):.1f} min left" if progress.next else ""
        result = progress.result
        if result is not None and (result.notes or not errors.is_terminal):
            words = "; ".join([_words(result), *result.notes])
            errors.print(f"{progress.done}/{progress.of}  {words}  {left}", markup=False)
        name = progress.next.name if progress.next else ""
        bar.update(task, completed=progress.done, words=f"{name}  {left}")

    return tell


def _words(result: "CellResult") -> str:
    """A cell in one line."""
    if result.key.victim:
        return f"{result.key.name}  {result.survived:,} of {result.at_kill:,} survived"
    gap = duration(result.gaps.p999)
    return f"{result.key.name}  {result.captures_per_s:,.0f}/s, p99.9 gap {gap}"


def _resume(directory: Path, plan: "Plan", words: str) -> str:
    from ticktape.lab.plan import left_to_do

    left = len(left_to_do(directory, plan))
    done = len(plan.cells) - left
    return (
        f"{words}: {done} of {len(plan.cells)} cells are done and kept\n"
        f"  → Go on: ticktape lab run --directory {directory}"
    )


def _print(results: list["CellResult"]) -> None:
    """One row a layout and threshold: medians of its repeats, sums of its faults."""
    from ticktape.lab.lineup import place_of

    groups: dict[tuple[str, str], list[CellResult]] = {}
    kills: dict[tuple[str, str], list[CellResult]] = {}
    for result in sorted(results, key=lambda each: place_of(each.key.layout)):
        key = result.key
        where = kills if key.victim else groups
        where.setdefault((key.layout, key.threshold.name), []).append(result)
    names = ("layout", "holds", "captures/s", "p50", "p99", "p99.9", "max", "missed", "faults")
    rows = [
        [*place, *_figures(cells), _faults(cells, kills.get(place, []))]
        for place, cells in groups.items()
    ]
    print_rows(names, rows, right=names[2:8])


def _figures(cells: list["CellResult"]) -> list[str]:
    def middle(values: list[float]) -> float:
        return sorted(values)[len(values) // 2]

    gaps = [
        duration(middle([getattr(cell.gaps, name) for cell in cells]))
        for name in ("p50", "p99", "p999", "max")
    ]
    shares = [cell.missed.share for cell in cells if cell.missed is not None]
    missed = f"{100 * middle(shares):.1f} %" if shares else "-"
    return [f"{middle([cell.captures_per_s for cell in cells]):,.0f}", *gaps, missed]


def _faults(cells: list["CellResult"], kills: list["CellResult"]) -> str:
    from ticktape.lab.lineup import faults_of, loss_on_kill

    faults = faults_of(cells)
    worst = max(map(loss_on_kill, kills), default=0.0)
    if worst >= 0.0005:
        faults.append(f"{100 * worst:.1f} % lost on a kill")
    return ", ".join(faults) or "none"
