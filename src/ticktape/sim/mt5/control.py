"""The terminal's switches, in one small mapped file that every client process reads at each call.

A switch is one word of 64 bits, so that nobody sees half of one. The file is made of real zeros and
never made shorter, because others may have it mapped.
"""

import mmap
import sys
from pathlib import Path
from typing import Final, Protocol

WORDS: Final = 64
FILE_BYTES: Final = WORDS * 8
NEVER_NS: Final = (1 << 63) - 1
MAGIC: Final = int.from_bytes(b"MT5SIM1\0", "little")

# A switch that changes what is shown is set this long before its moment, so that no client can
# read its clock before the switch, and the switch after the moment.
LEAD_NS: Final = 5_000_000


class Clock(Protocol):
    """What the terminal needs of a clock."""

    def monotonic_ns(self) -> int:
        """Nanoseconds that never go back."""
        ...

    def wall_ns(self) -> int:
        """UTC nanoseconds."""
        ...


class Word:
    """One switch or counter of the map, at a fixed place."""

    __slots__ = ("place",)

    def __init__(self, place: int) -> None:
        self.place = place

    def __get__(self, control: "Control", owner: type | None = None) -> int:
        """Its value now."""
        return control.words[self.place]

    def __set__(self, control: "Control", value: int) -> None:
        """One store."""
        control.words[self.place] = value


class Control:
    """The map of one world; each attribute below is a word that any process may read or set.

    start               number of the present start, from 1; 0 before the first
    start_mono_ns, start_wall_ns    when it was, the same instant on both clocks
    ticks_mono_ns, ticks_wall_ns    when the ticks began; they run on while the terminal is down
    alive, ended_mono_ns    whether the terminal runs; if not, since when
    locked              1: the terminal is a process, which holds `terminal.lock` while it lives
    pid                 its number, for people
    logged_in           0: initialize() ends with -10005
    frozen_from_ns, frozen_until_ns   between them the link to the trade server is down
    hang                1: calls do not return
    latency_us          of every call
    spike_ppm, spike_low_ms, spike_high_ms   how many calls in a million take so much longer
    stall_next_ms       the next call alone takes so much longer, then it is 0 again
    hold_gil            1: wait with the interpreter's lock held, as the real module does
    calls, gets, connections   counters; exact with one client
    """

    start = Word(1)
    start_mono_ns = Word(2)
    start_wall_ns = Word(3)
    ticks_mono_ns = Word(4)
    ticks_wall_ns = Word(5)
    alive = Word(6)
    ended_mono_ns = Word(7)
    locked = Word(8)
    pid = Word(9)
    logged_in = Word(10)
    frozen_from_ns = Word(11)
    frozen_until_ns = Word(12)
    hang = Word(13)
    latency_us = Word(14)
    spike_ppm = Word(15)
    spike_low_ms = Word(16)
    spike_high_ms = Word(17)
    stall_next_ms = Word(18)
    hold_gil = Word(19)
    calls = Word(20)
    gets = Word(21)
    connections = Word(22)

    def __init__(self, path: Path) -> None:
        """Map the file, which is made when it is not there."""
        self.path = path
        if not path.exists():
            fresh = bytearray(FILE_BYTES)
            fresh[:8] = MAGIC.to_bytes(8, sys.byteorder)
            made = path.with_suffix(".new")
            made.write_bytes(fresh)
            made.replace(path)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), FILE_BYTES)
        self.words = memoryview(self._map).cast("Q")
        if self.words[0] != MAGIC:
            raise ValueError(f"{path} is no map of a simulated terminal")

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self.words.release()
        self._map.close()

    def disconnect(self, at_ns: int) -> None:
        """Take the link to the trade server down at the monotonic `at_ns`; what is shown freezes.

        Give a moment `LEAD_NS` ahead to have the truth exact to the last call.
        """
        self.frozen_from_ns = NEVER_NS
        self.frozen_until_ns = NEVER_NS
        self.frozen_from_ns = at_ns

    def reconnect(self, at_ns: int) -> None:
        """Bring the link back at `at_ns`: from then on what is current is shown."""
        self.frozen_until_ns = at_ns

    def is_frozen(self, now_ns: int) -> bool:
        """Whether the link to the trade server is down."""
        return self.frozen_from_ns <= now_ns < self.frozen_until_ns

    def shown_ns(self, now_ns: int) -> int:
        """The moment whose state is shown at `now_ns`: this one, or when the link went down."""
        words = self.words
        frozen_ns = words[11]
        return frozen_ns if frozen_ns <= now_ns < words[12] else now_ns
