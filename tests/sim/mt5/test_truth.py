"""The truth is what `market_book_get` returns, at every instant and in every start."""

import pyarrow.parquet as pq
import pytest

from ticktape.sim.mt5 import ANOMALIES, BookDescription, Truth, state_number, write_truth
from ticktape.sim.mt5.truth import pack

MS = 1_000_000


def sweep(mt5, clock, symbol, steps, step_ns=MS):
    """Poll every millisecond: the distinct books in their order, each with when it was seen."""
    seen = []
    for _ in range(steps):
        rows = mt5.market_book_get(symbol)
        assert rows is not None, mt5.last_error()
        if not seen or rows != seen[-1][1]:
            seen.append((clock.now_ns, rows))
        clock.now_ns += step_ns
    return seen


def assert_true(truth, seen):
    assert len(seen) > 20
    for now_ns, rows in seen:
        assert truth.rows(truth.at(now_ns)) == pack(rows)


@pytest.mark.parametrize("poisson", [False, True])
@pytest.mark.parametrize("anomalies", [(), ANOMALIES])
def test_what_is_seen_is_the_truth_of_that_moment(run, connect, clock, poisson, anomalies):
    book = BookDescription(
        kind="generated", rate=300.0, poisson=poisson, anomalies=anomalies, share=0.5
    )
    terminal = run({"A": book}, warm_s=0.0)
    seen = sweep(connect(terminal), clock, "A", 3000)
    assert_true(Truth(terminal.world, "A"), seen)


def test_nothing_is_missing_and_nothing_is_too_much(run, connect, clock, generated):
    """Polled more often than it changes, a book is the truth itself."""
    book = generated(rate=100.0, anomalies=("identical", "empty"), share=0.3)
    terminal = run({"A": book})
    begin_ns = clock.now_ns
    seen = sweep(connect(terminal), clock, "A", 5000)
    truth = Truth(terminal.world, "A", begin_ns + 4999 * MS)
    assert [truth.rows(index) for index in range(len(truth))] == [pack(rows) for _, rows in seen]
    assert truth.mono_ns.tolist() == [now_ns for now_ns, _ in seen]
    assert len(truth) < 500, "books equal to the one before do not count"


def test_a_recording_s_truth_is_what_is_seen(run, connect, clock):
    terminal = run({"A": BookDescription()}, speed=100.0, passes=2)
    seen = sweep(connect(terminal), clock, "A", 8000)
    truth = Truth(terminal.world, "A")
    assert_true(truth, seen)
    assert len(seen) < len(truth) <= 2 * 6547
    # Two of its books came in one instant: the first of them was never seen.
    assert truth.state[0] == 1


def test_changes_are_counted_after_one_moment_and_up_to_another(run, clock, generated):
    terminal = run({"A": generated(rate=100.0)})
    begin_ns = clock.now_ns
    clock.pass_s(2)
    truth = Truth(terminal.world, "A")
    assert len(truth) == 201
    assert truth.count(begin_ns, begin_ns + 10 * MS) == 1
    assert truth.count(begin_ns - 1, begin_ns + 10 * MS - 1) == 1
    assert truth.count(begin_ns, clock.now_ns) == 200
    assert (truth.wall_ns - truth.mono_ns == 1_700_000_000 * 10**9).all()


def test_what_came_while_the_link_was_down_is_not_in_the_truth(run, connect, clock, generated):
    terminal = run({"A": generated(rate=100.0)})
    mt5 = connect(terminal)
    seen = sweep(mt5, clock, "A", 1000)
    down_ns = terminal.disconnect()
    seen += sweep(mt5, clock, "A", 1000)
    up_ns = terminal.reconnect()
    seen += sweep(mt5, clock, "A", 1000)
    truth = Truth(terminal.world, "A")
    assert_true(truth, seen)
    assert truth.count(down_ns, up_ns - 1) == 0 and truth.count(up_ns - 1, up_ns) == 1
    assert len(truth) == 201 + 1


def test_a_link_that_is_still_down_is_in_the_truth(run, connect, clock, generated):
    terminal = run({"A": generated(rate=100.0)})
    down_ns = terminal.disconnect()
    clock.pass_s(5)
    truth = Truth(terminal.world, "A")
    assert truth.mono_ns[-1] <= down_ns
    assert truth.rows(len(truth) - 1) == pack(connect(terminal).market_book_get("A"))


def test_every_start_has_its_own_truth(run, connect, clock, generated):
    terminal = run({"A": generated(rate=100.0)})
    seen = sweep(connect(terminal), clock, "A", 1000)
    terminal.end()
    end_ns = clock.now_ns
    clock.pass_s(7)
    assert terminal.start() == 2
    seen += sweep(connect(terminal), clock, "A", 1000)
    truth = Truth(terminal.world, "A")
    assert_true(truth, seen)
    assert truth.start.tolist() == [1] * 101 + [2] * 101
    assert truth.state[101] == 0, "the book begins anew"
    assert [life.end_mono_ns for life in truth.lives] == [end_ns, clock.now_ns]


def test_another_description_does_not_change_what_was(run, connect, clock, generated):
    first = run({"A": generated(rate=100.0)}, seed=1)
    seen = sweep(connect(first), clock, "A", 1000)
    first.close()
    second = run({"A": generated(rate=50.0, levels=3)}, seed=2)
    seen += sweep(connect(second), clock, "A", 1000)
    truth = Truth(second.world, "A")
    assert_true(truth, seen)
    assert len(truth) == 101 + 51


def test_at_full_speed_the_truth_is_the_calls(run, connect, clock):
    terminal = run({"A": BookDescription()}, speed=0.0)
    mt5 = connect(terminal)
    seen = sweep(mt5, clock, "A", 500)
    mt5.shutdown()
    truth = Truth(terminal.world, "A")
    assert_true(truth, seen)
    assert len(truth) == len(seen)
    assert truth.mono_ns.tolist() == [now_ns for now_ns, _ in seen]


def test_the_truth_is_written_as_parquet(run, connect, clock, tmp_path, generated):
    terminal = run({"A": generated(rate=100.0), "B": BookDescription(kind="none")}, tick_rate=50.0)
    clock.pass_s(3)
    write_truth(terminal.world, tmp_path / "truth")
    books = pq.read_table(tmp_path / "truth" / "books.parquet")
    assert books.column_names == ["symbol", "start", "state", "change_mono_ns", "change_ns", "rows"]
    truth = Truth(terminal.world, "A")
    assert books["state"].to_pylist() == truth.state.tolist()
    assert books["rows"][7].as_py() == truth.rows(7)
    ticks = pq.read_table(tmp_path / "truth" / "ticks.parquet")
    assert set(ticks["symbol"].to_pylist()) == {"A", "B"}
    count = len(connect(terminal).copy_ticks_from("A", 0, 10**6, -1))
    assert ticks["symbol"].to_pylist().count("A") == count


def test_the_number_of_a_state_is_in_its_rows(run, connect, clock, generated):
    terminal = run({"A": generated(rate=1000.0)})
    mt5 = connect(terminal)
    clock.pass_s(12.345)
    assert state_number(mt5.market_book_get("A")) == 12_345
