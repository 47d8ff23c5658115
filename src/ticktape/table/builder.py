"""Batches: a journal's blocks in, table commits out, each row exactly once.

A commit carries the journal's position per kind and feed, so a restart may begin anywhere before
it: blocks that a kind has already are skipped for that kind alone. A caller saves its reader
position only after `commit` gave it; the other way round rows would be lost.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from typing import NamedTuple, Protocol

import pyarrow as pa

from ticktape.config import REST
from ticktape.records import Position
from ticktape.schemas import KINDS
from ticktape.table.dedup import Deduplicator, Times
from ticktape.table.hashing import COLUMNS
from ticktape.table.store import TableStore, Tally

BATCH_NS = 5_000_000_000
BATCH_ROWS = 100_000
BEGINNING = Position(0, 0)

# Rows that come fast are not committed more often than so many times in `batch_ns`, unless so many
# times `batch_rows` wait (400,000 have some 50 MB): a commit has its price, and so has each file.
_FAST_TIMES = 4
_DEDUPLICATED = "trades"  # the one kind that has an identity


class BlockLike(Protocol):
    """What the table needs of a journal's block, beyond what its decoder needs."""

    @property
    def epoch(self) -> int:
        """The start of the writer that wrote it."""

    @property
    def end_offset(self) -> int:
        """Where the next block begins."""

    @property
    def seq(self) -> int:
        """Number of the first entry."""

    @property
    def recv_ns(self) -> int:
        """Our wall clock at the socket read."""

    def entries(self) -> list[tuple[int, bytes]]:
        """Kind and payload of every entry, in order."""


class BlockDecoder(Protocol):
    """Turns one feed's blocks into a table per kind, in the columns of `schemas.KINDS`."""

    def tables(self, blocks: Iterable[BlockLike], /) -> dict[str, pa.Table]:
        """Rows in the journal's order."""


class CommitResult(NamedTuple):
    """What one commit made durable.

    `rows`, `duplicates` and `conflicts` are of this commit, by (kind, feed). `positions` by feed
    are safe to save now, together with `received`, by feed and kind since the beginning, which
    `start_position` takes back to find out whether a table has lost something.
    """

    rows: dict[tuple[str, str], int]
    duplicates: dict[tuple[str, str], int]
    conflicts: dict[tuple[str, str], int]
    positions: dict[str, Position]
    received: dict[str, dict[str, int]]


class TableStatistics(NamedTuple):
    """Counters since this builder's start, but for `pending_rows` and `remembered_rows`."""

    commits: int
    rows: int
    duplicates: int
    conflicts: int
    pending_rows: int
    remembered_rows: int


class _Batch(NamedTuple):
    kind: str
    feed: str
    rows: pa.Table
    position: Position
    tally: Tally


class _Pending:
    """Rows of one kind and feed that wait for the next commit."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.tally = Tally()


class _Feed:
    """One feed's decoder, its memory, and how far each kind's table was at the start."""

    def __init__(
        self, decoder: BlockDecoder, dedup: Deduplicator, committed: dict[str, Position]
    ) -> None:
        self.decoder = decoder
        self.dedup = dedup
        self._committed = committed

    def runs(self, blocks: Iterable[BlockLike]) -> list[tuple[frozenset[str], list[BlockLike]]]:
        """Cut blocks where the kinds change whose tables have their rows; those kinds, and they."""
        if self._committed:
            return [(covered, list(run)) for covered, run in groupby(blocks, self._covered)]
        whole = list(blocks)
        return [(frozenset(), whole)] if whole else []

    def _covered(self, block: BlockLike) -> frozenset[str]:
        end = Position(block.epoch, block.end_offset)
        return frozenset(kind for kind, position in self._committed.items() if end <= position)

    def passed(self, position: Position) -> None:
        """Forget the kinds that need no skipping from here on."""
        self._committed = {k: p for k, p in self._committed.items() if p > position}


class TableBuilder:
    """Collects rows of all feeds and commits them in batches; one thread uses it.

    Its rows are bounded by what the caller adds between two commits. With a read-only store it
    serves `sql`: `start_position`, `add`, then `tails`.
    """

    def __init__(
        self,
        store: TableStore,
        feeds: Mapping[str, BlockDecoder],
        *,
        on_step: Callable[[str], None] | None = None,
        batch_rows: int = BATCH_ROWS,
        batch_ns: int = BATCH_NS,
    ) -> None:
        self._store = store
        self._decoders = dict(feeds)
        self._step = on_step or (lambda _name: None)
        self._batch_rows = batch_rows
        self._batch_ns = batch_ns
        self._feeds: dict[str, _Feed] = {}
        self._pending: dict[tuple[str, str], _Pending] = {}
        self._positions: dict[str, Position] = {}
        self._sealed: deque[_Batch] = deque()
        self._sealed_positions: dict[str, Position] = {}
        self._waiting_since_ns: int | None = None
        self._counts = TableStatistics(0, 0, 0, 0, 0, 0)

    def start_position(
        self, feed: str, saved: Position | None, received: Mapping[str, int] | None = None
    ) -> Position:
        """Tell where to begin reading the feed's journal; to be called once per feed, before `add`.

        `saved` and `received` are what the caller kept of the last CommitResult, and must have been
        read before the store took its first snapshot. Gives the journal's beginning when a table
        was set aside or has fewer rows than were committed: what the other tables have is skipped
        then.
        """
        store = self._store
        committed = {kind: store.committed(kind, feed) for kind in KINDS}
        self._feeds[feed] = _Feed(
            self._decoders[feed],
            Deduplicator(feed, self._stored_trades, store.event_ns_max(_DEDUPLICATED, feed)),
            {kind: position for kind, position in committed.items() if position is not None},
        )
        lost = any(
            store.tally(kind, feed).received < count for kind, count in (received or {}).items()
        )
        if saved is None or lost or store.set_aside:
            return BEGINNING
        return saved

    def add(self, feed: str, blocks: Iterable[BlockLike]) -> None:
        """Take the next blocks of a feed's journal, in its order and with none left out."""
        state = self._feeds[feed]
        for covered, run in state.runs(blocks):
            for kind, table in state.decoder.tables(run).items():
                if kind not in covered:
                    self._take(state, kind, feed, table)
            self._positions[feed] = Position(run[-1].epoch, run[-1].end_offset)
            state.passed(self._positions[feed])

    def due(self, now_mono_ns: int) -> bool:
        """Tell whether to commit: 5 s after the first thing to commit, or before at 100,000 rows.

        Those wait for a quarter of that time, or until four times as many are there.
        """
        if not self._positions and not self._sealed_positions:
            return False
        if self._waiting_since_ns is None:
            self._waiting_since_ns = now_mono_ns
        waited_ns = now_mono_ns - self._waiting_since_ns
        is_early = waited_ns < self._batch_ns // _FAST_TIMES
        rows_max = self._batch_rows * (_FAST_TIMES if is_early else 1)
        return waited_ns >= self._batch_ns or self.pending_rows >= rows_max

    @property
    def pending_rows(self) -> int:
        """How many rows wait for a commit."""
        return sum(table.num_rows for table in self._waiting())

    def tails(self) -> dict[str, pa.Table]:
        """Give the rows that wait for a commit, by kind, de-duplicated against the tables."""
        return {
            kind: pa.concat_tables(found) for kind in KINDS if (found := [*self._waiting(kind)])
        }

    def commit(self) -> CommitResult:
        """Write what was added to the tables; wait until it is all on the disk.

        A batch that failed is kept and tried again, before anything newer, by the next call.

        Raises:
            TableError: the disk refused.
        """
        if not self._sealed_positions:
            self._seal()
        done: list[_Batch] = []
        while self._sealed:
            batch = self._sealed[0]
            self._step(f"append-{batch.kind}")
            self._store.append(batch.kind, batch.rows, batch.feed, batch.position, batch.tally)
            done.append(self._sealed.popleft())
            self._count(batch)
        positions, self._sealed_positions = self._sealed_positions, {}
        self._waiting_since_ns = None
        self._counts = self._counts._replace(commits=self._counts.commits + 1)
        if not self._pending:
            # What is forgotten is looked up in the tables, so nothing may still be on its way.
            for feed in self._feeds.values():
                feed.dedup.forget()
        self._step("commit-done")
        return CommitResult(
            {(b.kind, b.feed): b.rows.num_rows for b in done},
            {(b.kind, b.feed): b.tally.duplicates for b in done if b.tally.duplicates},
            {(b.kind, b.feed): b.tally.conflicts for b in done if b.tally.conflicts},
            positions,
            {feed: self._received(feed) for feed in positions},
        )

    def statistics(self) -> TableStatistics:
        """Give the counters as they are now."""
        return self._counts._replace(
            pending_rows=self.pending_rows,
            remembered_rows=sum(feed.dedup.remembered for feed in self._feeds.values()),
        )

    def _take(self, state: _Feed, kind: str, feed: str, table: pa.Table) -> None:
        rows, duplicates, conflicts = table, 0, 0
        # What REST said again is told apart by request, where it is shown.
        if kind == _DEDUPLICATED and not feed.endswith(REST):
            rows, duplicates, conflicts = state.dedup.take(table)
        pending = self._pending.setdefault((kind, feed), _Pending())
        pending.tables.append(rows)
        pending.tally = pending.tally.plus(Tally(table.num_rows, duplicates, conflicts))

    def _seal(self) -> None:
        for (kind, feed), pending in self._pending.items():
            rows = pa.concat_tables(pending.tables)
            self._sealed.append(_Batch(kind, feed, rows, self._positions[feed], pending.tally))
        self._sealed_positions, self._positions = self._positions, {}
        self._pending = {}
        self._step("batch-sealed")

    def _waiting(self, kind: str | None = None) -> Iterable[pa.Table]:
        for batch in self._sealed:
            if kind in (None, batch.kind):
                yield batch.rows
        for (made, _feed), pending in self._pending.items():
            if kind in (None, made):
                yield from pending.tables

    def _count(self, batch: _Batch) -> None:
        counts = self._counts
        self._counts = counts._replace(
            rows=counts.rows + batch.rows.num_rows,
            duplicates=counts.duplicates + batch.tally.duplicates,
            conflicts=counts.conflicts + batch.tally.conflicts,
        )

    def _received(self, feed: str) -> dict[str, int]:
        counts = {kind: self._store.tally(kind, feed).received for kind in KINDS}
        return {kind: count for kind, count in counts.items() if count}

    def _stored_trades(self, feed: str, event_ns: Times) -> pa.Table:
        return self._store.rows_at(_DEDUPLICATED, feed, event_ns, list(COLUMNS))
