"""Wires the page to a run: last values, books, journals, stages, log, disk, certificate.

It reads files and mapped memory and nothing else: no process of the recorder is asked anything.
"""

import json
import os
import shutil
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

from ticktape import __version__, clock
from ticktape.dashboard.disk import DiskState, DiskWatch
from ticktape.dashboard.events import EventFold
from ticktape.dashboard.sources import Sample, Watched
from ticktape.dashboard.standing import BEHIND_S, Facts, Standing, standing
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal.positions import JournalState, Positions, PositionsStatistics
from ticktape.replay.dashboard_rows import LineTail
from ticktape.replay.dashboard_stages import StageReader
from ticktape.replay.dashboard_values import ValueTable
from ticktape.replay.places import is_live, stream_kinds

_STAGES_NS: Final = clock.NS_PER_S
# Who asks whether a recorder runs holds its lock for a moment: not more often than this.
_LIVE_NS: Final = 2 * clock.NS_PER_S
_DISK_NS: Final = 10 * clock.NS_PER_S
_DISK_REST: Final = 50  # counting files takes a fiftieth of the time at most
_RESERVE_BYTES: Final = 1 << 30
_REASONS_MAX: Final = 20
_DECIDED: Final = "decided"  # begins the names of the stages of strategies
_NS_PER_MS: Final = 1_000_000


def ask_command(directory: RunDirectory) -> list[str]:
    """The program that answers the page's questions about a run."""
    module = "ticktape.replay.dashboard_worker"
    return [sys.executable, "-m", module, str(directory.root)]


class RunSource:
    """A run as the page sees it, live or long over; for one thread.

    Args:
        directory: the run's; it may be there later.
        wall_ns: UTC nanoseconds.
    """

    def __init__(
        self, directory: RunDirectory, *, wall_ns: Callable[[], int] = clock.wall_now_ns
    ) -> None:
        self._directory = directory
        self._wall_ns = wall_ns
        self._values = ValueTable(directory.last)
        self._stages = StageReader(directory)
        self._events = EventFold()
        self._log = LineTail(directory.events)
        self._disk = DiskWatch()
        self._sizes: DiskState | None = None
        self._disk_at_ns = self._stages_at_ns = self._live_at_ns = 0
        self._is_live = False
        self._kinds: dict[str, str] = {}
        self._parts: dict[str, object] = {}

    def sample(self, watched: Collection[Watched]) -> Sample:
        """The run now."""
        now_ns = self._wall_ns()
        mono_ns = clock.monotonic_ns()
        if mono_ns >= self._live_at_ns:
            self._live_at_ns = mono_ns + _LIVE_NS
            self._is_live = is_live(self._directory)
            self._kinds = self._read_kinds()
        points: list[list[object]] = []
        latency: list[list[object]] = []
        if mono_ns >= self._disk_at_ns:
            self._measure(mono_ns)
        if mono_ns >= self._stages_at_ns:
            self._stages_at_ns = mono_ns + _STAGES_NS
            self._stages.read()
            points, latency = self._stages.points(now_ns, is_live=self._is_live)
            self._renew(now_ns)
        values = self._values.changes()
        return Sample(
            now_ns // _NS_PER_MS,
            self._parts,
            list(self._values.symbols),
            values,
            points,
            latency,
            self._values.books(watched),
        )

    def _read_kinds(self) -> dict[str, str]:
        try:
            return stream_kinds(self._directory)
        except ConfigError:
            return self._kinds  # a run that begins, or whose config is being replaced

    # The parts that are sent as a whole.

    def _renew(self, now_ns: int) -> None:
        for line in self._log.read():
            self._events.add(line)
        journals = {feed: self._journal(feed) for feed in self._kinds}
        lags = self._stages.lag_s() if self._is_live else {}
        certificate = self._certificate()
        self._parts = {
            "run": {"directory": str(self._directory.root), "version": __version__},
            "standing": self._standing(now_ns, journals, lags, certificate)._asdict(),
            "feeds": [self._feed(feed, journals[feed]) for feed in self._kinds],
            "history": {feed: list(each) for feed, each in self._events.history.items()},
            "log": list(self._events.log),
            "stages": {
                "names": list(self._stages.timeline.stages),
                "lag_s": lags,
                "latency": self._stages.timeline.recent_latency(),
            },
            "disk": self._sizes,
            "certificate": certificate,
        }

    def _journal(self, feed: str) -> PositionsStatistics | None:
        positions = Positions.for_reader(self._directory.positions(feed))
        if positions is None:
            return None
        try:
            return positions.statistics()
        finally:
            positions.close()

    def _feed(self, feed: str, journal: PositionsStatistics | None) -> dict[str, object]:
        state = self._events.feeds.get(feed)
        heard_ns = self._stages.heard_ns.get(feed)
        shown: dict[str, object] = {
            "name": feed,
            "kind": self._kinds[feed],
            "state": self._state(feed),
            "since": state.since if state is not None else "",
            "words": state.words if state is not None else "",
            "sessions": state.sessions if state is not None else 0,
            "planned": state is not None and state.planned,
            "heard_ms": None if heard_ns is None else heard_ns / _NS_PER_MS,
        }
        if journal is not None:
            shown |= {
                "entries": journal.accepted_seq,
                "bytes": journal.written,
                "epoch": journal.epoch,
                "journal": journal.state.name.lower(),
                "held": journal.held_bytes,
                "dropped": journal.dropped_frames,
                "suspect": journal.suspect_bytes,
            }
        return shown

    def _state(self, feed: str) -> str:
        state = self._events.feeds.get(feed)
        if state is None:
            return "unknown"
        # What it said last is not how it stands when nobody is there any more.
        return state.state if self._is_live or self._events.is_stopped(feed) else "gone"

    def _standing(
        self,
        now_ns: int,
        journals: Mapping[str, PositionsStatistics | None],
        lags: Mapping[str, float],
        certificate: Mapping[str, Any] | None,
    ) -> Standing:
        trouble = [
            f"{feed} {each.state.name.lower()}"
            for feed, each in journals.items()
            if each is not None and each.state not in (JournalState.OK, JournalState.CLOSED)
        ]
        stopped_strategies = sorted(self._events.stopped_strategies)
        trouble += [f"strategy {name} stopped itself at an error" for name in stopped_strategies]
        if stopped_strategies:  # and so they are not late
            lags = {stage: lag_s for stage, lag_s in lags.items() if not stage.startswith(_DECIDED)}
        heard_ns = max(self._stages.heard_ns.values(), default=None)
        # A proof of what there was before says nothing of what came since.
        holds = certificate is not None and certificate["made_ns"] >= (heard_ns or 0)
        # Of a run that was moved here without its log, the certificate says that it is over.
        is_told = any(feed in self._events.feeds for feed in journals)
        stopped = all(map(self._events.is_stopped, journals)) if is_told else holds
        return standing(
            Facts(
                now_ns,
                self._is_live,
                heard_ns,
                stopped or not journals,
                tuple((stage, lag_s) for stage, lag_s in lags.items() if lag_s > BEHIND_S),
                tuple(trouble),
                bool(certificate["complete"]) if certificate is not None and holds else None,
                next(iter(certificate["reasons"]), "") if certificate is not None else "",
            )
        )

    def _certificate(self) -> dict[str, Any] | None:
        """The newest certificate's sums; None when there is none that can be read."""
        newest = max(self._directory.certificates.glob("*.json"), default=None)
        if newest is None:
            return None
        try:
            said = json.loads(newest.read_bytes())
            made_ns = newest.stat().st_mtime_ns
            sums = ("received", "stored", "duplicates", "dropped", "gaps", "gaps_healed", "torn")
            shown = {name: int(said[name]) for name in sums}
            reasons = [str(words) for words in said.get("reasons", ())][:_REASONS_MAX]
            complete = bool(said["complete"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        more = {"day": newest.stem, "complete": complete, "made_ns": made_ns, "reasons": reasons}
        return shown | more

    def _measure(self, mono_ns: int) -> None:
        root = self._directory.root
        sizes = {entry.name: _size(Path(entry.path)) for entry in _entries(root)}
        table = sizes.pop("table", 0)
        ballast = sizes.pop(self._directory.ballast.name, 0)
        journals = sum(sizes.pop(name, 0) for name in ("feeds", "decisions", "ledger"))
        try:
            # It is room, for it goes when the disk is full; to make it is no growth of the run.
            free = shutil.disk_usage(root).free + ballast
        except OSError:
            return
        self._sizes = self._disk.add(
            mono_ns / clock.NS_PER_S, journals, table, sum(sizes.values()), free, self._reserve()
        )
        took_ns = clock.monotonic_ns() - mono_ns
        self._disk_at_ns = mono_ns + max(_DISK_NS, _DISK_REST * took_ns)

    def _reserve(self) -> int:
        try:
            document = tomllib.loads(self._directory.config.read_text("utf-8"))
            return int(document["journal"]["reserve_bytes"])
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
            return _RESERVE_BYTES

    def close(self) -> None:
        """Let go of all files; may be called twice."""
        self._values.close()
        self._stages.close()


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def _size(path: Path) -> int:
    """Bytes of a file, or of all files below a folder; what vanishes meanwhile counts nothing."""
    try:
        if not path.is_dir():
            return path.lstat().st_size
    except OSError:
        return 0
    return sum(_size(Path(entry.path)) for entry in _entries(path) if not entry.is_symlink())
