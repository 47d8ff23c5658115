"""What stood in the way of a process: garbage collections, syncs, and times it was not run.

Pauses come from any thread and out of the middle of any allocation (a collection), so noting one is
a single append that no other can come between; nothing here may call back into what it interrupts.
"""

import gc
import struct
from collections import deque
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ticktape.clock import monotonic_ns
from ticktape.latency.rowfile import RowFile, RowStatistics, RunId

# Waking a blocked reader costs 37 to 87 µs by itself: a shorter pause explains nothing.
PAUSE_NS_MIN: Final = 50_000
_WAITING_MAX: Final = 4096
_STAGE: Final = "pause"


class PauseKind(IntEnum):
    """Why a process stood still."""

    GC = 1
    FSYNC = 2
    STALL = 3  # it was due, and the scheduler ran something else


FIELDS: Final = ("kind", "start_mono_ns", "duration_ns")
_ROW = struct.Struct(f"<{len(FIELDS)}q")


class PauseLog:
    """The pauses of one process, in DIRECTORY/<process>-<start_ns>-<pid>.rows; for any thread."""

    def __init__(
        self,
        directory: Path,
        process: str,
        run_id: RunId,
        *,
        pause_ns_min: int = PAUSE_NS_MIN,
        monotonic_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self._file = RowFile(directory, _STAGE, process, run_id, _ROW.size)
        self._waiting: deque[tuple[int, int, int]] = deque()
        self._pause_ns_min = pause_ns_min
        self._monotonic_ns = monotonic_ns
        self._gc_start_ns = 0
        self._overflowed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file, which is there after the first flush of a pause."""
        return self._file.path

    def record(self, kind: PauseKind, start_mono_ns: int, duration_ns: int) -> None:
        """Note a pause; one shorter than `pause_ns_min` is passed over."""
        if duration_ns < self._pause_ns_min:
            return
        if len(self._waiting) >= _WAITING_MAX:
            self._overflowed += 1
            return
        self._waiting.append((kind, start_mono_ns, duration_ns))

    def record_wake(self, due_mono_ns: int) -> None:
        """Note a stall when a sleep that was to end at `due_mono_ns` ends only now."""
        self.record(PauseKind.STALL, due_mono_ns, self._monotonic_ns() - due_mono_ns)

    def watch_gc(self) -> None:
        """Note this process's collections from now on, until `close`."""
        if self._on_gc not in gc.callbacks:
            gc.callbacks.append(self._on_gc)

    def _on_gc(self, phase: str, _details: dict[str, int]) -> None:
        now_ns = self._monotonic_ns()
        if phase == "start":
            self._gc_start_ns = now_ns
        elif self._gc_start_ns:
            self.record(PauseKind.GC, self._gc_start_ns, now_ns - self._gc_start_ns)
            self._gc_start_ns = 0

    def flush(self) -> None:
        """Hand the pauses to the system; called by one thread."""
        packed = bytearray()
        while self._waiting:
            packed += _ROW.pack(*self._waiting.popleft())
        if packed:
            self._file.write(bytes(packed))
        else:
            self._file.drain()

    def statistics(self) -> RowStatistics:
        """Pauses flushed, and those dropped because nobody flushed or the disk refused."""
        held = self._file.statistics()
        return RowStatistics(
            held.rows + self._overflowed, held.dropped + self._overflowed, held.failure
        )

    def close(self) -> None:
        """Stop watching, flush and close; may be called twice."""
        if self._on_gc in gc.callbacks:
            gc.callbacks.remove(self._on_gc)
        self.flush()
        self._file.close()
