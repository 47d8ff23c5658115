"""Latency of a whole run, and the path of one trade, from block headers and stage rows."""

from typing import TYPE_CHECKING, Any, NamedTuple

from ticktape.clock import iso_utc
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.latency import (
    ROWS_MAX,
    BlockIndex,
    LatencyReport,
    Step,
    path_of,
    read_pauses,
    read_stages,
)
from ticktape.latency.report import SlowBatch
from ticktape.records import Position
from ticktape.replay.headers import Headers
from ticktape.replay.places import boots_of, is_live, reader_of, stream_kinds
from ticktape.replay.tail import connect_run

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_FIND = """
SELECT feed, epoch, seq, index, event_ns, recv_ns, price, size, exchange, conditions, tape
FROM trades_raw WHERE symbol = $symbol AND id = $id ORDER BY epoch, seq, index
"""

# Hugeint, for the difference of two ids may not fit into 64 bits.
_NEAREST = """
SELECT id FROM (
    SELECT DISTINCT id FROM trades_raw WHERE symbol = $symbol AND id IS NOT NULL
    ORDER BY abs(id::HUGEINT - $id::HUGEINT), id LIMIT 3
) ORDER BY id
"""


def block_index(directory: RunDirectory, feed: str) -> BlockIndex:
    """Every block of a feed's journal, without the bodies."""
    headers = Headers()
    with reader_of(directory, feed, live=is_live(directory)) as reader:
        while blocks := reader.read(8 << 20):
            headers.add(blocks)
    return headers.index(feed, boots_of(directory, feed))


def latency_report(directory: RunDirectory) -> LatencyReport:
    """Percentiles per stage over all feeds."""
    report = LatencyReport()
    for feed in stream_kinds(directory):
        report.add(block_index(directory, feed), read_stages(directory.stages, feed, ROWS_MAX))
    return report


def slowest(directory: RunDirectory, report: LatencyReport, count: int) -> list[SlowBatch]:
    """The slowest batches of each stage, with what stood in their way."""
    pauses: npt.NDArray[np.void] = read_pauses(directory.pauses)
    return report.worst(count, pauses)


class TradePath(NamedTuple):
    """One trade and its steps; `trade` is its row, `steps` begin with `recv`."""

    trade: dict[str, Any]
    position: Position
    steps: list[Step]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "trade": self.trade,
            "position": list(self.position),
            "steps": [step._asdict() for step in self.steps],
        }


def trace_trade(directory: RunDirectory, symbol: str, trade_id: int) -> list[TradePath]:
    """The path of every trade with this symbol and id (ids repeat: over days, exchanges, feeds).

    Raises:
        ConfigError: there is no such trade, with the nearest that there are.
    """
    con = connect_run(directory, asked="FROM trades_raw")
    try:
        rows = con.sql(_FIND, params={"symbol": symbol, "id": trade_id}).to_arrow_table()
        if not rows.num_rows:
            raise ConfigError(
                [f"{directory.root}: no trade {trade_id} of {symbol}"],
                hint=_near(con, symbol, trade_id),
            )
    finally:
        con.close()
    indexes: dict[str, BlockIndex] = {}
    stages: dict[str, dict[str, npt.NDArray[np.void]]] = {}
    found = []
    for row in rows.to_pylist():
        feed = row["feed"]
        if feed not in indexes:
            indexes[feed] = block_index(directory, feed)
            stages[feed] = read_stages(directory.stages, feed)
        position = indexes[feed].position_of(row["epoch"], row["seq"])
        if position is None:
            raise ConfigError(
                [f"{feed}: entry {row['seq']} of epoch {row['epoch']} is not in the journal"],
                hint="Run: ticktape check DIR",
            )
        row["event_time"], row["recv_time"] = iso_utc(row["event_ns"]), iso_utc(row["recv_ns"])
        found.append(TradePath(row, position, path_of(indexes[feed], stages[feed], position)))
    return found


def _near(con: Any, symbol: str, trade_id: int) -> str:  # noqa: ANN401 - DuckDB has no type
    some = con.execute(
        _NEAREST,
        {"symbol": symbol, "id": trade_id},
    ).fetchall()
    if some:
        return f"The nearest ids of {symbol} are {', '.join(str(row[0]) for row in some)}."
    symbols = con.execute("SELECT DISTINCT symbol FROM trades_raw ORDER BY 1 LIMIT 20").fetchall()
    return f"Symbols with trades: {', '.join(row[0] for row in symbols) or 'none'}."
