"""`ticktape seal`: closed segments packed to an eighth, by hand."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ticktape.cli.terminal import errors, print_json, print_line, print_rows
from ticktape.errors import EXIT_COMPLETE
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def seal(directory: Path, /, *, json: bool = False) -> int:
    """Pack the closed segments of all journals of a run, to about an eighth of their size.

    A recorder does this by itself while it runs. This is for what was left when it ended, and for
    runs of before. Nothing that is recorded changes: every byte is read back and compared before a
    plain segment goes, and all verbs read both. Ctrl-C is safe; the next one goes on.

    Parameters
    ----------
    directory
        The run's directory.
    json
        Print one JSON object instead.
    """
    from ticktape.replay.seal import seal_run

    run = open_run(directory)
    journals: dict[str, dict[str, int]] = {}
    with _bar() as tell:
        for name, done in seal_run(run, tell):
            sums = journals.setdefault(name, {"segments": 0, "bytes": 0, "sealed_bytes": 0})
            sums["segments"] += 1
            sums["bytes"] += done.plain_bytes
            sums["sealed_bytes"] += done.sealed_bytes
    total = {key: sum(each[key] for each in journals.values()) for key in _SUMS}
    saved_bytes = total["bytes"] - total["sealed_bytes"]
    if json:
        print_json({**total, "saved_bytes": saved_bytes, "journals": journals})
        return EXIT_COMPLETE
    if journals:
        rows = [(name, *(f"{each[key]:,}" for key in _SUMS)) for name, each in journals.items()]
        print_rows(("journal", "segments", "bytes", "sealed"), rows, right=_RIGHT)
        print_line("")
        print_line(f"{total['segments']:,} segments sealed, {saved_bytes / 1e6:,.1f} MB saved")
    else:
        print_line("there was nothing to seal")
    return EXIT_COMPLETE


_SUMS = ("segments", "bytes", "sealed_bytes")
_RIGHT = ("segments", "bytes", "sealed")


@contextlib.contextmanager
def _bar() -> "Iterator[Callable[[str, int, int], None]]":
    columns = (TextColumn("sealing {task.description}"), BarColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    task: list[TaskID] = []

    def tell(what: str, done: int, total: int) -> None:
        if not task:
            task.append(bars.add_task(what, total=total))
        bars.update(task[0], description=what, completed=done, total=total)

    with bars:
        yield tell
