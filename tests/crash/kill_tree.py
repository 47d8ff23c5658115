"""What a kill campaign is made of: its plan, its simulators, the recorder that it kills."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil

from ticktape.directory import DECISION

CHILDREN = ("capture-new", "capture-old", "last", "table", "ledger", "decide-counts")
JOURNALS = ("new", "old", f"{DECISION}:counts")
# A journal that grows so much holds data, and not only what a session says of itself.
GROWTH_BYTES = {"new": 8192, "old": 8192}
RATE = 700  # rows a second and feed: some 1,400 messages a second
BACK_S = 240.0  # when a child that has not come back, or an orphan that has not left, hangs
CLOCK_NS = 1_000_000_000  # how far a killer's clock may be from the truth of a gap

CONFIG = """
directory = {directory!r}
[[feed]]
name = "new"
kind = "alpaca"
url = {new!r}
trades = ["*"]
quotes = ["*"]
bars = ["*"]
backoff_max_s = 0.5
[[feed]]
name = "old"
kind = "alpaca_v1"
url = {old!r}
trades = {symbols}
quotes = {symbols}
bars = ["*"]
backoff_max_s = 0.5
[journal]
segment_bytes = 200000
[table]
commit_s = 0.3
[[decide]]
file = {strategy!r}
"""
STRATEGY = """
class Counts:
    timer_s = 0.2
    def __init__(self):
        self.seen = {}
    def on_trade(self, trade, last):
        count = self.seen[trade.feed] = self.seen.get(trade.feed, 0) + 1
        return [trade.feed, count, trade.id] if count % 10 == 0 else None
    def on_gap(self, gap, last):
        return ["gap", gap.feed, gap.cause]
    def on_timer(self, now_ns, last):
        return [now_ns, dict(self.seen)]
"""


# The plan.


class Kill(NamedTuple):
    """One thing to do: at `at_s`, kill `victim`; its next start then dies at `failpoint`.

    `wait` says whether the next parent waits for the orphans of the one that was killed.
    """

    at_s: float
    victim: str
    failpoint: str = ""
    wait: bool = True

    @property
    def weight(self) -> int:
        return 2 if self.failpoint else 1


TABLE_STEPS = ("before-files", "after-file", "before-commit", "after-commit", "after-sync")
SAVE_STEPS = ("commit-done", "before-save", "after-save")
# Place -> the first and the last pass of it at which its victim dies. A capture has ended the gap
# of its last death by then, so that each has one of its own.
INSIDE = {
    ("capture-new", "journal.before-sync"): (30, 80),
    ("capture-old", "journal.after-sync"): (30, 80),
    ("capture-old", "journal.created"): (3, 4),
    ("table", "disk.replace-begun"): (1, 3),
    ("table", "disk.before-replace"): (1, 3),
    ("table", "disk.after-replace"): (1, 3),
    ("ledger", "ledger.written"): (1, 6),
    ("ledger", "ledger.before-save"): (1, 4),
    ("ledger", "ledger.after-save"): (1, 4),
    ("decide-counts", "disk.before-replace"): (1, 1),
    ("decide-counts", "journal.create"): (1, 1),
    ("decide-counts", "journal.before-sync"): (2, 20),
}


def make_plan(seed: int, kills: int, seconds: float) -> list[Kill]:
    """The kills in order; those with a failpoint count twice."""
    rng = random.Random(seed)
    # What must be in every campaign, then whatever comes.
    must = [
        ("capture-new", f"journal.write:{rng.randint(20, 200)}"),
        ("table", f"table.{rng.choice(TABLE_STEPS)}:{rng.randint(1, 4)}"),
        ("parent", ""),
        ("table", f"table.{rng.choice(SAVE_STEPS)}:{rng.randint(1, 2)}"),
        ("decide-counts", f"journal.write:{rng.randint(2, 60)}"),
        ("parent", ""),
        _inside(rng, seed % len(INSIDE)),  # seeds in a row come to all of them
        *((child, "") for child in CHILDREN),
    ]
    chosen: list[tuple[str, str]] = []
    while sum(2 if failpoint else 1 for _, failpoint in chosen) < kills:
        left = kills - sum(2 if failpoint else 1 for _, failpoint in chosen)
        victim, failpoint = must.pop(0) if must else _any_kill(rng)
        chosen.append((victim, failpoint if left > 1 else ""))
    rng.shuffle(chosen)
    step_s = seconds / (len(chosen) + 1)
    parents = 0
    plan = []
    for number, (victim, failpoint) in enumerate(chosen, 1):
        parents += victim == "parent"
        at_s = round(step_s * (number + rng.uniform(-0.4, 0.4)), 2)
        plan.append(Kill(at_s, victim, failpoint, wait=parents % 2 == 1))
    return plan


def _any_kill(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.5:
        return rng.choice((*CHILDREN, *CHILDREN, "parent")), ""
    return _inside(rng, rng.randrange(len(INSIDE)))


def _inside(rng: random.Random, number: int) -> tuple[str, str]:
    (victim, place), passes = list(INSIDE.items())[number]
    return victim, f"{place}:{rng.randint(*passes)}"


# The processes.


class Venue:
    """One simulated path with its truth in a folder; the tape waits while nobody listens."""

    def __init__(self, path: str, truth: Path, seed: int) -> None:
        self.path, self.truth = path, truth
        kinds = ("--kinds", "trades", "--kinds", "quotes", "--kinds", "bars")
        tape = ("--tape", "generated", "--events", "20000", "--seed", str(seed), "--passes", "0")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ticktape", "sim", "alpaca", "--until-stdin-closes"),
                *("--path", path, "--rate", str(RATE), "--hold", "--truth", str(truth)),
                *(*tape, *kinds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.url = json.loads(self._process.stdout.readline())["urls"][path]

    def close(self) -> None:
        """End it; its truth is then whole."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(240)
        self._process.stdout.close()


class Recorder:
    """`ticktape record` as a process, its children by name, and how to start it once more."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder, self._config = folder, config
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self) -> None:
        environment = os.environ | {
            "APCA_API_KEY_ID": "demo-key",
            "APCA_API_SECRET_KEY": "demo-secret",
            "TICKTAPE_FAILPOINT_FOLDER": str(self.failpoints),
        }
        self._starts += 1
        with open(self._folder / f"record-{self._starts}.log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticktape", "record", str(self._config), "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
            )

    def children(self) -> dict[str, psutil.Process]:
        """Name -> process, of those that run now."""
        found = {}
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if child.status() != psutil.STATUS_ZOMBIE and "ticktape.recorder.child" in (
                        line := child.cmdline()
                    ):
                        found[line[-1]] = child
        return found

    def kill_parent(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def stop(self) -> tuple[int, dict]:
        """Ask it to end; its exit code and the JSON of its last line."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=400)  # who does not leave is cut off before
        return self._process.returncode, json.loads(out.splitlines()[-1])

    def end(self) -> None:
        """Whatever happened: nothing of it stays."""
        if self._process is not None and self._process.poll() is None:
            for child in [*self.children().values(), psutil.Process(self._process.pid)]:
                with contextlib.suppress(psutil.Error):
                    child.kill()
            self._process.communicate()


def lives(process: psutil.Process) -> bool:
    """Whether it still runs; one that nobody has reaped yet does not."""
    with contextlib.suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False
