"""Answers to what the page asks when someone clicks: trades, a path, a day's coverage, a proof."""

import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import duckdb

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import load_positions
from ticktape.replay.check import check
from ticktape.replay.dashboard_path import path
from ticktape.replay.places import open_run
from ticktape.replay.tail import connect_run
from ticktape.schemas import KINDS, MARKET_KINDS
from ticktape.table.query import RAW, connect
from ticktape.table.store import TableStore

TRADES_MAX: Final = 100
COVERED_MAX: Final = 60  # symbols whose coverage is drawn: the busiest
GAPS_MAX: Final = 500
_BINS: Final = 240
_BIN_NS_MIN: Final = 100_000_000
_PROVED_BYTES_MAX: Final = 512 << 20  # more than this takes longer than an answer may
_NS_PER_MS: Final = 1_000_000
_DAY_NS: Final = 86_400 * clock.NS_PER_S
_DATA: Final = ("trades", "quotes", "bars", "books", "ticks", "crypto_books")

Given = Mapping[str, str]

_TRADES = """
SELECT feed, id, price, size, exchange, conditions, event_ns, recv_ns, epoch, seq, index, witness
FROM trades_raw WHERE symbol = $symbol AND feed = $feed
ORDER BY recv_ns DESC, epoch DESC, seq DESC, index DESC LIMIT {limit}
"""
_TICKS = """
SELECT feed, NULL AS id, last AS price, volume_real AS size, bid, ask, event_ns, recv_ns, epoch,
    seq, index, witness
FROM ticks_raw WHERE symbol = $symbol AND feed = $feed
ORDER BY recv_ns DESC, epoch DESC, seq DESC, index DESC LIMIT {limit}
"""
_SPAN = "SELECT min(recv_ns), max(recv_ns) FROM ({all})"
_COVERAGE = """
WITH seen AS ({all}), busiest AS (
    SELECT feed, symbol FROM seen WHERE recv_ns >= $from_ns AND recv_ns < $to_ns
    GROUP BY 1, 2 ORDER BY count(*) DESC, 1, 2 LIMIT {limit}
)
SELECT feed, symbol, (recv_ns - $from_ns) // $bin_ns AS bin, count(*)
FROM seen JOIN busiest USING (feed, symbol)
WHERE recv_ns >= $from_ns AND recv_ns < $to_ns GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
_GAPS = """
SELECT feed, symbol, from_ns, to_ns, cause, planned, state, channels FROM gaps
WHERE from_ns < $to_ns AND (to_ns IS NULL OR to_ns >= $from_ns)
ORDER BY from_ns DESC LIMIT {limit}
"""


def answer(root: Path, what: str, given: Given) -> object:
    """The answer to one question, to be sent as JSON.

    Raises:
        ConfigError: there is no run, or nothing of that name in it.
    """
    return _ANSWERS[what](open_run(root), given)


def trades(directory: RunDirectory, given: Given) -> object:
    """The newest trades of a symbol, or its ticks, as they came."""
    asked = {"symbol": given["symbol"], "feed": given["feed"]}
    con = connect_run(directory, asked="FROM trades_raw, ticks_raw")
    try:
        rows = _rows(con, _TRADES.format(limit=TRADES_MAX), asked)
        rows = rows or _rows(con, _TICKS.format(limit=TRADES_MAX), asked)
    finally:
        con.close()
    return {"trades": [_trade(row) for row in rows]}


def _trade(row: dict[str, Any]) -> dict[str, Any]:
    # Browsers' numbers hold neither nanoseconds nor every id.
    row["id"] = None if row["id"] is None else str(row["id"])
    row["recv_ms"], row["event_ms"] = row["recv_ns"] / _NS_PER_MS, row["event_ns"] / _NS_PER_MS
    row["event_time"], row["recv_time"] = map(clock.iso_utc, (row.pop("event_ns"), row["recv_ns"]))
    del row["recv_ns"]
    row["place"] = [row.pop("epoch"), row.pop("seq"), row.pop("index")]
    return row


def coverage(directory: RunDirectory, given: Given) -> object:
    """Entries per span of the day for the busiest symbols, and the day's gaps."""
    con = connect_run(directory, asked=f"FROM gaps, {', '.join(map(_stored_name, _DATA))}")
    try:
        both = " UNION ALL ".join(
            f"SELECT feed, symbol, recv_ns FROM {_stored_name(kind)}" for kind in _DATA
        )
        first_ns, last_ns = con.execute(_SPAN.format(all=both)).fetchall()[0]
        if first_ns is None:
            return {"words": "Nothing was recorded yet.", "days": [], "rows": [], "gaps": []}
        days = [day * _DAY_NS for day in range(first_ns // _DAY_NS, last_ns // _DAY_NS + 1)]
        day_ns = int(given["day"]) * _NS_PER_MS if given.get("day") else days[-1]
        from_ns, to_ns = max(first_ns, day_ns), min(last_ns + 1, day_ns + _DAY_NS)
        bin_ns = max(_BIN_NS_MIN, -(-(to_ns - from_ns) // _BINS))
        span = {"from_ns": from_ns, "to_ns": to_ns}
        query = _COVERAGE.format(all=both, limit=COVERED_MAX)
        counted = con.execute(query, span | {"bin_ns": bin_ns}).fetchall()
        whole = {"from_ns": day_ns, "to_ns": day_ns + _DAY_NS}
        gaps = _rows(con, _GAPS.format(limit=GAPS_MAX), whole)
    finally:
        con.close()
    rows: dict[tuple[str, str], list[list[int]]] = {}
    for feed, symbol, at, count in counted:
        rows.setdefault((feed, symbol), []).append([at, count])
    return {
        "days": [day // _NS_PER_MS for day in days[-31:]],
        "day": day_ns // _NS_PER_MS,
        "from_ms": from_ns / _NS_PER_MS,
        "to_ms": to_ns / _NS_PER_MS,
        "bin_ms": bin_ns / _NS_PER_MS,
        "rows": [{"feed": k[0], "symbol": k[1], "counts": each} for k, each in rows.items()],
        "gaps": [_gap(row) for row in gaps],
    }


def _gap(row: dict[str, Any]) -> dict[str, Any]:
    row["from_ms"] = row.pop("from_ns") / _NS_PER_MS
    to_ns = row.pop("to_ns")
    row["to_ms"] = None if to_ns is None else to_ns / _NS_PER_MS
    return row


def certificate(directory: RunDirectory, given: Given) -> object:
    """What the table has counted so far, feed by feed; `check` proves it, this does not."""
    del given
    for _ in range(5):
        before, counts = load_positions(directory.reader_file("table"))
        stored = _stored(directory)
        if load_positions(directory.reader_file("table"))[0] == before:
            break
    feeds: dict[str, dict[str, int]] = {}
    for (feed, kind), count in stored.items():
        if kind in MARKET_KINDS:
            sums = feeds.setdefault(feed, {"received": 0, "stored": 0})
            sums["stored"] += count
    for feed, kinds in counts.items():
        assert isinstance(kinds, dict)
        if ":" not in feed:
            sums = feeds.setdefault(feed, {"received": 0, "stored": 0})
            sums["received"] += sum(n for kind, n in kinds.items() if kind in MARKET_KINDS)
    con = connect_run(directory, asked="FROM gaps")
    try:
        found = con.execute("SELECT state, planned, count(*) FROM gaps GROUP BY 1, 2").fetchall()
    finally:
        con.close()
    gaps: dict[str, int] = {}
    for state, planned, count in found:
        name = "planned" if planned else state
        gaps[name] = gaps.get(name, 0) + count
    return {"feeds": feeds, "gaps": gaps}


def _stored(directory: RunDirectory) -> dict[tuple[str, str], int]:
    kinds = [kind for kind in KINDS if kind != "decisions"]
    asked = f"FROM {', '.join(map(_stored_name, kinds))}"
    con = connect(TableStore(directory.root, read_only=True), asked=asked)
    try:
        found: dict[tuple[str, str], int] = {}
        for kind in kinds:
            table = _stored_name(kind)
            for feed, count in con.execute(
                f"SELECT feed, count(*) FROM {table} GROUP BY 1"
            ).fetchall():
                found[feed, kind] = count
        return found
    finally:
        con.close()


def _stored_name(kind: str) -> str:
    """The view that shows a kind's rows as they are stored."""
    return f"{kind}_raw" if kind in RAW else kind


def proof(directory: RunDirectory, given: Given) -> object:
    """The certificate of a run that is small enough, as `check` makes it."""
    del given
    files = [
        *directory.root.glob("feeds/*/journal/*"),
        *directory.root.glob("decisions/*/journal/*"),
    ]
    size = sum(file.stat().st_size for file in files)
    if size > _PROVED_BYTES_MAX:
        return {"words": f"{size / 1e9:.1f} GB take a while to prove. Run: ticktape check"}
    with tempfile.TemporaryDirectory(prefix="ticktape-") as scratch:
        verdict = check(directory, Path(scratch), lambda feed, count_bytes: None)
    return {
        "proof": json.loads(json.dumps(verdict.to_json(), default=str)),
        "line": verdict.last_line(),
    }


def _rows(
    con: duckdb.DuckDBPyConnection, query: str, asked: Mapping[str, Any]
) -> list[dict[str, Any]]:
    found = con.execute(query, dict(asked))
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


_ANSWERS: Final[Mapping[str, Callable[[RunDirectory, Given], object]]] = {
    "trades": trades,
    "path": path,
    "coverage": coverage,
    "certificate": certificate,
    "proof": proof,
}
