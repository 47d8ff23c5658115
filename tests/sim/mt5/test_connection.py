"""What a client sees: results, refusals and errors as of the real module."""

import copy
import pickle

import numpy as np
import pytest

from ticktape.sim.mt5 import BookDescription
from ticktape.sim.mt5.results import (
    ACCOUNT_FIELDS,
    SYMBOL_FIELDS,
    TERMINAL_FIELDS,
    BookInfo,
    Tick,
)

SUCCESS = (1, "Success")
INVALID = (-2, "Invalid arguments")
NO_CONNECTION = (-10004, "No IPC connection")
BROKEN = (-10002, "IPC recv failed")
NO_ANSWER = (-10003, "IPC initialize failed, Pipe server didn't answer in 60 sec")
NOT_FOUND = (-10003, "IPC initialize failed, MetaTrader 5 x64 not found")
MENU = {"EURUSD": BookDescription(kind="generated"), "NODOM": BookDescription(kind="none")}


# Results.


def test_a_row_is_a_struct_sequence_and_nothing_more():
    row = BookInfo((1, 1.5, 2, 2.5))
    assert (type(row).__name__, type(row).__module__) == ("BookInfo", "builtins")
    assert isinstance(row, tuple) and row == (1, 1.5, 2, 2.5) == (row.type, *row[1:])
    assert row.volume_dbl == row[3] == 2.5
    assert row._asdict() == {"type": 1, "price": 1.5, "volume": 2, "volume_dbl": 2.5}
    assert repr(row) == "BookInfo(type=1, price=1.5, volume=2, volume_dbl=2.5)"
    assert (row.n_fields, row.__match_args__) == (4, ("type", "price", "volume", "volume_dbl"))
    for name in ("_fields", "_replace", "_make", "volume_real", "__dict__"):
        assert not hasattr(row, name)
    assert copy.copy(row) == row
    with pytest.raises(AttributeError):
        row.price = 3.0


def test_a_result_is_made_of_one_sequence_of_the_right_length():
    with pytest.raises(TypeError, match=r"BookInfo\(\) takes a 4-sequence \(3-sequence given\)"):
        BookInfo((1, 1.5, 2))
    with pytest.raises(TypeError):
        BookInfo(1, 1.5, 2, 2.5)


def test_no_result_can_be_pickled():
    with pytest.raises(pickle.PicklingError, match="BookInfo"):
        pickle.dumps(BookInfo((1, 1.5, 2, 2.5)))


def test_each_book_is_a_new_tuple_of_new_rows(run, connect):
    mt5 = connect(run())
    first, second = mt5.market_book_get("EURUSD"), mt5.market_book_get("EURUSD")
    assert type(first) is tuple and {type(row) for row in first} == {BookInfo}
    assert first == second
    assert all(one is not other for one, other in zip(first, second, strict=True))


def test_the_long_results_have_every_field_in_the_real_order(run, connect):
    mt5 = connect(run())
    terminal, account = mt5.terminal_info(), mt5.account_info()
    symbol = mt5.symbol_info("EURUSD")
    assert tuple(terminal._asdict()) == TERMINAL_FIELDS and len(terminal) == 22
    assert tuple(account._asdict()) == ACCOUNT_FIELDS and len(account) == 28
    assert tuple(symbol._asdict()) == SYMBOL_FIELDS and len(symbol) == 96
    assert terminal.connected is True and terminal.build == 6231
    assert (account.login, account.server) == (5_000_001, "Demo-Server")
    assert (symbol.name, symbol.ticks_bookdepth, symbol.digits) == ("EURUSD", 10, 5)
    assert mt5.version() == (500, 6231, "27 Sep 2026") and type(mt5.version()) is tuple


def test_symbols_are_found_by_group(run, connect):
    books = {name: BookDescription(kind="empty") for name in ("EURUSD", "USDJPY", "GBPUSD", "XAU")}
    mt5 = connect(run(books))
    assert [info.name for info in mt5.symbols_get()] == list(books)
    assert mt5.symbols_total() == 4
    found = [info.name for info in mt5.symbols_get(group="*USD*,!*JPY*")]
    assert found == ["EURUSD", "GBPUSD"] == [info.name for info in mt5.symbols_get("*USD*,!*JPY*")]
    assert mt5.symbols_get(7) is False and mt5.last_error() == INVALID


# The menu of errors.


def test_nothing_works_before_initialize(connect):
    mt5 = connect()
    calls = {
        "market_book_get": ("EURUSD",),
        "symbol_info": ("EURUSD",),
        "symbol_info_tick": ("EURUSD",),
        "copy_ticks_from": ("EURUSD", 0, 1, -1),
        "copy_ticks_range": ("EURUSD", 0, 1, -1),
        "terminal_info": (),
        "account_info": (),
        "symbols_get": (),
        "symbols_total": (),
        "version": (),
    }
    for name, arguments in calls.items():
        assert getattr(mt5, name)(*arguments) is None, name
        assert mt5.last_error() == NO_CONNECTION, name
    for name in ("market_book_add", "market_book_release"):
        assert getattr(mt5, name)("EURUSD") is False
        assert mt5.last_error() == SUCCESS, name
    assert mt5.symbol_select("EURUSD", True) is False and mt5.last_error() == NO_CONNECTION
    assert mt5.shutdown() is True and mt5.last_error() == SUCCESS


@pytest.mark.parametrize("arguments", [(), (1,), (None,), ("A" * 31,), ("A", "B"), ("😀" * 16,)])
def test_a_wrong_symbol_is_an_error_and_no_exception(run, connect, arguments):
    mt5 = connect(run())
    for name in ("market_book_add", "market_book_get", "market_book_release", "symbol_info"):
        assert getattr(mt5, name)(*arguments) is None
        assert mt5.last_error() == INVALID
    if arguments != ("A", "B"):
        assert mt5.symbol_select(*arguments) is False
        assert mt5.last_error() == INVALID


def test_a_symbol_of_thirty_characters_is_asked_for(run, connect):
    mt5 = connect(run())
    assert mt5.symbol_info("A" * 30) is None and mt5.last_error() == (-4, "Terminal: Not found")


def test_a_keyword_is_a_type_error(run, connect):
    mt5 = connect(run())
    with pytest.raises(TypeError):
        mt5.market_book_get(symbol="EURUSD")


def test_an_unknown_symbol_is_refused_in_each_call_s_own_way(run, connect):
    mt5 = connect(run())
    assert mt5.symbol_info("NOPE") is None and mt5.last_error()[0] == -4
    assert mt5.symbol_info_tick("NOPE") is None and mt5.last_error()[0] == -4
    assert mt5.symbol_select("NOPE") is False and mt5.last_error()[0] == -4
    assert mt5.copy_ticks_from("NOPE", 0, 1, -1) is None and mt5.last_error()[0] == -1
    assert mt5.market_book_add("NOPE") is False and mt5.last_error() == SUCCESS
    assert mt5.market_book_get("NOPE") is None and mt5.last_error() == (-1, "Terminal: Call failed")


def test_every_call_resets_the_error(run, connect):
    mt5 = connect(run())
    mt5.symbol_info("NOPE")
    assert mt5.last_error()[0] == mt5.last_error()[0] == -4
    mt5.terminal_info()
    assert mt5.last_error() == SUCCESS


def test_a_book_must_be_subscribed_and_each_subscription_released(run, connect):
    mt5 = connect(run(MENU), add=False)
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error()[0] == -1
    assert mt5.market_book_add("EURUSD") is True and mt5.market_book_add("EURUSD") is True
    assert mt5.market_book_release("EURUSD") is True
    assert mt5.market_book_get("EURUSD")
    assert mt5.market_book_release("EURUSD") is True
    assert mt5.market_book_get("EURUSD") is None
    assert mt5.market_book_release("EURUSD") is False and mt5.last_error() == SUCCESS
    assert mt5.market_book_add("NODOM") is False and mt5.last_error() == SUCCESS
    assert mt5.symbol_info("NODOM").ticks_bookdepth == 0


# Beginning and end.


def test_initialize_refuses_what_is_no_terminal(connect, tmp_path):
    mt5 = connect()
    assert mt5.initialize() is False and mt5.last_error() == NOT_FOUND
    assert mt5.initialize(str(tmp_path / "terminal64.exe")) is False
    assert mt5.last_error() == NOT_FOUND
    assert mt5.initialize("one", "two") is False
    assert mt5.last_error() == (-2, "Invalid number of arguments")


@pytest.mark.parametrize(
    ("name", "value"), [("login", "5"), ("timeout", 1.5), ("path", 7), ("server", "s" * 255)]
)
def test_initialize_refuses_an_option_of_the_wrong_kind(run, connect, name, value):
    run()
    mt5 = connect()
    assert mt5.initialize(**{name: value}) is False
    assert mt5.last_error() == (-2, f'Invalid "{name}" argument')


def test_initialize_ignores_what_it_does_not_know(run, connect):
    path = str(run().world.executable)
    assert connect().initialize(path=path, portable=1, colour="red") is True


def test_initialize_waits_for_a_dead_terminal_and_then_says_so(run, connect, clock):
    terminal = run(start=False)
    mt5 = connect()
    before_ns = clock.now_ns
    assert mt5.initialize(str(terminal.world.executable)) is False
    assert mt5.last_error() == NO_ANSWER
    assert clock.now_ns - before_ns == pytest.approx(60e9 / 300, rel=0.1)
    assert all(with_lock for _, with_lock in clock.held)


def test_a_wrong_account_is_refused_and_a_wrong_server_times_out(run, connect):
    path = str(run().world.executable)
    mt5 = connect()
    assert mt5.initialize(path, login=5_000_001, password="wrong") is False
    assert mt5.last_error() == (-6, "Terminal: Authorization failed")
    assert mt5.initialize(path, login=7, password="demo") is False and mt5.last_error()[0] == -6
    assert mt5.initialize(path, server="Other") is False
    assert mt5.last_error() == (-10005, "IPC timeout")
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error() == NO_CONNECTION
    assert mt5.initialize(path, login=5_000_001, password="demo", server="Demo-Server") is True
    assert mt5.login(5_000_001, password="demo") is True
    assert mt5.login(5_000_001, password="wrong") is False and mt5.last_error()[0] == -6


def test_a_terminal_that_is_logged_out_times_out(run, connect, clock):
    terminal = run()
    terminal.world.control.logged_in = 0
    mt5 = connect()
    before_ns = clock.now_ns
    assert mt5.initialize(str(terminal.world.executable), timeout=6000) is False
    assert mt5.last_error() == (-10005, "IPC timeout")
    assert clock.now_ns - before_ns == pytest.approx(6e9 / 300, rel=0.6)
    assert mt5.initialize(str(terminal.world.executable), login=5_000_001, password="demo") is True


def test_after_a_death_comes_one_broken_pipe_and_then_none_until_initialize(run, connect):
    terminal = run()
    mt5 = connect(terminal)
    path = str(terminal.world.executable)
    assert mt5.market_book_get("EURUSD")
    terminal.end()
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error() == BROKEN
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error() == NO_CONNECTION
    assert mt5.market_book_add("EURUSD") is False and mt5.last_error() == SUCCESS
    assert mt5.initialize(path) is False and mt5.last_error() == NO_ANSWER
    terminal.start()
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error() == NO_CONNECTION
    assert mt5.initialize(path) is True
    assert mt5.market_book_get("EURUSD") is None, "subscriptions end with the connection"
    assert mt5.market_book_add("EURUSD") is True and mt5.market_book_get("EURUSD")


def test_a_terminal_that_was_started_again_in_between_is_another_one(run, connect):
    terminal = run()
    mt5 = connect(terminal)
    terminal.end()
    terminal.start()
    assert mt5.market_book_get("EURUSD") is None and mt5.last_error() == BROKEN


# Time.


def test_a_call_takes_its_latency_with_the_lock_held(run, connect, clock):
    mt5 = connect(run(latency_us=70))
    del clock.held[:]
    for _ in range(10):
        before_ns = clock.now_ns
        mt5.market_book_get("EURUSD")
        assert clock.now_ns - before_ns == 70_000
    assert clock.held == [(70_000, True)] * 10


def test_a_book_is_from_within_the_call_now_its_beginning_now_its_end(run, connect, clock):
    terminal = run({"EURUSD": BookDescription(kind="generated", rate=1e6)}, latency_us=100)
    mt5 = connect(terminal)
    states = []
    for _ in range(6):
        before_ns = clock.now_ns - terminal.world.control.start_mono_ns
        volume = mt5.market_book_get("EURUSD")[-1].volume_dbl
        states.append(round(volume * 100) - 1 - before_ns // 1000)
    assert sorted(states) == [0, 0, 0, 100, 100, 100]


def test_spikes_are_rare_and_the_same_for_a_seed(run, connect, clock):
    terminal = run(spike_ppm=50_000, spike_low_ms=50, spike_high_ms=500)
    lengths = []
    for _ in range(2):
        mt5 = connect(terminal)
        del clock.held[:]
        for _ in range(400):
            mt5.market_book_get("EURUSD")
        lengths.append([wait_ns for wait_ns, _ in clock.held])
    assert lengths[0] == lengths[1]
    assert 5 < len(lengths[0]) < 50
    assert all(50e6 <= wait_ns <= 500e6 for wait_ns in lengths[0])


def test_one_call_stalls_and_the_next_does_not(run, connect, clock):
    terminal = run()
    mt5 = connect(terminal)
    terminal.world.control.stall_next_ms = 300
    before_ns = clock.now_ns
    mt5.market_book_get("EURUSD")
    mt5.market_book_get("EURUSD")
    assert clock.now_ns - before_ns == 300_000_000


def test_a_book_is_empty_until_it_is_warm(run, connect, clock):
    mt5 = connect(run(warm_s=0.5))
    assert mt5.market_book_get("EURUSD") == () and mt5.last_error() == SUCCESS
    clock.pass_s(0.5)
    assert len(mt5.market_book_get("EURUSD")) == 20


def test_a_link_that_is_down_shows_in_terminal_info_alone(run, connect, clock):
    terminal = run()
    mt5 = connect(terminal)
    down_ns = terminal.disconnect()
    clock.now_ns = down_ns
    before = mt5.market_book_get("EURUSD")
    clock.pass_s(3)
    assert mt5.market_book_get("EURUSD") == before and mt5.last_error() == SUCCESS
    assert mt5.terminal_info().connected is False
    count = len(mt5.copy_ticks_from("EURUSD", 0, 1000, -1))
    clock.now_ns = terminal.reconnect()
    assert mt5.market_book_get("EURUSD") != before
    assert mt5.terminal_info().connected is True
    assert len(mt5.copy_ticks_from("EURUSD", 0, 1000, -1)) > count


def test_the_last_tick_is_zeros_before_the_first(run, connect, clock):
    mt5 = connect(run())
    clock.now_ns -= 10**9  # before the ticks begin
    assert mt5.symbol_info_tick("EURUSD") == (0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0)
    clock.now_ns += 11 * 10**9
    tick = mt5.symbol_info_tick("EURUSD")
    assert type(tick) is Tick
    last = mt5.copy_ticks_from("EURUSD", 0, 10_000, -1)[-1]
    assert isinstance(last, np.void) and tick == last.item()
