"""The certificate of a run in words: per feed, per table, the reasons, and the last line."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ticktape.cli.figures import duration, printable, span
from ticktape.cli.terminal import console, print_latency, print_line, print_rows
from ticktape.clock import iso_utc
from ticktape.polls import quantile_ns

if TYPE_CHECKING:
    from ticktape.ledger import FeedVerdict, GapInterval, Verdict

_SUMS = ("received", "stored", "duplicates", "dropped", "gaps")
_REASONS_SHOWN = 40
_DOUBTS_SHOWN = 20


def print_verdict(
    verdict: "Verdict", hints: Sequence[str] = (), truth: Mapping[str, int] | None = None
) -> None:
    """Print the certificate; `hints` stand before its last line.

    `truth` are states by symbol that a simulated terminal knows to have been missed.
    """
    rows = []
    for feed in verdict.feeds:
        part = feed.to_json()
        rows.append((feed.name, feed.kind, *(f"{part[key]:,}" for key in _SUMS)))
    print_rows(("feed", "kind", *_SUMS), rows, right=_SUMS)
    for feed in verdict.feeds:
        if feed.first_ns is not None and feed.last_ns is not None:
            print_line(f"{feed.name}: {_when(feed, feed.first_ns, feed.last_ns)}")
    print_line(f"rows: {', '.join(_tables(verdict)) or 'none'}")
    _print_polls(verdict, truth or {})
    _print_doubts(verdict)
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


_POLLED = ("polls", "changed", "change ratio", "every p50", "p99", "max", "missed (estimate)")


def _print_polls(verdict: "Verdict", truth: Mapping[str, int]) -> None:
    """How each polled book was polled, and what was probably missed between the polls."""
    rows = []
    for feed in verdict.feeds:
        for each in feed.polls:
            part = each.to_json()
            every = [quantile_ns(each.gaps, share) for share in (0.5, 0.99)]
            cells = [f"{each.polls:,}", f"{each.changed:,}", f"{part['change_ratio']:.3f}"]
            cells += [duration(ns) if ns is not None else "" for ns in (*every, each.gap_max_ns)]
            cells.append("poll faster" if each.missed is None else f"{each.missed:,.0f}")
            if truth:
                cells.append(f"{truth[each.symbol]:,}" if each.symbol in truth else "")
            rows.append((f"{feed.name} {each.symbol}", *cells))
    if rows:
        names = _POLLED + (("missed (truth)",) if truth else ())
        print_line("")
        print_rows(("polled book", *names), rows, right=names)


def _print_doubts(verdict: "Verdict") -> None:
    """What is no reason, and yet worth a line: suspicions, and what only REST or the stream had."""
    lines = []
    for feed in verdict.feeds:
        for gap in feed.suspicions[:_DOUBTS_SHOWN]:
            end = "still" if gap.to_ns is None else duration(gap.to_ns - gap.from_ns)
            lines.append(f"{feed.name}: suspect {_suspected(gap)} ({end}): {gap.cause}")
        more = len(feed.suspicions) - _DOUBTS_SHOWN
        if more > 0:
            lines.append(f"{feed.name}: and {_count(more, 'more suspicion')}")
        lines += feed.lacking_words() + feed.deleted_words()
        lines += [
            f"{feed.name}: {number:,} {kind} came in the stream alone, within what REST was asked "
            "to its end"
            for kind, number in feed.only_streamed.items()
        ]
    if lines:
        print_line("")
    for line in lines:
        print_line(printable(line))


def _suspected(gap: "GapInterval") -> str:
    what = " ".join(part for part in (gap.symbol, gap.channels.replace(",", ", ")) if part)
    return f"{what or 'all'} since {iso_utc(gap.from_ns)[:19].replace('T', ' ')}"


def _when(feed: "FeedVerdict", first_ns: int, last_ns: int) -> str:
    words = span(first_ns, last_ns)
    if feed.sessions:
        words += f", {_count(feed.sessions, 'session')}"
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
