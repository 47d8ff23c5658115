"""The venue of one day: its tape on the disk, the simulator as a process, and who opens it."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from month_days import BUSY, LOST_LINE, MUTE, NS_PER_S, Day
from websockets.sync.client import connect

from ticktape.sim.chance import made_up
from ticktape.sim.generate import generate_tape
from ticktape.sim.tape import COLUMNS

PATH = "/v2/iex"
KEY, SECRET = "demo-key", "demo-secret"
SYMBOLS = made_up(4)
MUTED = SYMBOLS[0]
MUTED_S = 12  # it trades so often that it is noticed after 4 to 6, on a busy machine 9
KINDS = ("trades", "quotes")
SHIFT = "TICKTAPE_CLOCK_SHIFT_S"


def wall_ns(shift_ns: int) -> int:
    """The time that a process with this shift has."""
    return time.time_ns() + shift_ns


def shifted(shift_ns: int) -> dict[str, str]:
    """The environment of a process that lives on another day."""
    keys = {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}
    return os.environ | keys | {SHIFT: f"{shift_ns / NS_PER_S:.6f}"}


def write_tape(day: Day, folder: Path, seed: int) -> list[Path]:
    """The day's rows as files, one per kind: what the venue plays, and the truth of the proof."""
    tape = generate_tape(
        seed=seed,
        symbols=SYMBOLS,
        events=int(day.length_s * day.rows_per_s),
        events_per_s=day.rows_per_s,
        start_ns=day.begin_ns,
    )
    files = []
    for kind in KINDS:
        files.append(folder / f"{kind}.parquet")
        table = tape.tables[kind].select(COLUMNS[kind].names)
        if day.story == MUTE and kind == "quotes":
            # Each channel of a symbol is noticed by itself: this one is to have one alone.
            table = table.filter(pc.field("symbol") != MUTED)
        pq.write_table(table, files[-1])
    return files


class Venue:
    """`ticktape sim alpaca` with its REST twin, on the day's clock.

    It plays when the recorder listens and `open` was called, at the very second of the tape.
    """

    def __init__(self, day: Day, folder: Path, shift_ns: int, seed: int) -> None:
        self.truth = folder / "truth"
        self._ended = threading.Event()
        self._door = contextlib.ExitStack()
        files = ",".join(map(str, write_tape(day, folder, seed)))
        rows = int(day.rows_per_s)
        faults = {
            MUTE: ("--fault", f"mute_symbol@{3 * rows}={MUTED}/{MUTED_S}"),
            LOST_LINE: ("--fault", f"disconnect@{2 * rows}"),
        }
        self._log = open(folder / "venue.log", "wb")  # noqa: SIM115 - closed with the venue
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ticktape", "sim", "alpaca", "--until-stdin-closes"),
                *("--path", PATH, "--tape", files, "--truth", str(self.truth), "--rest"),
                *("--wait-for", "2", "--connection-limit", "2"),
                *("--batch", "5" if day.story == BUSY else "1"),
                *faults.get(day.story, ()),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=shifted(shift_ns),
        )
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the venue did not start: {self._log.name} says why")
        ready = json.loads(line)
        self.url, self.rest_url = ready["urls"][PATH], ready["rest_url"]
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        for line in self._process.stdout:
            if json.loads(line)["event"] == "tape_end":
                self._ended.set()

    def open(self) -> None:
        """Be the second who listens, to a symbol that never trades: now the tape begins."""
        door = self._door.enter_context(connect(self.url))
        door.recv()
        for message in (
            {"action": "auth", "key": KEY, "secret": SECRET},
            {"action": "subscribe", "trades": ["NONE"]},
        ):
            door.send(json.dumps(message))
            door.recv()

    @property
    def has_ended(self) -> bool:
        """Whether the tape is through."""
        return self._ended.is_set()

    def close(self) -> None:
        """End it; its truth is then whole."""
        self._door.close()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(240)
        self._process.stdout.close()
        self._log.close()
