"""Where REST may have told more than was streamed, found by counts and sums of hashes.

Nearly all of what REST tells of was streamed as well. So both sides are added up first, in parts of
time of each symbol; where they have as many rows, and the same sum of their hashes, there is
nothing to show, and no row of that part is looked at again.
"""

from itertools import pairwise
from typing import Final, NamedTuple

import duckdb

from ticktape.clock import NS_PER_S
from ticktape.config import REST
from ticktape.schemas import KINDS
from ticktape.table.sources import Source, day_of, quoted

HEALED_FEED: Final = f"left(feed, -{len(REST)})"
"""The name of the feed that a row of REST heals."""

PLACE: Final = ("feed", "recv_ns", "witness", "epoch", "seq", "index", "day")
"""Columns that do not tell what happened, but where it came from."""

INSTANT_NS: Final = 1
"""The smallest part of time in which two sides can be compared."""

_NEAR_NS = 600 * NS_PER_S
_STRETCHES_MAX = 32  # more make each query longer than what they leave out
_SYMBOLS_MAX = 8  # to compare each row with more takes as long as to match them all

# What two rows have in common of which one accounts for the other, beside feed and symbol.
_KEYS = {"trades": ("event_ns", "exchange", "id"), "bars": ("event_ns", "span")}
# Without an id rows are known by all that they have, and not by these keys.
_IS_KNOWN = {"trades": "count(id) = count(*)"}
# Of bars that one page has twice the last one counts.
_IS_ONE_PAGE = {"bars": "false"}

# Hashed twice, because the first hash of several columns is a linear combination: sums of those
# may be equal where two ids have changed places.
_TOLD = """
CREATE OR REPLACE TABLE {told} AS
SELECT {feed} AS feed, symbol, {part} AS part, {is_known} AS is_known, {is_one_page} AS is_one_page,
    count(*) AS number, sum(hash(hash({keys}))) AS content,
    min(event_ns) AS from_ns, max(event_ns) AS to_ns
FROM ({of_rest}) GROUP BY {by}
"""
_DOUBTFUL = """
CREATE OR REPLACE TABLE {doubtful} AS
SELECT {columns}, heard.number IS NULL AND is_one_page AS is_alone
FROM {told} AS told LEFT JOIN (
    SELECT {by}, count(*) AS number, sum(hash(hash({keys}))) AS content
    FROM (SELECT *, {part} AS part FROM ({streamed})) GROUP BY {by}
) AS heard USING ({by})
WHERE NOT is_known OR (told.number, told.content) IS DISTINCT FROM (heard.number, heard.content)
"""
_COLUMNS = "told.feed, symbol, part, told.number, from_ns, to_ns"
_OF_DOUBTFUL = """
SELECT rest.* FROM ({of_rest}) AS rest SEMI JOIN (
    SELECT feed AS healed, symbol AS named, part FROM {doubtful} WHERE is_alone = {alone}
) AS doubtful ON symbol = named AND {part} = part{same_feed}
"""
_LIE = f"""
SELECT min(from_ns) AS first_ns, max(to_ns) AS last_ns,
    {day_of("first_ns")}, {day_of("last_ns")}
FROM {{table}} GROUP BY from_ns // {{near_ns}} ORDER BY 1
"""
_SYMBOLS = f"SELECT DISTINCT symbol FROM {{table}} LIMIT {_SYMBOLS_MAX + 1}"


class Span(NamedTuple):
    """The first and the last `event_ns` of rows of REST.

    Between them are `stretches`, both ends inclusive, beyond which there is none, and `days`.
    `symbols` are theirs; none is given where there are many.
    """

    from_ns: int
    to_ns: int
    stretches: tuple[tuple[int, int], ...]
    days: tuple[str, ...]
    symbols: tuple[str, ...]

    def near(self) -> str:
        """The condition that a row lies there; by day, too, as the files do."""
        days = ", ".join(map(quoted, self.days))
        times = " OR ".join(
            f"event_ns BETWEEN {first} AND {last}" for first, last in self.stretches
        )
        near = f"day IN ({days}) AND event_ns BETWEEN {self.from_ns} AND {self.to_ns} AND ({times})"
        if self.symbols:
            near += f" AND symbol IN ({', '.join(map(quoted, self.symbols))})"
        return near


class Comparison:
    """REST beside the stream, of one kind, in parts of time; `tell`, then `doubt`.

    What is doubtful is in a table of the connection then, which is called after `name`.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        kind: str,
        source: Source,
        *,
        part_ns: int,
        name: str,
    ) -> None:
        self._con = con
        self._kind = kind
        self._part = f"event_ns // {part_ns}"
        self._told, self._doubtful = f"{name}_told", f"{name}_doubtful"
        feeds = source.feeds
        # One text less to group by takes half the time.
        self._one_feed = (
            None not in feeds and len({str(feed).removesuffix(REST) for feed in feeds}) == 1
        )

    def tell(self, of_rest: str) -> Span | None:
        """Add up rows of REST; where they lie, or None when there are none."""
        self._execute(
            _TOLD,
            of_rest=of_rest,
            feed="NULL" if self._one_feed else HEALED_FEED,
            is_known=_IS_KNOWN.get(self._kind, "true"),
            is_one_page=_IS_ONE_PAGE.get(
                self._kind, "min(epoch) = max(epoch) AND min(seq) = max(seq)"
            ),
        )
        return self._span(self._told)

    def doubt(self, streamed: str) -> Span | None:
        """Compare them with streamed rows; where the doubtful lie, or None when there are none."""
        self._execute(_DOUBTFUL, streamed=streamed, columns=_COLUMNS)
        self._con.execute(f"DROP TABLE {self._told}")
        return self._span(self._doubtful)

    def number(self, *, alone: bool) -> int:
        """How many rows `doubtful` has."""
        (rows,) = self._con.execute(
            f"SELECT coalesce(sum(number), 0)::BIGINT FROM {self._doubtful}"
            f" WHERE is_alone = {alone}"
        ).fetchall()[0]
        return int(rows)

    def doubtful(self, of_rest: str, *, alone: bool) -> str:
        """The query of rows of REST that are in doubt.

        They are `alone` where nothing was streamed, and REST told it once: they are to be shown.
        """
        return _OF_DOUBTFUL.format(
            doubtful=self._doubtful,
            of_rest=of_rest,
            part=self._part,
            alone=alone,
            same_feed="" if self._one_feed else f" AND {HEALED_FEED} = healed",
        )

    def _execute(self, text: str, **names: str) -> None:
        others = [name for name in KINDS[self._kind].names if name not in (*PLACE, "symbol")]
        self._con.execute(
            text.format(
                told=self._told,
                doubtful=self._doubtful,
                part=self._part,
                keys=", ".join(f'"{name}"' for name in _KEYS.get(self._kind, others)),
                by="symbol, part" if self._one_feed else "feed, symbol, part",
                **names,
            )
        )

    def _span(self, table: str) -> Span | None:
        parts = self._con.execute(_LIE.format(table=table, near_ns=_NEAR_NS)).fetchall()
        if not parts:
            return None
        found = [(first_ns, last_ns) for first_ns, last_ns, *_ in parts]
        days = {day for _, _, *both in parts for day in both}
        symbols = [s for (s,) in self._con.execute(_SYMBOLS.format(table=table)).fetchall()]
        return Span(
            found[0][0],
            max(to_ns for _, to_ns in found),
            _joined(found),
            tuple(sorted(days)),
            tuple(sorted(symbols)) if len(symbols) <= _SYMBOLS_MAX else (),
        )


def _joined(found: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Stretches without the holes that are not worth a condition of their own."""
    holes = sorted((later[0] - before[1] for before, later in pairwise(found)), reverse=True)
    least_ns = max([_NEAR_NS, *holes[_STRETCHES_MAX - 1 : _STRETCHES_MAX]])
    joined = [found[0]]
    for from_ns, to_ns in found[1:]:
        if from_ns - joined[-1][1] > least_ns:
            joined.append((from_ns, to_ns))
        else:
            joined[-1] = (joined[-1][0], to_ns)
    return tuple(joined)
