"""What do the ledger, its watchdog and the healer cost the capture?

Workload: one feed, recorded by the whole process tree with a strategy. At 5,000 trades a second, 1
per frame, from the simulator for the time from the socket read to the write; as fast as the socket
takes ready-made frames for frames a second. Floor: the same tree in which the ledger's process and
the healer are never started. Ours: with both; the healer has nothing to heal. In turn, A B A B.
What would change our mind: a twentieth fewer frames a second, or a p50 a twentieth longer.
"""

import tempfile
import time
from statistics import median

import numpy as np

from bench import options
from bench.blaster import Blaster
from bench.figures import paired, print_table
from bench.recording import PATH, Run, paced_venue
from ticktape.errors import EXIT_COMPLETE
from ticktape.recorder.process import ChildProcess
from ticktape.recorder.supervisor import Supervisor
from ticktape.recorder.task import HealTask, LedgerTask, Task

_RATE = 5_000
_FRAMES = 300_000
_SIDES = ("without", "with")
_HEAL = "heal = 'http://127.0.0.1:9'"  # nobody answers there, and nobody is ever asked


class _Bare(Supervisor):
    """A run whose ledger and healer are never started."""

    def _child(self, name: str, task: Task) -> ChildProcess:
        child = super()._child(name, task)
        if isinstance(task, LedgerTask | HealTask):
            child.final, child.exit_code = True, EXIT_COMPLETE
            child.start = lambda task=None: None  # type: ignore[method-assign]
        return child


def answer(rounds: int) -> list[dict[str, object]]:
    """Times to the write at a steady rate and frames a second at most, with and without."""
    steady: dict[str, list[dict[str, float]]] = {side: [] for side in _SIDES}
    fastest: dict[str, list[float]] = {side: [] for side in _SIDES}
    for _ in range(rounds):
        for side in _SIDES:
            steady[side].append(_steady(side))
            fastest[side].append(_fastest(side))
    found = []
    for side in _SIDES:
        row: dict[str, object] = {"ledger": side}
        for name in ("p50", "p99"):
            row[f"{name} µs"] = median(run[name] for run in steady[side])
        for name in ("p50", "p99"):
            each, floor = ([run[name] for run in steady[s]] for s in (side, "without"))
            row[f"{name}/without"] = paired(each, floor)
        row["frames/s"] = median(fastest[side])
        row["frames/without"] = paired(fastest[side], fastest["without"])
        found.append(row)
    print_table(found)
    return found


def _run(side: str, folder: str, url: str) -> Run:
    return Run(folder, url, more=_HEAL, make=_Bare if side == "without" else Supervisor)


def _steady(side: str) -> dict[str, float]:
    with (
        paced_venue(options.rate(_RATE)) as sim,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        _run(side, folder, sim.ready["urls"][PATH]) as run,
    ):
        _check(side, run)
        run.until(lambda: run.frames() > _RATE)
        from_ns, to_ns = run.go_on(options.seconds(3))
        run.stop()
        p50, p99 = np.percentile(run.took_us("written", from_ns, to_ns), [50, 99])
        return {"p50": float(p50), "p99": float(p99)}


def _fastest(side: str) -> float:
    frames = options.rows(_FRAMES)
    blaster = Blaster(frames, 1)
    try:
        url = f"ws://127.0.0.1:{blaster.port}{PATH}"
        with (
            tempfile.TemporaryDirectory(prefix="bench-") as folder,
            _run(side, folder, url) as run,
        ):
            from_ns = time.perf_counter_ns()
            blaster.go()
            run.until(lambda: run.frames() >= frames)
            run.stop()
            return run.rate(from_ns, frames)
    finally:
        blaster.close()


def _check(side: str, run: Run) -> None:
    """Neither side may be what the other is."""
    there = {"ledger", "heal"} & set(run.supervisor.pids())
    assert there == ({"ledger", "heal"} if side == "with" else set()), there
