"""`ticktape record` on a day's clock, its children by name, and what it has said."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO

import psutil
from month_venue import KINDS, SYMBOLS, shifted

FEED = "iex"
STRATEGY_NAME = "counts"
SEGMENT_BYTES = 65_536  # the least that the config takes
MIB = 1 << 20

CONFIG = """
directory = {directory!r}
[[feed]]
name = {feed!r}
kind = "alpaca"
url = {url!r}
heal = {rest_url!r}
heal_delay_s = 1.0
backoff_max_s = 0.5
{channels}
[journal]
segment_bytes = {segment_bytes}
reserve_bytes = {reserve_bytes}
ballast_bytes = 1048576
keep_days = {keep_days}
keep_bytes = {keep_bytes}
[table]
commit_s = 0.5
[[decide]]
file = {strategy!r}
"""
STRATEGY = """
class Counts:
    def __init__(self):
        self.seen = 0
    def on_trade(self, trade, last):
        self.seen += 1
        if {dies} and self.seen > 100:
            raise RuntimeError("the strategy that dies")
        return [trade.symbol, self.seen] if self.seen % 50 == 0 else None
"""


class Recorder:
    """One run directory and the processes that record into it, day after day.

    Args:
        folder: for the config, the strategy and what the recorder prints.
        tape: the run's directory.
        keep_days: as in the config.
        keep_bytes: as in the config.
    """

    def __init__(self, folder: Path, tape: Path, *, keep_days: float, keep_bytes: int) -> None:
        self._folder, self.tape = folder, tape
        self._keep = {"keep_days": keep_days, "keep_bytes": keep_bytes}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: BinaryIO | None = None
        self._rest = b""
        self.starts = 0

    def configure(self, url: str, rest_url: str, *, dies: bool = False) -> None:
        """The config and the strategy of the day."""
        strategy = self._folder / f"{STRATEGY_NAME}.py"
        strategy.write_text(STRATEGY.format(dies=dies))
        channels = "\n".join(f"{kind} = {json.dumps(SYMBOLS)}" for kind in KINDS)
        words = CONFIG.format(
            directory=str(self.tape),
            feed=FEED,
            url=url,
            rest_url=rest_url,
            channels=channels,
            segment_bytes=SEGMENT_BYTES,
            reserve_bytes=6 * MIB,
            strategy=str(strategy),
            **self._keep,
        )
        (self._folder / "month.toml").write_text(words)

    def start(self, shift_ns: int) -> None:
        """Begin to record on a day's clock."""
        self.starts += 1
        with open(self._folder / "record.log", "ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "ticktape", "record"),
                    *(str(self._folder / "month.toml"), "--json"),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=shifted(shift_ns),
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

    def kill(self) -> None:
        """Let all of its processes die at once, as a power cut does; safe when there is none."""
        if self._process is None:
            return
        children = self.children().values()
        for process in (psutil.Process(self._process.pid), *children):
            with contextlib.suppress(psutil.Error):
                process.kill()
        self._process.wait()
        psutil.wait_procs(children, 240)
        self._process.stdout.close()
        self._process = None

    def stop(self) -> tuple[int, dict]:
        """Ask it to end; its exit code and the JSON of its last line."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=400)  # who does not leave is cut off before
        code, self._process = self._process.returncode, None
        return code, json.loads(out.splitlines()[-1])

    def is_alive(self) -> bool:
        """Whether it has not ended by itself."""
        return self._process is not None and self._process.poll() is None

    def news(self) -> list[dict]:
        """What it has logged since the last time; a line that a full disk cut off is left out."""
        found = []
        for line in self._fresh_lines():
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def _fresh_lines(self) -> list[bytes]:
        """What is new in the log, to the end of the old file when it was rotated."""
        path = self.tape / "log" / "events.jsonl"
        lines: list[bytes] = []
        if self._log is not None:
            self._rest += self._log.read()
            if path.exists() and os.path.samestat(os.fstat(self._log.fileno()), path.stat()):
                *lines, self._rest = self._rest.split(b"\n")
                return lines
            lines, self._rest = self._rest.split(b"\n"), b""
            self._log.close()
            self._log = None
        if path.exists():
            self._log = open(path, "rb")  # noqa: SIM115 - held, so that a rotation loses nothing
            lines += self._fresh_lines()
        return lines

    def close(self) -> None:
        """Let go of what it holds of the run; may be called twice."""
        self.kill()
        if self._log is not None:
            self._log.close()
            self._log = None
