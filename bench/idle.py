"""What does a recorder cost that has nothing to record?

Workload: `ticktape record` with one feed, a strategy, the ledger and the healer, subscribed to a
simulated venue that sends nothing; the CPU time of each of its processes over 10 s, or --seconds,
once all have started. Floor: a Python process of as many threads as the recorder has processes,
each waiting for a quarter of a second at a time, as they do to see to what wakes nobody.
What would change our mind: more than 1 % of a core.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import psutil

from bench import options
from bench.figures import print_table
from bench.recording import KEYS, PATH, Sim
from ticktape.cli import sample_strategy

_SETTLE_S = 20.0  # imports, a first connection, and the ballast on the disk is made
_FLOOR = """
import threading, time
def wait():
    while True:
        time.sleep(0.25)
for _ in range(8):
    threading.Thread(target=wait).start()
"""


def answer(rounds: int) -> list[dict[str, object]]:
    """CPU of each process in % of a core."""
    runs = [_recorder() for _ in range(max(1, rounds // 3))]
    floors = [_floor() for _ in runs]
    found: list[dict[str, object]] = [
        {"process": name, "CPU %": median(run.get(name, 0.0) for run in runs)} for name in runs[0]
    ]
    found.append({"process": "all", "CPU %": median(sum(run.values()) for run in runs)})
    found.append({"process": "floor", "CPU %": median(floors)})
    print_table(found)
    return found


def _recorder() -> dict[str, float]:
    with (
        # The tape waits for a second client, which never comes.
        Sim("alpaca", "--path", PATH, "--wait-for", "2") as sim,
        tempfile.TemporaryDirectory(prefix="bench-") as name,
    ):
        config = Path(name) / "idle.toml"
        config.write_text(
            "directory = 'run'\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\n"
            f"url = {sim.ready['urls'][PATH]!r}\ntrades = ['*']\nheal = 'http://127.0.0.1:9'\n"
            f"[[decide]]\nfile = {sample_strategy.__file__!r}\n"
        )
        recorder = subprocess.Popen(
            [sys.executable, "-m", "ticktape", "record", str(config), "--json"],
            env={**os.environ, "APCA_API_KEY_ID": KEYS.key, "APCA_API_SECRET_KEY": KEYS.secret},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            time.sleep(_SETTLE_S)
            return _cpu(recorder.pid)
        finally:
            recorder.send_signal(signal.SIGTERM)
            recorder.wait(120)


def _cpu(pid: int) -> dict[str, float]:
    """Process -> % of a core over the time."""
    parent = psutil.Process(pid)
    processes = {"supervisor": parent}
    processes |= {_name(child): child for child in parent.children(recursive=True)}
    assert {"ledger", "table", "last", "capture-sip"} <= set(processes), processes
    before = {name: _used_s(process) for name, process in processes.items()}
    began_ns = time.perf_counter_ns()
    time.sleep(options.seconds(10))
    took_s = (time.perf_counter_ns() - began_ns) / 1e9
    return {
        name: 100 * (_used_s(process) - before[name]) / took_s
        for name, process in processes.items()
    }


def _name(child: psutil.Process) -> str:
    """What the recorder calls it: the word behind its module."""
    words = child.cmdline()
    marker = "ticktape.recorder.child"
    return words[words.index(marker) + 1] if marker in words else words[-1].rpartition(".")[2]


def _used_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _floor() -> float:
    with subprocess.Popen([sys.executable, "-c", _FLOOR]) as process:
        try:
            time.sleep(1)
            seen = psutil.Process(process.pid)
            before_s, began_ns = _used_s(seen), time.perf_counter_ns()
            time.sleep(options.seconds(10) / 2)
            return 1e11 * (_used_s(seen) - before_s) / (time.perf_counter_ns() - began_ns)
        finally:
            process.kill()
