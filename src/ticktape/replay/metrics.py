"""Reads what metrics tell of a run: positions, stages, the log, the disk; only files, on demand."""

import json
import shutil
import tomllib
from collections.abc import Callable
from typing import Final

from ticktape import __version__, clock
from ticktape.dashboard.log_counts import FeedCounts, LogCounts
from ticktape.dashboard.metrics import FeedMetrics, Grown, Ints, Latency, Snapshot, metrics_text
from ticktape.dashboard.timeline import Rows, Timeline
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal.positions import Positions, PositionsStatistics
from ticktape.latency import STAGES
from ticktape.replay.dashboard_rows import LineTail
from ticktape.replay.dashboard_stages import StageReader
from ticktape.replay.places import is_live, stream_kinds

_KEPT_NS: Final = clock.NS_PER_S  # several that ask at once get the same answer
_READERS: Final = ("last", "table", "ledger", "heal")


class _Counting(Timeline):
    """Keeps the latencies as counters, and nothing over time."""

    def __init__(self) -> None:
        super().__init__(STAGES[1:])
        self.latency = {stage: Latency() for stage in STAGES[1:]}
        self.is_past = True

    def add_rows(self, stage: str, feed: str, rows: Rows) -> None:
        """Not counted: of a fast stage not every row is looked at."""

    def add_latency(self, stage: str, seconds: Ints, latency_ns: Ints, weights: Ints) -> None:
        """Count latencies, unless they are of before the first question."""
        counted = self.latency.setdefault(stage, Latency())
        if not self.is_past:
            counted.add(latency_ns, weights)


class _Journal:
    """What one feed's writer says, made to grow over its restarts."""

    def __init__(self) -> None:
        self._grown = {name: Grown() for name in ("frames", "bytes", "suspect")}
        self._entries = self._synced_entries = 0
        self._synced = (-1, -1)
        self._moved_ns = 0

    def take(self, feed: FeedMetrics, said: PositionsStatistics, mono_ns: int) -> FeedMetrics:
        """The feed's metrics with those of its journal."""
        synced = (said.epoch, said.synced)
        if synced != self._synced or said.synced >= said.written:
            self._synced, self._moved_ns = synced, mono_ns
        # `seq` goes on from epoch to epoch; a writer that starts shows 0 for a moment.
        self._entries = max(self._entries, said.accepted_seq)
        self._synced_entries = max(self._synced_entries, said.synced_seq)
        return feed._replace(
            journal=said.state.name.lower(),
            entries=self._entries,
            synced_entries=self._synced_entries,
            synced_age_s=(mono_ns - self._moved_ns) / clock.NS_PER_S,
            held_bytes=said.held_bytes,
            dropped_frames=self._grown["frames"].take(said.epoch, said.dropped_frames),
            dropped_bytes=self._grown["bytes"].take(said.epoch, said.dropped_bytes),
            suspect_bytes=self._grown["suspect"].take(said.epoch, said.suspect_bytes),
        )


class RunMetrics:
    """The metrics of a run; for one thread.

    Args:
        directory: the run's.
        monotonic_ns: the clock.
    """

    def __init__(
        self, directory: RunDirectory, *, monotonic_ns: Callable[[], int] = clock.monotonic_ns
    ) -> None:
        self._directory = directory
        self._monotonic_ns = monotonic_ns
        self._timeline = _Counting()
        self._stages = StageReader(directory)
        self._stages.timeline = self._timeline
        self._log = LineTail(directory.events)
        self._counts = LogCounts()
        self._journals: dict[str, _Journal] = {}
        self._kinds: dict[str, str] = {}
        self._text = ""
        self._good_until_ns = 0

    def text(self) -> str:
        """The metrics now, in Prometheus' format."""
        now_ns = self._monotonic_ns()
        if not self._text or now_ns >= self._good_until_ns:
            self._text = metrics_text(self.snapshot())
            self._good_until_ns = now_ns + _KEPT_NS
        return self._text

    def snapshot(self) -> Snapshot:
        """The run now."""
        for line in self._log.read():
            self._counts.add(line)
        self._stages.read()
        if self._timeline.is_past:
            self._timeline.is_past = False
            self._counts.begin()
        live = is_live(self._directory)
        self._read_kinds()
        feeds = [self._feed(name, kind, live) for name, kind in self._kinds.items()]
        return Snapshot(
            __version__,
            live,
            feeds,
            self._stages.lag_s() if live else {},
            self._timeline.latency,
            self._counts.standing() if live else {},
            self._counts.raised,
            self._of_children(self._counts.exits),
            self._of_children(self._counts.troubles),
            self._free(),
            self._reserve(),
            self._certificate(),
        )

    def _read_kinds(self) -> None:
        try:
            self._kinds = stream_kinds(self._directory)
        except ConfigError:
            return  # a run that begins, or whose config is being replaced: what was known stands

    def _feed(self, name: str, kind: str, live: bool) -> FeedMetrics:
        said = self._counts.feeds.get(name) or FeedCounts()
        feed = FeedMetrics(
            name,
            kind,
            up=live and not said.is_down,
            # A recorder that is gone without a word misses data, too.
            gap_open=(said.is_down or not live) and not said.is_planned,
            heard_ns=self._stages.heard_ns.get(name),
            sessions=said.counts["sessions"],
            symbol_gaps_open=len(said.symbol_gaps),
            gaps=said.counts["gaps"],
            gap_s=said.gap_s,
            healed=said.counts["healed"],
            unhealable=said.counts["unhealable"],
        )
        positions = Positions.for_reader(self._directory.positions(name))
        if positions is None:
            return feed
        try:
            journal = self._journals.setdefault(name, _Journal())
            return journal.take(feed, positions.statistics(), self._monotonic_ns())
        finally:
            positions.close()

    def _of_children(self, counted: dict[str, int]) -> dict[str, int]:
        captures = [f"capture-{feed}" for feed in self._kinds]
        strategies = [f"decide-{name}" for name in self._directory.decisions()]
        return dict.fromkeys((*captures, *_READERS, *strategies), 0) | dict(counted)

    def _free(self) -> int | None:
        try:
            return shutil.disk_usage(self._directory.root).free
        except OSError:
            return None

    def _reserve(self) -> int:
        try:
            document = tomllib.loads(self._directory.config.read_text("utf-8"))
            return int(document["journal"]["reserve_bytes"])
        except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
            return 0

    def _certificate(self) -> bool | None:
        newest = max(self._directory.certificates.glob("*.json"), default=None)
        if newest is None:
            return None
        try:
            return bool(json.loads(newest.read_bytes())["complete"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def close(self) -> None:
        """Let go of all files; may be called twice."""
        self._stages.close()
