"""What was read of a run -> its verdict, for all of it or for one day of receive time; no I/O."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ticktape.clock import iso_utc
from ticktape.config import REST
from ticktape.directory import DECISION, LEDGER
from ticktape.journal.retention import Deleted
from ticktape.ledger import (
    CountedPlace,
    FeedVerdict,
    GapInterval,
    KindCount,
    Lacking,
    Part,
    Verdict,
    sum_counts,
)
from ticktape.ledger.certificate_spans import Spans, union
from ticktape.replay.certify_reading import LedgerReading, RestReading
from ticktape.replay.reading import DAY_NS, DecisionReading, FeedReading, JournalReading, Told

_LIVE = ("the recorder is still at work on it",)
_PLACES_MAX = 20  # places of a difference that are named


class Found(NamedTuple):
    """All that `check` read of a run, of which a verdict can be made for any day.

    Days are counted since 1970. `parts` are the digests of each journal's segments, empty when
    they were not asked for. It was read from `began_ns` on; `live` with a recorder at work.
    `late_ns` says how far our clock usually was ahead of the times of a feed's rows of a kind.
    """

    kinds: dict[str, str]
    feeds: dict[str, FeedReading]
    rests: dict[str, RestReading]
    strategies: dict[str, DecisionReading]
    ledger: LedgerReading | None
    live: bool
    began_ns: int
    counts: dict[int, list[KindCount]]
    symbols: dict[tuple[str, str, int], dict[str, int]]
    miscounted: list[CountedPlace]
    lacking: list[Lacking]
    only_streamed: dict[tuple[str, str, int], int]
    gaps: list[GapInterval]
    late_ns: Callable[[str, str], int]
    latency_us: dict[str, dict[str, float | int | None]]
    extra: list[str]
    parts: dict[str, list[Part]]

    @property
    def until_ns(self) -> int:
        """When the last entry of any journal came: of what is later the run tells nothing."""
        own: list[JournalReading] = [] if self.ledger is None else [self.ledger]
        readings = (*self.feeds.values(), *self.rests.values(), *self.strategies.values(), *own)
        return max((reading.last_block_ns for reading in readings), default=0)

    def days(self) -> list[int]:
        """The days on which a feed's journal has an entry, or else the tables have, in order."""
        days = {day for reading in self.feeds.values() for day in reading.days}
        return sorted(days or self.counts)


def verdict_of(found: Found, day: int | None = None) -> Verdict:
    """The verdict of all days, or of one alone.

    What cannot be given to a day (a table that cannot be read, a strategy that was not given all)
    counts against each of them.
    """
    counts = sum_counts(found.counts) if day is None else found.counts.get(day, [])
    return Verdict(
        [
            _rest_verdict(found, name, counts, day)
            if name.endswith(REST)
            else _feed_verdict(found, name, counts, day)
            for name in found.kinds
        ],
        [_decision_verdict(found, name, counts, day) for name in found.strategies],
        found.latency_us,
        [*found.extra, *(_LIVE if _may_grow(found, day) else ())],
        None if found.ledger is None else _ledger_verdict(found.ledger, counts, day),
    )


def _may_grow(found: Found, day: int | None) -> bool:
    """Whether a recorder was at work on it: on a day that was over before, it is not any more."""
    return found.live and (day is None or day >= found.began_ns // DAY_NS)


def _feed_verdict(
    found: Found, feed: str, counts: Iterable[KindCount], day: int | None
) -> FeedVerdict:
    reading = found.feeds[feed]
    said = reading.day(day)
    notes = [*_words(reading.missing, day), *_ledger_notes(found, feed, day)]
    lacking = [each for each in found.lacking if each.feed == feed and _in(each.minute_ns, day)]
    only_streamed: dict[str, int] = {}
    for (name, kind, number), rows in found.only_streamed.items():
        if name == feed and day in (None, number):
            only_streamed[kind] = only_streamed.get(kind, 0) + rows
    return _verdict(feed, found.kinds[feed], reading, counts, day, notes)._replace(
        control=reading.control if day is None else 0,
        sessions=said.sessions,
        first_ns=said.first_ns,
        last_ns=said.last_ns,
        gaps=[gap for gap in found.gaps if gap.feed == feed and _touches(gap, day)],
        polls=tuple(said.polls.values()),
        polled_ns=said.polled_ns,
        lacking=tuple(lacking),
        only_streamed=only_streamed,
    )


def _rest_verdict(
    found: Found, feed: str, counts: Iterable[KindCount], day: int | None
) -> FeedVerdict:
    reading = found.rests[feed]
    notes = [*_words(reading.missing, day), *_ledger_notes(found, feed, day)]
    return _verdict(feed, found.kinds[feed], reading, counts, day, notes)._replace(
        first_ns=reading.first_ns, last_ns=reading.last_ns
    )


def _ledger_verdict(
    reading: LedgerReading, counts: Iterable[KindCount], day: int | None
) -> FeedVerdict:
    own = [count for count in counts if count.feed.startswith(LEDGER)]
    notes = _words(reading.missing, day)
    return _verdict("ledger", "ledger", reading, (), day, notes)._replace(counts=own)


def _decision_verdict(
    found: Found, name: str, counts: Iterable[KindCount], day: int | None
) -> FeedVerdict:
    reading = found.strategies[name]
    source = f"{DECISION}:{name}"
    notes = _words(reading.missing, day)
    notes += [f"stopped itself: {words}" for words in _words(reading.stopped.values(), day)]
    if not found.live:
        for key, feed in found.feeds.items():
            by_day = feed.undecided[name]
            number = by_day.total() if day is None else by_day[day]
            if number:
                notes.append(f"{number} entries of {key} were recorded and not decided on")
    return _verdict(source, DECISION, reading, counts, day, notes)._replace(name=name)


def _verdict(
    source: str,
    kind: str,
    reading: JournalReading,
    counts: Iterable[KindCount],
    day: int | None,
    notes: Iterable[str],
) -> FeedVerdict:
    """What is the same for every journal."""
    return FeedVerdict(
        name=source,
        kind=kind,
        counts=[count for count in counts if count.feed == source],
        control=0,
        sessions=0,
        first_ns=None,
        last_ns=None,
        dropped_frames=sum(told.number for told in reading.dropped if told.is_in(day)),
        torn=_words(reading.torn, day),
        suspect=_words(reading.suspect, day),
        gaps=[],
        epochs=len(reading.epochs),
        notes=tuple(notes),
        deleted=tuple(each for each in reading.deleted if _was_in(each, day)),
    )


def _ledger_notes(found: Found, feed: str, day: int | None) -> list[str]:
    """What the ledger noted otherwise than the files say now."""
    notes = []
    if found.ledger is not None:
        notes = _words(found.ledger.identities.get(feed, []), day)
    places = [each for each in found.miscounted if each.feed == feed and _in(each.minute_ns, day)]
    notes += [
        f"the ledger counted {each.told:,} {each.kind} of {each.symbol} at "
        f"{iso_utc(each.minute_ns)[:16].replace('T', ' ')}, and the journal has {each.decoded:,} "
        "(stage ledger)"
        for each in places[:_PLACES_MAX]
    ]
    if len(places) > _PLACES_MAX:
        more = len(places) - _PLACES_MAX
        notes.append(f"and at {more:,} more places the ledger counted otherwise (stage ledger)")
    return notes


def _was_in(each: Deleted, day: int | None) -> bool:
    return day is None or each.first_ns // DAY_NS <= day <= each.last_ns // DAY_NS


def _words(told: Iterable[Told], day: int | None) -> list[str]:
    return [each.words for each in told if each.is_in(day)]


def _in(ns: int, day: int | None) -> bool:
    return day is None or ns // DAY_NS == day


def _touches(gap: GapInterval, day: int | None) -> bool:
    if day is None:
        return True
    begins = gap.from_ns < (day + 1) * DAY_NS
    return begins and (gap.to_ns is None or gap.to_ns >= day * DAY_NS)


def damaged(reading: JournalReading, until_ns: int) -> Spans:
    """Stretches of time in which a journal lacks entries, or may."""
    told = (*reading.torn, *reading.missing, *reading.suspect)
    return union((each.from_ns, until_ns if each.to_ns is None else each.to_ns) for each in told)
