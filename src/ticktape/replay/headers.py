"""Block headers of a whole journal in 48 bytes each, for the joins with stage rows."""

from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from ticktape.journal.blocks import Block
from ticktape.latency import BlockIndex

_COLUMNS = 6


class Headers:
    """Collects blocks in reading order; nothing of their bodies is kept."""

    def __init__(self) -> None:
        self._words = array("q")

    def __len__(self) -> int:
        return len(self._words) // _COLUMNS

    def add(self, blocks: Iterable[Block]) -> None:
        """Take the next blocks of a journal."""
        words = self._words
        for block in blocks:
            words.extend(
                (
                    block.epoch,
                    block.offset,
                    block.end_offset,
                    block.recv_mono_ns,
                    block.count,
                    block.seq,
                )
            )

    def index(self, feed: str, boots: Mapping[int, bytes]) -> BlockIndex:
        """What was collected as an index; `boots` is the boot id of each epoch."""
        table = np.array(self._words, dtype=np.int64).reshape(-1, _COLUMNS)
        epoch, offset, end_offset, recv_mono_ns, count, seq = np.ascontiguousarray(table.T)
        return BlockIndex(feed, epoch, offset, end_offset, recv_mono_ns, count, seq, boots)
