"""What the verbs print, and how: words for people, and one JSON line for machines."""

import sys
from collections.abc import Mapping, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from ticktape.ledger import Verdict

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_SUMS = ("received", "stored", "duplicates", "dropped", "gaps")


def print_json(content: object) -> None:
    """One JSON object on one line: what `--json` promises as the last line."""
    sys.stdout.write(msgspec.json.encode(content, enc_hook=str).decode() + "\n")
    sys.stdout.flush()


def print_latency(latency_us: Mapping[str, Mapping[str, float | int | None]]) -> None:
    """Percentiles per stage in microseconds."""
    if not latency_us:
        return
    table = Table("stage", "p50 µs", "p99 µs", "p99.9 µs", "max µs", "entries", box=None)
    for column in table.columns[1:]:
        column.justify = "right"
    for stage, figures in latency_us.items():
        cells = [_number(figures.get(key)) for key in ("p50", "p99", "p999", "max", "count")]
        table.add_row(stage, *cells)
    console.print(table)


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def print_verdict(verdict: Verdict) -> None:
    """The certificate: per feed, per table, the reasons, and the last line."""
    table = Table("feed", "kind", *_SUMS, box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for feed in verdict.feeds:
        part = feed.to_json()
        cells = [f"{part[key]:,}" for key in _SUMS]
        table.add_row(feed.name, feed.kind, *cells)
    console.print(table)
    rows = {
        count.kind: count.stored for feed in verdict.feeds for count in feed.counts if count.stored
    }
    decided = sum(count.stored for each in verdict.decisions for count in each.counts)
    words = [f"{kind} {stored:,}" for kind, stored in rows.items()]
    words += [f"decisions {decided:,}"] if verdict.decisions else []
    console.print(f"tables: {', '.join(words) or 'none'}")
    print_latency(verdict.latency_us)
    for reason in verdict.reasons()[:40]:
        console.print(f"  - {reason}", markup=False)
    if len(verdict.reasons()) > 40:
        console.print(f"  … and {len(verdict.reasons()) - 40} more (--json has all of them)")
    style = "bold green" if verdict.complete else "bold red"
    console.print(verdict.last_line(), style=style, markup=False)


def print_rows(names: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A small table for people."""
    table = Table(*names, box=None)
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console.print(table)
