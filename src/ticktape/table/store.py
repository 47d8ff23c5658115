"""One Delta table per kind under DIR/table, committed together with the journal's position.

Each commit carries Delta `txn` actions, which replace one another by app id and survive
checkpoints: the feed's name with the position (epoch * 2**44 + offset: 524,288 starts, 17.6 TB
each), and `feed/received`, `feed/duplicates`, `feed/conflicts` with the counts so far. Rows,
position and counts are therefore visible at once or not at all. Never may a position be committed
twice, nor rows be seen before they are on the disk.
"""

import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from ticktape.errors import TableError
from ticktape.records import Position
from ticktape.schemas import KINDS
from ticktape.table.files import make_directory, sync_directory, sync_log, write_file
from ticktape.table.soundness import LAST_COUNTER, drop_torn_commit, missing_file, torn_commit

OFFSET_BITS = 44
OFFSET_MAX = 2**OFFSET_BITS - 1
EPOCH_MAX = 2 ** (63 - OFFSET_BITS) - 1
_NS_PER_DAY = 86_400 * 1_000_000_000

# A commit every 5 s makes 17,280 log entries a day; readers need none older than a checkpoint. And
# each commit reads those since the last one: at 100 it took twice the time that it takes at 20.
_CONFIGURATION: dict[str, str | None] = {
    "delta.checkpointInterval": "20",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 days",
}
# No name of a feed begins with a colon.
_COMPACTION = f":compaction{LAST_COUNTER}"
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.-]+")

Step = Callable[[str], None]


class Tally(NamedTuple):
    """What came for one kind and feed: `received` = rows stored + `duplicates`.

    `conflicts` are stored rows whose identity another row of other content has.
    """

    received: int = 0
    duplicates: int = 0
    conflicts: int = 0

    @property
    def stored(self) -> int:
        """How many rows that makes."""
        return self.received - self.duplicates

    def plus(self, other: "Tally") -> "Tally":
        """Add, field by field."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


class SetAside(NamedTuple):
    """A table that could not be read, and where it was moved; it must be made again."""

    kind: str
    path: Path
    reason: str


class TableStore:
    """The tables of one run's directory; one process writes, any number read.

    The snapshot of a kind is taken when it is first asked for and moves on only with our own
    commits, so that positions and rows that a reader combines are of one instant. With `read_only`
    nothing on the disk is touched. `on_step` is called by name at every step of a commit, for tests
    of crashes.
    """

    def __init__(
        self, directory: Path | str, *, read_only: bool = False, on_step: Step | None = None
    ) -> None:
        self.root = Path(os.path.abspath(directory)) / "table"
        if "%" in str(self.root):
            raise TableError(
                f"{self.root}: deltalake 1.6 cannot keep a table under a path with '%' in it",
                hint="Choose another directory.",
            )
        self.set_aside: list[SetAside] = []
        self.dropped: list[SetAside] = []  # last commits that a power loss had torn
        self._read_only = read_only
        self._step: Step = on_step or (lambda _name: None)
        self._snapshots: dict[str, DeltaTable | None] = {}
        # What the snapshots say; asked of one of them it takes as long as a thousand rows.
        self._transactions: dict[str, dict[str, int | None]] = {}
        self._whole: set[str] = set()  # kinds whose last commit, ours, is through

    def kinds(self) -> list[str]:
        """Give the kinds that have a table, in the order of `schemas.KINDS`."""
        return [kind for kind in KINDS if self._snapshot(kind) is not None]

    def committed(self, kind: str, feed: str) -> Position | None:
        """Tell how far in the feed's journal the rows of this kind are in the table."""
        version = self._transaction(kind, feed)
        if version is None:
            return None
        return Position(version >> OFFSET_BITS, version & OFFSET_MAX)

    def tally(self, kind: str, feed: str) -> Tally:
        """Tell what came for this kind and feed since the table's beginning."""
        return Tally(*(self._transaction(kind, f"{feed}/{name}") or 0 for name in Tally._fields))

    def append(
        self, kind: str, rows: pa.Table, feed: str, position: Position, tally: Tally
    ) -> bool:
        """Add the rows that came up to `position`, with `tally` of what came; wait until synced.

        May be called again with the same arguments after any failure or crash. Gives False when the
        position was committed before. `rows` may be empty when all that came were duplicates.

        Raises:
            TableError: the disk refused or the table changed under us; nothing of it is visible, or
            all.
        """
        version = _version(position)
        with _named(kind):
            # A commit that failed late may be in the log all the same: look, then decide.
            known = self._snapshot(kind) if kind in self._whole else self._refresh(kind)
            snapshot = known or self._create(kind)
            committed = self._transaction(kind, feed)
            if committed is not None and committed >= version:
                sync_log(self.root / kind, snapshot.version())
                return False
            self._step("before-files")
            actions = self._write(kind, rows, _file_name(feed, position))
            self._step("before-commit")
            total = self.tally(kind, feed).plus(tally)
            counters = {f"{feed}/{name}": count for name, count in total._asdict().items()}
            said = {feed: version, **counters}
            told = {**self._transactions.get(kind, {}), **said}
            self._commit(kind, snapshot, [*actions], said)
            self._step("after-commit")
            sync_log(self.root / kind, cast("DeltaTable", self._refresh(kind)).version())
            self._transactions[kind] = told
            self._whole.add(kind)
            self._step("after-sync")
        return True

    def replace(self, kind: str, gone: Collection[str], added: AddAction, now_ms: int) -> bool:
        """Have `added`, which holds their rows, in the place of the files `gone`; until synced.

        Paths are as in the log. The files themselves stay: readers may have them open. Gives False
        when one of them is no longer of the table, and then nothing was changed.

        Raises:
            TableError: the disk refused; the one or the others are visible.
        """
        with _named(kind):
            snapshot = self._refresh(kind)
            if snapshot is None or not set(gone).issubset(self.paths(kind)):
                return False
            day = dict(added.partition_values)
            removed = [
                RemoveAction(path, False, now_ms, partition_values=day)  # data stays as it was
                for path in gone
            ]
            replaced = (snapshot.transaction_version(_COMPACTION) or 0) + len(gone)
            self._commit(kind, snapshot, [*removed, added], {_COMPACTION: replaced})
            sync_log(self.root / kind, cast("DeltaTable", self._refresh(kind)).version())
        return True

    def unused(self, kind: str, hours: int) -> list[str]:
        """Give the paths of files that no snapshot of the last `hours` has; at least one hour.

        Raises:
            TableError: the table cannot be read.
        """
        with _named(kind):
            snapshot = self._refresh(kind)
            if snapshot is None:
                return []
            # It looks only: what it would do by itself is one step, however long that takes.
            return snapshot.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)

    def rows(
        self,
        kind: str,
        *,
        columns: list[str] | None = None,
        feed: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> pa.Table:
        """Read committed rows with `event_ns` in [from_ns, to_ns], sorted by nothing."""
        keep: pc.Expression | None = None
        for bound in (
            None if feed is None else pc.field("feed") == feed,
            None if from_ns is None else pc.field("event_ns") >= from_ns,
            None if to_ns is None else pc.field("event_ns") <= to_ns,
        ):
            if bound is not None:
                keep = bound if keep is None else keep & bound
        return self._read(kind, self.files(kind), columns, keep)

    def rows_at(
        self, kind: str, feed: str, event_ns: "np.ndarray[Any, Any]", columns: list[str]
    ) -> pa.Table:
        """Read committed rows of a feed whose event time is among `event_ns` (sorted, unique).

        Opens only files whose range of times holds one of them.
        """
        actions = self.actions(kind)
        if actions is None or not len(event_ns):
            return self._read(kind, [], columns, None)
        low = actions.column("min.event_ns").to_numpy()
        high = actions.column("max.event_ns").to_numpy()
        hit = np.searchsorted(event_ns, low, "left") < np.searchsorted(event_ns, high, "right")
        paths = actions.filter(pa.array(hit)).column("path").to_pylist()
        keep = (pc.field("feed") == feed) & pc.field("event_ns").isin(pa.array(event_ns))
        return self._read(
            kind, [str(self.root / kind / str(path)) for path in paths], columns, keep
        )

    def event_ns_max(self, kind: str, feed: str) -> int | None:
        """Give an upper bound of the feed's event times in the table; None when it has no rows."""
        actions = self.actions(kind)
        if actions is None:
            return None
        covers = pc.and_(
            pc.less_equal(actions.column("min.feed"), pa.scalar(feed)),
            pc.greater_equal(actions.column("max.feed"), pa.scalar(feed)),
        )
        return cast("int | None", pc.max(actions.column("max.event_ns").filter(covers)).as_py())

    def files(self, kind: str) -> list[str]:
        """Give the paths of the Parquet files of the snapshot."""
        return [str(self.root / kind / path) for path in self.paths(kind)]

    def paths(self, kind: str) -> list[str]:
        """Give their paths within the kind's folder, as they stand in the log."""
        actions = self.actions(kind)
        return [] if actions is None else list(map(str, actions.column("path").to_pylist()))

    def _transaction(self, kind: str, app_id: str) -> int | None:
        snapshot = self._snapshot(kind)
        if snapshot is None:
            return None
        known = self._transactions.setdefault(kind, {})
        if app_id not in known:
            known[app_id] = snapshot.transaction_version(app_id)
        return known[app_id]

    def actions(self, kind: str) -> pa.Table | None:
        """Give what the log says of each file of the snapshot; None when there is none."""
        snapshot = self._snapshot(kind)
        if snapshot is None:
            return None
        actions = pa.table(snapshot.get_add_actions(flatten=True))
        return actions if actions.num_rows else None

    def _read(
        self, kind: str, paths: list[str], columns: list[str] | None, keep: pc.Expression | None
    ) -> pa.Table:
        schema = KINDS[kind]
        if not paths:
            return schema.empty_table().select(columns or schema.names)
        # Only here: it brings pandas where that is installed, a fifth of a second at every start.
        import pyarrow.dataset as ds

        found = ds.dataset(paths, schema=schema, format="parquet")
        return found.to_table(columns=columns or schema.names, filter=keep)

    def _snapshot(self, kind: str) -> DeltaTable | None:
        if kind not in self._snapshots:
            self._snapshots[kind] = self._open(kind)
        return self._snapshots[kind]

    def _open(self, kind: str) -> DeltaTable | None:
        path = self.root / kind
        if not any((path / "_delta_log").glob("*.json")):
            return None  # never made, or its making was cut short before it held anything
        if not self._read_only and (dropped := drop_torn_commit(path)) is not None:
            self.dropped.append(SetAside(kind, dropped, "its last commit is torn"))
        try:
            fault = torn_commit(path)  # in our words: deltalake cannot read it, or reads too little
            if not fault:
                snapshot = DeltaTable(path)
                fault = missing_file(path, snapshot)
        except (DeltaError, OSError, ValueError) as error:
            fault = str(error)
        if not fault:
            return snapshot
        if self._read_only:
            raise TableError(
                f"table {kind!r} at {path} cannot be read: {fault}",
                hint="The next `ticktape record` mends it from the journal.",
            )
        self._move_aside(kind, path, fault)
        return None

    def _move_aside(self, kind: str, path: Path, fault: str) -> None:
        number = 1
        while (aside := path.with_name(f"{kind}.unreadable-{number}")).exists():
            number += 1
        path.rename(aside)
        sync_directory(path.parent)
        self.set_aside.append(SetAside(kind, aside, fault))

    def _create(self, kind: str) -> DeltaTable:
        path = self.root / kind
        make_directory(path)
        schema = Schema.from_arrow(_delta_schema(kind))
        self._step("before-create")
        snapshot = DeltaTable.create(
            path, schema, mode="ignore", partition_by=["day"], configuration=_CONFIGURATION
        )
        self._step("after-create")
        sync_log(self.root / kind, snapshot.version())
        self._snapshots[kind] = snapshot
        return snapshot

    def _refresh(self, kind: str) -> DeltaTable | None:
        snapshot = self._snapshot(kind)
        if snapshot is not None:
            snapshot.update_incremental()
            self._transactions.pop(kind, None)
        return snapshot

    def _write(self, kind: str, rows: pa.Table, name: str) -> list[AddAction]:
        if not rows.num_rows:
            return []
        event_ns = rows.column("event_ns").to_numpy()
        first, last = int(event_ns.min()) // _NS_PER_DAY, int(event_ns.max()) // _NS_PER_DAY
        parts = {first: rows}
        if first < last:
            day = np.floor_divide(event_ns, _NS_PER_DAY)
            parts = {n: rows.filter(pa.array(day == n)) for n in np.unique(day).tolist()}
        actions = []
        for number, part in parts.items():
            folder = f"day={np.datetime64(number, 'D')}"
            actions.append(write_file(self.root / kind, f"{folder}/{name}", part))
            self._step("after-file")
        return actions

    def _commit(
        self,
        kind: str,
        snapshot: DeltaTable,
        actions: list[AddAction | RemoveAction],
        transactions: dict[str, int],
    ) -> None:
        self._whole.discard(kind)
        properties = CommitProperties(
            app_transactions=[Transaction(app, version) for app, version in transactions.items()]
        )
        snapshot.create_write_transaction(
            actions,
            "append",
            Schema.from_arrow(_delta_schema(kind)),
            ["day"],
            commit_properties=properties,
        )


def _version(position: Position) -> int:
    if not (0 <= position.epoch <= EPOCH_MAX and 0 <= position.offset <= OFFSET_MAX):
        raise TableError(
            f"position {position} does not fit into the table's transaction version",
            hint="Record into a new directory; its epochs begin at 0 again.",
        )
    return position.epoch << OFFSET_BITS | position.offset


def _file_name(feed: str, position: Position) -> str:
    # Paths in a Delta log are percent-encoded; names that need no encoding cannot go wrong.
    plain = feed if _PLAIN_NAME.fullmatch(feed) else feed.encode().hex()
    # `table/compact.py` finds a feed's files, and their order, by this name.
    return f"{plain}-{position.epoch}-{position.offset}.parquet"


def _delta_schema(kind: str) -> pa.Schema:
    return KINDS[kind].append(pa.field("day", pa.string()))


@contextmanager
def _named(kind: str) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise TableError(
            f"table {kind!r} cannot be written: {error}",
            hint="The journal has it all; free disk space or look at the directory, "
            "and the table goes on by itself.",
        ) from error
