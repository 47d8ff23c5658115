"""Has the certificate of a day made once the day is over, and again when what it says has changed.

That is `ticktape certificate` in a process of its own: it reads all that is there, which takes its
time and memory, and it knows rooms that a recorder does not. One is at work at a time; ended half
way it has changed nothing, and is begun anew another time.
"""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import msgspec

from ticktape import clock
from ticktape.config import REST
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, Corrupt
from ticktape.journal.blocks import Block
from ticktape.journal.disk import Disk
from ticktape.journal.position_file import load_positions
from ticktape.journal.recovery import find_end
from ticktape.journal.retention import Pin, read_deleted
from ticktape.journal.segments import Segment, list_segments, read_first_block
from ticktape.ledger.healing import HealBook
from ticktape.recorder.keeping import DAY_NS, pins_of
from ticktape.recorder.logs import rotate
from ticktape.recorder.process import child_environment
from ticktape.records import Position

_GRACE_NS = 60 * clock.NS_PER_S  # a clock that is a little ahead ends no day
_LOOK_NS = 60 * clock.NS_PER_S
_AGAIN_NS = 3600 * clock.NS_PER_S  # after a failure; and between two of what a heal has changed
WAIT_NS = 2 * 3600 * clock.NS_PER_S
"""So long a day's certificate waits for readers and healing; then it is made as things stand."""
PIN_NS = 2 * DAY_NS
"""So long nothing of a day without certificate is deleted; then making it must have failed."""
_DAYS_MAX = 31  # asked for at once, and looked back at for a change
_BACK_MAX = 400
_BEHIND = "behind"
_ENDS = (EXIT_COMPLETE, EXIT_INCOMPLETE)


class Certified(NamedTuple):
    """What became of a day: the certificate's last line, or why there is none."""

    day: str
    words: str


class _Said(msgspec.Struct):
    """What is read of a certificate."""

    words: str


class _Known(msgspec.Struct):
    """Day -> what might still change its certificate when that was made: open gaps, `behind`."""

    days: dict[str, list[str]] = {}


Start = Callable[[Sequence[str]], "subprocess.Popen[bytes]"]


class CertificateRoll:
    """The certificates of one run.

    Args:
        directory: the run's.
        journals: names of the feeds' journals, those of healing among them.
        healed: names of the feeds that are healed.
        start: starts the process that makes the certificates of these days; a test's own.
    """

    def __init__(
        self,
        directory: RunDirectory,
        journals: Collection[str],
        healed: Collection[str],
        start: Start | None = None,
    ) -> None:
        self._directory = directory
        self._journals = journals
        self._healed = healed
        self._start = start or self._start_process
        self._path = directory.readers / "certificate.json"
        self._known = self._load()
        self._closed: dict[Segment, tuple[int, int]] = {}
        self._noted_day = -1
        self._noted_ns = 0
        self._ends: dict[str, Position] = {}
        self._began_ns = 0
        self._look_at_ns = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._asked: dict[str, list[str]] = {}

    def look(self, now_ns: int) -> list[Certified]:
        """See what has been made, and start what is due; never waits.

        Raises:
            OSError: the disk refused, or no process can be started; it is tried again.
        """
        self._began_ns = self._began_ns or now_ns
        if self._process is not None:
            code = self._process.poll()
            return [] if code is None else self._finish(code)
        if clock.monotonic_ns() < self._look_at_ns:
            return []
        self._look_at_ns = clock.monotonic_ns() + _LOOK_NS
        days = self._due(now_ns)
        if days:
            self._asked = {day: self._open(day) for day in days}
            self._look_at_ns = clock.monotonic_ns() + _AGAIN_NS  # should it fail
            self._process = self._start(days)
        return []

    def pin(self, now_ns: int) -> Pin:
        """Until the oldest day that is over has its certificate, nothing of it may be deleted."""
        self._began_ns = self._began_ns or now_ns
        lacking = self._lacking(now_ns)
        waited_ns = [now_ns - max((day + 1) * DAY_NS, self._began_ns) for day in lacking]
        pinned = [day for day, ns in zip(lacking, waited_ns, strict=True) if ns < PIN_NS]
        return Pin(_FAR, min(pinned) * DAY_NS) if pinned else Pin(_FAR)

    def close(self) -> None:
        """End the process, if one is at work; may be called twice."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    # Which days.

    def _due(self, now_ns: int) -> list[str]:
        lacking = self._lacking(now_ns)
        has_settled = self._has_settled(now_ns)
        if lacking and (has_settled or now_ns - self._noted_ns >= WAIT_NS):
            return [_name(day) for day in lacking[:_DAYS_MAX]]
        return [day for day in sorted(self._known.days)[-_DAYS_MAX:] if self._has_changed(day)]

    def _lacking(self, now_ns: int) -> list[int]:
        """The days that are over, of which there may be entries, and of which nothing is known."""
        there = {path.stem for path in self._directory.certificates.glob("*.json")}
        there |= self._known.days.keys()
        today = (now_ns - _GRACE_NS) // DAY_NS
        days: set[int] = set()
        for name in self._journals:
            if not name.endswith(REST):
                for first, last in self._spans(name):
                    days |= set(range(max(first, today - _BACK_MAX), min(last + 1, today)))
        return sorted(day for day in days if _name(day) not in there)

    def _spans(self, name: str) -> list[tuple[int, int]]:
        """The days of the first and of the last entry of each segment."""
        found = []
        segments = list_segments(self._directory.journal(name))
        for segment in segments:
            span = self._closed.get(segment)
            if span is None:
                first, last = _first_and_last(segment)
                if first is None or last is None:
                    continue  # it has just begun, or cannot be read
                span = first.recv_ns // DAY_NS, last.recv_ns // DAY_NS
                if segment != segments[-1]:
                    self._closed[segment] = span
            found.append(span)
        return found

    def _has_settled(self, now_ns: int) -> bool:
        """Whether readers have what was there after the day's end, and healing is done with it."""
        today = (now_ns - _GRACE_NS) // DAY_NS
        if today != self._noted_day:
            self._noted_day, self._noted_ns = today, now_ns
            self._ends = {name: self._end(name) for name in self._journals}
        return not self._is_behind() and not any(
            gap.from_ns < today * DAY_NS
            for feed in self._healed
            for gap in self._book(feed).gaps.values()
        )

    def _is_behind(self) -> bool:
        return any(
            pin.position < end
            for name, end in self._ends.items()
            for pin in pins_of(self._directory, name, self._healed)
        )

    def _end(self, name: str) -> Position:
        """Behind the last block of a journal as it is now."""
        for segment in reversed(list_segments(self._directory.journal(name))):
            last = find_end(segment).last
            if last is not None:
                return last.end
        return Position(0, 0)

    def _book(self, feed: str) -> HealBook:
        _, counts = load_positions(self._directory.reader_file(f"heal-{feed}"))
        try:
            return msgspec.convert(counts["book"], HealBook)
        except (KeyError, msgspec.ValidationError):
            return HealBook()

    def _open(self, day: str) -> list[str]:
        """What may still change what a certificate of the day says."""
        found = [_BEHIND] if self._is_behind() else []
        for feed in self._healed:
            for gap in self._book(feed).gaps.values():
                to_day = "9" if gap.to_ns is None else _name(gap.to_ns // DAY_NS)
                if _name(gap.from_ns // DAY_NS) <= day <= to_day:
                    found.append(f"{feed} {gap.key}")
        return found

    def _has_changed(self, day: str) -> bool:
        """Whether something that was open is not any more, and its entries are still there."""
        known = set(self._known.days[day])
        return bool(known - set(self._open(day))) and not any(
            _name(gone.first_ns // DAY_NS) <= day <= _name(gone.last_ns // DAY_NS)
            for name in self._journals
            for gone in read_deleted(self._directory.journal(name))
        )

    # Making them.

    def _start_process(self, days: Sequence[str]) -> "subprocess.Popen[bytes]":
        root = str(self._directory.root)
        log = self._directory.log / "certificate.log"
        log.parent.mkdir(exist_ok=True)
        rotate(log)
        # The comma at the end: of several days, those without entries are no error.
        asked = ["--day", "".join(f"{day}," for day in days)]
        with open(log, "ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "ticktape", "certificate", root, *asked],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=child_environment(),
            )

    def _finish(self, code: int) -> list[Certified]:
        self._process = None
        said = {day: self._words(day) for day in self._asked}
        if code not in _ENDS:
            words = f"no certificate was made (code {code}): see log/certificate.log"
            return [Certified(day, words) for day in list(self._asked)[:1]]
        # A day on which nothing was recorded has no certificate, and is not asked for again.
        days = self._known.days | self._asked
        self._known = _Known({day: days[day] for day in sorted(days)[-_BACK_MAX:]})
        self._save()
        return [Certified(day, words) for day, words in said.items() if words]

    def _words(self, day: str) -> str:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            path = self._directory.certificates / f"{day}.json"
            return msgspec.json.decode(path.read_bytes(), type=_Said).words
        return ""

    def _load(self) -> _Known:
        with contextlib.suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._path.read_bytes(), type=_Known)
        return _Known()

    def _save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        Disk().replace(self._path, msgspec.json.encode(self._known))


def _first_and_last(segment: Segment) -> tuple[Block | None, Block | None]:
    try:
        return read_first_block(segment), find_end(segment).last
    except (Corrupt, OSError):
        return None, None


_FAR = Position(1 << 60, 0)


def _name(day: int) -> str:
    """YYYY-MM-DD of a day since 1970."""
    return clock.iso_utc(day * DAY_NS)[:10]
