"""Lives through the days: the venue and the recorder on each day's clock, and the day's story.

It waits for what is to come and never for a time, but for the quiet behind a close, which is one.
"""

import contextlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from month_days import (
    DEAD_STRATEGY,
    FULL_DISK,
    GAPS,
    KILL_CAPTURE,
    KILL_HEAL,
    KILL_LEDGER,
    KILL_TABLE,
    KILL_TREE,
    NS_PER_S,
    POWER_CUT,
    Day,
)
from month_disk import SmallDisk, Watch
from month_recorder import FEED, STRATEGY_NAME, Recorder
from month_venue import Venue, shifted, wall_ns

WAIT_S = 240.0  # a machine with other work is slow, and that is no fault of the recorder
LEAD_S = 3.0  # from the recorder's start to the tape's: it takes two on a quiet machine
LEAD_VENUES = 2.5  # on a busy one it takes longer: the start of the venue, just before, tells
HEAL_S = 120.0  # how long to wait for what was suspected; what then is not healed is for the proof
QUIET_S = 5.5  # a feed of this pace alarms after 3 to 4.5 s of silence, if it may
VICTIMS = {KILL_TABLE: "table", KILL_LEDGER: "ledger", KILL_HEAL: "heal"}


# What no journal can mend: reasons of `check`, and the stories that they may be from.
_DIED = rf"(decide-)?{STRATEGY_NAME}:? stopped itself"
_UNDECIDED = rf"{STRATEGY_NAME}: \d+ entries of {FEED} were recorded and not decided on"
EXPLAINED = {
    _DIED: {DEAD_STRATEGY},
    _UNDECIDED: {DEAD_STRATEGY, KILL_TREE, POWER_CUT},
}


def unexplained(reasons: list[str], stories: set[str]) -> list[str]:
    """The reasons that are of none of these stories."""
    return [
        words
        for words in reasons
        if not any(re.match(each, words) and stories & may for each, may in EXPLAINED.items())
    ]


class Lived(NamedTuple):
    """A day that is over: what was done to it, and what the recorder said of itself.

    `kills` are the times, of the day's clock or of yesterday's, at which the capture was killed;
    `stops` how often it was stopped in order; `late_s` how late the tape began; `verdict` what
    `record` said at its end, None when it had none; `truth` what the venue wrote of what it sent.
    """

    day: Day
    shift_ns: int
    kills: list[int]
    stops: int
    late_s: float
    alarms: list[dict]
    verdict: dict | None
    folder: Path
    seconds: float

    @property
    def truth(self) -> Path:
        return self.folder / "truth"


class Life:
    """Days of one run directory, one after the other.

    Args:
        folder: for everything but the run itself.
        disk: on which the run lies.
        watch: looks at it meanwhile.
        recorder: the processes.
        seed: of the tapes.
    """

    def __init__(
        self, folder: Path, disk: SmallDisk, watch: Watch, recorder: Recorder, seed: int
    ) -> None:
        self.folder, self.seed = folder, seed
        self.disk, self.watch, self.recorder = disk, watch, recorder
        self.violations: list[str] = []
        self.lived: list[Lived] = []
        self.cut_at_ns = 0  # of yesterday's power cut; 0 when there was none
        self._heard: list[dict] = []
        self._words = ""
        self._lead_s = LEAD_S
        self._stops = 0

    # The day.

    def live(self, day: Day) -> Lived:
        """Live through one day."""
        begun = time.monotonic()
        self._words = f"{day.date} ({day.story})"
        self._heard, self._stops = [], 0
        folder = self.folder / f"{day.date}"
        folder.mkdir()
        kills = [self.cut_at_ns] if self.cut_at_ns else []
        verdict = None
        with contextlib.ExitStack() as stack:
            venue = Venue(day, folder, _shift_ns(day, self._lead_s), self.seed)
            stack.callback(venue.close)
            self._lead_s = max(LEAD_S, LEAD_VENUES * (time.monotonic() - begun))
            self.recorder.configure(venue.url, venue.rest_url, dies=day.story == DEAD_STRATEGY)
            shift_ns = self._start(day)
            stack.enter_context(self._reader(shift_ns))
            late_s = self._open(venue, day, shift_ns) if day.is_open else 0.0
            self._tell(day, shift_ns, kills)
            self._rest(day, venue, shift_ns)
            if day.story == POWER_CUT:
                cut_at_ns = wall_ns(shift_ns)
                self.recorder.kill()
            else:
                cut_at_ns, verdict = 0, self._stop(day)
        self._hear()
        if self.cut_at_ns:
            self._certify_yesterday(shift_ns)
        self.cut_at_ns = cut_at_ns
        alarms = [each for each in self._heard if each["event"] == "alarm" and each["open"]]
        spent = time.monotonic() - begun
        done = Lived(day, shift_ns, kills, self._stops, late_s, alarms, verdict, folder, spent)
        self.lived.append(done)
        return done

    def _start(self, day: Day) -> int:
        """Begin to record in time before the tape; the day's shift of the clock."""
        shift_ns = _shift_ns(day, self._lead_s)
        self.recorder.start(shift_ns)
        self._until_subscribed(1)
        return shift_ns

    def _open(self, venue: Venue, day: Day, shift_ns: int) -> float:
        """Let the tape begin when the day's clock says so; how late that is, in seconds."""
        late_s = (wall_ns(shift_ns) - day.begin_ns) / NS_PER_S
        if late_s < 0:
            time.sleep(-late_s)
        venue.open()
        return max(0.0, late_s)

    def _tell(self, day: Day, shift_ns: int, kills: list[int]) -> None:
        """Do what the day's story says, in the middle of its tape."""
        if day.is_open:
            time.sleep(2.0)
        subscribed = self._subscribed()
        if day.story == KILL_TREE:
            kills.append(wall_ns(shift_ns))
            self.recorder.kill()
            self.recorder.start(shift_ns)
            self._until_subscribed(subscribed + 1)
        elif day.story == KILL_CAPTURE:
            kills.append(wall_ns(shift_ns))
            self._kill(f"capture-{FEED}")
            self._until_subscribed(subscribed + 1)
        elif day.story in VICTIMS:
            self._kill(VICTIMS[day.story])
        elif day.story == FULL_DISK:
            capture = self.recorder.children().get(f"capture-{FEED}")
            self.disk.fill(capture.pid)
            try:
                time.sleep(2.5)
            finally:
                self.disk.free()
        elif day.story == DEAD_STRATEGY:
            self._until(lambda: self._said("decision_error"), "the strategy did not die")

    def _rest(self, day: Day, venue: Venue, shift_ns: int) -> None:
        """Wait for the tape's end, the quiet behind it, and the healing."""
        if day.is_open:
            self._until(lambda: venue.has_ended, "the tape did not end")
        quiet_from_ns = wall_ns(shift_ns)
        gaps = GAPS.get(day.story, 0) + (self.cut_at_ns > 0)
        self._until(lambda: self._said("healed") >= gaps, f"REST did not heal {gaps} gaps")
        until = time.monotonic() + HEAL_S
        while self._said("healed") < gaps + self._suspected() and time.monotonic() < until:
            time.sleep(0.05)
        self._until(
            lambda: wall_ns(shift_ns) > quiet_from_ns + QUIET_S * NS_PER_S, "there was no quiet"
        )
        self._demand(self.recorder.is_alive(), "the recorder ended by itself")

    def _stop(self, day: Day) -> dict:
        self._stops += 1
        code, verdict = self.recorder.stop()
        stories = {day.story, *(lived.day.story for lived in self.lived)}
        left = unexplained(verdict["reasons"], stories)
        self._demand(not left, f"the day ended with {left}")
        self._demand((code == 0) == (not verdict["reasons"]), f"the day ended with code {code}")
        return verdict

    def _certify_yesterday(self, shift_ns: int) -> None:
        """Whose day ended in the dark has its certificate made when its gap is healed."""
        yesterday = str(self.lived[-1].day.date)
        subprocess.run(
            [
                *(sys.executable, "-m", "ticktape", "certificate", str(self.recorder.tape)),
                *("--day", yesterday, "--json"),
            ],
            env=shifted(shift_ns),
            check=False,
            capture_output=True,
            timeout=600,
        )

    # What happens meanwhile.

    @contextlib.contextmanager
    def _reader(self, shift_ns: int):
        """The user's own reader, beside the recorder for as long as the day lasts."""
        with open(self.folder / "reader.log", "ab") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, str(Path(__file__).with_name("month_reader.py"))),
                    *(str(self.recorder.tape), str(self.folder / "reader.json")),
                ],
                stdin=subprocess.PIPE,
                stderr=log,
                env=shifted(shift_ns),
            )
        try:
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                self._demand(False, "the reader did not end")

    def read(self) -> dict:
        """What the user's own reader was given so far."""
        return json.loads((self.folder / "reader.json").read_bytes())

    def _kill(self, name: str) -> None:
        victim = self.recorder.children()[name]
        victim.kill()
        self._until(
            lambda: getattr(self.recorder.children().get(name), "pid", victim.pid) != victim.pid,
            f"{name} did not come back",
        )

    def _hear(self) -> None:
        self._heard += self.recorder.news()

    def _said(self, event: str) -> int:
        self._hear()
        return sum(each["event"] == event for each in self._heard)

    def _suspected(self) -> int:
        alarms = [each for each in self._heard if each["event"] == "alarm" and each["open"]]
        return sum(each["kind"] != "lag" for each in alarms)

    def _subscribed(self) -> int:
        self._hear()
        sessions = [each["content"] for each in self._heard if each["event"] == "session"]
        return sum(each["event"] == "subscribed" for each in sessions)

    def _until_subscribed(self, times: int) -> None:
        self._until(
            lambda: self._subscribed() >= times, f"the recorder was not subscribed {times} times"
        )

    def _until(self, condition: Callable[[], object], words: str) -> None:
        until = time.monotonic() + WAIT_S
        while not condition():
            if time.monotonic() > until:
                self.violations.append(f"{self._words}: {words} within {WAIT_S:g} s")
                return
            time.sleep(0.05)

    def _demand(self, holds: bool, words: str) -> None:
        if not holds:
            self.violations.append(f"{self._words}: {words}")

    def close(self) -> None:
        """Leave no process."""
        self.recorder.close()
        self.disk.free()


def _shift_ns(day: Day, lead_s: float) -> int:
    """The shift with which it is now so long before the day's tape."""
    return day.begin_ns - int(lead_s * NS_PER_S) - time.time_ns()


def keep(folder: Path, tape: Path) -> Path:
    """Copy a run from its disk, which goes, to where it can be looked at."""
    kept = folder / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(tape, kept, ignore=shutil.ignore_patterns("filler", "ballast"))
    return kept
