"""Derives tables and last values again from the journals: to compare, or to replace the tables.

If they cannot be derived again and come out equal, one of the two lies; and tables that are damaged
or lost are made again without a human. The journals are only read.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ticktape.directory import RunDirectory
from ticktape.errors import TableError
from ticktape.failpoints import from_environment
from ticktape.journal.disk import Disk
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.recovery import make_all_durable
from ticktape.records import Position
from ticktape.replay.alone import hold
from ticktape.replay.compare import Comparison, compare
from ticktape.replay.derive import DigestingStore, Progress, derive
from ticktape.replay.last_values import compare_last
from ticktape.replay.places import is_live, sources
from ticktape.replay.states import SAME
from ticktape.replay.swap import replace_tables
from ticktape.replay.tables import Tables

_READER = "table"  # of whose positions the tables are
_LOCK_S = 5.0  # children of a recorder that was killed finish their work by themselves


class Rebuilt(NamedTuple):
    """What a rebuild did.

    `before` compares the old tables with the journals; `set_aside` is where they stand now, None
    when there were none or they were dropped.
    """

    before: Comparison
    rows: int
    set_aside: Path | None

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        aside = None if self.set_aside is None else str(self.set_aside)
        return {"rows": self.rows, "set_aside": aside, "before": self.before.to_json()}


def check_again(directory: RunDirectory, scratch: Path, progress: Progress) -> Comparison:
    """Derive everything again in `scratch`, and compare; nothing of the run is touched.

    While a recorder is at work, what lies behind the table's saved position is not compared.

    Args:
        directory: the run's.
        scratch: an empty folder with room for the tables a second time.
        progress: called now and then.

    Raises:
        ConfigError: run.toml is unreadable.
        TableError: the disk of `scratch` refused.
    """
    live = is_live(directory)
    # The position is read before the tables' snapshot, and rows before it must be there.
    saved, _ = load_positions(directory.reader_file(_READER))
    with Tables(directory.root, scratch / "spill") as tables:
        store = DigestingStore(scratch)
        made = derive(directory, store, saved, progress, live=live)
        with Tables(scratch, scratch / "spill") as derived:
            found = compare(tables, derived, made, progress, live=live)
    return found._replace(last=compare_last(directory, scratch, progress, live=live))


def rebuild(directory: RunDirectory, progress: Progress, *, drop_old: bool = False) -> Rebuilt:
    """Replace the tables by newly derived ones, and the table's saved position with them.

    The new ones are written beside the old ones, read again from the disk and compared with what
    was derived before they take the place. The old ones stand in `table.old-N` then. With
    `drop_old` they are removed, unless they have rows that no journal can give any more.

    A crash at any point leaves the old tables or the new ones in place, either with a position from
    which the recorder goes on with no row lost or doubled.

    Raises:
        Locked: a recorder, or what is left of one, is at work in the directory.
        ConfigError: run.toml is unreadable.
        TableError: the disk refused, or gave back other rows than were written.
    """
    failpoints = from_environment()

    def step(name: str) -> None:
        if failpoints is not None:
            failpoints.pass_by(f"rebuild.{name}")

    work = directory.root / "table.rebuild"  # never holds the only copy of anything
    with _alone(directory), _as_table_error(directory.root):
        shutil.rmtree(work, ignore_errors=True)
        try:
            return _Rebuild(directory, work, progress, step).run(drop_old=drop_old)
        finally:
            shutil.rmtree(work, ignore_errors=True)


class _Rebuild:
    """One rebuild, in the folder `work`; nobody else writes the run meanwhile."""

    def __init__(
        self,
        directory: RunDirectory,
        work: Path,
        progress: Progress,
        step: Callable[[str], None],
    ) -> None:
        self._directory = directory
        self._work = work
        self._progress = progress
        self._step = step

    def run(self, *, drop_old: bool) -> Rebuilt:
        """Derive, prove, replace, save."""
        directory, work = self._directory, self._work
        for name in sources(directory):
            # Rows are made of synced entries alone: a writer that was killed leaves others.
            make_all_durable(directory.journal(name), directory.positions(name))
        (work / "table").mkdir(parents=True)
        saved, _ = load_positions(directory.reader_file(_READER))
        store = DigestingStore(work)
        made = derive(directory, store, saved, self._progress, live=False)
        self._step("derived")
        with Tables(directory.root, work / "spill") as old, Tables(work, work / "spill") as fresh:
            # Both are read from the disk and compared with what never was in a file.
            proof = compare(fresh, fresh, made, self._progress, live=False)
            if proof.state != SAME:
                raise TableError(
                    f"{work}: the disk gave back other rows than were written",
                    hint="The old tables are untouched; look at the disk.",
                )
            before = compare(old, fresh, made, self._progress, live=False)
        self._step("proved")
        aside = self._replace(made.positions, made.received)
        if aside is not None and drop_old and not before.lost_rows:
            shutil.rmtree(aside)
            aside = None
        return Rebuilt(before, sum(each.rows for each in proof.groups), aside)

    def _replace(
        self, positions: Mapping[str, Position], received: Mapping[str, dict[str, int]]
    ) -> Path | None:
        """Put the new tables in place, then save their position; the old ones' place.

        In this order, because tables that are ahead of the position skip what they have, and rows
        between tables and a position ahead of them would never be stored.
        """
        directory, disk = self._directory, Disk()
        disk.sync_directory(self._work / "table")
        disk.sync_directory(self._work)
        aside = replace_tables(directory, self._work / "table", self._step)
        self._step("replaced")
        save_positions(directory.reader_file(_READER), positions, received)
        self._step("saved")
        return aside


def _alone(directory: RunDirectory) -> contextlib.AbstractContextManager[None]:
    """Hold every lock that a recorder of this run and its children hold."""
    paths = [directory.lock, directory.live / "table.lock"]
    paths += [directory.journal(name) / "writer.lock" for name in sources(directory)]
    hint = "Stop it first; `ticktape rebuild DIR --check` works while it runs."
    return hold(directory.root, paths, _LOCK_S, hint)


@contextlib.contextmanager
def _as_table_error(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TableError(
            f"{root}: the tables cannot be rebuilt: {os.strerror(error.errno or 0)}",
            hint="The journals have it all; free disk space or look at the directory, and "
            "run it again.",
        ) from error
