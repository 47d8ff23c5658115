"""Every row that the journals hold against every row that the tables hold.

Nothing is taken on trust: a row is known by its place (epoch, seq, index) and compared by a hash of
all of its columns. Both sides are hashed by the same engine, which spills to the disk when a day
does not fit into memory.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa

from ticktape.schemas import KINDS

_IDENTITY = "hash(symbol, event_ns, exchange, id)"
_CONTENT = "hash(price, size, conditions, tape)"

_COUNTS = """
WITH seen AS (
    SELECT *, CASE WHEN identity IS NULL THEN 1 ELSE row_number() OVER (
        PARTITION BY identity, content ORDER BY epoch, seq, index) END AS print
    FROM received WHERE kind = $kind AND feed = $feed
), kept AS (SELECT * FROM seen WHERE print = 1),
stored_here AS (SELECT * FROM stored WHERE kind = $kind AND feed = $feed)
SELECT
    (SELECT count(*) FROM seen),
    (SELECT count(*) FROM seen WHERE print > 1),
    (SELECT count(*) - count(DISTINCT identity) FROM kept WHERE identity IS NOT NULL),
    (SELECT count(*) FROM stored_here),
    (SELECT count(*) FROM kept ANTI JOIN stored_here USING (epoch, seq, index) WHERE NOT behind),
    (SELECT count(*) FROM kept ANTI JOIN stored_here USING (epoch, seq, index) WHERE behind),
    (SELECT count(*) FROM stored_here ANTI JOIN kept USING (epoch, seq, index))
        + (SELECT count(*) - count(DISTINCT (epoch, seq, index)) FROM stored_here),
    (SELECT count(*) FROM kept JOIN stored_here USING (epoch, seq, index)
        WHERE kept.row_hash <> stored_here.row_hash)
"""


class KindCount(NamedTuple):
    """How one kind of one feed adds up.

    received = stored + duplicates, when missing, behind, surplus and altered are 0. `conflicts`
    are rows whose
    identity another row of other content has; both are kept. `behind` rows are journaled, and not
    yet in the table; `missing` ones should be there.
    """

    feed: str
    kind: str
    received: int
    duplicates: int
    conflicts: int
    stored: int
    missing: int
    behind: int
    surplus: int
    altered: int

    @property
    def adds_up(self) -> bool:
        """Whether each row that came is in the table exactly once, as it came."""
        return not (self.missing or self.behind or self.surplus or self.altered)


class Proof:
    """Collects both sides, then counts; `scratch` is a folder for what does not fit into memory."""

    def __init__(self, scratch: Path) -> None:
        self._con = duckdb.connect(":memory:")
        self._con.execute(f"SET temp_directory = '{str(scratch).replace(chr(39), chr(39) * 2)}'")
        place = "feed VARCHAR, kind VARCHAR, epoch BIGINT, seq BIGINT, index INTEGER"
        self._con.execute(
            f"CREATE TABLE received ({place}, row_hash UBIGINT, identity UBIGINT, "
            "content UBIGINT, behind BOOLEAN)"
        )
        self._con.execute(f"CREATE TABLE stored ({place}, row_hash UBIGINT)")
        self._pairs: set[tuple[str, str]] = set()

    def add_received(self, source: str, kind: str, rows: pa.Table, *, behind: bool) -> None:
        """Take rows decoded from the journal of `source` (a feed, or `decision:` and a name)."""
        self._pairs.add((source, kind))
        identity, content = "NULL", "NULL"
        if kind == "trades":
            identity, content = f"CASE WHEN id IS NULL THEN NULL ELSE {_IDENTITY} END", _CONTENT
        self._con.register("batch", rows)
        self._con.execute(
            f"INSERT INTO received SELECT $source, $kind, epoch, seq, index, {_row_hash(kind)}, "
            f"{identity}, {content}, $behind FROM batch",
            {"source": source, "kind": kind, "behind": behind},
        )
        self._con.unregister("batch")

    def add_stored(self, kind: str, paths: Sequence[str]) -> list[str]:
        """Take all rows of a table, by the paths of its Parquet files.

        Returns which files cannot be read, in words; their rows will be missing.
        """
        if not paths:
            return []
        faults: list[str] = []
        try:
            self._take_stored(kind, paths)
        except duckdb.Error:
            for path in paths:
                try:
                    self._take_stored(kind, [path])
                except duckdb.Error as error:
                    words = str(error).splitlines()[0]
                    faults.append(f"table {kind}: {Path(path).name} cannot be read: {words}")
        found = self._con.execute(
            "SELECT DISTINCT feed FROM stored WHERE kind = $kind", {"kind": kind}
        ).fetchall()
        self._pairs |= {(str(feed), kind) for (feed,) in found}
        return faults

    def _take_stored(self, kind: str, paths: Sequence[str]) -> None:
        source = "feed"
        if kind == "decisions":
            source = "'decision:' || decision"
        self._con.execute(
            f"INSERT INTO stored SELECT {source}, $kind, epoch, seq, index, {_row_hash(kind)} "
            "FROM read_parquet($paths, hive_partitioning = false)",
            {"kind": kind, "paths": list(paths)},
        )

    def counts(self) -> list[KindCount]:
        """How each kind of each source adds up."""
        return [
            KindCount(
                source,
                kind,
                *self._con.execute(_COUNTS, {"kind": kind, "feed": source}).fetchall()[0],
            )
            for source, kind in sorted(self._pairs)
        ]

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self._con.close()


def _row_hash(kind: str) -> str:
    columns = ", ".join(f'"{name}"' for name in KINDS[kind].names)
    return f"hash({columns})"
