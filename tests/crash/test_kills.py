"""Kill the recorder's processes again and again while a tape runs, then prove that nothing is lost.

The real tree against the real simulator: `ticktape record` with a strategy over two feeds, seeded
`kill -9` among its processes (the parent too), some of them inside a journal write or inside a
table commit by a failpoint. The same seed makes the same plan.

As a command, for longer: `python tests/crash/test_kills.py --kills 200 --seconds 600 --seed 7`.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, RunDirectory
from ticktape.journal import Reader
from ticktape.journal.positions import Positions
from ticktape.journal.segments import list_segments
from ticktape.lastvalue import LastValues
from ticktape.replay.check import check
from ticktape.replay.tail import connect_run
from ticktape.sim.generate import made_up
from ticktape.sim.truth import read_truth

FEEDS = {"new": "alpaca", "old": "alpaca_v1"}
CHILDREN = ("capture-new", "capture-old", "last", "table", "decide-counts")
JOURNALS = ("new", "old", f"{DECISION}:counts")
RATE = 700  # rows a second and feed: some 1,400 messages a second
BACK_S = 60.0  # how long a child may take to come back, or an orphan to leave
CLOCK_NS = 1_000_000_000  # how far a killer's clock may be from the truth of a gap

CONFIG = """
directory = {directory!r}
[[feed]]
name = "new"
kind = "alpaca"
url = {new!r}
trades = ["*"]
quotes = ["*"]
bars = ["*"]
backoff_max_s = 0.5
[[feed]]
name = "old"
kind = "alpaca_v1"
url = {old!r}
trades = {symbols}
quotes = {symbols}
bars = ["*"]
backoff_max_s = 0.5
[journal]
segment_bytes = 1000000
[table]
commit_s = 0.3
[[decide]]
file = {strategy!r}
"""
STRATEGY = """
class Counts:
    timer_s = 0.2
    def __init__(self):
        self.seen = {}
    def on_trade(self, trade, last):
        count = self.seen[trade.feed] = self.seen.get(trade.feed, 0) + 1
        return [trade.feed, count, trade.id] if count % 10 == 0 else None
    def on_gap(self, gap, last):
        return ["gap", gap.feed, gap.cause]
    def on_timer(self, now_ns, last):
        return [now_ns, dict(self.seen)]
"""


# The plan.


class Kill(NamedTuple):
    """One thing to do: at `at_s`, kill `victim`; its next start then dies at `failpoint`.

    `wait` says whether the next parent waits for the orphans of the one that was killed.
    """

    at_s: float
    victim: str
    failpoint: str = ""
    wait: bool = True

    @property
    def weight(self) -> int:
        return 2 if self.failpoint else 1


TABLE_STEPS = ("before-files", "after-file", "before-commit", "after-commit", "after-sync")
SAVE_STEPS = ("commit-done", "before-save", "after-save")


def make_plan(seed: int, kills: int, seconds: float) -> list[Kill]:
    """The kills in order; those with a failpoint count twice."""
    rng = random.Random(seed)
    # What must be in every campaign, then whatever comes.
    must = [
        ("capture-new", f"journal.write:{rng.randint(20, 200)}"),
        ("table", f"table.{rng.choice(TABLE_STEPS)}:{rng.randint(1, 4)}"),
        ("parent", ""),
        ("table", f"table.{rng.choice(SAVE_STEPS)}:{rng.randint(1, 2)}"),
        ("decide-counts", f"journal.write:{rng.randint(2, 60)}"),
        ("parent", ""),
        *((child, "") for child in CHILDREN),
    ]
    chosen: list[tuple[str, str]] = []
    while sum(2 if failpoint else 1 for _, failpoint in chosen) < kills:
        left = kills - sum(2 if failpoint else 1 for _, failpoint in chosen)
        victim, failpoint = (
            must.pop(0) if must else (rng.choice((*CHILDREN, *CHILDREN, "parent")), "")
        )
        chosen.append((victim, failpoint if left > 1 else ""))
    rng.shuffle(chosen)
    step_s = seconds / (len(chosen) + 1)
    parents = 0
    plan = []
    for number, (victim, failpoint) in enumerate(chosen, 1):
        parents += victim == "parent"
        at_s = round(step_s * (number + rng.uniform(-0.4, 0.4)), 2)
        plan.append(Kill(at_s, victim, failpoint, wait=parents % 2 == 1))
    return plan


# The processes.


class Venue:
    """One simulated path with its truth in a folder; the tape waits while nobody listens."""

    def __init__(self, path: str, truth: Path, seed: int) -> None:
        self.path, self.truth = path, truth
        kinds = ("--kinds", "trades", "--kinds", "quotes", "--kinds", "bars")
        tape = ("--tape", "generated", "--events", "20000", "--seed", str(seed), "--passes", "0")
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ticktape", "sim", "alpaca", "--until-stdin-closes"),
                *("--path", path, "--rate", str(RATE), "--hold", "--truth", str(truth)),
                *(*tape, *kinds),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.url = json.loads(self._process.stdout.readline())["urls"][path]

    def close(self) -> None:
        """End it; its truth is then whole."""
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()


class Recorder:
    """`ticktape record` as a process, its children by name, and how to start it once more."""

    def __init__(self, folder: Path, config: Path) -> None:
        self._folder, self._config = folder, config
        self.failpoints = folder / "failpoints"
        self.failpoints.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    def start(self) -> None:
        environment = os.environ | {
            "APCA_API_KEY_ID": "demo-key",
            "APCA_API_SECRET_KEY": "demo-secret",
            "TICKTAPE_FAILPOINT_FOLDER": str(self.failpoints),
        }
        self._starts += 1
        with open(self._folder / f"record-{self._starts}.log", "wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ticktape", "record", str(self._config), "--json"],
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=environment,
            )

    def children(self) -> dict[str, psutil.Process]:
        """Name -> process, of those that run now."""
        found = {}
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(self._process.pid).children():
                with contextlib.suppress(psutil.Error):
                    if child.status() != psutil.STATUS_ZOMBIE and "ticktape.recorder.child" in (
                        line := child.cmdline()
                    ):
                        found[line[-1]] = child
        return found

    def kill_parent(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def stop(self) -> tuple[int, dict]:
        """Ask it to end; its exit code and the JSON of its last line."""
        self._process.send_signal(signal.SIGTERM)
        out, _ = self._process.communicate(timeout=180)
        return self._process.returncode, json.loads(out.splitlines()[-1])

    def end(self) -> None:
        """Whatever happened: nothing of it stays."""
        if self._process is not None and self._process.poll() is None:
            for child in [*self.children().values(), psutil.Process(self._process.pid)]:
                with contextlib.suppress(psutil.Error):
                    child.kill()
            self._process.communicate()


class Written(NamedTuple):
    """What a journal had written at a kill, and what these bytes were right after it."""

    journal: str
    epoch: int
    offset: int
    digest: str


def bytes_of(directory: RunDirectory, journal: str, epoch: int, end: int) -> str:
    """Hash of an epoch's bytes before offset `end`, over its segments."""
    digest = hashlib.sha256()
    for segment in list_segments(directory.journal(journal)):
        if segment.epoch == epoch and segment.base < end:
            with open(segment.path, "rb") as source:
                digest.update(source.read(end - segment.base))
    return digest.hexdigest()


class Done(NamedTuple):
    """A kill that was done, when, and who had to bear it."""

    kill: Kill
    wall_ns: int
    victims: tuple[str, ...]
    back_s: float


# The campaign.


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
            self.code, self.said = recorder.stop()
            self._demand(not any(psutil.pid_exists(pid) for pid in pids), "a child is left behind")
        self._verify()

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
        recorder.kill_parent()
        gone = lambda: not any(child.is_running() and _lives(child) for child in before.values())  # noqa: E731
        if wait:
            self.orphans_s.append(self._until(gone, "not all orphans left"))
            recorder.start()
        else:
            recorder.start()
            self.orphans_s.append(self._until(gone, "not all orphans left beside their successors"))

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
        marks: dict[str, object] = {}

        def flows() -> bool:
            now = recorder.children()
            if set(now) != set(CHILDREN) or any(now[n].pid == pid for n, pid in old.items()):
                return False
            stands: dict[str, object] = dict(self._positions())
            with contextlib.suppress(OSError):
                stands["table"] = self.directory.reader_file("table").stat().st_mtime_ns
            for name, stand in stands.items():
                marks.setdefault(name, stand)
            return len(stands) == len(JOURNALS) + 1 and all(marks[n] != stands[n] for n in stands)

        return self._until(flows, f"after {words}: not all came back and went on")

    # Proving.

    def _verify(self) -> None:
        for each in self.written:
            now = bytes_of(self.directory, each.journal, each.epoch, each.offset)
            self._demand(now == each.digest, f"{each.journal}: bytes of {each} are not the same")
        with tempfile.TemporaryDirectory() as scratch:
            verdict = check(self.directory, Path(scratch), lambda *_: None)
        for part in (*verdict.feeds, *verdict.decisions):
            for count in part.counts:
                self._demand(count.adds_up, f"{part.name}: {count} does not add up")
            received = sum(count.received for count in part.counts)
            self._demand(received > 100, f"{part.name}: only {received} rows: nothing was tried")
        self._verify_reasons(verdict)
        for feed in verdict.feeds:
            self._verify_gaps(feed)
            self._verify_truth(feed)
        self._verify_damage()
        self._verify_last_values()
        self._verify_replay()
        self.verdict = verdict

    def _verify_reasons(self, verdict) -> None:
        """Gaps and the torn ends of writes that were killed are said, and nothing else."""
        reasons = verdict.reasons()
        torn = sum("torn end at epoch" in reason for reason in reasons)
        gaps = sum(": gap " in reason for reason in reasons)
        writes = sum(
            done.kill.failpoint.startswith("journal.write") and done.kill.at_s == 0
            for done in self.done
        )
        self._demand(torn == writes, f"{writes} writes were killed, {torn} torn ends are named")
        self._demand(len(reasons) == torn + gaps, f"further reasons: {reasons}")
        self._demand(self.code == 1, f"the run ended with code {self.code} and not 1")
        self._demand(self.said["reasons"] == reasons, "record and check do not say the same")

    def _verify_gaps(self, feed) -> None:
        """One gap for each kill that a capture had to bear: its time, its cause."""
        gaps = kill_gaps(feed)
        kills = [done for done in self.done if f"capture-{feed.name}" in done.victims]
        self._demand(
            len(gaps) == len(kills),
            f"{feed.name}: {len(kills)} kills made {len(gaps)} gaps: {gaps}",
        )
        for done, gap in zip(sorted(kills, key=lambda done: done.wall_ns), gaps, strict=False):
            parent = done.kill.victim == "parent"
            cause = "supervisor died" if parent else "the recorder was killed"
            fits = gap.to_ns is not None and (
                gap.from_ns - CLOCK_NS <= done.wall_ns <= gap.to_ns + CLOCK_NS
            )
            self._demand(fits and cause in gap.cause, f"{feed.name}: {gap} is not that of {done}")

    def _verify_truth(self, feed) -> None:
        """What was recorded of a connection is what was first sent on it, in order, unaltered."""
        sent: dict[int, list[tuple]] = {}
        columns = ("connection", "kind", "symbol", "event_ns", "id", "price", "sent_ns")
        table = read_truth(self.folder / f"truth-{feed.name}").select(columns)
        for connection, kind, symbol, event_ns, trade_id, price, sent_ns in zip(
            *(table[name].to_pylist() for name in columns), strict=True
        ):
            key = (kind, symbol, event_ns, *((trade_id, price) if kind == "trades" else ()))
            sent.setdefault(connection, []).append((key, sent_ns))
        sessions = self._recorded(feed)
        connections = iter(sorted(sent))
        lost: list[int] = []
        for session, rows in sessions.items():
            for connection in connections:
                there = sent[connection]
                if there[0][0] == rows[0]:
                    same = [key for key, _ in there[: len(rows)]] == rows
                    self._demand(same, f"{feed.name}: session {session} is not what was sent")
                    lost += [sent_ns for _, sent_ns in there[len(rows) :]]
                    break
                lost += [sent_ns for _, sent_ns in there]
            else:
                self._demand(False, f"{feed.name}: session {session} was never sent")
        spans = [(gap.from_ns - CLOCK_NS, gap.to_ns) for gap in feed.gaps if gap.to_ns is not None]
        spans += [(gap.from_ns - CLOCK_NS, 1 << 62) for gap in feed.gaps if gap.planned]
        outside = [at for at in lost if not any(low <= at <= high for low, high in spans)]
        self._demand(not outside, f"{feed.name}: {len(outside)} rows were lost outside all gaps")
        self.say(
            f"      {feed.name}: {sum(map(len, sessions.values())):,} rows recorded in "
            f"{len(sessions)} sessions, {len(lost):,} more sent into {len(kill_gaps(feed))} gaps"
        )

    def _recorded(self, feed) -> dict[tuple[int, int], list[tuple]]:
        decoder = decoder_for(feed.kind, feed.name)
        found: dict[tuple[int, int], list[tuple]] = {}
        with Reader(self.directory.feed_journal(feed.name), None) as reader:
            while blocks := reader.read():
                for block in blocks:
                    for record in decoder.decode(block):
                        if record.kind == "gaps":
                            continue
                        key: tuple = (record.kind, record.symbol, record.event_ns)
                        if record.kind == "trades":
                            key = (*key, record.id, record.price)
                        found.setdefault((block.epoch, block.session), []).append(key)
        return found

    def _verify_damage(self) -> None:
        """No damage lies before what was once written."""
        for journal in JOURNALS:
            with Reader(self.directory.journal(journal), None) as reader:
                while reader.read():
                    pass
                for damage in reader.damage:
                    hurt = [
                        each
                        for each in self.written
                        if (each.journal, each.epoch) == (journal, damage.epoch)
                        and damage.offset < each.offset
                    ]
                    self._demand(not hurt, f"{journal}: {damage} lies before {hurt[:1]}")

    def _verify_last_values(self) -> None:
        with connect_run(self.directory) as con:
            newest = con.sql(
                "SELECT feed, symbol, arg_max(id, (event_ns, epoch, seq, index)) "
                "FROM trades_raw GROUP BY feed, symbol"
            ).fetchall()
        with LastValues(self.directory.last) as last:
            for feed, symbol, trade_id in newest:
                value = last.get(feed, symbol)
                shown = value.trade.id if value is not None and value.trade is not None else None
                self._demand(shown == trade_id, f"last {feed} {symbol}: {shown}, not {trade_id}")

    def _verify_replay(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ticktape", "replay", str(self.directory.root), "--json"],
            capture_output=True,
            check=False,
        )
        said = json.loads(done.stdout.splitlines()[-1])
        for run in said["runs"]:
            self._demand(not run["difference"], f"replay of {run['run']}: {run['difference']}")
        self._demand(said["same"], "replay decides otherwise")
        starts = 1 + sum(done.kill.victim == "parent" for done in self.done)
        self._demand(len(said["runs"]) == starts, f"{len(said['runs'])} runs of {starts} replayed")
        self.say(f"      replay: {sum(run['decided'] for run in said['runs']):,} decisions again")

    def report(self) -> str:
        """The last line, and before it what is wrong."""
        lines = [f"VIOLATION {words}" for words in self.violations]
        lines.append(f"{len(self.done)} kills, {len(self.violations)} violations, seed {self.seed}")
        return "\n".join(lines)


def kill_gaps(feed) -> list:
    """Gaps that nobody planned, in the order of their beginning."""
    return [gap for gap in feed.gaps if not gap.planned]


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


# The tests.


def test_the_same_seed_makes_the_same_plan():
    assert make_plan(7, 20, 40) == make_plan(7, 20, 40)
    assert make_plan(7, 20, 40) != make_plan(8, 20, 40)


@pytest.mark.parametrize("seed", range(20))
def test_every_plan_strikes_a_write_a_commit_the_parent_and_every_child(seed):
    plan = make_plan(seed, 20, 40)

    assert sum(kill.weight for kill in plan) == 20
    assert {kill.victim for kill in plan} == {*CHILDREN, "parent"}
    assert {kill.failpoint.partition(".")[0] for kill in plan} >= {"journal", "table"}
    assert [kill.at_s for kill in plan] == sorted(kill.at_s for kill in plan)
    assert {kill.wait for kill in plan if kill.victim == "parent"} == {True, False}


@pytest.mark.timeout(400)
@pytest.mark.skipif(os.name == "nt", reason="kill -9 is a thing of POSIX")
def test_nothing_written_is_lost_and_every_row_is_stored_once_whoever_is_killed(tmp_path):
    kills, seed = int(os.environ.get("CRASH_KILLS", 20)), int(os.environ.get("CRASH_SEED", 7))
    seconds = 2.0 * kills
    said: list[str] = []
    campaign = Campaign(tmp_path, make_plan(seed, kills, seconds), seconds, seed, said.append)
    campaign.run()

    assert campaign.violations == [], "\n".join([*said, campaign.report()])
    assert len(campaign.done) == kills


def main() -> int:
    """Run a campaign as a command; 0 when nothing was violated."""
    parser = argparse.ArgumentParser(description="Kill the recorder and prove what it recorded.")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="a folder that is left behind for a look")
    chosen = parser.parse_args()
    folder = chosen.keep or Path(tempfile.mkdtemp(prefix="ticktape-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    plan = make_plan(chosen.seed, chosen.kills, chosen.seconds)
    campaign = Campaign(
        folder, plan, chosen.seconds, chosen.seed, lambda line: sys.stdout.write(line + "\n")
    )
    try:
        campaign.run()
    finally:
        if chosen.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
    sys.stdout.write(campaign.report() + "\n")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
