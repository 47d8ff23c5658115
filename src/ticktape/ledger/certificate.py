"""The certificate of one day: what was asked, what we have of it, and how sure that is; pure.

Everything comes from the verdict of that day and from what the journals tell of the subscription;
nothing here reads a file. A day is one of receive time, in UTC.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ticktape.config import REST
from ticktape.ledger import certificate_spans as spans
from ticktape.ledger.certificate_spans import Shares, Spans
from ticktape.ledger.gaps import GapInterval
from ticktape.ledger.verdict import FeedVerdict, Verdict
from ticktape.ledger.witnesses import Window

FORMAT = 1
SHARES = Shares._fields
_FARES_MAX = 4096  # streams that differ; more are worked out again

Pair = tuple[str, str]
"""Channel in the config's words, symbol; both empty for a feed of which nothing else is known."""


class Standing(NamedTuple):
    """What the venue acknowledged, and did not, from one moment to the next; None: it still does.

    Symbols by channel, in the config's words.
    """

    from_ns: int
    to_ns: int | None
    channels: Mapping[str, tuple[str, ...]]
    missing: Mapping[str, tuple[str, ...]]


class Day(NamedTuple):
    """[from_ns, until_ns): a day, or as much of one as the journals tell of."""

    name: str
    from_ns: int
    until_ns: int


class FeedDay(NamedTuple):
    """What is known of one feed on one day.

    `standings` may begin before it: the last before a gap says who was to be heard in it.
    `compared` is what REST was asked to its end though no gap was there, as times of our clock;
    `asked` what it was asked for a gap, by (symbol, from_ns) of it, and `words` say by the same
    what was found. `damaged` are stretches in which the journal lacks entries.
    """

    verdict: FeedVerdict
    standings: tuple[Standing, ...] = ()
    compared: tuple[Window, ...] = ()
    asked: Mapping[tuple[str, int], Sequence[Window]] = {}
    damaged: Spans = ()
    words: Mapping[tuple[str, int], str] = {}
    symbols: Mapping[str, Mapping[str, int]] = {}


class Stream(NamedTuple):
    """Symbols of one channel that fared the same."""

    channel: str
    symbols: list[str]
    covered: Spans
    shares: Shares


def certify(
    day: Day,
    verdict: Verdict,
    feeds: Mapping[str, FeedDay],
    digests: Mapping[str, list[dict[str, Any]]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The certificate as one JSON object.

    Args:
        day: which.
        verdict: what was found of that day alone.
        feeds: by name, those that heal another one left out.
        digests: by journal, its parts with their links, to the day's end.
        about: what stands at its head: the run, the version.
    """
    parts = {name: _feed_part(day, feed) for name, feed in feeds.items()}
    others = {
        feed.name: {"kind": feed.kind, "counts": _counts(feed, {}), "torn": len(feed.torn)}
        for feed in (*verdict.feeds, *verdict.decisions, verdict.ledger)
        if feed is not None and feed.name not in feeds
    }
    return {
        "format": FORMAT,
        "day": day.name,
        "from_ns": day.from_ns,
        "until_ns": day.until_ns,
        **about,
        "complete": verdict.complete,
        "words": verdict.last_line(),
        **verdict.totals(),
        "shares": _mean(part["asked_ns"] for part in parts.values()),
        "feeds": parts,
        "others": others,
        "latency_us": verdict.latency_us,
        "reasons": verdict.reasons(),
        "digests": dict(digests),
    }


def _feed_part(day: Day, feed: FeedDay) -> dict[str, Any]:
    verdict = feed.verdict
    streams = streams_of(day, feed)
    asked_ns = dict.fromkeys(SHARES, 0)
    for stream in streams:
        for name, part in zip(SHARES, stream.shares, strict=True):
            asked_ns[name] += spans.length_ns(part) * len(stream.symbols)
    said = verdict.to_json()
    del said["gaps_open"], said["suspects_open"], said["tables"]
    acknowledged, missing = _said_of(day, feed.standings)
    return {
        **said,
        "subscription": {
            "asked": _joined(acknowledged, missing),
            "acknowledged": acknowledged,
            "missing": missing,
        },
        "counts": _counts(verdict, feed.symbols),
        "gap_list": [_gap_part(gap, feed.words) for gap in verdict.gaps],
        "asked_ns": asked_ns,
        "shares": spans.of_totals(asked_ns),
        "streams": [_stream_part(stream) for stream in streams],
        "reasons": verdict.reasons(),
    }


def _counts(verdict: FeedVerdict, symbols: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    healed: dict[str, int] = {}
    for each in verdict.lacking:
        healed[each.kind] = healed.get(each.kind, 0) + each.number
    return {
        count.kind: {
            "received": count.received,
            "stored": count.stored,
            "duplicates": count.duplicates,
            "conflicts": count.conflicts,
            "healed": healed.get(count.kind, 0),
            "symbols": dict(symbols.get(count.kind, {})),
        }
        for count in verdict.counts
    }


def _gap_part(gap: GapInterval, words: Mapping[tuple[str, int], str]) -> dict[str, Any]:
    return {**gap._asdict(), "words": words.get((gap.symbol, gap.from_ns), "")}


def _stream_part(stream: Stream) -> dict[str, Any]:
    lengths = {n: spans.length_ns(p) for n, p in zip(SHARES, stream.shares, strict=True)}
    return {
        "channel": stream.channel,
        "symbols": stream.symbols,
        "asked_ns": stream.shares.asked_ns,
        "covered": stream.covered,
        "shares": spans.of_totals(lengths),
        "spans": {n: part for n, part in zip(SHARES, stream.shares, strict=True) if part},
    }


def _mean(totals: Iterable[Mapping[str, int]]) -> dict[str, float]:
    sums = dict.fromkeys(SHARES, 0)
    for each in totals:
        for name, ns in each.items():
            sums[name] += ns
    return spans.of_totals(sums)


# The streams.


def streams_of(day: Day, feed: FeedDay) -> list[Stream]:
    """What was asked for on the day, and how it fared; those that fared the same are one."""
    work = _Streams(day, feed)
    found: dict[tuple[str, Spans, Shares], list[str]] = {}
    for channel, symbol in sorted(work.pairs()):
        covered, shares = work.fare(channel, symbol)
        if shares.asked_ns:
            found.setdefault((channel, covered, shares), []).append(symbol)
    return [Stream(key[0], symbols, *key[1:]) for key, symbols in found.items()]


class _Streams:
    """How each channel of each symbol of one feed fared on one day."""

    def __init__(self, day: Day, feed: FeedDay) -> None:
        self._day = ((day.from_ns, day.until_ns),)
        self._until_ns = day.until_ns
        self._standings = [
            each
            for number, each in enumerate(feed.standings)
            if each.from_ns < day.until_ns
            and (each.to_ns is None or each.to_ns > day.from_ns or _is_last(feed, number, day))
        ]
        self._covered: dict[Pair, list[tuple[int, int]]] = {}
        for each in self._standings:
            span = (each.from_ns, day.until_ns if each.to_ns is None else each.to_ns)
            for pair in _pairs(each.channels):
                self._covered.setdefault(pair, []).append(span)
        self._gaps = [gap for gap in feed.verdict.gaps if not gap.planned]
        self._compared = feed.compared
        self._asked = feed.asked
        self._damaged = spans.overlap(spans.union(feed.damaged), self._day)

    def pairs(self) -> set[Pair]:
        """All that was acknowledged or missing, and beneath a star what is told apart from it.

        That is what a gap names, and what REST was asked for: of the others nobody knows.
        """
        found: set[Pair] = set(self._covered)
        for each in self._standings:
            found |= _pairs(each.missing)
        stars = {channel for channel, symbol in found if symbol == "*"}
        for gap in self._gaps:
            if gap.symbol:
                named = set(gap.channels.split(",")) if gap.channels else stars
                found |= {(channel, gap.symbol) for channel in named & stars}
        for window in (*self._compared, *(each for gap in self._gaps for each in self._of(gap))):
            if window.channel in stars:
                found |= {(window.channel, symbol) for symbol in window.symbols}
        return found or {("", "")}

    def _of(self, gap: GapInterval) -> Sequence[Window]:
        return self._asked.get((gap.symbol, gap.from_ns), ())

    def _is_told(self, gap: GapInterval, pair: Pair) -> bool:
        """Whether what a gap took of this is there again: REST says so by whom it was asked for."""
        windows = self._of(gap)
        if windows or gap.told_by.endswith(REST):
            return any(each.channel == pair[0] and pair[1] in each.symbols for each in windows)
        return gap.state == "healed"

    def fare(self, channel: str, symbol: str) -> tuple[Spans, Shares]:
        """When it was covered, and which share each instant of the asked time belongs to."""
        found = [*self._covered.get((channel, symbol), ())]
        if symbol != "*":
            found += self._covered.get((channel, "*"), ())
        told: dict[bool, list[GapInterval]] = {True: [], False: []}
        for gap in self._gaps:
            if gap.concerns(channel, symbol):
                told[self._is_told(gap, (channel, symbol))].append(gap)
        compared = [
            (window.from_ns, window.to_ns)
            for window in self._compared
            if window.channel == channel and symbol in window.symbols
        ]
        return _fare(
            tuple(found),
            self._spans_of(gap for gap in told[False] if not gap.suspected and not gap.stands_open),
            self._spans_of(gap for gap in told[False] if gap.stands_open),
            self._spans_of(gap for gap in told[True] if not gap.suspected),
            self._spans_of(gap for gap in told[False] if gap.is_suspicion) + self._damaged,
            self._spans_of(gap for gap in told[True] if gap.suspected) + tuple(compared),
            self._day,
        )

    def _spans_of(self, gaps: Iterable[GapInterval]) -> tuple[tuple[int, int], ...]:
        return tuple(
            (gap.from_ns, self._until_ns if gap.to_ns is None else gap.to_ns) for gap in gaps
        )


@lru_cache(maxsize=_FARES_MAX)
def _fare(*parts: tuple[tuple[int, int], ...]) -> tuple[Spans, Shares]:
    """Thousands of symbols fare alike: it is worked out once."""
    *parts_, day = parts
    covered, unknown, missing, healed, suspect, asked = (
        spans.overlap(spans.union(part), day) for part in parts_
    )
    known_of = spans.union(covered, unknown)
    return covered, spans.share_out(known_of, missing, healed, suspect, asked)


def _is_last(feed: FeedDay, number: int, day: Day) -> bool:
    """Whether it is the last that stood before the day: it says who was to be heard in a gap."""
    return number + 1 == len(feed.standings) or feed.standings[number + 1].from_ns >= day.from_ns


def _pairs(channels: Mapping[str, tuple[str, ...]]) -> set[Pair]:
    return {(channel, symbol) for channel, symbols in channels.items() for symbol in symbols}


def _said_of(
    day: Day, standings: Iterable[Standing]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """What was acknowledged and what was missing at any time of the day."""
    acknowledged: set[Pair] = set()
    missing: set[Pair] = set()
    for each in standings:
        if each.from_ns < day.until_ns and (each.to_ns is None or each.to_ns > day.from_ns):
            acknowledged |= _pairs(each.channels)
            missing |= _pairs(each.missing)
    return _by_channel(acknowledged), _by_channel(missing)


def _by_channel(pairs: Iterable[Pair]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for channel, symbol in sorted(pairs):
        found.setdefault(channel, []).append(symbol)
    return found


def _joined(one: Mapping[str, list[str]], other: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return {
        channel: sorted({*one.get(channel, ()), *other.get(channel, ())})
        for channel in sorted({*one, *other})
    }
