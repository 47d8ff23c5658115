"""The ledger's own journal -> gap rows: what its watchdog suspects. Pure, and never raising.

A row's feed is `ledger:` and the name of the feed that it speaks of.
"""

from collections.abc import Iterable

import msgspec
import pyarrow as pa

from ticktape.decoders.projection import BlockLike, table_of
from ticktape.decoders.session import session_gaps
from ticktape.records import EntryKind, Gap


class _Named(msgspec.Struct, frozen=True):
    feed: str = ""


_named = msgspec.json.Decoder(_Named)


class LedgerTables:
    """Turns blocks of the ledger's journal into the table of gaps."""

    def tables(self, blocks: Iterable[BlockLike]) -> dict[str, pa.Table]:
        """Gap rows in the order of the journal; entries that tell of none give nothing."""
        gaps: list[Gap] = []
        for block in blocks:
            for seq, (kind, payload) in enumerate(block.entries(), block.seq):
                if kind == EntryKind.SESSION:
                    feed = f"ledger:{_feed_of(payload)}"
                    gaps += session_gaps(payload, feed, block.recv_ns, block.epoch, seq) or []
        return {"gaps": table_of("gaps", gaps)} if gaps else {}


def _feed_of(payload: bytes) -> str:
    try:
        return _named.decode(payload).feed
    except (ValueError, RecursionError):
        return ""
