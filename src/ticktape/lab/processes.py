"""The processes of a cell: begun, watched, killed by their ids; none of them outlives it.

They are spawned, not forked, so that every system runs the same. A process whose runner dies ends
itself.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing import connection, get_context, parent_process
from typing import TYPE_CHECKING, Any

from ticktape import clock
from ticktape.errors import EXIT_INCOMPLETE, TickTapeError
from ticktape.lab.layouts import Body, Layout
from ticktape.lab.stages import TALLY, Stage, Task
from ticktape.lab.tally import OVER, Tally
from ticktape.lab.ways import Pipe, Queue, Way

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

_END_S = 5.0


def run_role(task: Task, role: str, body: Body, takes: Any, gives: Any) -> None:  # noqa: ANN401
    """The entry of every process of a cell: one role, to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the runner says when it is over
    _end_with_parent()
    tally = Tally(task.folder / TALLY, len(task.roles))
    stage = Stage(task, role, tally)
    slot = stage.slot
    try:
        body(stage, takes, gives)
    except (OSError, TickTapeError) as error:
        number = (error.errno or 0) if isinstance(error, OSError) else 0
        slot.fail(number, f"{error}")
        raise SystemExit(EXIT_INCOMPLETE) from error
    except Exception as error:
        slot.fail(0, f"{type(error).__name__}: {error}")
        raise
    finally:
        slot.cpu_ns = clock.cpu_ns()
        slot.state = OVER


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is None:
        return  # a test that calls it

    def wait() -> None:
        connection.wait([parent.sentinel])
        os._exit(EXIT_INCOMPLETE)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """What is begun here never hears a Ctrl-C, not even before it can say so; we hear it after."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    _begin_tracker()  # its own beginning would let them through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_tracker() -> None:
    """Begin the process of Python's own that clears away what killed processes leave.

    It would warn of that: a queue whose writer was killed may never be closed.
    """
    from multiprocessing.resource_tracker import ensure_running

    sys.warnoptions.append("ignore:resource_tracker")
    try:
        ensure_running()
    finally:
        sys.warnoptions.pop()


class Processes:
    """All processes of one cell; a context manager, behind which none of them is left.

    It is what a layout's program is given to begin them with.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.tally = Tally(task.folder / TALLY, len(task.roles))
        self.running: dict[str, SpawnProcess] = {}
        self._context = get_context("spawn")
        self._ways: list[Way] = []
        self._gives: dict[str, Any] = {}

    def begin(self, layout: Layout) -> None:
        """Begin them all."""
        with _deaf_to_interrupts():
            layout.program(self)
        for way in self._ways:
            way.forget()

    # What layouts call.

    def __call__(self, role: str, body: Body, takes: Any = None, gives: Any = None) -> None:  # noqa: ANN401
        """Begin a process with its ends of the ways."""
        ends = [
            takes.taking() if hasattr(takes, "taking") else takes,
            gives.giving() if hasattr(gives, "giving") else gives,
        ]
        self._gives[role] = ends[1]
        process = self._context.Process(
            target=run_role, args=(self.task, role, body, *ends), name=role
        )
        self.running[role] = process
        process.start()

    def pipe(self) -> Pipe:
        """A pipe."""
        made = Pipe(self._context)
        self._ways.append(made)
        return made

    def queue(self, *, writers: int = 1, readers: int = 1) -> Queue:
        """A queue without a bound."""
        made = Queue(self._context.Queue(), writers=writers, readers=readers)
        self._ways.append(made)
        return made

    # What the cell asks.

    @property
    def pids(self) -> dict[str, int]:
        """Role -> process id, of those that live."""
        return {
            role: process.pid
            for role, process in self.running.items()
            if process.pid is not None and process.exitcode is None
        }

    def dead(self) -> dict[str, int]:
        """Role -> exit code (below 0: the signal), of those that have ended."""
        codes = {role: process.exitcode for role, process in self.running.items()}
        return {role: code for role, code in codes.items() if code is not None}

    def kill(self, role: str) -> None:
        """Kill one, and say to those behind it what it cannot say itself any more."""
        process = self.running[role]
        process.kill()
        process.join(_END_S)
        self.mourn(role)

    def mourn(self, role: str) -> None:
        """Have the others know that a process is dead."""
        self.tally.slots[self.task.roles.index(role)].state = OVER
        gives = self._gives.get(role)
        if gives is not None:
            gives.end()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.running.values():
            if process.exitcode is None:
                process.kill()
        for process in self.running.values():
            process.join(_END_S)
            process.close()
        for way in self._ways:
            way.close()
        # Whoever still holds one keeps the queues' semaphores.
        self.running.clear()
        self._gives.clear()
        self._ways.clear()
        self.tally.close()
