import numpy as np
import pyarrow.compute as pc

from ticktape.sim.chance import made_up
from ticktape.sim.families import STOCKS
from ticktape.sim.generate import LONG_ID, fakepaca_tape, generate_tape
from ticktape.sim.generate_bars import minute_bars


def test_same_seed_same_tape():
    one, two = (generate_tape(seed=7, events=2000) for _ in range(2))
    other = generate_tape(seed=8, events=2000)
    assert set(one.tables) == set(STOCKS.kinds)
    assert all(one.tables[kind].equals(two.tables[kind]) for kind in one.tables)
    assert not one.tables["trades"].equals(other.tables["trades"])


def test_changes_name_a_trade_that_came_before_them():
    tape = generate_tape(seed=1, events=20_000)
    trades = {trade["id"]: trade for trade in tape.tables["trades"].to_pylist()}
    for kind, key, price in (
        ("cancels", "id", "price"),
        ("corrections", "original_id", "original_price"),
    ):
        rows = tape.tables[kind].to_pylist()
        assert len(rows) > 50
        for row in rows:
            trade = trades[row[key]]
            assert trade["event_ns"] <= row["event_ns"]
            assert (trade["symbol"], trade["exchange"], trade["price"]) == (
                row["symbol"],
                row["exchange"],
                row[price],
            )


def test_times_have_few_and_many_digits():
    times = generate_tape(events=5000).tables["trades"]["event_ns"].to_numpy()
    assert np.any(times % 10**9 == 0)
    assert np.any((times % 10**6 == 0) & (times % 10**9 != 0))
    assert np.any(times % 10 != 0)


def test_long_ids_have_19_digits():
    ids = generate_tape(events=100, long_ids=True).tables["trades"]["id"].to_pylist()
    assert min(ids) > LONG_ID and all(len(str(number)) == 19 for number in ids)


def test_bars_are_those_of_the_trades():
    trades = generate_tape(seed=2, events=4000, events_per_s=20).tables["trades"]
    bars = minute_bars(trades).to_pylist()
    assert len({bar["event_ns"] for bar in bars}) >= 3
    for bar in bars:
        inside = [
            trade
            for trade in trades.to_pylist()
            if trade["symbol"] == bar["symbol"]
            and trade["event_ns"] // (60 * 10**9) * 60 * 10**9 == bar["event_ns"]
        ]
        prices = [trade["price"] for trade in inside]
        assert (bar["open"], bar["close"]) == (prices[0], prices[-1])
        assert (bar["high"], bar["low"]) == (max(prices), min(prices))
        assert bar["trade_count"] == len(inside)
        assert bar["volume"] == sum(trade["size"] for trade in inside)


def test_made_up_symbols_are_different_and_sorted():
    names = made_up(2000)
    assert len(set(names)) == 2000 and list(names) == sorted(names)


def test_fakepaca_has_one_symbol_and_a_bar_each_minute():
    tape = fakepaca_tape(minutes=10)
    assert tape.symbols == ["FAKEPACA"]
    assert tape.tables["bars"].num_rows == 10
    assert pc.min(tape.tables["quotes"]["ask_price"]).as_py() > 0
