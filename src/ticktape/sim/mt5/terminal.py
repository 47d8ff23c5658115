"""The running terminal: who starts a world, ends it, takes its link down, and keeps its log."""

import json
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from ticktape.errors import ConfigError
from ticktape.sim.mt5.control import LEAD_NS, NEVER_NS, Clock
from ticktape.sim.mt5.description import Description
from ticktape.sim.mt5.holding import HangLock
from ticktape.sim.mt5.schedule import NS_PER_S
from ticktape.sim.mt5.world import LOCK, STARTS, Start, World, create_world

LOCK_WAIT_S = 1.0  # a client that probes has the lock for less than a millisecond

# The clocks of two starts that are further apart are of two boots, or one was set in between.
STEP_NS = 60 * NS_PER_S


class Terminal:
    """One terminal over one world; use as a context manager: it ends with it.

    As a process of its own (`locked`) it holds a lock, from which clients learn of its death.
    """

    def __init__(
        self,
        directory: Path,
        description: Description,
        *,
        clock: Clock | None = None,
        locked: bool = False,
        pid: int = 0,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        """Make the world; `start` starts it.

        Raises:
            ConfigError: the description cannot be played, or a terminal runs in the directory.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(directory / LOCK) if locked else None
        self._lock_wait_s = lock_wait_s
        self._pid = pid
        self._closed = False
        self._hang_lock = HangLock(directory)
        self._hold_lock()
        self.world: World = create_world(directory, description, clock)

    def __enter__(self) -> "Terminal":
        """Nothing more than itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """As `close`."""
        self.close()

    def close(self) -> None:
        """End, and give the maps back; may be called twice."""
        if not self._closed:
            self._closed = True
            self.end()
            self.world.close()

    def start(self) -> int:
        """Begin a new life, with everything as the description says; return its number."""
        world, control = self.world, self.world.control
        self._hold_lock()
        now_ns, wall_ns = world.clock.monotonic_ns(), world.clock.wall_ns()
        before = world.starts()
        if before:
            # One that was killed, while nobody looked, would have been shown until now.
            last = before[-1]
            self._write(
                {"event": "end", "number": last.number, "mono_ns": last.end_mono_ns or now_ns}
            )
            if control.frozen_from_ns != control.frozen_until_ns == NEVER_NS:
                self._note_frozen()
        control.alive = 0
        control.start_mono_ns, control.start_wall_ns = now_ns, wall_ns
        if not (before and self._ticks_go_on(before[-1], now_ns, wall_ns)):
            control.ticks_mono_ns, control.ticks_wall_ns = now_ns, wall_ns
        described = world.description
        control.latency_us, control.spike_ppm = described.latency_us, described.spike_ppm
        control.spike_low_ms, control.spike_high_ms = (
            described.spike_low_ms,
            described.spike_high_ms,
        )
        control.hold_gil = described.hold_gil
        control.hang = control.stall_next_ms = 0
        control.logged_in = 1
        control.frozen_from_ns = control.frozen_until_ns = NEVER_NS
        control.locked, control.pid = self._lock is not None, self._pid
        number = before[-1].number + 1 if before else 1
        control.start = number
        self._write(
            {
                "event": "start",
                "number": number,
                "mono_ns": now_ns,
                "wall_ns": wall_ns,
                "ticks_mono_ns": control.ticks_mono_ns,
                "ticks_wall_ns": control.ticks_wall_ns,
                "description": world.text,
            }
        )
        # Last: from here on clients can attach.
        control.alive = 1
        return number

    def end(self) -> None:
        """Die as a terminal does that is closed: clients hear of it at their next call."""
        control = self.world.control
        self.clear_hang()
        if control.alive:
            control.alive = 0
            # After the store: whoever still saw it alive had read the clock before.
            control.ended_mono_ns = self.world.clock.monotonic_ns()
        if self._lock is not None:
            self._lock.release()

    def disconnect(self, at_ns: int | None = None) -> int:
        """Take the link to the trade server down at a moment, by default in 5 ms; return it."""
        at_ns = at_ns or self.world.clock.monotonic_ns() + LEAD_NS
        self.world.control.disconnect(at_ns)
        return at_ns

    def reconnect(self, at_ns: int | None = None) -> int:
        """Bring the link back at a moment, by default in 5 ms; return it."""
        at_ns = at_ns or self.world.clock.monotonic_ns() + LEAD_NS
        self.world.control.reconnect(at_ns)
        self._note_frozen()
        return at_ns

    def hang(self) -> None:
        """Let no call return until `clear_hang`, or until this process ends."""
        self._hang_lock.acquire()
        self.world.control.hang = 1

    def clear_hang(self) -> None:
        """Let calls return again."""
        self.world.control.hang = 0
        self._hang_lock.release()

    def _ticks_go_on(self, last: Start, now_ns: int, wall_ns: int) -> bool:
        """Whether the ticks are those of the start before, which ran on while it was down."""
        same_clock = abs((wall_ns - now_ns) - (last.ticks_wall_ns - last.ticks_mono_ns)) < STEP_NS
        if not (same_clock and last.description.same_ticks(self.world.description)):
            return False
        return not any(self.world.ticks(name).is_through(now_ns) for name in last.description.books)

    def _hold_lock(self) -> None:
        if self._lock is None or self._lock.is_locked:
            return
        try:
            self._lock.acquire(timeout=self._lock_wait_s, poll_interval=0.01)
        except Timeout as error:
            raise ConfigError(
                [f"a terminal already runs in {Path(self._lock.lock_file).parent}"],
                hint="Stop it, or give another directory.",
            ) from error

    def _note_frozen(self) -> None:
        control = self.world.control
        bounds = {"from_ns": control.frozen_from_ns, "until_ns": control.frozen_until_ns}
        self._write({"event": "frozen", "number": control.start, **bounds})

    def _write(self, event: dict[str, object]) -> None:
        with (self.world.directory / STARTS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
