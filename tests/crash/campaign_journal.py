"""The journal part of a crash campaign: one victim after another on one folder, each killed.

A run of RUN_KILLS kills has a folder and a seed of its own: what a campaign goes on with after a
break, and what a violation is repeated with.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from campaign_bytes import Violation, demand
from campaign_verify import Verifier
from campaign_victim import Places, Task

RUN_KILLS = 200
WAIT_S = 240.0  # how long a failpoint may take on a machine that is busy with other things

# Place -> at which pass of it at most a victim dies.
FAILPOINTS = {
    "journal.write": 100,
    "journal.header": 100,
    "journal.unpublished": 100,
    "journal.before-sync": 6,
    "journal.after-sync": 6,
    "journal.create": 4,
    "journal.created": 4,
    "journal.positions": 1,
    "disk.replace-begun": 3,
    "disk.before-replace": 3,
    "disk.after-replace": 3,
}


class Start(NamedTuple):
    """What to do next: a victim, when it is killed (None: by its failpoint), and before it what
    becomes of the mapped positions, which anyone may lose.
    """

    task: Task
    kill_after_s: float | None
    positions: str = ""


def plan_start(rng: random.Random, folder: Path, seed: int) -> Start:
    """One more start; the same `rng` makes the same ones."""
    failpoint, kill_after_s = "", None
    if rng.random() < 0.5:
        name = rng.choice(list(FAILPOINTS))
        failpoint = f"{name}:{rng.randint(1, FAILPOINTS[name])}"
    else:
        # In the first microseconds of a start, while it recovers, and in its later life.
        kill_after_s = rng.choice((2e-5 * 500 ** rng.random(), rng.uniform(0, 0.08)))
    task = Task(
        folder=str(folder),
        seed=seed,
        sync="each" if rng.random() < 0.2 else "group",
        commit_ms=rng.choice((1, 2, 5)),
        segment_bytes=rng.choice((2_000, 8_000, 64_000)),
        failpoint=failpoint,
        blocks_max=rng.randint(1, 300) if rng.random() < 0.05 and not failpoint else 1 << 40,
    )
    return Start(task, kill_after_s, rng.choice(("gone", "zeros")) if rng.random() < 0.1 else "")


class Warm:
    """The process that forks the victims."""

    def __init__(self, log: Path) -> None:
        with open(log, "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("campaign_victim.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for the campaign alone
            )
        self.failpoints: Counter[str] = Counter()

    def _ask(self, line: str) -> int:
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def strike(self, start: Start) -> int:
        """Start a victim and see it die; its exit code, negative for a signal."""
        pid = self._ask(json.dumps(start.task._asdict()))
        victim = os.pidfd_open(pid)
        try:
            patience_s = WAIT_S if start.kill_after_s is None else start.kill_after_s
            dead, _, _ = select.select([victim], [], [], patience_s)
            if dead and start.task.failpoint:
                self.failpoints[start.task.failpoint.partition(":")[0]] += 1
        finally:
            signal.pidfd_send_signal(victim, signal.SIGKILL)  # not reaped: nobody else has its pid
            os.close(victim)
        return self._ask("wait")

    def close(self) -> None:
        """End it."""
        self._process.stdin.close()
        self._process.wait(WAIT_S)
        self._process.stdout.close()


def spoil_positions(path: Path, how: str) -> None:
    """Lose the mapped positions, which are a cache."""
    if how == "gone":
        path.unlink(missing_ok=True)
    elif path.exists():
        path.write_bytes(bytes(path.stat().st_size))


def run_kills(
    folder: Path, seed: int, kills: int = RUN_KILLS, warm: Warm | None = None
) -> tuple[int, str]:
    """One run in a fresh folder: (kills done, what was violated by the last of them, or "")."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    own = warm or Warm(folder / "victims.log")
    places = Places(folder)
    verifier = Verifier(places, seed)
    rng = random.Random(seed)
    done = 0
    try:
        while done < kills:
            start = plan_start(rng, folder, seed)
            places.claims.unlink(missing_ok=True)
            if start.positions:
                spoil_positions(places.positions, start.positions)
                verifier.positions_made_anew()
            code = own.strike(start)
            done += code == -signal.SIGKILL
            words = f"ended by itself with {code}"
            clean = code == 0 and start.task.blocks_max < 1 << 40
            demand(code == -signal.SIGKILL or clean, words)
            verifier.look(start.task)
        verifier.finish()
    except Exception as error:  # noqa: BLE001 - whatever else breaks on these files is one, too
        (folder / "start.json").write_text(json.dumps(start))
        return max(done, 1), str(error) if isinstance(error, Violation) else repr(error)
    finally:
        verifier.close()
        if warm is None:
            own.close()
    return done, ""
