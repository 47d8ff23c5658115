"""The pictures of a report, drawn with matplotlib; nothing here decides anything.

Each is drawn once, on nothing, in ink that is `currentColor` in the SVG, so that it takes the
colours of a light or a dark page. Layouts are told apart by colour (what carries the captures;
after Okabe and Ito, for colour-blind people too) and by dash (how many processes).
"""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ticktape.lab.lineup import JOURNAL, JOURNAL_X2, Entry, Lineup
from ticktape.lab.merit import GAP, MISSED, RATE, Measure, figure
from ticktape.lab.results import CellResult
from ticktape.lab.wording import duration, share

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

INK = "#1a1b1c"  # no other colour of ours may be this one
_BLUE, _ORANGE, _RED, _PINK, _GREEN, _SKY = (
    *("#1f86c7", "#e69f00", "#d55e00", "#cc79a7", "#009e73", "#56b4e9"),
)

STYLES: dict[str, tuple[str, str]] = {
    "sequential": (INK, "-"),
    "pipe-2": (_BLUE, "-"),
    "pipe-4": (_BLUE, "--"),
    "queue-2": (_ORANGE, "-"),
    "queue-4": (_ORANGE, "--"),
    "queue-4-ordered": (_ORANGE, ":"),
    "queue-4x2": (_RED, "-."),
    "queue-4x2to1": (_RED, ":"),
    "threads": (_PINK, "-"),
    JOURNAL: (_GREEN, "-"),
    JOURNAL_X2: (_GREEN, "--"),
}

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: small, to be read aloud, to be searched
    "text.parse_math": False,  # a layout's name is a name, not a formula
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "grid.color": INK,
    "grid.alpha": 0.15,
}


@dataclass(frozen=True)
class Picture:
    """One picture; `svg` may stand in a page, `png` has a white ground."""

    name: str
    group: str
    caption: str
    svg: str
    png: bytes


def draw(lineup: Lineup) -> Iterator[Picture]:
    """All pictures of a lab, one after another.

    Raises:
        ImportError: matplotlib is not installed.
    """
    for threshold in lineup.thresholds:
        entries = [lineup.at(layout, threshold) for layout in lineup.layouts]
        done = [entry for entry in entries if entry.cells]
        if not done:
            continue
        at = threshold.name
        yield _picture(f"ccdf-{at}", "ccdf", f"Gaps at {at}", (4.6, 4.6), _ccdf, done)
        yield _picture(f"memory-{at}", "memory", f"Memory at {at}", (4.6, 4.1), _memory, done)
    tall = 1.3 + 0.32 * len(lineup.layouts)
    wide = 2.6 + 0.95 * len(lineup.thresholds)
    for name, words, of in (
        ("p999", "p99.9 gap", lambda entry: figure(GAP, [entry])),
        ("max", "longest gap", lambda entry: max(cell.gaps.max for cell in entry.cells)),
    ):
        yield _picture(f"heat-{name}", "heat", words, (wide, tall), _heat, lineup, of)
    dots = 1.3 + 0.4 * len(lineup.layouts)
    for name, measure in (("missed", MISSED), ("throughput", RATE)):
        cells = [cell for cell in lineup.results if not cell.key.victim and measure.has(cell)]
        if cells:
            yield _picture(name, "rates", measure.name, (4.6, dots), _dots, lineup, measure)


def _picture(
    name: str,
    group: str,
    title: str,
    inches: tuple[float, float],
    paint: Callable[..., str],
    *arguments: Any,  # noqa: ANN401 - handed on as they are
) -> Picture:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = _SETTINGS | {"svg.hashsalt": name}  # matplotlib types the names of all 300
    with rc_context(settings):
        sheet = Figure(figsize=inches, layout="constrained")
        axes = sheet.subplots()
        axes.set_title(title)
        caption = paint(sheet, axes, *arguments)
        svg, png = io.StringIO(), io.BytesIO()
        sheet.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
        sheet.savefig(png, format="png", dpi=160, facecolor="white")
    return Picture(
        name,
        group,
        f"{title[0].upper()}{title[1:]}. {caption}",
        _inline(svg.getvalue(), name),
        png.getvalue(),
    )


def _inline(svg: str, name: str) -> str:
    """The element alone, in the page's ink, with ids that no other picture has."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    return svg.replace(INK, "currentColor")


def _style(layout: str, others: list[str]) -> dict[str, Any]:
    if layout in STYLES:
        colour, dash = STYLES[layout]
        return {"color": colour, "ls": dash, "lw": 2.4 if colour == _GREEN else 1.4}
    return {"color": _SKY, "ls": ("-", "--", "-.", ":")[others.index(layout) % 4], "lw": 1.4}


def _styles(layouts: list[str]) -> dict[str, dict[str, Any]]:
    others = [layout for layout in layouts if layout not in STYLES]
    return {layout: _style(layout, others) for layout in layouts}


def pooled_ccdf(cells: tuple[CellResult, ...]) -> tuple[list[float], list[float]]:
    """Lengths in ns and the share of all cells' gaps that are longer, falling."""
    cells = tuple(cell for cell in cells if cell.gaps.ccdf)
    lengths = sorted({gap for cell in cells for gap, _ in cell.gaps.ccdf if gap > 0})
    total = sum(cell.gaps.count for cell in cells)
    longer = np.zeros(len(lengths))
    for cell in cells:
        points = sorted(cell.gaps.ccdf)
        at = np.searchsorted([gap for gap, _ in points], lengths, side="right") - 1
        tails = np.array([share for _, share in points])
        # Below its first point all but the zero gaps are longer.
        start = 1 - cell.gaps.zero / cell.gaps.count
        longer += np.where(at >= 0, tails[np.maximum(at, 0)], start) * cell.gaps.count / total
    return [float(gap) for gap in lengths], longer.tolist()


def _ccdf(sheet: "Figure", axes: "Axes", entries: list[Entry]) -> str:
    styles = _styles([entry.layout for entry in entries])
    for entry in entries:
        lengths, longer = pooled_ccdf(entry.cells)
        points = [(gap / 1e6, tail) for gap, tail in zip(lengths, longer, strict=True) if tail > 0]
        if points:
            axes.step(
                *zip(*points, strict=True), where="post", label=entry.layout, **styles[entry.layout]
            )
    stall = max(cell.stalls.max for entry in entries for cell in entry.cells)
    if stall:
        axes.axvline(stall / 1e6, color=INK, lw=0.8, alpha=0.5)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="gap between captures, ms",
        ylabel="share of gaps that are longer",
    )
    _plain_ticks(axes.xaxis, "{:g}".format)
    _plain_ticks(axes.yaxis, share)
    axes.grid(visible=True)
    _legend(sheet, axes)
    return " ".join([_zero_words(entries), _stall_words(stall)]).strip()


def _zero_words(entries: list[Entry]) -> str:
    found = []
    for entry in entries:
        count = sum(cell.gaps.count for cell in entry.cells)
        zero = sum(cell.gaps.zero for cell in entry.cells)
        if zero:
            found.append(f"{entry.layout} {share(zero / count)}")
    if not found:
        return "No gap is zero."
    return f"Zero gaps, which a logarithmic axis cannot show: {', '.join(found)}."


def _stall_words(stall: int) -> str:
    return f"Upright line: the machine's own longest stall, {duration(stall)}." if stall else ""


def _plain_ticks(axis: "Axis", text: Callable[[float], str]) -> None:
    """Label the powers of ten of a logarithmic axis as numbers, and nothing between them."""
    axis.set_major_formatter(lambda value, _: text(value))
    axis.set_minor_formatter(lambda _value, _place: "")


def _legend(sheet: "Figure", axes: "Axes") -> None:
    if axes.get_legend_handles_labels()[0]:
        sheet.legend(loc="outside lower center", ncols=3, fontsize=8, handlelength=2.6)


def _memory(sheet: "Figure", axes: "Axes", entries: list[Entry]) -> str:
    styles = _styles([entry.layout for entry in entries])
    for entry in entries:
        points = [(at, used / 1e6) for at, used in entry.cells[0].memory]
        if points:
            axes.plot(*zip(*points, strict=True), label=entry.layout, **styles[entry.layout])
    axes.set(xlabel="s since the cell began", ylabel="resident memory, MB")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True)
    _legend(sheet, axes)
    return "All processes together; the first repeat of each layout."


def _heat(
    sheet: "Figure", axes: "Axes", lineup: Lineup, of: Callable[[Entry], float | None]
) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    entries = {
        (row, column): entry
        for row, layout in enumerate(lineup.layouts)
        for column, entry in enumerate(lineup.across(layout, lineup.thresholds))
    }
    values = {place: of(entry) for place, entry in entries.items() if entry.cells}
    known = [value for value in values.values() if value]
    least = min(known, default=1)
    norm = LogNorm(least, max([*known, 2 * least]))
    for (row, column), entry in entries.items():
        value = values.get((row, column))
        text = f"{duration(value)}{'' if entry.is_safe else ' *'}" if value else "not run"
        ink = INK
        if value:
            colour = colormaps["cividis_r"](norm(value))
            box = Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=colour, lw=0, zorder=0)
            axes.add_patch(box)
            # Rec. 601's luma: which of the two inks stands out on this colour.
            is_dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 0.5
            ink = "#ffffff" if is_dark else "#000000"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
    axes.set(xlim=(-0.5, len(lineup.thresholds) - 0.5), ylim=(len(lineup.layouts) - 0.5, -0.5))
    axes.set_xticks(range(len(lineup.thresholds)), [each.name for each in lineup.thresholds])
    axes.set_yticks(range(len(lineup.layouts)), lineup.layouts)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("memory threshold")
    return "Darker is longer, on a logarithmic scale. An asterisk: not safe there."


def _dots(sheet: "Figure", axes: "Axes", lineup: Lineup, measure: Measure) -> str:
    marks = zip(lineup.thresholds, "os^Dv", (_BLUE, _ORANGE, _GREEN, _PINK, _SKY), strict=False)
    rows = range(len(lineup.layouts))
    for step, (threshold, mark, colour) in enumerate(marks):
        points = [
            (_value(measure, cell), row + (step - (len(lineup.thresholds) - 1) / 2) * 0.22)
            for row, layout in enumerate(lineup.layouts)
            for cell in lineup.at(layout, threshold).cells
            if measure.has(cell)
        ]
        if points:
            name = threshold.name
            axes.plot(*zip(*points, strict=True), mark, color=colour, ms=5, alpha=0.8, label=name)
    axes.set_yticks(rows, lineup.layouts)
    axes.set_ylim(len(lineup.layouts) - 0.4, -0.6)
    if measure is MISSED:
        axes.set_xlim(left=0)
        axes.set_xlabel("missed states, % of all")
    else:
        axes.set_xscale("log")
        axes.set_xlabel("captures a second")
        _plain_ticks(axes.xaxis, "{:,.0f}".format)
    axes.grid(visible=True, axis="x")
    _legend(sheet, axes)
    return "One mark a cell."


def _value(measure: Measure, cell: CellResult) -> float:
    if measure is MISSED and cell.missed:
        return 100 * cell.missed.share
    return cell.captures_per_s
