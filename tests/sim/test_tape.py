import numpy as np
import pyarrow as pa
import pytest

from ticktape.sim.families import STOCKS
from ticktape.sim.generate import generate_tape
from ticktape.sim.tape import COLUMNS, TAPE_KINDS, Tape


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=3, symbols=4, events=3000, events_per_s=20)


def trades(times, symbol="SPY"):
    count = len(times)
    return pa.table(
        {
            "symbol": [symbol] * count,
            "event_ns": times,
            "price": [1.0] * count,
            "size": [1.0] * count,
            "exchange": ["V"] * count,
            "id": range(1, count + 1),
            "conditions": [""] * count,
            "tape": ["C"] * count,
        }
    )


def test_rows_are_in_the_order_of_their_time_and_equal_times_in_that_of_the_file(tape):
    assert np.all(np.diff(tape.due_ns) >= 0)
    made = Tape({"trades": trades([5, 1, 5, 1])})
    assert made.tables["trades"]["id"].to_pylist() == [2, 4, 1, 3]


def test_every_row_of_every_kind_is_in_the_tape_once(tape):
    for kind, table in tape.tables.items():
        assert tape.kind_rows[tape.places(kind)].tolist() == list(range(table.num_rows))
        assert table.schema == COLUMNS[kind]
    assert set(tape.tables) == set(STOCKS.kinds)
    assert len(tape) == sum(table.num_rows for table in tape.tables.values())


def test_bars_leave_after_their_minute(tape):
    after_ms = {"minute": 60_500, "updated": 90_000}
    bars = zip(tape.tables["bars"].to_pylist(), tape.due_of("bars").tolist(), strict=True)
    for bar, due_ns in bars:
        if bar["span"] == "day":
            # After a minute of the day that it tells of.
            assert due_ns > bar["event_ns"] + 9 * 3600 * 10**9
            assert due_ns % 60_000_000_000 == 500_000_000
        else:
            assert due_ns == bar["event_ns"] + after_ms[bar["span"]] * 10**6


def test_rows_of_a_range_are_those_of_the_tape(tape):
    for kind, places, rows in tape.rows(700, 1300):
        picked = tape.kind_rows[700 + places]
        assert rows.equals(tape.tables[kind].take(pa.array(picked)))


@pytest.mark.parametrize(
    "subscription",
    [
        {"trades": frozenset({"*"})},
        {"quotes": frozenset({"ZAAB"}), "bars": frozenset({"*"})},
        {"trades": frozenset({"ZAAA", "NOSUCH"})},
        {"updatedBars": frozenset({"*"}), "lulds": frozenset({"*"})},
        {"dailyBars": frozenset({"ZAAA"}), "statuses": frozenset({"ZAAC"})},
    ],
)
def test_mask_is_what_the_subscription_hears(tape, subscription):
    channel_of = {"trades": "trades", "quotes": "quotes", "bars": "bars"}
    channel_of |= {"corrections": "trades", "cancels": "trades"}
    channel_of |= {kind: kind for kind in ("statuses", "lulds", "imbalances")}
    channel_of_span = {"minute": "bars", "updated": "updatedBars", "day": "dailyBars"}
    expected = []
    for code, row in zip(tape.kind_codes, tape.kind_rows, strict=True):
        kind = TAPE_KINDS[code]
        found = tape.tables[kind].slice(int(row), 1).to_pylist()[0]
        channel = channel_of_span[found["span"]] if kind == "bars" else channel_of[kind]
        names, symbol = subscription.get(channel, ()), found["symbol"]
        expected.append("*" in names or symbol in names)
    assert tape.mask(subscription).tolist() == expected


def test_again_is_later_with_other_ids_and_otherwise_the_same(tape):
    later = tape.again(2)
    assert later.due_ns[0] > tape.due_ns[-1]
    assert np.all(np.diff(later.due_ns) == np.diff(tape.due_ns))
    old, new = (made.tables["trades"]["id"].to_numpy() for made in (tape, later))
    assert not set(old) & set(new)
    assert later.tables["trades"]["price"].equals(tape.tables["trades"]["price"])
    assert tape.again(0) is tape


def test_only_keeps_the_kinds_asked_for(tape):
    assert set(tape.only(frozenset({"trades", "bars"})).tables) == {"trades", "bars"}


def test_empty_tape_is_a_tape():
    empty = Tape({"trades": trades([])})
    assert len(empty) == 0 and empty.symbols == [] and len(empty.mask({})) == 0
    assert empty.again(3) is empty
