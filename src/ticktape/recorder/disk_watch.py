"""Watches the disk's room for the whole run, and keeps a ballast for its last entries.

The ballast is a file of random bytes. When the disk is full it is removed, and its room goes to the
journals, for what else writes has stopped long before. It is made again, slice by slice, when there
is plenty of room; a short run never has one.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from ticktape import clock
from ticktape.config import JournalConfig
from ticktape.directory import RunDirectory
from ticktape.journal.disk import Disk
from ticktape.recorder.room import disk_free_bytes

FULL_BYTES = 4 << 20
"""With less than this a disk is as good as full."""

_LOOK_NS = 5 * clock.NS_PER_S
_AGAIN_NS = 60 * clock.NS_PER_S
_SLICE_BYTES = 1 << 20  # so that the supervisor is never busy for long
_SLICE_NS = 20_000_000


class Ballast:
    """One file that holds room free.

    Args:
        path: where it lies.
        size_bytes: how large it is to be; 0 for none.
        reserve_bytes: what must be free beside it before it is made.
    """

    def __init__(self, path: Path, size_bytes: int, reserve_bytes: int) -> None:
        self.path = path
        self._size_bytes = size_bytes
        self._reserve_bytes = reserve_bytes
        self._disk = Disk()

    def bytes(self) -> int:
        """How large it is now; 0 when there is none."""
        with contextlib.suppress(FileNotFoundError):
            return self.path.stat().st_size
        return 0

    def is_wanted(self, free_bytes: int) -> bool:
        """Whether it should grow: it is not whole, and the disk has plenty of room."""
        there = self.bytes()
        wanted = self._reserve_bytes + 2 * self._size_bytes + FULL_BYTES
        return there < self._size_bytes and free_bytes + there >= wanted

    def grow(self) -> bool:
        """Make it one slice larger; whether it is whole now. A refusal leaves it as it is."""
        there = self.bytes()
        # Random, for a disk that packs what it stores would store nothing of zeros.
        piece = self._disk.random_bytes(min(_SLICE_BYTES, self._size_bytes - there))
        with contextlib.suppress(OSError), open(self.path, "ab", buffering=0) as file:
            there += file.write(piece)
        return there >= self._size_bytes

    def free(self) -> int:
        """Remove it; returns the bytes that this gave back."""
        there = self.bytes()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        return there


class DiskWatch:
    """Says what becomes of the disk's room, and frees the ballast when it is full.

    Args:
        root: the run's directory.
        config: its reserve and its ballast.
        tell: called with an event's name ("trouble" or "mended"), words and a hint.
        free_bytes: asked how many bytes a disk has free; a test's own.
    """

    def __init__(
        self,
        root: Path,
        config: JournalConfig,
        tell: Callable[[str, str, str], None],
        free_bytes: Callable[[Path], int] = disk_free_bytes,
    ) -> None:
        self._root = root
        self._reserve_bytes = config.reserve_bytes
        self._ballast = Ballast(
            RunDirectory(root).ballast, config.ballast_bytes, config.reserve_bytes
        )
        self._tell = tell
        self._free_bytes = free_bytes
        self._look_at_ns = 0
        self._say_at_ns = 0
        self._grow_from_ns = clock.monotonic_ns() + _LOOK_NS
        self._is_short = self._is_freed = False
        self.is_growing = False
        """Whether the ballast has a slice yet to come."""

    def hurry(self) -> None:
        """Look at once the next time: a capture could not write."""
        self._look_at_ns = 0

    def look(self) -> None:
        """Look at the disk if it is time, and do what is to be done."""
        now_ns = clock.monotonic_ns()
        if now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + _LOOK_NS
        self.is_growing = False
        free_bytes = self._free_bytes(self._root)
        self._see_reserve(now_ns, free_bytes)
        if free_bytes < FULL_BYTES:
            freed_bytes = self._ballast.free()
            if freed_bytes:
                self._is_freed = True
                words = f"the disk is full: the ballast of {freed_bytes / 1e6:.0f} MB is freed"
                self._tell("trouble", words, "Free some at once: this is the journal's last room.")
        elif now_ns >= self._grow_from_ns and self._ballast.is_wanted(free_bytes):
            self._look_at_ns = now_ns + _SLICE_NS
            self.is_growing = not self._ballast.grow()
            if not self.is_growing and self._is_freed:
                self._is_freed = False
                self._tell("mended", "the disk has room: the ballast is back", "")

    def _see_reserve(self, now_ns: int, free_bytes: int) -> None:
        """Warn, once a minute at most, of less room than the config wants, and say its end."""
        left = f"the disk has {free_bytes / 1e9:.1f} GB left"
        if free_bytes < self._reserve_bytes:
            self._is_short = True
            if now_ns >= self._say_at_ns:
                self._say_at_ns = now_ns + _AGAIN_NS
                hint = "Free some, or move older runs: a full disk makes capture hold, then drop."
                self._tell("trouble", f"{left}, less than reserve_bytes", hint)
        elif self._is_short:
            self._is_short, self._say_at_ns = False, 0
            self._tell("mended", left, "")

    def close(self) -> None:
        """Remove the ballast: without a run it is of no use."""
        self._ballast.free()
