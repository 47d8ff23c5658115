"""Which cells a lab runs, in which order; a folder keeps its plan, so that it can go on."""

import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.clock import parse_span_s
from ticktape.errors import ConfigError
from ticktape.lab.layouts import LAYOUTS
from ticktape.lab.machine import machine_facts
from ticktape.lab.results import CELLS, PLAN, RESULT, CellKey, Plan, Threshold, load_plan, save_json
from ticktape.lab.source import SIMULATED, parse_source

FORMATS = ("csv", "parquet")
ACQUIRERS = ("plain", "busy")
THRESHOLD_BYTES_MIN = 10_000
BYTES_PER_S = 200_000_000
"""What a cell writes at most: measured were 80 MB/s of CSV beside 90 MB/s of journal."""
RESERVE_BYTES = 1 << 30
DRAIN_S = 10.0
FLUSHES = 3


class Options(NamedTuple):
    """What the user asks for; `kills` is whether processes are killed, too."""

    source: str = SIMULATED
    layouts: tuple[str, ...] = tuple(LAYOUTS)
    thresholds: tuple[Threshold, ...] = (
        Threshold(1_000_000),
        Threshold(10_000_000),
        Threshold(100_000_000),
    )
    format: str = "csv"
    acquirer: str = "plain"
    repeats: int = 3
    seconds: float = 2.0
    warm_s: float = 1.0
    seed: int = 1
    kills: bool = True
    kill_thresholds: int = 1  # how many of them, from the first; 0 for all


QUICK = Options(
    thresholds=(Threshold(1_000_000), Threshold(10_000_000)),
    repeats=1,
    warm_s=0.5,
)


def parse_threshold(text: str) -> Threshold:
    """`1e6` or `10MB` in bytes, `3600s` or `1h` in time.

    Raises:
        ConfigError: it is neither.
    """
    if text[-1:] in "smh" and text[-1:]:
        return Threshold(seconds=parse_span_s(text))
    try:
        size = float(text[:-2]) * 1e6 if text.endswith("MB") else float(text)
    except ValueError:
        size = 0.0
    if not THRESHOLD_BYTES_MIN <= size < float("inf"):
        raise ConfigError(
            [f"--thresholds {text!r} is no size of at least 10 kB, and no time"],
            hint="Say 1e6 or 10MB for bytes held, 3600s or 1h for time.",
        )
    return Threshold(int(size))


def make_plan(options: Options) -> Plan:
    """The plan of these options; its cells stand in random order, the same for the same seed.

    Raises:
        ConfigError: with all that is wrong with them.
    """
    wrong = [
        f"--layouts {name}: there is no such layout"
        for name in options.layouts
        if name not in LAYOUTS
    ]
    if options.format not in FORMATS:
        wrong.append(f"--format {options.format} is neither csv nor parquet")
    if options.acquirer not in ACQUIRERS:
        wrong.append(f"--acquirer {options.acquirer} is neither plain nor busy")
    if options.repeats < 1:
        wrong.append(f"--repeats {options.repeats} is below 1")
    if not 0.1 <= options.seconds <= 86_400:
        wrong.append(f"--seconds {options.seconds:g} is not between 0.1 and a day")
    if not (options.layouts and options.thresholds):
        wrong.append("there is nothing to run")
    if wrong:
        raise ConfigError(wrong, hint=f"Layouts: {' '.join(LAYOUTS)}")
    if parse_source(options.source).is_stream:
        # An account has one connection.
        options = options._replace(
            layouts=tuple(name for name in options.layouts if name != "journal-x2")
        )
    cells = [
        CellKey(layout, threshold, repeat)
        for repeat in range(options.repeats)
        for threshold in options.thresholds
        for layout in options.layouts
    ]
    if options.kills:
        cells += [
            CellKey(layout, threshold, victim=victim)
            for threshold in options.thresholds[: options.kill_thresholds or None]
            for layout in options.layouts
            for victim in LAYOUTS[layout].victims
        ]
    random.Random(options.seed).shuffle(cells)
    return Plan(
        source=options.source,
        acquirer=options.acquirer,
        format=options.format,
        seed=options.seed,
        warm_s=options.warm_s,
        cell_s=options.seconds,
        flushes=FLUSHES,
        drain_s=DRAIN_S,
        cells=cells,
    )


def open_plan(folder: Path, wanted: Plan | None) -> Plan:
    """The plan of a folder: the one that is there, or `wanted`, which is written into it.

    One of which no cell is done gives way to another.

    Raises:
        ConfigError: another one is there already, or none and none is wanted.
    """
    try:
        there = load_plan(folder)
    except FileNotFoundError:
        if wanted is None:
            raise ConfigError(
                [f"{folder}: no lab was begun there"], hint="Begin one: ticktape lab run"
            ) from None
        return _begin(folder, wanted)
    except msgspec.MsgspecError as error:
        raise ConfigError(
            [f"{folder / PLAN} is no plan: {error}"], hint="Give another --directory."
        ) from error
    if wanted is not None:
        differs = [
            name
            for name in Plan.__struct_fields__
            if name not in ("machine", "started_ns")
            and getattr(there, name) != getattr(wanted, name)
        ]
        if differs and len(left_to_do(folder, there)) == len(there.cells):
            return _begin(folder, wanted)  # nothing was done of the other one
        if differs:
            raise ConfigError(
                [f"{folder} holds a lab of another plan (other {', '.join(differs)})"],
                hint=f"To go on with it: ticktape lab run --directory {folder}; or give another"
                " --directory.",
            )
    return there


def _begin(folder: Path, plan: Plan) -> Plan:
    folder.mkdir(parents=True, exist_ok=True)
    plan.machine = machine_facts(folder)
    plan.started_ns = clock.wall_now_ns()
    save_json(folder / PLAN, plan)
    return plan


def left_to_do(folder: Path, plan: Plan) -> list[CellKey]:
    """The cells without a result, in the plan's order."""
    return [key for key in plan.cells if not (folder / CELLS / key.name / RESULT).is_file()]


def seconds_of(plan: Plan, key: CellKey) -> float:
    """About how long a cell takes, before one was seen."""
    if key.victim:
        return 3.5
    return 2.5 + plan.warm_s + 1.3 * plan.cell_s


def check_disk(folder: Path, plan: Plan) -> None:
    """Refuse a disk without room for the largest cell; files go when a cell is measured.

    Raises:
        ConfigError: with what is needed and what there is.
    """
    longest_s = plan.warm_s + plan.cell_s + plan.drain_s
    needed = int(longest_s * BYTES_PER_S) + RESERVE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise ConfigError(
            [
                f"{folder}: a cell may need {needed / 1e9:.1f} GB on the disk, and there are"
                f" {free / 1e9:.1f} GB free"
            ],
            hint="Make room, give a --directory on another disk, or fewer --seconds.",
        )


def planned(keys: Sequence[CellKey], plan: Plan) -> float:
    """About how long these cells take."""
    return sum(seconds_of(plan, key) for key in keys)
