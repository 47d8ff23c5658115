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
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from bench.beside import _Sim as Sim
from bench.blaster import Blaster
from bench.figures import paired, print_table
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.latency import read_stages
from ticktape.latency.join import first_stamps
from ticktape.recorder.supervisor import Supervisor
from ticktape.replay.paths import block_index

_RATE = 5_000
_FRAMES = 600_000
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
    seconds = float(os.environ.get("TICKTAPE_BENCH_S", "10"))
    events = str(int(_RATE * (seconds + 20)))
    sim = Sim(
        *("alpaca", "--path", "/v2/sip", "--tape", "generated", "--kinds", "trades"),
        *("--events", events, "--rate", str(_RATE), "--hold"),
    )
    try:
        url = sim.ready["urls"]["/v2/sip"]
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _Run(folder, url) as run:
            run.until(lambda: run.frames() > _RATE)
            run.stick(side)
            from_ns = time.perf_counter_ns()
            run.until(lambda: time.perf_counter_ns() > from_ns + seconds * 1e9)
            to_ns = time.perf_counter_ns()
            run.finish(side)
            return run.written_us(from_ns, to_ns)
    finally:
        sim.close()


def _fastest(side: str) -> float:
    blaster = Blaster(_FRAMES, 1)
    try:
        url = f"ws://127.0.0.1:{blaster.port}/v2/iex"
        with tempfile.TemporaryDirectory(prefix="bench-") as folder, _Run(folder, url) as run:
            run.until(lambda: run.said("capture-sip").get("state") == "ready")
            run.stick(side)
            from_ns = time.perf_counter_ns()
            blaster.go()
            run.until(lambda: run.frames() >= _FRAMES)
            run.finish(side)
            return run.rate(from_ns)
    finally:
        blaster.close()


class _Run:
    """The recorder with a strategy that can be made stuck; it must end with nothing lost."""

    def __init__(self, folder: str, url: str) -> None:
        place = Path(folder)
        self._stuck = place / "stuck"
        strategy = place / "strategy.py"
        strategy.write_text(_STRATEGY.format(path=str(self._stuck)))
        text = (
            f"directory = {str(place / 'run')!r}\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\n"
            f"url = {url!r}\ntrades = ['*']\n[[decide]]\nfile = {str(strategy)!r}\n"
        )
        config = parse_config(text, "bench", place)
        self._directory = RunDirectory(place / "run")
        keys = {"sip": Keys("demo-key", "demo-secret")}
        self._supervisor = Supervisor(config, keys, {}, lambda event: None)

    def __enter__(self) -> "_Run":
        self._supervisor.start()
        self.until(lambda: "table" in self._supervisor.pids())
        return self

    def __exit__(self, *failure: object) -> None:
        self._supervisor.__exit__(*failure)

    def said(self, child: str) -> dict[str, object]:
        return self._supervisor.statistics()[child]

    def frames(self) -> int:
        return int(str(self.said("capture-sip").get("frames", 0)))

    def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._supervisor.poll(0.1)

    def stick(self, side: str) -> None:
        if side != "well":
            self._stuck.touch()
        self._brake(side, signal.SIGSTOP, 1)

    def finish(self, side: str) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        self._brake(side, signal.SIGCONT, hard)
        self._stuck.unlink(missing_ok=True)
        self.until(lambda: all(not behind for behind in self._behind()))
        end = self._supervisor.stop(lambda names: None)
        assert not end.failed and not end.lost_frames, end.reasons()

    def _behind(self) -> list[object]:
        """Bytes that the readers have before them, by their last words."""
        said = [self.said(child).get("behind_bytes", {}) for child in ("table", "decide-strategy")]
        return [any(each.values()) for each in said if isinstance(each, dict)]

    def _brake(self, side: str, number: int, file_bytes: int) -> None:
        table = self._supervisor.pids()["table"]
        if side == "stopped":
            os.kill(table, number)
        elif side == "refused":
            _, hard = resource.prlimit(table, resource.RLIMIT_FSIZE)
            resource.prlimit(table, resource.RLIMIT_FSIZE, (file_bytes, hard))

    def written_us(self, from_ns: int, to_ns: int) -> dict[str, float]:
        """Percentiles from a block's socket read to its write, of those that came in a time."""
        index = block_index(self._directory, "sip")
        rows = read_stages(self._directory.stages, "sip")["written"]
        row = first_stamps(index, rows).row
        inside = (index.recv_mono_ns > from_ns) & (index.recv_mono_ns < to_ns) & (row >= 0)
        took_ns = rows["mono_ns"][row[inside]] - index.recv_mono_ns[inside]
        p50, p99, p999 = np.percentile(took_ns, [50, 99, 99.9]) / 1_000
        return {"p50": float(p50), "p99": float(p99), "p999": float(p999)}

    def rate(self, from_ns: int) -> float:
        """Frames a second, from the first that was read after `from_ns` to the last."""
        index = block_index(self._directory, "sip")
        came = np.flatnonzero(index.recv_mono_ns > from_ns)
        frames = np.cumsum(index.count[came])
        last = int(np.searchsorted(frames, _FRAMES))
        took_ns = int(index.recv_mono_ns[came[last]] - index.recv_mono_ns[came[0]])
        return int(frames[last]) * 1e9 / took_ns
