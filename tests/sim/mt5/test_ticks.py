"""Ticks: whole seconds, equal milliseconds, the broker's clock, and no tick before its time."""

from datetime import UTC, datetime

import numpy as np
import pytest

from ticktape.sim.mt5 import BookDescription, ticks_truth
from ticktape.sim.mt5.results import TICK_DTYPE

ALL, INFO, TRADE = -1, 1, 2
HOUR_S = 3600


@pytest.fixture
def busy(run, generated):
    return run({"EURUSD": generated()}, tick_rate=500.0, same_ms=6, broker_hours=3.0)


def test_ticks_are_arrays_of_sixty_bytes_a_row(busy, connect, clock):
    mt5 = connect(busy)
    clock.pass_s(10)
    rows = mt5.copy_ticks_from("EURUSD", 0, 100_000, ALL)
    assert rows.dtype == TICK_DTYPE and rows.dtype.itemsize == 60
    assert 2500 < len(rows) < 7500
    assert rows.flags.owndata and rows.flags.writeable
    assert (rows["time"] == rows["time_msc"] // 1000).all()
    assert (np.diff(rows["time_msc"]) >= 0).all()
    assert (rows["last"] == 0).all() and (rows["volume"] == 0).all()
    assert {2, 4, 6} <= set((rows["flags"] & 127).tolist()) and (rows["flags"] & 128).any()


def test_no_tick_is_seen_before_its_time_nor_later(busy, connect, clock):
    mt5 = connect(busy)
    begin_ns = clock.now_ns
    clock.pass_s(5)
    rows, visible_ns = ticks_truth(busy.world, "EURUSD")
    assert len(rows) > 1000 and (np.diff(visible_ns) > 0).all()
    for number in (10, 500, len(rows) - 1):
        clock.now_ns = int(visible_ns[number])
        assert (mt5.copy_ticks_from("EURUSD", 0, 10**6, ALL) == rows[: number + 1]).all()
        assert mt5.symbol_info_tick("EURUSD") == rows[number].item()
        clock.now_ns -= 1
        assert len(mt5.copy_ticks_from("EURUSD", 0, 10**6, ALL)) == number
    assert visible_ns[0] - begin_ns < 10**6


def test_a_tick_is_stamped_in_the_broker_s_clock(busy, connect, clock):
    rows = tick_rows(busy, clock)
    _, visible_ns = ticks_truth(busy.world, "EURUSD")
    utc_ms = (visible_ns + 1_700_000_000 * 10**9) // 10**6
    assert (rows["time_msc"] == utc_ms + 3 * HOUR_S * 1000).all()


def tick_rows(terminal, clock, seconds=5):
    clock.pass_s(seconds)
    return ticks_truth(terminal.world, "EURUSD")[0]


def test_bursts_share_a_millisecond_and_sometimes_a_whole_second_does(busy, clock):
    counts = np.unique(tick_rows(busy, clock, 100)["time_msc"], return_counts=True)[1]
    assert np.median(counts) > 1
    assert counts.max() == 500


def test_the_moment_asked_for_is_cut_to_a_whole_second(busy, connect, clock):
    mt5 = connect(busy)
    rows = tick_rows(busy, clock)
    second = int(rows["time"][len(rows) // 2])
    wanted = rows[rows["time"] >= second]
    for moment in (second, second + 0.999, datetime.fromtimestamp(second + 0.5, UTC)):
        assert (mt5.copy_ticks_from("EURUSD", moment, 10**6, ALL) == wanted).all()
    assert (mt5.copy_ticks_from("EURUSD", second, 7, ALL) == wanted[:7]).all()


def test_a_range_includes_both_its_seconds_to_the_first_millisecond(busy, connect, clock):
    mt5 = connect(busy)
    rows = tick_rows(busy, clock)
    first, last = int(rows["time"][0]) + 1, int(rows["time"][-1]) - 1
    inside = (rows["time_msc"] >= first * 1000) & (rows["time_msc"] <= last * 1000)
    assert (mt5.copy_ticks_range("EURUSD", first, last, ALL) == rows[inside]).all()


def test_milliseconds_are_a_system_error(busy, connect):
    mt5 = connect(busy)
    with pytest.raises(SystemError, match=r"copy_ticks_from.* returned a result with an exception"):
        mt5.copy_ticks_from("EURUSD", 1_700_000_000_000, 10, ALL)
    with pytest.raises(SystemError, match="copy_ticks_range"):
        mt5.copy_ticks_range("EURUSD", 0, 1_700_000_000_000, ALL)


def test_nothing_new_is_an_empty_array_and_a_wrong_call_is_none(busy, connect, clock):
    mt5 = connect(busy)
    clock.pass_s(1)
    rows = mt5.copy_ticks_from("EURUSD", 2**31 - 1, 10, ALL)
    assert len(rows) == 0 and rows.dtype == TICK_DTYPE and mt5.last_error() == (1, "Success")
    for arguments in (
        ("EURUSD", 0, 10),
        ("EURUSD", "now", 10, ALL),
        ("EURUSD", 0, -1, ALL),
        ("EURUSD", 0, 10, 7),
        (7, 0, 10, ALL),
    ):
        assert mt5.copy_ticks_from(*arguments) is None
        assert mt5.last_error() == (-2, "Invalid arguments")


def test_an_exchange_s_symbol_has_deals_and_each_kind_is_found(run, generated, connect, clock):
    terminal = run({"EURUSD": generated(exchange=True)}, tick_rate=200.0)
    mt5 = connect(terminal)
    rows = tick_rows(terminal, clock)
    deals, quotes = rows["flags"] & 24 != 0, rows["flags"] & 6 != 0
    assert deals.any() and quotes.any() and (rows["volume_real"] % 1 != 0).any()
    assert (mt5.copy_ticks_from("EURUSD", 0, 10**6, TRADE) == rows[deals]).all()
    assert (mt5.copy_ticks_from("EURUSD", 0, 5, INFO) == rows[quotes][:5]).all()


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_the_broker_s_clock_is_put_forward_or_back(run, generated, connect, clock, hours):
    switch_ns = clock.wall_ns() + 5 * 10**9
    options = {"switch_wall_ns": switch_ns, "switch_hours": hours, "tick_rate": 50.0}
    terminal = run({"EURUSD": generated()}, **options)
    mt5 = connect(terminal)
    rows = tick_rows(terminal, clock, 10)
    _, visible_ns = ticks_truth(terminal.world, "EURUSD")
    utc_ms = (visible_ns + 1_700_000_000 * 10**9) // 10**6
    offsets = (rows["time_msc"] - utc_ms) // (HOUR_S * 1000)
    assert (offsets == np.where(utc_ms < switch_ns // 10**6, 2, 2 + hours)).all()
    assert len(set(offsets.tolist())) == 2
    for second in sorted(set(rows["time"].tolist())):
        wanted = rows[rows["time"] >= second]
        assert (mt5.copy_ticks_from("EURUSD", second, 10**6, ALL) == wanted).all()


def test_a_recording_ticks_when_its_best_prices_change(run, connect, clock):
    terminal = run({"A": BookDescription()})
    mt5 = connect(terminal)
    clock.pass_s(60)
    rows, visible_ns = ticks_truth(terminal.world, "A")
    assert len(rows) > 20
    for number in (1, 10, len(rows) - 1):
        clock.now_ns = int(visible_ns[number])
        book = mt5.market_book_get("A")
        best = max(row.price for row in book if row.type == 2)
        assert rows[number]["bid"] == best == mt5.symbol_info_tick("A").bid
        assert rows[number]["ask"] == min(row.price for row in book if row.type == 1)


def test_ticks_go_on_while_the_terminal_is_down(run, connect, clock):
    terminal = run(tick_rate=100.0)
    clock.pass_s(1)
    terminal.end()
    clock.pass_s(10)
    terminal.start()
    mt5 = connect(terminal)
    rows = mt5.copy_ticks_from("EURUSD", 0, 10**6, ALL)
    assert (rows == ticks_truth(terminal.world, "EURUSD")[0]).all()
    assert rows["time"][-1] - rows["time"][0] >= 8


def test_a_recording_that_is_through_ticks_anew_with_its_book(run, connect, clock):
    terminal = run({"A": BookDescription()}, speed=100.0)
    clock.pass_s(10)
    before = len(connect(terminal).copy_ticks_from("A", 0, 10**6, ALL))
    terminal.end()
    terminal.start()
    mt5 = connect(terminal)
    assert len(mt5.copy_ticks_from("A", 0, 10**6, ALL)) <= 1
    clock.pass_s(10)
    assert len(mt5.copy_ticks_from("A", 0, 10**6, ALL)) == before


def test_a_hundred_thousand_ticks_are_all_different_places_of_one_schedule(run, connect, clock):
    terminal = run(tick_rate=2000.0)
    mt5 = connect(terminal)
    rows = tick_rows(terminal, clock, 60)
    assert len(rows) > 100_000
    got = mt5.copy_ticks_from("EURUSD", int(rows["time"][0]), 10**6, ALL)
    assert got.tobytes() == rows.tobytes()
