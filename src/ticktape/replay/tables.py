"""The tables as they stand in a folder, group by group and sorted by place; only reading.

What cannot be read is named and passed over, so that the rest is still compared.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

from ticktape.directory import DECISION
from ticktape.errors import TableError
from ticktape.replay.derive import EntryPlace, Group
from ticktape.replay.differences import Batches
from ticktape.schemas import KINDS
from ticktape.table.store import TableStore

_MEMORY = "1GB"  # what sorting takes; more goes into the spill folder
_BATCH_ROWS = 16_384

_ROWS = """
SELECT {columns} FROM read_parquet($paths, hive_partitioning = false)
WHERE {source} = $source AND {before} ORDER BY epoch, seq, index
"""

_GROUPS = """
SELECT {source}, count(*) FROM read_parquet($paths, hive_partitioning = false) GROUP BY 1
"""


class Tables:
    """One instant of the tables under a folder.

    Args:
        root: the folder in which `table` is.
        spill: a folder for what does not fit into memory.
    """

    def __init__(self, root: Path, spill: Path) -> None:
        self.faults: list[str] = []
        self._con = duckdb.connect(":memory:")
        self._con.execute(f"SET memory_limit = '{_MEMORY}'")
        self._con.execute(f"SET temp_directory = '{str(spill).replace(chr(39), chr(39) * 2)}'")
        self._paths: dict[tuple[str, str], list[str]] = {}
        store = TableStore(root, read_only=True)
        for kind in KINDS:
            try:
                paths = store.files(kind)
            except TableError as error:
                self.faults.append(str(error.args[0]))
                continue
            for path in paths:
                day = Path(path).parent.name.removeprefix("day=")
                self._paths.setdefault((kind, day), []).append(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._con.close()

    def groups(self) -> dict[Group, int]:
        """Group -> its rows; files that cannot be read are left out from here on."""
        found: dict[Group, int] = {}
        for (kind, day), paths in self._paths.items():
            try:
                self._read_through(kind, paths)
            except duckdb.Error:
                paths[:] = [path for path in paths if self._is_readable(kind, path)]
            if paths:
                asked = _GROUPS.format(source=_source(kind))
                for source, count in self._con.execute(asked, {"paths": paths}).fetchall():
                    found[Group(kind, str(source), day)] = count
        return found

    def _is_readable(self, kind: str, path: str) -> bool:
        try:
            self._read_through(kind, [path])
        except duckdb.Error as error:
            words = str(error).splitlines()[0]
            self.faults.append(f"table {kind!r}: {Path(path).name} cannot be read: {words}")
            return False
        return True

    def _read_through(self, kind: str, paths: list[str]) -> None:
        """Read every value once.

        Raises:
            duckdb.Error: one cannot be read.
        """
        columns = ", ".join(f'"{name}"' for name in KINDS[kind].names)
        self._con.execute(
            f"SELECT bit_xor(hash({columns})) FROM read_parquet($paths, hive_partitioning = false)",
            {"paths": paths},
        ).fetchall()

    def batches(self, group: Group, before: EntryPlace | None = None) -> Batches:
        """A group's rows sorted by place; with `before` only those of entries before that one."""
        kind, source, day = group
        paths = self._paths.get((kind, day), [])
        return _cast(kind, self._sorted(kind, source, paths, before)) if paths else ()

    def _sorted(
        self, kind: str, source: str, paths: list[str], before: EntryPlace | None
    ) -> Iterator[pa.RecordBatch]:
        asked: dict[str, Any] = {"paths": paths, "source": source}
        condition = "true"
        if before is not None:
            condition = "(epoch < $epoch OR (epoch = $epoch AND seq < $seq))"
            asked |= {"epoch": before[0], "seq": before[1]}
        columns = ", ".join(f'"{name}"' for name in KINDS[kind].names)
        text = _ROWS.format(columns=columns, source=_source(kind), before=condition)
        # A cursor of its own: two groups are read side by side.
        with self._con.cursor() as cursor:
            batches = cursor.sql(text, params=asked).to_arrow_reader(_BATCH_ROWS)
            assert batches is not None
            yield from batches


def _source(kind: str) -> str:
    return f"'{DECISION}:' || decision" if kind == "decisions" else "feed"


def _cast(kind: str, batches: Batches) -> Iterator[pa.RecordBatch]:
    """The columns in our own types; an engine names a list's elements otherwise."""
    for batch in batches:
        yield batch.cast(KINDS[kind])
