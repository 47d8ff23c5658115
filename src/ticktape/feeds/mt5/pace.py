"""When the next pass is due; pure. A pass that is late is not made up for by a burst."""

import math

from ticktape.clock import NS_PER_S

AUTO_RATIO = 0.2
"""The share of polls that see a change which `auto` steers to: about 11 % of changes are missed."""
_AUTO_FIRST_NS = 10_000_000
_AUTO_MIN_NS = 200_000  # less is as fast as possible, in effect
_AUTO_MAX_NS = NS_PER_S
_STEP = 2.0  # the interval at most doubles or halves in a second


class Pace:
    """Passes every `interval_ns`; 0 is as fast as possible.

    `late` counts passes that began after their time.
    """

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self.late = 0
        self._due_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """How long to wait from `now_ns` to the next pass."""
        if not self.interval_ns:
            return 0
        self._due_ns += self.interval_ns
        if self._due_ns <= now_ns:
            self.late += self._due_ns != self.interval_ns
            self._due_ns = now_ns
            return 0
        return self._due_ns - now_ns

    def adjust(self, changed: int, polls: int, elapsed_ns: int) -> None:
        """Hear what an interval of polling saw; a fixed pace stays."""

    def restart(self, now_ns: int) -> None:
        """Begin anew after a pause that was meant."""
        self._due_ns = now_ns


def wanted_interval_ns(changed: int, polls: int, elapsed_ns: int) -> float:
    """The interval at which `AUTO_RATIO` of the polls see a change, for changes at random.

    `changed` of `polls` saw one in `elapsed_ns`; neither of the last two may be 0.
    """
    # Nothing seen is half a change, not none: the answer is then a guess that is long enough.
    share = min(max(changed, 0.5) / polls, 1 - 0.5 / polls)
    # By the polls that there were: a slow terminal makes fewer than were meant.
    rate = -math.log1p(-share) * polls / elapsed_ns
    return -math.log1p(-AUTO_RATIO) / rate


class AutoPace(Pace):
    """Steers the interval so that `AUTO_RATIO` of the polls see a change, for random changes."""

    def __init__(self) -> None:
        super().__init__(_AUTO_FIRST_NS)

    def adjust(self, changed: int, polls: int, elapsed_ns: int) -> None:
        """Choose the interval for the rate of changes that `elapsed_ns` of polling showed."""
        if not polls or elapsed_ns <= 0:
            return  # the wall clock was set back meanwhile
        wanted_ns = wanted_interval_ns(changed, polls, elapsed_ns)
        wanted_ns = min(max(wanted_ns, self.interval_ns / _STEP), self.interval_ns * _STEP)
        self.interval_ns = int(min(max(wanted_ns, _AUTO_MIN_NS), _AUTO_MAX_NS))


def pace_of(poll_ms: float | str) -> Pace:
    """The pace of a config's `poll_ms`."""
    return AutoPace() if isinstance(poll_ms, str) else Pace(int(poll_ms * 1_000_000))
