"""Medians, ratios pair by pair, and a table: how every bench says what it found."""

from collections.abc import Mapping, Sequence
from statistics import median


def paired(ours: Sequence[float], floor: Sequence[float]) -> float:
    """Median of the ratios ours / floor, pair by pair."""
    return median(a / b for a, b in zip(ours, floor, strict=True))


def print_table(rows: Sequence[Mapping[str, object]]) -> None:
    """Rows with the same keys as aligned columns."""
    names = list(rows[0])
    cells = [[text_of(row[name]) for name in names] for row in rows]
    widths = [max(len(line[i]) for line in [names, *cells]) for i in range(len(names))]
    for line in [names, *cells]:
        print("  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)))


def percentile_us(values_ns: Sequence[int], percent: float) -> float:
    """A percentile of nanoseconds, in microseconds."""
    ordered = sorted(values_ns)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] / 1000


def text_of(value: object) -> str:
    """A figure as tables show it."""
    if isinstance(value, float):
        return f"{value:,.2f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
