"""Derives the tables again from the journals into a store apart, with the builder that runs live.

What the journals cannot give any more is noted as holes: rows of the tables that lie in one are not
proven wrong, and not proven right.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.directory import RunDirectory
from ticktape.journal.blocks import Block
from ticktape.journal.damage import Damage
from ticktape.journal.reader import Reader
from ticktape.journal.retention import Deleted, entries_until, read_deleted
from ticktape.journal.segments import list_segments
from ticktape.records import Position
from ticktape.replay.digests import RowsDigest
from ticktape.replay.places import BEGINNING, decoders_of, reader_of
from ticktape.table.builder import BATCH_ROWS, CommitResult, TableBuilder
from ticktape.table.store import TableStore, Tally

Progress = Callable[[str, int, int], None]
"""Called now and then: what is being done, how much of it is done, and of how much."""

EntryPlace = tuple[int, int]
"""Epoch and seq of an entry."""

_READ_BYTES = 8 << 20
# Rows wait in memory for a commit: what 64 MiB of journal hold, or 100,000 of them.
_COMMIT_BYTES = 64 << 20
_NS_PER_DAY = 86_400 * NS_PER_S
_END: EntryPlace = (1 << 62, 0)


class Group(NamedTuple):
    """The rows that one digest is of: `source` is a feed, or `decision:` and a strategy's name."""

    kind: str
    source: str
    day: str


class Reading:
    """What one journal said of itself while it was read.

    `cut` is the first entry behind the table's saved position, None when there is none: rows
    before it must be in the table.
    """

    def __init__(self, saved: Position, deleted: Sequence[Deleted] = ()) -> None:
        self.damage: list[str] = []
        self.cut: EntryPlace | None = None
        self._saved = saved
        self._deleted = deleted
        self._holes: list[tuple[EntryPlace, EntryPlace]] = []
        self._next: EntryPlace = (0, 0)
        self._damage_count = 0

    def follow(self, blocks: list[Block], damage_count: int) -> None:
        """Take in the next blocks, between which nothing lacks.

        Args:
            blocks: at least one.
            damage_count: how often the reader has met damage so far.
        """
        first, last = blocks[0], blocks[-1]
        is_whole = first.seq in (self._next[1], entries_until(self._deleted, self._next[1]))
        if damage_count > self._damage_count or not is_whole:
            self._holes.append((self._next, (first.epoch, first.seq)))
        self._damage_count = damage_count
        self._next = (last.epoch, last.next_seq)
        if self.cut is None and last.position >= self._saved:
            behind = next(block for block in blocks if block.position >= self._saved)
            self.cut = (behind.epoch, behind.seq)

    def finish(self, damage: list[Damage]) -> None:
        """Take in that there are no more blocks, and all damage that was met."""
        self.damage = [str(each) for each in damage]
        if len(damage) > self._damage_count:
            self._holes.append((self._next, _END))

    def is_lost(self, epoch: int, seq: int) -> bool:
        """Whether the entry lies where the journal is damaged or gone, and was not deleted."""
        return not self.is_deleted(epoch, seq) and any(
            begin <= (epoch, seq) < end for begin, end in self._holes
        )

    def is_deleted(self, epoch: int, seq: int) -> bool:
        """Whether retention has deleted the entry."""
        return any(
            each.epoch == epoch and each.first_seq <= seq < each.next_seq for each in self._deleted
        )

    @property
    def has_deleted(self) -> bool:
        """Whether retention has deleted some of the journal."""
        return bool(self._deleted)

    @property
    def has_holes(self) -> bool:
        """Whether something of the journal could not be read."""
        return bool(self._holes)


class DigestingStore(TableStore):
    """A store that digests what it is given, by group, before that was ever in a file."""

    def __init__(self, directory: Path | str) -> None:
        super().__init__(directory)
        self.digests: dict[Group, RowsDigest] = {}

    def append(
        self, kind: str, rows: pa.Table, feed: str, position: Position, tally: Tally
    ) -> bool:
        """As TableStore.append; batches of a feed come in its journal's order."""
        is_new = super().append(kind, rows, feed, position, tally)
        if is_new and rows.num_rows:
            ordered = rows.sort_by([(name, "ascending") for name in ("epoch", "seq", "index")])
            days = np.floor_divide(ordered.column("event_ns").to_numpy(), _NS_PER_DAY)
            for day in np.unique(days).tolist():
                group = Group(kind, feed, str(np.datetime64(day, "D")))
                digest = self.digests.setdefault(group, RowsDigest(kind))
                digest.add(ordered.filter(pa.array(days == day)))
        return is_new


class Derivation(NamedTuple):
    """Tables derived again: what was digested, how each journal read, and where its rows end.

    `positions` and `received` are what the table's process would save.
    """

    digests: Mapping[Group, RowsDigest]
    readings: dict[str, Reading]
    positions: dict[str, Position]
    received: dict[str, dict[str, int]]


def derive(
    directory: RunDirectory,
    store: DigestingStore,
    saved: Mapping[str, Position],
    progress: Progress,
    *,
    live: bool,
) -> Derivation:
    """Derive all tables of a run into `store`, which is empty.

    Args:
        directory: the run's.
        store: takes the rows; it must not be that of the run.
        saved: source -> how far the run's own table has come.
        progress: called now and then.
        live: a recorder is at work: read only to `saved`. Otherwise all is read.

    Raises:
        ConfigError: run.toml is unreadable.
        TableError: the disk of `store` refused.
    """
    decoders = decoders_of(directory)
    builder = TableBuilder(store, decoders)
    made = Derivation(store.digests, {}, {}, {})
    for source in decoders:
        builder.start_position(source, None)
        reading = made.readings[source] = Reading(
            saved.get(source, BEGINNING), read_deleted(directory.journal(source))
        )
        with reader_of(directory, source, live=live) as reader:
            until = saved.get(source, BEGINNING) if live else None
            waiting_bytes = 0
            for blocks in read_chunks(directory, source, reader, until, progress):
                reading.follow(blocks, len(reader.damage))
                builder.add(source, blocks)
                waiting_bytes += sum(block.end_offset - block.offset for block in blocks)
                if waiting_bytes >= _COMMIT_BYTES or builder.pending_rows >= BATCH_ROWS:
                    _keep(made, builder.commit())
                    waiting_bytes = 0
            reading.finish(reader.damage)
            if live and (behind := reader.read(1)):
                reading.cut = (behind[0].epoch, behind[0].seq)
        # A source's rows are all in the store before the next one's are read.
        _keep(made, builder.commit())
    return made


def _keep(made: Derivation, result: CommitResult) -> None:
    made.positions.update(result.positions)
    made.received.update(result.received)


def read_chunks(
    directory: RunDirectory,
    source: str,
    reader: Reader,
    until: Position | None,
    progress: Progress,
    chunk_bytes: int = _READ_BYTES,
) -> Iterator[list[Block]]:
    """A journal's blocks in portions, without damage within one; to its end, or to `until`."""
    total = sum(each.size_bytes() for each in list_segments(directory.journal(source)))
    done = 0
    while True:
        blocks = (
            reader.read(chunk_bytes) if until is None else reader.read_until(until, chunk_bytes)
        )
        if not blocks:
            return
        yield blocks
        done += sum(block.end_offset - block.offset for block in blocks)
        progress(f"reading {source}", min(done, total), total)
