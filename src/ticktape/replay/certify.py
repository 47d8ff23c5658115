"""The day's certificate: made of what `check` found, kept beside the run, and compared again.

A certificate is evidence: it is never replaced while the bytes that it speaks of are not what they
were when it was made.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import ticktape
from ticktape import clock
from ticktape.config import REST
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal.disk import Disk
from ticktape.ledger import Day, FeedDay, Verdict, certify, chained, first_difference, part_of
from ticktape.replay.certify_hashes import day_name, digests_now
from ticktape.replay.certify_verdict import Found, damaged, verdict_of
from ticktape.replay.places import sources
from ticktape.replay.reading import DAY_NS

Certificate = dict[str, Any]
"""The JSON object of one day."""

_SUFFIX = ".json"
_Digests = dict[str, list[dict[str, Any]]]


class Difference(NamedTuple):
    """What of a certificate's digests is not as it was: which journal, and where first."""

    day: str
    journal: str
    words: str

    def __str__(self) -> str:
        journal = self.journal.removesuffix(":")
        return f"certificate of {self.day}: {journal + ': ' if journal else ''}{self.words}"


def certificates(
    found: Found,
    days: Iterable[int],
    extra: Sequence[str] = (),
    lost_frames: Mapping[str, int] | None = None,
) -> list[Certificate]:
    """The certificates of these days (since 1970).

    Args:
        found: what `examine` gave, with its digests.
        days: which.
        extra: reasons that no journal shows; they count on each of the days.
        lost_frames: by feed, frames of which no journal tells; they count on the last day.
    """
    last = max(found.days(), default=None)
    return [
        _certificate(found, day, extra, (lost_frames or {}) if day == last else {}) for day in days
    ]


def last_run_days(found: Found) -> list[int]:
    """The days on which the newest run recorded, in order."""
    starts = [start for reading in found.feeds.values() for start in reading.whole.runs]
    if not starts:
        return found.days()
    _, newest = max(starts)
    first_day = min(ns for ns, run in starts if run == newest) // DAY_NS
    return [day for day in found.days() if day >= first_day]


def days_to_write(directory: RunDirectory, found: Found) -> list[int]:
    """The days of the newest run, and others of which there is no certificate yet."""
    there = certificate_days(directory)
    newest = last_run_days(found)
    return [day for day in found.days() if day in newest or day_name(day) not in there]


def _certificate(
    found: Found, day: int, extra: Sequence[str], lost_frames: Mapping[str, int]
) -> Certificate:
    verdict = verdict_of(found, day).with_lost(lost_frames)
    verdict = verdict._replace(extra=[*extra, *verdict.extra])
    name = day_name(day)
    until_ns = max(min((day + 1) * DAY_NS, found.until_ns), day * DAY_NS)
    runs = sorted({run for each in found.feeds.values() for _, run in each.day(day).runs})
    about = {
        "runs": runs,
        "version": ticktape.__version__,
        "made_ns": clock.wall_now_ns(),
        "live": found.live,
    }
    digests = {
        journal: chained(part for part in parts if part.day <= name)
        for journal, parts in found.parts.items()
    }
    feeds = {each.name: _feed_day(found, each.name, day, verdict) for each in verdict.feeds}
    own = {feed: each for feed, each in feeds.items() if each is not None}
    return certify(Day(name, day * DAY_NS, until_ns), verdict, own, digests, about)


def _feed_day(found: Found, feed: str, day: int, verdict: Verdict) -> FeedDay | None:
    if feed.endswith(REST):
        return None
    reading = found.feeds[feed]
    rest = found.rests.get(feed + REST)
    (own,) = (each for each in verdict.feeds if each.name == feed)
    symbols = {
        kind: counts
        for (name, kind, number), counts in found.symbols.items()
        if name == feed and number == day
    }
    compared = []
    for window in rest.compared if rest is not None else ():
        late_ns = found.late_ns(feed, window.channel)  # the day's times are those of our clock
        compared.append(
            window._replace(from_ns=window.from_ns + late_ns, to_ns=window.to_ns + late_ns)
        )
    return FeedDay(
        own,
        tuple(reading.standings),
        tuple(compared),
        rest.asked if rest is not None else {},
        damaged(reading, found.until_ns),
        rest.words if rest is not None else {},
        symbols,
    )


# Kept beside the run.


def certificate_days(directory: RunDirectory) -> list[str]:
    """The days of which there is a certificate, in order."""
    return sorted(path.stem for path in directory.certificates.glob(f"*{_SUFFIX}"))


def read_certificate(directory: RunDirectory, day: str) -> Certificate:
    """The certificate of a day that is there.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    path = directory.certificates / f"{day}{_SUFFIX}"
    try:
        read = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        for parts in msgspec.convert(read.get("digests"), _Digests).values():
            chained(map(part_of, parts))
    except FileNotFoundError as error:
        days = ", ".join(certificate_days(directory)) or "none"
        hint = f"There are: {days}. Without --check `ticktape certificate` makes them."
        raise ConfigError([f"{path}: no certificate of that day"], hint=hint) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            [f"{path}: cannot be read: {error}"], hint="Move it away, and make it again."
        ) from error
    return read


def differences(
    directory: RunDirectory, certificate: Certificate, found: Found | None = None
) -> list[Difference]:
    """Where the journals are not what a certificate says, the first place of each journal.

    What `found` has hashed is not hashed again.
    """
    hashed = found.parts if found is not None else {}
    there = sources(directory)
    different = []
    for journal, said in certificate["digests"].items():
        if journal not in there:
            different.append(Difference(certificate["day"], journal, "its journal is not there"))
            continue
        known = {part.name: part.sha256 for part in hashed.get(journal, ())}
        words = first_difference(said, digests_now(directory.journal(journal), said, known))
        if words is not None:
            different.append(Difference(certificate["day"], journal, words))
    return different


def keep(
    directory: RunDirectory, certificate: Certificate, page: str, found: Found
) -> list[Difference]:
    """Write a certificate and its page in the place of the one of that day.

    Returns where the journals differ from the one that is there; it is then left as it is.
    """
    day = certificate["day"]
    if day in certificate_days(directory):
        try:
            different = differences(directory, read_certificate(directory, day), found)
        except ConfigError:
            words = "the one that is there cannot be read; move it away, and make it again"
            different = [Difference(day, "", words)]
        if different:
            return different
    directory.certificates.mkdir(exist_ok=True)
    disk = Disk()
    content = msgspec.json.format(msgspec.json.encode(certificate), indent=1)
    disk.replace(path_of(directory, day, ".html"), page.encode())
    disk.replace(path_of(directory, day), content + b"\n")
    return []


def path_of(directory: RunDirectory, day: str, suffix: str = _SUFFIX) -> Path:
    """Where the certificate of a day lies, or with another suffix its page."""
    return directory.certificates / f"{day}{suffix}"
