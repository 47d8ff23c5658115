"""What a feed's journal brought, as rows by minute, kind and symbol; pure.

Counted are whole blocks in the journal's order, and an entry says up to where it counts (`until`):
whoever begins there again counts each row once. Nothing here may look at rows one by one.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.journal.blocks import Block
from ticktape.ledger.coded import Coded, coded
from ticktape.ledger.entries import Counts, Kinds, place_of
from ticktape.records import Position

MINUTE_NS = 60_000_000_000

Ends = npt.NDArray[np.int64]


class Brought:
    """Some blocks of one epoch that follow one another, and the rows that were made of them.

    `ends[kind]` is, for each block, how many rows of the kind it and the blocks before it brought.
    Of the tables only `seq`, `symbol` and what a caller asks for is looked at.
    """

    def __init__(self, blocks: Sequence[Block], tables: Mapping[str, pa.Table]) -> None:
        assert blocks[0].epoch == blocks[-1].epoch, "cut where the epoch changes"
        self.blocks = blocks
        self.tables = tables
        self.seqs: Ends = np.array([block.seq for block in blocks], np.int64)
        self.next_seqs: Ends = self.seqs + np.array([block.count for block in blocks], np.int64)
        self.recv_ns: Ends = np.array([block.recv_ns for block in blocks], np.int64)
        self.ends: dict[str, Ends] = {
            kind: np.searchsorted(self.numbers(kind, "seq"), self.next_seqs).astype(np.int64)
            for kind in tables
        }
        self._coded: dict[tuple[str, str], Coded] = {}

    def rows(self, kind: str, begin: int, end: int) -> slice:
        """Which rows of a kind blocks [begin, end) brought."""
        ends = self.ends[kind]
        return slice(int(ends[begin - 1]) if begin else 0, int(ends[end - 1]))

    def numbers(self, kind: str, column: str) -> Ends:
        """A column of int64."""
        return cast("Ends", self.tables[kind].column(column).to_numpy())

    def texts(self, kind: str, column: str) -> Coded:
        """A column of texts."""
        found = self._coded.get((kind, column))
        if found is None:
            found = self._coded[kind, column] = coded(self.tables[kind].column(column))
        return found


def spans(stamps: Ends, length_ns: int, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Ranges [begin, end) of blocks that lie in one stretch of `length_ns`, cut also at `cuts`."""
    changes = np.flatnonzero(np.diff(stamps // length_ns)) + 1
    edges = sorted({0, *changes.tolist(), *cuts, len(stamps)})
    return list(pairwise(edges))


class End(NamedTuple):
    """Where reading stood: the number that the next entry has, and when the last block came."""

    next_seq: int
    recv_ns: int


class Hole(NamedTuple):
    """Entries that are not there any more, between blocks received at these two moments."""

    from_ns: int
    to_ns: int
    until: Position


def find_holes(brought: Brought, before: End | None) -> list[Hole]:
    """Where the numbers of entries do not go on; `before` is the end of what stands before them.

    Numbers that are given again are no loss: a refusing disk had not taken them.
    """
    blocks = brought.blocks
    found = []
    if before is not None and blocks[0].seq > before.next_seq:
        found.append(Hole(before.recv_ns, blocks[0].recv_ns, blocks[0].position))
    for index in np.flatnonzero(brought.seqs[1:] > brought.next_seqs[:-1]).tolist():
        here = blocks[index + 1]
        found.append(Hole(blocks[index].recv_ns, here.recv_ns, here.position))
    return found


class FeedCounter:
    """Counts one feed's rows.

    Args:
        feed: its name.
        start: where the first block that is added begins, or before it.
        totals: kind -> rows before `start`, since the journal's beginning.
        end: of what stands before `start`; None when that is not known.
    """

    def __init__(
        self, feed: str, start: Position, totals: Mapping[str, int], end: End | None = None
    ) -> None:
        self._feed = feed
        self._at = start
        self._totals = dict(totals)
        self._settled = (start, dict(totals))
        self._settled_end = end
        self.end = end
        self._minute = -1
        self._kinds: Kinds = {}
        self._dropped = 0
        self.rows = 0
        self.dropped = 0

    @property
    def position(self) -> Position:
        """Where the next block begins."""
        return self._at

    @property
    def totals(self) -> dict[str, int]:
        """Rows by kind since the journal's beginning, up to `position`."""
        return dict(self._totals)

    @property
    def settled(self) -> tuple[Position, dict[str, int]]:
        """Up to where entries were given for all that came, and the totals there."""
        if not self._kinds and not self._dropped:
            return self._at, dict(self._totals)
        return self._settled

    @property
    def settled_end(self) -> End | None:
        """The end of what stands before the position of `settled`."""
        return self._settled_end if self._kinds or self._dropped else self.end

    def add(self, brought: Brought, dropped: Mapping[int, int] | None = None) -> list[Counts]:
        """Take the next blocks; entries of the minutes that are over.

        `dropped` are frames that the journal says it lost, by the index of the block that tells.
        """
        found: list[Counts] = []
        for begin, end in spans(brought.recv_ns, MINUTE_NS):
            minute = int(brought.recv_ns[begin]) // MINUTE_NS
            if minute != self._minute:
                found += self.finish()
                self._minute = minute
            for kind in brought.tables:
                rows = brought.rows(kind, begin, end)
                if rows.start < rows.stop:
                    self._count(kind, brought.texts(kind, "symbol")[rows])
            lost = sum(n for index, n in (dropped or {}).items() if begin <= index < end)
            self._dropped += lost
            self.dropped += lost
            self._at = brought.blocks[end - 1].end
            self.end = End(brought.blocks[end - 1].next_seq, brought.blocks[end - 1].recv_ns)
        return found

    def _count(self, kind: str, found: Coded) -> None:
        symbols = self._kinds.setdefault(kind, {})
        for symbol, count in found.counts().items():
            symbols[symbol] = symbols.get(symbol, 0) + count
        self._totals[kind] = self._totals.get(kind, 0) + len(found)
        self.rows += len(found)

    def pass_time(self, now_ns: int) -> list[Counts]:
        """It is `now_ns` and all that came before is added: the entry of a minute that is over."""
        return self.finish() if now_ns // MINUTE_NS > self._minute else []

    def finish(self) -> list[Counts]:
        """The entry of what came so far, although its minute may not be over."""
        if not self._kinds and not self._dropped:
            return []
        entry = Counts(
            self._feed, self._minute * MINUTE_NS, self._kinds, place_of(self._at), self._dropped
        )
        self._kinds, self._dropped = {}, 0
        self._settled, self._settled_end = (self._at, dict(self._totals)), self.end
        return [entry]


def plus(totals: Mapping[str, int], kinds: Kinds) -> dict[str, int]:
    """Totals by kind with what an entry counts."""
    found = dict(totals)
    for kind, symbols in kinds.items():
        found[kind] = found.get(kind, 0) + sum(symbols.values())
    return found
