"""The tables of a report, as HTML and as CSV; all text in them is escaped."""

import csv
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape

from ticktape.lab.bootstrap import Interval
from ticktape.lab.lineup import Entry, Lineup, faults_of, is_safe, loss_on_kill
from ticktape.lab.merit import GAP, MISSED, RATE
from ticktape.lab.results import CellResult
from ticktape.lab.standing import Standing, kill_text, stand
from ticktape.lab.wording import UNKNOWN, duration, rate, ratio, share, size


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, what it is sorted by, and its class."""

    text: str
    key: float | str | None = None
    mark: str = ""


Row = list[Cell]


def table(heads: list[str], rows: Iterable[Row], *, caption: str, sortable: bool = False) -> str:
    """An HTML table whose first column names the row; a sortable one has buttons for heads."""
    said = [escape(head) for head in heads]
    if sortable:
        said = [f'<button type="button">{head}</button>' for head in said]
    head = "".join(f'<th scope="col">{text}</th>' for text in said)
    body = "\n".join(f"<tr>{''.join(map(_cell, row, range(len(row))))}</tr>" for row in rows)
    kind = ' class="sortable"' if sortable else ""
    # The box can be scrolled sideways on a narrow screen, with the keyboard too.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f"<table{kind}><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>\n"
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell, column: int) -> str:
    tag = 'th scope="row"' if column == 0 else "td"
    mark = f' class="{cell.mark}"' if cell.mark else ""
    key = "" if cell.key is None else f' data-key="{escape(str(cell.key))}"'
    return f"<{tag}{mark}{key}>{escape(cell.text)}</{tag.split()[0]}>"


def _number(value: float | None, text: str) -> Cell:
    return Cell(UNKNOWN, -1) if value is None else Cell(text, value)


def safety(lineup: Lineup) -> str:
    """Each layout at each threshold: whether it is safe, and if not, why not; what a kill costs."""
    heads = [
        *("layout", "threshold", "safe", "what went wrong"),
        *("loss on kill", "drain", "threshold reached"),
    ]
    rows = [
        _safety_row(entry)
        for layout in lineup.layouts
        for entry in lineup.across(layout, lineup.thresholds)
    ]
    return table(heads, rows, caption="Safety: all repeats together, in captures")


def _safety_row(entry: Entry) -> Row:
    start = [Cell(entry.layout), Cell(entry.threshold.name)]
    if not entry.cells:
        return [*start, Cell("not run", mark="unknown"), *[Cell(UNKNOWN)] * 4]
    faults = ", ".join(faults_of(entry.cells)) or "nothing"
    kill = entry.worst_kill
    lost = UNKNOWN if kill is None else f"{share(loss_on_kill(kill))} ({kill.key.victim})"
    drain = max(cell.drain_s for cell in entry.cells)
    drained = sum(cell.drained for cell in entry.cells)
    return [
        *start,
        Cell("safe", mark="good") if entry.is_safe else Cell("NOT SAFE", mark="bad"),
        Cell(faults, mark="long"),
        Cell(lost),
        Cell(f"{drained:,} in {duration(drain * 1e9)}"),
        Cell(f"{entry.reached} of {len(entry.cells)}"),
    ]


def standings(rows: list[Standing], *, caption: str) -> str:
    """Journal against the notebook's five; ratios are of journal's figure to theirs."""
    heads = ["layout", "safe", "p99.9 gap", "missed states", "loss on kill", "captures/s"]
    return table(heads, map(_standing_row, rows), caption=caption)


def _standing_row(row: Standing) -> Row:
    gap, missed, per_s = (
        _against(measure.text, row.figures[measure.name], row.ratios[measure.name])
        for measure in (GAP, MISSED, RATE)
    )
    safe = Cell("safe", mark="good") if row.is_safe else Cell("NOT SAFE", mark="bad")
    return [Cell(row.layout), safe, gap, missed, Cell(kill_text(row)), per_s]


def _against(text: Callable[[float], str], value: float | None, times: Interval | None) -> Cell:
    if value is None:
        return Cell(UNKNOWN)
    if times is None:
        return Cell(text(value))
    span = (
        f", {ratio(times.low)} to {ratio(times.high)}"
        if times.low is not None and times.high is not None
        else ""
    )
    return Cell(f"{text(value)} (ratio {ratio(times.middle)}{span})")


def standings_by_threshold(lineup: Lineup) -> str:
    """The same table for each threshold."""
    return "\n".join(
        standings(stand(lineup, [threshold]), caption=f"at {threshold.name}")
        for threshold in lineup.thresholds
        if stand(lineup, [threshold])
    )


def cells(lineup: Lineup) -> str:
    """Every cell that is done; it can be sorted."""
    heads = [
        *("layout", "threshold", "repeat", "killed", "safe", "captures/s", "missed", "p50"),
        *("p99", "p99.9", "longest", "zero gaps", "peak memory", "CPU", "written", "files"),
        *("machine's stall", "notes"),
    ]
    rows = [_cell_row(result, number) for number, result in enumerate(lineup.results)]
    return table(heads, rows, caption="Cells, in the order in which they ran", sortable=True)


def _cell_row(cell: CellResult, number: int) -> Row:
    gaps, known = cell.gaps, cell.gaps.count > 0
    verdict = Cell("safe", 0, "good") if is_safe(cell) else Cell("NOT SAFE", 1, "bad")
    if cell.key.victim:
        lost = loss_on_kill(cell)
        verdict = Cell(f"lost {share(lost)}", 2 + lost)
    threshold = cell.key.threshold
    times = [
        _number(value if known else None, duration(value))
        for value in (gaps.p50, gaps.p99, gaps.p999, gaps.max)
    ]
    peak, cpu_s = sum(cell.peak_bytes.values()), sum(cell.cpu_s.values())
    return [
        Cell(cell.key.layout, number),
        Cell(threshold.name, threshold.seconds * 1e12 + threshold.bytes),
        Cell(str(cell.key.repeat), cell.key.repeat),
        Cell(cell.key.victim or UNKNOWN, cell.key.victim),
        verdict,
        Cell(rate(cell.captures_per_s), cell.captures_per_s),
        Cell(UNKNOWN, -1)
        if cell.missed is None
        else Cell(share(cell.missed.share), cell.missed.share),
        *times,
        _number(gaps.zero / gaps.count if known else None, share(gaps.zero / max(1, gaps.count))),
        Cell(size(peak), peak),
        Cell(f"{cpu_s:.1f} s", cpu_s),
        Cell(size(cell.written_bytes), cell.written_bytes),
        Cell(f"{cell.files:,}", cell.files),
        Cell(duration(cell.stalls.max), cell.stalls.max),
        Cell("; ".join(cell.notes), "; ".join(cell.notes), "long"),
    ]


_PLAIN = (
    *("seconds", "flushes", "threshold_reached", "acquired", "saved", "duplicated", "corrupted"),
    *("out_of_order", "lost_in_run", "lost_at_stop", "left_behind", "drained", "drain_s"),
    *("captures_per_s", "saved_per_s", "written_bytes", "files", "at_kill", "survived"),
)
_GAPS = ("count", "zero", "p50", "p99", "p999", "max", "lowest", "mean")


def cells_csv(results: Iterable[CellResult]) -> str:
    """A row a cell, in numbers: times in ns unless the name says otherwise."""
    written = io.StringIO()
    to = csv.writer(written, lineterminator="\n")
    to.writerow(
        [
            *("layout", "threshold", "repeat", "victim", "is_safe", *_PLAIN),
            *(
                f"gap_{name}_ns" if name not in ("count", "zero") else f"gaps_{name}"
                for name in _GAPS
            ),
            *("states_true", "states_missed", "cpu_s", "peak_bytes", "stall_max_ns", "notes"),
        ]
    )
    for cell in results:
        key = cell.key
        to.writerow(
            [
                *(key.layout, key.threshold.name, key.repeat, key.victim, is_safe(cell)),
                *(getattr(cell, name) for name in _PLAIN),
                *(getattr(cell.gaps, name) for name in _GAPS),
                *((cell.missed.true, cell.missed.missed) if cell.missed else ("", "")),
                *(sum(cell.cpu_s.values()), sum(cell.peak_bytes.values()), cell.stalls.max),
                "; ".join(cell.notes),
            ]
        )
    return written.getvalue()
