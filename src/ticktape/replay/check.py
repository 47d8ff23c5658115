"""Reads everything that a run wrote and proves it, or says what is wrong and where.

Nothing that a mapped file or a counter says is believed here: only the segments and the tables.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ticktape.decisions.tables import DecisionTables
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, RunDirectory
from ticktape.journal.blocks import Block
from ticktape.journal.position_file import load_positions
from ticktape.journal.reader import Reader
from ticktape.latency import BlockIndex, LatencyReport, read_stages
from ticktape.ledger import FeedVerdict, GapInterval, KindCount, Proof, Verdict, fold_gaps
from ticktape.records import EntryKind, Gap, Position
from ticktape.replay.places import boots_of, feed_kinds, is_live, reader_of
from ticktape.table.store import TableStore

Progress = Callable[[str, int], None]
"""Called now and then with a feed's name and the bytes of its journal read so far."""


class _Dropped(msgspec.Struct):
    frames: int = 0


class _Note(msgspec.Struct):
    suspect: dict[str, int] | None = None


class _Session(msgspec.Struct):
    event: str = ""


_dropped = msgspec.json.Decoder(_Dropped)
_note = msgspec.json.Decoder(_Note)
_session = msgspec.json.Decoder(_Session)


class _FeedReading:
    """What is gathered while one journal is read from its first byte to its last."""

    def __init__(self) -> None:
        self.control = 0
        self.sessions = 0
        self.dropped_frames = 0
        self.suspect: list[str] = []
        self.gaps: list[Gap] = []
        self.epochs: set[int] = set()
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.index_rows: list[Block] = []

    def see(self, block: Block) -> None:
        """Take in what a block says beside its rows."""
        self.epochs.add(block.epoch)
        self.index_rows.append(_bare(block))
        for kind, payload in block.entries():
            if kind in (EntryKind.TEXT, EntryKind.BINARY):
                self.first_ns = self.first_ns or block.recv_ns
                self.last_ns = block.recv_ns
            elif kind == EntryKind.DROPPED:
                self.dropped_frames += _dropped.decode(payload).frames
            elif kind == EntryKind.NOTE:
                suspect = _note.decode(payload).suspect
                if suspect:
                    self.suspect.append(
                        f"epoch {suspect['epoch']} offsets {suspect['from_offset']} to "
                        f"{suspect['to_offset']}: a sync failed"
                    )
            elif kind == EntryKind.SESSION and _session.decode(payload).event == "connecting":
                self.sessions += 1


def _bare(block: Block) -> Block:
    """A block without its body, for the index."""
    return Block(
        block.epoch,
        block.offset,
        block.end_offset,
        block.seq,
        block.count,
        block.recv_ns,
        block.recv_mono_ns,
        block.session,
        b"",
    )


def check(directory: RunDirectory, scratch: Path, progress: Progress) -> Verdict:
    """Prove a run; reads all of its journals and tables.

    Args:
        directory: the run's.
        scratch: an empty folder for what does not fit into memory.
        progress: called now and then.

    Raises:
        ConfigError: there is no run, or its run.toml is unreadable.
    """
    live = is_live(directory)
    # The position is read before the tables' snapshot, and rows before it must be there.
    saved, _ = load_positions(directory.reader_file("table"))
    kinds = feed_kinds(directory)
    proof = Proof(scratch)
    readings: dict[str, tuple[_FeedReading, Reader]] = {}
    names = [*kinds, *(f"{DECISION}:{name}" for name in directory.decisions())]
    latency = LatencyReport()
    for name in names:
        with reader_of(directory, name, live=live) as reader:
            reading = _read_journal(name, kinds, reader, proof, saved.get(name), progress)
        readings[name] = (reading, reader)
        if name in kinds:
            index = BlockIndex.from_blocks(name, reading.index_rows, boots_of(directory, name))
            reading.index_rows = []
            latency.add(index, read_stages(directory.stages, name))
    store = TableStore(directory.root, read_only=True)
    for kind in store.kinds():
        proof.add_stored(kind, store.files(kind))
    counts = proof.counts()
    proof.close()
    verdicts = [
        _verdict(name, kinds, *readings[name], [c for c in counts if c.feed == name])
        for name in names
    ]
    extra = [f"table {each.kind}: {each.reason}" for each in store.set_aside]
    strangers = {count.feed for count in counts} - set(names)
    extra += [f"the table has rows of {name!r}, which has no journal" for name in strangers]
    if live:
        extra.append("the recorder is still at work on it")
    return Verdict(
        [each for each in verdicts if each.kind != DECISION],
        [each for each in verdicts if each.kind == DECISION],
        latency.to_dict(),
        extra,
    )


def _read_journal(
    name: str,
    kinds: dict[str, str],
    reader: Reader,
    proof: Proof,
    saved: Position | None,
    progress: Progress,
) -> _FeedReading:
    reading = _FeedReading()
    feed_decoder = decoder_for(kinds[name], name) if name in kinds else None
    decoder = feed_decoder or DecisionTables(name.partition(":")[2])
    for blocks, behind in _chunks(reader, saved or Position(0, 0)):
        for block in blocks:
            reading.see(block)
        for kind, rows in decoder.tables(blocks).items():
            proof.add_received(name, kind, rows, behind=behind)
            if kind == "gaps":
                reading.gaps += [_gap(row) for row in rows.to_pylist()]
        if feed_decoder is not None:
            reading.control += feed_decoder.counts.control
        progress(name, blocks[-1].end_offset)
    return reading


def _gap(row: dict[str, object]) -> Gap:
    return msgspec.convert(row, Gap)


def _chunks(reader: Reader, saved: Position) -> Iterator[tuple[list[Block], bool]]:
    """The journal's blocks in portions, and whether the table has yet to reach them."""
    while blocks := reader.read(8 << 20):
        stored = [block for block in blocks if block.position < saved]
        behind = blocks[len(stored) :]
        if stored:
            yield stored, False
        if behind:
            yield behind, True


def _verdict(
    name: str,
    kinds: dict[str, str],
    reading: _FeedReading,
    reader: Reader,
    counts: list[KindCount],
) -> FeedVerdict:
    gaps: list[GapInterval] = fold_gaps(reading.gaps)
    return FeedVerdict(
        name=name.partition(":")[2] or name,
        kind=kinds.get(name, DECISION),
        counts=counts,
        control=reading.control,
        sessions=reading.sessions,
        first_ns=reading.first_ns,
        last_ns=reading.last_ns,
        dropped_frames=reading.dropped_frames,
        torn=[str(damage) for damage in reader.damage],
        suspect=reading.suspect,
        gaps=gaps,
        epochs=len(reading.epochs),
    )
