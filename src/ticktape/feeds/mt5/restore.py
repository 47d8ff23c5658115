"""Finds the tick cursors again in the journal itself, which alone survives everything."""

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
    offset_ms = 0
    end = _END
    segments = list_segments(directory) if wanted else []
    for segment in reversed(segments):
        newer, newer_offset_ms = _restore_from(directory, segment.position, end)
        found = newer | found
        offset_ms = offset_ms or newer_offset_ms
        if wanted <= found.keys():
            break
        end = segment.position
    return Restored({symbol: at for symbol, at in found.items() if symbol in wanted}, offset_ms)


def _restore_from(directory: Path, start: Position, end: Position) -> Restored:
    found: Cursors = {}
    offset_ms = 0
    with Reader(directory, None, start) as reader:
        while blocks := reader.read_until(end, _READ_BYTES):
            for block in blocks:
                for kind, payload in block.entries():
                    if kind == EntryKind.BINARY and payload[:1] == _TICKS:
                        batch = mt5.unpack_ticks(payload, block.recv_mono_ns)
                        found[batch.symbol] = (mt5.last_msc(batch.rows), batch.seen)
                        offset_ms = batch.offset_ms or offset_ms
                    elif kind == EntryKind.POLLS:
                        found.update(_polls.decode(payload).cursors)
    return Restored(found, offset_ms)
