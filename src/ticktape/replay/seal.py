"""Seals all journals of a run by hand, beside a recorder or without one."""

from collections.abc import Callable, Iterator
from functools import partial

from filelock import FileLock, Timeout

from ticktape.directory import RunDirectory
from ticktape.journal.disk import Disk, write_error
from ticktape.journal.recovery import make_all_durable, write_manifest
from ticktape.journal.sealing import Sealed, Sealer
from ticktape.replay.places import sources

_LOCK_S = 1.0

Progress = Callable[[str, int, int], None]
"""Called now and then: a segment's name, the bytes of it that are packed, and all its bytes."""


def seal_run(directory: RunDirectory, progress: Progress) -> Iterator[tuple[str, Sealed]]:
    """Seal every closed segment; yields each journal's name and what was sealed.

    Without a recorder all segments are closed, and are made durable first.

    Raises:
        Locked: another process seals.
        JournalError: the disk refused; what was sealed so far is.
    """
    for name, sealer in _sealers(directory).items():
        while waiting := sealer.waiting():
            what, total = f"{name} {waiting[0].name}", waiting[0].size_bytes()
            try:
                done = sealer.seal_next(partial(_tell, progress, what, total))
            except OSError as error:
                raise write_error(error, str(sealer.directory)) from error
            if done is None:
                break
            yield name, done


def _tell(progress: Progress, what: str, total: int, done: int) -> None:
    progress(what, done, total)


def _sealers(directory: RunDirectory) -> dict[str, Sealer]:
    """A sealer for each journal; who writes one now is found by his lock."""
    run = FileLock(directory.lock, timeout=_LOCK_S)
    try:
        run.acquire()
    except Timeout:
        return {
            name: Sealer(directory.journal(name), directory.positions(name))
            for name in sources(directory)
        }
    except OSError as error:
        raise write_error(error, str(directory.lock)) from error
    try:
        return {name: _sealer(directory, name) for name in sources(directory)}
    finally:
        run.release()


def _sealer(directory: RunDirectory, name: str) -> Sealer:
    journal = directory.journal(name)
    writer = FileLock(journal / "writer.lock", timeout=0)
    try:
        writer.acquire()
    except Timeout:  # of a recorder that was killed, and still drains
        return Sealer(journal, directory.positions(name))
    except OSError as error:
        raise write_error(error, str(journal)) from error
    try:
        write_manifest(Disk(), make_all_durable(journal, directory.positions(name)))
        return Sealer(journal, None)
    except OSError as error:
        raise write_error(error, str(journal)) from error
    finally:
        writer.release()
