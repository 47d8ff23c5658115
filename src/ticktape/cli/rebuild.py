"""`ticktape rebuild`: the tables made again from the journals, to compare or to replace."""

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ticktape.cli.figures import printable
from ticktape.cli.terminal import console, errors, print_json, print_line, print_rows
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, ConfigError
from ticktape.replay.places import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ticktape.replay.compare import Comparison, GroupComparison
    from ticktape.replay.differences import Example
    from ticktape.replay.last_values import CellDifference
    from ticktape.replay.rebuild import Rebuilt

    Tell = Callable[[str, int, int], None]

_DIGITS = 12  # of a digest, in the table
_LINES_MAX = 40
_ENDS = {
    "same": "all that ran live was derived again, equal",
    "behind": "the table has yet to store what is journaled",
    "unproven": "the journals have lost what some of it was made of",
    "DIFFERENT": "it is not what the journals give",
}
_WORDS = {
    "missing": "is in the journal and not in the table",
    "surplus": "is in the table and not in the journal",
    "doubled": "is in the table more than once",
    "wrong_day": "lies in the wrong day",
}
_COUNTED = {
    "missing": "missing",
    "surplus": "not in the journal",
    "doubled": "doubled",
    "altered": "altered",
    "wrong_day": "in the wrong day",
    "behind": "not yet in the table",
    "lost": "not to be derived, for the journal is damaged or gone",
    "deleted": "not to be derived, for retention deleted their entries",
}


def rebuild(
    directory: Path,
    /,
    *,
    check: bool = False,
    scratch: Path | None = None,
    drop_old: bool = False,
    json: bool = False,
) -> int:
    """Make the tables again from the journals, and put them in the place of the old ones.

    For tables that are damaged or lost. The old ones are kept in DIR/table.old-1. With --check
    nothing is replaced: tables and last values are derived again and must equal those that ran
    live, row by row; this works while the recorder runs.

    Parameters
    ----------
    directory
        The run's directory.
    check
        Only compare.
    scratch
        With --check: a folder with room for the tables; beside the run when not given.
    drop_old
        Remove the old tables when the new ones stand, unless they have rows that no journal has.
    json
        Print one JSON object instead.
    """
    if (check and drop_old) or (scratch is not None and not check):
        raise ConfigError(
            ["--scratch goes with --check, and --drop-old without it"],
            hint="Without --check the tables are made beside the old ones, in DIR.",
        )
    run = open_run(directory)
    if check:
        return _check(run, scratch, as_json=json)
    return _replace(run, drop_old=drop_old, as_json=json)


def _check(run: RunDirectory, scratch: Path | None, *, as_json: bool) -> int:
    from ticktape.replay.rebuild import check_again
    from ticktape.replay.states import SAME

    beside = scratch or run.root.resolve().parent
    try:
        beside.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{run.root.name}.rebuild-", dir=beside))
    except OSError as error:
        raise ConfigError(
            [f"{beside}: cannot be written ({error.strerror})"],
            hint="Name a folder with room for the tables: --scratch DIR",
        ) from error
    try:
        with _bars() as tell:
            found = check_again(run, folder, tell)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(found.to_json())
    else:
        _print_comparison(found)
        style = "bold green" if found.state == SAME else "bold red"
        is_empty = not found.groups and not found.damage and not found.faults
        words = "there is nothing to compare" if is_empty else _ENDS[found.state]
        console.print(f"{found.state.upper()}  {words}", style=style, markup=False)
    return EXIT_COMPLETE if found.state == SAME else EXIT_INCOMPLETE


def _replace(run: RunDirectory, *, drop_old: bool, as_json: bool) -> int:
    from ticktape.replay.rebuild import rebuild as rebuild_tables

    with _bars() as tell:
        done = rebuild_tables(run, tell, drop_old=drop_old)
    if as_json:
        print_json(done.to_json())
    else:
        _print_rebuilt(done)
    return EXIT_INCOMPLETE if done.before.lost_rows else EXIT_COMPLETE


@contextlib.contextmanager
def _bars() -> "Iterator[Tell]":
    """Bars on the terminal's standard error, one for each thing that is told of."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    bars = Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)
    tasks: dict[str, TaskID] = {}

    def tell(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done, total=total)

    with bars:
        yield tell


def _print_comparison(found: "Comparison") -> None:
    rows = [(*each.group, each.rows, each.digest[:_DIGITS], each.state) for each in found.groups]
    if rows:
        print_rows(("kind", "feed", "day", "rows", "digest", "is"), rows)
    if found.last is not None:
        words = f"last values: {found.last.compared:,} cells compared, {found.last.state}"
        print_line(words)
    lines = [*found.faults, *found.damage]
    for each in found.groups:
        lines += _group_lines(each)
    if found.last is not None:
        lines += [_cell_line(each) for each in found.last.differences]
        lines += found.last.unproven
    lines += [f"not compared: {words}" for words in found.not_compared]
    lines += [f"not compared: {words}" for words in found.last.not_compared] if found.last else []
    if lines:
        print_line("")
    for line in lines[:_LINES_MAX]:
        print_line(f"  - {printable(line)}")
    if len(lines) > _LINES_MAX:
        print_line(f"  … and {len(lines) - _LINES_MAX} more (--json has all of them)")
    print_line("")


def _group_lines(found: "GroupComparison") -> list[str]:
    counts = [
        f"{getattr(found.counts, name):,} {words}"
        for name, words in _COUNTED.items()
        if getattr(found.counts, name)
    ]
    if not counts:
        return []
    where = " ".join(found.group)
    rows = [f"    {_row_line(each)}" for each in found.examples]
    return [f"{where}: rows: {', '.join(counts)}", *rows]


def _row_line(found: "Example") -> str:
    place = f"epoch {found.epoch} seq {found.seq} index {found.index}"
    if found.column:
        own = f"{found.column} is {found.table!r} and should be {found.journal!r}"
        return f"{place}: {own}"
    return f"{place}: {_WORDS[found.what]}"


def _cell_line(found: "CellDifference") -> str:
    cell = f"last value {found.feed} {found.symbol} {found.kind}"
    if found.column:
        return f"{cell}: {found.column} is {found.file!r} and should be {found.journal!r}"
    return f"{cell}: {'is missing' if found.file is None else 'is in no journal'}"


def _print_rebuilt(done: "Rebuilt") -> None:
    for words in [*done.before.faults, *done.before.damage]:
        print_line(f"  - {printable(words)}")
    print_line(f"{done.rows:,} rows derived, read again, and put in place")
    if done.set_aside is not None:
        print_line(f"the old tables stand in {done.set_aside}")
    if done.before.lost_rows:
        print_line(
            f"{done.before.lost_rows:,} rows of the old tables can no longer be derived: "
            "they stand only there",
            style="bold red",
        )
