"""One child process as its supervisor sees it: started, heard, told to leave, started again."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import msgspec

from ticktape import clock
from ticktape.recorder.parent import EXIT_REFUSED, EXIT_STOPPED
from ticktape.recorder.task import Task, encode_task

if TYPE_CHECKING:
    import queue

_RESTART_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_NS = 30 * clock.NS_PER_S
_FINAL = {EXIT_REFUSED, EXIT_STOPPED, 2}  # a start with the same config would end the same way


def _may_hold_secret(name: str) -> bool:
    """Keys, and proxies with a password in them: a child gets what it needs by its task."""
    return name.startswith("APCA_") or name.lower().endswith("_proxy")


class ChildEvent(NamedTuple):
    """What a child reported, or what became of it (`event` = "exit")."""

    child: str
    event: str
    content: dict[str, Any]


class ChildProcess:
    """A child that is kept running until it is told to leave.

    Args:
        name: how it is called in logs and events.
        task: what it is told; held here for restarts, never written anywhere.
        log: its standard error is appended there.
        events: where what it reports is put.
    """

    def __init__(self, name: str, task: Task, log: Path, events: "queue.Queue[ChildEvent]") -> None:
        self.name = name
        self.task = task
        self.restarts = 0
        self.exit_code: int | None = None
        self.final = False
        self.leaving = False
        self.statistics: dict[str, Any] = {}
        self._log = log
        self._events = events
        self._process: subprocess.Popen[bytes] | None = None
        self._started_ns = 0
        self._restart_at_ns = 0
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process and hand it its task."""
        environment = {
            name: value for name, value in os.environ.items() if not _may_hold_secret(name)
        }
        self._started_ns = clock.monotonic_ns()
        self.exit_code = None
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticktape.recorder.child", self.name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        self._write(encode_task(self.task) + b"\n")
        threading.Thread(
            target=self._listen, args=(self._process,), name=self.name, daemon=True
        ).start()

    def _write(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except OSError:
            return  # it is gone; `poll` finds out

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            try:
                content = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                # A strategy's print(): the user's own words belong into the log.
                with open(self._log, "ab") as log:
                    log.write(line)
                continue
            event = str(content.pop("event", ""))
            if event == "statistics":
                self.statistics = content
            else:
                self._events.put(ChildEvent(self.name, event, content))
        code = process.wait()
        self._events.put(ChildEvent(self.name, "exit", {"code": code, "pid": process.pid}))

    def poll(self) -> None:
        """See whether it died, and start it again when its time has come."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._settle(code)
        if self.leaving or self.final:
            return
        if clock.monotonic_ns() >= self._restart_at_ns:
            self.restarts += 1
            self.start()

    def _settle(self, code: int) -> None:
        assert self._process is not None
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process = None
        self.exit_code = code
        self.final = code in _FINAL
        lived_ns = clock.monotonic_ns() - self._started_ns
        self._quick_deaths = 0 if lived_ns > _STEADY_NS else self._quick_deaths + 1
        wait_s = _RESTART_S[min(self._quick_deaths, len(_RESTART_S)) - 1]
        self._restart_at_ns = clock.monotonic_ns() + int(wait_s * clock.NS_PER_S)

    def leave(self) -> None:
        """Tell it to finish its work and leave."""
        self.leaving = True
        if self._process is not None:
            self._write(b"leave\n")

    def is_gone(self) -> bool:
        """Whether it has ended."""
        self.poll()
        return self._process is None

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._settle(self._process.wait())
