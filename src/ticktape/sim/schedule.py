"""Which fault strikes next on one path; pure: the caller says where its tape is, and the time.

Rows of a `Fault` count from 1 over all passes of the tape, those of a cursor from 0 in one pass;
`played` is how many rows the passes before this one had.
"""

from collections.abc import Iterable
from random import Random

import msgspec

from ticktape.sim.faults import FAULTS, PLACED, Fault, Strikes


class Schedule:
    """The faults with a place that have not struck yet; `frame_rows` rows share a frame.

    A fault that strikes one frame in so many gets its next place when it has struck, from `random`.
    """

    def __init__(self, faults: Iterable[Fault], frame_rows: int, random: Random) -> None:
        self._frame_rows = frame_rows
        self._random = random
        self._faults = [fault for fault in faults if fault.strikes in PLACED]
        for number, fault in enumerate(self._faults):
            if _repeats(fault):
                frames = int(random.random() * fault.amount)
                self._faults[number] = self._in_frame(fault, frames * frame_rows)

    @property
    def timed(self) -> bool:
        """Whether a fault waits for a time."""
        return any(fault.at_s is not None for fault in self._faults)

    def arm(self, elapsed_s: float, row: int) -> None:
        """Let faults whose time has come strike at `row`, how many rows have been sent by now."""
        for number, fault in enumerate(self._faults):
            if fault.at_s is not None and elapsed_s >= fault.at_s:
                # In a frame it is the next message, after a message the last one.
                place = row + 1 if fault.strikes is Strikes.IN_FRAME else row
                self._faults[number] = msgspec.structs.replace(fault, row=place, at_s=None)

    def stop(self, played: int, cursor: int, total: int) -> int:
        """Return how far this pass may play until a fault strikes: from `cursor` to `total`."""
        stops = [self._stop(fault, played) for fault in self._faults]
        return max(cursor, min([total, *(stop for stop in stops if stop is not None)]))

    def take(self, played: int, cursor: int, frame_end: int) -> Fault | None:
        """Take out a fault that strikes now, or None.

        One in a frame strikes only when that frame may be sent: `frame_end` says up to where that
        is, and equals `cursor` when none may.
        """
        for number, fault in enumerate(self._faults):
            stop = self._stop(fault, played)
            if stop is None or stop > cursor:
                continue
            if fault.strikes is Strikes.IN_FRAME and frame_end <= cursor:
                continue
            del self._faults[number]
            self._repeat(fault, played + cursor)
            return fault
        return None

    def _stop(self, fault: Fault, played: int) -> int | None:
        if fault.row is None:
            return None
        row = fault.row - played
        if fault.strikes is Strikes.IN_FRAME:
            return (row - 1) - (row - 1) % self._frame_rows
        return row

    def _repeat(self, fault: Fault, row: int) -> None:
        if _repeats(fault):
            # From 1 to twice as many less 1: in the mean, one frame in so many.
            frames = 1 + int(self._random.random() * (2 * fault.amount - 1))
            self._faults.append(self._in_frame(fault, row + frames * self._frame_rows))

    def _in_frame(self, fault: Fault, row: int) -> Fault:
        message = int(self._random.random() * self._frame_rows)
        return msgspec.structs.replace(fault, row=row + message + 1)


def _repeats(fault: Fault) -> bool:
    return FAULTS[fault.name].every and bool(fault.value)
