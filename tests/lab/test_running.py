"""What goes wrong while a lab runs: it is said, finished cells stay, and the rest goes on."""

import os
import signal

import pytest

from ticktape.errors import ConfigError
from ticktape.lab import running
from ticktape.lab.cell import DiskFull
from ticktape.lab.plan import left_to_do, open_plan
from ticktape.lab.results import CELLS, load_results
from ticktape.lab.running import run_lab, run_one


def test_an_interrupted_lab_keeps_what_is_done_and_goes_on(tmp_path, plan, monkeypatch):
    made = open_plan(tmp_path, plan("sequential", repeats=3, kills=False))
    run = running.run_one

    def interrupted(folder, plan_, key, keys):
        if left_to_do(folder, plan_)[0] == made.cells[2]:
            raise KeyboardInterrupt
        return run(folder, plan_, key, keys)

    monkeypatch.setattr(running, "run_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_lab(tmp_path, made, lambda _: None)
    assert [result.key for result in load_results(tmp_path)] == made.cells[:2]
    monkeypatch.undo()
    told = []
    assert run_lab(tmp_path, open_plan(tmp_path, None), told.append) == 1
    assert [result.key for result in load_results(tmp_path)] == made.cells
    assert [(each.done, each.of) for each in told] == [(2, 3), (3, 3)]
    assert told[0].left_s > 0


def test_a_cell_leaves_nothing_but_its_result(tmp_path, run):
    run("journal")
    (cell,) = (tmp_path / CELLS).iterdir()
    assert [path.name for path in cell.iterdir()] == ["result.json"]


def test_a_full_disk_ends_the_run_and_its_cell_is_run_again(tmp_path, plan, planted):
    made = open_plan(tmp_path, plan("pipe-2", kills=False, seconds=60.0))  # or until it is full
    with pytest.raises(DiskFull, match="no room left"):
        run_one(tmp_path, made, made.cells[0], None, planted("FullDisk"))
    assert left_to_do(tmp_path, made) == made.cells
    assert list((tmp_path / CELLS).iterdir()) == []


def test_a_process_that_is_killed_from_outside_is_told_in_its_cell(run_with):
    done = []

    def kill(cell, terminal):
        if not done and cell.slots["packer-1"].packed > 20:
            done.append(cell.processes.pids["packer-1"])
            os.kill(done[0], signal.SIGKILL)

    result = run_with("pipe-4", kill, seconds=60.0)  # or until it is killed
    assert result.notes == ["packer-1 was ended from outside (signal 9)"]
    assert result.saved > 0


def test_no_process_outlives_its_cell(run_with):
    seen = set()
    run_with("queue-4", lambda cell, _: seen.update(cell.processes.pids.values()))
    assert len(seen) == 4
    for pid in seen:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_stall_of_the_terminal_is_a_gap_and_its_states_are_missed(run_with):
    def stall(cell, terminal):
        if cell.ran.from_ns and not cell.ran.notes:
            cell.ran.notes.append("stalled")
            terminal.terminal.world.control.stall_next_ms = 250

    # Long enough for it to begin and to end, whenever we have our turn.
    result = run_with("sequential", stall, seconds=1.2)
    assert result.gaps.max >= 250_000_000
    assert result.missed.missed >= 450  # of the 500 that came meanwhile


def test_two_runs_in_one_folder_are_refused(tmp_path, plan):
    made = open_plan(tmp_path, plan(kills=False))
    with (
        running.FileLock(tmp_path / running.LOCK),
        pytest.raises(ConfigError, match="another process runs the lab"),
    ):
        run_lab(tmp_path, made, lambda _: None)
