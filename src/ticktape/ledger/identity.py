"""Whether a stage holds exactly what the journal brought, while it runs; pure.

A stage says: up to this position I was given so many rows. The ledger has counted the same journal
by itself; the two must be equal at that very position. So its sums are kept, at the end of every
block, until the stage has passed it.
"""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ticktape.ledger.counting import Brought, Ends
from ticktape.ledger.entries import Identity, place_of
from ticktape.records import Position

# 8 bytes each and 8 for each kind: with a table that stands still, memory ends here, and what it
# says is compared again once it has caught up.
BLOCKS_MAX = 100_000
_CHUNK_BLOCKS = 1_024  # blocks that come one by one are kept together: a chunk takes 1 kB by itself


class _Sums(NamedTuple):
    """Sums at the end of each of some blocks: `before` all of them, and what each kind grew."""

    epoch: int
    ends: Ends
    before: dict[str, int]
    grown: dict[str, Ends]

    @property
    def last(self) -> Position:
        return Position(self.epoch, int(self.ends[-1]))

    def takes(self, chunk: "_Sums") -> bool:
        """Whether the blocks behind these are better kept with them."""
        count, more = len(self.ends), len(chunk.ends)
        return self.epoch == chunk.epoch and count <= 2 * more and count + more <= _CHUNK_BLOCKS

    def joined(self, chunk: "_Sums") -> "_Sums":
        """These blocks and those behind them."""
        grown = {}
        for kind in self.grown.keys() | chunk.grown.keys():
            first = self.grown.get(kind, np.zeros(len(self.ends), np.int64))
            # What other kinds have at a place is known of this one, too: it did not grow.
            grew = chunk.before.get(kind, 0) - self.before.get(kind, 0)
            second = chunk.grown.get(kind, np.zeros(len(chunk.ends), np.int64))
            grown[kind] = np.concatenate([first, second + grew])
        return _Sums(self.epoch, np.concatenate([self.ends, chunk.ends]), self.before, grown)


class SumsKept:
    """A feed's rows by kind at the ends of its latest blocks."""

    def __init__(
        self, start: Position, totals: Mapping[str, int], blocks_max: int = BLOCKS_MAX
    ) -> None:
        self._start = (start, dict(totals))
        self._blocks_max = blocks_max
        self._chunks: deque[_Sums] = deque()
        self._blocks = 0

    def __len__(self) -> int:
        return self._blocks

    def add(self, brought: Brought, before: Mapping[str, int]) -> None:
        """Keep the sums of these blocks; `before` are the totals where they begin."""
        ends = np.array([block.end_offset for block in brought.blocks], np.int64)
        epoch = brought.blocks[0].epoch
        chunk = _Sums(epoch, ends, dict(before), dict(brought.ends))
        self._blocks += len(ends)
        # As often doubled as a number has digits, so that no block is copied again and again.
        while self._chunks and self._chunks[-1].takes(chunk):
            chunk = self._chunks.pop().joined(chunk)
        self._chunks.append(chunk)
        while self._blocks > self._blocks_max and len(self._chunks) > 1:
            self._drop_first()

    def _drop_first(self) -> None:
        chunk = self._chunks.popleft()
        self._blocks -= len(chunk.ends)

    def at(self, position: Position) -> dict[str, int] | None:
        """The sums at this position; None when it is not known any more, or no block's end."""
        if position == self._start[0]:
            return dict(self._start[1])
        for chunk in self._chunks:
            if position <= chunk.last:
                index = int(np.searchsorted(chunk.ends, position.offset))
                if chunk.epoch != position.epoch or chunk.ends[index] != position.offset:
                    return None
                grown = {kind: int(rows[index]) for kind, rows in chunk.grown.items()}
                kinds = chunk.before.keys() | grown.keys()
                return {kind: chunk.before.get(kind, 0) + grown.get(kind, 0) for kind in kinds}
        return None

    def forget(self, position: Position) -> None:
        """Keep nothing that lies before this position."""
        while self._chunks and self._chunks[0].last < position:
            self._drop_first()
        if self._chunks and self._chunks[0].epoch == position.epoch:
            first = self._chunks[0]
            passed = int(np.searchsorted(first.ends, position.offset))
            grown = {kind: rows[passed:] for kind, rows in first.grown.items()}
            self._chunks[0] = first._replace(ends=first.ends[passed:], grown=grown)
            self._blocks -= passed


class StageIdentity:
    """Compares one stage of one feed with what the ledger counted."""

    def __init__(self, feed: str, stage: str, sums: SumsKept) -> None:
        self._feed = feed
        self._stage = stage
        self._sums = sums
        self._awaited: tuple[Position, dict[str, int]] | None = None
        self._judged: Position | None = None
        self._told: dict[str, int] = {}
        self._surplus: dict[str, int] = {}
        self.compared = 0
        self.unknown = 0
        self.differences = 0

    def hear(self, position: Position, received: Mapping[str, int]) -> None:
        """The stage says how many rows it was given up to `position`.

        While what it said before lies ahead of the ledger, that is awaited: a stage that is always
        ahead would else never be compared.
        """
        if self._awaited is None and position != self._judged:
            self._awaited = (position, dict(received))

    def judge_end(
        self, end: Position, position: Position, received: Mapping[str, int]
    ) -> Identity | None:
        """The stage's last word, when the ledger has read to the journal's `end`."""
        self._awaited = (position, dict(received))
        return self.judge(end, is_end=True)

    def judge(self, read: Position, *, is_end: bool = False) -> Identity | None:
        """Compare what is awaited if the ledger has read up to there; None when there is no news.

        Less than was journaled is told at once. More may be a stage that was killed between the
        kinds of a commit, and is told when a later position says so as well, or when the stage is
        at the journal's end (`is_end`: nothing lies behind `read`).
        """
        if self._awaited is None or self._awaited[0] > read:
            return None
        (position, received), self._awaited = self._awaited, None
        self._judged = position
        expected = self._sums.at(position)
        if expected is None:
            self.unknown += 1
            return None
        self._sums.forget(position)
        self.compared += 1
        kinds = received.keys() | expected.keys()
        over = {kind: received.get(kind, 0) - expected.get(kind, 0) for kind in kinds}
        certain = is_end and position == read
        differing = {
            kind: by
            for kind, by in over.items()
            if by < 0 or (by > 0 and (certain or kind in self._surplus))
        }
        self._surplus = {kind: by for kind, by in over.items() if by > 0}
        if differing == self._told:
            return None
        self._told = differing
        if not differing:
            return None
        self.differences += 1
        return Identity(
            self._feed,
            self._stage,
            place_of(position),
            {kind: received.get(kind, 0) for kind in sorted(differing)},
            {kind: expected.get(kind, 0) for kind in sorted(differing)},
        )


def identity_words(entry: Identity) -> str:
    """An entry in words, for an alert."""
    epoch, offset = entry.position
    numbers = "; ".join(
        f"{kind}: {entry.received[kind]:,} and not {entry.expected[kind]:,}"
        for kind in entry.received
    )
    return f"{entry.feed} does not add up at stage {entry.stage}, {epoch}:{offset}: {numbers}"
