"""Cells of 0.3 seconds, on the lab's own simulated terminal."""

import sys
from pathlib import Path

import msgspec
import pytest

from ticktape.lab.cell import run_cell, task_of
from ticktape.lab.measure import measure
from ticktape.lab.plan import Options, make_plan
from ticktape.lab.results import CellKey, Threshold
from ticktape.lab.running import run_one
from ticktape.lab.simulated import SimulatedTerminal

SMALL = Threshold(300_000)  # 83 captures of 128 levels
FEW = 50  # captures; a usual cell has some thousands
PATIENCE_S = 240.0  # for what is on its way at the stop, on a machine that does other things


@pytest.fixture(autouse=True)
def short_look_for_stalls(monkeypatch):
    """What the machine's own stalls are does not matter here."""
    monkeypatch.setattr("ticktape.lab.running.STALLS_S", 0.01)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """A busy machine's processes take longer; what then is left behind is asked elsewhere."""
    monkeypatch.setattr("ticktape.lab.cell._READY_S", PATIENCE_S)
    monkeypatch.setattr("ticktape.lab.cell.KILL_DRAIN_S", PATIENCE_S)
    monkeypatch.setattr("ticktape.lab.cell.KILL_S", PATIENCE_S)  # a cell's seconds are the bound


@pytest.fixture
def planted():
    """The defects of `planted.py`, where the processes of a cell find them."""
    sys.path.insert(0, str(Path(__file__).parent))
    return lambda name: f"planted:{name}"


@pytest.fixture
def plan():
    """0.3 seconds a cell, without a warm-up."""

    def make(*layouts, **changes):
        options = Options(
            layouts=layouts or ("sequential",),
            thresholds=(SMALL,),
            repeats=1,
            seconds=0.3,
            warm_s=0.0,
        )
        made = make_plan(options._replace(**changes))
        return msgspec.structs.replace(made, drain_s=PATIENCE_S)

    return make


@pytest.fixture
def run(tmp_path, plan):
    """Run a cell of a layout, and measure it; a longer one if it had no turn in so short a time."""

    def go(layout, victim="", defect="", **changes):
        key = CellKey(layout, SMALL, 0, victim)
        for seconds in (changes.pop("seconds", 0.3), 3.0, 30.0):
            made = plan(layout, seconds=seconds, **changes)
            result = run_one(tmp_path, made, key, None, defect)
            if (result.survived if victim else result.acquired) > FEW:
                break
        return result

    return go


@pytest.fixture
def run_with(tmp_path, plan):
    """Run a cell with somebody who looks at every turn of its loop."""

    def go(layout, look, **changes):
        made, key = plan(layout, **changes), CellKey(layout, SMALL)
        task = task_of(made, key, tmp_path / "cell", None, "")
        with SimulatedTerminal(task.folder, made.seed) as terminal:
            ran = run_cell(made, key, task, lambda cell: look(cell, terminal))
            return measure(ran, made, terminal)

    return go
