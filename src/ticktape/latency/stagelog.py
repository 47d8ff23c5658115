"""What a stage did: a row of 40 bytes per batch, saying which positions reached it and when.

`append` is on the hot path: it never touches the disk until its memory is full, and nothing that
the disk does ever raises from it.
"""

import struct
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ticktape.journal.blocks import Block
from ticktape.latency.rowfile import RowFile, RowStatistics, RunId

STAGES: Final = ("recv", "written", "synced", "last", "decided", "stored")
"""The stages in the order of an entry's way; `recv` stands in the journal's block headers."""

# A row: the stage has done the blocks [from_offset, to_offset) of `epoch`, `count` entries, at
# `mono_ns`.
FIELDS: Final = ("epoch", "from_offset", "to_offset", "mono_ns", "count")
_ROW_WORDS: Final = len(FIELDS)
_ROW_BYTES: Final = 8 * _ROW_WORDS
# 4,096 rows wait in memory at most, 160 kB on the disk.
_WORDS_MAX: Final = 4096 * _ROW_WORDS


class StageLog:
    """The rows of one stage for one feed, in one process; for one thread.

    `directory` is DIR/stages/<stage>/ and its name is the stage's. The caller flushes when it has a
    moment (before it sleeps, or every 50 ms); a killed process loses what it had not flushed, and
    those entries then have no stamp.
    """

    __slots__ = ("_file", "_words")

    def __init__(self, directory: Path, name: str, run_id: RunId) -> None:
        self._file = RowFile(directory, directory.name, name, run_id, _ROW_BYTES)
        self._words: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file, which is there after the first flush of a row."""
        return self._file.path

    def append(
        self, epoch: int, from_offset: int, to_offset: int, mono_ns: int, count: int
    ) -> None:
        """Note that the stage has done [from_offset, to_offset) of `epoch` at `mono_ns`."""
        # A flat list takes a row in half the time of packing it, which is left to `flush`.
        words = self._words
        words += (epoch, from_offset, to_offset, mono_ns, count)
        if len(words) >= _WORDS_MAX:
            self.flush()

    def append_each(self, blocks: Iterable[Block], mono_ns: Iterable[int]) -> None:
        """Note of each block when the stage had done it; blocks behind the last time are left."""
        words = self._words
        for block, done_ns in zip(blocks, mono_ns, strict=False):
            words += (block.epoch, block.offset, block.end_offset, done_ns, block.count)
        if len(words) >= _WORDS_MAX:
            self.flush()

    def flush(self) -> None:
        """Hand the rows to the system: they then survive `kill -9`."""
        words = self._words
        if words:
            self._file.write(struct.pack(f"<{len(words)}q", *words))
            words.clear()
        else:
            self._file.drain()

    def statistics(self) -> RowStatistics:
        """Rows flushed, and those that the disk refused."""
        return self._file.statistics()

    def close(self) -> None:
        """Flush and close; may be called twice."""
        self.flush()
        self._file.close()
