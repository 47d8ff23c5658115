"""Some blocks of a journal that are decoded at once: their entries, and what these brought."""

from typing import TYPE_CHECKING, Any

import numpy as np

from ticktape.decoders.origin import Longs, Origin, origin_of
from ticktape.records import EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ticktape.decoders.projection import BlockLike

# Some 8,000 trades. Measured on these: with half of it reading took a fifth longer; with double,
# which falls out of the cache and whose columns are new memory each time, half as long again.
CHUNK_BYTES = 1_000_000

# Plain numbers: an enum is three times as slow to compare.
_TEXT, _BINARY = int(EntryKind.TEXT), int(EntryKind.BINARY)

LAST_DATA_KIND = _BINARY
"""TEXT and BINARY are what the venue sent; what is above is our own."""


class Chunk:
    """Blocks; the entries of all of them; and how many of these each block has (`sizes`).

    Who reads the entries fills in `counts`, how many messages each brought, none those of our own,
    and maybe `messages`, all of them in one list.
    """

    __slots__ = ("blocks", "counts", "entries", "messages", "own", "sizes")

    def __init__(self) -> None:
        self.blocks: list[BlockLike] = []
        self.entries: list[tuple[int, bytes]] = []
        self.sizes: list[int] = []
        self.own: list[BlockLike] = []
        """The blocks among them that hold entries of our own."""
        self.counts: list[int] = []
        self.messages: list[Any] = []

    def gather(self, blocks: "Iterator[BlockLike]") -> bool:
        """Take blocks until it is full; whether there were any."""
        size = 0
        for block in blocks:
            found = block.entries()
            self.blocks.append(block)
            self.sizes.append(len(found))
            self.entries += found
            for kind, payload in found:
                size += len(payload)
                if kind > LAST_DATA_KIND and (not self.own or self.own[-1] is not block):
                    self.own.append(block)
            if size >= CHUNK_BYTES:
                break
        return bool(self.blocks)

    def texts(self) -> list[bytes] | None:
        """What the venue sent, if all of it is text, and if that is anything."""
        kinds = {kind for kind, _ in self.entries}
        if _TEXT not in kinds or _BINARY in kinds:
            return None
        return [payload for kind, payload in self.entries if kind == _TEXT]

    def count_texts(self, counts: Longs) -> None:
        """Say how many messages each of the `texts` brought."""
        found = counts.tolist()
        if len(found) < len(self.entries):
            rest = iter(found)
            found = [next(rest) if kind == _TEXT else 0 for kind, _ in self.entries]
        self.counts = found

    def origin(self) -> Origin:
        """Where each message came from."""
        seqs = np.array([block.seq for block in self.blocks], np.int64)
        recv_ns = np.array([block.recv_ns for block in self.blocks], np.int64)
        epochs = np.full(len(seqs), self.blocks[0].epoch)
        if self.blocks[-1].epoch != self.blocks[0].epoch:
            epochs = np.array([block.epoch for block in self.blocks], np.int64)
        return origin_of(recv_ns, epochs, seqs, self.sizes, self.counts)
