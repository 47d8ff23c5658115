"""How fast do journaled frames become a table, against msgspec and pyarrow alone?

Workload: generated trades of 20 symbols, 300,000 at 1 and 1,000,000 at 50 per frame. Floor: the
same frames from memory, read by msgspec into structs, their columns made by pyarrow, and a file of
Parquet with zstd for every 100,000 rows; it checks, numbers, de-duplicates and syncs nothing. Ours:
the journal read and checked, decoded, de-duplicated, and committed to Delta with the journal's
position, synced, every 100,000 rows, as the table's process does. In turn, A B A B.
What would change our mind: below 0.6 of the floor.
"""

import gc
import random
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from bench import options
from bench.figures import paired, print_table
from bench.frames import frames, generated_trades
from ticktape.decoders import decoder_for
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.table.builder import BATCH_ROWS, TableBuilder
from ticktape.table.store import TableStore

_TRADES = {1: 300_000, 50: 1_000_000}
_READ_BYTES = 4 << 20  # as the table's process reads
_STEP_NS_MAX = 40_000  # between two frames; stamps are as irregular as they are on a wire


def answer(rounds: int) -> list[dict[str, object]]:
    """Trades a second of both sides, and the paired ratio."""
    found = []
    for per_frame, most in _TRADES.items():
        trades = generated_trades(options.rows(most))
        payloads = frames(trades, per_frame)
        rates: dict[str, list[float]] = {"floor": [], "ours": []}
        with tempfile.TemporaryDirectory(prefix="bench-") as name:
            write_journal(Path(name), payloads)
            for number in range(rounds):
                for side, run in (("floor", _floor), ("ours", _ours)):
                    gc.collect()
                    began_ns = time.perf_counter_ns()
                    rows = run(Path(name), Path(name) / f"{side}-{number}", payloads)
                    took_ns = time.perf_counter_ns() - began_ns
                    assert rows == len(trades), f"{side}: {rows} of {len(trades)} rows"
                    rates[side].append(rows * 1e9 / took_ns)
        found.append(
            {
                "trades/frame": per_frame,
                "trades": len(trades),
                "floor trades/s": median(rates["floor"]),
                "ours trades/s": median(rates["ours"]),
                "ours/floor": paired(rates["ours"], rates["floor"]),
            }
        )
    print_table(found)
    return found


def write_journal(folder: Path, payloads: list[bytes]) -> None:
    """A journal with one frame in each block, as a socket that is read often brings it."""
    start_ns, at_ns, steps = time.time_ns(), 0, random.Random(7)
    with Writer(folder / "journal", folder / "positions") as writer:
        for payload in payloads:
            at_ns += steps.randrange(_STEP_NS_MAX)
            writer.append([payload], start_ns + at_ns, at_ns)


def make_table(folder: Path, to: Path) -> TableStore:
    """Bring a journal into tables, as the table's process does; the store with all of it."""
    store = TableStore(to)
    builder = TableBuilder(store, {"sip": decoder_for("alpaca", "sip")})
    builder.start_position("sip", None)
    with Reader(folder / "journal", None) as reader:
        while blocks := reader.read(_READ_BYTES):
            builder.add("sip", blocks)
            if builder.pending_rows >= BATCH_ROWS:
                builder.commit()
    builder.commit()
    return store


def _ours(folder: Path, to: Path, _: list[bytes]) -> int:
    return make_table(folder, to).tally("trades", "sip").stored


class _Trade(msgspec.Struct, tag_field="T", tag="t", gc=False):
    S: str
    i: int
    x: str
    p: float
    s: float
    c: list[str]
    z: str
    t: str


def _floor(_: Path, to: Path, payloads: list[bytes]) -> int:
    to.mkdir()
    decode = msgspec.json.Decoder(list[_Trade]).decode
    waiting: list[_Trade] = []
    rows = 0
    for payload in payloads:
        waiting += decode(payload)
        if len(waiting) >= BATCH_ROWS:
            rows += _write(waiting, to / f"{rows}.parquet")
            waiting = []
    return rows + (_write(waiting, to / f"{rows}.parquet") if waiting else 0)


def _write(trades: list[_Trade], path: Path) -> int:
    instants = pa.array([trade.t for trade in trades]).cast(pa.timestamp("ns", "UTC"))
    table = pa.table(
        {
            "symbol": pa.array([trade.S for trade in trades]),
            "event_ns": instants.cast(pa.int64()),
            "price": pa.array([trade.p for trade in trades]),
            "size": pa.array([trade.s for trade in trades]),
            "exchange": pa.array([trade.x for trade in trades]),
            "id": pa.array([trade.i for trade in trades]),
            "conditions": pa.array([",".join(trade.c) for trade in trades]),
            "tape": pa.array([trade.z for trade in trades]),
        }
    )
    pq.write_table(table, path, compression="zstd")
    return table.num_rows
