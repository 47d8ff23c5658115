"""Waking a reader that sleeps: a flag in the positions file and one byte over loopback.

The writer never waits here: a datagram that cannot be sent is left, since a sleeper looks again by
itself. The flag and the position are stored and read without a fence, which loses about one wake-up
in 5,000 under stress (measured); hence the bound on every sleep.
"""

import contextlib
import select
import socket
from collections.abc import Sequence

from ticktape.journal.positions import (
    ASLEEP_INDEXES,
    SLEEPERS_INDEX,
    SLOT_COUNT,
    SLOTS_USED_INDEX,
    Positions,
)

SLEEP_S_MAX = 0.02  # a lost wake-up costs this at most
_LOOPBACK = "127.0.0.1"


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
                port = words[index + 1]
                try:
                    self._socket(port).send(b"\0")
                except OSError:
                    # It is gone; the refusal would meet whoever has its port next.
                    self._forget(port)

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

    def sleep(self, seen: Sequence[tuple[Positions, int, int, bool]], timeout_s: float) -> None:
        """Sleep until a writer wakes us, or `timeout_s`, or SLEEP_S_MAX.

        Args:
            seen: for each journal its positions, and the epoch, offset and gate that the reader has
                seen; if one has moved since, there is no sleep.
            timeout_s: at most so long.
        """
        self._fall_asleep()
        for positions, epoch, offset, synced in seen:
            if positions.limit(synced=synced)[:2] != (epoch, offset):
                break
        else:
            select.select([self._socket], [], [], max(0.0, min(timeout_s, SLEEP_S_MAX)))
        self._wake_up()

    def _fall_asleep(self) -> None:
        # Here and not on waking: then there is something to be read, which is in a hurry.
        with contextlib.suppress(OSError):
            # One a journal may have come; what is left wakes us once for nothing.
            for _ in self._slots:
                self._socket.recv(16)
        for key, (positions, index) in tuple(self._slots.items()):
            if positions.closed:
                del self._slots[key]  # a reader that has closed its mapping is not waited for
            else:
                positions.set_asleep(index)

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
