"""How a child follows the journals of several feeds, and how it knows that it has read all.

Nothing here decides what is done with a block.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.blocks import Block
from ticktape.journal.disk import Disk
from ticktape.journal.reader import Reader, wait_any
from ticktape.journal.segments import list_segments
from ticktape.journal.wakeup import Sleeper
from ticktape.records import Position

_DRAIN_CHECK_S = 0.05


def writer_is_gone(journal: Path) -> bool:
    """Whether no process writes this journal now."""
    if not journal.exists():
        return True
    lock = FileLock(journal / "writer.lock", timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return False
    lock.release()
    return True


def settle(journal: Path) -> None:
    """Make durable what a writer that is gone had written; then all of it may be read as synced."""
    disk = Disk()
    for segment in list_segments(journal)[-2:]:
        with open(segment.path, "rb+") as source:
            disk.sync(source.fileno())


class Following:
    """Readers of several feeds with one sleeper.

    Args:
        directory: the run's.
        starts: feed -> where to begin.
        synced: read only what survives power loss.
        spin: never sleep.
    """

    def __init__(
        self,
        directory: RunDirectory,
        starts: dict[str, Position],
        *,
        synced: bool = False,
        spin: bool = False,
    ) -> None:
        self.directory = directory
        self.spin = spin
        self.readers = {
            feed: Reader(directory.journal(feed), directory.positions(feed), start, synced=synced)
            for feed, start in starts.items()
        }
        self._sleeper = Sleeper()
        self._order: Sequence[tuple[str, Reader]] = list(self.readers.items())
        self._settled = False

    def read(self, max_bytes: int) -> Iterator[tuple[str, list[Block]]]:
        """One look at every feed: (feed, blocks) for those that have something."""
        for feed, reader in self._order:
            blocks = reader.read(max_bytes)
            if blocks:
                yield feed, blocks

    def wait(self, timeout_s: float) -> None:
        """Sleep until something may be new; returns at once when spinning."""
        if not self.spin:
            wait_any([reader for _, reader in self._order], self._sleeper, timeout_s)

    def is_drained(self) -> bool:
        """Whether all is read; call it, after the word to leave, when `read` yields nothing.

        While a writer is still there, it waits a moment and says no. When all are gone, the readers
        go over to the files themselves, so that the last word is what is on the disk.
        """
        if not self._settled:
            if not all(writer_is_gone(self.directory.journal(f)) for f in self.readers):
                clock.sleep_s(_DRAIN_CHECK_S)
                return False
            # Its slots lie in the mappings that the readers are about to close.
            self._sleeper.close()
            self._sleeper = Sleeper()
            for feed, reader in self.readers.items():
                settle(self.directory.journal(feed))
                reader.read_files()
            self._settled = True
            return False
        return True

    def damage(self) -> dict[str, list[str]]:
        """Feed -> what its reader had to pass over, in words."""
        return {
            feed: [str(each) for each in reader.damage]
            for feed, reader in self.readers.items()
            if reader.damage
        }

    def close(self) -> None:
        """Close the readers; may be called twice."""
        self._sleeper.close()
        for reader in self.readers.values():
            reader.close()
