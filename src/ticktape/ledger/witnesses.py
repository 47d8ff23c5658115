"""What REST has and the stream had not, and the other way round, by minute and symbol.

Rows of both are matched as the views match them: trades by (symbol, time, exchange, id), bars by
(symbol, span, time), all others by the whole row; of what one request says the most counts, so that
asking twice makes no trade of its own. REST shows a corrected trade where the stream sent the
correction: that is the same trade. Times are the venue's: what REST was asked for says which of
them a gap was, and where it was not asked, how late by our clock the stream usually was.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median_low
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.ledger.gaps import GapInterval, base_feed
from ticktape.ledger.proof import MINUTE_NS
from ticktape.schemas import KINDS

KINDS_OF_REST = ("trades", "quotes", "bars")
EDGE_NS = 2 * NS_PER_S
"""A gap that REST was not asked for begins and ends by our clock, and a row has the venue's: of
those on their way then, nobody can say by the clocks alone that they fell into it."""

if TYPE_CHECKING:
    import duckdb

_ORIGIN = 8  # columns that say where a row came from, before its own
_FOREVER_NS = 2**63 - 1
_DAY_NS = 86_400 * NS_PER_S
_BAR_NS = 60 * NS_PER_S  # lost in a gap are the bars whose minute ended in it

_LACKING = """
WITH by_request AS (
    SELECT feed, kind, symbol, event_ns, match, name, request, count(*) AS number
    FROM witnesses LEFT JOIN pages USING (feed, epoch, seq)
    WHERE by_rest GROUP BY ALL
),
rest AS (
    SELECT feed, kind, symbol, event_ns, match, name, max(number) AS number
    FROM by_request GROUP BY ALL
),
streamed AS (
    SELECT feed, kind, match,
        CASE WHEN kind = 'trades' AND any_value(name) IS NOT NULL THEN count(DISTINCT content)
            ELSE count(*) END AS number
    FROM witnesses WHERE NOT by_rest GROUP BY feed, kind, match
),
lacking AS (
    SELECT rest.* REPLACE (
        CASE WHEN kind = 'bars' THEN (streamed.number IS NULL)::BIGINT
            ELSE greatest(rest.number - coalesce(streamed.number, 0), 0) END AS number)
    FROM rest LEFT JOIN streamed USING (feed, kind, match)
    ANTI JOIN replaced ON rest.kind = 'trades' AND rest.feed = replaced.feed
        AND rest.name = replaced.name
        AND rest.event_ns BETWEEN replaced.event_ns - $day AND replaced.event_ns + $edge
)
SELECT feed, kind, symbol, event_ns // $minute AS minute, EXISTS (
    SELECT 1 FROM known WHERE known.feed = lacking.feed AND known.kind = lacking.kind
        AND (known.symbol = '' OR known.symbol = lacking.symbol)
        AND lacking.event_ns BETWEEN known.from_ns AND known.to_ns
) AS in_gap, sum(number)::BIGINT
FROM lacking WHERE number > 0 GROUP BY 1, 2, 3, 4, 5 ORDER BY minute, feed, symbol, kind, in_gap
"""

_ONLY_STREAMED = """
WITH asked AS (
    SELECT w.*, w.event_ns // $minute AS minute
    FROM witnesses AS w SEMI JOIN windows AS a ON w.feed = a.feed AND w.kind = a.kind
        AND a.symbol = w.symbol AND w.event_ns BETWEEN a.from_ns AND a.to_ns
        AND (w.by_rest OR w.recv_ns <= a.said_ns)
),
sides AS (
    SELECT feed, kind, match, min(minute) AS minute,
        CASE WHEN kind = 'trades' AND any_value(name) IS NOT NULL
            THEN count(DISTINCT content) FILTER (NOT by_rest)
            ELSE count(*) FILTER (NOT by_rest) END AS here,
        count(*) FILTER (by_rest) AS there
    FROM asked GROUP BY 1, 2, 3
)
SELECT feed, kind, minute // (24 * 60), sum(here - there)::BIGINT FROM sides
WHERE here > there GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""


class Lacking(NamedTuple):
    """Rows of one symbol and minute (of the venue's time) that REST has and the stream had not.

    `in_gap`: we knew that we were not there. Otherwise the venue never sent them, or they were lost
    before they reached our socket.
    """

    feed: str
    kind: str
    symbol: str
    minute_ns: int
    in_gap: bool
    number: int


class Window(NamedTuple):
    """What REST was asked to its end, in times of the venue, both inclusive.

    Of a channel all `symbols` that were asked for and not refused; of bars by their beginnings.
    `said_ns` is when the answer stood in the journal, by our clock: of what came to us after that,
    it can say nothing.
    """

    channel: str
    symbols: frozenset[str]
    from_ns: int
    to_ns: int
    said_ns: int = _FOREVER_NS


class Witnesses:
    """Compares two witnesses of one feed; all counting happens in `con`, which spills to disk.

    Args:
        con: a connection of its own use; tables are made in it.
    """

    def __init__(self, con: "duckdb.DuckDBPyConnection") -> None:
        self._con = con
        self._spans: dict[str, tuple[int, int]] = {}
        self._late: dict[tuple[str, str], list[int]] = {}
        where = "feed VARCHAR, kind VARCHAR, symbol VARCHAR"
        con.execute(
            f"CREATE TABLE witnesses ({where}, by_rest BOOLEAN, event_ns BIGINT, match UBIGINT, "
            "name UBIGINT, content UBIGINT, epoch BIGINT, seq BIGINT, recv_ns BIGINT)"
        )
        con.execute("CREATE TABLE pages (feed VARCHAR, epoch BIGINT, seq BIGINT, request BIGINT)")
        con.execute("CREATE TABLE replaced (feed VARCHAR, name UBIGINT, event_ns BIGINT)")
        times = "from_ns BIGINT, to_ns BIGINT"
        con.execute(f"CREATE TABLE known ({where}, {times})")
        con.execute(f"CREATE TABLE windows ({where}, {times}, said_ns BIGINT)")

    def add_pages(self, feed: str, pages: Sequence[tuple[int, int, int]]) -> None:
        """Say of what request an entry is a page: (epoch, seq, number of the request)."""
        if pages:
            epoch, seq, request = zip(*pages, strict=True)
            self._insert("pages", feed, {"epoch": epoch, "seq": seq, "request": request})

    def add_windows(self, feed: str, windows: Iterable[Window]) -> None:
        """Say what REST was asked to its end."""
        for window in windows:
            self._widen(feed, window.from_ns, window.to_ns)
            count = len(window.symbols)
            columns: dict[str, Sequence[Any]] = {
                "kind": [window.channel] * count,
                "symbol": sorted(window.symbols),
                "from_ns": [window.from_ns] * count,
                "to_ns": [window.to_ns] * count,
                "said_ns": [window.said_ns] * count,
            }
            if count:
                self._insert("windows", feed, columns)

    def add_gaps(
        self,
        gaps: Iterable[GapInterval],
        asked: Mapping[tuple[str, str, int], Sequence[Window]],
    ) -> None:
        """Say of which times we know that we were not there; what is only suspected is no such.

        To be called after all rows. `asked` is what REST was asked for a gap, by its feed, symbol
        and beginning.
        """
        for gap in gaps:
            if gap.suspected:
                continue
            windows = asked.get((gap.feed, gap.symbol, gap.from_ns), ())
            for kind in KINDS_OF_REST:
                if not gap.channels or kind in gap.channels.split(","):
                    span = self._venue_times(gap, kind, windows)
                    self._con.execute(
                        "INSERT INTO known VALUES (?, ?, ?, ?, ?)",
                        [gap.feed, kind, gap.symbol, *span],
                    )

    def _venue_times(
        self, gap: GapInterval, kind: str, windows: Sequence[Window]
    ) -> tuple[int, int]:
        """The times of the venue that were missed; both inclusive."""
        if windows:
            back_ns = _BAR_NS if kind == "bars" else 0
            return windows[0].from_ns - back_ns, windows[0].to_ns
        late_ns = self.late_ns(gap.feed, kind)
        until_ns = _FOREVER_NS if gap.to_ns is None else gap.to_ns - late_ns + EDGE_NS
        return gap.from_ns - late_ns - EDGE_NS, until_ns

    def late_ns(self, feed: str, kind: str) -> int:
        """How far our clock at receipt was usually ahead of the venue's times; 0: not known.

        Looked at are rows near what REST was asked for. Of bars a minute is in it.
        """
        return median_low(self._late.get((feed, kind), [0]))

    def add_rest(self, source: str, kind: str, rows: pa.Table) -> None:
        """Take rows that REST gave."""
        if kind in KINDS_OF_REST and rows.num_rows:
            feed = base_feed(source)
            self._take(feed, kind, rows, by_rest=True)
            ends = self._con.execute("SELECT min(event_ns), max(event_ns) FROM batch").fetchall()
            self._widen(feed, *ends[0])
            self._con.unregister("batch")

    def add_streamed(self, feed: str, kind: str, rows: pa.Table) -> None:
        """Take rows that the stream brought, after all of REST: what that does not touch is left.

        Costs nothing for a feed that REST was not asked about.
        """
        span = self._spans.get(feed)
        if span is None or not rows.num_rows:
            return
        if kind in KINDS_OF_REST:
            self._take(feed, kind, rows, span, by_rest=False)
            ((late_ns,),) = self._con.execute(
                "SELECT quantile_disc(recv_ns - event_ns, 0.5) FROM batch "
                "WHERE event_ns BETWEEN ? AND ?",
                span,
            ).fetchall()
            if late_ns is not None:
                self._late.setdefault((feed, kind), []).append(late_ns)
            self._con.unregister("batch")
        elif kind == "corrections":
            self._con.register("batch", rows)
            self._con.execute(
                "INSERT INTO replaced "
                "SELECT ?, hash(symbol, exchange, corrected_id), event_ns FROM batch",
                [feed],
            )
            self._con.unregister("batch")

    def _take(
        self,
        feed: str,
        kind: str,
        rows: pa.Table,
        span: tuple[int, int] = (0, _FOREVER_NS),
        *,
        by_rest: bool,
    ) -> None:
        own = ", ".join(f'"{name}"' for name in KINDS[kind].names[_ORIGIN:])
        whole = f"hash(symbol, event_ns, {own})"
        match, name, more = whole, "NULL", ""
        if kind == "trades":
            match = (
                f"CASE WHEN id IS NULL THEN {whole} ELSE hash(symbol, event_ns, exchange, id) END"
            )
            name = "CASE WHEN id IS NULL THEN NULL ELSE hash(symbol, exchange, id) END"
        elif kind == "bars":
            match = "hash(symbol, span, event_ns)"
            more = " AND span = 'minute'"  # no others are asked of REST
        self._con.register("batch", rows)
        self._con.execute(
            f"INSERT INTO witnesses SELECT ?, ?, symbol, ?, event_ns, {match}, {name}, {whole}, "
            f"epoch, seq, recv_ns FROM batch WHERE event_ns BETWEEN ? AND ?{more}",
            [feed, kind, by_rest, *span],
        )

    def _widen(self, feed: str, from_ns: int, to_ns: int) -> None:
        first, last = self._spans.get(feed, (from_ns, to_ns))
        self._spans[feed] = (min(first, from_ns), max(last, to_ns))

    def _insert(self, table: str, feed: str, columns: Mapping[str, Sequence[Any]]) -> None:
        self._con.register("batch", pa.table({k: pa.array(v) for k, v in columns.items()}))
        self._con.execute(f"INSERT INTO {table} SELECT ?, * FROM batch", [feed])
        self._con.unregister("batch")

    def lacking(self) -> list[Lacking]:
        """What REST has and the stream had not, in order of time."""
        if not self._spans:
            return []
        names = {"minute": MINUTE_NS, "day": _DAY_NS, "edge": EDGE_NS}
        rows = self._con.execute(_LACKING, names).fetchall()
        return [
            Lacking(feed, kind, symbol, minute * MINUTE_NS, bool(in_gap), number)
            for feed, kind, symbol, minute, in_gap, number in rows
        ]

    def only_streamed(self) -> dict[tuple[str, str, int], int]:
        """Rows in what REST was asked to its end that only the stream had: by feed, kind, day.

        Only what we had by then. Late corrections are among them, and trades that REST leaves out.
        """
        if not self._spans:
            return {}
        rows = self._con.execute(_ONLY_STREAMED, {"minute": MINUTE_NS}).fetchall()
        return {(feed, kind, day): number for feed, kind, day, number in rows}
