"""The journal's block headers as columns, so that stamps can be joined with them.

It is made by whoever reads the journal; nothing here opens one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from ticktape.records import Position

Column = npt.NDArray[np.int64]


class BlockHeader(Protocol):
    """What the index takes of a block of the journal."""

    epoch: int
    offset: int
    end_offset: int
    seq: int
    count: int
    recv_mono_ns: int


@dataclass(frozen=True, slots=True)
class BlockIndex:
    """One row per block of a feed's journal, in reading order (epoch, then offset).

    A block lies at [offset, end_offset) of its epoch and holds `count` entries from `seq` on.
    `boots` gives each epoch's boot id (16 bytes): stamps compare only within one boot.

    Raises:
        ValueError: the columns differ in length or are not in reading order.
    """

    feed: str
    epoch: Column
    offset: Column
    end_offset: Column
    recv_mono_ns: Column
    count: Column
    seq: Column
    boots: Mapping[int, bytes]

    def __post_init__(self) -> None:
        columns = (self.offset, self.end_offset, self.recv_mono_ns, self.count, self.seq)
        if any(len(column) != len(self.epoch) for column in columns):
            raise ValueError(f"block index of {self.feed}: columns of different length")
        is_later_epoch = np.diff(self.epoch) > 0
        follows = (np.diff(self.epoch) == 0) & (self.offset[1:] >= self.end_offset[:-1])
        if not np.all(is_later_epoch | follows) or np.any(self.end_offset <= self.offset):
            raise ValueError(f"block index of {self.feed}: blocks are not in reading order")

    @classmethod
    def from_blocks(
        cls, feed: str, blocks: Iterable[BlockHeader], boots: Mapping[int, bytes]
    ) -> Self:
        """Index of blocks in reading order; their bodies are not kept."""
        rows = [
            (
                block.epoch,
                block.offset,
                block.end_offset,
                block.recv_mono_ns,
                block.count,
                block.seq,
            )
            for block in blocks
        ]
        table = np.array(rows, dtype=np.int64).reshape(-1, 6)
        epoch, offset, end_offset, recv_mono_ns, count, seq = np.ascontiguousarray(table.T)
        return cls(feed, epoch, offset, end_offset, recv_mono_ns, count, seq, boots)

    def __len__(self) -> int:
        return len(self.epoch)

    def epoch_range(self, epoch: int) -> tuple[int, int]:
        """Rows [first, end) of an epoch."""
        return (
            int(np.searchsorted(self.epoch, epoch, "left")),
            int(np.searchsorted(self.epoch, epoch, "right")),
        )

    def row_at(self, position: Position) -> int | None:
        """Row of the block that holds a position; None when none does."""
        first, end = self.epoch_range(position.epoch)
        row = first + int(np.searchsorted(self.offset[first:end], position.offset, "right")) - 1
        return row if row >= first and position.offset < self.end_offset[row] else None

    def row_of(self, epoch: int, seq: int) -> int | None:
        """Row of the block that holds entry `seq`; None when none does."""
        first, end = self.epoch_range(epoch)
        row = first + int(np.searchsorted(self.seq[first:end], seq, "right")) - 1
        return row if row >= first and seq < self.seq[row] + self.count[row] else None

    def position_of(self, epoch: int, seq: int) -> Position | None:
        """Position of the block that holds entry `seq`, for `path_of`; None when none does."""
        row = self.row_of(epoch, seq)
        return None if row is None else Position(epoch, int(self.offset[row]))
