"""What a healer knows, kept between its starts, and how it learns it from three journals.

The file is a cache: without it, or with one that cannot be read, the journals tell it again. What
it says of the healer's own journal must be on the disk there before it is saved.
"""

from collections.abc import Sequence

import msgspec

from ticktape.config import REST
from ticktape.decoders.session import GAPS
from ticktape.directory import LEDGER, RunDirectory
from ticktape.feeds.alpaca_wire import OUR_WORDS
from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.ledger.entries import (
    Counts,
    Damaged,
    GapSaid,
    Suspect,
    read_ledger_entry,
    read_rest_entry,
)
from ticktape.ledger.healing import HealBook
from ticktape.records import EntryKind, Gap, Position

_BEGINNING = Position(0, 0)
_WORD_BYTES = 4
# A kind stands in the uppermost bits of its entry's little-endian word, so in its last byte.
_OWN_FROM = EntryKind.SESSION << (KIND_SHIFT - 24)


class _Said(msgspec.Struct):
    event: str = ""
    channels: dict[str, list[str]] | None = None


_said = msgspec.json.Decoder(_Said)


def has_own(block: Block) -> bool:
    """Whether there is an entry of ours in it; without a copy of what the venue sent."""
    return max(block.body[_WORD_BYTES - 1 : block.count * _WORD_BYTES : _WORD_BYTES]) >= _OWN_FROM


def has_data(block: Block) -> bool:
    """Whether there is a message of the venue in it."""
    return min(block.body[_WORD_BYTES - 1 : block.count * _WORD_BYTES : _WORD_BYTES]) < _OWN_FROM


class HealMemory:
    """The book of one feed, from its file and from what the healer's journal says since."""

    def __init__(self, directory: RunDirectory, feed: str) -> None:
        self._directory = directory
        self._feed = feed
        self._own = feed + REST
        self._path = directory.reader_file(f"heal-{feed}")
        self.book = HealBook()
        self._positions: dict[str, Position] = {}
        self._is_new = False
        self._load()

    def _load(self) -> None:
        if list_segments(self._directory.journal(self._own)):
            positions, counts = load_positions(self._path)
            try:
                self.book = msgspec.convert(counts.get("book", {}), HealBook)
                self._positions = positions
            except msgspec.ValidationError:
                self.book = HealBook()  # of another version: the journals tell it again
        start = self._positions.get(self._own, _BEGINNING)
        with Reader(self._directory.journal(self._own), None, start) as reader:
            while blocks := reader.read():
                for block in blocks:
                    self._see_own(block)

    def _see_own(self, block: Block) -> None:
        entries = block.entries()
        for at, (kind, payload) in enumerate(entries):
            said = read_rest_entry(kind, payload)
            if said is not None:
                body = entries[at + 1][1] if at + 1 < len(entries) else b""
                self.book.see_own(said, body)

    def start(self, name: str) -> Position:
        """Where to go on reading a journal."""
        return self._positions.get(name, _BEGINNING)

    def see(self, name: str, blocks: Sequence[Block]) -> None:
        """Take the next blocks of the feed's journal, or of the ledger's."""
        for block in blocks:
            if not has_own(block):
                continue
            for seq, (kind, payload) in enumerate(block.entries(), block.seq):
                if kind in GAPS or kind == EntryKind.NOTE:
                    self._is_new = True
                    self._see(name, block, seq, kind, payload)
        if blocks and self._positions.get(name, _BEGINNING) < blocks[-1].end:
            self._positions[name] = blocks[-1].end

    def _see(self, name: str, block: Block, seq: int, kind: int, payload: bytes) -> None:
        if name == LEDGER:
            self._see_ledger(kind, payload)
            return
        read_gaps = GAPS.get(kind)
        if read_gaps is None:
            return
        for gap in read_gaps(payload, name, block.recv_ns, block.epoch, seq) or ():
            self.book.see_gap(_gap_said(gap))
        if kind == EntryKind.SESSION:
            self._see_session(payload)

    def _see_session(self, payload: bytes) -> None:
        try:
            said = _said.decode(payload)
        except (ValueError, RecursionError):
            return  # the table counts it as unreadable
        if said.event == "subscribed":
            self.book.see_subscribed(
                {OUR_WORDS.get(name, name): s for name, s in (said.channels or {}).items()}
            )

    def _see_ledger(self, kind: int, payload: bytes) -> None:
        said = read_ledger_entry(kind, payload)
        if isinstance(said, Suspect | Damaged) and said.feed == self._feed:
            self.book.see_gap(said.gap)
        elif isinstance(said, Counts) and said.feed == self._feed:
            self.book.see_counts(said.kinds)

    def is_new(self, own: Position) -> bool:
        """Whether there is something to save, worth a write."""
        return self._is_new or self._positions.get(self._own) != own

    def save(self, own: Position) -> None:
        """Keep the book; `own` is how far the healer's journal is on the disk.

        A disk that refuses costs reading the journals once more, so that nothing is said of it:
        the journal on the same disk is the one that tells.
        """
        self._positions[self._own] = own
        try:
            save_positions(self._path, self._positions, {"book": msgspec.to_builtins(self.book)})
        except OSError:
            return
        self._is_new = False


def _gap_said(gap: Gap) -> GapSaid:
    return GapSaid(
        gap.from_ns, gap.to_ns, gap.cause, gap.symbol, gap.channels, gap.planned, gap.state
    )
