"""Derives the last values again and compares them with those in the mapped file, cell by cell.

The file's own word is taken for how far it has come in each journal, and for nothing else.
"""

from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.decoders.holes import HoleTeller
from ticktape.directory import RunDirectory
from ticktape.journal.retention import read_deleted
from ticktape.lastvalue import LastValue, LastValues, LastValueWriter
from ticktape.lastvalue.layout import (
    CELLS,
    POSITION_EPOCH,
    POSITION_NAME_BYTES,
    POSITION_OFFSET,
    POSITION_USED,
    POSITION_WORD,
    POSITION_WORDS,
    POSITIONS,
    WORD_BYTES,
    CellKind,
)
from ticktape.lastvalue.mapfile import open_for_reading
from ticktape.lastvalue.value import NAMES
from ticktape.records import Position
from ticktape.replay.derive import Progress, Reading, read_chunks
from ticktape.replay.places import reader_of, stream_kinds
from ticktape.replay.states import DIFFERENT, SAME, UNPROVEN

_READ_BYTES = 1 << 20
_pack = msgspec.msgpack.Encoder().encode

_Cell = tuple[str, str, str]  # feed, symbol, kind
_ORDER_BOOK = NAMES[CellKind.ORDER_BOOK]


class CellDifference(NamedTuple):
    """A cell that is not what the journals make of it; `column` is empty when one lacks it."""

    feed: str
    symbol: str
    kind: str
    column: str
    file: Any
    journal: Any


class LastComparison(NamedTuple):
    """The last values against the journals; `not_compared` says what is out of reach, and why."""

    compared: int
    differences: list[CellDifference]
    unproven: list[str]
    not_compared: list[str]

    @property
    def state(self) -> str:
        """SAME when every cell in reach is what the journals make of it."""
        if self.differences:
            return DIFFERENT
        return UNPROVEN if self.unproven else SAME

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "state": self.state,
            "compared": self.compared,
            "differences": [each._asdict() for each in self.differences],
            "unproven": self.unproven,
            "not_compared": self.not_compared,
        }


def compare_last(
    directory: RunDirectory, scratch: Path, progress: Progress, *, live: bool
) -> LastComparison:
    """Derive the last values again in `scratch`, each journal as far as the file has come in it.

    Raises:
        ConfigError: run.toml is unreadable.
        JournalError: the disk of `scratch` refused.
    """
    # Before the cells: what they show is then of these positions or newer.
    positions = kept_positions(directory.last)
    if positions is None:
        return LastComparison(0, [], [], ["there are no last values"])
    with LastValues(directory.last) as values:
        there, torn = _cells(values)
    path = scratch / "last.map"
    readings = _derive(directory, path, positions, progress, live=live)
    with LastValues(path) as values:
        derived, _ = _cells(values)
    for cell in torn:
        derived.pop(cell, None)
    found = _Found(readings, live=live)
    for cell in sorted(there.keys() | derived.keys()):
        found.compare(cell, there.get(cell), derived.get(cell))
    found.skipped["torn: their writer died or stands still in them"] = len(torn)
    skipped = [f"{count} cells are {why}" for why, count in found.skipped.items() if count]
    return LastComparison(found.compared, found.differences, found.unproven, skipped)


def kept_positions(path: Path) -> dict[str, Position] | None:
    """How far the file of last values at `path` has come in each journal; None without a file."""
    mapping = open_for_reading(path, CELLS)
    if mapping is None:
        return None
    found: dict[str, Position] = {}
    words = mapping.words
    for number in range(POSITIONS):
        slot = POSITION_WORD + number * POSITION_WORDS
        if not words[slot + POSITION_USED]:
            break
        start = slot * WORD_BYTES
        name = mapping.view[start : start + POSITION_NAME_BYTES].rstrip(b"\0")
        found[name.decode(errors="replace")] = Position(
            words[slot + POSITION_EPOCH], words[slot + POSITION_OFFSET]
        )
    mapping.close()
    return found


def _derive(
    directory: RunDirectory,
    path: Path,
    positions: dict[str, Position],
    progress: Progress,
    *,
    live: bool,
) -> dict[str, Reading]:
    """Write the values of the journals up to `positions` to `path`; how each of them read."""
    readings: dict[str, Reading] = {}
    with LastValueWriter(path, clock.boot_id()) as writer:
        for feed, kind in stream_kinds(directory).items():
            if feed not in positions:
                continue
            until = positions[feed]
            gone = read_deleted(directory.journal(feed))
            reading = readings[feed] = Reading(until, gone)
            decode = HoleTeller(feed, decoder_for(kind, feed)).decode
            with reader_of(directory, feed, live=live) as reader:
                chunks = read_chunks(directory, feed, reader, until, progress, _READ_BYTES)
                for blocks in chunks:
                    reading.follow(blocks, len(reader.damage))
                    writer.update([record for block in blocks for record in decode(block)])
                reading.finish(reader.damage)
                if behind := reader.read(1):
                    reading.cut = (behind[0].epoch, behind[0].seq)
    return readings


def _cells(values: LastValues) -> tuple[dict[_Cell, Any], list[_Cell]]:
    """Every cell's record, and the cells that are torn."""
    found: dict[_Cell, Any] = {}
    torn: list[_Cell] = []
    for feed, symbol in values:
        value = values.get(feed, symbol)
        if value is None:
            continue
        torn += [(feed, symbol, kind) for kind in value.torn]
        for kind in NAMES.values():
            record = _record(value, kind)
            if record is not None and kind not in value.torn:
                found[feed, symbol, kind] = record
    return found, torn


def _record(value: LastValue, kind: str) -> Any:  # noqa: ANN401 - one type for each kind
    """A cell's record; of a polled book the whole image, or its top when that is all there is."""
    record = getattr(value, kind)
    return value.top if record is None and kind == NAMES[CellKind.BOOK] else record


class _Found:
    """Compares cells; collects what differs."""

    def __init__(self, readings: dict[str, Reading], *, live: bool) -> None:
        self.compared = 0
        self.differences: list[CellDifference] = []
        self.unproven: list[str] = []
        self.skipped: Counter[str] = Counter()
        self._readings = readings
        self._live = live

    def compare(self, cell: _Cell, there: Any, derived: Any) -> None:  # noqa: ANN401
        """Compare a cell of the file with the derived one; None when there is none."""
        feed, _, kind = cell
        reading = self._readings.get(feed)
        if reading is None:
            self.skipped[f"of {feed}, whose position or journal is not there"] += 1
        elif there is not None and _is_ahead(there, reading):
            self.skipped["ahead of the position that their file says of itself"] += 1
        elif kind == _ORDER_BOOK and self._live:
            # What ends one leaves no trace of its place in it.
            self.skipped["order books, which change while the recorder is at work"] += 1
        elif _pack(there) == _pack(derived):
            self.compared += 1
        elif _is_deleted(there, kind, reading):
            self.skipped["of entries that retention has deleted"] += 1
        elif _is_lost(there, kind, reading):
            self.compared += 1
            self.unproven.append(f"{' '.join(cell)}: the journal is damaged where it came from")
        else:
            self.compared += 1
            self._differ(cell, there, derived)

    def _differ(self, cell: _Cell, there: Any, derived: Any) -> None:  # noqa: ANN401
        if there is None or derived is None:
            self.differences.append(CellDifference(*cell, "", there, derived))
            return
        mine, other = msgspec.structs.asdict(there), msgspec.structs.asdict(derived)
        self.differences += [
            CellDifference(*cell, name, mine.get(name), other.get(name))
            for name in mine | other
            if _pack(mine.get(name)) != _pack(other.get(name))
        ]


def _is_ahead(there: Any, reading: Reading) -> bool:  # noqa: ANN401
    return reading.cut is not None and (there.epoch, there.seq) >= reading.cut


def _is_deleted(there: Any, kind: str, reading: Reading) -> bool:  # noqa: ANN401
    """Whether retention took what the cell is made of; an order book is made of all before it."""
    if kind == _ORDER_BOOK and reading.has_deleted:
        return True
    return there is not None and reading.is_deleted(there.epoch, there.seq)


def _is_lost(there: Any, kind: str, reading: Reading) -> bool:  # noqa: ANN401
    """Whether the journal cannot prove the cell; an order book is made of all that went before."""
    if kind == _ORDER_BOOK and reading.has_holes:
        return True
    return there is not None and reading.is_lost(there.epoch, there.seq)
