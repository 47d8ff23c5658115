"""Finds the tick cursors again in the journal itself, which alone survives everything."""

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import msgspec

from ticktape import mt5
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.polls import Polls
from ticktape.records import EntryKind, Position

Cursors = dict[str, tuple[int, int]]


class Restored(NamedTuple):
    """Symbol -> the cursor behind its last journaled tick; the broker's offset as of the last."""

    cursors: Cursors
    offset_ms: int


_READ_BYTES = 8 << 20
_END = Position(1 << 62, 0)
_TICKS = bytes([mt5.Form.TICKS])
_polls = msgspec.json.Decoder(Polls)


def restore(directory: Path, symbols: Iterable[str]) -> Restored:
    """What the journal knows of the ticks of `symbols`; those without any have no cursor.

    Segments are read from the newest back until every symbol is found; a heartbeat in each second
    names all cursors, so that is seldom more than one.
    """
    wanted = set(symbols)
    found: Cursors = {}
    offset_ms: int | None = None
    end = _END
    segments = list_segments(directory) if wanted else []
    for segment in reversed(segments):
        older, older_offset_ms = _restore_from(directory, segment.position, end)
        found = older | found
        offset_ms = older_offset_ms if offset_ms is None else offset_ms
        if wanted <= found.keys():
            break
        end = segment.position
    cursors = {symbol: at for symbol, at in found.items() if symbol in wanted}
    return Restored(cursors, offset_ms or 0)


def _restore_from(directory: Path, start: Position, end: Position) -> tuple[Cursors, int | None]:
    found: Cursors = {}
    offset_ms: int | None = None
    with Reader(directory, None, start) as reader:
        while blocks := reader.read_until(end, _READ_BYTES):
            for block in blocks:
                for kind, payload in block.entries():
                    if kind == EntryKind.BINARY and payload[:1] == _TICKS:
                        offset_ms = _hear(payload, found, offset_ms)
                    elif kind == EntryKind.POLLS:
                        with contextlib.suppress(ValueError):  # of another version
                            found.update(_polls.decode(payload).cursors)
    return found, offset_ms


def _hear(payload: bytes, found: Cursors, offset_ms: int | None) -> int | None:
    try:
        batch = mt5.unpack_ticks(payload, 0)
    except ValueError:
        return offset_ms  # it stands in `unknown`; a start must not fail on it
    if batch.rows:
        found[batch.symbol] = (mt5.last_msc(batch.rows), batch.seen)
    return batch.offset_ms
