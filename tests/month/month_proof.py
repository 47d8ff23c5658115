"""Proves a month: by what the venue played, what was done to the recorder, what is on the disk.

Nothing here asks the recorder how it did, but its own `check`, which must agree.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from month_days import MUTE, NS_PER_S, SILENT
from month_life import Lived, unexplained
from month_recorder import FEED
from month_venue import KINDS, MUTED, shifted

from ticktape.sim.truth import read_truth
from ticktape.tape import Tape

CLOCK_NS = NS_PER_S // 2  # how far a killer's clock may be from a gap's end
SLACK_NS = 2 * NS_PER_S
WORDS_MAX = 5
SILENT_FOR = re.compile(r"nothing came.* for ([\d.]+) s; ")
KEYS = {
    "trades": ("symbol", "event_ns", "id", "exchange", "price", "size", "conditions"),
    "quotes": ("symbol", "event_ns", "bid_price", "bid_size", "ask_price", "ask_size"),
}


class Proof:
    """What is wrong with the month, in words.

    Args:
        tape: the run's directory.
        lived: its days, in order.
    """

    def __init__(self, tape: Path, lived: list[Lived]) -> None:
        self.tape, self.lived = tape, lived
        self.violations: list[str] = []
        self.gaps: list[dict[str, Any]] = []
        self.deleted_entries = 0
        self.rows = 0
        self.reasons: list[str] = []

    def prove(self, reader: dict[str, Any], deleted: int) -> None:
        """Look at everything; `reader` is what the user's own was given."""
        with Tape(self.tape) as tape:
            self.gaps = tape.gaps().to_pylist()
            self.prove_rows(tape)
        self.prove_gaps()
        self.prove_alarms()
        self.prove_certificates()
        self.prove_reader(reader)
        self.prove_check(deleted)

    def demand(self, holds: bool, words: str) -> None:
        """Note `words` when it does not hold."""
        if not holds:
            self.violations.append(words)

    # What must be there.

    def prove_rows(self, tape: Tape) -> None:
        """Everything that the venue played stands in the tables once, and nothing else does."""
        for kind in KINDS:
            columns = KEYS[kind]
            stored = tape.sql(f"SELECT {', '.join(columns)} FROM {kind}")
            found = _counted(stored, columns)
            played: Counter[tuple[Any, ...]] = Counter()
            for lived in self.lived:
                if lived.day.is_open:
                    table = pq.read_table(lived.folder / f"{kind}.parquet")
                    played += _counted(table, columns)
            self.rows += played.total()
            self._compare(kind, played - found, "was played and is not there")
            self._compare(kind, found - played, "is there, twice or never played")

    def _compare(self, kind: str, wrong: Counter[tuple[Any, ...]], words: str) -> None:
        days = Counter(str(np.datetime64(key[1], "ns"))[:10] for key in wrong.elements())
        for day, number in sorted(days.items())[:WORDS_MAX]:
            self.violations.append(f"{number} {kind} of {day}: what {words}")

    def prove_gaps(self) -> None:
        """Each gap is one that was made, by its time and its cause, and is healed; none lacks."""
        made = [
            (at, "the recorder was killed", lived) for lived in self.lived for at in lived.kills
        ]
        unplanned = [gap for gap in self.gaps if not gap["planned"] and not was_suspected(gap)]
        for gap in unplanned:
            self.demand(gap["state"] == "healed", f"a gap is {gap['state']}: {_words(gap)}")
        for at, cause, lived in made:
            mine = [gap for gap in unplanned if _holds(gap, at)]
            self.demand(
                len(mine) == 1,
                f"{lived.day.date} ({lived.day.story}): {len(mine)} gaps hold {at}",
            )
            for gap in mine:
                unplanned.remove(gap)
                self.demand(cause in gap["cause"], f"its cause is another: {_words(gap)}")
        for lived in self.lived:
            if lived.day.story == "lost line":
                mine = [gap for gap in unplanned if _within(gap, lived)]
                self.demand(len(mine) == 1, f"{lived.day.date}: {len(mine)} gaps of a lost line")
                unplanned = [gap for gap in unplanned if gap not in mine]
        for gap in unplanned:
            self.violations.append(f"nobody made this gap: {_words(gap)}")
        nights = [gap for gap in self.gaps if gap["planned"]]
        stops = sum(lived.stops for lived in self.lived)
        self.demand(len(nights) == stops, f"{stops} stops made {len(nights)} planned gaps")

    def prove_alarms(self) -> None:
        """The watchdog alarmed of what was silent, at those hours, and of nothing else."""
        for lived in self.lived:
            words = f"{lived.day.date} ({lived.day.story})"
            muted = [each for each in lived.alarms if each.get("symbol") == MUTED]
            trades = [each for each in muted if each["channel"] == "trades"]
            if lived.day.story == MUTE:
                self.demand(bool(trades), f"{words}: {MUTED} was mute, and nobody noticed")
                suspected = [gap for gap in self.gaps if was_suspected(gap) and _within(gap, lived)]
                states = [gap["state"] for gap in suspected]
                self.demand(
                    bool(states) and set(states) == {"healed"}, f"{words}: suspicions {states}"
                )
            for alarm in lived.alarms:
                is_of_muted = lived.day.story == MUTE and alarm in muted
                if not is_of_muted and not excused(alarm, lived, self.noticed_ns(alarm, lived)):
                    self.violations.append(f"{words}: a false alarm: {alarm.get('words')}")

    def noticed_ns(self, alarm: dict[str, Any], lived: Lived) -> int:
        """When the ledger judged so: a busy machine may let it do that long after."""
        silent = SILENT_FOR.search(alarm["words"])
        for gap in self.gaps if silent else ():
            if was_suspected(gap) and _within(gap, lived) and gap["cause"] in alarm["words"]:
                return int(gap["from_ns"] + float(silent[1]) * NS_PER_S)
        at = np.datetime64(alarm["at"].removesuffix("Z"))
        return int(at.astype("datetime64[ns]").astype(np.int64))

    def prove_certificates(self) -> None:
        """Each day has one, says of itself what is true, and its digests still hold."""
        for lived in self.lived:
            path = self.tape / "certificate" / f"{lived.day.date}.json"
            if not path.exists():
                self.violations.append(f"{lived.day.date} has no certificate")
                continue
            said = json.loads(path.read_bytes())
            left = unexplained(said["reasons"], {lived.day.story})
            self.demand(not left, f"{lived.day.date}: certified as {said['words']}, for {left}")
            self.demand(said["day"] == str(lived.day.date), f"{path} is of {said['day']}")

    def prove_reader(self, reader: dict[str, Any]) -> None:
        """The user's own reader was given each streamed trade once, and never fell off."""
        self.demand(not reader["fallen"], f"the reader fell off: {reader['fallen'][:1]}")
        with Tape(self.tape) as tape:
            rows = tape.sql(
                "SELECT CAST(day AS VARCHAR) AS day, count(*) AS n FROM trades_raw "
                f"WHERE feed = '{FEED}' GROUP BY day"
            ).to_pylist()
        there = {row["day"]: row["n"] for row in rows}
        given = {day: number for day, number in reader["days"].items() if number}
        for day in sorted(there.keys() | given.keys()):
            self.demand(
                there.get(day) == given.get(day),
                f"{day}: the reader was given {given.get(day)} of {there.get(day)} trades",
            )

    def prove_check(self, deleted: int) -> None:
        """`check` finds nothing that was not planned, knows what was deleted; digests hold."""
        said = self._ask("check")
        self.reasons = said["reasons"]
        left = unexplained(self.reasons, {lived.day.story for lived in self.lived})
        self.demand(not left, f"check: {left[:WORDS_MAX]}")
        self.demand(said["complete"] == (not self.reasons), "check and its reasons disagree")
        self.deleted_entries = sum(feed["deleted"] for feed in said["feeds"].values())
        self.demand(
            (self.deleted_entries > 0) == (deleted > 0),
            f"check knows of {self.deleted_entries} deleted entries in {deleted} segments",
        )
        same = self._ask("certificate", "--check")
        self.demand(same["same"], f"certificates: {same['differences'][:WORDS_MAX]}")

    def _ask(self, verb: str, *options: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "ticktape", verb, str(self.tape), *options, "--json"],
            capture_output=True,
            check=False,
            timeout=600,
            env=shifted(self.lived[-1].shift_ns),
        )
        return json.loads(done.stdout.splitlines()[-1])


def excused(alarm: dict[str, Any], lived: Lived, noticed_ns: int) -> bool:
    """Whether the machine was so slow that the alarm is true: the venue did pause, or lag."""
    if lived.day.story == SILENT:
        return False
    if alarm["kind"] == "lag" and lived.late_s > SLACK_NS / NS_PER_S / 4:
        return True
    sent = read_truth(lived.truth)
    sent_ns = sent["sent_ns"].to_numpy()
    if alarm["kind"] == "lag":
        age_ns = (sent_ns - sent["event_ns"].to_numpy())[sent["kind"].to_numpy() == "trades"]
        return len(age_ns) > 0 and int(np.ptp(age_ns)) > SLACK_NS // 4
    if noticed_ns > lived.day.close_ns + SLACK_NS:
        return False
    if noticed_ns < lived.day.begin_ns + int(lived.late_s * NS_PER_S) + SLACK_NS:
        return True  # connected while the market is open, and the tape has hardly begun
    return len(sent_ns) > 1 and int(np.diff(np.sort(sent_ns)).max()) > SLACK_NS


def _counted(table: Any, columns: tuple[str, ...]) -> Counter[tuple[Any, ...]]:
    return Counter(zip(*(table[name].to_pylist() for name in columns), strict=True))


def was_suspected(gap: dict[str, Any]) -> bool:
    """Whether the watchdog told of it, and nobody else."""
    return "nothing came " in gap["cause"]  # the watchdog's words, and no session's


def _holds(gap: dict[str, Any], at_ns: int) -> bool:
    return gap["from_ns"] - CLOCK_NS <= at_ns <= (gap["to_ns"] or at_ns) + CLOCK_NS


def _within(gap: dict[str, Any], lived: Lived) -> bool:
    until_ns = lived.day.close_ns + SLACK_NS + int(lived.late_s * NS_PER_S)
    return lived.day.begin_ns - SLACK_NS <= gap["from_ns"] <= until_ns


def _words(gap: dict[str, Any]) -> str:
    times = [str(np.datetime64(gap[name] or 0, "ns"))[:23] for name in ("from_ns", "to_ns")]
    return f"{times[0]} to {times[1]} {gap['symbol']} {gap['cause']} ({gap['state']})"
