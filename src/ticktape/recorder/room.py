"""Whether the disk still has more room than the config reserves for the journal.

What can wait, waits below that: sealing, the table, decisions. The journal itself never asks.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from ticktape import clock
from ticktape.errors import Full

_LOOK_NS = clock.NS_PER_S
_MORE = 16  # so much of the reserve on top, as a part of it, before it is over


class Room:
    """The room on one disk, looked at once a second at most.

    Args:
        root: a folder on it.
        reserve_bytes: what is for the journal alone; 0 reserves nothing.
        free_bytes: asked how many bytes a disk has free; a test's own.
    """

    def __init__(
        self,
        root: Path,
        reserve_bytes: int,
        free_bytes: Callable[[Path], int] | None = None,
    ) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._free_bytes = free_bytes or disk_free_bytes
        self._look_at_ns = 0
        self._is_short = False

    def is_short(self) -> bool:
        """Whether less than the reserve is left; once it was, until there is clearly more."""
        now_ns = clock.monotonic_ns()
        if self._reserve_bytes and now_ns >= self._look_at_ns:
            self._look_at_ns = now_ns + _LOOK_NS
            more = self._reserve_bytes // _MORE if self._is_short else 0
            self._is_short = self._free_bytes(self._root) < self._reserve_bytes + more
        return self._is_short

    def ask(self, who: str) -> None:
        """Go on only if there is room.

        Raises:
            Full: there is not.
        """
        if self.is_short():
            raise Full(self.words(who), hint=HINT)

    def words(self, who: str) -> str:
        """That somebody waits, for the log."""
        return f"{who} until the disk has reserve_bytes ({self._reserve_bytes / 1e9:.1f} GB) left"


HINT = "Free some, or let keep_bytes delete old segments; the journal goes on meanwhile."


def disk_free_bytes(root: Path) -> int:
    """Bytes that this process may still write to the disk of a folder."""
    return shutil.disk_usage(root).free
