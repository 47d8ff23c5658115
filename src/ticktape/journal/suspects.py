"""Which stretches of a journal its own notes name as suspect, for what is sealed to bear the mark.

It never trusts a place that is not synced yet: what a failed sync took is named behind it.
"""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT, WORD_BYTES
from ticktape.journal.reader import Reader
from ticktape.journal.segments import PlainFile, Segment, list_segments
from ticktape.records import EntryKind, Position

_READ_BYTES = 1 << 20
_NOTE = EntryKind.NOTE << (KIND_SHIFT - 24)
# What every such note has in it, as the writer makes them.
_WORD = b'{"suspect":{"epoch":'


class _Note(msgspec.Struct):
    suspect: dict[str, int] | None = None


_note = msgspec.json.Decoder(_Note)


class Suspects:
    """What was found so far; it looks at each part of the journal once.

    Args:
        directory: the journal's folder.
        positions_path: the writer's mapped positions, None when no writer is at work.
    """

    def __init__(self, directory: Path, positions_path: Path | None) -> None:
        self._directory = directory
        self._positions_path = positions_path
        self._found: list[tuple[int, int, int]] = []
        self._scanned = Position(0, 0)

    def touch(self, segment: Segment, size: int, is_closed: Callable[[Segment], bool]) -> bool:
        """Whether a note names any of a segment's `size` bytes.

        It is in what was synced when the segment was: the writer publishes nothing as synced until
        its note of a failure is. `is_closed` tells of a segment whether all of it is synced.
        """
        self._scan(segment.position, is_closed)
        return any(
            epoch == segment.epoch and start < segment.base + size and end > segment.base
            for epoch, start, end in self._found
        )

    def _scan(self, start: Position, is_closed: Callable[[Segment], bool]) -> None:
        start = max(start, self._scanned)
        with Reader(self._directory, self._positions_path, start, synced=True) as reader:
            for begin, end in self._silent(start, is_closed):
                while blocks := reader.read_until(begin):
                    self._look(blocks)
                reader.seek(end)
            while blocks := reader.read():
                self._look(blocks)
            self._scanned = reader.position

    def _look(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._found += _suspects_in(block)

    def _silent(
        self, start: Position, is_closed: Callable[[Segment], bool]
    ) -> Iterator[tuple[Position, Position]]:
        """Where segments begin and end that cannot name anything: the word is nowhere in them.

        To look for it costs a fiftieth of reading blocks of one message each.
        """
        for segment in list_segments(self._directory):
            if segment.is_sealed or not is_closed(segment):
                continue
            with contextlib.suppress(FileNotFoundError), PlainFile(segment.plain_path) as plain:
                end = Position(segment.epoch, segment.base + plain.size())
                if end > start and not _has_word(plain):
                    yield segment.position, end


def _has_word(plain: PlainFile) -> bool:
    at = 0
    while piece := plain.read_at(_READ_BYTES, at):
        if _WORD in piece:
            return True
        # The word may straddle two pieces.
        at += len(piece) if len(piece) < _READ_BYTES else len(piece) - len(_WORD) + 1
    return False


def _suspects_in(block: Block) -> Iterator[tuple[int, int, int]]:
    """The ranges (epoch, from, to) that a block names as suspect."""
    # A kind stands in the uppermost bits of its entry's little-endian word, so in its last byte.
    kinds = block.body[WORD_BYTES - 1 : block.count * WORD_BYTES : WORD_BYTES]
    if max(kinds) < _NOTE:
        return
    for kind, payload in block.entries():
        if kind == EntryKind.NOTE:
            with contextlib.suppress(ValueError):
                said = _note.decode(payload).suspect
                if said is not None:
                    yield said["epoch"], said["from_offset"], said["to_offset"]
