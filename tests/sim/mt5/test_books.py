"""The states of books: recorded, made up, strange, and none at all."""

from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticktape.errors import ConfigError
from ticktape.sim.mt5 import ANOMALIES, BookDescription, Description, create_world, state_number
from ticktape.sim.mt5.books import make_states, read_states
from ticktape.sim.mt5.generated import STATES
from ticktape.sim.mt5.schedule import poisson, regular


def states_of(**options):
    return make_states(BookDescription(kind="generated", **options), 7, "EURUSD")


def halves(rows):
    asks = [row[1] for row in rows if row[0] in (1, 3)]
    bids = [row[1] for row in rows if row[0] in (2, 4)]
    return asks, bids


# Recorded.


def test_the_shipped_recording_is_whole_and_in_the_terminal_s_order():
    states = read_states("shipped")
    assert len(states) == 6547 and states.depth == 20
    assert 344e9 < states.recv_ns[-1] - states.recv_ns[0] < 345e9
    for number in (0, 1, 3000, 6546):
        rows = states.rows(number)
        assert [row[0] for row in rows] == [1] * 20 + [2] * 20
        prices = [row[1] for row in rows]
        assert prices == sorted(prices, reverse=True)
        assert all(row[2] == int(row[3]) for row in rows)
    assert states.rows(0)[0] == (1, 61808.700000000004, 0, 0.007)
    assert states.rows(6547) == states.rows(0)


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_a_recording_changes_at_its_own_times_divided_by_the_speed(run, connect, clock, speed):
    mt5 = connect(run({"A": BookDescription()}, speed=speed))
    states = read_states("shipped")
    begin_ns = clock.now_ns
    for number in (5, 1000, 6546):
        due_ns = int((states.recv_ns[number] - states.recv_ns[0]) / speed)
        clock.now_ns = begin_ns + due_ns
        assert mt5.market_book_get("A") == tuple(states.rows(number))
        clock.now_ns -= 1
        assert mt5.market_book_get("A") == tuple(states.rows(number - 1))
    clock.pass_s(1000)
    assert mt5.market_book_get("A") == tuple(states.rows(6546)), "the last book stays"


def test_a_recording_of_several_passes_begins_again(run, connect, clock):
    mt5 = connect(run({"A": BookDescription()}, passes=0))
    states = read_states("shipped")
    seen = set()
    clock.now_ns += int(states.recv_ns[-1] - states.recv_ns[0])
    for _ in range(200):
        seen.add(mt5.market_book_get("A"))
        clock.pass_s(0.01)
    assert tuple(states.rows(6546)) in seen
    assert tuple(states.rows(1)) in seen


def test_at_full_speed_each_call_moves_the_book_on_by_one(run, connect, clock, tmp_path):
    table = pq.read_table(write_recording(tmp_path, books=4))
    assert table.num_rows == 8
    terminal = run({"A": BookDescription(file=str(tmp_path / "r.parquet"))}, speed=0.0, passes=2)
    mt5 = connect(terminal)
    prices = []
    for _ in range(10):
        prices.append(mt5.market_book_get("A")[0].price)
        clock.pass_s(0.5)
    assert prices == [100.0, 101.0, 102.0, 103.0] * 2 + [103.0] * 2


def test_a_position_at_full_speed_outlives_the_client(run, connect, tmp_path):
    write_recording(tmp_path, books=4)
    terminal = run({"A": BookDescription(file=str(tmp_path / "r.parquet"))}, speed=0.0)
    assert connect(terminal).market_book_get("A")[0].price == 100.0
    assert connect(terminal).market_book_get("A")[0].price == 101.0


def write_recording(folder, books, columns=("snapshot", "recv_ns", "type", "price", "volume")):
    rows = [
        (number, number * 10**9, kind, 100.0 + number - kind + 1, 1.5)
        for number in range(books)
        for kind in (1, 2)
    ]
    names = ("snapshot", "recv_ns", "type", "price", "volume")
    arrays = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    path = folder / "r.parquet"
    pq.write_table(pa.table({name: arrays[name] for name in columns}), path)
    return path


def test_a_file_without_the_columns_is_refused(tmp_path):
    path = write_recording(tmp_path, books=2, columns=("snapshot", "price"))
    description = Description(books={"A": BookDescription(file=str(path))})
    with pytest.raises(ConfigError, match=r"snapshot recv_ns type price volume"):
        create_world(tmp_path / "world", description)


# Made up.


@pytest.mark.parametrize("levels", [1, 5, 64])
def test_a_made_up_state_says_its_number_and_no_two_are_alike(levels):
    states = states_of(levels=levels)
    seen = {tuple(states.rows(number)) for number in range(3 * STATES)}
    assert len(seen) == 3 * STATES
    for number in (0, 1, 77, STATES, 10**6 + 3):
        rows = states.rows(number)
        assert len(rows) == 2 * levels and state_number(rows) == number
        prices = [row[1] for row in rows]
        assert prices == sorted(prices, reverse=True) and len(set(prices)) == len(prices)
        assert [row[0] for row in rows] == [1] * levels + [2] * levels


def test_made_up_prices_carry_binary_noise():
    states = states_of(levels=20)
    prices = {row[1] for number in range(50) for row in states.rows(number)}
    assert any(price != round(price, 5) for price in prices)


def test_another_symbol_and_another_seed_have_other_books():
    book = BookDescription(kind="generated")
    first = make_states(book, 1, "EURUSD").rows(5)
    assert make_states(book, 1, "GBPUSD").rows(5) != first
    assert make_states(book, 2, "EURUSD").rows(5) != first


@pytest.mark.parametrize("name", [name for name in ANOMALIES if name != "identical"])
def test_every_anomaly_is_seen(name):
    states = states_of(levels=10, anomalies=(name,), share=0.1)
    strange = [rows for number in range(STATES) if IS_STRANGE[name](rows := states.rows(number))]
    assert len(strange) > STATES // 20
    others = states_of(levels=10)
    assert not any(IS_STRANGE[name](others.rows(number)) for number in range(STATES))


def is_crossed(rows):
    asks, bids = halves(rows)
    return bool(asks and bids) and min(asks) < max(bids)


def is_unsorted(rows):
    asks, _ = halves(rows)
    return asks != sorted(asks, reverse=True)


IS_STRANGE = {
    "crossed": is_crossed,
    "unsorted": is_unsorted,
    "duplicate": lambda rows: len(set(halves(rows)[0])) < len(halves(rows)[0]),
    "one_level": lambda rows: len(rows) == 1,
    "empty": lambda rows: len(rows) == 0,
    "one_sided": lambda rows: len({row[0] for row in rows}) == 1 and len(rows) > 1,
    "market_rows": lambda rows: {3, 4} <= {row[0] for row in rows},
    "fraction": lambda rows: (rows[0][2], rows[0][3]) == (0, 0.37),
    "depth": lambda rows: 8 <= len(rows) < 20,
    "overfull": lambda rows: len(rows) > 20,
}


def test_identical_books_follow_one_another():
    states = states_of(levels=10, anomalies=("identical",), share=0.1)
    pairs = [states.rows(number) == states.rows(number + 1) for number in range(2 * STATES)]
    assert 50 < sum(pairs) < STATES
    # Never three in a row, or one book would be three states.
    assert not any(one and other for one, other in pairwise(pairs))


# Times.


def test_a_cycle_s_counts_and_moments_agree():
    for cycle in (regular(2000.0), regular(0.5), poisson(100.0, 5)):
        count = 2 * len(cycle) + 50
        moments = cycle.moments(0, count)
        for number in (0, 1, len(cycle), count - 1):
            assert cycle.count(int(moments[number])) == number + 1
            assert cycle.count(int(moments[number]) - 1) == number


def test_random_moments_have_the_rate_that_was_asked_for():
    moments = poisson(200.0, 3).moments(0, 30_001)
    gaps = moments[1:] - moments[:-1]
    assert moments[-1] / 1e9 == pytest.approx(150, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)


def test_a_book_that_never_fills_is_empty_for_ever(run, connect, clock):
    mt5 = connect(run({"E": BookDescription(kind="empty")}))
    assert mt5.market_book_add("E") is True
    for _ in range(3):
        assert mt5.market_book_get("E") == () and mt5.last_error() == (1, "Success")
        clock.pass_s(100)
