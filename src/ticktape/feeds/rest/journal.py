"""The journal `<feed>.rest`: each page as it came, and what was made of the gaps.

A page's bytes are written before anything looks at them, in one block with what was asked.
"""

from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.journal.positions import JournalState
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind, Position

_KINDS = (int(EntryKind.SESSION), int(EntryKind.TEXT))


class Lost(NamedTuple):
    """What the disk has not taken since the start; it only grows."""

    dropped_frames: int
    suspect_bytes: int


class RestJournal:
    """Writes through `writer`, whose owner closes it."""

    def __init__(self, writer: Writer, wall: clock.Clock) -> None:
        self._writer = writer
        self._wall = wall

    def say(self, entry: msgspec.Struct) -> None:
        """Write an entry of our own."""
        self._append([msgspec.json.encode(entry)], None)

    def page(self, entry: msgspec.Struct, body: bytes, mono_ns: int, recv_ns: int) -> None:
        """Write a page with the request that it answers, as one block, stamped as it came.

        Raises:
            ValueError: the page is longer than a block may be.
        """
        payloads = [msgspec.json.encode(entry), body]
        self._writer.append(payloads, recv_ns, mono_ns, kinds=_KINDS)

    def _append(self, payloads: list[bytes], kinds: tuple[int, ...] | None) -> None:
        self._writer.append(
            payloads,
            self._wall.wall_ns(),
            self._wall.monotonic_ns(),
            kind=EntryKind.SESSION,
            kinds=kinds,
        )

    def takes(self) -> bool:
        """Whether the disk takes what is written; while it refuses pages would wait in memory."""
        return self._writer.state() is JournalState.OK

    def lost(self) -> Lost:
        """What was written here and may not be on the disk."""
        suspect_bytes = self._writer.positions.statistics().suspect_bytes
        return Lost(self._writer.dropped_frames, suspect_bytes)

    def is_safe(self) -> bool:
        """Wait until all that was written is on the disk; whether it is."""
        self._writer.tick()
        self._writer.sync()
        return self.takes()

    @property
    def position(self) -> Position:
        """Where the next block will lie."""
        return Position(self._writer.epoch, self._writer.offset)
