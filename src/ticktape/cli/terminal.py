"""What the verbs print, and how: words for people, and one JSON line for machines.

Results go to standard output, progress and faults to standard error. A reader of our output who
has seen enough never changes what a verb does nor its exit code.
"""

import contextlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence

import msgspec
from rich.cells import cell_len
from rich.console import Console

from ticktape.cli.figures import cell, duration, is_number

_NS_PER_US = 1_000
_STAGE_WORDS = {
    "recv_to_written": "written   the system has it",
    "recv_to_synced": "synced    the disk has it",
    "recv_to_last": "last      last values show it",
    "recv_to_decided": "decided   the strategy had it",
    "recv_to_stored": "stored    the table has it",
}


class _Console(Console):
    """A console that falls silent when its reader has left, and goes on."""

    def on_broken_pipe(self) -> None:
        """Let what is still to come go nowhere."""
        fall_silent()


console = _Console(highlight=False, soft_wrap=True)
errors = _Console(stderr=True, highlight=False, soft_wrap=True)
help_console = _Console(width=None if sys.stdout.isatty() else 100)


def fall_silent() -> None:
    """Send standard output nowhere from now on."""
    # What has no descriptor (a test's capture, a notebook) has no reader that could leave.
    with contextlib.suppress(OSError, ValueError):
        target = os.open(os.devnull, os.O_WRONLY)
        os.dup2(target, sys.stdout.fileno())
        os.close(target)


def print_line(text: str, *, style: str = "") -> None:
    """One line of a result, as it is."""
    console.print(text, style=style, markup=False)


def print_json(content: object) -> None:
    """One JSON object on one line: what `--json` promises as the last line."""
    try:
        sys.stdout.write(msgspec.json.encode(content, enc_hook=str).decode() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        fall_silent()


def print_rows(
    names: Sequence[str], rows: Sequence[Sequence[object]], right: Collection[str] = ()
) -> None:
    """Rows under their names, never cut; numbers, and the columns named in `right`, to the right.

    Where they are wider than the terminal, each row is shown as lines of `name value`.
    """
    texts = [[cell(value) for value in row] for row in rows]
    widths = [max(cell_len(text) for text in column) for column in zip(names, *texts, strict=True)]
    if console.is_terminal and sum(widths) + 2 * len(widths) > console.width and rows:
        _print_upright(names, texts)
        return
    is_right = [
        name in right or (bool(rows) and all(is_number(row[at]) or row[at] is None for row in rows))
        for at, name in enumerate(names)
    ]
    _print_line_of(names, widths, is_right, style="bold")
    for line in texts:
        _print_line_of(line, widths, is_right)


def _print_line_of(
    texts: Sequence[str], widths: Sequence[int], right: Sequence[bool], style: str = ""
) -> None:
    parts = []
    for text, width, is_right in zip(texts, widths, right, strict=True):
        blanks = " " * (width - cell_len(text))
        parts.append(blanks + text if is_right else text + blanks)
    print_line("  ".join(parts).rstrip(), style=style)


def _print_upright(names: Sequence[str], texts: Sequence[Sequence[str]]) -> None:
    width = max(map(cell_len, names))
    for number, line in enumerate(texts):
        if number:
            print_line("")
        for name, text in zip(names, line, strict=True):
            print_line(f"{name}{' ' * (width - cell_len(name))}  {text}")


def print_latency(latency_us: Mapping[str, Mapping[str, float | int | None]]) -> None:
    """Percentiles per stage, from the socket read; each figure with its unit."""
    names = ("since the socket read", "p50", "p99", "p99.9", "max", "entries")
    rows = []
    for stage, figures in latency_us.items():
        if not figures.get("count"):
            continue  # no strategy ran, or nothing came
        times = [_time(figures.get(key)) for key in ("p50", "p99", "p999", "max")]
        words = _STAGE_WORDS.get(stage, stage.removeprefix("recv_to_"))
        rows.append([words, *times, f"{figures.get('count'):,}"])
    if rows:
        print_rows(names, rows, right=names[1:])
    else:
        print_line("no entry has a stamp")


def _time(value_us: float | None) -> str:
    return "-" if value_us is None else duration(value_us * _NS_PER_US)
