"""How long to wait before the next session: pure, with the randomness handed in."""

import math
import random

_FIRST_S = 0.5
_STEADY_S = 30.0  # a session that stood so long has earned a fresh start


class Backoff:
    """Exponential waits with jitter; the first retry after a steady session is immediate.

    Without jitter all recorders of a venue come back at once; at a 10-ms cadence Alpaca answers
    HTTP 429 (alpaca-py#740).
    """

    def __init__(self, cap_s: float, source: random.Random) -> None:
        self._cap_s = cap_s
        self._source = source
        self.failures = 0

    def next_s(
        self, session_s: float, at_least_s: float = 0.0, at_most_s: float = math.inf
    ) -> float:
        """Seconds to wait after a session that stood `session_s` (0 when it never stood)."""
        if session_s >= _STEADY_S:
            self.failures = 0
        wait_s = 0.0
        if self.failures:
            cap_s = min(self._cap_s, at_most_s)
            whole_s = min(cap_s, _FIRST_S * 2.0 ** min(self.failures - 1, 16))
            wait_s = whole_s * self._source.uniform(0.5, 1.0)
        self.failures += 1
        return max(wait_s, at_least_s)
