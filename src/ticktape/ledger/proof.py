"""Every row that the journals hold against every row that the tables hold.

Nothing is taken on trust: a row is known by its place (epoch, seq, index) and compared by a hash of
all of its columns. Both sides are hashed by the same engine, which spills to the disk when a day
does not fit into memory. Where they differ, symbol and minute of receive time say where.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.config import REST
from ticktape.journal.retention import Deleted
from ticktape.schemas import KINDS, MARKET_KINDS

MINUTE_NS = 60 * NS_PER_S
DAY_MINUTES = 24 * 60
PLACES_MAX = 20
"""So many places of one difference are named; of the others it is said how many there are."""

_IDENTITY = "hash(symbol, event_ns, exchange, id)"
_CONTENT = "hash(price, size, conditions, tape)"
_MINUTE = f"recv_ns // {MINUTE_NS}"

# Rows without an identity are never the same again: they need no sorting.
_SEEN = """
SELECT *, CASE WHEN identity IS NULL THEN 1 ELSE row_number() OVER (
    PARTITION BY identity, content ORDER BY epoch, seq, index) END AS print
FROM received WHERE kind = $kind AND feed = $feed
"""

_RECEIVED = f"""
WITH seen AS ({_SEEN}), versions AS (
    SELECT minute, print, CASE WHEN identity IS NULL OR print > 1 THEN 1 ELSE row_number() OVER (
        PARTITION BY identity ORDER BY print > 1, epoch, seq, index) END AS version
    FROM seen
)
SELECT minute // {DAY_MINUTES}, count(*), count(*) FILTER (print > 1), count(*) FILTER (version > 1)
FROM versions GROUP BY 1
"""

_STORED = f"""
SELECT minute // {DAY_MINUTES}, count(*) FROM stored
WHERE kind = $kind AND feed = $feed GROUP BY 1
"""

_DIFFERENCES = f"""
WITH seen AS ({_SEEN}), kept AS (SELECT * FROM seen WHERE print = 1),
stored_here AS (SELECT * FROM stored WHERE kind = $kind AND feed = $feed),
doubled AS (
    SELECT any_value(symbol) AS symbol, any_value(minute) AS minute, count(*) - 1 AS number
    FROM stored_here GROUP BY epoch, seq, index HAVING count(*) > 1
),
different AS (
    SELECT CASE WHEN s.row_hash IS NULL THEN CASE WHEN k.behind THEN 'behind' ELSE 'missing' END
        WHEN k.row_hash IS NULL THEN 'surplus' ELSE 'altered' END AS field,
        coalesce(k.symbol, s.symbol) AS symbol, coalesce(k.minute, s.minute) AS minute, 1 AS number
    FROM kept AS k FULL JOIN stored_here AS s USING (epoch, seq, index)
    WHERE k.row_hash IS DISTINCT FROM s.row_hash
    UNION ALL SELECT 'surplus', symbol, minute, number FROM doubled
)
SELECT field, symbol, minute, sum(number)::BIGINT FROM different
GROUP BY 1, 2, 3 ORDER BY minute, symbol, field
"""

_COUNTED = """
WITH gone AS (SELECT feed, max(minute) AS minute FROM deleted GROUP BY 1),
covered AS (
    SELECT DISTINCT feed, counted.minute FROM counted LEFT JOIN gone USING (feed)
    WHERE gone.minute IS NULL OR counted.minute > gone.minute
),
here AS (
    SELECT feed, kind, minute, symbol, count(*) AS number
    FROM received LEFT JOIN uncounted AS u USING (feed)
    WHERE list_contains($kinds, kind)
        AND (u.seq IS NULL OR (received.epoch, received.seq) < (u.epoch, u.seq))
    GROUP BY 1, 2, 3, 4
),
there AS (
    SELECT feed, kind, minute, symbol, sum(number)::BIGINT AS number FROM counted
    WHERE list_contains($kinds, kind) GROUP BY 1, 2, 3, 4
)
SELECT feed, kind, symbol, minute,
    coalesce(here.number, 0) AS decoded, coalesce(there.number, 0) AS told
FROM here FULL JOIN there USING (feed, kind, minute, symbol) SEMI JOIN covered USING (feed, minute)
WHERE decoded <> told ORDER BY minute, feed, kind, symbol
"""

_SYMBOLS = f"""
SELECT feed, kind, minute // {DAY_MINUTES}, symbol, count(*) FROM received
WHERE list_contains($kinds, kind) GROUP BY ALL ORDER BY ALL
"""


class Place(NamedTuple):
    """So many rows of one symbol in one minute of receive time (`minute_ns`: its beginning)."""

    field: str
    symbol: str
    minute_ns: int
    number: int


class KindCount(NamedTuple):
    """How one kind of one feed adds up.

    received = stored + duplicates, when missing, behind, surplus and altered are 0. `conflicts`
    are rows whose identity another row of other content has; both are kept. `behind` rows are
    journaled, and not yet in the table; `missing` ones should be there. `places` say where, in
    order of time.
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
    places: tuple[Place, ...] = ()

    @property
    def adds_up(self) -> bool:
        """Whether each row that came is in the table exactly once, as it came."""
        return not (self.missing or self.behind or self.surplus or self.altered)


class CountedPlace(NamedTuple):
    """Where the ledger `told` another number of rows than the journal has `decoded` now."""

    feed: str
    kind: str
    symbol: str
    minute_ns: int
    decoded: int
    told: int


class Proof:
    """Collects both sides, then counts; `scratch` is a folder for what does not fit into memory."""

    def __init__(self, scratch: Path) -> None:
        # Loaded where it is used: the ledger's process needs the rest of this room, and no engine.
        import duckdb

        self._engine_error = duckdb.Error
        self.con = duckdb.connect(":memory:")
        self.con.execute(f"SET temp_directory = '{str(scratch).replace(chr(39), chr(39) * 2)}'")
        place = (
            "feed VARCHAR, kind VARCHAR, epoch BIGINT, seq BIGINT, index INTEGER, "
            "symbol VARCHAR, minute BIGINT"
        )
        self.con.execute(
            f"CREATE TABLE received ({place}, row_hash UBIGINT, identity UBIGINT, "
            "content UBIGINT, behind BOOLEAN)"
        )
        self.con.execute(f"CREATE TABLE stored ({place}, row_hash UBIGINT)")
        self.con.execute(
            "CREATE TABLE counted "
            "(feed VARCHAR, kind VARCHAR, minute BIGINT, symbol VARCHAR, number BIGINT)"
        )
        self.con.execute("CREATE TABLE uncounted (feed VARCHAR, epoch BIGINT, seq BIGINT)")
        self.con.execute(
            "CREATE TABLE deleted "
            "(feed VARCHAR, epoch BIGINT, first_seq BIGINT, next_seq BIGINT, minute BIGINT)"
        )
        self._pairs: set[tuple[str, str]] = set()

    def add_received(self, source: str, kind: str, rows: pa.Table, *, behind: bool) -> None:
        """Take rows decoded from the journal of `source` (a feed, or `decision:` and a name)."""
        self._pairs.add((source, kind))
        identity, content = "NULL", "NULL"
        # What REST says twice is stored twice: the views know which of it the stream had.
        if kind == "trades" and not source.endswith(REST):
            identity, content = f"CASE WHEN id IS NULL THEN NULL ELSE {_IDENTITY} END", _CONTENT
        self.con.register("batch", rows)
        self.con.execute(
            f"INSERT INTO received SELECT $source, $kind, epoch, seq, index, symbol, {_MINUTE}, "
            f"{_row_hash(kind)}, {identity}, {content}, $behind FROM batch",
            {"source": source, "kind": kind, "behind": behind},
        )
        self.con.unregister("batch")

    def add_stored(self, kind: str, paths: Sequence[str]) -> list[str]:
        """Take all rows of a table, by the paths of its Parquet files.

        Returns which files cannot be read, in words; their rows will be missing.
        """
        if not paths:
            return []
        faults: list[str] = []
        try:
            self._take_stored(kind, paths)
        except self._engine_error:
            for path in paths:
                try:
                    self._take_stored(kind, [path])
                except self._engine_error as error:
                    words = str(error).splitlines()[0]
                    faults.append(f"table {kind}: {Path(path).name} cannot be read: {words}")
        found = self.con.execute(
            "SELECT DISTINCT feed FROM stored WHERE kind = $kind", {"kind": kind}
        ).fetchall()
        self._pairs |= {(str(feed), kind) for (feed,) in found}
        return faults

    def _take_stored(self, kind: str, paths: Sequence[str]) -> None:
        source = "feed"
        if kind == "decisions":
            source = "'decision:' || decision"
        table = "read_parquet($paths, hive_partitioning = false)"
        names = {"kind": kind, "paths": list(paths)}
        self.con.execute(
            f"INSERT INTO stored SELECT {source}, $kind, epoch, seq, index, symbol, {_MINUTE}, "
            f"{_row_hash(kind)} FROM {table}",
            names,
        )
        if not self.con.execute("SELECT 1 FROM deleted LIMIT 1").fetchall():
            return
        identity, content = "NULL", "NULL"
        if kind == "trades":
            is_known = f"id IS NULL OR ends_with(t.feed, '{REST}')"
            identity, content = f"CASE WHEN {is_known} THEN NULL ELSE {_IDENTITY} END", _CONTENT
        self.con.execute(
            f"INSERT INTO received SELECT t.feed, $kind, t.epoch, seq, index, symbol, {_MINUTE}, "
            f"{_row_hash(kind, 't.')}, {identity}, {content}, false FROM {table} AS t "
            "SEMI JOIN deleted AS d ON t.feed = d.feed AND t.epoch = d.epoch "
            "AND t.seq >= d.first_seq AND t.seq < d.next_seq "
            "ANTI JOIN (SELECT * FROM received WHERE kind = $kind) AS r "
            "ON t.feed = r.feed AND t.epoch = r.epoch AND t.seq = r.seq",
            names,
        )

    def add_deleted(self, source: str, segments: Iterable[Deleted]) -> None:
        """Say what retention took from a journal, before its rows in the tables are added.

        Of that the tables are the only witness: their rows count as received, and what the ledger
        counted up to then is not compared.
        """
        for each in segments:
            self.con.execute(
                "INSERT INTO deleted VALUES (?, ?, ?, ?, ?)",
                [source, each.epoch, each.first_seq, each.next_seq, each.last_ns // MINUTE_NS],
            )

    def add_counted(self, rows: Iterable[tuple[str, str, int, str, int]]) -> None:
        """Take what the ledger counted: (feed, kind, minute_ns, symbol, number); they add up."""
        columns = list(zip(*rows, strict=True))
        if columns:
            feed, kind, minute_ns, symbol, number = columns
            self.con.register(
                "batch",
                pa.table(
                    {
                        "feed": pa.array(feed, pa.string()),
                        "kind": pa.array(kind, pa.string()),
                        "minute": pa.array([ns // MINUTE_NS for ns in minute_ns], pa.int64()),
                        "symbol": pa.array(symbol, pa.string()),
                        "number": pa.array(number, pa.int64()),
                    }
                ),
            )
            self.con.execute("INSERT INTO counted SELECT * FROM batch")
            self.con.unregister("batch")

    def add_uncounted(self, feed: str, epoch: int, seq: int) -> None:
        """Say which entry of a feed is the first that the ledger has not counted."""
        self.con.execute("INSERT INTO uncounted VALUES (?, ?, ?)", [feed, epoch, seq])

    def counts(self) -> list[KindCount]:
        """How each kind of each source adds up, over all days."""
        return sum_counts(self.counts_by_day())

    def counts_by_day(self) -> dict[int, list[KindCount]]:
        """The same for each day of receive time alone, by days since 1970, in their order."""
        found: dict[int, list[KindCount]] = {}
        for pair in sorted(self._pairs):
            for day, count in self._judge(*pair).items():
                found.setdefault(day, []).append(count)
        return dict(sorted(found.items()))

    def _judge(self, source: str, kind: str) -> dict[int, KindCount]:
        names = {"kind": kind, "feed": source}
        empty = KindCount(source, kind, 0, 0, 0, 0, 0, 0, 0, 0)
        found: dict[int, KindCount] = {}
        for day, received, duplicates, conflicts in self.con.execute(_RECEIVED, names).fetchall():
            found[day] = empty._replace(
                received=received, duplicates=duplicates, conflicts=conflicts
            )
        for day, stored in self.con.execute(_STORED, names).fetchall():
            found[day] = found.get(day, empty)._replace(stored=stored)
        for field, symbol, minute, number in self.con.execute(_DIFFERENCES, names).fetchall():
            count = found.get(minute // DAY_MINUTES, empty)
            place = Place(field, symbol, minute * MINUTE_NS, number)
            changed = {field: getattr(count, field) + number, "places": (*count.places, place)}
            found[minute // DAY_MINUTES] = count._replace(**changed)
        return found

    def symbols_by_day(self) -> dict[tuple[str, str, int], dict[str, int]]:
        """Rows received of each symbol, by (feed, kind, day since 1970)."""
        rows = self.con.execute(_SYMBOLS, {"kinds": list(MARKET_KINDS)}).fetchall()
        found: dict[tuple[str, str, int], dict[str, int]] = {}
        for feed, kind, day, symbol, number in rows:
            found.setdefault((feed, kind, day), {})[symbol] = number
        return found

    def miscounted(self) -> list[CountedPlace]:
        """Where the ledger counted otherwise, in the minutes that it counted at all."""
        rows = self.con.execute(_COUNTED, {"kinds": list(MARKET_KINDS)}).fetchall()
        return [
            CountedPlace(feed, kind, symbol, minute * MINUTE_NS, decoded, told)
            for feed, kind, symbol, minute, decoded, told in rows
        ]

    def close(self) -> None:
        """Give the memory back; may be called twice."""
        self.con.close()


def sum_counts(by_day: Mapping[int, Iterable[KindCount]]) -> list[KindCount]:
    """One count of each kind and source for all days; the places in order of time."""
    found: dict[tuple[str, str], KindCount] = {}
    for day in sorted(by_day):
        for count in by_day[day]:
            key = (count.feed, count.kind)
            found[key] = _plus(found[key], count) if key in found else count
    return [found[key] for key in sorted(found)]


def _plus(count: KindCount, more: KindCount) -> KindCount:
    names = KindCount._fields[2:-1]
    sums = {name: getattr(count, name) + getattr(more, name) for name in names}
    return count._replace(**sums, places=count.places + more.places)


def _row_hash(kind: str, prefix: str = "") -> str:
    columns = ", ".join(f'{prefix}"{name}"' for name in KINDS[kind].names)
    return f"hash({columns})"
