"""Do decisions come later while somebody looks at the run?

Workload: 5,000 trades a second, 1 per frame, from the simulator into the whole process tree with a
strategy. Floor: nobody looks. Ours: the page's process with a client that takes every message of
its socket and watches a symbol, `ticktape watch` on a terminal of 120 by 40 that is read as fast as
it writes, and /metrics asked for once a second. In turn, A B A B; the time from the socket read to
the decision.
What would change our mind: a p50 more than a tenth longer than the floor's.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np

from bench import options
from bench.figures import paired, print_table
from bench.recording import PATH, Run, paced_venue

_RATE = 5_000
_SIDES = ("nobody", "attached")
_PERCENTILES = {"p50": 50, "p90": 90, "p99": 99, "p999": 99.9}


def answer(rounds: int) -> list[dict[str, object]]:
    """Percentiles from the socket read to the decision, with nobody and with all attached."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in _SIDES}
    for _ in range(rounds):
        for side in _SIDES:
            runs[side].append(_run(side))
    found = []
    for side in _SIDES:
        row: dict[str, object] = {"looking": side}
        row |= {f"{name} µs": median(run[name] for run in runs[side]) for name in _PERCENTILES}
        for name in ("p50", "p99"):
            each, floor = ([run[name] for run in runs[s]] for s in (side, "nobody"))
            row[f"{name}/nobody"] = paired(each, floor)
        for name in ("messages", "scrapes", "screen bytes"):
            row[name] = median(run[name] for run in runs[side])
        found.append(row)
    print_table(found)
    return found


def _run(side: str) -> dict[str, float]:
    with (
        paced_venue(options.rate(_RATE)) as sim,
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        Run(folder, sim.ready["urls"][PATH]) as run,
    ):
        run.until(lambda: run.frames() > _RATE)
        onlookers = _Onlookers(run) if side == "attached" else None
        try:
            from_ns, to_ns = run.go_on(options.seconds(5))
        finally:
            saw = onlookers.leave() if onlookers is not None else {}
        run.stop()
        took_us = run.took_us("decided", from_ns, to_ns)
    found = {name: float(np.percentile(took_us, each)) for name, each in _PERCENTILES.items()}
    for name in ("messages", "scrapes", "screen bytes"):
        found[name] = saw.get(name, 0)
        assert bool(found[name]) == (side == "attached"), f"{side}: {name} {found[name]}"
    return found


class _Onlookers:
    """The page, and a process that looks at it and at the terminal view."""

    def __init__(self, run: Run) -> None:
        from ticktape.cli.dashboard_child import PageProcess

        self._page = PageProcess(run.directory.root)
        command = [sys.executable, "-m", "bench.attached", self._page.url, str(run.directory.root)]
        self._looking = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        ready = threading.Thread(target=self._looking.stdout.readline)  # type: ignore[union-attr]
        ready.start()
        run.until(lambda: not ready.is_alive())

    def leave(self) -> dict[str, float]:
        """End them; what they have seen."""
        out, _ = self._looking.communicate(b"\n", timeout=30)
        self._page.close()
        saw: dict[str, float] = json.loads(out.splitlines()[-1])
        return saw


async def _look(url: str, root: Path) -> None:
    from websockets.asyncio.client import connect

    saw = {"messages": 0, "scrapes": 0, "screen bytes": 0}
    terminal, watch = _open_watch(root, saw)
    async with connect(url.replace("http", "ws") + "live", max_size=None) as page:
        first = await page.recv()
        await page.send(json.dumps({"watch": ["sip", _some_symbol(root)]}))
        saw["messages"] += bool(first)
        tasks = [
            asyncio.create_task(_listen(page, saw)),
            asyncio.create_task(_scrape(url + "metrics", saw)),
        ]
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
    os.write(terminal, b"q")
    watch.wait(10)
    print(json.dumps(saw), flush=True)


def _some_symbol(root: Path) -> str:
    from ticktape.lastvalue import LastValues

    with LastValues(root / "live" / "last.map") as last:
        while not (names := list(last)):  # its process may still be reading itself in
            time.sleep(0.1)
        return names[0][1]


async def _listen(page, saw: dict[str, int]) -> None:
    async for _ in page:
        saw["messages"] += 1


async def _scrape(url: str, saw: dict[str, int]) -> None:
    from urllib.request import urlopen

    while True:
        with await asyncio.to_thread(urlopen, url) as answer:
            assert b"ticktape_" in answer.read()
        saw["scrapes"] += 1
        await asyncio.sleep(1)


def _open_watch(root: Path, saw: dict[str, int]) -> tuple[int, "subprocess.Popen[bytes]"]:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 120))
    watch = subprocess.Popen(
        [sys.executable, "-m", "ticktape", "watch", str(root)],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)

    def drain() -> None:
        try:
            while chunk := os.read(ours, 65_536):
                saw["screen bytes"] += len(chunk)
        except OSError:
            return  # it has ended

    threading.Thread(target=drain, daemon=True).start()
    return ours, watch


if __name__ == "__main__":
    asyncio.run(_look(sys.argv[1], Path(sys.argv[2])))
