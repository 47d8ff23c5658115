"""Runs what a plan has left to do, cell by cell, and keeps each result as soon as it is known.

A cell that was not finished leaves nothing: it is run again.
"""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.config import Keys
from ticktape.errors import ConfigError
from ticktape.lab.cell import run_cell, task_of
from ticktape.lab.machine import STALLS_S, measure_stalls
from ticktape.lab.measure import measure
from ticktape.lab.plan import check_disk, left_to_do, planned
from ticktape.lab.results import CELLS, RESULT, CellKey, CellResult, Plan, save_json
from ticktape.lab.simulated import SimulatedTerminal
from ticktape.lab.source import SIMULATED

LOCK = "lab.lock"


class Progress(NamedTuple):
    """How far a run is: cells done and planned, what comes next, about how long the rest takes."""

    done: int
    of: int
    next: CellKey | None
    left_s: float
    result: CellResult | None = None


def run_lab(
    folder: Path, plan: Plan, tell: Callable[[Progress], None], keys: Keys | None = None
) -> int:
    """Run all cells that have no result; return how many that were.

    Raises:
        ConfigError: another process runs this lab, or the disk has no room for it.
        TickTapeError: the source cannot be opened, or the disk is full; finished cells stay.
        KeyboardInterrupt: likewise.
    """
    try:
        with FileLock(folder / LOCK, timeout=0):
            return _run(folder, plan, tell, keys)
    except Timeout as error:
        raise ConfigError(
            [f"another process runs the lab in {folder}"],
            hint="Wait for it, or give another --directory.",
        ) from error


def _run(folder: Path, plan: Plan, tell: Callable[[Progress], None], keys: Keys | None) -> int:
    todo = left_to_do(folder, plan)
    for leftover in todo:
        shutil.rmtree(folder / CELLS / leftover.name, ignore_errors=True)
    if todo:
        check_disk(folder, plan)
    before = len(plan.cells) - len(todo)
    begun_ns, expected_s = clock.monotonic_ns(), planned(todo, plan)
    result = None
    for number, key in enumerate(todo):
        rest_s = planned(todo[number:], plan)
        if number:
            # What the cells so far took, against what was expected of them.
            took_s = (clock.monotonic_ns() - begun_ns) / clock.NS_PER_S
            rest_s *= took_s / (expected_s - rest_s)
        tell(Progress(before + number, len(plan.cells), key, rest_s, result))
        result = run_one(folder, plan, key, keys)
    tell(Progress(len(plan.cells), len(plan.cells), None, 0.0, result))
    return len(todo)


def run_one(
    folder: Path, plan: Plan, key: CellKey, keys: Keys | None = None, defect: str = ""
) -> CellResult:
    """Run one cell, measure it, keep its result and drop its files."""
    place = folder / CELLS / key.name
    task = task_of(plan, key, place, keys, defect)
    is_done = False
    try:
        with contextlib.ExitStack() as stack:
            truth = None
            if plan.source == SIMULATED:
                truth = stack.enter_context(SimulatedTerminal(place, plan.seed))
            stalls = measure_stalls(STALLS_S)
            ran = run_cell(plan, key, task)
            result = measure(ran, plan, truth)
        result.stalls = stalls
        _drop_files(place)
        save_json(place / RESULT, result)
        is_done = True
    finally:
        if not is_done:
            shutil.rmtree(place, ignore_errors=True)
    return result


def _drop_files(place: Path) -> None:
    for path in place.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
