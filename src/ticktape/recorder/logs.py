"""Bounds the logs of a run: each is one file and a few older ones, and its oldest lines go.

A file that only we write is moved aside between two lines. A child holds its log open, and prints
into it whatever we do: what it has is copied, then its file is emptied, and it goes on at the
beginning. A line that it prints between the two is lost, which a log may.
"""

import contextlib
import os
from pathlib import Path

from ticktape import clock
from ticktape.directory import LOG_FILES, older_log

LOG_BYTES = 10 << 20
"""A log of this size is begun anew."""

_LOOK_NS = 5 * clock.NS_PER_S


def rotate(path: Path, bytes_max: int = LOG_BYTES) -> None:
    """Move a log aside that is full, for the next line to begin another; for nobody has it open.

    Raises:
        OSError: the disk refused; the log is as it was, or there is none.
    """
    if _size(path) >= bytes_max:
        _make_place(path)
        os.replace(path, older_log(path, 1))


def empty(path: Path, bytes_max: int = LOG_BYTES) -> None:
    """Copy the newest lines of a full log aside, and empty it; for a process has it open.

    Raises:
        OSError: the disk refused; the log is as it was.
    """
    size = _size(path)
    if size < bytes_max:
        return
    _make_place(path)
    with open(path, "r+b") as log, open(older_log(path, 1), "wb") as copy:
        if size > bytes_max:
            log.seek(size - bytes_max)
            log.readline()  # the rest of a line
        while piece := log.read(1 << 20):
            if copy.tell() >= 2 * bytes_max:
                break  # it prints faster than we copy
            copy.write(piece)
        copy.flush()
        log.truncate(0)


def _make_place(path: Path) -> None:
    for number in range(LOG_FILES - 1, 1, -1):
        with contextlib.suppress(FileNotFoundError):
            os.replace(older_log(path, number - 1), older_log(path, number))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


class LogWatch:
    """Looks now and then at the logs that children have open.

    Args:
        folder: where they lie.
        bytes_max: how large one may become.
    """

    def __init__(self, folder: Path, bytes_max: int = LOG_BYTES) -> None:
        self._folder = folder
        self._bytes_max = bytes_max
        self._look_at_ns = 0

    def look(self) -> None:
        """Empty those that are full, if it is time to look."""
        now_ns = clock.monotonic_ns()
        # Windows has no appending that several processes share: there a log is moved aside before
        # its child is started.
        if now_ns < self._look_at_ns or os.name == "nt":
            return
        self._look_at_ns = now_ns + _LOOK_NS
        for path in self._folder.glob("*.log"):
            with contextlib.suppress(OSError):  # of a full disk others speak
                empty(path, self._bytes_max)
