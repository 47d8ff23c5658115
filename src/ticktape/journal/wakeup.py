"""Waking a reader that sleeps: a flag in the positions file and one byte over loopback.

The writer never waits here: a datagram that cannot be sent is left, since a sleeper looks again by
itself. Flags and positions are stored and read without a fence, so either side may read the other's
word before its own is there to be seen, and a wake-up is lost (about one in 5,000 under stress,
measured). Therefore nobody sleeps long on a flag that he has just set:

1. A sleeper sets its flag and SLEEPERS, looks at the positions, and sleeps FIRST_S. A store comes
   out of a CPU's buffer in less than a microsecond: by then both sides see what the other stored.
2. It looks again. What was published by a writer that did not see the flag, it sees now. Whatever
   is published later comes from a writer that sees the flag and sends the byte.
3. It looks whether flag and SLEEPERS stand. A writer that read the flags before ours was to be seen
   may have reset SLEEPERS behind us, and hides us; then they are set anew and have to age again.
   Who resets SLEEPERS later finds our flag behind it.

Only then it sleeps LONG_S. Flags that still stand from an earlier sleep are old enough at once.
"""

import contextlib
import select
import socket
from collections.abc import Iterator, Sequence

from ticktape import clock
from ticktape.journal.positions import (
    ASLEEP_INDEXES,
    SLEEPERS_INDEX,
    SLOT_COUNT,
    SLOTS_USED_INDEX,
    Positions,
)

FIRST_S = 0.005  # a lost wake-up costs this at most
SLEEP_S_MAX = 0.02  # for whom nobody may wake: without a slot, or waiting for a sync
LONG_S = 0.5
_FIRST_MS = round(FIRST_S * 1000)
_YOUNG, _OLD = (FIRST_S, SLEEP_S_MAX, LONG_S), (LONG_S,)  # the steps, by the flags' age
_LOOPBACK = "127.0.0.1"

Seen = tuple[Positions, int, int, bool]
"""A journal's positions, and the epoch, offset and gate that a reader has seen there."""


class Waker:
    """The writer's side: wakes those who sleep, and only those."""

    def __init__(self, positions: Positions) -> None:
        self._words = positions.words
        # By port, each connected to it: a send without an address takes a quarter less.
        self._sockets: dict[int, socket.socket] = {}

    def wake(self) -> None:
        """Send one byte to every sleeper; call it after the position is published."""
        words = self._words
        # Before the flags are read: who sets one later sets this again, and looks again.
        words[SLEEPERS_INDEX] = 0
        for index in ASLEEP_INDEXES[: words[SLOTS_USED_INDEX]]:
            if words[index]:
                words[index] = 0
                self._send(words[index + 1])

    def _send(self, port: int) -> None:
        for _ in range(2):  # the refusal of a dead reader may meet who has its port now
            try:
                self._socket(port).send(b"\0")
            except OSError:
                self._forget(port)
            else:
                return

    def _socket(self, port: int) -> socket.socket:
        known = self._sockets.get(port)
        if known is None:
            if len(self._sockets) >= SLOT_COUNT:
                self.close()  # of readers that came and went
            known = self._sockets[port] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            known.setblocking(False)
            known.connect((_LOOPBACK, port))
        return known

    def _forget(self, port: int) -> None:
        refused = self._sockets.pop(port, None)
        if refused is not None:
            refused.close()

    def close(self) -> None:
        """Close the sockets; may be called twice."""
        for port in list(self._sockets):
            self._forget(port)


class Sleeper:
    """A reader's side: one socket for all journals that it follows."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((_LOOPBACK, 0))
        self._socket.setblocking(False)
        self._port = int(self._socket.getsockname()[1])
        self._slots: dict[int, tuple[Positions, int]] = {}
        self._is_old = False  # the flags: they stand for FIRST_S or longer
        self._due_ns = 0
        self._is_roused = False
        self._last_steps: Iterator[float] = iter(())
        self._poll = None
        if hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._socket, select.POLLIN)

    def watch(self, positions: Positions) -> None:
        """Have this journal's writer wake us from now on; all slots taken, we look by ourselves."""
        slot = self._slots.get(id(positions))
        if slot is None or not positions.owns_slot(slot[1], self._port):
            index = positions.take_slot(self._port)
            if index is None:
                self._slots.pop(id(positions), None)
            else:
                self._slots[id(positions)] = (positions, index)

    def unwatch(self, positions: Positions) -> None:
        """Stop that."""
        slot = self._slots.pop(id(positions), None)
        if slot is not None:
            self._free(*slot)

    def sleep(self, seen: Sequence[Seen], timeout_s: float) -> int:
        """Sleep until a writer wakes us, or `timeout_s`, or LONG_S; SLEEP_S_MAX if nobody may.

        Args:
            seen: what the reader has seen of each journal; if one has moved since, there is no
                sleep.
            timeout_s: at most so long.

        Returns:
            When the sleep's last step was to end at the latest, in monotonic ns; 0 without one.
        """
        # Kept, for to end it takes time: who is woken has something to read, which is in a hurry.
        self._last_steps = steps = self._steps(seen, timeout_s)
        for wait_s in steps:
            if self._hears(wait_s):
                self._wake_up()
                break
        return self._due_ns

    def _hears(self, wait_s: float) -> bool:
        """Wait for the byte; whether it came."""
        if self._poll is not None and wait_s == FIRST_S:
            # Nearly every sleep, when much comes; it takes half of what `select` does, but waits
            # for whole milliseconds alone.
            return bool(self._poll.poll(_FIRST_MS))
        return bool(select.select([self._socket], [], [], wait_s)[0])

    def rouse(self) -> None:
        """End this sleep, or the next one; may be called from any thread."""
        self._is_roused = True  # before the byte: one that comes too early is not heard
        with contextlib.suppress(OSError):  # closed meanwhile
            self._socket.sendto(b"\0", (_LOOPBACK, self._port))

    def _steps(self, seen: Sequence[Seen], timeout_s: float) -> Iterator[float]:
        """How long to wait for the byte, step by step; before each one it looks.

        It ends when there is no reason to wait on. Who gets the byte calls `_wake_up` and leaves.
        """
        self._due_ns = 0
        self._fall_asleep()
        if self._is_roused:
            self._is_roused = False
            return
        slept_s = 0.0
        for number, step_s in enumerate(_OLD if self._is_old else _YOUNG):
            if number:
                self._lie_down()
            if _has_moved(seen):
                self._wake_up()
                return
            until_s = max(0.0, min(timeout_s, step_s, self._bound_s(seen)))
            if number and until_s <= slept_s:
                return
            wait_s, slept_s = until_s - slept_s, until_s
            self._due_ns = clock.monotonic_ns() + int(wait_s * clock.NS_PER_S)
            yield wait_s
            self._is_old = self._is_old or wait_s >= FIRST_S

    def _fall_asleep(self) -> None:
        # Here and not on waking: then there is something to be read, which is in a hurry.
        with contextlib.suppress(OSError):
            # One a journal may have come; what is left wakes us once for nothing.
            for _ in self._slots:
                self._socket.recv(16)
        for key, (positions, _) in tuple(self._slots.items()):
            if positions.closed:
                del self._slots[key]  # a reader that has closed its mapping is not waited for
        self._lie_down()

    def _lie_down(self) -> None:
        """Set all flags, unless they stand."""
        slots = self._slots.values()
        if not all(positions.is_asleep(index, self._port) for positions, index in slots):
            self._is_old = False
            for positions, index in slots:
                positions.set_asleep(index)

    def _bound_s(self, seen: Sequence[Seen]) -> float:
        """How long it may sleep, as the flags stand."""
        return LONG_S if self._is_old and all(map(self._is_woken_for, seen)) else SLEEP_S_MAX

    def _is_woken_for(self, seen: Seen) -> bool:
        """Whether a writer wakes us when this one moves; of a sync nobody is told."""
        positions, epoch, offset, synced = seen
        if id(positions) not in self._slots:
            return False
        return not synced or positions.limit(synced=False)[:2] == (epoch, offset)

    def _wake_up(self) -> None:
        for positions, index in self._slots.values():
            positions.set_awake(index)

    def _free(self, positions: Positions, index: int) -> None:
        if not positions.closed and positions.owns_slot(index, self._port):
            positions.free_slot(index)

    def close(self) -> None:
        """Free the slots and close the socket; may be called twice."""
        for slot in self._slots.values():
            self._free(*slot)
        self._slots.clear()
        self._socket.close()


def _has_moved(seen: Sequence[Seen]) -> bool:
    for positions, epoch, offset, synced in seen:
        if positions.has_moved(epoch, offset, synced):
            return True
    return False
