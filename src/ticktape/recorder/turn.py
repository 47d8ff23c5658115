"""One process per role and directory at a time: a successor waits for an orphan to leave.

When a supervisor is killed its children still drain, and the next supervisor starts its own at
once. Two table processes on one directory would store rows twice, so the later one waits here; and
an orphan whose successor has come need not drain at all.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.disk import write_error
from ticktape.recorder.parent import Parent

_LOOK_S = 0.05


def is_locked(path: Path) -> bool:
    """Whether another process holds this lock now; a lock that cannot be looked at is held."""
    if not path.exists():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


@contextlib.contextmanager
def turn(directory: RunDirectory, role: str, parent: Parent) -> Iterator[bool]:
    """Hold the role's place; False when the parent died while the place was taken.

    Raises:
        JournalError: the lock's file cannot be made.
    """
    lock = FileLock(directory.live / f"{role}.lock", timeout=0)
    waiting = False
    while not _is_taken(lock):
        if not waiting:
            waiting = True
            parent.tell("state", words="waits for the one before it, which is still draining")
        if parent.orphaned:
            yield False
            return
        clock.sleep_s(_LOOK_S)
    try:
        yield True
    finally:
        lock.release()


def _is_taken(lock: FileLock) -> bool:
    path = Path(lock.lock_file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return False
    except OSError as error:
        raise write_error(error, str(path)) from error
    return True


def has_successor(directory: RunDirectory, parent: Parent) -> bool:
    """Whether this process is an orphan and another recorder has taken the directory over."""
    return parent.orphaned and is_locked(directory.lock)
