"""What must hold after a kill campaign: journals, tables, gaps, decisions against the truth."""

import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from kill_tree import CLOCK_NS, JOURNALS, Kill

from ticktape.decoders import decoder_for
from ticktape.directory import RunDirectory
from ticktape.journal import Reader
from ticktape.journal.segments import list_segments
from ticktape.lastvalue import LastValues
from ticktape.replay.check import check
from ticktape.replay.tail import connect_run
from ticktape.sim.truth import read_truth


class Written(NamedTuple):
    """What a journal had written at a kill, and what these bytes were right after it."""

    journal: str
    epoch: int
    offset: int
    digest: str


def bytes_of(directory: RunDirectory, journal: str, epoch: int, end: int) -> str:
    """Hash of an epoch's bytes before offset `end`, over its segments, sealed by now or not."""
    digest = hashlib.sha256()
    for segment in list_segments(directory.journal(journal)):
        if segment.epoch == epoch and segment.base < end:
            with segment.open() as source:
                digest.update(source.read_at(end - segment.base, 0))
    return digest.hexdigest()


class Done(NamedTuple):
    """A kill that was done, when, and who had to bear it."""

    kill: Kill
    wall_ns: int
    victims: tuple[str, ...]
    back_s: float


class Proof:
    """Finds violations.

    Args:
        folder: of the campaign; the simulators' truths are in it.
        done: the kills that were done.
        written: what was written at each of them.
        ending: exit code and last JSON line of `record`.
        say: prints a line.
    """

    def __init__(
        self,
        folder: Path,
        done: list[Done],
        written: list[Written],
        ending: tuple[int, dict[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self.folder, self.done, self.written, self.say = folder, done, written, say
        self.code, self.said = ending
        self.directory = RunDirectory(folder / "tape")
        self.violations: list[str] = []

    def demand(self, holds: bool, words: str) -> None:
        """Note a violation unless it holds."""
        if not holds:
            self.violations.append(words)

    def prove(self) -> None:
        """Look at everything that was recorded."""
        for each in self.written:
            now = bytes_of(self.directory, each.journal, each.epoch, each.offset)
            self.demand(now == each.digest, f"{each.journal}: bytes of {each} are not the same")
        with tempfile.TemporaryDirectory() as scratch:
            verdict = check(self.directory, Path(scratch), lambda *_: None)
        for part in (*verdict.feeds, *verdict.decisions):
            for count in part.counts:
                self.demand(count.adds_up, f"{part.name}: {count} does not add up")
            received = sum(count.received for count in part.counts)
            self.demand(received > 100, f"{part.name}: only {received} rows: nothing was tried")
        self._prove_reasons(verdict)
        for feed in verdict.feeds:
            self._prove_gaps(feed)
            self._prove_truth(feed)
        self._prove_damage()
        self._prove_last_values()
        self._prove_replay()

    def _prove_reasons(self, verdict) -> None:
        """Gaps and the torn ends of writes that were killed are said, and nothing else."""
        reasons = verdict.reasons()
        torn = sum("torn end at epoch" in reason for reason in reasons)
        gaps = sum(": gap " in reason for reason in reasons)
        writes = sum(
            done.kill.failpoint.startswith("journal.write") and done.kill.at_s == 0
            for done in self.done
        )
        self.demand(torn == writes, f"{writes} writes were killed, {torn} torn ends are named")
        self.demand(len(reasons) == torn + gaps, f"further reasons: {reasons}")
        self.demand(self.code == 1, f"the run ended with code {self.code} and not 1")
        self.demand(self.said["reasons"] == reasons, "record and check do not say the same")

    def _prove_gaps(self, feed) -> None:
        """One gap for each kill that a capture had to bear: its time, its cause."""
        gaps = kill_gaps(feed)
        kills = [done for done in self.done if f"capture-{feed.name}" in done.victims]
        self.demand(
            len(gaps) == len(kills),
            f"{feed.name}: {len(kills)} kills made {len(gaps)} gaps: {gaps}",
        )
        for done, gap in zip(sorted(kills, key=lambda done: done.wall_ns), gaps, strict=False):
            parent = done.kill.victim == "parent"
            cause = "supervisor died" if parent else "the recorder was killed"
            fits = gap.to_ns is not None and (
                gap.from_ns - CLOCK_NS <= done.wall_ns <= gap.to_ns + CLOCK_NS
            )
            self.demand(fits and cause in gap.cause, f"{feed.name}: {gap} is not that of {done}")

    def _prove_truth(self, feed) -> None:
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
                    self.demand(same, f"{feed.name}: session {session} is not what was sent")
                    lost += [sent_ns for _, sent_ns in there[len(rows) :]]
                    break
                lost += [sent_ns for _, sent_ns in there]
            else:
                self.demand(False, f"{feed.name}: session {session} was never sent")
        spans = [(gap.from_ns - CLOCK_NS, gap.to_ns) for gap in feed.gaps if gap.to_ns is not None]
        spans += [(gap.from_ns - CLOCK_NS, 1 << 62) for gap in feed.gaps if gap.planned]
        outside = [at for at in lost if not any(low <= at <= high for low, high in spans)]
        self.demand(not outside, f"{feed.name}: {len(outside)} rows were lost outside all gaps")
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

    def _prove_damage(self) -> None:
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
                    self.demand(not hurt, f"{journal}: {damage} lies before {hurt[:1]}")

    def _prove_last_values(self) -> None:
        with connect_run(self.directory) as con:
            newest = con.sql(
                "SELECT feed, symbol, arg_max(id, (event_ns, epoch, seq, index)) "
                "FROM trades_raw GROUP BY feed, symbol"
            ).fetchall()
        with LastValues(self.directory.last) as last:
            for feed, symbol, trade_id in newest:
                value = last.get(feed, symbol)
                shown = value.trade.id if value is not None and value.trade is not None else None
                self.demand(shown == trade_id, f"last {feed} {symbol}: {shown}, not {trade_id}")

    def _prove_replay(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ticktape", "replay", str(self.directory.root), "--json"],
            capture_output=True,
            check=False,
        )
        said = json.loads(done.stdout.splitlines()[-1])
        for run in said["runs"]:
            self.demand(not run["difference"], f"replay of {run['run']}: {run['difference']}")
        self.demand(said["same"], "replay decides otherwise")
        starts = 1 + sum(done.kill.victim == "parent" for done in self.done)
        self.demand(len(said["runs"]) == starts, f"{len(said['runs'])} runs of {starts} replayed")
        self.say(f"      replay: {sum(run['decided'] for run in said['runs']):,} decisions again")


def kill_gaps(feed) -> list:
    """Gaps that nobody planned, in the order of their beginning.

    That nothing came for a while because a busy machine let the venue wait is a mere suspicion.
    """
    return [gap for gap in feed.gaps if gap.counts]
