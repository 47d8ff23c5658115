"""A simulated venue and a whole recorder for a bench, and what its stages say of a stretch of time.

The recorder is the process tree of `ticktape record`; its supervisor lives in the bench's process.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ticktape.cli import sample_strategy
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.latency import BlockIndex, read_stages
from ticktape.latency.join import first_stamps
from ticktape.recorder.supervisor import RunEnd, Supervisor
from ticktape.replay.paths import block_index

PATH = "/v2/sip"
KEYS = Keys("demo-key", "demo-secret")
_STRATEGY = Path(sample_strategy.__file__)


class Sim:
    """A simulator as a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "ticktape", "sim", *options, "--until-stdin-closes"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        self.ready = json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it; one that does not leave is killed."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> "Sim":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def paced_venue(rate: int, per_frame: int = 1) -> Sim:
    """Generated trades for ever, so many a second."""
    return Sim(
        *("alpaca", "--path", PATH, "--tape", "generated", "--kinds", "trades"),
        *("--events", "400000", "--passes", "0", "--symbols", "20", "--hold"),
        *("--rate", str(rate), "--batch", str(per_frame)),
    )


class Run:
    """The recorder at work on one feed, `sip`; it must end with nothing lost.

    `more` and `decide` are further lines of the feed's and of the strategy's table in the config.
    `make` builds the supervisor.
    """

    def __init__(
        self,
        folder: str | Path,
        url: str,
        *,
        strategy: Path = _STRATEGY,
        more: str = "",
        decide: str = "",
        make: type[Supervisor] = Supervisor,
    ) -> None:
        place = Path(folder)
        text = (
            f"directory = {str(place / 'run')!r}\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\n"
            f"url = {url!r}\ntrades = ['*']\n{more}\n"
            f"[[decide]]\nfile = {str(strategy)!r}\n{decide}\n"
        )
        self.directory = RunDirectory(place / "run")
        config = parse_config(text, "bench", place)
        self.supervisor = make(config, {"sip": KEYS}, {}, lambda event: None)

    def __enter__(self) -> "Run":
        try:
            self.supervisor.start()
            self.until(lambda: self.said("capture-sip").get("state") == "ready")
            self.until(lambda: all(self.said(child.name) for child in self._at_work()))
        except BaseException:
            self.supervisor.__exit__()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self.supervisor.__exit__(*failure)

    def _at_work(self) -> list[object]:
        return [child for child in self.supervisor.children() if not child.final]

    def said(self, child: str) -> dict[str, object]:
        """What a child last said of itself."""
        return self.supervisor.statistics()[child]

    def frames(self) -> int:
        """Frames that the capture has taken, by its last word."""
        return int(str(self.said("capture-sip").get("frames", 0)))

    def until(self, condition: Callable[[], bool]) -> None:
        """Look after the children until it is so."""
        while not condition():
            self.supervisor.poll(0.1)

    def go_on(self, seconds: float) -> tuple[int, int]:
        """Look after the children for so long; from when to when that was."""
        from_ns = time.perf_counter_ns()
        self.until(lambda: time.perf_counter_ns() > from_ns + seconds * 1e9)
        return from_ns, time.perf_counter_ns()

    def behind_bytes(self) -> dict[str, int]:
        """Reader -> the bytes that it has before it, by its last word."""
        found = {}
        for name, said in self.supervisor.statistics().items():
            behind = said.get("behind_bytes", {})
            if isinstance(behind, dict):
                found[name] = sum(behind.values())
        return found

    def stop(self) -> RunEnd:
        """Wait until all readers have read all, and end the run; raises if something was lost."""
        self.until(lambda: not any(self.behind_bytes().values()))
        end = self.supervisor.stop(lambda names: None)
        if end.failed or end.lost_frames or end.reasons():
            raise RuntimeError(f"the run did not end well: {end}")
        return end

    # What the run has left.

    def index(self) -> BlockIndex:
        """The feed's blocks."""
        return block_index(self.directory, "sip")

    def took_us(self, stage: str, from_ns: int, to_ns: int) -> "np.ndarray":
        """µs from the socket read to a stage, of the blocks that came in a time."""
        index = self.index()
        rows = read_stages(self.directory.stages, "sip")[stage]
        row = first_stamps(index, rows).row
        inside = (index.recv_mono_ns > from_ns) & (index.recv_mono_ns < to_ns) & (row >= 0)
        return (rows["mono_ns"][row[inside]] - index.recv_mono_ns[inside]) / 1_000

    def rate(self, from_ns: int, most: int) -> float:
        """Frames a second, from the first that was read after `from_ns` to the `most`-th."""
        index = self.index()
        came = np.flatnonzero(index.recv_mono_ns > from_ns)
        frames = np.cumsum(index.count[came])
        last = int(np.searchsorted(frames, most))
        took_ns = int(index.recv_mono_ns[came[last]] - index.recv_mono_ns[came[0]])
        return int(frames[last]) * 1e9 / took_ns
