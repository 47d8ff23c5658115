"""The simulated month: `make month DAYS=30 SEED=3` lives through a month in some ten minutes.

Real processes against the real simulator and its REST twin, in one run directory on a small disk.
Each day's wall clock is set to some seconds around its close; the clocks change, markets have
holidays, processes and the whole tree are killed, lines are lost, the disk is full for a while, a
strategy dies. Then the month is proven. It begins anew with each call; a day takes some 15 s.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))  # for its modules, also when imported by a test

from month_days import FIRST, Day, dates, make_plan
from month_disk import SmallDisk, Watch
from month_life import Life, keep
from month_proof import Proof, was_suspected
from month_recorder import MIB, Recorder

DISK_BYTES = 64 * MIB
KEEP_BYTES = 1_500_000  # six days sealed, and one that is not yet
KEEP_DAYS = 6.0
ROW_BYTES = 250  # most that a row takes in a plain journal, of 181 in the mean
DISK_MARGIN = 3  # what one day may take beyond `keep_bytes`, in tapes of that day


class Ended(NamedTuple):
    """A month that was lived and proven."""

    days: int
    kills: int
    planned_gaps: int
    unplanned_gaps: int
    suspicions: int
    rows: int
    deleted_segments: int
    used_bytes_max: int
    segments_bytes_max: int
    seconds: float
    reasons: list[str]
    violations: list[str]

    def last_line(self, seed: int) -> str:
        """The month's last word."""
        word = "COMPLETE but for what was planned" if self.reasons else "COMPLETE"
        word = f"{len(self.violations)} VIOLATIONS" if self.violations else word
        return (
            f"{self.days} days, {self.planned_gaps} planned gaps, {self.unplanned_gaps} others, "
            f"all healed or explained, disk at most {self.used_bytes_max / MIB:.0f} of "
            f"{DISK_BYTES / MIB:.0f} MiB, seed {seed}: {word}"
        )


def live_month(
    plan: Sequence[Day],
    folder: Path,
    seed: int,
    say: Callable[[str], None],
    *,
    keep_days: float = KEEP_DAYS,
    keep_bytes: int = KEEP_BYTES,
) -> Ended:
    """Live through these days in `folder`, which is emptied, and prove them."""
    shutil.rmtree(folder, ignore_errors=True)
    begun = time.monotonic()
    disk = SmallDisk(folder / "disk", DISK_BYTES)
    tape = disk.folder / "tape"
    busiest = max(int(day.length_s * day.rows_per_s) for day in plan)
    watch = Watch(tape, disk, keep_bytes + DISK_MARGIN * busiest * ROW_BYTES).start()
    recorder = Recorder(folder, tape, keep_days=keep_days, keep_bytes=keep_bytes)
    life = Life(folder, disk, watch, recorder, seed)
    try:
        for number, day in enumerate(plan, 1):
            done = life.live(day)
            left_s = (time.monotonic() - begun) / number * (len(plan) - number)
            say(
                f"{day.date:%Y-%m-%d %a}  {day.story:14} {done.seconds:5.1f} s  "
                f"disk {disk.used_bytes() / MIB:4.1f} MiB, "
                f"{len(watch.deleted):3} segments deleted, "
                f"{len(life.violations) + len(watch.violations)} violations, "
                f"{left_s / 60:.1f} min left"
            )
        life.close()
        watch.stop()
        proof = Proof(tape, life.lived)
        proof.prove(life.read(), len(watch.deleted))
        violations = [*life.violations, *watch.violations, *proof.violations]
        if violations:
            say(f"the run is kept in {keep(folder, tape)}")
    finally:
        life.close()
        watch.stop()
        disk.close()
    planned = sum(bool(gap["planned"]) for gap in proof.gaps)
    return Ended(
        days=len(plan),
        kills=sum(len(lived.kills) for lived in life.lived),
        planned_gaps=planned,
        unplanned_gaps=len(proof.gaps) - planned,
        suspicions=sum(map(was_suspected, proof.gaps)),
        rows=proof.rows,
        deleted_segments=len(watch.deleted),
        used_bytes_max=watch.used_bytes_max,
        segments_bytes_max=watch.segments_bytes_max,
        seconds=time.monotonic() - begun,
        reasons=proof.reasons,
        violations=violations,
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=3, help="of the plan and of the tapes")
    parser.add_argument("--folder", type=Path, default=Path("runs/month"))
    parser.add_argument("--first", type=date.fromisoformat, default=FIRST, help="2026-10-29")
    return parser.parse_args(arguments)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Live through a month as a command; 0 when nothing was violated, 130 when broken off."""
    chosen = parse(arguments)
    # Also where a script runs us in the background, which would have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    plan = make_plan(dates(chosen.first, chosen.days), chosen.seed)
    try:
        # A config's own files are looked for from its folder, and the recorder's is elsewhere.
        folder = chosen.folder.resolve() / f"seed-{chosen.seed}"
        ended = live_month(plan, folder, chosen.seed, say)
    except KeyboardInterrupt:
        say("broken off; the same command begins anew")
        return 130
    for words in ended.violations:
        say(f"VIOLATION {words}")
    for words in ended.reasons:
        say(f"planned, and for ever: {words}")
    say(
        f"{ended.rows:,} rows, {ended.deleted_segments} segments deleted, segments at most "
        f"{ended.segments_bytes_max / 1e6:.1f} MB, {ended.kills} kills of the capture, "
        f"{ended.seconds / 60:.1f} min"
    )
    say(ended.last_line(chosen.seed))
    return 1 if ended.violations else 0


if __name__ == "__main__":
    sys.exit(main())
