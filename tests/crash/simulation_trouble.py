"""What a seed decides beforehand, and what goes wrong in a simulation, at random times."""

from typing import NamedTuple

from power_disk import NO_FAULT, REFUSALS, Fault
from simulation_disk import FOR_EVER, Death, Killed
from simulation_time import SECOND_NS

from ticktape.journal.writer import WriterConfig


class Plan(NamedTuple):
    """What a seed decides beforehand."""

    writer: WriterConfig
    seconds: float
    pace_s: float
    trouble_s: float
    stale_s: float
    ping_s: float

    @classmethod
    def of(cls, rng):
        return cls(
            WriterConfig(
                rng.choice(["group"] * 6 + ["each", "os"]),
                rng.choice([5, 50, 200]),
                rng.choice([5000, 20_000, 200_000]),
                rng.choice([1500, 6000, 50_000]),
            ),
            rng.choice([6.0, 10.0, 20.0]),
            rng.choice([0.05, 0.2, 0.5]),
            rng.choice([0.3, 1.0, 2.0]),
            rng.choice([0.0, 1.5]),
            rng.choice([0.5, 2.0]),
        )


class Trouble:
    """Troubles a world until it is told that all is well."""

    def __init__(self, world, rng):
        self.world = world
        self._rng = rng

    def begin(self):
        self.world.later(self._next_trouble_s(), self.trouble)

    def _next_trouble_s(self):
        return self._rng.expovariate(1 / self.world.plan.trouble_s)

    def trouble(self):
        rng = self._rng
        if not self.world.is_ending:
            rng.choice([self._wire_trouble, self._disk_trouble, self._clock_trouble, self._end])()
            self.world.later(self._next_trouble_s(), self.trouble)

    def _wire_trouble(self):
        rng, venue, connection = self._rng, self.world.venue, self.world.venue.connection
        seconds = rng.choice([0.1, 1.0, 4.0])
        until_ns = self.world.clocks.now_ns + int(seconds * SECOND_NS)
        what = rng.choice(["refuse", "slow", "cut", "cut", "close", "stall", "mute"])
        self.world.say(f"the wire: {what} {seconds}")
        if what == "refuse":
            venue.refuses_until_ns = until_ns
        elif what == "slow":
            venue.slow_until_ns = until_ns
        elif connection is not None:
            calls = {
                "cut": connection.cut,
                "close": connection.close_frame,
                "stall": lambda: connection.stall(seconds),
                "mute": connection.mute,
            }
            calls[what]()

    def _disk_trouble(self):
        rng = self._rng
        name = rng.choice(sorted(REFUSALS))
        kinds, error, taken = REFUSALS[name]
        seconds = rng.choice([0.0, 0.2, 1.5, 4.0])
        self.world.say(f"the disk: {name} for {seconds} s")
        first = len(self.world.disk.names)
        healed = FOR_EVER if seconds else first + rng.randint(1, 6)
        self.world.disk.fault = fault = Fault(frozenset(kinds), first, healed, error, taken)
        if seconds:
            self.world.later(seconds, lambda: self._heal(fault))

    def _heal(self, fault):
        if self.world.disk.fault is fault:
            self.world.disk.fault = NO_FAULT

    def _clock_trouble(self):
        rng = self._rng
        if rng.random() < 0.5:
            millionths = rng.uniform(-200, 200)
            self.world.say(f"the wall clock drifts by {millionths:.0f} millionths")
            self.world.clocks.drift(millionths)
        else:
            by_s = rng.choice([-3.0, -0.1, -0.002, 0.0003, 0.05, 2.0])
            self.world.say(f"the wall clock steps by {by_s} s")
            self.world.clocks.step(int(by_s * SECOND_NS))

    def _end(self):
        rng = self._rng
        how = rng.choice(["kill", "power", "kill at a call", "power at a call", "stop", "stop"])
        if how == "stop":
            if self.world.life is not None and self.world.life.capture is not None:
                self.world.stops += 1
                self.world.say("stop")
                if rng.random() < 0.3 and self.world.venue.connection is not None:
                    self.world.venue.connection.mute()  # nobody knows yet that the line is dead
                self.world.life.stop(rng.choice(["", "", "the recorder's supervisor died"]))
        elif how.endswith("call"):
            taken = rng.choice([None, 0.0, 0.3, 0.9, 1.0])
            kind = rng.choice(["", "", "write", "sync", "sync", "create", "rename"])
            calls = rng.randint(1, 3 if kind else 25)
            self.world.disk.death = Death(kind, calls, how.startswith("power"), taken)
        else:
            raise Killed(power=how == "power")
