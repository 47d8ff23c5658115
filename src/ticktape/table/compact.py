"""Makes few large files of many small ones, and removes what nobody reads any more; in slices.

It belongs to the one process that writes the tables, and is given its idle moments: so it meets no
other writer, and never keeps a row waiting for longer than a slice. A crash at any point leaves the
small files in the table or the large one. What was replaced stays on the disk for a day, because a
query that began before may still open it.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from deltalake.transaction import AddAction

from ticktape import clock, failpoints
from ticktape.errors import TableError
from ticktape.schemas import KINDS
from ticktape.table.merging import Merge
from ticktape.table.store import TableStore

FILE_BYTES = 64 << 20
"""About so large a file becomes: four million trades."""

FILES_MIN = 8  # fewer small ones of a day that is over are left as they are
FILES_MAX = 2_000  # in one commit, which has a line for each
UNUSED_HOURS = 24  # longer than any query, or proof of a run, is at work

_SLICE_NS = 20_000_000
_LOOK_NS = 300 * clock.NS_PER_S
_LOOK_FILES = 100  # each is some memory to the process, and more work for the next commit
_CLEAR_NS = 6 * 3600 * clock.NS_PER_S
_TROUBLE_NS = 600 * clock.NS_PER_S
_LATE_NS = 3600 * clock.NS_PER_S  # so long after its end a day still gets rows by the usual way
_REMOVED_AT_ONCE = 200
# What `store` names a commit's file, and `Run` a merged one: with how many commits it holds.
_NAME = re.compile(r"(?P<feed>.+)-(?P<epoch>\d+)-(?P<offset>\d+)(\.(?P<commits>\d+))?\.parquet")


class _File(NamedTuple):
    """A file of the table: of which feed's journal its rows are, and up to where."""

    path: str
    feed: str
    epoch: int
    offset: int
    commits: int
    size_bytes: int


class Run(NamedTuple):
    """Files of one kind, day and feed, next to each other in the journal's order."""

    kind: str
    files: tuple[_File, ...]

    @property
    def paths(self) -> list[str]:
        """Their paths, as they stand in the log."""
        return [each.path for each in self.files]

    @property
    def name(self) -> str:
        """Path of the file that is to be made of them; no other one ever had it."""
        last = self.files[-1]
        folder = last.path.partition("/")[0]
        commits = sum(each.commits for each in self.files)
        return f"{folder}/{last.feed}-{last.epoch}-{last.offset}.{commits}.parquet"


class CompactStatistics(NamedTuple):
    """Counters since the start of the process."""

    merged_files: int = 0
    made_files: int = 0
    removed_files: int = 0


class Compactor:
    """Looks after the tables of one store; one thread uses it, the one that commits.

    Args:
        store: the tables; nobody else may write them.
        on_merged: called with words for each large file that was made.
        now_ns: the wall clock; by it a day is over.
        monotonic_ns: by it a slice is.
    """

    def __init__(
        self,
        store: TableStore,
        on_merged: Callable[[str], None] = lambda _words: None,
        *,
        now_ns: Callable[[], int] = clock.wall_now_ns,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
    ) -> None:
        self._store = store
        self._on_merged = on_merged
        self._now_ns = now_ns
        self._monotonic_ns = monotonic_ns
        self._look_at_ns = monotonic_ns() + _LOOK_NS  # a start has other things to do
        self._clear_at_ns = self._look_at_ns
        self._work: Iterator[None] | None = None
        self._new_files = 0
        self._has_failed = False  # the last round
        self._unfit: set[str] = set()  # names of files that could not be made
        self._counts = CompactStatistics()

    def note_files(self, count: int) -> None:
        """Hear that so many were added: after a hundred it looks without waiting for its time."""
        self._new_files += count

    def step(self) -> bool:
        """Work for a slice; whether there is more to do now.

        Raises:
            TableError: the disk refused, or gave back other rows. It is tried again later.
        """
        now_ns = self._monotonic_ns()
        if self._work is None:
            are_many = self._new_files >= _LOOK_FILES and not self._has_failed
            if now_ns < self._look_at_ns and not are_many:
                return False
            self._new_files, self._has_failed = 0, False
            self._work = self._round()
        try:
            while self._monotonic_ns() < now_ns + _SLICE_NS:
                next(self._work)
        except StopIteration:
            self._work = None
            self._look_at_ns = self._monotonic_ns() + _LOOK_NS
            return False
        except (OSError, pa.ArrowException, TableError) as error:
            self._work = None
            self._has_failed = True
            self._look_at_ns = self._monotonic_ns() + _TROUBLE_NS
            if isinstance(error, TableError):
                raise
            hint = "Nothing is lost: the small files stay. It is tried again."
            raise TableError(f"the tables cannot be compacted: {error}", hint=hint) from error
        return True

    def statistics(self) -> CompactStatistics:
        """What was done so far."""
        return self._counts

    def close(self) -> None:
        """Leave what is half made; may be called twice."""
        if self._work is not None:
            self._work.close()  # type: ignore[attr-defined]
            self._work = None

    def _round(self) -> Iterator[None]:
        """All that there is to do now."""
        is_clearing = self._monotonic_ns() >= self._clear_at_ns
        for kind in KINDS:
            yield
            while run := self._next_run(kind):
                yield
                yield from self._merge(run)
            if is_clearing:
                yield from self._clear(kind)
        if is_clearing:
            self._unfit.clear()  # what was in their way may be gone, as a full disk is
            self._clear_at_ns = self._monotonic_ns() + _CLEAR_NS

    def _next_run(self, kind: str) -> Run | None:
        """What to merge next of a kind; None when it is well as it is."""
        today = clock.iso_utc(self._now_ns() - _LATE_NS)[:10]
        for day, files in _by_day_and_feed(self._store.actions(kind)):
            for run in _runs(kind, files, is_over=day < today):
                if run.name not in self._unfit:
                    return run
        return None

    def _merge(self, run: Run) -> Iterator[None]:
        root = self._store.root / run.kind
        merge = Merge(root, run.name, run.paths, KINDS[run.kind])
        self._unfit.add(run.name)  # until it is through
        yield from merge.run()
        failpoints.pass_by("compact.written")
        assert merge.action is not None
        self._replace(run, merge.action)

    def _replace(self, run: Run, action: AddAction) -> None:
        if not self._store.replace(run.kind, run.paths, action, self._now_ns() // 1_000_000):
            return
        failpoints.pass_by("compact.committed")
        self._unfit.discard(run.name)
        counts = self._counts
        self._counts = counts._replace(
            merged_files=counts.merged_files + len(run.files), made_files=counts.made_files + 1
        )
        day = run.name.partition("/")[0].partition("=")[2]
        self._on_merged(f"{run.kind} of {day}: {len(run.files):,} files became one")

    def _clear(self, kind: str) -> Iterator[None]:
        """Remove files that no snapshot of the last day has, and what a crash left half made."""
        root = self._store.root / kind
        for partial in root.glob("*/.*.partial"):
            partial.unlink(missing_ok=True)
        yield
        unused = self._store.unused(kind, UNUSED_HOURS)
        yield
        for number, path in enumerate(unused):
            if number % _REMOVED_AT_ONCE == 0:
                yield
            self._remove(root / path)
        if unused:
            failpoints.pass_by("compact.cleared")

    def _remove(self, path: Path) -> None:
        try:
            path.unlink()
        except FileNotFoundError:
            return
        except PermissionError:
            return  # a system on which an open file stays: its reader has it for now
        self._counts = self._counts._replace(removed_files=self._counts.removed_files + 1)


def _by_day_and_feed(actions: pa.Table | None) -> Iterator[tuple[str, list[_File]]]:
    """The files of each day and feed, in the order of the feed's journal."""
    groups: dict[tuple[str, str], list[_File]] = {}
    if actions is not None:
        sizes = actions.column("size_bytes").to_pylist()
        for path, size in zip(actions.column("path").to_pylist(), sizes, strict=True):
            folder, _, name = str(path).partition("/")
            parsed = _NAME.fullmatch(name)
            if parsed is None:
                continue
            feed, epoch, offset = parsed["feed"], int(parsed["epoch"]), int(parsed["offset"])
            commits = int(parsed["commits"] or 1)
            file = _File(str(path), feed, epoch, offset, commits, int(str(size)))
            groups.setdefault((folder.partition("=")[2], feed), []).append(file)
    for (day, _), files in sorted(groups.items()):
        yield day, sorted(files, key=lambda each: (each.epoch, each.offset))


def _runs(kind: str, files: list[_File], *, is_over: bool) -> Iterator[Run]:
    """What of a day and feed is worth merging: runs that fill a file, and the rest at its end."""
    run: list[_File] = []
    size = 0
    for file in files:
        is_large = file.size_bytes >= FILE_BYTES // 2
        if run and (is_large or size + file.size_bytes > FILE_BYTES or len(run) >= FILES_MAX):
            # A large one that follows is no reason to hurry: more small ones may come between.
            is_full = not is_large
            if len(run) >= FILES_MIN and (is_full or is_over):
                yield Run(kind, tuple(run))
            run, size = [], 0
        if not is_large:
            run.append(file)
            size += file.size_bytes
    if is_over and len(run) >= FILES_MIN:
        yield Run(kind, tuple(run))
