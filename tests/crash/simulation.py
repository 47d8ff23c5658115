"""Capture, journal, readers and ledger in one process, on a fake venue, disk and clock, by a seed.

`python tests/crash/simulation.py --seeds 1000` tries a thousand; a seed that fails is tried again
with `--seed N -v`, and fails again, step for step.

What runs is the program's own: Capture, Session, protocol, Listener, GapKeeper, Writer, Reader and
decoders. Played are the WebSocket library and all before it, the group commit's thread (its turns
come when the thread would have them), the disk's durability, and time.
"""

import argparse
import contextlib
import hashlib
import random
import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from unittest import mock

from power_disk import NO_FAULT
from simulation_counting import CountingReader
from simulation_disk import Book, Death, Killed, SimCommit, SimDisk, Violation
from simulation_life import Life
from simulation_proof import Proof
from simulation_readers import FEED, DurableReader, HotReader, StuckReader
from simulation_time import SECOND_NS, Clocks, SimLoop
from simulation_trouble import Plan, Trouble
from simulation_venue import SECRETS, Venue

from ticktape import clock
from ticktape.errors import JournalError
from ticktape.feeds import capture as capture_module
from ticktape.feeds import session as session_module
from ticktape.journal import positions as positions_module
from ticktape.journal import tail as tail_module

_WELL_S = 60.0  # within so long after the last trouble everything flows again
_SHM = Path("/dev/shm")


class Report(NamedTuple):
    """What happened in one simulation; of one seed it is always the same."""

    seed: int
    steps: int
    virtual_s: float
    starts: int
    kills: int
    cuts: int
    stops: int
    refusals: int
    sent: int
    journaled: int
    dropped: int
    gaps: int
    trace: str
    journal: str


class World:
    """Everything of one simulation; `log` is called with what happens, in words."""

    def __init__(self, seed, root, log=lambda words: None, *, readers=True):
        self.seed = seed
        self.log = log
        master = random.Random(seed)
        self._streams = {
            name: random.Random(master.getrandbits(64))
            for name in (
                "plan",
                "venue",
                "trouble",
                "life",
                "turns",
                "hot",
                "durable",
                "clumsy",
                "counting",
            )
        }
        self.plan = Plan.of(self._streams["plan"])
        self.clocks = Clocks()
        self.loop = SimLoop(self.clocks)
        self.root = root
        self.journal = root / "feeds" / FEED / "journal"
        self.positions_path = root.with_name("positions")
        self.secrets = SECRETS
        self.book = Book()
        self.actor = "capture"
        self.commit = None
        self.disk = SimDisk(self, root, seed)
        self.venue = Venue(self, self._streams["venue"], self.plan.pace_s)
        self.life = None
        self.lives = []
        self.kills = self.cuts = self.stops = self.refusals = 0
        self._trace = hashlib.sha256()
        self._is_burying = self.is_ending = False
        self._postponed = []
        self._error = None
        self.readers = self._make_readers() if readers else []
        self.proof = Proof(self)

    def _make_readers(self):
        streams = self._streams
        self.table = DurableReader(self, streams["durable"], "table", 0.0)
        return [
            HotReader(self, streams["hot"]),
            self.table,
            CountingReader(self, streams["counting"], "ledger", 0.1),
            DurableReader(self, streams["clumsy"], "clumsy", 0.5),
            StuckReader(self),
        ]

    def say(self, words):
        """Note what happens, for the eye and for the proof that it happens again."""
        line = f"{self.clocks.now_ns / SECOND_NS:12.6f} {words}"
        self._trace.update(line.encode())
        self.log(line)

    def later(self, delay_s, call):
        """Call it then; while a dead process is cleared away nothing else happens."""
        self.loop.call_later(max(delay_s, 0.0), self._fire, call)

    def _fire(self, call):
        if self._is_burying:
            self._postponed.append(call)
            return
        try:
            call()
        except Exception as error:  # noqa: BLE001 - the loop would only log it
            self.fail(error)

    def fail(self, error):
        """End the simulation by this error, unless one has ended it before."""
        self._error = self._error or error
        self.loop.stop()

    # What disk and commit ask.

    def refused(self):
        self.refusals += 1
        if self.life is not None:
            self.life.refused()

    def commit_in_between(self):
        """Perhaps the commit's thread has a turn at this call of the writer's."""
        commit = self.commit
        is_due = commit is not None and commit.pending.is_set()
        if is_due and self._streams["turns"].random() < 0.1:
            commit.turn(alone=False)

    def write_in_between(self):
        """Perhaps the writer has a turn while a sync goes on."""
        if self.actor != "capture" or self.commit is None or not self.commit.is_syncing:
            return
        connection = self.venue.connection
        turns = self._streams["turns"]
        if connection is not None and turns.random() < 0.5:
            connection.deliver(early=True)
            if turns.random() < 0.05 and not self.is_ending and self.disk.death is None:
                # What was written during a sync must not pass for synced: die before the next.
                self.disk.death = Death("sync", 1, True, None)

    # The run.

    def run(self):
        """All of it; returns the report.

        Raises:
            Violation: a line of the contract does not hold.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        self.venue.open()
        self.later(0.0, self.start)
        Trouble(self, self._streams["trouble"]).begin()
        for reader in self.readers:
            self._follow(reader)
        self.later(self.plan.seconds, self._begin_end)
        while True:
            try:
                self.loop.run_forever()
            except Killed as killed:
                self.bury(power=killed.power)
            else:
                break
            finally:
                if self._error is not None:
                    raise self._error
        self.proof.at_the_end()
        return self.report()

    def start(self):
        """Start the capture's process; a disk that refuses ends it, and it is tried again."""
        self.proof.before_start()
        self.actor = "capture"
        self.life = Life(self, self._streams["life"])
        self.lives.append(self.life)
        self.say(f"start {len(self.lives)}")
        try:
            self.life.begin()
        except JournalError as error:
            self.say(f"the start is refused: {error.args[0].replace(str(self.root), '')}")
            self._gone(0.5)
            return
        self.proof.after_start()

    def ended(self, words):
        """Hear that the process has ended by itself."""
        self.say(f"ended: {words}")
        self.proof.after_end(self.life)
        if self.is_ending:
            self.life = self.commit = None
            self.loop.stop()
        else:
            self._gone(self._streams["life"].choice([0.05, 0.5, 3.0]))

    def _gone(self, pause_s):
        self.life.is_over = True
        self.life.over_ns = self.clocks.now_ns
        self.life = self.commit = None
        self.later(pause_s, self.start)

    def bury(self, *, power):
        """The process is dead: clear away what only a simulation leaves of it."""
        self.say("power cut" if power else "kill -9")
        self.disk.is_dead = self._is_burying = True
        connection = self.venue.connection
        self.proof.at_death(self.life)
        if connection is not None:
            connection.end(tell=False)
        if self.life is not None:
            self.life.bury(self.loop)
        self.disk.give_back()
        self._is_burying = self.disk.is_dead = False
        postponed, self._postponed = self._postponed, []
        for call in postponed:
            self.later(0.0, call)
        if power:
            self._cut_power()
        self.kills += not power
        if self.life is not None:
            self._gone(self._streams["life"].choice([0.0, 0.05, 0.5, 3.0]))

    def clear(self):
        """Give everything back, however it ended."""
        self.disk.is_dead = self._is_burying = True
        if self.life is not None:
            self.life.bury(self.loop)
        self.disk.give_back()
        for reader in self.readers:
            reader.die()
        self.proof.close()
        self.loop.close()

    def _cut_power(self):
        for reader in self.readers:
            reader.die()
        self.cuts += 1
        before = self.disk
        before.cut(self.cuts, self.seed)
        self.clocks.boot()
        self.disk = SimDisk(self, self.root, f"{self.seed}:{self.cuts}")
        self.disk.fault = NO_FAULT
        self.proof.after_cut()

    def _follow(self, reader):
        rng = self._streams["hot"]

        def turn():
            self.actor = "reader"
            try:
                reader.step()
                if rng.random() < 0.02:
                    reader.die()
            finally:
                self.actor = "capture"
            self.later(rng.choice(reader.pauses_s), turn)

        self.later(0.0, turn)

    # The end.

    def _begin_end(self):
        """Let everything be well again, and stop when it is."""
        self.say("all is well from here")
        self.is_ending = self.venue.is_calm = True
        self.disk.fault, self.disk.death = NO_FAULT, None
        self.venue.refuses_until_ns = self.venue.slow_until_ns = 0
        self.later(4.0, self._stop_at_last)

    def _stop_at_last(self):
        if self.clocks.now_ns > (self.plan.seconds + _WELL_S) * SECOND_NS:
            raise Violation("line 4: all is well, and it needs a human")
        if self.life is None or not self.life.is_well():
            self.later(1.0, self._stop_at_last)
        else:
            self.life.stop("")

    def report(self):
        proof = self.proof
        return Report(
            seed=self.seed,
            steps=self.loop.steps,
            virtual_s=round(self.clocks.now_ns / SECOND_NS, 6),
            starts=len(self.lives),
            kills=self.kills,
            cuts=self.cuts,
            stops=self.stops,
            refusals=self.refusals,
            sent=len(self.venue.messages),
            journaled=proof.journaled,
            dropped=proof.dropped,
            gaps=len(proof.gaps),
            trace=self._trace.hexdigest()[:16],
            journal=proof.digest(),
        )


@contextlib.contextmanager
def _in_place_of_the_real(world):
    """Put the world's time, network and commit in place of the system's."""
    clocks = world.clocks
    quiet_gc = SimpleNamespace(**dict.fromkeys(("collect", "freeze", "disable"), lambda: None))
    quiet_gc.enable = quiet_gc.unfreeze = lambda: None
    with contextlib.ExitStack() as stack:
        for target, name, stand_in in [
            (clock, "time", clocks),
            (clock, "monotonic_ns", clocks.perf_counter_ns),
            (clock, "boot_id", clocks.boot_id),
            (positions_module, "boot_id", clocks.boot_id),
            (capture_module, "gc", quiet_gc),
            (session_module, "connect", world.venue.connect),
            (tail_module, "GroupCommit", lambda *given: SimCommit(world, *given)),
        ]:
            stack.enter_context(mock.patch.object(target, name, stand_in))
        yield


def simulate(seed, *, log=lambda words: None, readers=True):
    """One simulation, the same for the same seed.

    Raises:
        Violation: a line of the contract does not hold.
    """
    fast = _SHM if _SHM.is_dir() else None
    folder = Path(tempfile.mkdtemp(prefix="simulation-", dir=fast))
    try:
        world = World(seed, folder / "disk", log, readers=readers)
        try:
            with _in_place_of_the_real(world):
                return world.run()
        finally:
            world.clear()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("-v", "--verbose", action="store_true", help="say what happens")
    asked = parser.parse_args()
    seeds = range(asked.first, asked.first + asked.seeds)
    if asked.seed is not None:
        seeds = [asked.seed]
    write = sys.stdout.write
    steps = 0
    for count, seed in enumerate(seeds, 1):
        try:
            report = simulate(seed, log=lambda line: write(line + "\n") if asked.verbose else None)
        except Exception as error:
            write(f"seed {seed}: {type(error).__name__}: {error}\n")
            write(f"again with: python tests/crash/simulation.py --seed {seed} -v\n")
            if asked.verbose or not isinstance(error, Violation):
                raise
            return 1
        steps += report.steps
        if asked.verbose:
            write(f"{report}\n")
        if count % 100 == 0:
            write(f"{count} seeds, {steps} steps\n")
            sys.stdout.flush()
    write(f"{len(seeds)} seeds, 0 violations\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
