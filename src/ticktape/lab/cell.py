"""One cell: a layout at a threshold is begun, warmed up, measured, stopped, drained, ended.

Here is only what happens and when; what it was worth is read from the files by `measure`.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ticktape import clock
from ticktape.config import Keys
from ticktape.errors import TickTapeError
from ticktape.lab.layouts import LAYOUTS, Layout
from ticktape.lab.machine import can_tell_usage, memory_bytes, usage_of
from ticktape.lab.processes import Processes
from ticktape.lab.results import CellKey, Plan
from ticktape.lab.source import parse_source
from ticktape.lab.stages import FILES, Task
from ticktape.lab.tally import READY

LIMIT = 2.0
"""A cell that has not flushed often enough at its time goes on, up to so many times as long."""
KILL_S = 1.2
KILL_BYTES = 150_000_000  # packed by then: enough, whatever the source brings
KILL_DRAIN_S = 3.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_TURN_S = 0.02
_SAMPLE_S = 0.1
_READY_S = 90.0  # a terminal takes its time to open
_MEMORY_SHARE = 0.6  # of the machine's: a queue without a bound takes what it gets


class DiskFull(TickTapeError):
    """The disk had no room for a cell's files."""


@dataclass
class Ran:
    """What happened in a cell. Captures are told apart by (leg, sequence); times are monotonic.

    `warm` are the first sequences that count, by leg, from `from_ns` on; `acquired` and
    `last_after_ns` are what there was at the end. `files_at_stop` files were whole at the stop,
    `at_kill` captures acquired, by leg, when the victim died.
    """

    key: CellKey
    folder: Path
    warm: list[int] = field(default_factory=list)
    from_ns: int = 0
    stop_ns: int = 0
    acquired: list[int] = field(default_factory=list)
    last_after_ns: int = 0
    flushes: int = 0
    files_at_stop: int = 0
    at_kill: list[int] = field(default_factory=list)
    is_drained: bool = False
    drain_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    memory: list[tuple[float, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long was measured."""
        return (self.stop_ns - self.from_ns) / clock.NS_PER_S


def task_of(plan: Plan, key: CellKey, folder: Path, keys: Keys | None, defect: str) -> Task:
    """What the processes of a cell are told; its folder must be there and empty."""
    (folder / FILES).mkdir(parents=True)
    busy = plan.acquirer == "busy"
    roles = LAYOUTS[key.layout].roles
    return Task(
        folder, parse_source(plan.source), busy, plan.format, key.threshold, roles, keys, defect
    )


def run_cell(
    plan: Plan, key: CellKey, task: Task, look: Callable[["CellRun"], None] | None = None
) -> Ran:
    """Run one cell, in its folder.

    Args:
        plan: the times.
        key: which one.
        task: what its processes are told.
        look: called at every turn of its loop; for tests, which do things to it.

    Raises:
        DiskFull: there was no room for its files.
        TickTapeError: the source cannot be opened.
    """
    with Processes(task) as processes:
        run = CellRun(plan, key, processes, look)
        run.begin()
        if key.victim:
            run.until_kill()
        else:
            run.until_measured()
        run.stop()
        run.drain(KILL_DRAIN_S if key.victim else plan.drain_s)
    return run.ran


class CellRun:
    """One cell while it runs; its steps are called in the order in which they stand here."""

    def __init__(
        self,
        plan: Plan,
        key: CellKey,
        processes: Processes,
        look: Callable[["CellRun"], None] | None,
    ) -> None:
        self.plan = plan
        self.key = key
        self.processes = processes
        self.layout: Layout = LAYOUTS[key.layout]
        self.ran = Ran(key, processes.task.folder)
        self._look = look
        self._told: set[str] = set()
        self._sample_ns = 0
        self._broken = False
        self._flushes_before = 0
        slots = dict(zip(processes.task.roles, processes.tally.slots, strict=True))
        self.slots = slots
        self._acquirers = [slots[role] for role in self.layout.acquirers]

    # Beginning.

    def begin(self) -> None:
        """Begin the processes, wait until all are ready, let them go, and warm up."""
        processes, warm_s = self.processes, self.plan.warm_s
        processes.begin(self.layout)
        end_ns = clock.monotonic_ns() + int(_READY_S * clock.NS_PER_S)
        while any(slot.state != READY for slot in self.slots.values()):
            self._turn()
            for role, slot in self.slots.items():
                if slot.failed or (self._broken and role in processes.dead()):
                    words = slot.failure or "it ended before it had begun"
                    raise TickTapeError(
                        f"{self.key.name}: {role}: {words}",
                        hint="Mend that, and run the same command again.",
                    )
            if clock.monotonic_ns() > end_ns:
                raise TickTapeError(f"{self.key.name}: not ready after {_READY_S:.0f} s")
        processes.tally.ask_go()
        # A kill needs no warm-up: nothing is timed.
        self._wait(0.0 if self.key.victim else warm_s, lambda: False)
        self.ran.from_ns = clock.monotonic_ns()
        # The last one of the warm-up counts, so that the gap behind it has its beginning.
        self.ran.warm = [max(slot.acquired - 1, 0) for slot in self._acquirers]
        self._flushes_before = self._sum("flushes")

    def _sum(self, name: str) -> int:
        return sum(getattr(slot, name) for slot in self.slots.values())

    # Running.

    def until_measured(self) -> None:
        """Run for the cell's time, or longer for want of flushes."""
        plan = self.plan
        self._wait(plan.cell_s, lambda: False)
        wanted = self._flushes_before + plan.flushes
        rest_s = (LIMIT - 1.0) * plan.cell_s
        self._wait(rest_s, lambda: self._sum("flushes") >= wanted)

    def until_kill(self) -> None:
        """Run for a moment, then kill the victim."""
        folder = self.ran.folder

        def is_enough() -> bool:
            return sum(path.stat().st_size for path in (folder / FILES).iterdir()) > KILL_BYTES

        self._wait(min(KILL_S, self.plan.cell_s), is_enough)
        if self._broken:
            return
        victim = self.key.victim
        self._sample()
        self._told.add(victim)
        self.processes.kill(victim)
        self.ran.at_kill = [slot.acquired for slot in self._acquirers]

    def _wait(self, seconds: float, is_enough: Callable[[], bool]) -> None:
        end_ns = clock.monotonic_ns() + int(seconds * clock.NS_PER_S)
        while clock.monotonic_ns() < end_ns and not self._broken and not is_enough():
            self._turn()

    def _turn(self) -> None:
        """Look at everything, then wait a moment."""
        if self._look is not None:
            self._look(self)
        now_ns = clock.monotonic_ns()
        if now_ns >= self._sample_ns:
            self._sample_ns = now_ns + int(_SAMPLE_S * clock.NS_PER_S)
            self._sample()
        self._note_deaths(stopped=False)
        clock.sleep_s(_TURN_S)

    def _sample(self) -> None:
        total = 0
        for role, pid in self.processes.pids.items():
            usage = usage_of(pid)
            if usage is not None:
                total += usage.resident_bytes
                peak = self.ran.peak_bytes.get(role, 0)
                self.ran.peak_bytes[role] = max(peak, usage.resident_bytes)
                self.ran.cpu_s[role] = usage.cpu_s
        if total and self.ran.from_ns:
            at_s = (clock.monotonic_ns() - self.ran.from_ns) / clock.NS_PER_S
            self.ran.memory.append((round(at_s, 3), total))
        limit = memory_bytes() * _MEMORY_SHARE
        if limit and total > limit and not self._broken:
            self.ran.notes.append(f"stopped: its processes held {total / 1e9:.1f} GB of memory")
            self._broken = True

    def _note_deaths(self, *, stopped: bool) -> None:
        self._mind_disk()
        for role, code in self.processes.dead().items():
            if role in self._told or (stopped and code == 0):
                continue
            self._told.add(role)
            slot = self.slots[role]
            if slot.failed == errno.EPIPE and (self._broken or self.key.victim):
                continue  # who took from it is dead, as was said
            self.ran.notes.append(f"{role} {_ending(code)}{slot.failure and f': {slot.failure}'}")
            self.processes.mourn(role)
            self._broken = True

    def _mind_disk(self) -> None:
        for slot in self.slots.values():
            if slot.failed in _FULL:
                raise DiskFull(
                    f"{self.key.name}: the disk has no room left ({slot.failure})",
                    hint="Make room; the cells that are done stay, the same command goes on.",
                )

    # Ending.

    def stop(self) -> None:
        """Have acquiring end; what is on its way may drain from here."""
        ran = self.ran
        ran.files_at_stop = self._sum("files")
        ran.flushes = self._sum("flushes") - self._flushes_before
        self.processes.tally.ask_stop()
        ran.stop_ns = clock.monotonic_ns()

    def drain(self, seconds: float) -> None:
        """Wait until all processes have ended, or the time is over; then end them."""
        ran, processes = self.ran, self.processes
        end_ns = ran.stop_ns + int(seconds * clock.NS_PER_S)
        while processes.pids and clock.monotonic_ns() < end_ns:
            self._sample()
            self._note_deaths(stopped=True)
            clock.sleep_s(_TURN_S)
        ran.is_drained = not processes.pids
        ran.drain_s = (clock.monotonic_ns() - ran.stop_ns) / clock.NS_PER_S
        self._sample()
        for role in processes.pids:
            self._told.add(role)
            processes.running[role].kill()
            processes.running[role].join()
        self._note_deaths(stopped=True)
        for role, slot in self.slots.items():
            if slot.cpu_ns:
                ran.cpu_s[role] = slot.cpu_ns / clock.NS_PER_S
        ran.acquired = [slot.acquired for slot in self._acquirers]
        ran.last_after_ns = max(slot.last_after_ns for slot in self._acquirers)
        if not can_tell_usage():
            ran.notes.append("memory is not known here: install psutil")


def _ending(code: int) -> str:
    return f"was ended from outside (signal {-code})" if code < 0 else f"ended with code {code}"
