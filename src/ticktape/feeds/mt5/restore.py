"""Finds the tick cursors, and the gaps that wait for ticks, again in the journal itself.

That alone survives everything.
"""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape import mt5
from ticktape.feeds.mt5.healing import ClosedGap
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.polls import Polls
from ticktape.records import EntryKind, Position

Cursors = dict[str, tuple[int, int]]


class Restored(NamedTuple):
    """Symbol -> the cursor behind its last journaled tick; the broker's offset as of the last.

    `gaps` were waiting for their ticks when the writer ended.
    """

    cursors: Cursors
    offset_ms: int
    gaps: tuple[ClosedGap, ...] = ()


class _Note(msgspec.Struct):
    waiting: tuple[ClosedGap, ...] | None = None


_READ_BYTES = 8 << 20
_END = Position(1 << 62, 0)
_TICKS = bytes([mt5.Form.TICKS])
_polls = msgspec.json.Decoder(Polls)
_note = msgspec.json.Decoder(_Note)


def restore(directory: Path, symbols: Iterable[str]) -> Restored:
    """What the journal knows of the ticks of `symbols`; those without any have no cursor.

    Segments are read from the newest back until every symbol is found; with a heartbeat in each
    second all cursors and all gaps that wait are named, so that is seldom more than one.
    """
    wanted = set(symbols)
    found = _Found()
    end = _END
    segments = list_segments(directory) if wanted else []
    for segment in reversed(segments):
        found = _restore_from(directory, segment.position, end).over(found)
        if wanted <= found.cursors.keys():
            break
        end = segment.position
    cursors = {symbol: at for symbol, at in found.cursors.items() if symbol in wanted}
    return Restored(cursors, found.offset_ms or 0, found.gaps or ())


class _Found(msgspec.Struct):
    """What some segments say; None for nothing."""

    cursors: Cursors = {}
    offset_ms: int | None = None
    gaps: tuple[ClosedGap, ...] | None = None

    def over(self, newer: "_Found") -> "_Found":
        """This, and what newer segments say, which counts where both do."""
        return _Found(
            self.cursors | newer.cursors,
            self.offset_ms if newer.offset_ms is None else newer.offset_ms,
            self.gaps if newer.gaps is None else newer.gaps,
        )

    def take(self, kind: int, payload: bytes) -> None:
        """Hear the next entry; one of another version must not make a start fail."""
        if kind == EntryKind.BINARY and payload[:1] == _TICKS:
            self._hear(payload)
        elif kind == EntryKind.POLLS:
            with contextlib.suppress(ValueError):
                self.cursors.update(_polls.decode(payload).cursors)
        elif kind == EntryKind.NOTE:
            with contextlib.suppress(ValueError):
                waiting = _note.decode(payload).waiting
                self.gaps = self.gaps if waiting is None else waiting

    def _hear(self, payload: bytes) -> None:
        try:
            batch = mt5.unpack_ticks(payload, 0)
        except ValueError:
            return  # it stands in `unknown`
        if batch.rows:
            self.cursors[batch.symbol] = (mt5.last_msc(batch.rows), batch.seen)
        self.offset_ms = batch.offset_ms


def _restore_from(directory: Path, start: Position, end: Position) -> _Found:
    found = _Found()
    with Reader(directory, None, start) as reader:
        while blocks := reader.read_until(end, _READ_BYTES):
            for block in blocks:
                for kind, payload in block.entries():
                    found.take(kind, payload)
    return found
