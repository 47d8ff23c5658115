"""A small mapped file of counters, one slot a process: progress that outlives a `kill -9`.

What a process was doing is read from here; what became of its captures is read from the files.

    word 0 stop · 1 go · then slots of 32 words, see Slot; the last 16 words of a slot are a text
"""

import mmap
from pathlib import Path
from typing import Final

SLOT_WORDS: Final = 32
_TEXT_WORD: Final = 16
_TEXT_BYTES: Final = (SLOT_WORDS - _TEXT_WORD) * 8
_HEAD_WORDS: Final = 8
_STOP, _GO = 0, 1

NEW, READY, OVER = 0, 1, 2
"""States of a process: not there yet, waiting for the word to begin, at its end (or killed)."""


class Word:
    """One number of a slot, at a fixed place."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place

    def __get__(self, slot: "Slot", owner: type | None = None) -> int:
        """Its value now."""
        return slot.words[self.place]

    def __set__(self, slot: "Slot", value: int) -> None:
        """One store: nobody sees half of it."""
        slot.words[self.place] = value


class Slot:
    """What one process says of itself.

    state, failed       where it is; the errno (or 1) of what ended it
    acquired            captures that it took from the source so far
    last_after_ns       when the last of them was there
    packed              captures that it packed
    saved, files        captures and files that it has written
    flushes             how often the threshold was reached
    held_bytes          packed captures that it holds in memory
    cpu_ns              its own CPU time, once it is at its end
    """

    state = Word(0)
    failed = Word(1)
    acquired = Word(2)
    last_after_ns = Word(3)
    packed = Word(4)
    saved = Word(5)
    files = Word(6)
    flushes = Word(7)
    held_bytes = Word(8)
    cpu_ns = Word(9)

    def __init__(self, words: memoryview) -> None:
        self.words = words

    def fail(self, number: int, words: str) -> None:
        """Say what ended the process, cut to what there is room for."""
        text = words.encode()[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0")
        for index in range(SLOT_WORDS - _TEXT_WORD):
            part = text[8 * index : 8 * index + 8]
            self.words[_TEXT_WORD + index] = int.from_bytes(part, "little")
        self.failed = number or 1

    @property
    def failure(self) -> str:
        """What it said."""
        parts = [word.to_bytes(8, "little") for word in self.words[_TEXT_WORD:]]
        return b"".join(parts).rstrip(b"\0").decode(errors="replace")


class Tally:
    """The map of one cell; all of its processes have it open."""

    def __init__(self, path: Path, slots: int) -> None:
        length = (_HEAD_WORDS + slots * SLOT_WORDS) * 8
        if not path.exists():
            path.write_bytes(bytes(length))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), length)
        self._view = memoryview(self._map)
        self.words = self._view.cast("Q")
        self.slots = []
        for number in range(slots):
            first = _HEAD_WORDS + number * SLOT_WORDS
            self.slots.append(Slot(self.words[first : first + SLOT_WORDS]))

    @property
    def stop(self) -> bool:
        """Whether acquiring is to end."""
        return bool(self.words[_STOP])

    @property
    def go(self) -> bool:
        """Whether acquiring may begin."""
        return bool(self.words[_GO])

    def ask_go(self) -> None:
        """Let acquiring begin."""
        self.words[_GO] = 1

    def ask_stop(self) -> None:
        """Have acquiring end."""
        self.words[_STOP] = 1

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        for slot in self.slots:
            slot.words.release()
        self.words.release()
        self._view.release()
        self._map.close()
