"""How fast does `sql` answer over a big day, against DuckDB on plain Parquet of the same rows?

Workload: 10,000,000 made-up trades of one day and 5,000 symbols, or --rows (the goal is for 100
million), in commits of 100,000 rows, compacted as a recorder does while the day goes on. First all
was streamed but for a minute; then that minute has come from REST, with ten seconds on both sides
of it; at last, of 3,000,000 trades at most, the whole day was compared with REST. Ours: the views
of `ticktape sql` over the tables of a run, opened for each query as the verb does. Floor: a new
DuckDB connection that reads the same rows, with the same columns, from one plain file of Parquet as
pyarrow writes it. Seven queries; in turn, A B A B, each once before it counts. "together" is the
sum of six: the floor has to read all for the last 100 rows, we have not, and that one would hide
the others. CPU ms are those of both threads, for a machine that has other things to do.
What would change our mind: below 0.8 of the floor together while nothing, or a minute, came from
REST.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import options
from bench.figures import paired, print_table
from ticktape.directory import RunDirectory
from ticktape.records import Position
from ticktape.replay.tail import connect_run
from ticktape.schemas import KINDS
from ticktape.table.builder import BATCH_ROWS
from ticktape.table.compact import Compactor
from ticktape.table.store import TableStore, Tally

_ROWS = 10_000_000
_COMPARED_ROWS = 3_000_000
_DAY_NS = 1_790_000_000_000_000_000 // 86_400_000_000_000 * 86_400_000_000_000
_OPEN_NS = _DAY_NS + 13 * 3_600_000_000_000 + 1_800_000_000_000
_SESSION_NS = 23_400_000_000_000
_MISSED_NS = (_OPEN_NS + 7_200_000_000_000, _OPEN_NS + 7_260_000_000_000)
_AROUND_NS = 10_000_000_000
_IDLE_NS = 3_600_000_000_000  # longer than it waits between two looks
_SYMBOLS = 5_000
_PAGE_ROWS = 10_000
_RUN = "directory = 'run'\n[[feed]]\nname = 'sip'\nkind = 'alpaca'\nurl = 'ws://127.0.0.1:9'\n"
_LAST = "last 100"
_QUERIES = {
    "count": "SELECT count(*), min(event_ns), max(event_ns) FROM trades",
    "by symbol": "SELECT symbol, count(*), sum(size), sum(price * size) / sum(size) FROM trades "
    "GROUP BY symbol ORDER BY symbol",
    "one symbol": "SELECT min(price), max(price), sum(price * size) / sum(size) FROM trades "
    "WHERE symbol = 'S0007'",
    "minutes": "SELECT event_ns // 60000000000 AS minute, arg_min(price, event_ns), max(price), "
    "min(price), arg_max(price, event_ns), sum(size) FROM trades "
    "WHERE symbol IN ('S0000', 'S0001', 'S0002') GROUP BY minute, symbol ORDER BY ALL",
    "ten minutes": "SELECT symbol, count(*), sum(size) FROM trades WHERE event_ns "
    f"BETWEEN {_MISSED_NS[1]} AND {_MISSED_NS[1] + 600_000_000_000} GROUP BY ALL ORDER BY ALL",
    "its rows": "SELECT * FROM trades WHERE symbol = 'S0049' ORDER BY event_ns",
    _LAST: "SELECT * FROM trades ORDER BY event_ns DESC LIMIT 100",
}


def answer(rounds: int) -> list[dict[str, object]]:
    """Seconds of each query on both sides, and the paired ratio of speeds."""
    rows = options.rows(_ROWS)
    minute = (_MISSED_NS[0] - _AROUND_NS, _MISSED_NS[1] + _AROUND_NS)
    day = (_OPEN_NS, _OPEN_NS + _SESSION_NS)
    found: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        run = _Run(Path(name), rows, minute)
        found += _asked(run, "nothing", rounds)
        run.heal()
        found += _asked(run, "a minute", rounds)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        run = _Run(Path(name), min(rows, _COMPARED_ROWS), day)
        run.heal()
        found += _asked(run, "the day", rounds)
    print_table(found)
    return found


def _asked(run: "_Run", of_rest: str, rounds: int) -> list[dict[str, object]]:
    seconds: dict[str, dict[str, list[float]]] = {}
    cpu_s: dict[str, dict[str, float]] = {}
    for query, text in _QUERIES.items():
        ask = {"floor": run.plain, "ours": run.ours}
        found = {side: _time(connect, text)[2] for side, connect in ask.items()}
        assert _alike(found["ours"], found["floor"]), f"{query}: other rows"
        taken: dict[str, list[float]] = {side: [] for side in ask}
        spent: dict[str, list[float]] = {side: [] for side in ask}
        for _ in range(rounds):
            for side, connect in ask.items():
                wall_s, spent_s, _ = _time(connect, text)
                taken[side].append(wall_s)
                spent[side].append(spent_s)
        seconds[query] = taken
        cpu_s[query] = {side: median(each) for side, each in spent.items()}
    summed = [query for query in seconds if query != _LAST]
    sides = ("floor", "ours")
    seconds["together"] = {
        side: [sum(each) for each in zip(*(seconds[q][side] for q in summed), strict=True)]
        for side in sides
    }
    cpu_s["together"] = {side: sum(cpu_s[q][side] for q in summed) for side in sides}
    return [
        {
            "rows": run.rows,
            "from REST": of_rest,
            "query": query,
            "floor s": median(taken["floor"]),
            "ours s": median(taken["ours"]),
            # Of speeds: the floor's time over ours.
            "ours/floor": paired(taken["floor"], taken["ours"]),
            "floor CPU ms": cpu_s[query]["floor"] * 1e3,
            "ours CPU ms": cpu_s[query]["ours"] * 1e3,
        }
        for query, taken in seconds.items()
    ]


def _time(
    connect: Callable[[str], duckdb.DuckDBPyConnection], text: str
) -> tuple[float, float, pa.Table]:
    began_ns, cpu_ns = time.perf_counter_ns(), time.process_time_ns()
    con = connect(text)
    rows = con.sql(text).to_arrow_table()
    con.close()
    spent_ns = time.process_time_ns() - cpu_ns
    return (time.perf_counter_ns() - began_ns) / 1e9, spent_ns / 1e9, rows


def _alike(ours: pa.Table, plain: pa.Table) -> bool:
    """Whether they are the same; sums of floats depend on the order of adding."""
    for name in plain.column_names:
        one, other = ours.column(name), plain.column(name)
        if pa.types.is_floating(one.type):
            if not np.allclose(one.to_numpy(), other.to_numpy(), rtol=1e-9):
                return False
        elif not one.combine_chunks().equals(other.combine_chunks()):
            return False
    return True


class _Run:
    """The same rows as a run's table and as plain files; what was missed is there after `heal`.

    `asked_ns` is of what time REST is asked.
    """

    def __init__(self, folder: Path, rows: int, asked_ns: tuple[int, int]) -> None:
        self.rows = rows
        self._folder = folder
        self._plain = [str(folder / "plain.parquet")]
        (folder / "feeds").mkdir()
        (folder / "run.toml").write_text(_RUN)
        self._store = TableStore(folder)
        self._now_ns = 0
        self._compactor = Compactor(
            self._store, now_ns=lambda: _DAY_NS + _SESSION_NS, monotonic_ns=lambda: self._now_ns
        )
        asked = []
        with (
            pq.ParquetWriter(self._plain[0], KINDS["trades"]) as plain,
            ThreadPoolExecutor(1) as beside,
        ):
            for number, part in enumerate(_parts(rows)):
                asked.append(part.filter(_within(asked_ns)))
                part = part.filter(~_within(_MISSED_NS))
                written = beside.submit(plain.write_table, part)
                self._append("sip", number, part)
                self._compact()
                written.result()
        self._answer = pa.concat_tables(asked).sort_by(
            [("symbol", "ascending"), ("event_ns", "ascending")]
        )

    def heal(self) -> None:
        """Let the answer of REST come."""
        place = np.arange(self._answer.num_rows)
        columns = {
            "feed": _one("sip.rest", len(place)),
            "recv_ns": _DAY_NS + 86_400_000_000_000 + place // _PAGE_ROWS,
            "witness": _one("rest", len(place)),
            "seq": place // _PAGE_ROWS * 2 + 1,
            "index": (place % _PAGE_ROWS).astype(np.int32),
        }
        rows = pa.table(
            {name: columns.get(name, self._answer.column(name)) for name in KINDS["trades"].names},
            schema=KINDS["trades"],
        )
        for number, start in enumerate(range(0, len(place), BATCH_ROWS)):
            self._append("sip.rest", number, rows.slice(start, BATCH_ROWS))
        self._compact()
        missed = rows.filter(_within(_MISSED_NS))
        self._plain.append(str(self._folder / "missed.parquet"))
        shown = missed.set_column(0, "feed", _one("sip", missed.num_rows))
        pq.write_table(shown, self._plain[-1])

    def ours(self, text: str) -> duckdb.DuckDBPyConnection:
        """A connection as the verb opens it."""
        return connect_run(RunDirectory(self._folder), asked=text)

    def plain(self, _text: str) -> duckdb.DuckDBPyConnection:
        """A connection to the plain files."""
        con = duckdb.connect()
        con.execute(f"CREATE VIEW trades AS SELECT * FROM read_parquet({self._plain})")
        return con

    def _append(self, feed: str, number: int, rows: pa.Table) -> None:
        self._store.append("trades", rows, feed, Position(0, number + 1), Tally(rows.num_rows))

    def _compact(self) -> None:
        """Give the recorder its idle moments, and clear away what it would after a day."""
        before = self._store.files("trades")
        self._now_ns += _IDLE_NS
        while self._compactor.step():
            pass
        for path in set(before) - set(self._store.files("trades")):
            Path(path).unlink(missing_ok=True)  # after a day the compactor does it


def _within(span_ns: tuple[int, int]) -> pc.Expression:
    return (pc.field("event_ns") >= span_ns[0]) & (pc.field("event_ns") < span_ns[1])


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
