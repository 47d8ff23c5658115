"""`ticktape certificate`: what a day's recording holds, how sure that is, and its digests."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from ticktape.cli.certificate_timeline import percent
from ticktape.cli.checking import examine_with_progress
from ticktape.cli.figures import duration, printable, span
from ticktape.cli.terminal import console, print_json, print_line, print_rows
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, ConfigError, Locked

if TYPE_CHECKING:
    from ticktape.directory import RunDirectory
    from ticktape.replay.certify_verdict import Found

_SHOWN = 20
_SHARES = ("verified", "healed", "unverifiable", "suspect", "missing")


def certificate(
    directory: Path, /, *, day: str | None = None, check: bool = False, json: bool = False
) -> int:
    """Write the certificate of each day of a run, and show the newest; or check those there are.

    It says what was asked for and acknowledged, which of that time we have and how sure that is,
    what came, and the digests of all journals. It lies in DIR/certificate as JSON and as a page.

    Parameters
    ----------
    directory
        The run's directory, e.g. runs/demo.
    day
        Only this day in UTC, e.g. 2026-11-26; several with commas.
    check
        Write nothing: compute the digests again, and name the first segment that differs.
    json
        Print one JSON object instead.
    """
    from ticktape.replay.places import open_run

    run = open_run(directory)
    if day is not None and not re.fullmatch(r"\d{4}-\d\d-\d\d(,\d{4}-\d\d-\d\d)*,?", day):
        raise ConfigError([f"--day {day!r} is not a day"], hint="Say it as 2026-11-26, in UTC.")
    if check:
        return _check(run, day, json=json)
    return _write(run, day, json=json)


def _write(run: "RunDirectory", day: str | None, *, json: bool) -> int:
    from ticktape.cli.certificate_page import page
    from ticktape.replay import certify

    try:
        with _alone(run):
            found = examine_with_progress(run, hashed=True)
            made = certify.certificates(found, _days(found, day))
            kept = (certify.keep(run, each, page(each), found) for each in made)
            different = [words for each in kept for words in each]
    except OSError as error:
        raise ConfigError(
            [f"{run.certificates}: cannot be written ({error.strerror})"],
            hint="`ticktape check DIR` proves the run and writes nothing; so does --check here.",
        ) from error
    if not made:
        print_line("nothing was recorded on these days")
        return EXIT_COMPLETE
    newest = made[-1]
    if json:
        print_json({**newest, "differences": [str(words) for words in different]})
    else:
        for each in made[:-1]:
            print_line(f"{each['day']}  {each['words']}")
        show(newest)
        _show_differences(different)
        if not any(each.day == newest["day"] for each in different):
            print_line(f"page: {certify.path_of(run, newest['day'], '.html')}")
        _last_line(newest)
    whole = all(each["complete"] for each in made) and not different
    return EXIT_COMPLETE if whole else EXIT_INCOMPLETE


@contextlib.contextmanager
def _alone(run: "RunDirectory") -> Iterator[None]:
    """Keep others from doing the same work at the same time.

    Raises:
        Locked: one is at it.
        OSError: the folder cannot be written.
    """
    run.certificates.mkdir(exist_ok=True)
    lock = FileLock(run.certificates / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise Locked(
            f"{run.certificates}: another ticktape makes certificates here",
            hint="A recorder does so by itself when a day is over; wait for it.",
        ) from error
    try:
        yield
    finally:
        lock.release()


def _days(found: "Found", asked: str | None) -> list[int]:
    from ticktape.replay.certify_hashes import day_name

    days = [day for day in found.days() if asked is None or day_name(day) in asked.split(",")]
    if not days and (asked is None or "," not in asked):
        there = ", ".join(map(day_name, found.days())) or "none"
        raise ConfigError(
            [f"nothing was recorded on {asked}" if asked else "nothing was recorded"],
            hint=f"Days of this run: {there}.",
        )
    return days


def _check(run: "RunDirectory", day: str | None, *, json: bool) -> int:
    from ticktape.replay import certify

    days = certify.certificate_days(run) if day is None else day.strip(",").split(",")
    if not days:
        raise ConfigError(
            [f"{run.certificates}: no certificate here"],
            hint="`ticktape certificate DIR` makes one for each day.",
        )
    read = [certify.read_certificate(run, each) for each in days]
    different = [words for each in read for words in certify.differences(run, each)]
    segments = {
        (journal, part["segment"])
        for each in read
        for journal, parts in each["digests"].items()
        for part in parts
    }
    if json:
        print_json(
            {
                "same": not different,
                "days": days,
                "segments": len(segments),
                "differences": [each._asdict() for each in different],
            }
        )
    elif different:
        _show_differences(different)
    else:
        print_line(
            f"the same: {len(segments):,} segments are what the certificates of "
            f"{len(days):,} day{'' if len(days) == 1 else 's'} say"
        )
    return EXIT_INCOMPLETE if different else EXIT_COMPLETE


def _show_differences(different: list[Any]) -> None:
    for each in different:
        print_line(f"  - {printable(str(each))}", style="red")


def show(certificate: Mapping[str, Any]) -> None:
    """Print a certificate, but for its last line."""
    print_line(f"{certificate['day']} UTC, ticktape {certificate['version']}", style="bold")
    rows = []
    for name, feed in certificate["feeds"].items():
        asked_ns = sum(feed["asked_ns"].values())
        cells = [percent(feed["shares"][share]) for share in _SHARES]
        rows.append(
            (name, _stream_count(feed), f"{feed['received']:,}", duration(asked_ns), *cells)
        )
    names = ("feed", "streams", "received", "asked for", *_SHARES)
    print_rows(names, rows, right=names[1:])
    for name, feed in certificate["feeds"].items():
        _show_feed(name, feed)
    reasons = certificate["reasons"]
    for reason in reasons[:_SHOWN]:
        print_line(f"  - {printable(reason)}")
    if len(reasons) > _SHOWN:
        print_line(f"  … and {len(reasons) - _SHOWN} more (--json has all of them)")
    segments = sum(len(parts) for parts in certificate["digests"].values())
    print_line(f"digests: {segments:,} parts of segments in {len(certificate['digests'])} journals")


def _show_feed(name: str, feed: Mapping[str, Any]) -> None:
    missing = feed["subscription"]["missing"]
    for channel, symbols in missing.items():
        print_line(f"{name}: not acknowledged: {printable(channel)} of {_names(symbols)}")
    healed = [gap for gap in feed["gap_list"] if gap["state"] == "healed"]
    for gap in healed[:_SHOWN]:
        end = gap["from_ns"] if gap["to_ns"] is None else gap["to_ns"]
        words = printable(gap["words"] or gap["cause"])
        print_line(f"{name}: healed {gap['symbol'] or 'all'}, {span(gap['from_ns'], end)}: {words}")
    silent = [each for each in feed["lacking"] if not each["in_gap"]]
    if silent:
        number = sum(each["number"] for each in silent)
        print_line(
            f"{name}: {number:,} rows came from REST and not in the stream, outside of any known "
            f"gap, at {len(silent):,} places"
        )


def _stream_count(feed: Mapping[str, Any]) -> int:
    """How many channels of symbols were asked for."""
    return sum(len(stream["symbols"]) for stream in feed["streams"])


def _names(symbols: list[str]) -> str:
    shown = ", ".join(printable(symbol) for symbol in symbols[:_SHOWN])
    return shown if len(symbols) <= _SHOWN else f"{shown} and {len(symbols) - _SHOWN} more"


def _last_line(certificate: Mapping[str, Any]) -> None:
    style = "bold green" if certificate["complete"] else "bold red"
    console.print(certificate["words"], style=style, markup=False)
