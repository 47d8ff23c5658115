"""Gaps where blocks are missing in a journal that is damaged, among the records of the others."""

from collections.abc import Sequence
from typing import Protocol

from ticktape.decoders.drafts import DraftingProjection, Sifted
from ticktape.journal.blocks import Block
from ticktape.records import Gap, Record

CAUSE = "the journal is damaged"


class Decodes(Protocol):
    """What is needed of a feed's decoder."""

    def decode(self, block: Block) -> Sequence[Record]:
        """The records of a block, in order."""


class HoleTeller:
    """A feed's decoder that is given all its blocks in order, and tells where one is missing.

    Args:
        feed: its name.
        decoder: makes the records of each block.
        next_seq: number of the first entry to come; -1 when it is not known.
    """

    def __init__(self, feed: str, decoder: Decodes, next_seq: int = -1) -> None:
        self._feed = feed
        self._decoder = decoder
        self._next_seq = next_seq
        self._last_ns: int | None = None

    def decode(self, block: Block) -> Sequence[Record]:
        """The records of a block, in order; before them the gap between it and the last one."""
        before = self._next_seq
        gap = None if before in (block.seq, -1) else self._gap(block)
        self._next_seq, self._last_ns = block.seq + block.count, block.recv_ns
        found = self._decoder.decode(block)
        return found if gap is None else [gap, *found]

    def drafts(self, blocks: Sequence[Block]) -> Sifted | None:
        """What the blocks bring, as drafts; None when they must go through `decode`.

        So they must when one is missing, and when the decoder has no drafts. Nothing changes here:
        who took the drafts calls `passed`.
        """
        if not isinstance(self._decoder, DraftingProjection):
            return None
        expected = self._next_seq
        for block in blocks:
            if expected not in (block.seq, -1):
                return None
            expected = block.seq + block.count
        return self._decoder.drafts(blocks)

    def passed(self, last: Block) -> None:
        """Go on behind a block: it and those before it went another way than `decode`."""
        self._next_seq, self._last_ns = last.seq + last.count, last.recv_ns

    def _gap(self, block: Block) -> Gap:
        from_ns = block.recv_ns if self._last_ns is None else self._last_ns
        return Gap(
            feed=self._feed,
            symbol="",
            event_ns=from_ns,
            recv_ns=block.recv_ns,
            epoch=block.epoch,
            seq=block.seq,
            index=-1,  # before all that the block brought
            from_ns=from_ns,
            to_ns=block.recv_ns,
            cause=CAUSE,
        )
