"""A disk whose syncs are noted with their length, so that `latency --worst` can name them."""

from pathlib import Path

from ticktape import clock
from ticktape.journal.disk import Disk
from ticktape.latency import PauseKind, PauseLog


class TimedDisk(Disk):
    """The disk of a writer; `pauses` takes notes from any thread."""

    def __init__(self, pauses: PauseLog) -> None:
        self._pauses = pauses

    def sync(self, descriptor: int) -> None:
        """Sync, and note how long it took."""
        start_ns = clock.monotonic_ns()
        super().sync(descriptor)
        self._pauses.record(PauseKind.FSYNC, start_ns, clock.monotonic_ns() - start_ns)

    def sync_directory(self, path: Path) -> None:
        """Sync the names in a folder, and note how long it took."""
        start_ns = clock.monotonic_ns()
        super().sync_directory(path)
        self._pauses.record(PauseKind.FSYNC, start_ns, clock.monotonic_ns() - start_ns)
