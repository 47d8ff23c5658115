"""The verb: what it prints, how it is interrupted, how it goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from ticktape.cli import run

SHORT = ["--seconds", "0.2", "--thresholds", "3e5", "--layouts", "sequential,pipe-2"]


def test_a_lab_is_run_and_its_table_printed(tmp_path, capsys):
    place = ["--directory", str(tmp_path / "lab")]
    assert run(["lab", "run", "--quick", "--skip-kills", *SHORT, *place]) == 0
    out = capsys.readouterr().out
    assert "sequential" in out
    assert "pipe-2" in out
    assert "ticktape lab report --directory" in out
    assert run(["lab", "run", "--json", *place]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["cells"], said["done"]) == (2, 2)


@pytest.mark.parametrize(
    "options",
    [
        ["--layouts", "pipe-3"],
        ["--thresholds", "much"],
        ["--source", "mt4"],
        ["--source", "mt5"],
        ["--source", "alpaca", "--symbol", "trades:X"],
    ],
    ids=str,
)
def test_what_cannot_be_run_is_refused_before_anything_is_made(tmp_path, capsys, options):
    assert run(["lab", "run", *options, "--directory", str(tmp_path / "lab")]) == 2
    assert "→" in capsys.readouterr().err
    assert not (tmp_path / "lab").exists()


def nobody_is_left(group):
    """Wait a moment for the last to go, which hears of the end by a pipe."""
    for _ in range(4_800):
        left = []
        for process in psutil.process_iter(["status"]):
            with contextlib.suppress(ProcessLookupError):
                is_dead = process.info["status"] == psutil.STATUS_ZOMBIE
                left += [process] if os.getpgid(process.pid) == group and not is_dead else []
        if not left:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.skipif(os.name == "nt", reason="a Ctrl-C for one process alone")
def test_ctrl_c_keeps_what_is_done_and_says_how_to_go_on(tmp_path):
    place = ["--directory", str(tmp_path / "lab")]
    command = [sys.executable, "-m", "ticktape", "lab", "run", "--quick", *SHORT, *place]
    # A group of its own, which hears the Ctrl-C as that of a terminal does.
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, stdout=subprocess.PIPE
    )
    assert process.stderr.readline().startswith("5 of 5 cells")
    assert process.stderr.readline().startswith("1/5 ")
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "Go on: ticktape lab run --directory" in err
    assert "Traceback" not in err
    done = len(list((tmp_path / "lab" / "cells").glob("*/result.json")))
    assert f"{done} of 5 cells are done" in err
    assert 1 <= done < 5
    assert nobody_is_left(process.pid)
    assert run(["lab", "run", *place]) == 0
    assert len(list((tmp_path / "lab" / "cells").glob("*/result.json"))) == 5
