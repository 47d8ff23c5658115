"""The broker's clock against UTC: its stamps are its own wall time in the dress of a Unix time.

The offset is estimated from fresh ticks and written down; raw times are never changed by it.
"""

from collections.abc import Callable
from typing import NamedTuple

from ticktape.clock import NS_PER_S

_STEP_MS = 15 * 60_000  # every zone's offset is a whole number of quarters of an hour
_LATE_MS_MAX = 20_000  # a tick that is older on arrival says nothing of the clock
_EARLY_MS_MAX = 5_000  # a broker's clock may go a little before ours
_AGREEING = 3
_AGAIN_NS = 3_600 * NS_PER_S  # daylight saving comes while we record
_OFFSET_MS_MAX = 15 * 3_600_000


class BrokerOffset(NamedTuple):
    """What is known: `confidence` is how many fresh ticks in a row agreed, `residual_ms` the last.

    `method` says how: "ticks", or "none" while nothing is known.
    """

    offset_ms: int
    method: str
    confidence: int
    residual_ms: int


class BrokerClock:
    """Estimates the offset of one broker.

    Args:
        wall_at: our wall clock at a monotonic instant, both in nanoseconds.
        on_known: called when an offset is known, or has changed.
        offset_ms: what was known in an earlier run; better than nothing until it is known again.
    """

    def __init__(
        self,
        wall_at: Callable[[int], int],
        on_known: Callable[[BrokerOffset], None],
        offset_ms: int = 0,
    ) -> None:
        self.offset_ms = offset_ms
        self._wall_at = wall_at
        self._on_known = on_known
        self._candidate_ms: int | None = None
        self._agreeing = 0
        self._known_at_ns: int | None = None

    def see(self, time_msc: int, mono_ns: int, *, is_live: bool) -> None:
        """Take in the newest tick of a poll at `mono_ns`; `is_live`: no newer one waits."""
        if not is_live or (
            self._known_at_ns is not None
            and mono_ns - self._known_at_ns < _AGAIN_NS
            and self._candidate_ms == self.offset_ms
        ):
            return
        ahead_ms = time_msc - self._wall_at(mono_ns) // 1_000_000
        # Half a step of lateness would be taken for another zone: the nearest step, a little ahead.
        offset_ms = -(-(ahead_ms - _EARLY_MS_MAX) // _STEP_MS) * _STEP_MS
        residual_ms = offset_ms - ahead_ms
        if residual_ms > _LATE_MS_MAX or abs(offset_ms) > _OFFSET_MS_MAX:
            return
        self._agreeing = self._agreeing + 1 if offset_ms == self._candidate_ms else 1
        self._candidate_ms = offset_ms
        if self._known_at_ns is None:
            self.offset_ms = offset_ms  # better than none; three that agree make it known
        if self._agreeing >= _AGREEING:
            self._known_at_ns = mono_ns
            self.offset_ms = offset_ms
            self._on_known(BrokerOffset(offset_ms, "ticks", self._agreeing, residual_ms))
            self._agreeing = 0
