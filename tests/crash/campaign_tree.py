"""The tree part of a crash campaign: one recorder, its processes killed by a plan, then proven."""

import contextlib
import json
from pathlib import Path

import psutil
from kill_proof import Done, Proof, Written, bytes_of
from kill_tree import (
    BACK_S,
    CHILDREN,
    CONFIG,
    GROWTH_BYTES,
    JOURNALS,
    STRATEGY,
    Kill,
    Recorder,
    Venue,
    lives,
    make_plan,
)

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.positions import Positions
from ticktape.sim.generate import made_up

BATCH_KILLS = 20
S_PER_KILL = 1.75  # so long a batch records for each of its kills, at least


class Campaign:
    """Runs a plan, then looks for violations."""

    def __init__(self, folder: Path, plan: list[Kill], seconds: float, seed: int, say) -> None:
        self.folder, self.plan, self.seconds, self.seed, self.say = folder, plan, seconds, seed, say
        self.directory = RunDirectory(folder / "tape")
        self.violations: list[str] = []
        self.written: list[Written] = []
        self.done: list[Done] = []
        self.orphans_s: list[float] = []
        self._start_ns = 0

    def run(self) -> None:
        with contextlib.ExitStack() as stack:
            venues = {
                feed: Venue(path, self.folder / f"truth-{feed}", self.seed + number)
                for number, (feed, path) in enumerate({"new": "/v2/iex", "old": "/stream"}.items())
            }
            for venue in venues.values():
                stack.callback(venue.close)
            recorder = Recorder(self.folder, self._write_config(venues))
            stack.callback(recorder.end)
            recorder.start()
            self._start_ns = clock.monotonic_ns()
            self._until_back(recorder, {}, "the first start")
            for kill in self.plan:
                self._until_time(kill.at_s)
                self._strike(recorder, kill)
            self._until_time(self.seconds)
            pids = [child.pid for child in recorder.children().values()]
            self.ending = recorder.stop()
            self._demand(not any(psutil.pid_exists(pid) for pid in pids), "a child is left behind")
        proof = Proof(self.folder, self.done, self.written, self.ending, self.say)
        proof.prove()
        self.violations += proof.violations

    def _write_config(self, venues: dict[str, Venue]) -> Path:
        strategy = self.folder / "counts.py"
        strategy.write_text(STRATEGY)
        path = self.folder / "config.toml"
        path.write_text(
            CONFIG.format(
                directory=str(self.directory.root),
                strategy=str(strategy),
                symbols=json.dumps(made_up(5)),
                **{feed: venue.url for feed, venue in venues.items()},
            )
        )
        return path

    def _demand(self, holds: bool, words: str) -> None:
        if not holds:
            self.violations.append(words)

    def _elapsed_s(self) -> float:
        return (clock.monotonic_ns() - self._start_ns) / clock.NS_PER_S

    def _until_time(self, at_s: float) -> None:
        while self._elapsed_s() < at_s:
            clock.sleep_s(0.01)

    def _until(self, condition, words: str) -> float:
        """Wait for something within BACK_S; how long it took, in seconds."""
        start_s = self._elapsed_s()
        while not condition():
            if self._elapsed_s() - start_s > BACK_S:
                self.violations.append(f"{words} within {BACK_S:g} s")
                break
            clock.sleep_s(0.05)
        return self._elapsed_s() - start_s

    # Killing.

    def _strike(self, recorder: Recorder, kill: Kill) -> None:
        before = recorder.children()
        old = {name: child.pid for name, child in before.items()}
        if kill.failpoint:
            (recorder.failpoints / kill.victim).write_text(kill.failpoint)
        log_bytes = self._log_bytes()
        positions = self._positions()
        wall_ns = clock.wall_now_ns()
        if kill.victim == "parent":
            self._kill_parent(recorder, before, wait=kill.wait)
            victims = tuple(before)
        else:
            before[kill.victim].kill()
            victims = (kill.victim,)
        self._note_written(positions)
        if kill.failpoint:
            self._until_failpoint(recorder, kill, old, wall_ns, log_bytes)
            return
        old = {name: old[name] for name in victims}
        self._note(kill, wall_ns, victims, self._until_back(recorder, old, str(kill)))

    def _note(self, kill: Kill, wall_ns: int, victims: tuple[str, ...], back_s: float) -> None:
        self.done.append(Done(kill, wall_ns, victims, back_s))
        verb = "kill" if kill.at_s else "died"
        self.say(
            f"{len(self.done):4}  {self._elapsed_s():6.1f} s  {verb} {kill.victim:14} "
            f"back after {back_s:4.1f} s  {'inside ' + kill.failpoint if not kill.at_s else ''}"
        )

    def _kill_parent(self, recorder: Recorder, before: dict, *, wait: bool) -> None:
        def orphans_left() -> bool:
            return not any(lives(child) for child in before.values())

        recorder.kill_parent()
        if wait:
            self.orphans_s.append(self._until(orphans_left, "not all orphans left"))
            recorder.start()
        else:
            recorder.start()
            beside = "not all orphans left beside their successors"
            self.orphans_s.append(self._until(orphans_left, beside))

    def _until_failpoint(
        self, recorder: Recorder, kill: Kill, old: dict[str, int], wall_ns: int, log_bytes: int
    ) -> None:
        """Wait until the next start of the victim has died by itself, and has come back once more.

        Its death is read from the recorder's log; what it had written, from the last look before.
        """
        name = kill.victim
        alive_s = self._until(
            lambda: recorder.children().get(name) and not (recorder.failpoints / name).exists(),
            f"{kill}: {name} did not come back",
        )
        self._note(kill, wall_ns, (name,), alive_s)
        looks: list[dict[str, tuple[int, int]]] = []

        def died() -> bool:
            dead = [pid for pid in self._deaths(name, log_bytes) if pid != old[name]]
            if dead:
                old[name] = dead[-1]
            else:
                looks[:] = [self._positions()]
            return bool(dead)

        self._until(died, f"{kill} never reached its failpoint")
        wall_ns = clock.wall_now_ns()
        self._note_written(looks[0] if looks else {})
        back_s = self._until_back(recorder, {name: old[name]}, f"{name} after its failpoint")
        self._note(Kill(0, name, kill.failpoint), wall_ns, (name,), back_s)

    def _log_bytes(self) -> int:
        return (self.directory.log / "events.jsonl").stat().st_size

    def _deaths(self, child: str, log_bytes: int) -> list[int]:
        """Process ids of this child that were killed since the log had so many bytes."""
        with open(self.directory.log / "events.jsonl", "rb") as log:
            log.seek(log_bytes)
            whole = log.read().rpartition(b"\n")[0]
        said = [json.loads(line) for line in whole.splitlines()]
        return [
            each["pid"]
            for each in said
            if (each["event"], each["child"]) == ("exit", child) and each["code"] < 0
        ]

    def _positions(self) -> dict[str, tuple[int, int]]:
        """Journal -> epoch and offset up to which it is written, from the mapped positions."""
        found = {}
        for journal in JOURNALS:
            mapped = Positions.for_reader(self.directory.positions(journal))
            if mapped is not None:
                epoch, offset, _ = mapped.limit(synced=False)
                found[journal] = (epoch, offset)
                mapped.close()
        return found

    def _note_written(self, positions: dict[str, tuple[int, int]]) -> None:
        for journal, (epoch, offset) in positions.items():
            digest = bytes_of(self.directory, journal, epoch, offset)
            self.written.append(Written(journal, epoch, offset, digest))

    def _until_back(self, recorder: Recorder, old: dict[str, int], words: str) -> float:
        """Wait until all children run, none of them an old one, and data flows to the table."""
        marks: dict[str, tuple[int, int]] = {}

        def flows() -> bool:
            now = recorder.children()
            now.pop("upkeep", None)  # it starts late, and no kill waits for it
            is_old = any(now[n].pid == pid for n, pid in old.items() if n in now)
            if set(now) != set(CHILDREN) or is_old:
                return False
            stands = dict(self._positions())
            with contextlib.suppress(OSError):
                stands["table"] = (0, self.directory.reader_file("table").stat().st_mtime_ns)
            for name, stand in stands.items():
                if marks.setdefault(name, stand)[0] != stand[0]:
                    marks[name] = stand  # another epoch
            return len(stands) == len(JOURNALS) + 1 and all(
                stand[1] - marks[name][1] >= GROWTH_BYTES.get(name, 1)
                for name, stand in stands.items()
            )

        return self._until(flows, f"after {words}: not all came back and went on")


def run_batch(folder: Path, seed: int, kills: int, say) -> tuple[int, list[str]]:
    """Record, kill, prove in a fresh folder: (kills done, violations)."""
    seconds = S_PER_KILL * kills
    campaign = Campaign(folder, make_plan(seed, kills, seconds), seconds, seed, say)
    campaign.run()
    return len(campaign.done), campaign.violations
