"""One feed's blocks as the records that last values are made of, live and when derived again."""

from collections.abc import Callable, Sequence

from ticktape.journal.blocks import Block
from ticktape.records import Gap, Record


class Arrivals:
    """Decodes a feed's blocks; where the journal has a hole a gap says so: it ends order books."""

    def __init__(self, feed: str, decode: Callable[[Block], list[Record]]) -> None:
        self._feed = feed
        self._decode = decode
        self._newest: Block | None = None

    def records(self, blocks: Sequence[Block]) -> list[Record]:
        """The records of the next blocks, in the journal's order."""
        records: list[Record] = []
        newest = self._newest
        for block in blocks:
            if newest is not None and block.seq != newest.next_seq:
                records.append(_hole(self._feed, newest, block))
            newest = block
            records += self._decode(block)
        self._newest = newest
        return records


def _hole(feed: str, before: Block, after: Block) -> Gap:
    """What is missing between two blocks, because the journal is damaged: it ends order books."""
    return Gap(
        feed=feed,
        symbol="",
        event_ns=before.recv_ns,
        recv_ns=after.recv_ns,
        epoch=after.epoch,
        seq=after.seq,
        index=-1,  # before all that the block brought
        from_ns=before.recv_ns,
        to_ns=after.recv_ns,
        cause="the journal is damaged",
    )
