"""Reads everything that a run wrote and proves it, or says what is wrong and where.

Nothing that a mapped file or a counter says is believed here: only the segments and the tables.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from ticktape.decisions.tables import DecisionTables
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, RunDirectory
from ticktape.errors import TableError
from ticktape.journal.blocks import Block
from ticktape.journal.position_file import load_positions
from ticktape.journal.reader import Reader
from ticktape.latency import LatencyReport, read_stages
from ticktape.ledger import FeedVerdict, KindCount, Proof, Verdict, fold_gaps
from ticktape.records import Gap, Position
from ticktape.replay.headers import Headers
from ticktape.replay.places import BEGINNING, boots_of, feed_kinds, is_live, reader_of
from ticktape.replay.reading import DecisionReading, FeedReading
from ticktape.schemas import KINDS
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
    return _Check(directory, Proof(scratch), progress).run()


class _Check:
    """One proof; the strategies' journals are read first, for a feed's tell what they lack."""

    def __init__(self, directory: RunDirectory, proof: Proof, progress: Progress) -> None:
        self._directory = directory
        self._live = is_live(directory)
        # The position is read before the tables' snapshot, and rows before it must be there.
        self._saved, _ = load_positions(directory.reader_file("table"))
        self._proof = proof
        self._progress = progress
        self._latency = LatencyReport()
        self._torn: dict[str, list[str]] = {}
        self._control: dict[str, int] = {}

    def run(self) -> Verdict:
        """Read all, compare all."""
        kinds = feed_kinds(self._directory)
        strategies = {
            name: self._read_decisions(name, DecisionReading())
            for name in self._directory.decisions()
        }
        feeds = {
            feed: self._read_feed(feed, kind, FeedReading(feed, strategies))
            for feed, kind in kinds.items()
        }
        extra = self._add_tables()
        counts = self._proof.counts()
        self._proof.close()
        known = {*feeds, *(f"{DECISION}:{name}" for name in strategies)}
        strangers = sorted({count.feed for count in counts} - known)
        extra += [f"the table has rows of {name!r}, which has no journal" for name in strangers]
        if self._live:
            extra.append("the recorder is still at work on it")
        return Verdict(
            [self._feed_verdict(feed, kinds[feed], feeds[feed], counts) for feed in feeds],
            [self._decision_verdict(n, strategies[n], feeds, counts) for n in strategies],
            self._latency.to_dict(),
            extra,
        )

    # Reading.

    def _read_decisions(self, name: str, reading: DecisionReading) -> DecisionReading:
        source = f"{DECISION}:{name}"
        decoder = DecisionTables(name)
        with reader_of(self._directory, source, live=self._live) as reader:
            for blocks, behind in self._chunks(source, reader):
                reading.follow(blocks, reader.damage)
                for block in blocks:
                    reading.see(block)
                for kind, rows in decoder.tables(blocks).items():
                    self._proof.add_received(source, kind, rows, behind=behind)
            self._torn[source] = [str(damage) for damage in reader.damage]
        return reading

    def _read_feed(self, feed: str, kind: str, reading: FeedReading) -> FeedReading:
        decoder = decoder_for(kind, feed)
        stages = read_stages(self._directory.stages, feed)
        boots = boots_of(self._directory, feed)
        headers = Headers()
        self._control[feed] = 0
        with reader_of(self._directory, feed, live=self._live) as reader:
            for blocks, behind in self._chunks(feed, reader):
                reading.follow(blocks, reader.damage)
                for block in blocks:
                    reading.see(block)
                for table, rows in decoder.tables(blocks).items():
                    self._proof.add_received(feed, table, rows, behind=behind)
                    if table == "gaps":
                        reading.gaps += [msgspec.convert(row, Gap) for row in rows.to_pylist()]
                self._control[feed] += decoder.counts.control
                headers.add(blocks)
                if len(headers) >= _INDEX_BLOCKS_MAX:
                    self._latency.add(headers.index(feed, boots), stages)
                    headers = Headers()
                self._progress(feed, blocks[-1].end_offset)
            self._torn[feed] = [str(damage) for damage in reader.damage]
        self._latency.add(headers.index(feed, boots), stages)
        return reading

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
        store = TableStore(self._directory.root, read_only=True)
        faults = []
        for kind in KINDS:
            try:
                faults += self._proof.add_stored(kind, store.files(kind))
            except TableError as error:
                faults.append(str(error.args[0]))
        return faults

    # The verdicts.

    def _feed_verdict(
        self, feed: str, kind: str, reading: FeedReading, counts: list[KindCount]
    ) -> FeedVerdict:
        gaps = fold_gaps(reading.gaps)
        unstopped = reading.unstopped()
        if unstopped is not None and not self._live:
            gaps.append(unstopped)
        return FeedVerdict(
            name=feed,
            kind=kind,
            counts=[count for count in counts if count.feed == feed],
            control=self._control[feed],
            sessions=reading.sessions,
            first_ns=reading.first_ns,
            last_ns=reading.last_ns,
            dropped_frames=reading.dropped_frames,
            torn=self._torn[feed],
            suspect=reading.suspect,
            gaps=gaps,
            epochs=len(reading.epochs),
            notes=tuple(reading.missing),
            polls=tuple(reading.polls.values()),
            polled_ns=reading.polled_ns,
        )

    def _decision_verdict(
        self,
        name: str,
        reading: DecisionReading,
        feeds: Mapping[str, FeedReading],
        counts: list[KindCount],
    ) -> FeedVerdict:
        source = f"{DECISION}:{name}"
        notes = list(reading.missing)
        notes += [f"stopped itself: {words}" for words in reading.stopped.values()]
        if not self._live:
            notes += [
                f"{feed.undecided[name]} entries of {key} were recorded and not decided on"
                for key, feed in feeds.items()
                if feed.undecided[name]
            ]
        return FeedVerdict(
            name=name,
            kind=DECISION,
            counts=[count for count in counts if count.feed == source],
            control=0,
            sessions=0,
            first_ns=None,
            last_ns=None,
            dropped_frames=reading.dropped_frames,
            torn=self._torn[source],
            suspect=reading.suspect,
            gaps=[],
            epochs=len(reading.epochs),
            notes=tuple(notes),
        )
