"""The words between running a lab and reporting on it: what is planned, and what a cell found.

A lab's folder holds `lab.json` (a Plan) and one folder a cell under `cells/`, each with
`result.json` (a CellResult) once it is done; a cell without one is run again by the next `lab run`.
Times are nanoseconds, sizes bytes, unless the name says otherwise.
"""

from pathlib import Path
from typing import Any

import msgspec

PLAN = "lab.json"
CELLS = "cells"
RESULT = "result.json"

NOTEBOOK_LAYOUTS = ("sequential", "pipe-2", "queue-2", "pipe-4", "queue-4")
"""The five of the notebook that the lab grew out of."""


class Threshold(msgspec.Struct, frozen=True):
    """How much is held in memory before it is saved and dropped: bytes, or seconds if not 0."""

    bytes: int = 0
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """For files and tables: 1MB, 100MB, 3600s."""
        if self.seconds:
            return f"{self.seconds:g}s"
        return f"{self.bytes / 1e6:g}MB"


class CellKey(msgspec.Struct, frozen=True):
    """One cell of a plan; `victim` names the process that is killed in it, "" for none."""

    layout: str
    threshold: Threshold
    repeat: int = 0
    victim: str = ""

    @property
    def name(self) -> str:
        """The cell's folder."""
        parts = [self.layout, self.threshold.name, str(self.repeat)]
        return "~".join([*parts, f"kill-{self.victim}"] if self.victim else parts)


class Plan(msgspec.Struct):
    """What is to be run, in this order; `machine` are the facts of where it was begun.

    A cell runs for `cell_s`, and for want of `flushes` up to twice as long. `source` is the whole
    place: sim-mt5, or mt5 or alpaca with symbol and address.
    """

    source: str
    acquirer: str  # "plain" or "busy"
    format: str  # "csv" or "parquet"
    seed: int
    warm_s: float
    cell_s: float
    flushes: int
    drain_s: float
    cells: list[CellKey] = []
    machine: dict[str, Any] = {}
    started_ns: int = 0


class Gaps(msgspec.Struct):
    """Whole gaps from one capture's `before` to the next one's, in the order of acquisition.

    `zero` gaps are among them and counted apart. `ccdf` are points (gap in ns, share of gaps that
    are longer), falling; `lowest` is the shortest of the gaps above zero.
    """

    count: int = 0
    zero: int = 0
    p50: int = 0
    p99: int = 0
    p999: int = 0
    max: int = 0
    lowest: int = 0
    mean: float = 0.0
    ccdf: list[tuple[int, float]] = []


class Missed(msgspec.Struct):
    """States of the truth while captures were taken, and those that no saved capture shows."""

    true: int
    missed: int

    @property
    def share(self) -> float:
        """Missed of all."""
        return self.missed / self.true if self.true else 0.0


class CellResult(msgspec.Struct):
    """What one cell found. Counts are of captures.

    acquired = saved - duplicated + lost_in_run + lost_at_stop. `out_of_order` captures stand in the
    files behind a later one. `corrupted` ones do not have their checksum. `left_behind` were still
    on their way when the drain's time was over; `drained` were saved in it. `memory` are points
    (seconds, resident bytes of all processes). `cpu_s` and `peak_bytes` are by process. `stalls`
    are those of this machine just before the cell, as a spinning thread saw them: beside it, it
    would take a CPU. For a cell with a victim, `at_kill` were acquired when it died and `survived`
    of them are in the files. What stands in a journal and in no file is saved: the next start does.
    """

    key: CellKey
    seconds: float = 0.0
    flushes: int = 0
    threshold_reached: bool = False
    acquired: int = 0
    saved: int = 0
    duplicated: int = 0
    corrupted: int = 0
    out_of_order: int = 0
    lost_in_run: int = 0
    lost_at_stop: int = 0
    left_behind: int = 0
    drained: int = 0
    drain_s: float = 0.0
    captures_per_s: float = 0.0
    saved_per_s: float = 0.0
    gaps: Gaps = msgspec.field(default_factory=Gaps)
    missed: Missed | None = None
    cpu_s: dict[str, float] = {}
    peak_bytes: dict[str, int] = {}
    memory: list[tuple[float, int]] = []
    written_bytes: int = 0
    files: int = 0
    at_kill: int = 0
    survived: int = 0
    stalls: Gaps = msgspec.field(default_factory=Gaps)
    notes: list[str] = []

    @property
    def is_safe(self) -> bool:
        """Whether nothing was lost, twice, broken or out of order, and nothing was left behind."""
        return not (
            self.lost_in_run
            or self.lost_at_stop
            or self.duplicated
            or self.corrupted
            or self.out_of_order
            or self.left_behind
        )


_plan = msgspec.json.Decoder(Plan)
_result = msgspec.json.Decoder(CellResult)


def save_json(path: Path, value: msgspec.Struct) -> None:
    """Write a Plan or a CellResult; whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(value)))
    partial.replace(path)


def load_plan(folder: Path) -> Plan:
    """The plan of a lab's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    return _plan.decode((folder / PLAN).read_bytes())


def load_results(folder: Path) -> list[CellResult]:
    """All cells that are done, in the plan's order."""
    found = []
    for key in load_plan(folder).cells:
        path = folder / CELLS / key.name / RESULT
        if path.is_file():
            found.append(_result.decode(path.read_bytes()))
    return found
