"""Bytes so far, how fast they grow, and when the disk is full; pure."""

from collections import deque
from typing import Final

import msgspec

WINDOW_S: Final = 600.0
_SAMPLES_MAX: Final = 200
_LEAST_S: Final = 20.0  # before that a burst or a commit would be taken for the rate


class DiskState(msgspec.Struct, frozen=True):
    """Bytes of the run, of the disk that is free, and how it goes on.

    `rate` is bytes a second over the last ten minutes, None while that is not known. `full_s` are
    seconds until only `reserve` is free at that rate; None when it does not grow, or is unknown.
    """

    run: int
    journals: int
    table: int
    other: int
    free: int
    reserve: int
    rate: float | None
    full_s: float | None


class DiskWatch:
    """Takes sizes now and then and makes the forecast."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=_SAMPLES_MAX)

    def add(
        self, now_s: float, journals: int, table: int, other: int, free: int, reserve: int
    ) -> DiskState:
        """The state with these sizes in bytes at `now_s` of a clock that never goes back."""
        run = journals + table + other
        self._samples.append((now_s, run))
        while now_s - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        rate = None if now_s - first_s < _LEAST_S else max(0.0, (run - first) / (now_s - first_s))
        full_s = max(0, free - reserve) / rate if rate else None
        return DiskState(run, journals, table, other, free, reserve, rate, full_s)
