"""Keeps a recorder's processes out of a run while its files are changed by hand."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ticktape.errors import Locked
from ticktape.journal.disk import write_error


@contextlib.contextmanager
def hold(root: Path, paths: Iterable[Path], wait_s: float, hint: str) -> Iterator[None]:
    """Hold these locks of the run at `root`, waiting `wait_s` at most for each.

    Raises:
        Locked: another process has one of them; `hint` says what to do then.
        JournalError: the directory cannot be written.
    """
    with contextlib.ExitStack() as stack:
        for path in paths:
            lock = FileLock(path, timeout=wait_s)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire()
            except Timeout as error:
                raise Locked(
                    f"{root}: a recorder is at work here ({path.name})", hint=hint
                ) from error
            except OSError as error:
                raise write_error(error, str(path)) from error
            stack.callback(lock.release)
        yield
