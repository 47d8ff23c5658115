"""How many requests a key may make, and which ones shall fail on purpose; pure.

The venue documents a limit per minute and the three headers, not how it counts: here by minutes of
the wall clock, each key (or address, without one) by itself. A refused request does not count.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ticktape.clock import NS_PER_S
from ticktape.sim.rest.config import RestFault

MINUTE_S = 60


class Allowance(NamedTuple):
    """What a client may still do: `reset_s` is the second of the epoch at which it gets more."""

    limit: int
    remaining: int
    reset_s: int
    allowed: bool

    @property
    def headers(self) -> Mapping[str, str]:
        """The venue's three headers."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(self.remaining),
            "X-RateLimit-Reset": str(self.reset_s),
        }


class RateLimit:
    """Requests of each key in this minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._minute = 0
        self._counts: dict[str, int] = {}

    def take(self, key: str, now_ns: int) -> Allowance:
        """Count one request of `key`, unless it has none left."""
        minute = now_ns // (MINUTE_S * NS_PER_S)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        used = self._counts.get(key, 0)
        allowed = used < self._limit
        if allowed:
            used += 1
            self._counts[key] = used
        return Allowance(self._limit, self._limit - used, (minute + 1) * MINUTE_S, allowed)


class FaultMenu:
    """The faults still to come; `strike` is asked once for each request."""

    def __init__(self, faults: tuple[RestFault, ...]) -> None:
        self._faults = list(faults)
        self._requests = 0

    def add(self, faults: tuple[RestFault, ...]) -> None:
        """Let these strike from now on."""
        self._faults += faults

    def strike(self) -> int:
        """Return the status with which this request fails, or 0."""
        self._requests += 1
        for place, fault in enumerate(self._faults):
            if fault.every and self._requests % fault.every == 0:
                return fault.code
            if fault.times:
                left = fault.times - 1
                self._faults[place] = RestFault(code=fault.code, times=left)
                return fault.code
        return 0
