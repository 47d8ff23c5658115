"""Reads everything that a run wrote and proves it, or says what is wrong and where.

Nothing that a mapped file or a counter says is believed here: only the segments and the tables.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from ticktape import clock
from ticktape.config import REST
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, LEDGER, RunDirectory
from ticktape.errors import TableError
from ticktape.journal.blocks import Block
from ticktape.journal.position_file import load_positions
from ticktape.journal.reader import Reader
from ticktape.journal.retention import read_deleted
from ticktape.latency import ROWS_MAX, LatencyReport, read_stages
from ticktape.ledger import GapInterval, Lacking, Proof, Verdict, Witnesses, base_feed, fold_gaps
from ticktape.records import Gap, Position
from ticktape.replay.certify_hashes import SegmentHashes
from ticktape.replay.certify_reading import LedgerReading, RestReading
from ticktape.replay.certify_verdict import Found, verdict_of
from ticktape.replay.headers import Headers
from ticktape.replay.places import BEGINNING, boots_of, decoder_of, feed_kinds, is_live, reader_of
from ticktape.replay.reading import DecisionReading, FeedReading, JournalReading
from ticktape.schemas import KINDS
from ticktape.table.builder import BlockDecoder
from ticktape.table.store import TableStore

Progress = Callable[[str, int], None]
"""Called now and then with a feed's name and the bytes of its journal read so far."""

_READ_BYTES = 8 << 20
_INDEX_BLOCKS_MAX = 1 << 22  # headers in memory at a time, 200 MB


def check(directory: RunDirectory, scratch: Path, progress: Progress) -> Verdict:
    """Prove a run; reads all of its journals and tables.

    Args:
        directory: the run's.
        scratch: an empty folder for what does not fit into memory.
        progress: called now and then.

    Raises:
        ConfigError: there is no run, or its run.toml is unreadable.
    """
    return verdict_of(examine(directory, scratch, progress))


def examine(
    directory: RunDirectory, scratch: Path, progress: Progress, *, hashed: bool = False
) -> Found:
    """As `check`, but everything that was found, of which a verdict can be had for any day.

    With `hashed` the bytes of all segments are hashed in the same pass.

    Raises:
        ConfigError: as `check`.
    """
    proof = Proof(scratch)
    try:
        return _Check(directory, proof, progress, hashed=hashed).run()
    finally:
        proof.close()


class _Check:
    """One proof.

    The strategies' journals are read before the feeds', for a feed's tell what they lack, and what
    REST said before the streams, of which only what it touches is compared with it.
    """

    def __init__(
        self, directory: RunDirectory, proof: Proof, progress: Progress, *, hashed: bool
    ) -> None:
        self._directory = directory
        self._live = is_live(directory)
        self._began_ns = clock.wall_now_ns()
        # The position is read before the tables' snapshot, and rows before it must be there.
        self._saved, _ = load_positions(directory.reader_file("table"))
        # And that before the journals: what is in a table is in a journal by then.
        self._tables, self._faults = _files_of(TableStore(directory.root, read_only=True))
        self._proof = proof
        self._witnesses = Witnesses(proof.con)
        self._progress = progress
        self._latency = LatencyReport()
        self._counted_to: dict[str, Position] = {}
        self._hashes: dict[str, SegmentHashes] = {}
        self._is_hashed = hashed

    def run(self) -> Found:
        """Read all, compare all."""
        kinds = feed_kinds(self._directory)
        strategies = {
            name: self._read_decisions(name, DecisionReading())
            for name in self._directory.decisions()
        }
        ledger = self._read_ledger() if self._directory.journal(LEDGER).is_dir() else None
        rests = {
            feed: self._read_rest(feed, kind, RestReading())
            for feed, kind in kinds.items()
            if feed.endswith(REST)
        }
        feeds = {
            feed: self._read_feed(feed, kind, FeedReading(feed, strategies))
            for feed, kind in kinds.items()
            if not feed.endswith(REST)
        }
        extra = self._add_tables()
        by_day = self._proof.counts_by_day()
        known = {*kinds, *(f"{DECISION}:{name}" for name in strategies)}
        sources = {count.feed for counts in by_day.values() for count in counts}
        strangers = sorted(
            name for name in sources - known if ledger is None or not name.startswith(LEDGER)
        )
        extra += [f"the table has rows of {name!r}, which has no journal" for name in strangers]
        gaps = self._gaps(feeds, rests, ledger)
        asked = {
            (base_feed(feed), *gap): windows
            for feed, reading in rests.items()
            for gap, windows in reading.asked.items()
        }
        self._witnesses.add_gaps(gaps, asked)
        return Found(
            kinds=kinds,
            feeds=feeds,
            rests=rests,
            strategies=strategies,
            ledger=ledger,
            live=self._live,
            began_ns=self._began_ns,
            counts=by_day,
            symbols=self._proof.symbols_by_day(),
            miscounted=self._proof.miscounted(),
            lacking=_still_here(self._witnesses.lacking(), feeds),
            only_streamed=self._witnesses.only_streamed(),
            gaps=gaps,
            late_ns=self._witnesses.late_ns,
            latency_us=self._latency.to_dict(),
            extra=extra,
            parts={name: each.finish(live=self._live) for name, each in self._hashes.items()},
        )

    # Reading.

    def _read(
        self, source: str, decoder: BlockDecoder, reading: JournalReading
    ) -> Iterator[tuple[list[Block], Mapping[str, pa.Table]]]:
        """Read a journal to its end: each portion of blocks and the rows that they made."""
        hashes = None
        if self._is_hashed:
            hashes = self._hashes[source] = SegmentHashes(self._directory.journal(source))
        with reader_of(self._directory, source, live=self._live) as reader:
            for blocks, behind in self._chunks(source, reader):
                if not reading.follows(blocks[0]):  # asked late: it may have gone meanwhile
                    reading.deleted = read_deleted(self._directory.journal(source))
                reading.follow(blocks, reader.damage)
                self._see_uncounted(source, blocks)
                for block in blocks:
                    reading.see(block)
                tables = decoder.tables(blocks)
                for kind, rows in tables.items():
                    for name, part in _by_source(source, rows):
                        self._proof.add_received(name, kind, part, behind=behind)
                    if kind == "gaps":
                        reading.gaps += [msgspec.convert(row, Gap) for row in rows.to_pylist()]
                if hashes is not None:
                    hashes.advance(blocks)
                yield blocks, tables
                self._progress(source, blocks[-1].end_offset)
            reading.finish(reader.damage)
        if reading.deleted:
            self._proof.add_deleted(source, reading.deleted)

    def _read_decisions(self, name: str, reading: DecisionReading) -> DecisionReading:
        source = f"{DECISION}:{name}"
        for _ in self._read(source, decoder_of(source, ""), reading):
            pass
        return reading

    def _read_ledger(self) -> LedgerReading:
        reading = LedgerReading()
        for _ in self._read(LEDGER, decoder_of(LEDGER, ""), reading):
            self._proof.add_counted(reading.take_counted())
        self._counted_to = dict(reading.counted_to)
        return reading

    def _read_rest(self, feed: str, kind: str, reading: RestReading) -> RestReading:
        for _, tables in self._read(feed, decoder_for(kind, feed), reading):
            for table, rows in tables.items():
                self._witnesses.add_rest(feed, table, rows)
        self._witnesses.add_pages(base_feed(feed), reading.pages)
        self._witnesses.add_windows(base_feed(feed), reading.windows)
        return reading

    def _read_feed(self, feed: str, kind: str, reading: FeedReading) -> FeedReading:
        decoder = decoder_for(kind, feed)
        stages = read_stages(self._directory.stages, feed, ROWS_MAX)
        boots = boots_of(self._directory, feed)
        headers = Headers()
        for blocks, tables in self._read(feed, decoder, reading):
            reading.control += decoder.counts.control
            for table, rows in tables.items():
                self._witnesses.add_streamed(feed, table, rows)
            headers.add(blocks)
            if len(headers) >= _INDEX_BLOCKS_MAX:
                self._latency.add(headers.index(feed, boots), stages)
                headers = Headers()
        self._latency.add(headers.index(feed, boots), stages)
        return reading

    def _see_uncounted(self, source: str, blocks: list[Block]) -> None:
        """Find the first block that the ledger has not counted: it may have been killed before."""
        limit = self._counted_to.get(source)
        if limit is not None and blocks[-1].position >= limit:
            first = next(block for block in blocks if block.position >= limit)
            self._proof.add_uncounted(source, first.epoch, first.seq)
            del self._counted_to[source]

    def _chunks(self, source: str, reader: Reader) -> Iterator[tuple[list[Block], bool]]:
        """The journal's blocks in portions, and whether the table has yet to reach them."""
        saved: Position = self._saved.get(source, BEGINNING)
        while blocks := reader.read(_READ_BYTES):
            stored = [block for block in blocks if block.position < saved]
            behind = blocks[len(stored) :]
            if stored:
                yield stored, False
            if behind:
                yield behind, True

    def _add_tables(self) -> list[str]:
        """Bring the tables into the proof; what of them cannot be read, in words."""
        faults = list(self._faults)
        for kind, paths in self._tables.items():
            faults += self._proof.add_stored(kind, paths)
        return faults

    def _gaps(
        self,
        feeds: Mapping[str, FeedReading],
        rests: Mapping[str, RestReading],
        ledger: LedgerReading | None,
    ) -> list[GapInterval]:
        """All gaps as they stand, whoever told of them last."""
        readings: list[JournalReading] = [*feeds.values(), *rests.values()]
        if ledger is not None:
            readings.append(ledger)
        gaps = fold_gaps(gap for reading in readings for gap in reading.gaps)
        for reading in feeds.values():
            unstopped = reading.unstopped()
            if unstopped is not None and not self._live:
                gaps.append(unstopped)
        return gaps


def _still_here(lacking: Iterable[Lacking], feeds: Mapping[str, FeedReading]) -> list[Lacking]:
    """Without what the stream may have had before retention deleted it."""
    until_ns = {base_feed(name): reading.deleted_until_ns for name, reading in feeds.items()}
    return [each for each in lacking if each.minute_ns > until_ns.get(base_feed(each.feed), 0)]


def _by_source(source: str, rows: pa.Table) -> Iterable[tuple[str, pa.Table]]:
    """The rows by whose they are: those of the ledger's journal speak of several feeds."""
    if source != LEDGER:
        return [(source, rows)]
    feeds = rows.column("feed")
    return [
        (str(feed), rows.filter(pc.is_in(feeds, value_set=pa.array([feed]))))
        for feed in feeds.unique().to_pylist()
    ]


def _files_of(store: TableStore) -> tuple[dict[str, list[str]], list[str]]:
    """The files of every table as they are now, and which table cannot be read, in words."""
    files: dict[str, list[str]] = {}
    faults = []
    for kind in KINDS:
        try:
            files[kind] = store.files(kind)
        except TableError as error:
            faults.append(str(error.args[0]))
    return files, faults
