"""What a disk that refuses has not taken yet: blocks in memory up to a bound, then exact counts.

Nothing is ever dropped uncounted here, and nothing that was accepted is dropped to make room. Once
something was dropped, so is all that follows, until an entry tells of it: what stands before that
entry was received before the loss, and what stands behind it was received after the loss.
"""

from collections import deque
from typing import Final, NamedTuple

from ticktape.journal.format import BLOCK_HEADER_BYTES, WORD_BYTES

_TELLING_BYTES: Final = 256  # more than a block with the entry that tells what was dropped


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
        self._told_frames = self._told_bytes = 0
        self._untold_from_ns = self._untold_to_ns = 0
        self._telling: dict[int, int] = {}  # seq of an entry that is held -> frames it tells of
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
        """Whether one more block stays within the bound and follows no loss that is untold."""
        added_bytes = BLOCK_HEADER_BYTES + len(block.body)
        return self.is_told() and self.bytes + added_bytes <= self._bytes_max

    def add(self, block: HeldBlock) -> None:
        """Keep a block."""
        self._blocks.append(block)
        self.bytes += BLOCK_HEADER_BYTES + len(block.body)

    def pop(self) -> HeldBlock:
        """Take the first one out: it is written."""
        block = self._blocks.popleft()
        self.bytes -= BLOCK_HEADER_BYTES + len(block.body)
        self._telling.pop(block.seq, None)
        return block

    def drop(self, block: HeldBlock) -> None:
        """Count what will never be written."""
        if self.is_told():
            self._untold_from_ns = self._untold_to_ns = block.recv_ns
        self._untold_to_ns = max(self._untold_to_ns, block.recv_ns)
        self.dropped_frames += block.entries
        self.dropped_bytes += block.payload_bytes

    def lose_all(self) -> int:
        """Count all that is held as dropped, at the very end; returns the entries."""
        lost = 0
        while self._blocks:
            self._told_frames -= self._telling.get(self.first.seq, 0)
            block = self.pop()
            lost += block.entries
            self.drop(block)
        return lost

    @property
    def untold_frames(self) -> int:
        """How many were dropped of which the journal does not tell."""
        return self.dropped_frames - self._told_frames

    def is_told(self) -> bool:
        """Whether the journal says of everything dropped that it was."""
        return self._told_frames == self.dropped_frames

    def may_tell(self) -> bool:
        """Whether so much was written since that telling what was dropped is worth its room."""
        return 2 * (self.bytes + _TELLING_BYTES) <= self._bytes_max

    def tell(self, seq: int) -> dict[str, int]:
        """What was dropped since it was last told, for the entry that gets the number `seq`.

        With our clock's times: just before the first of it was received, and when the last was.
        """
        frames, count_bytes = self.untold_frames, self.dropped_bytes - self._told_bytes
        self._telling[seq] = frames
        self._told_frames, self._told_bytes = self.dropped_frames, self.dropped_bytes
        return {
            "frames": frames,
            "bytes": count_bytes,
            # A gap is known by where it begins, and an outage begins with what was received last:
            # if that is what was dropped, the two must not pass for one.
            "from_ns": self._untold_from_ns - 1,
            "to_ns": self._untold_to_ns,
        }
