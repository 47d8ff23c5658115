"""The shipped tape at full speed: one and fifty messages a frame, both protocols, all at once."""

import random

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from ticktape.directory import RunDirectory
from ticktape.latency import path_of, read_stages
from ticktape.replay.paths import block_index, trace_trade
from ticktape.sim import shipped_tape
from ticktape.sim.tape import COLUMNS
from ticktape.sim.wire_v1 import condition_numbers, exchange_number, tape_number

FEEDS = {
    "v2-1": {"batch": 1},
    "v2-50": {"batch": 50},
    "v1-1": {"batch": 1, "path": "/stream"},
    "v1-50": {"batch": 50, "path": "/stream"},
}
V1_CODES = {
    "exchange": exchange_number,
    "bid_exchange": exchange_number,
    "ask_exchange": exchange_number,
    "conditions": condition_numbers,
    "tape": tape_number,
}
TRACED = 60


@pytest.fixture(scope="module")
def whole():
    return shipped_tape(seed=3)


@pytest.fixture(scope="module")
def run(wire, loop, whole, tmp_path_factory):
    venues = {name: wire.Venue(loop, whole, rate=0.0, speed=0.0, **s) for name, s in FEEDS.items()}
    feeds = {name: {"url": venue.url} for name, venue in venues.items()}
    for name in ("v1-1", "v1-50"):
        names = whole.symbols
        feeds[name] |= {"kind": "alpaca_v1", "trades": names, "quotes": names, "bars": ["*"]}
    recorder = wire.Recorder(tmp_path_factory.mktemp("tape"), feeds)
    try:
        recorder.wait_tapes(*venues.values())
        return recorder.stop()
    finally:
        recorder.close()


def on_the_wire(whole, kind, feed):
    """The tape's rows as this feed's protocol writes them: all columns, in its order."""
    table = whole.tables[kind]
    if feed.startswith("v2"):
        return table
    for name, code in V1_CODES.items():
        if name in table.column_names:
            place = table.column_names.index(name)
            texts = [code(text) for text in table[name].to_pylist()]
            table = table.set_column(place, name, pa.array(texts, pa.string()))
    if kind == "quotes":  # of which v1 knows one condition and no tape
        for name, text in (("conditions", "1"), ("tape", "")):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.repeat(text, table.num_rows))
    return table


@pytest.mark.parametrize("feed", FEEDS)
@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_table_equals_the_tape_in_all_columns_and_in_order(run, whole, feed, kind):
    expected = on_the_wire(whole, kind, feed)
    found = run.arrow(kind, feed)
    assert found.num_rows == expected.num_rows > 1000
    for name in COLUMNS[kind].names:
        assert found[name].combine_chunks().equals(expected[name].combine_chunks()), name
    assert pc.all(pc.equal(found["witness"], "stream")).as_py()


def test_run_is_complete_and_nothing_was_dropped_or_doubled(run, whole):
    assert run.exit_code == 0 and run.verdict["complete"], run.verdict["reasons"]
    assert run.verdict["received"] == run.verdict["stored"] == len(FEEDS) * len(whole)
    for name in ("dropped", "duplicates", "gaps", "torn"):
        assert run.verdict[name] == 0
    assert all(run.verdict_of(feed)["complete"] for feed in FEEDS)


@pytest.mark.parametrize("feed", FEEDS)
def test_entries_are_the_frames_that_were_sent(run, whole, feed):
    frames = len(run.raw(feed)) - run.verdict_of(feed)["control"]
    assert frames == (-(-len(whole) // 50) if feed == "v2-50" else len(whole))


def test_last_values_are_the_tapes_last_rows(run, wire, whole):
    code, said = wire.verb("last", str(run.directory))
    assert code == 0
    last = {(row["feed"], row["symbol"]): row for row in said["last"]}
    assert set(last) == {(feed, symbol) for feed in FEEDS for symbol in whole.symbols}
    for (feed, symbol), row in last.items():
        for kind in ("trade", "quote"):
            rows = on_the_wire(whole, f"{kind}s", feed)
            mine = rows.filter(pc.equal(rows["symbol"], symbol)).to_pylist()
            # Later wins; at equal times the one that came last.
            newest = max(mine, key=lambda each: each["event_ns"]) if mine else None
            newest = newest and [r for r in mine if r["event_ns"] == newest["event_ns"]][-1]
            found = row[kind] and {name: row[kind][name] for name in COLUMNS[f"{kind}s"].names}
            assert found == newest


@pytest.mark.parametrize("feed", FEEDS)
def test_trades_of_a_sample_are_traceable_through_every_stage(run, feed):
    directory = RunDirectory(run.directory)
    index, stages = block_index(directory, feed), read_stages(directory.stages, feed)
    trades = run.arrow("trades", feed)
    for place in random.Random(5).sample(range(trades.num_rows), TRACED):
        position = index.position_of(trades["epoch"][place].as_py(), trades["seq"][place].as_py())
        steps = {step.stage: step for step in path_of(index, stages, position)}
        way = [steps[name] for name in ("recv", "written", "synced", "stored")]
        assert all(step.mono_ns for step in (*way, steps["last"])), steps
        assert [step.mono_ns for step in way] == sorted(step.mono_ns for step in way)
        # Not after `written`, which is stamped when the write has returned: a reader may be faster.
        assert steps["recv"].mono_ns < steps["last"].mono_ns


def test_trade_is_traced_by_symbol_and_id_in_all_feeds(run, whole):
    row = whole.tables["trades"].slice(20_000, 1).to_pylist()[0]
    paths = trace_trade(RunDirectory(run.directory), row["symbol"], row["id"])
    found = [path for path in paths if path.trade["event_ns"] == row["event_ns"]]
    assert sorted(path.trade["feed"] for path in found) == sorted(FEEDS)
    assert {path.trade["price"] for path in found} == {row["price"]}
