"""The one writer of the last-value file: records in arrival order become the newest per cell.

It never goes backwards, never raises for what a record holds, and never leaves a cell that a reader
would take half of. What it cannot place is counted, because the file is a cache and not the record.
"""

import struct
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ticktape.lastvalue.books import NO_SLOT, encode_image, encode_top, slot_of
from ticktape.lastvalue.cells import decode, encode
from ticktape.lastvalue.drafts import DRAFTED, Drafts, Winners, settle
from ticktape.lastvalue.images import ImageWriter
from ticktape.lastvalue.kept import Cell, is_later, take_cell
from ticktape.lastvalue.layout import (
    CAPACITY,
    CELLS,
    CUT,
    FEED_BYTES,
    FLAGS_AT,
    POSITION_EPOCH,
    POSITION_NAME_BYTES,
    POSITION_OFFSET,
    POSITION_SEQ,
    POSITION_USED,
    POSITION_WORD,
    POSITION_WORDS,
    POSITIONS,
    SYMBOL_BYTES,
    VALID,
    WORD_BYTES,
    WORD_COUNT,
    CellKind,
    images_path,
    key_text,
    owner_of,
)
from ticktape.lastvalue.mapfile import open_for_writing, wipe
from ticktape.lastvalue.orderbooks import OrderBookWriter
from ticktape.lastvalue.statistics import COUNTERS, Statistics, load_statistics, store_counters
from ticktape.records import (
    Bar,
    Book,
    CryptoBook,
    Gap,
    Position,
    Quote,
    Record,
    Status,
    Tick,
    Trade,
    Unknown,
)

_KINDS: Final[dict[type[Record], int]] = {
    Trade: int(CellKind.TRADE),
    Quote: int(CellKind.QUOTE),
    Bar: int(CellKind.BAR),
    Book: int(CellKind.BOOK),
    Tick: int(CellKind.TICK),
    Status: int(CellKind.STATUS),
}
_BAR: Final = int(CellKind.BAR)
_BOOK: Final = int(CellKind.BOOK)
_DAY: Final = int(CellKind.DAY)
_ORDER_BOOK: Final = int(CellKind.ORDER_BOOK)


class LastValueWriter:
    """Keep the newest trade, quote, bar, book, … of every (feed, symbol) in a mapped file.

    One process at a time writes a file; the run's lock sees to that. What a writer of the same boot
    left there is taken over, with its positions; anything else is made anew. A bar of `span` "day"
    has a cell apart from the minute's. A book has its top in the cell and its whole image in
    `books.map` beside the file, made with the first one; for 256 books. An order book is put
    together here from its changes, and a gap makes its cell say that it is not valid.

    The caller first calls `update` with the records and then `set_position`: what a killed writer
    had in hand is thus read again, and reading again changes nothing.
    """

    def __init__(self, path: Path, boot_id: bytes, capacity: int = CAPACITY) -> None:
        """Open or make `path`; `boot_id` is 16 bytes, `capacity` counts cells.

        Raises:
            Full: the disk has no room for the file.
            WriteFailed: the file cannot be made.
        """
        self._capacity = capacity
        self._cells: dict[tuple[str, str, int], Cell] = {}
        self._of_kind: defaultdict[tuple[str, int], dict[str, Cell]] = defaultdict(dict)
        self._count = 0
        self._slots: dict[str, int] = {}
        self._mapping, is_kept = open_for_writing(path, boot_id, capacity, CELLS)
        if is_kept and not self._take_over():
            self._cells.clear()
            self._of_kind.clear()
            self._slots.clear()
            self._count = 0
            wipe(self._mapping, boot_id, capacity)
        self._images = ImageWriter(images_path(path), boot_id)
        self._order_books = OrderBookWriter(self._images)
        self._take_over_order_books()
        statistics = load_statistics(self._mapping)
        self._counters = {name: int(getattr(statistics, name)) for name in COUNTERS}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the files; their values stay readable. May be called twice."""
        self._images.close()
        self._mapping.close()

    def statistics(self) -> Statistics:
        """Counts since the file was made, and how full it is."""
        return load_statistics(self._mapping)

    def update(self, records: Iterable[Record]) -> None:
        """Let `records`, in arrival order, move their cells forward; other kinds are passed over.

        Only the last winner of each cell is written. Later is the greater (event_ns, epoch, seq,
        index). When `records` itself raises, what came before is written.
        """
        cells = self._cells
        dirty: list[Cell] = []
        seen = late = conflated = ignored = 0
        try:
            for record in records:
                seen += 1
                kind = _KINDS.get(type(record), 0)
                if kind == _BAR and record.span == "day":  # type: ignore[attr-defined]
                    kind = _DAY
                elif not kind:
                    ignored += self._take_change(record, dirty)
                    continue
                cell = cells.get((record.feed, record.symbol, kind))
                if cell is None:
                    cell = self._add_cell(record.feed, record.symbol, kind)
                    if cell is None:
                        continue
                newest = cell.newest
                if newest is not None and not is_later(record, newest):
                    late += 1
                    continue
                cell.newest = record
                if cell.is_pending:
                    conflated += 1
                else:
                    cell.is_pending = True
                    dirty.append(cell)
        finally:
            for cell in dirty:
                self._write(cell)
            counters = self._counters
            counters["records"] += seen
            counters["late"] += late
            counters["conflated"] += conflated
            counters["ignored"] += ignored
            store_counters(self._mapping, counters)

    def update_drafts(self, drafts: Sequence[Drafts], others: Sequence[Record] = ()) -> bool:
        """Do what `update` does, with trades and quotes of which no records are made yet.

        `drafts` has one of each feed and kind, all later than any that came before; `others` are
        the records of other kinds that came with them. False when it needs all the records: then
        nothing was done.
        """
        room = self._capacity - len(self._cells)
        strange = 0
        settled: list[tuple[str, int, Winners]] = []
        for each in drafts:
            kind = DRAFTED[each.kind]
            winners = settle(each, self._of_kind[each.feed, kind], room)
            if winners is None:
                return False
            strange += winners.strange
            settled.append((each.feed, kind, winners))
        if strange and strange + len(others) > room:
            return False  # who comes first gets the last cells
        for feed, kind, winners in settled:
            self._take_winners(feed, kind, winners)
        self.update(others)
        return True

    def _take_winners(self, feed: str, kind: int, winners: Winners) -> None:
        cells, counters = self._of_kind[feed, kind], self._counters
        for symbol, record in winners.newest.items():
            cell = cells.get(symbol) or self._add_cell(feed, symbol, kind)
            assert cell is not None
            cell.newest = record
            self._write(cell)
        counters["records"] += winners.late + winners.conflated + len(winners.newest)
        counters["late"] += winners.late
        counters["conflated"] += winners.conflated
        for name, count in winners.refused.items():
            counters["records"] += count
            counters[name] += count

    def _take_change(self, record: Record, dirty: list[Cell]) -> bool:
        """Take in what only order books are made of, or lost by; True when it is to be ignored."""
        if type(record) in (Gap, Unknown):
            for feed, symbol in self._order_books.update(record):
                self._mark(self._cells[feed, symbol, _ORDER_BOOK], dirty)
            return True
        if type(record) is not CryptoBook:
            return True
        cell = self._cells.get((record.feed, record.symbol, _ORDER_BOOK))
        if cell is None:
            if not record.reset:
                return True
            cell = self._add_cell(record.feed, record.symbol, _ORDER_BOOK)
            if cell is None:
                return False
        if self._order_books.has(record):
            self._counters["late"] += 1
        elif not self._order_books.update(record):
            return True
        else:
            self._counters["conflated"] += cell.newest is not None
            cell.newest = record
            self._mark(cell, dirty)
        return False

    def _mark(self, cell: Cell, dirty: list[Cell]) -> None:
        if not cell.is_pending:
            cell.is_pending = True
            dirty.append(cell)

    def _add_cell(self, feed: str, symbol: str, kind: int) -> Cell | None:
        if len(self._cells) >= self._capacity:
            self._counters["full"] += 1
            return None
        feed_key = key_text(feed, FEED_BYTES)
        symbol_key = key_text(symbol, SYMBOL_BYTES)
        if feed_key is None or symbol_key is None:
            self._counters["oversize"] += 1
            return None
        cell = Cell(-1, (feed, symbol), feed_key, symbol_key, kind)
        self._keep(cell)
        return cell

    def _keep(self, cell: Cell) -> None:
        feed, symbol = cell.key
        self._cells[feed, symbol, cell.kind] = self._of_kind[feed, cell.kind][symbol] = cell

    def _write(self, cell: Cell) -> None:
        cell.is_pending = False
        if cell.kind == _ORDER_BOOK:
            self._write_order_book(cell)
            return
        assert isinstance(cell.newest, Record)
        try:
            if cell.kind == _BOOK:
                payload = self._place_book(cell)
            else:
                payload = encode(cell.newest, cell.feed, cell.symbol, cell.kind)
        except (struct.error, OverflowError):
            # A number that no field holds: the cell keeps what it had, also as the one to beat.
            self._counters["unfit"] += 1
            stored = None if cell.number < 0 else self._mapping.peek_cell(cell.number)[1]
            cell.newest = None if stored is None else decode(stored)
            return
        self._counters["written"] += 1
        self._store(cell, payload)

    def _store(self, cell: Cell, payload: bytes) -> None:
        if payload[FLAGS_AT] & CUT:
            self._counters["cut"] += 1
        if cell.number >= 0:
            self._mapping.store_cell(cell.number, payload)
            return
        cell.number = self._count
        self._mapping.store_cell(cell.number, payload)
        # The count comes after the cell: whoever sees the count finds a whole cell below it.
        self._count += 1
        self._mapping.words[WORD_COUNT] = self._count

    def _place_book(self, cell: Cell) -> bytes:
        """The payload of a book's cell, after its image went into its slot."""
        book = cell.newest
        assert isinstance(book, Book)
        slot = self._images.slot(owner_of(cell.feed, cell.symbol, _BOOK))
        payload = encode_top(book, cell.feed, cell.symbol, slot)
        if slot == NO_SLOT:
            self._counters["top_only"] += 1
            return payload
        # Before the cell: who has read a cell finds its own image in the slot, or a newer one.
        self._images.store(slot, encode_image(book, payload))
        return payload

    def _write_order_book(self, cell: Cell) -> None:
        is_change, cell.newest = cell.newest is not None, None
        try:
            payload = self._order_books.place(cell.key, cell.feed, cell.symbol)
        except (struct.error, OverflowError):
            self._counters["unfit"] += is_change
            return
        self._counters["top_only"] += payload[FLAGS_AT] & VALID and slot_of(payload) == NO_SLOT
        self._counters["written" if is_change else "lost"] += 1
        self._store(cell, payload)

    def set_position(self, feed: str, position: Position, next_seq: int = -1) -> None:
        """Remember how far the journal of `feed` is in the cells; `feed` takes 32 bytes.

        `next_seq` is the number of the entry that comes next if none is missing; -1: not known.
        Past 56 feeds, or with a longer name, nothing is kept (counted as `unkept`): the next writer
        reads that journal from an older place, which costs time and no value.
        """
        slot = self._slots.get(feed)
        if slot is None:
            slot = self._add_slot(feed)
            if slot is None:
                self._counters["unkept"] += 1
                return
        words = self._mapping.words
        words[slot + POSITION_SEQ] = 0  # until the position is there that it belongs to
        if words[slot + POSITION_EPOCH] != position.epoch:
            # Offset 0 in between: a writer killed between these stores leaves an older position,
            # and never an epoch with another epoch's offset.
            words[slot + POSITION_OFFSET] = 0
            words[slot + POSITION_EPOCH] = position.epoch
        words[slot + POSITION_OFFSET] = position.offset
        words[slot + POSITION_USED] = 1
        words[slot + POSITION_SEQ] = next_seq + 1

    def position(self, feed: str) -> Position | None:
        """How far the journal of `feed` is in the cells; None when nothing is known of it."""
        slot = self._slots.get(feed)
        if slot is None:
            return None
        words = self._mapping.words
        return Position(words[slot + POSITION_EPOCH], words[slot + POSITION_OFFSET])

    def next_seq(self, feed: str) -> int:
        """The number that `set_position` was given; -1 when it is not known."""
        slot = self._slots.get(feed)
        return -1 if slot is None else self._mapping.words[slot + POSITION_SEQ] - 1

    def _add_slot(self, feed: str) -> int | None:
        name = key_text(feed, POSITION_NAME_BYTES)
        if name is None or len(self._slots) >= POSITIONS:
            return None
        slot = POSITION_WORD + len(self._slots) * POSITION_WORDS
        start = slot * WORD_BYTES
        self._mapping.view[start : start + POSITION_NAME_BYTES] = name.ljust(
            POSITION_NAME_BYTES, b"\0"
        )
        self._slots[feed] = slot
        return slot

    def _take_over(self) -> bool:
        """Learn what a dead writer left; False when it cannot be trusted."""
        words = self._mapping.words
        self._count = words[WORD_COUNT]
        for number in range(POSITIONS):
            slot = POSITION_WORD + number * POSITION_WORDS
            if not words[slot + POSITION_USED]:
                break
            start = slot * WORD_BYTES
            name = self._mapping.view[start : start + POSITION_NAME_BYTES].rstrip(b"\0")
            self._slots[name.decode(errors="replace")] = slot
        taken = [take_cell(self._mapping, number) for number in range(self._count)]
        for cell in taken:
            if cell is None:
                return False
            self._keep(cell)
        return len(self._cells) == self._count

    def _take_over_order_books(self) -> None:
        for (feed, symbol, kind), cell in self._cells.items():
            if kind == _ORDER_BOOK:
                left = self._mapping.peek_cell(cell.number)[1]
                mended = self._order_books.take_over(feed, symbol, left)
                if mended is not None:
                    self._mapping.store_cell(cell.number, mended)
