"""A recorder under a steady load: lag by stage, what is dropped, and the memory of every process.

What the questions `memory` and `steady` share.
"""

import tempfile
import time

import numpy as np
import psutil

from bench.figures import print_table
from bench.recording import PATH, Run, paced_venue

_SAMPLE_S = 1.0
_STAGES = ("written", "last", "decided", "stored")
_WARM_UP = 1 / 3  # of the samples: what starts fills its memories
_SAMPLES_MIN = 5
_PARTS = 3  # of the time: a lag that is bounded is as long in the last as in the first


def sustained(rate: int, per_frame: int, seconds: float) -> list[dict[str, object]]:
    """Record so many trades a second for so long; one session if the venue never cut us off."""
    memory: dict[str, list[tuple[float, float]]] = {}
    behind: list[dict[str, int]] = []
    with (
        paced_venue(rate, per_frame) as sim,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Run(folder, sim.ready["urls"][PATH]) as run,
    ):
        processes = {name: psutil.Process(pid) for name, pid in run.supervisor.pids().items()}
        used_s = _cpu_s(processes)
        from_ns = time.perf_counter_ns()
        end_ns = from_ns + int(seconds * 1e9)
        while (now_ns := time.perf_counter_ns()) < end_ns:
            for name, process in processes.items():
                held = process.memory_full_info().uss / 1e6
                memory.setdefault(name, []).append(((now_ns - from_ns) / 1e9, held))
            behind.append(run.behind_bytes())
            run.go_on(min(_SAMPLE_S, (end_ns - now_ns) / 1e9))
        used_s = {name: each - used_s[name] for name, each in _cpu_s(processes).items()}
        said = run.said("capture-sip")
        sim.close()  # the venue falls silent, and what is on its way is brought to an end
        run.stop()
        came = _came(run, from_ns, end_ns)
        lags = _lags(run, from_ns, end_ns)
    flow: dict[str, object] = {
        "trades/frame": per_frame,
        "seconds": seconds,
        "offered/s": rate,
        # Frames are full, but for the last of each pass of the tape.
        "came/s": came * per_frame / seconds,
        "dropped": said["dropped_frames"],
        "sessions": said["session"],
    }
    print_table([flow])
    print_table(lags)
    sizes = [
        {**_memory(name, samples, behind), "CPU %": 100 * used_s[name] / seconds}
        for name, samples in memory.items()
    ]
    print_table(sizes)
    return [flow, *lags, *sizes]


def _cpu_s(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """CPU time of each so far."""
    taken = {name: process.cpu_times() for name, process in processes.items()}
    return {name: each.user + each.system for name, each in taken.items()}


def _came(run: Run, from_ns: int, to_ns: int) -> int:
    """Frames of that time."""
    index = run.index()
    inside = (index.recv_mono_ns > from_ns) & (index.recv_mono_ns < to_ns)
    return int(index.count[inside].sum())


def _lags(run: Run, from_ns: int, to_ns: int) -> list[dict[str, object]]:
    """Percentiles by stage; and the p50 of each part of the time, in ms."""
    edges = np.linspace(from_ns, to_ns, _PARTS + 1).astype(np.int64)
    found: list[dict[str, object]] = []
    for stage in _STAGES:
        took_us = run.took_us(stage, from_ns, to_ns)
        row: dict[str, object] = {"stage": stage}
        for name, each in (("p50", 50), ("p99", 99), ("max", 100)):
            row[f"{name} ms"] = float(np.percentile(took_us, each)) / 1_000
        for part in range(_PARTS):
            took_us = run.took_us(stage, int(edges[part]), int(edges[part + 1]))
            row[f"p50 of part {part + 1} ms"] = float(np.median(took_us)) / 1_000
        found.append(row)
    return found


def _memory(
    name: str, samples: list[tuple[float, float]], behind: list[dict[str, int]]
) -> dict[str, object]:
    at_s, held = np.array(samples).T
    warm = at_s >= at_s[-1] * _WARM_UP
    slope: float | str = "-"  # too short a time tells nothing
    if warm.sum() >= _SAMPLES_MIN:
        slope = float(np.polyfit(at_s[warm], held[warm], 1)[0]) * 60
    # What a batch takes comes and goes, and a line through so much up and down leans by chance.
    parts = enumerate(np.array_split(held, _PARTS), 1)
    medians = {f"p50 of part {n} MB": float(np.median(each)) for n, each in parts if len(each)}
    return {
        "process": name,
        "peak MB": float(held.max()),
        **medians,
        "slope MB/min": slope,
        "behind at most MB": max(each.get(name, 0) for each in behind) / 1e6,
    }
