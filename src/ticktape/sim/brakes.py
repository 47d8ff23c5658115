"""What faults do to the pace of a tape; pure, and once done never undone."""

from ticktape.clock import NS_PER_S
from ticktape.sim.faults import Fault


class Brakes:
    """`slow_s` to wait before each frame, `late_ns` that the tape is behind its own time."""

    def __init__(self) -> None:
        self.slow_s = 0.0
        self.late_ns = 0
        self._pause_s = 0.0
        self._hold_back_s = 0.0

    def pull(self, fault: Fault, *, unbounded: bool) -> None:
        """Let a fault brake, if that is what it does; `unbounded` is a tape at full speed."""
        match fault.name:
            case "slow":
                self.slow_s = fault.amount / 1000
            case "silence":
                self._pause_s = fault.amount
            case "burst":
                self._hold_back_s = fault.amount
            case "delay" if unbounded:
                # No row has a time of its own then; to pause is all that can be seen of it.
                self._pause_s += fault.amount / 1000
            case "delay":
                self.late_ns += int(fault.amount / 1000 * NS_PER_S)

    def take_pause(self) -> tuple[float, bool]:
        """Return how many seconds to stand still now, and whether the tape's time stands too."""
        pause_s, stands = self._pause_s + self._hold_back_s, self._pause_s > 0
        self._pause_s = self._hold_back_s = 0.0
        return pause_s, stands
