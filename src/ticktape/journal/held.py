"""What a disk that refuses has not taken yet: blocks in memory up to a bound, then exact counts.

Nothing is ever dropped uncounted here, and nothing that was accepted is dropped to make room.
"""

from collections import deque
from typing import NamedTuple

from ticktape.journal.format import BLOCK_HEADER_BYTES, WORD_BYTES


class HeldBlock(NamedTuple):
    """A block as it will be written, but for its place: nonce and offset are the next segment's."""

    seq: int
    recv_ns: int
    recv_mono_ns: int
    entries: int
    session: int
    body: bytes

    @property
    def payload_bytes(self) -> int:
        """Bytes of its entries alone, as they were received."""
        return len(self.body) - self.entries * WORD_BYTES


class HeldBlocks:
    """The blocks in the order of their numbers, and what had to be dropped.

    Args:
        bytes_max: header and body of all blocks together; the one block that met the refusal is
            held even beyond, since it had its numbers.
    """

    def __init__(self, bytes_max: int) -> None:
        self._blocks: deque[HeldBlock] = deque()
        self._bytes_max = bytes_max
        self._told = self._told_before = (0, 0)
        self._telling_seq = -1
        self.bytes = 0
        self.dropped_frames = 0
        self.dropped_bytes = 0

    def __len__(self) -> int:
        return len(self._blocks)

    @property
    def first(self) -> HeldBlock:
        """The next one to write."""
        return self._blocks[0]

    def has_room(self, block: HeldBlock) -> bool:
        """Whether one more block stays within the bound."""
        return self.bytes + BLOCK_HEADER_BYTES + len(block.body) <= self._bytes_max

    def add(self, block: HeldBlock) -> None:
        """Keep a block."""
        self._blocks.append(block)
        self.bytes += BLOCK_HEADER_BYTES + len(block.body)

    def pop(self) -> HeldBlock:
        """Take the first one out: it is written."""
        block = self._blocks.popleft()
        self.bytes -= BLOCK_HEADER_BYTES + len(block.body)
        return block

    def drop(self, block: HeldBlock) -> None:
        """Count what will never be written."""
        self.dropped_frames += block.entries
        self.dropped_bytes += block.payload_bytes

    def lose_all(self) -> int:
        """Count all that is held as dropped, at the very end; returns the entries."""
        lost = 0
        while self._blocks:
            block = self.pop()
            lost += block.entries
            if block.seq == self._telling_seq:
                self._told = self._told_before
            self.drop(block)
        return lost

    @property
    def untold_frames(self) -> int:
        """How many were dropped of which the journal does not tell."""
        return self.dropped_frames - self._told[0]

    def is_told(self) -> bool:
        """Whether the journal says of everything dropped that it was."""
        return self._told == (self.dropped_frames, self.dropped_bytes)

    def tell(self, seq: int) -> dict[str, int]:
        """What was dropped since it was last told, for the entry that gets the number `seq`."""
        frames, count_bytes = self._told
        self._telling_seq, self._told_before = seq, self._told
        self._told = (self.dropped_frames, self.dropped_bytes)
        return {"frames": self._told[0] - frames, "bytes": self._told[1] - count_bytes}
