"""The group commit: one thread that makes written bytes durable, every few milliseconds.

It never touches the writer's descriptor or state: it syncs duplicates, and hands a failure to the
writer. A failed sync is never retried and trusted: the system may have dropped the bytes and would
say yes the second time.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from ticktape import clock
from ticktape.errors import JournalError
from ticktape.journal.disk import Disk, sync_error
from ticktape.journal.positions import Positions

Failure = tuple[int, int, JournalError]


class _File:
    """A segment's file as the commit sees it; `end` is (offset, seq) once it is complete."""

    __slots__ = ("descriptor", "end", "named")

    def __init__(self, descriptor: int, *, named: bool) -> None:
        self.descriptor = descriptor
        self.named = named
        self.end: tuple[int, int] | None = None


class GroupCommit:
    """Syncs what a writer has written, by itself every `commit_s`, or when asked to.

    The writer's thread only appends to `_files` and sets an end, so that a roll never waits for a
    sync; whoever commits holds `_guard`.
    """

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        positions: Positions,
        commit_s: float,
        on_synced: Callable[[int, int, int], None] | None,
    ) -> None:
        self._disk = disk
        self._directory = directory
        self._positions = positions
        self._commit_s = commit_s
        self._on_synced = on_synced
        self._guard = threading.Lock()
        self._files: deque[_File] = deque()
        self._failure: Failure | None = None
        self._synced = positions.statistics().synced
        self._pending = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to commit in the background."""
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def follow(self, descriptor: int, *, named: bool = False) -> None:
        """Go on with another file; `named` says that its name is durable already."""
        self._files.append(_File(os.dup(descriptor), named=named))

    def finish(self, end: int, next_seq: int) -> None:
        """Say that the file followed last is complete up to `end`."""
        if self._files:
            self._files[-1].end = (end, next_seq)
        self._pending.set()

    def note_written(self) -> None:
        """Say that there is something to commit."""
        if not self._pending.is_set():
            self._pending.set()

    def sync_now(self, written: int, next_seq: int) -> Failure | None:
        """Sync in the caller's thread; the failure, if there was one, now or before."""
        with self._guard:
            self._commit(written, next_seq)
        return self.take_failure()

    def take_failure(self) -> Failure | None:
        """The failure of a sync since the last call."""
        failure, self._failure = self._failure, None
        return failure

    def stop(self) -> None:
        """End the thread; may be called twice."""
        self._stop.set()
        self._pending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.is_set():
            self._pending.wait()
            if self._stop.wait(self._commit_s):
                return
            self._pending.clear()
            with self._guard:
                # Taken before `_files` is looked at: a position of a newer file implies that the
                # older one has its end by now.
                statistics = self._positions.statistics()
                self._commit(statistics.written, statistics.written_seq)

    def _commit(self, written: int, next_seq: int) -> None:
        """Sync complete files in order, then the present one up to `written`."""
        while self._files:
            file = self._files[0]
            end = file.end
            self._sync(file, *(end or (written, next_seq)))
            if end is None:
                return
            self._disk.close(file.descriptor)
            self._files.popleft()

    def _sync(self, file: _File, end: int, next_seq: int) -> None:
        if end <= self._synced:
            return
        try:
            if not file.named:
                self._disk.sync_directory(self._directory)
                file.named = True
            self._disk.sync(file.descriptor)
        except OSError as error:
            self._fail(end, error)
            return
        start, self._synced = self._synced, end
        self._positions.publish_synced(end, next_seq)
        if self._on_synced is not None:
            self._on_synced(start, end, clock.monotonic_ns())

    def _fail(self, end: int, error: OSError) -> None:
        failure = sync_error(error, str(self._directory))
        start = self._failure[0] if self._failure is not None else self._synced
        self._failure = (start, end, failure)
        # What is suspect is behind us; it becomes readable for the durable with the next sync.
        self._synced = end
