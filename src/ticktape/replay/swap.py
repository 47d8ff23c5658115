"""Puts a new folder of tables in the place of the old one, which is kept beside it.

Where the system can exchange two names in one step (Linux, macOS), a crash leaves the old tables or
the new ones in place. Elsewhere there is a moment between two renames without any: the recorder and
every reader then take the rows from the journals, and the next rebuild makes the tables again.
"""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ticktape.directory import RunDirectory
from ticktape.journal.disk import Disk

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE of Linux and RENAME_SWAP of macOS alike


def replace_tables(
    directory: RunDirectory, fresh: Path, on_step: Callable[[str], None]
) -> Path | None:
    """Move `fresh` to the tables' place; where the old ones are now, None when there were none.

    Args:
        directory: the run's; nobody else may write its tables.
        fresh: a folder of the same file system, its content synced.
        on_step: called by name between the steps, for tests of crashes.

    Raises:
        OSError: the disk refused; one of the two stands in the place, and nothing is lost.
    """
    disk, root = Disk(), directory.root
    if not directory.table.exists():
        os.rename(fresh, directory.table)
        disk.sync_directory(root)
        return None
    # What is to be the old tables' name holds the new ones first: a crash here costs a copy.
    aside = _free_name(root)
    os.rename(fresh, aside)
    disk.sync_directory(root)
    on_step("ready")
    if not _exchange(directory.table, aside):
        waiting, aside = aside, _free_name(root)
        os.rename(directory.table, aside)
        on_step("between")
        os.rename(waiting, directory.table)
    disk.sync_directory(root)
    return aside


def _free_name(root: Path) -> Path:
    number = 1
    while (path := root / f"table.old-{number}").exists():
        number += 1
    return path


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False when this system or this disk cannot."""
    if os.name == "nt":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    try:
        if sys.platform == "darwin":
            return bool(libc.renamex_np(*names, _EXCHANGE) == 0)
        return bool(libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE) == 0)
    except AttributeError:
        return False  # an older C library
