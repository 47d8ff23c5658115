"""How fast does `sql` answer over a big day, against DuckDB on plain Parquet of the same rows?

Workload: 10,000,000 made-up trades of one day and 5,000 symbols, or --rows (the goal is for 100
million), in commits of 100,000 rows. Ours: the views of `ticktape sql` over the tables of a run,
opened for each query as the verb does. Floor: a new DuckDB connection that reads the same rows,
with the same columns, from one Parquet file as pyarrow writes it. Four queries; in turn, A B A B,
each once before it counts.
What would change our mind: below 0.8 of the floor in all queries together.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench import options
from bench.figures import paired, print_table
from ticktape.directory import RunDirectory
from ticktape.records import Position
from ticktape.replay.tail import connect_run
from ticktape.schemas import KINDS
from ticktape.table.builder import BATCH_ROWS
from ticktape.table.store import TableStore, Tally

_ROWS = 10_000_000
_DAY_NS = 1_790_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000
_OPEN_NS = _DAY_NS + 13 * 3_600_000_000_000 + 1_800_000_000_000
_SESSION_NS = 23_400_000_000_000
_SYMBOLS = 5_000
_RUN = "directory = 'run'\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\nurl = 'ws://127.0.0.1:9'\n"
_QUERIES = {
    "count": "SELECT count(*), min(event_ns), max(event_ns) FROM trades",
    "by symbol": "SELECT symbol, count(*), sum(size), sum(price * size) / sum(size) FROM trades "
    "GROUP BY symbol ORDER BY symbol",
    "one symbol": "SELECT event_ns, price, size FROM trades WHERE symbol = 'S0007' "
    "ORDER BY event_ns, seq",
    "minutes": "SELECT event_ns // 60000000000 AS minute, arg_min(price, event_ns), max(price), "
    "min(price), arg_max(price, event_ns), sum(size) FROM trades "
    "WHERE symbol IN ('S0000', 'S0001', 'S0002') GROUP BY minute, symbol ORDER BY ALL",
}


def answer(rounds: int) -> list[dict[str, object]]:
    """Seconds of each query on both sides, and the paired ratio of speeds."""
    rows = options.rows(_ROWS)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        _make(folder, rows)
        ask = {"floor": lambda: _plain(folder), "ours": lambda: _ours(folder)}
        seconds: dict[str, dict[str, list[float]]] = {
            query: {side: [] for side in ask} for query in _QUERIES
        }
        for query, text in _QUERIES.items():
            found = {side: _time(connect, text)[1] for side, connect in ask.items()}
            assert _alike(found["ours"], found["floor"]), f"{query}: other rows"
            for _ in range(rounds):
                for side, connect in ask.items():
                    seconds[query][side].append(_time(connect, text)[0])
    return _figures(rows, seconds)


def _figures(rows: int, seconds: dict[str, dict[str, list[float]]]) -> list[dict[str, object]]:
    totals = {
        side: [sum(each) for each in zip(*(runs[side] for runs in seconds.values()), strict=True)]
        for side in ("floor", "ours")
    }
    found: list[dict[str, object]] = []
    for query, runs in [*seconds.items(), ("all", totals)]:
        found.append(
            {
                "rows": rows,
                "query": query,
                "floor s": median(runs["floor"]),
                "ours s": median(runs["ours"]),
                # Of speeds: the floor's time over ours.
                "ours/floor": paired(runs["floor"], runs["ours"]),
            }
        )
    print_table(found)
    return found


def _time(connect: Callable[[], duckdb.DuckDBPyConnection], text: str) -> tuple[float, pa.Table]:
    began_ns = time.perf_counter_ns()
    con = connect()
    rows = con.sql(text).to_arrow_table()
    con.close()
    return (time.perf_counter_ns() - began_ns) / 1e9, rows


def _alike(ours: pa.Table, plain: pa.Table) -> bool:
    """Whether they are the same; sums of floats depend on the order of adding."""
    for one, other in zip(ours.columns, plain.columns, strict=True):
        if pa.types.is_floating(one.type):
            if not np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-9):
                return False
        elif one.to_pylist() != other.to_pylist():
            return False
    return True


def _ours(folder: Path) -> duckdb.DuckDBPyConnection:
    return connect_run(RunDirectory(folder))


def _plain(folder: Path) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(f"CREATE VIEW trades AS SELECT * FROM read_parquet('{folder / 'plain.parquet'}')")
    return con


def _make(folder: Path, rows: int) -> None:
    """The same rows as a run's table and as one plain file."""
    (folder / "feeds").mkdir()
    (folder / "run.toml").write_text(_RUN)
    store = TableStore(folder)
    with pq.ParquetWriter(folder / "plain.parquet", KINDS["trades"]) as plain:
        for number, part in enumerate(_parts(rows)):
            store.append("trades", part, "sip", Position(0, number + 1), Tally(part.num_rows))
            plain.write_table(part)


def _parts(rows: int) -> Iterator[pa.Table]:
    """Rows as a feed brings them: all symbols mixed, a few of them with most trades."""
    random = np.random.default_rng(7)
    names = pa.array([f"S{number:04}" for number in range(_SYMBOLS)])
    share = 1 / np.arange(1, _SYMBOLS + 1)
    edges = np.cumsum(share) / share.sum()
    cents = random.integers(1_000, 50_000, _SYMBOLS)
    for start in range(0, rows, BATCH_ROWS):
        count = min(BATCH_ROWS, rows - start)
        number = np.arange(start, start + count)
        which = np.minimum(np.searchsorted(edges, random.random(count)), _SYMBOLS - 1)
        cents += random.integers(-2, 3, _SYMBOLS)
        event_ns = _OPEN_NS + number * (_SESSION_NS // rows) + random.integers(0, 1_000, count)
        columns = {
            "feed": _one("sip", count),
            "symbol": names.take(pa.array(which)),
            "event_ns": event_ns,
            "recv_ns": event_ns + 2_000_000 + random.integers(0, 1_000_000, count),
            "witness": _one("stream", count),
            "epoch": np.zeros(count, np.int64),
            "seq": number // 4,
            "index": (number % 4).astype(np.int32),
            "price": (cents[which] + random.integers(-2, 3, count)) / 100,
            "size": random.integers(1, 500, count).astype(np.float64),
            "exchange": _some(random, list("VQPKDZNJ"), count),
            "id": number,
            "conditions": _some(random, ["@", "@,I", "@,F", "@,F,I", "@,T"], count),
            "tape": _some(random, list("ABC"), count),
            "taker_side": _one("", count),
        }
        yield pa.table(columns, schema=KINDS["trades"])


def _one(text: str, count: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), count)


def _some(random: np.random.Generator, texts: list[str], count: int) -> pa.Array:
    return pa.array(texts).take(pa.array(random.integers(0, len(texts), count)))
