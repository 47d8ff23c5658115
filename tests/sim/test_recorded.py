import importlib.resources

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ticktape.errors import ConfigError
from ticktape.sim.families import FAMILIES
from ticktape.sim.generate import generate_family, generate_tape
from ticktape.sim.recorded import (
    condition_letters,
    count_ids,
    read_tape,
    recorded_quotes,
    shipped_tape,
    within_milliseconds,
)

TAPES = importlib.resources.files("ticktape.sim") / "tapes"
SWEEP, EXEMPT = 1 << 5, 1 << 29


@pytest.fixture(scope="module")
def shipped():
    return shipped_tape()


@pytest.fixture(scope="module")
def source():
    with importlib.resources.as_file(TAPES / "us_trades_20131008_close.parquet") as path:
        return pq.read_table(path)


def test_shipped_tape_is_small_and_real(shipped):
    assert sum(path.stat().st_size for path in TAPES.iterdir()) <= 400_000
    assert 20_000 <= shipped.tables["trades"].num_rows <= 40_000
    assert shipped.tables["quotes"].num_rows > 1000
    assert shipped.symbols == ["AIG", "BAC", "IBM", "SPY"]


def test_shipped_trades_are_those_of_the_file_in_its_order(shipped, source):
    trades = shipped.tables["trades"]
    assert trades["symbol"].equals(source["symbol"])
    assert trades["exchange"].equals(source["exchange"])
    assert np.array_equal(trades["size"].to_numpy(), source["size"].to_numpy())
    milliseconds = trades["event_ns"].to_numpy() // 10**6 * 10**6
    assert np.array_equal(milliseconds, source["ts_ns"].to_numpy())
    prices = [f"{price:.4f}" for price in trades["price"].to_pylist()]
    assert prices == [f"{u // 10_000}.{u % 10_000:04d}" for u in source["price"].to_pylist()]


def test_ids_count_from_one_per_symbol_and_exchange_and_make_every_row_different(shipped):
    trades = shipped.tables["trades"]
    keys = trades.select(["symbol", "exchange", "id"])
    assert keys.group_by(keys.column_names).aggregate([]).num_rows == trades.num_rows
    grouped = trades.group_by(["symbol", "exchange"]).aggregate([("id", "min"), ("id", "max")])
    assert pc.unique(grouped["id_min"]).to_pylist() == [1]
    assert pc.sum(grouped["id_max"]).as_py() == trades.num_rows
    assert count_ids(
        pa.chunked_array([["A", "B", "A"]]), pa.chunked_array([["Q"] * 3])
    ).tolist() == [
        1,
        1,
        2,
    ]


def test_nanoseconds_stay_in_their_millisecond_and_keep_the_order():
    ms = np.repeat(np.array([5, 5, 7, 1_000], np.int64), 500) * 10**6
    times = within_milliseconds(ms, seed=1)
    assert np.array_equal(times // 10**6 * 10**6, ms)
    assert np.all(np.diff(times) >= 0)
    assert len(set(times.tolist())) > 1900


def test_same_seed_same_tape_other_seed_other_nanoseconds(shipped):
    trades = shipped.tables["trades"]
    assert shipped_tape(0).tables["trades"].equals(trades)
    assert not shipped_tape(1).tables["trades"]["event_ns"].equals(trades["event_ns"])


@pytest.mark.parametrize(
    ("flags", "tape", "letters"),
    [
        (1, "B", [" "]),
        (1, "C", ["@"]),
        (0, "A", []),
        (EXEMPT, "A", []),
        (EXEMPT | 1, "B", []),
        (SWEEP, "B", ["F"]),
        (EXEMPT | SWEEP, "B", [" ", "F"]),
        (EXEMPT | SWEEP | 1 << 13, "C", ["@", "F", "T"]),
        (1 << 13, "A", [" ", "T"]),
        (1 << 1, "A", ["C"]),
        (EXEMPT | 1 << 6, "A", [" ", "O"]),
        (1 << 7, "A", [" ", "6"]),
        (1 << 20, "C", ["@", "W"]),
        (1 << 24, "A", [" ", "M"]),
        (0xFFFFFFFF, "A", ["C", "N", "R"]),
    ],
)
def test_condition_letters(flags, tape, letters):
    assert condition_letters(flags, tape) == letters


def test_shipped_conditions_show_the_awkward_ones(shipped):
    found = set(pc.unique(shipped.tables["trades"]["conditions"]).to_pylist())
    assert {"", " ", "F", " ,F"} <= found
    tapes = (
        shipped.tables["trades"].group_by("symbol").aggregate([("tape", "min"), ("tape", "max")])
    )
    assert {row["symbol"]: row["tape_min"] + row["tape_max"] for row in tapes.to_pylist()} == {
        "SPY": "BB",
        "IBM": "AA",
        "BAC": "AA",
        "AIG": "AA",
    }


def test_quotes_show_both_sides_as_last_seen():
    table = pa.table(
        {
            "ts_ns": pa.array([1, 2, 3, 4], pa.int64()),
            "bid": [0.0, 10.5, 0.0, 10.6],
            "bid_size": [0, 3, 0, 4],
            "ask": [11.0, 0.0, 11.1, 0.0],
            "ask_size": [1, 0, 2, 0],
            "exchange": ["Q", "N", "P", "K"],
        }
    )
    rows = recorded_quotes(table, seed=0).to_pylist()
    assert [(q["bid_price"], q["bid_exchange"]) for q in rows] == [
        (0, " "),
        (10.5, "N"),
        (10.5, "N"),
        (10.6, "K"),
    ]
    assert [(q["ask_price"], q["ask_size"]) for q in rows] == [
        (11, 1),
        (11, 1),
        (11.1, 2),
        (11.1, 2),
    ]


def test_read_tape_takes_recorded_files_and_our_own_tables(tmp_path, shipped, source):
    own, recorded = tmp_path / "quotes.parquet", tmp_path / "recorded.parquet"
    pq.write_table(shipped.tables["quotes"], own)
    floats = pc.divide(pc.cast(source["price"], pa.float64()), 10_000.0)
    place = source.column_names.index("price")
    pq.write_table(source.set_column(place, "price", floats), recorded)
    made = read_tape([own, recorded])
    assert made.tables["trades"].equals(shipped.tables["trades"])
    assert made.tables["quotes"].equals(shipped.tables["quotes"])


def test_read_tape_tells_all_that_is_wrong(tmp_path):
    odd, broken = tmp_path / "odd.parquet", tmp_path / "broken.parquet"
    pq.write_table(pa.table({"a": [1]}), odd)
    broken.write_bytes(b"no parquet")
    with pytest.raises(ConfigError) as caught:
        read_tape([odd, broken, tmp_path / "missing.parquet"])
    assert len(caught.value.faults) == 3
    assert "no kind" in caught.value.faults[0]
    assert "no such file" in caught.value.faults[2]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_read_tape_takes_every_kind_of_our_own_tables(tmp_path, family):
    made = generate_family(family, seed=1, symbols=3, events=3000, events_per_s=100, long_ids=False)
    for kind, table in made.tables.items():
        pq.write_table(table, tmp_path / f"{kind}.parquet")
    read = read_tape(sorted(tmp_path.iterdir()), family=family.name)
    assert read.family is family and set(read.tables) == set(made.tables)
    for kind in set(family.kinds) - {"bars"}:  # which a file does not say when they were sent
        assert read.tables[kind].equals(made.tables[kind])


def test_read_tape_refuses_kinds_of_another_family(tmp_path):
    pq.write_table(generate_tape(events=2000).tables["statuses"], tmp_path / "statuses.parquet")
    with pytest.raises(ConfigError, match="a tape of crypto has no statuses"):
        read_tape([tmp_path / "statuses.parquet"], family="crypto")
