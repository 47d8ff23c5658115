"""A run's state as Prometheus reads it; pure.

A counter never falls while the process that serves it lives, also when a child of the recorder or
the recorder itself is started again: `Grown` carries it over. docs/reference/metrics.md lists all.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
ALARM_KINDS: Final = ("silence", "mute", "lag")
JOURNAL_STATES: Final = ("closed", "ok", "holding", "dropping", "suspect")

# From what a block takes to the system at best, to what a table may be late: 1-2-5 steps.
_BOUNDS_NS: Final = tuple(
    step * 10**power for power in range(4, 11) for step in (1, 2, 5) if step * 10**power <= 10**10
)
_NS_PER_S: Final = 1_000_000_000

Ints = npt.NDArray[np.int64]


class Latency:
    """Latencies of one stage, counted into buckets; each value stands for `weights` entries."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(_BOUNDS_NS) + 1, dtype=np.int64)
        self.sum_s = 0.0

    def add(self, latency_ns: Ints, weights: Ints) -> None:
        """Count values, in nanoseconds."""
        np.add.at(self._counts, np.searchsorted(_BOUNDS_NS, latency_ns), weights)
        self.sum_s += float((latency_ns * weights).sum()) / _NS_PER_S

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound in seconds, entries at or below it); the last bound is +Inf."""
        sums = np.cumsum(self._counts).tolist()
        bounds = [f"{bound / _NS_PER_S:g}" for bound in _BOUNDS_NS]
        return list(zip([*bounds, "+Inf"], map(float, sums), strict=True))


class Grown:
    """Makes a counter that begins anew with each epoch of a writer one that only grows."""

    def __init__(self) -> None:
        self._before = 0
        self._epoch = -1
        self._last = 0

    def take(self, epoch: int, value: int) -> int:
        """The sum over all epochs seen so far.

        What an epoch counted after the last look at it is not in it; the certificate has it all.
        """
        if epoch != self._epoch:
            self._before, self._epoch, self._last = self._before + self._last, epoch, 0
        # A writer that starts sets its numbers to zero before it says that it is another.
        self._last = max(self._last, value)
        return self._before + self._last


class FeedMetrics(NamedTuple):
    """One feed now; `heard_ns` and `journal` are None where they are not known."""

    name: str
    kind: str
    up: bool = False
    gap_open: bool = False
    heard_ns: int | None = None
    journal: str | None = None
    entries: int = 0
    synced_entries: int = 0
    synced_age_s: float = 0.0
    held_bytes: int = 0
    dropped_frames: int = 0
    dropped_bytes: int = 0
    suspect_bytes: int = 0
    sessions: int = 0
    symbol_gaps_open: int = 0
    gaps: int = 0
    gap_s: float = 0.0
    healed: int = 0
    unhealable: int = 0


class Snapshot(NamedTuple):
    """A run now; alarms by (feed, kind), exits and troubles by child, times by stage."""

    version: str
    is_live: bool
    feeds: Sequence[FeedMetrics] = ()
    lag_s: Mapping[str, float] = {}
    latency: Mapping[str, Latency] = {}
    alarms_open: Mapping[tuple[str, str], int] = {}
    alarms_raised: Mapping[tuple[str, str], int] = {}
    exits: Mapping[str, int] = {}
    troubles: Mapping[str, int] = {}
    disk_free_bytes: int | None = None
    disk_reserve_bytes: int = 0
    certificate_complete: bool | None = None


class _OfFeed(NamedTuple):
    """A metric with the label `feed`; counters get their `_total` from the library."""

    name: str
    words: str
    value: Callable[[FeedMetrics], float | None]
    is_counter: bool = False


_OF_FEED: Final = (
    _OfFeed("feed_up", "1 while the venue's data comes in.", lambda feed: feed.up),
    _OfFeed(
        "gap_open", "1 while data is missed and nobody planned that.", lambda feed: feed.gap_open
    ),
    _OfFeed(
        "feed_heard_timestamp_seconds",
        "When the newest block was received, in seconds of UTC.",
        lambda feed: None if feed.heard_ns is None else feed.heard_ns / _NS_PER_S,
    ),
    _OfFeed(
        "entries",
        "Entries that the journal accepted since it began: frames, polls, session events.",
        lambda feed: feed.entries,
        is_counter=True,
    ),
    _OfFeed(
        "synced_entries",
        "Of these, what survives power loss.",
        lambda feed: feed.synced_entries,
        is_counter=True,
    ),
    _OfFeed(
        "journal_synced_age_seconds",
        "For how long the synced position has not moved although more is written; 0 if it has.",
        lambda feed: feed.synced_age_s,
    ),
    _OfFeed(
        "journal_held_bytes", "Held in memory, for the disk refuses.", lambda feed: feed.held_bytes
    ),
    _OfFeed(
        "dropped_frames",
        "Frames that were never journaled.",
        lambda feed: feed.dropped_frames,
        is_counter=True,
    ),
    _OfFeed("dropped_bytes", "Their bytes.", lambda feed: feed.dropped_bytes, is_counter=True),
    _OfFeed(
        "suspect_bytes",
        "Bytes whose sync failed.",
        lambda feed: feed.suspect_bytes,
        is_counter=True,
    ),
    _OfFeed("sessions", "Connections tried.", lambda feed: feed.sessions, is_counter=True),
    _OfFeed(
        "symbol_gaps_open",
        "Symbols that are asked for and not subscribed.",
        lambda feed: feed.symbol_gaps_open,
    ),
    _OfFeed("gaps", "Unplanned gaps that ended.", lambda feed: feed.gaps, is_counter=True),
    _OfFeed("gap_seconds", "How long those of the whole feed were.", lambda feed: feed.gap_s, True),
    _OfFeed("gaps_healed", "Gaps filled from elsewhere.", lambda feed: feed.healed, True),
    _OfFeed("gaps_unhealable", "Gaps that cannot be.", lambda feed: feed.unhealable, True),
)


def metrics_text(snapshot: Snapshot) -> str:
    """All metrics in Prometheus' text format, to be served as CONTENT_TYPE."""
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot))
    return generate_latest(registry).decode()


class _Collector(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Every family once."""
        return [
            *_of_run(self._snapshot),
            *_of_feeds(self._snapshot.feeds),
            *_of_stages(self._snapshot),
            *_of_log(self._snapshot),
        ]

    def describe(self) -> Iterable[Metric]:
        """Nothing: a registry of one collector has no names to compare."""
        return []


def _gauge(name: str, words: str, value: float | None) -> Iterable[Metric]:
    if value is not None:
        yield GaugeMetricFamily(f"ticktape_{name}", words, value=float(value))


def _labelled(
    kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
    name: str,
    words: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = kind(f"ticktape_{name}", words, labels=labels)
    for labelled, value in values:
        family.add_metric(labelled, float(value))
    return family


def _of_run(snapshot: Snapshot) -> Iterable[Metric]:
    version = [((snapshot.version,), 1.0)]
    yield _labelled(
        GaugeMetricFamily, "build_info", "The version that serves this.", ("version",), version
    )
    yield from _gauge("recorder_up", "1 while a recorder is at work there.", snapshot.is_live)
    yield from _gauge("disk_free_bytes", "Free on the run's disk.", snapshot.disk_free_bytes)
    words = "The config's reserve_bytes: below it readers stop before the journal does."
    yield from _gauge("disk_reserve_bytes", words, snapshot.disk_reserve_bytes)
    words = "1 when the newest certificate says COMPLETE, 0 when it says INCOMPLETE."
    yield from _gauge("certificate_complete", words, snapshot.certificate_complete)


def _of_feeds(feeds: Sequence[FeedMetrics]) -> Iterable[Metric]:
    for each in _OF_FEED:
        known = [((feed.name,), each.value(feed)) for feed in feeds]
        values = [(labels, value) for labels, value in known if value is not None]
        family = CounterMetricFamily if each.is_counter else GaugeMetricFamily
        yield _labelled(family, each.name, each.words, ("feed",), values)
    kinds = [((feed.name, feed.kind), 1.0) for feed in feeds]
    words = "The protocol of each feed."
    yield _labelled(GaugeMetricFamily, "feed_info", words, ("feed", "kind"), kinds)
    states = [
        ((feed.name, state), float(state == feed.journal))
        for feed in feeds
        if feed.journal is not None
        for state in JOURNAL_STATES
    ]
    words = "1 for the state that the journal's writer is in."
    yield _labelled(GaugeMetricFamily, "journal_state", words, ("feed", "state"), states)


def _of_stages(snapshot: Snapshot) -> Iterable[Metric]:
    words = "How long the oldest block has waited that has not reached the stage."
    lags = [((stage,), lag_s) for stage, lag_s in snapshot.lag_s.items()]
    yield _labelled(GaugeMetricFamily, "stage_lag_seconds", words, ("stage",), lags)
    words = "From the socket read to the stage; of a sample of all blocks."
    family = HistogramMetricFamily("ticktape_recv_to_stage_seconds", words, labels=("stage",))
    for stage, latency in snapshot.latency.items():
        family.add_metric((stage,), latency.buckets(), latency.sum_s)
    yield family


def _of_log(snapshot: Snapshot) -> Iterable[Metric]:
    of = ("feed", "kind")
    pairs = [(feed.name, kind) for feed in snapshot.feeds for kind in ALARM_KINDS]
    # What is counted stands at 0 before: of a counter that begins at 1 nobody sees that it grew.
    standing = [(pair, snapshot.alarms_open.get(pair, 0)) for pair in pairs]
    raised = [(pair, snapshot.alarms_raised.get(pair, 0)) for pair in pairs]
    words = "Alarms of the watchdog that stand: it suspects that something is missing."
    yield _labelled(GaugeMetricFamily, "alarms_open", words, of, standing)
    yield _labelled(CounterMetricFamily, "alarms", "Alarms that were raised.", of, raised)
    for name, words, counts in (
        ("child_exits", "Processes that ended otherwise than planned.", snapshot.exits),
        ("troubles", "What the log calls trouble, by who told of it.", snapshot.troubles),
    ):
        values = [((child,), count) for child, count in counts.items()]
        yield _labelled(CounterMetricFamily, name, words, ("child",), values)
