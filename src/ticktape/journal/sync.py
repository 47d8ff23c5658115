"""The group commit: one thread that makes written bytes durable, every few milliseconds.

It never touches the writer's descriptor or state: it syncs duplicates, and hands a failure to the
writer. A failed sync is never retried and trusted: the system may have dropped the bytes and would
say yes the second time. A file that failed is not synced again; the writer begins another, and
nothing more is published until the journal's own note of the failure is on the disk.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ticktape import clock, failpoints
from ticktape.errors import SyncFailed
from ticktape.journal.disk import Disk, sync_error
from ticktape.journal.positions import Positions

_UNTOLD = 1 << 63  # no `seq` is as high


class _File:
    """A segment's file as the commit sees it; `end` is (offset, seq) once it is complete."""

    __slots__ = ("descriptor", "end", "failed", "named")

    def __init__(self, descriptor: int, *, named: bool) -> None:
        self.descriptor = descriptor
        self.named = named
        self.failed = False
        self.end: tuple[int, int] | None = None


class Failure(NamedTuple):
    """A sync that failed: all from `start` to the end of its file is suspect.

    Of failures in a row each has the first one's `start`: what told of those is suspect with it.
    """

    start: int
    file: _File
    error: SyncFailed

    def end(self) -> int | None:
        """Where the file ends; None while the writer still appends to it."""
        return None if self.file.end is None else self.file.end[0]


class GroupCommit:
    """Syncs what a writer has written, by itself every `commit_s`, or when asked to.

    The writer's thread only appends to `_files` and sets an end, so that a roll never waits for a
    sync; whoever commits holds `_guard`. `failing` says that no sync has succeeded since one
    failed.
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
        self._failures: deque[Failure] = deque()
        self._crash: BaseException | None = None
        self._synced = positions.statistics().synced  # as published
        self._suspect_end = 0
        self._note_seq = 0  # to be synced before anything is published
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.failing = False
        self.pending = threading.Event()
        """Set when there is something to commit."""

    def start(self) -> None:
        """Begin to commit in the background."""
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def follow(self, descriptor: int, *, named: bool = False) -> None:
        """Go on with another file; `named` says that its name is durable already."""
        self._files.append(_File(self._disk.duplicate(descriptor), named=named))

    def finish(self, end: int, next_seq: int) -> None:
        """Say that the file followed last is complete up to `end`."""
        if self._files:
            self._files[-1].end = (end, next_seq)
        self.pending.set()

    def sync_now(self, written: int, next_seq: int) -> None:
        """Sync in the caller's thread; whether it failed, `take_failures` tells."""
        with self._guard:
            self._commit(written, next_seq)

    def take_failures(self) -> list[Failure]:
        """The failures since the last call.

        Raises:
            BaseException: what ended the thread, if anything did; that is our own bug.
        """
        if self._crash is not None:
            raise self._crash
        failures = []
        while self._failures:
            failures.append(self._failures.popleft())
        return failures

    def told(self, next_seq: int) -> None:
        """Say that the entries before `next_seq` tell of every failure that was taken."""
        with self._guard:
            if not self._failures:
                self._note_seq = next_seq
        self.pending.set()

    def forget_finished(self) -> None:
        """Let complete files go unsynced (sync = "os")."""
        with self._guard:
            while self._files and self._files[0].end is not None:
                self._close(self._files.popleft())

    def stop(self) -> None:
        """End the thread; may be called twice."""
        self._stop.set()
        self.pending.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Give the files back, synced or not; may be called twice."""
        self.stop()
        while self._files:
            self._close(self._files.popleft())

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self.pending.wait()
                if self._stop.wait(self._commit_s):
                    return
                self.pending.clear()
                with self._guard:
                    # Taken before `_files` is looked at: a position of a newer file implies that
                    # the older one has its end by now.
                    statistics = self._positions.statistics()
                    self._commit(statistics.written, statistics.written_seq)
        except BaseException as error:  # noqa: BLE001 - the writer raises it in its own thread
            self._crash = error

    def _commit(self, written: int, next_seq: int) -> None:
        """Sync complete files in order, then the present one up to `written`."""
        while self._files:
            file = self._files[0]
            end = file.end
            if not file.failed:
                self._sync(file, *(end or (written, next_seq)))
            if end is None:
                return
            if file.failed:
                # It becomes readable for the durable with the note that it is suspect.
                self._suspect_end = end[0]
            self._files.popleft()
            self._close(file)

    def _close(self, file: _File) -> None:
        with contextlib.suppress(OSError):  # a sync has said all that there is to say
            self._disk.close(file.descriptor)

    def _sync(self, file: _File, end: int, next_seq: int) -> None:
        if end <= self._synced:
            return
        try:
            if not file.named:
                self._disk.sync_directory(self._directory)
                file.named = True
            failpoints.pass_by("journal.before-sync")
            self._disk.sync(file.descriptor)
            failpoints.pass_by("journal.after-sync")
        except OSError as error:
            file.failed = self.failing = True
            # At once: the process may end before its writer can write a note.
            self._positions.publish_doubt(self._synced)
            self._note_seq = _UNTOLD
            failure = sync_error(error, str(self._directory))
            self._failures.append(Failure(self._synced, file, failure))
            return
        if next_seq < self._note_seq:
            return
        self._note_seq = 0
        start, self._synced = max(self._synced, self._suspect_end), end
        self._positions.publish_synced(end, next_seq)
        if self.failing:
            self.failing = False
            self._positions.clear_doubt()
        if self._on_synced is not None:
            self._on_synced(start, end, clock.monotonic_ns())
