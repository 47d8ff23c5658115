"""Does capture notice when everybody behind it is stuck?

Workload: one feed, recorded by the whole process tree. At 5,000 trades a second from the simulator
for the time from the socket read to the write; as fast as the socket takes ready-made frames for
frames a second. Floor: all readers are well. Ours: the strategy never returns, and the table's
process is stopped (SIGSTOP), or its disk refuses every write (its limit on file sizes). In turn,
A B C A B C; what was stuck goes on at the end, and the run must end with nothing lost.
What would change our mind: a p99 of received to written that is a tenth longer than the floor's, or
a tenth fewer frames a second.
"""

import os
import resource
import signal
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from bench import options
from bench.blaster import Blaster
from bench.figures import paired, print_table
from bench.recording import PATH, Run, paced_venue

_RATE = 5_000
_FRAMES = 200_000
_SIDES = ("well", "stopped", "refused")
_STRATEGY = """
import time
from pathlib import Path


class Stuck:
    def on_trade(self, trade, last):
        while Path({path!r}).exists():
            time.sleep(0.01)
"""


def answer(rounds: int) -> list[dict[str, object]]:
    """Times to the write at a steady rate and frames a second at most, per side."""
    steady: dict[str, list[dict[str, float]]] = {side: [] for side in _SIDES}
    fastest: dict[str, list[float]] = {side: [] for side in _SIDES}
    for _ in range(rounds):
        for side in _SIDES:
            steady[side].append(_steady(side))
            fastest[side].append(_fastest(side))
    found = []
    for side in _SIDES:
        row: dict[str, object] = {"readers": side}
        for name in ("p50", "p99", "p999"):
            row[f"{name} µs"] = median(run[name] for run in steady[side])
        p99 = {each: [run["p99"] for run in steady[each]] for each in (side, "well")}
        row["p99/well"] = paired(p99[side], p99["well"])
        row["frames/s"] = median(fastest[side])
        row["frames/well"] = paired(fastest[side], fastest["well"])
        found.append(row)
    print_table(found)
    return found


def _steady(side: str) -> dict[str, float]:
    with (
        paced_venue(_RATE) as sim,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        _Stuck(folder, sim.ready["urls"][PATH]) as run,
    ):
        run.until(lambda: run.frames() > _RATE)
        run.stick(side)
        from_ns, to_ns = run.go_on(options.seconds(3))
        run.finish(side)
        p50, p99, p999 = np.percentile(run.took_us("written", from_ns, to_ns), [50, 99, 99.9])
        return {"p50": float(p50), "p99": float(p99), "p999": float(p999)}


def _fastest(side: str) -> float:
    frames = options.rows(_FRAMES)
    blaster = Blaster(frames, 1)
    try:
        url = f"ws://127.0.0.1:{blaster.port}{PATH}"
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _Stuck(folder, url) as run:
            run.stick(side)
            from_ns = time.perf_counter_ns()
            blaster.go()
            run.until(lambda: run.frames() >= frames)
            run.finish(side)
            return run.rate(from_ns, frames)
    finally:
        blaster.close()


class _Stuck(Run):
    """A run whose strategy and whose table can be made stuck; it must end with nothing lost."""

    def __init__(self, folder: str, url: str) -> None:
        self._word = Path(folder) / "stuck"
        strategy = Path(folder) / "strategy.py"
        strategy.write_text(_STRATEGY.format(path=str(self._word)))
        super().__init__(folder, url, strategy=strategy)

    def stick(self, side: str) -> None:
        if side != "well":
            self._word.touch()
        self._brake(side, signal.SIGSTOP, 1)

    def finish(self, side: str) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._brake(side, signal.SIGCONT, hard)
        self._word.unlink(missing_ok=True)
        self.stop()

    def _brake(self, side: str, number: int, file_bytes: int) -> None:
        table = self.supervisor.pids()["table"]
        if side == "stopped":
            os.kill(table, number)
        elif side == "refused":
            _, hard = resource.prlimit(table, resource.RLIMIT_FSIZE)
            resource.prlimit(table, resource.RLIMIT_FSIZE, (file_bytes, hard))
