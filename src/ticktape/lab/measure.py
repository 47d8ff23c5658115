"""What a cell's files say of it: gaps, order, loss, duplicates, corruption, missed states.

Only files are believed, and for what was acquired the acquirers' own count; no stage's.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ticktape.clock import NS_PER_S
from ticktape.lab.cell import Ran
from ticktape.lab.gaps import gaps_between
from ticktape.lab.layouts import LAYOUTS, journal_paths
from ticktape.lab.lineup import faults_of as counted_faults
from ticktape.lab.reading import JOURNAL, Found, add_journal, read_files
from ticktape.lab.results import CellResult, Gaps, Missed, Plan
from ticktape.lab.source import parse_source
from ticktape.lab.stages import FILES
from ticktape.lab.wording import duration

STALL_NS = NS_PER_S
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Truth(Protocol):
    """Who knows which states there were."""

    def states(self, from_ns: int, to_ns: int) -> Ints:
        """Numbers of the states that came in (from_ns, to_ns]."""


class Captures:
    """The captures of a cell that count: arrays of one length, in the order of the files."""

    def __init__(self, ran: Ran, found: Found) -> None:
        leg = np.asarray(found.leg, np.int64)
        sequence = np.asarray(found.sequence, np.uint64)
        good = np.asarray(found.good, np.bool_)
        warm, acquired = np.asarray(ran.warm), np.asarray(ran.acquired)
        known = leg < len(warm)
        place = np.where(known, leg, 0)
        limit = acquired.astype(np.uint64)[place]
        counts = known & (sequence >= warm.astype(np.uint64)[place]) & (sequence < limit)
        # What a damaged capture says of itself may be anything, also another one's number.
        self.corrupted = int(np.count_nonzero(~good & (counts | ~known | (sequence >= limit))))
        identity = (sequence * np.uint64(max(len(warm), 1))).astype(np.int64) + leg
        counts &= good | ~np.isin(identity, identity[counts & good])
        self.leg: Ints = leg[counts]
        self.sequence: Ints = sequence[counts].astype(np.int64)
        self.before_ns: Ints = np.asarray(found.before_ns, np.int64)[counts]
        self.file: Ints = np.asarray(found.file, np.int64)[counts]
        self.good: Bools = good[counts]
        self.firsts: Ints = np.sort(np.unique(identity[counts], return_index=True)[1])

    def __len__(self) -> int:
        return len(self.sequence)

    def out_of_order(self, legs: int) -> int:
        """Captures that stand in the files behind a later one; each is looked at once."""
        in_files = self.firsts[self.file[self.firsts] != JOURNAL]
        keys = (self.before_ns if legs > 1 else self.sequence)[in_files]
        if not len(keys):
            return 0
        return int(np.count_nonzero(keys < np.maximum.accumulate(keys)))

    def gaps(self) -> Gaps:
        """Between the polls of captures that are whole, in the order in which they began."""
        whole = self.firsts[self.good[self.firsts]]
        order = np.lexsort((self.sequence[whole], self.before_ns[whole]))
        return gaps_between(self.before_ns[whole][order])

    def lost(self, ran: Ran) -> tuple[int, int]:
        """Captures that are not there: in the run, and at the stop.

        At the stop is what is behind the last one that was saved. When the processes were ended,
        one of two packers may have been behind the other: then all is that follows the last one
        of the one behind.
        """
        in_run = at_stop = 0
        packers = sum(role.startswith("packer") for role in LAYOUTS[ran.key.layout].roles)
        ways = 1 if ran.is_drained else max(packers, 1)
        for leg, (first, end) in enumerate(zip(ran.warm, ran.acquired, strict=True)):
            there = self.sequence[self.leg == leg]
            wanted = np.arange(first, end)
            missing = wanted[~np.isin(wanted, there)]
            behind = int(np.count_nonzero(missing > _last_of_all(there, ways)))
            at_stop += behind
            in_run += len(missing) - behind
        return in_run, at_stop

    def survived(self, at_kill: list[int]) -> int:
        """Those of what was acquired at the kill that are there and whole."""
        limit = np.asarray(at_kill)[self.leg[self.firsts]]
        return int(np.count_nonzero(self.good[self.firsts] & (self.sequence[self.firsts] < limit)))


def _last_of_all(sequence: Ints, ways: int) -> int:
    """The last number that came on the way that is behind, of ways which each keep their order.

    Which way a capture took, only the order tells: each number follows the largest one below it.
    """
    if ways == 1:
        return int(sequence.max(initial=-1))
    ends: list[int] = []
    for number in sequence.tolist():
        below = [end for end in ends if end < number]
        if below:
            ends[ends.index(max(below))] = number
        elif len(ends) < ways:
            ends.append(number)
    return min(ends, default=-1)


def measure(ran: Ran, plan: Plan, truth: Truth | None) -> CellResult:
    """Read a cell's files, and say what it was worth."""
    is_stream = parse_source(plan.source).is_stream
    found = read_files(ran.folder / FILES, plan.format, stream=is_stream)
    notes = list(ran.notes)
    if found.torn_files:
        notes.append(f"unreadable: {', '.join(found.torn_files)}")
    if ran.key.victim or not ran.is_drained:
        found.drop_torn()
    kept = _add_journals(ran, found)
    if kept:
        notes.append(
            f"{kept:,} captures were in no file yet, but in the journal: the next start saves them"
        )
    captures = Captures(ran, found)
    in_run, at_stop = captures.lost(ran)
    acquired = sum(ran.acquired) - sum(ran.warm)
    seconds = max(ran.seconds, 1e-9)
    result = CellResult(
        key=ran.key,
        seconds=round(ran.seconds, 6),
        flushes=ran.flushes,
        threshold_reached=ran.flushes > 0,
        acquired=acquired,
        saved=len(captures),
        duplicated=len(captures) - len(captures.firsts),
        corrupted=captures.corrupted,
        out_of_order=captures.out_of_order(len(ran.acquired)),
        lost_in_run=in_run,
        lost_at_stop=at_stop,
        left_behind=0 if ran.is_drained else at_stop,
        drained=int(np.count_nonzero(captures.file >= ran.files_at_stop)),
        drain_s=round(ran.drain_s, 3),
        captures_per_s=acquired / seconds,
        saved_per_s=len(captures) / seconds,
        gaps=captures.gaps(),
        cpu_s=ran.cpu_s,
        peak_bytes=ran.peak_bytes,
        memory=ran.memory,
        written_bytes=_written(ran.folder),
        files=len(list((ran.folder / FILES).iterdir())),
        notes=notes,
    )
    if ran.key.victim:
        result.at_kill = sum(ran.at_kill) - sum(ran.warm)
        result.survived = captures.survived(ran.at_kill or [0] * len(ran.warm))
    if truth is not None and ran.last_after_ns:
        result.missed = _missed(ran, found, truth)
    return result


def _add_journals(ran: Ran, found: Found) -> int:
    kept = 0
    for role in LAYOUTS[ran.key.layout].acquirers:
        folder, _ = journal_paths(ran.folder, role)
        if folder.is_dir():
            kept += add_journal(found, folder)
    return kept


def _written(folder: Path) -> int:
    """Bytes of the files, and of the journals where there are any."""
    places = [folder / FILES, *folder.glob("*.journal")]
    return sum(path.stat().st_size for place in places for path in place.iterdir())


def _missed(ran: Ran, found: Found, truth: Truth) -> Missed:
    """States that came while captures were taken, and those that no whole capture shows."""
    states = truth.states(ran.from_ns, ran.last_after_ns)
    good = np.asarray(found.good, np.bool_)
    seen = np.unique(np.asarray(found.state, np.int64)[good])
    return Missed(true=len(states), missed=int(np.count_nonzero(~np.isin(states, seen))))


def faults_of(result: CellResult) -> list[str]:
    """What is wrong with a cell, in words; a stall of a second is, too."""
    faults = counted_faults([result])
    if result.gaps.max >= STALL_NS:
        faults.append(f"stood still for {duration(result.gaps.max)}")
    return faults
