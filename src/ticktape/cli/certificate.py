"""The certificate of a run in words: per feed, per table, the reasons, and the last line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ticktape.cli.figures import printable, span
from ticktape.cli.terminal import console, print_latency, print_line, print_rows

if TYPE_CHECKING:
    from ticktape.ledger import FeedVerdict, Verdict

_SUMS = ("received", "stored", "duplicates", "dropped", "gaps")
_REASONS_SHOWN = 40


def print_verdict(verdict: "Verdict", hints: Sequence[str] = ()) -> None:
    """Print the certificate; `hints` stand before its last line."""
    rows = []
    for feed in verdict.feeds:
        part = feed.to_json()
        rows.append((feed.name, feed.kind, *(f"{part[key]:,}" for key in _SUMS)))
    print_rows(("feed", "kind", *_SUMS), rows, right=_SUMS)
    for feed in verdict.feeds:
        if feed.first_ns is not None and feed.last_ns is not None:
            print_line(f"{feed.name}: {_when(feed, feed.first_ns, feed.last_ns)}")
    print_line(f"rows: {', '.join(_tables(verdict)) or 'none'}")
    if verdict.latency_us:
        print_line("")
        print_latency(verdict.latency_us)
    reasons = verdict.reasons()
    if reasons:
        print_line("")
    for reason in reasons[:_REASONS_SHOWN]:
        print_line(f"  - {printable(reason)}")
    if len(reasons) > _REASONS_SHOWN:
        print_line(f"  … and {len(reasons) - _REASONS_SHOWN} more (--json has all of them)")
    print_line("")
    for hint in hints:
        print_line(hint)
    console.print(
        verdict.last_line(),
        style="bold green" if verdict.complete else "bold red",
        markup=False,
    )


def _when(feed: "FeedVerdict", first_ns: int, last_ns: int) -> str:
    words = f"{span(first_ns, last_ns)}, {_count(feed.sessions, 'session')}"
    if feed.epochs > 1:
        words += f", {_count(feed.epochs, 'start')}"
    planned = sum(gap.planned for gap in feed.gaps)
    if planned:
        words += f", {_count(planned, 'planned stop')}"
    conflicts = feed.total("conflicts")
    if conflicts:
        words += f", {conflicts:,} trades share an id with another content"
    return words


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _tables(verdict: "Verdict") -> list[str]:
    found: dict[str, int] = {}
    for feed in (*verdict.feeds, *verdict.decisions):
        for count in feed.counts:
            if count.stored and count.kind != "gaps":
                found[count.kind] = found.get(count.kind, 0) + count.stored
    return [f"{stored:,} {kind}" for kind, stored in sorted(found.items(), key=lambda x: -x[1])]
