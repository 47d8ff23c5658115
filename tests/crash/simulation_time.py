"""Time that only the simulation moves: a loop that never waits, and a wall clock that lies."""

import asyncio

SECOND_NS = 1_000_000_000
_BEGIN_NS = 1_381_262_394 * SECOND_NS  # what the wall says first: a minute ends in 6 seconds


class Clocks:
    """True time since the beginning, and what a machine's two clocks say of it.

    The wall runs up to some hundred millionths too fast or too slow, and is set at times.
    """

    def __init__(self):
        self.now_ns = SECOND_NS
        self.boot_ns = 0  # true time at which the monotonic clock stood at 0
        self.boots = 1
        self._set_at_ns = self.now_ns
        self._set_to_ns = _BEGIN_NS
        self._millionths = 0.0

    # What the program asks, in place of the module `time` and of the boot's id.

    def perf_counter_ns(self):
        return self.now_ns - self.boot_ns

    def time_ns(self):
        ran_ns = self.now_ns - self._set_at_ns
        return self._set_to_ns + ran_ns + int(ran_ns * self._millionths / 1e6)

    def boot_id(self):
        return self.boots.to_bytes(16, "big")

    # What happens to it.

    def drift(self, millionths):
        self._set_to_ns, self._set_at_ns = self.time_ns(), self.now_ns
        self._millionths = millionths

    def step(self, by_ns):
        self._set_to_ns, self._set_at_ns = self.time_ns() + by_ns, self.now_ns

    def boot(self):
        """Start the machine again: its monotonic clock begins anew."""
        self.boots += 1
        self.boot_ns = self.now_ns


class SimLoop(asyncio.BaseEventLoop):
    """An event loop that goes to its next timer at once; `steps` counts how often it looked."""

    def __init__(self, clocks):
        super().__init__()
        self.clocks = clocks
        self.steps = 0
        self._selector = self

    def time(self):
        return self.clocks.now_ns / SECOND_NS

    def select(self, timeout_s):
        assert timeout_s is not None, "nothing will ever happen again"
        self.steps += 1
        if timeout_s > 0:  # to that very instant, whatever other timers lie between
            due_ns = round(self._scheduled[0].when() * SECOND_NS)
            self.clocks.now_ns = max(self.clocks.now_ns, due_ns)
        return ()

    def _process_events(self, events):
        pass

    def _write_to_self(self):
        pass
