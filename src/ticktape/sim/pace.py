"""When a row of the tape is due; pure: the caller says what time it is.

Rows never become due out of order, and at speed 0 (as fast as the client takes them) all are due.
"""

import math
from random import Random

import numpy as np

from ticktape.clock import NS_PER_S
from ticktape.errors import ConfigError
from ticktape.sim.tape import Ints

_STEP_FRAMES = 1000  # a second


def parse_speed(text: str) -> float:
    """Return the speed that `10x`, `0.5` or `max` says; `max` is 0.

    Raises:
        ConfigError: the text is no speed.
    """
    try:
        speed = 0.0 if text == "max" else float(text.removesuffix("x"))
    except ValueError:
        speed = -1.0
    if not 0 <= speed < math.inf or (speed == 0 and text != "max"):
        raise ConfigError([f"--speed {text!r} is no speed"], hint="Say 1x, 10x, 0.5x or max.")
    return speed


def step_s(rate: float, batch: int) -> float:
    """Return how long a tape of `rate` rows a second sleeps at least, in frames of `batch` rows.

    To wake up for each of many frames would cost more than to send it, so that those go out
    together that have become due within two milliseconds.
    """
    # The event loop rounds up to whole milliseconds.
    return 0.0018 if rate > _STEP_FRAMES * batch else 0.0


class Pace:
    """The tape's time against the monotonic clock: `speed` times as fast, or `rate` rows a second.

    `rate` wins over `speed`; both 0 mean as fast as possible.
    """

    def __init__(
        self,
        due_ns: Ints,
        *,
        random: Random,
        speed: float = 1.0,
        rate: float = 0.0,
        jitter_ms: float = 0.0,
    ) -> None:
        self._due_ns = due_ns
        self._speed = speed
        self._rate = rate
        self._jitter_ns = int(jitter_ms * 1_000_000)
        self._random = random
        self._late_ns = 0
        self._start_ns = 0

    @property
    def unbounded(self) -> bool:
        """Whether rows are due as fast as the client takes them."""
        return self._speed == 0 and self._rate == 0

    def start(self, now_ns: int, row: int = 0) -> None:
        """Let `row` be due now and all later ones after it; also after a pause."""
        if row < len(self._due_ns):
            self._start_ns = now_ns - self._offset_ns(row)

    def rows_due(self, now_ns: int) -> int:
        """Return how many rows of the tape are due."""
        if self.unbounded:
            return len(self._due_ns)
        run_ns = now_ns - self._start_ns - self._late_ns
        if self._rate:
            return max(0, min(len(self._due_ns), int(run_ns * self._rate / NS_PER_S) + 1))
        event_ns = int(self._due_ns[0]) + math.floor(run_ns * self._speed)
        return int(np.searchsorted(self._due_ns, event_ns, side="right"))

    def wait_s(self, row: int, now_ns: int) -> float:
        """Return how long until `row` is due, 0 when it is; a new jitter with every call."""
        if self.unbounded:
            return 0.0
        if self._jitter_ns:
            self._late_ns = int(self._random.random() * self._jitter_ns)
        due_ns = self._start_ns + self._offset_ns(row) + self._late_ns
        return max(0.0, (due_ns - now_ns) / NS_PER_S)

    def _offset_ns(self, row: int) -> int:
        if self.unbounded:
            return 0
        if self._rate:
            return int(row * NS_PER_S / self._rate)
        return math.ceil(int(self._due_ns[row] - self._due_ns[0]) / self._speed)
