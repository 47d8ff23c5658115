"""One child process as its supervisor sees it: started, heard, told to leave, started again.

Nothing that a child does, and nothing that the machine refuses it, may end or block the supervisor.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

from ticktape import clock
from ticktape.errors import EXIT_BUG, EXIT_CONFIG
from ticktape.recorder.logs import rotate
from ticktape.recorder.parent import EXIT_REFUSED, EXIT_STOPPED, LEAVE
from ticktape.recorder.task import DecideTask, Task, encode_task
from ticktape.recorder.telling import Teller

if TYPE_CHECKING:
    import queue

_RESTART_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_STEADY_NS = 30 * clock.NS_PER_S
_FINISH_TRIES = 3  # restarts of a reader that dies while it drains
# A start with the same config would end the same way.
_FINAL = {EXIT_REFUSED, EXIT_STOPPED, EXIT_CONFIG}


def _may_hold_secret(name: str) -> bool:
    """Keys, and proxies with a password in them: a child gets what it needs by its task."""
    return name.startswith(("APCA_", "MT5_")) or name.lower().endswith("_proxy")


def child_environment() -> dict[str, str]:
    """Our environment, without what may hold a secret."""
    return {name: value for name, value in os.environ.items() if not _may_hold_secret(name)}


def _environment_of(task: Task) -> dict[str, str]:
    """That of the process which does it."""
    environment = child_environment()
    if not isinstance(task, DecideTask):  # a strategy may multiply matrices; nobody else does
        # Else NumPy begins with a thread for each CPU, which all spin: 55 ms of CPU on two.
        environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    return environment


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
        log: its standard error is appended there, and what a strategy prints.
        events: where what it reports is put.
        finishes: it has data to bring to an end: when it dies while it leaves, it is started again
            to do so.
        cpus: those on which it stays; empty is all.
    """

    def __init__(
        self,
        name: str,
        task: Task,
        log: Path,
        events: "queue.Queue[ChildEvent]",
        *,
        finishes: bool = False,
        cpus: Collection[int] = (),
    ) -> None:
        self.name = name
        self._cpus = [",".join(map(str, sorted(cpus)))] if cpus else []
        self.task = task
        self.restarts = 0
        self.exit_code: int | None = None
        self.final = False
        self.leaving = False
        self.statistics: dict[str, Any] = {}
        self.heard_ns = 0
        self._next_task: Task | None = None
        self._log = log
        self._events = events
        self._finish_tries = _FINISH_TRIES if finishes else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._teller: Teller | None = None
        self._listener: threading.Thread | None = None
        self._started_ns = 0
        self._restart_at_ns = 0
        self._quick_deaths = 0

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self, task: Task | None = None) -> None:
        """Start the process and hand it its task, or another one this once.

        What the machine refuses is tried again later.
        """
        self._started_ns = self.heard_ns = clock.monotonic_ns()
        self.exit_code = None
        self.statistics = {}  # those of the dead one would say that this one stands
        task, self._next_task = task or self._next_task or self.task, None
        try:
            process = self._spawn()
        except OSError as error:  # no memory, no descriptor, no process left
            words = f"cannot be started: {error.strerror}"
            self._put("failed", {"words": words, "hint": "It is tried again."})
            self._wait_to_restart()
            return
        assert process.stdin is not None
        self._process = process
        self._teller = Teller(process.stdin, self.name)
        self._teller.tell("task", encode_task(task))
        self._listener = threading.Thread(
            target=self._listen, args=(process,), name=self.name, daemon=True
        )
        self._listener.start()

    def _spawn(self) -> "subprocess.Popen[bytes]":
        environment = _environment_of(self.task)
        try:
            rotate(self._log)
            log: IO[bytes] | int = open(self._log, "ab")  # noqa: SIM115 - closed below
        except OSError:
            log = subprocess.DEVNULL  # a disk that refuses a log must not cost a capture
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "ticktape.recorder.child", self.name, *self._cpus],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
            )
        finally:
            if not isinstance(log, int):
                log.close()

    def _put(self, event: str, content: dict[str, Any]) -> None:
        """Report from the supervisor's own thread, which empties the queue: never wait there."""
        if not self._events.full():
            self._events.put(ChildEvent(self.name, event, content))

    def _listen(self, process: "subprocess.Popen[bytes]") -> None:
        """Hear one process to its end, in a thread of its own.

        It waits when the queue is full, and the child's pipe then fills; the child does not wait.
        """
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                self.heard_ns = clock.monotonic_ns()
                try:
                    content = msgspec.json.decode(line, type=dict[str, Any])
                except msgspec.DecodeError:
                    continue  # cut off by its death
                event = str(content.pop("event", ""))
                if event != "statistics":
                    self._events.put(ChildEvent(self.name, event, content))
                elif self._process in (process, None):
                    self.statistics = content
        code = process.wait()
        self._events.put(ChildEvent(self.name, "exit", {"code": code, "pid": process.pid}))

    def poll(self) -> None:
        """See whether it died, and start it again when its time has come."""
        if self._process is not None:
            code = self._process.poll()
            if code is None:
                return
            self._settle(code)
        if self._stays_away() or clock.monotonic_ns() < self._restart_at_ns:
            return
        self.restarts += 1
        if self.leaving:
            self._finish_tries -= 1
        self.start()
        if self.leaving:
            self._tell("leave", LEAVE)

    def _stays_away(self) -> bool:
        """Whether it is not to be started again."""
        if self.final:
            return True
        if not self.leaving:
            return False
        died = self.exit_code is None or self.exit_code < 0 or self.exit_code == EXIT_BUG
        return not (died and self._finish_tries > 0)

    def _settle(self, code: int) -> None:
        if self._teller is not None:
            self._teller.close()
        self._process = self._teller = None
        self.exit_code = code
        self.final = code in _FINAL
        self._wait_to_restart()

    def _wait_to_restart(self) -> None:
        """The first restart comes soon; the more often it dies quickly, the later the next."""
        lived_ns = clock.monotonic_ns() - self._started_ns
        self._quick_deaths = 1 if lived_ns > _STEADY_NS else self._quick_deaths + 1
        wait_s = _RESTART_S[min(self._quick_deaths, len(_RESTART_S)) - 1]
        self._restart_at_ns = clock.monotonic_ns() + int(wait_s * clock.NS_PER_S)

    def leave(self) -> None:
        """Tell it to finish its work and leave."""
        self.leaving = True
        self._tell("leave", LEAVE)

    def change(self, task: Task, word: bytes) -> None:
        """Tell it `word`, and start it with `task` from now on: what the word has made of it."""
        self.task = task
        self._tell("change", word)

    def _tell(self, kind: str, line: bytes) -> None:
        if self._teller is not None:
            self._teller.tell(kind, line)

    def is_gone(self) -> bool:
        """Whether it has ended and stays away."""
        self.poll()
        return self._process is None and self._stays_away()

    def kill(self) -> None:
        """End it at once, for good."""
        self.leaving = True
        self._finish_tries = 0
        if self._process is not None:
            self._process.kill()
            self._settle(self._process.wait())

    def end(self, task: Task) -> None:
        """End it at once, to be started again with `task` this once."""
        if self._process is not None:
            self._next_task = task
            self._process.kill()

    def is_heard(self) -> bool:
        """Whether all that it reported is in the queue; True before its first start."""
        return self._listener is None or not self._listener.is_alive()
