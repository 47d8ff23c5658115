"""The lock that keeps a second writer from a journal; it falls with its process."""

from pathlib import Path

from filelock import FileLock, Timeout

from ticktape.errors import Locked


def lock_journal(directory: Path) -> FileLock:
    """Take the journal's folder, made if it is missing; any thread may release it.

    Raises:
        Locked: another process, or another writer in this one, has it.
        OSError: the folder cannot be made or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / "writer.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise Locked(
            f"{directory}: another recorder is writing here",
            hint="Stop it first, or give this one another directory.",
        ) from error
    return lock
