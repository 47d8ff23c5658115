"""How a child follows the journals of several feeds, and how it knows that it has read all.

Nothing here decides what is done with a block.
"""

import os
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ticktape import clock
from ticktape.config import REST
from ticktape.directory import RunDirectory
from ticktape.journal.blocks import Block
from ticktape.journal.positions import JournalState, Positions
from ticktape.journal.reader import Reader, wait_any
from ticktape.journal.recovery import make_all_durable
from ticktape.journal.wakeup import Sleeper
from ticktape.latency import PauseLog
from ticktape.recorder.priority import give_way
from ticktape.recorder.turn import is_locked
from ticktape.records import Position

_DRAIN_CHECK_S = 0.05
_LOOKS = 256  # a quarter of a millisecond: timers are not late by more
_STALL_NS = 1_000_000  # a timer that ends up to 0.2 ms late is the kernel's habit, and no stall


def writer_is_gone(directory: RunDirectory, name: str) -> bool:
    """Whether no process writes this journal now.

    The lock alone would tell; but to look at it is to hold it for a moment, in which a writer that
    starts would be turned away. So the mapped positions are asked first.
    """
    positions = Positions.for_reader(directory.positions(name))
    if positions is not None:
        said = positions.statistics()
        positions.close()
        if said.state is JournalState.CLOSED or not is_alive(said.pid):
            return True
    return not is_locked(directory.journal(name) / "writer.lock")


def is_alive(pid: int) -> bool:
    """Whether there is such a process; where nothing tells, there is."""
    if os.name == "nt":
        return True  # os.kill would end it there; the lock tells
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def sync_all(directory: RunDirectory, name: str) -> None:
    """Make durable what a writer that is gone had written; then all of it may be read as synced.

    How its last segment ended is for the next writer to say: it may be starting now.

    Raises:
        SyncFailed: the disk refused.
    """
    make_all_durable(directory.journal(name), directory.positions(name))


class Range(NamedTuple):
    """Blocks that follow one another: [from_offset, to_offset) of an epoch, `entries` in all."""

    epoch: int
    from_offset: int
    to_offset: int
    entries: int


def ranges(blocks: Sequence[Block]) -> list[Range]:
    """The blocks as ranges, cut where the epoch changes or damage was passed over."""
    found: list[Range] = []
    if not blocks:
        return found
    epoch, begin = blocks[0].epoch, blocks[0].offset
    end, entries = begin, 0
    for block in blocks:
        if block.offset != end or block.epoch != epoch:
            found.append(Range(epoch, begin, end, entries))
            epoch, begin, entries = block.epoch, block.offset, 0
        end = block.end_offset
        entries += block.count
    found.append(Range(epoch, begin, end, entries))
    return found


class Following:
    """Readers of several feeds with one sleeper.

    Args:
        directory: the run's.
        starts: feed -> where to begin.
        pauses: where a wake-up that came too late is noted.
        synced: read only what survives power loss.
        spin: never sleep.
    """

    def __init__(
        self,
        directory: RunDirectory,
        starts: dict[str, Position],
        pauses: PauseLog,
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
        self._pauses = pauses
        self._synced = synced
        self._sleeper = Sleeper()
        self._readers = list(self.readers.values())
        self._settled = False

    def read(self, max_bytes: int) -> Iterator[tuple[str, list[Block]]]:
        """One look at every feed: (feed, blocks) for those that have something."""
        for feed, reader in self.readers.items():
            blocks = reader.read(max_bytes)
            if blocks:
                yield feed, blocks

    def wait(self, timeout_s: float) -> None:
        """Sleep, or spin, until something may be new."""
        if self.spin:
            self._spin()
            return
        due_ns = wait_any(self._readers, self._sleeper, timeout_s)
        if due_ns and clock.monotonic_ns() - due_ns > _STALL_NS:
            self._pauses.record_wake(due_ns)

    def _spin(self) -> None:
        """Look at the writers' words until one has moved, but not for long."""
        for _ in range(_LOOKS):
            for reader in self._readers:
                if reader.has_news():
                    return
            # Else the capture, which is to bring the news, waits for its turn on this CPU.
            give_way()

    def is_at_limit(self) -> bool:
        """Whether `read` has left nothing behind: then it need not be asked again to know."""
        return all(map(Reader.is_at_limit, self._readers))

    def rouse(self) -> None:
        """End a wait, or the next one; may be called from any thread."""
        self._sleeper.rouse()

    def is_drained(self, over: Collection[str] = ()) -> bool:
        """Whether all is read; call it, after the word to leave, when `read` yields nothing.

        While a writer is still there, it waits a moment and says no. When all are gone, the readers
        go over to the files themselves, so that the last word is what is on the disk. Feeds in
        `over` are read to the end, whoever writes them now. What `ticktape heal` writes meanwhile
        is waited for by nobody: of that only what is there already is read.
        """
        if not self._settled:
            waiting = [feed for feed in self.readers if feed not in over]
            writing = {feed for feed in waiting if not writer_is_gone(self.directory, feed)}
            if not all(self._is_foreign(feed) for feed in writing):
                clock.sleep_s(_DRAIN_CHECK_S)
                return False
            # Its slots lie in the mappings that the readers are about to close.
            self._sleeper.close()
            self._sleeper = Sleeper()
            for feed, reader in self.readers.items():
                if feed in writing:
                    continue
                if self._synced:
                    sync_all(self.directory, feed)
                reader.read_files()
            self._settled = True
            return False
        return True

    def _is_foreign(self, feed: str) -> bool:
        """Whether no process of a recorder writes this: its healer holds a lock while it works."""
        return feed.endswith(REST) and not is_locked(self.directory.live / "heal.lock")

    def behind_bytes(self) -> dict[str, int]:
        """Feed -> bytes between its reader and what it may read."""
        return {feed: reader.behind_bytes() for feed, reader in self.readers.items()}

    def close(self) -> None:
        """Close the readers; may be called twice."""
        self._sleeper.close()
        for reader in self.readers.values():
            reader.close()
