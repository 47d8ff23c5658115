"""The certificate of a run: COMPLETE or INCOMPLETE, the counts, and why; pure."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ticktape.clock import iso_utc
from ticktape.config import REST
from ticktape.journal.retention import Deleted
from ticktape.ledger.gaps import GapInterval
from ticktape.ledger.proof import PLACES_MAX, KindCount, Place
from ticktape.ledger.witnesses import Lacking
from ticktape.polls import PollTotals
from ticktape.schemas import MARKET_KINDS


class FeedVerdict(NamedTuple):
    """What was found of one feed, or of one strategy's journal (`kind` = "decision").

    `dropped_frames` were never journaled; `torn` are blocks that a dying writer left or that were
    damaged, in words; `suspect` ranges lay between synced and written when a sync failed; `notes`
    are further reasons why it is not complete. `polls` say of each polled book how often it was
    asked and what was probably missed, until `polled_ns`: complete speaks of the polled images
    alone. `lacking` are rows that REST had and the stream had not; they are in the tables, and no
    reason. `only_streamed` counts by kind the rows that REST, asked to the end, did not have.
    `deleted` are the segments that retention took, which is no reason either.
    """

    name: str
    kind: str
    counts: list[KindCount]
    control: int
    sessions: int
    first_ns: int | None
    last_ns: int | None
    dropped_frames: int
    torn: list[str]
    suspect: list[str]
    gaps: list[GapInterval]
    epochs: int
    notes: tuple[str, ...] = ()
    polls: tuple[PollTotals, ...] = ()
    polled_ns: int = 0
    lacking: tuple[Lacking, ...] = ()
    only_streamed: Mapping[str, int] = MappingProxyType({})
    deleted: tuple[Deleted, ...] = ()

    @property
    def market(self) -> list[KindCount]:
        """The counts of what the venue sent."""
        return [count for count in self.counts if count.kind in MARKET_KINDS]

    def total(self, field: str) -> int:
        """Sum of a field over what the venue sent."""
        return sum(int(getattr(count, field)) for count in self.market)

    @property
    def open_gaps(self) -> list[GapInterval]:
        """Gaps that count against the run: neither planned nor healed, nor only suspected."""
        return [gap for gap in self.gaps if gap.stands_open]

    @property
    def suspicions(self) -> list[GapInterval]:
        """Where the watchdog thinks that something is missing, and nobody knows."""
        return [gap for gap in self.gaps if gap.is_suspicion]

    def reasons(self) -> list[str]:
        """Why the feed is not complete, each with its place; empty when it is."""
        found = []
        if self.dropped_frames:
            found.append(f"{self.name}: {self.dropped_frames} frames were dropped (disk refused)")
        found += [f"{self.name}: {words}" for words in self.torn]
        found += [f"{self.name}: suspect {words}" for words in self.suspect]
        found += [f"{self.name}: {words}" for words in self.notes]
        for count in self.counts:
            found += [f"{self.name}: {words}" for words in _differences(count)]
        found += [f"{self.name}: gap {_gap_words(gap)}" for gap in self.open_gaps]
        return found

    def to_json(self) -> dict[str, Any]:
        """The feed's part of the JSON of `check`."""
        open_gaps = self.open_gaps
        return {
            "kind": self.kind,
            "complete": not self.reasons(),
            "received": self.total("received") + self.dropped_frames,
            "stored": self.total("stored"),
            "duplicates": self.total("duplicates"),
            "conflicts": self.total("conflicts"),
            "dropped": self.dropped_frames,
            "control": self.control,
            "gaps": len([gap for gap in self.gaps if gap.counts]),
            "gaps_healed": len([gap for gap in self.gaps if gap.counts and gap.state == "healed"]),
            "gaps_open": [gap._asdict() for gap in open_gaps],
            "suspects": len(self.suspicions),
            "suspects_open": [gap._asdict() for gap in self.suspicions],
            "torn": len(self.torn),
            "suspect": len(self.suspect),
            "behind": self.total("behind"),
            "sessions": self.sessions,
            "epochs": self.epochs,
            "first_ns": self.first_ns,
            "last_ns": self.last_ns,
            "tables": {count.kind: count.stored for count in self.counts},
            "polls": {each.symbol: each.to_json() for each in self.polls},
            "lacking": [each._asdict() for each in self.lacking],
            "only_streamed": dict(self.only_streamed),
            "deleted": sum(each.next_seq - each.first_seq for each in self.deleted),
        }

    def deleted_words(self) -> list[str]:
        """What retention took, in words."""
        if not self.deleted:
            return []
        first, last = self.deleted[0], self.deleted[-1]
        count = len(self.deleted)
        return [
            f"{self.name}: entries {first.first_seq:,} to {last.next_seq - 1:,} "
            f"({count} segment{'s' if count > 1 else ''}, until {_minute(last.last_ns)}) were "
            "deleted by retention: of them the tables are the only witness"
        ]

    def lacking_words(self) -> list[str]:
        """What the stream had not and REST had, in words; of gaps the sum, else place by place."""
        shown = []
        numbers: dict[str, int] = {}
        for each in self.lacking:
            if each.in_gap:
                numbers[each.kind] = numbers.get(each.kind, 0) + each.number
        if numbers:
            symbols = len({each.symbol for each in self.lacking if each.in_gap})
            sums = ", ".join(_number(number, kind) for kind, number in numbers.items())
            shown.append(
                f"{self.name}: {sums} of {symbols:,} symbol{'s' * (symbols > 1)} came from REST in "
                "its gaps"
            )
        outside = [each for each in self.lacking if not each.in_gap]
        shown += [
            f"{self.name}: {_number(each.number, each.kind)} of {each.symbol} at "
            f"{_minute(each.minute_ns)} came from REST and not in the stream "
            "(stage venue: outside of any known gap)"
            for each in outside[:PLACES_MAX]
        ]
        return shown + _more(self.name, outside[PLACES_MAX:])


class Verdict(NamedTuple):
    """The whole run's certificate; `extra` are reasons that no journal shows.

    `ledger` is what was found of the ledger's own journal, None when it has none.
    """

    feeds: list[FeedVerdict]
    decisions: list[FeedVerdict]
    latency_us: dict[str, dict[str, float | int | None]]
    extra: list[str]
    ledger: FeedVerdict | None = None

    def reasons(self) -> list[str]:
        """Why the run is not complete; empty when it is."""
        found = list(self.extra)
        own = [] if self.ledger is None else [self.ledger]
        for feed in (*self.feeds, *self.decisions, *own):
            found += feed.reasons()
        return found

    def with_lost(self, lost_frames: Mapping[str, int]) -> "Verdict":
        """The same, with frames by feed that were dropped and of which no journal tells."""
        feeds = [
            feed._replace(dropped_frames=feed.dropped_frames + lost_frames.get(feed.name, 0))
            for feed in self.feeds
        ]
        return self._replace(feeds=feeds)

    @property
    def complete(self) -> bool:
        """Whether all adds up, nothing is torn, behind or dropped, and no gap stands open."""
        return not self.reasons()

    def totals(self) -> dict[str, int]:
        """The sums that stand on the last line; what healed a feed is not received once more."""
        parts = [(feed.name.endswith(REST), feed.to_json()) for feed in self.feeds]
        keys = ["received", "stored", "duplicates", "dropped"]
        sums = {key: sum(part[key] for is_rest, part in parts if not is_rest) for key in keys}
        keys = ["gaps", "gaps_healed", "suspects", "torn"]
        return sums | {key: sum(part[key] for _, part in parts) for key in keys}

    def to_json(self) -> dict[str, Any]:
        """The one JSON object of `check --json` (DESIGN §8)."""
        return {
            "complete": self.complete,
            **self.totals(),
            "feeds": {feed.name: feed.to_json() for feed in self.feeds},
            "decisions": {
                each.name: {"decisions": sum(count.stored for count in each.counts)}
                for each in self.decisions
            },
            "latency_us": self.latency_us,
            "reasons": self.reasons(),
        }

    def last_line(self) -> str:
        """The line that a run ends with."""
        sums = self.totals()
        word = "COMPLETE" if self.complete else "INCOMPLETE"
        gaps = f"gaps {sums['gaps']}"
        if sums["gaps_healed"]:
            gaps += f" (healed {sums['gaps_healed']})"
        if sums["suspects"]:
            gaps += f", suspects {sums['suspects']}"
        return (
            f"{word}  received {sums['received']:,} = stored {sums['stored']:,} "
            f"+ duplicates {sums['duplicates']:,} + dropped {sums['dropped']:,}, "
            f"{gaps}, torn {sums['torn']}"
        )


_WORDS = {
    "missing": "are in the journal and not in the table",
    "behind": "are journaled and not yet in the table",
    "surplus": "are in the table and not in the journal, or twice",
    "altered": "differ from what the journal says",
}


def _differences(count: KindCount) -> list[str]:
    """One text for each way in which a kind does not add up, with its places."""
    found = []
    for field, words in _WORDS.items():
        number = getattr(count, field)
        if not number:
            continue
        places = [place for place in count.places if place.field == field]
        said = _number(number, count.kind)
        if len(places) == 1:
            said += _where(places[0])
        said += f" {words} (stage stored)"
        if len(places) > 1:
            said += f": {_list(places)}"
        found.append(said)
    return found


def _list(places: list[Place]) -> str:
    shown = [f"{place.number:,}{_where(place)}" for place in places[:PLACES_MAX]]
    rest = places[PLACES_MAX:]
    if rest:
        number = sum(place.number for place in rest)
        shown.append(f"and {number:,} at {len(rest):,} more places")
    return ", ".join(shown)


def _where(place: Place) -> str:
    symbol = f" of {place.symbol}" if place.symbol else ""
    return f"{symbol} at {_minute(place.minute_ns)}"


def _more(name: str, rest: Iterable[Lacking]) -> list[str]:
    numbers = [each.number for each in rest]
    if not numbers:
        return []
    return [f"{name}: and {sum(numbers):,} more rows at {len(numbers):,} more places"]


def _number(number: int, kind: str) -> str:
    return f"{number:,} {kind}"


def _minute(ns: int) -> str:
    return iso_utc(ns)[:16].replace("T", " ")


def _gap_words(gap: GapInterval) -> str:
    end = "still open" if gap.to_ns is None else f"{(gap.to_ns - gap.from_ns) / 1e9:.3f} s"
    symbol = f" {gap.symbol}" if gap.symbol else ""
    state = "" if gap.state == "open" else f" ({gap.state})"
    return f"{iso_utc(gap.from_ns)} ({end}){symbol}: {gap.cause}{state}"
