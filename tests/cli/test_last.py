"""`ticktape last` on books and ticks: what there is gets a column, what there is not gets none."""

import json
import re

import pytest

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.lastvalue import LastValueWriter
from ticktape.records import Book, CryptoBook, Gap, Quote, Status, Tick, Trade

NOW_NS = 1_700_000_000_000_000_000
STAMPS = {"event_ns": NOW_NS, "recv_ns": NOW_NS, "epoch": 1, "seq": 1, "index": 0}


def a_book(symbol, *, bids=((10.5, 1_250_000.0), (10.0, 1.0)), asks=((11.25, 0.3),)):
    return Book(
        feed="rts",
        symbol=symbol,
        before_ns=NOW_NS - 1,
        after_ns=NOW_NS,
        previous_ns=None,
        poll=1,
        unchanged=0,
        flags=0,
        bid_prices=tuple(price for price, _ in bids),
        bid_volumes=tuple(volume for _, volume in bids),
        ask_prices=tuple(price for price, _ in asks),
        ask_volumes=tuple(volume for _, volume in asks),
        **STAMPS,
    )


def a_tick(symbol, bid=8.5, ask=9.0):
    return Tick(
        feed="rts",
        symbol=symbol,
        time_msc=NOW_NS // 1_000_000,
        offset_ms=0,
        bid=bid,
        ask=ask,
        last=0.0,
        volume=0,
        volume_real=0.0,
        flags=6,
        before_ns=NOW_NS,
        after_ns=NOW_NS,
        **STAMPS,
    )


def a_quote(symbol):
    return Quote(
        feed="rts",
        symbol=symbol,
        bid_price=3.5,
        bid_size=1.0,
        ask_price=4.5,
        ask_size=1.0,
        **STAMPS,
    )


def a_trade(symbol):
    return Trade(feed="rts", symbol=symbol, price=5.5, size=100.0, **STAMPS)


def an_order_book(symbol, *, bids=((10.5, 0.25), (10.0, 1.0)), asks=((11.25, 0.3),)):
    return CryptoBook(
        feed="rts",
        symbol=symbol,
        reset=True,
        bid_prices=tuple(price for price, _ in bids),
        bid_sizes=tuple(size for _, size in bids),
        ask_prices=tuple(price for price, _ in asks),
        ask_sizes=tuple(size for _, size in asks),
        **STAMPS,
    )


def a_gap():
    return Gap(
        feed="rts", symbol="", from_ns=NOW_NS, to_ns=None, cause="the cable", **STAMPS | {"seq": 2}
    )


def a_status(symbol, message="Trading Halt"):
    return Status(
        feed="rts",
        symbol=symbol,
        status_code="H",
        status_message=message,
        reason_code="T12",
        reason_message="",
        **STAMPS,
    )


@pytest.fixture
def last_of(said, tmp_path):
    """Put records into a run's last values, and run `last` on it: what it printed."""

    def call(records, *arguments):
        directory = RunDirectory(tmp_path / "run")
        directory.feed_journal("rts").mkdir(parents=True)
        directory.config.write_text("")
        with LastValueWriter(directory.last, clock.boot_id()) as writer:
            writer.update(records)
        code, out, err = said("last", directory.root, *arguments)
        assert (code, err) == (0, "")
        return out

    return call


def columns(out):
    """The names, which two blanks or more part, and each symbol's words."""
    names, *lines = out.splitlines()
    return re.split(r" {2,}", names), {line.split()[1]: line.split() for line in lines}


def test_a_book_shows_its_best_prices_volumes_and_levels(last_of):
    names, rows = columns(last_of([a_book("RIZ6")]))
    assert names[:5] == ["feed", "symbol", "age", "bid", "ask"]
    assert names[5:] == ["bid volume", "ask volume", "levels"]
    assert rows["RIZ6"][-7:] == ["10.50", "11.25", "1250000", "0.3", "2", "/", "1"]


def test_a_run_without_books_has_no_columns_for_them(last_of):
    names, rows = columns(last_of([a_trade("IBM"), a_quote("IBM"), a_tick("IBM")]))
    assert names[-2:] == ["bid", "ask"]
    assert rows["IBM"][-2:] == ["3.50", "4.50"]


def test_bid_and_ask_are_the_quotes_else_the_books_else_the_ticks(last_of):
    records = [
        *(a_quote("ALL"), a_book("ALL"), a_tick("ALL")),
        *(a_book("BOOK"), a_tick("BOOK")),
        a_tick("TICK"),
        a_tick("NONE", bid=0.0),
    ]
    _, rows = columns(last_of(records))
    assert "3.50" in rows["ALL"]
    assert "10.50" in rows["BOOK"]
    assert rows["TICK"][-2:] == ["8.50", "9.00"]
    assert rows["NONE"][-1] == "9.00"
    assert "0.00" not in rows["NONE"]


def test_an_empty_side_is_blank_and_has_no_levels(last_of):
    _, rows = columns(last_of([a_book("THIN", asks=())]))
    assert rows["THIN"][-5:] == ["10.50", "1250000", "2", "/", "0"]


def test_json_has_the_whole_book_and_the_tick(last_of):
    out = last_of([a_book("RIZ6"), a_tick("RIZ6")], "--json")
    [row] = json.loads(out.splitlines()[-1])["last"]
    assert row["book"]["bid_prices"] == [10.5, 10.0]
    assert row["book"]["bid_volumes"] == [1_250_000.0, 1.0]
    assert row["book"]["previous_ns"] is None
    assert (row["tick"]["bid"], row["tick"]["flags"]) == (8.5, 6)
    assert (row["trade"], row["quote"]) == (None, None)


def test_an_order_book_shows_its_best_sizes_and_levels(last_of):
    names, rows = columns(last_of([an_order_book("BTC/USD"), an_order_book("THIN", asks=())]))
    assert names[3:] == ["bid", "ask", "bid volume", "ask volume", "levels"]
    assert rows["BTC/USD"][-7:] == ["10.50", "11.25", "0.25", "0.3", "2", "/", "1"]
    assert rows["THIN"][-5:] == ["10.50", "0.25", "2", "/", "0"]


def test_an_order_book_after_a_gap_shows_no_prices_and_says_why(last_of):
    _, rows = columns(last_of([an_order_book("BTC/USD"), a_gap()]))
    assert rows["BTC/USD"][-2:] == ["not", "valid"]
    assert "10.50" not in rows["BTC/USD"]


def test_json_has_the_whole_order_book_and_since_when_it_is_lost(last_of):
    records = [an_order_book("A"), a_gap(), an_order_book("B"), a_status("B")]
    out = last_of(records, "--json")
    lost, whole = json.loads(out.splitlines()[-1])["last"]
    assert lost["order_book"]["is_valid"] is False
    assert (lost["order_book"]["bid_prices"], lost["book"]) == ([], None)
    assert lost["order_book"]["invalid_since_ns"] == NOW_NS
    assert whole["order_book"]["bid_prices"] == [10.5, 10.0]
    assert whole["order_book"]["ask_sizes"] == [0.3]
    assert (whole["status"]["status_code"], lost["status"]) == ("H", None)


def test_a_halt_is_shown_and_escapes_in_it_do_nothing(last_of):
    names, rows = columns(last_of([a_trade("AAPL"), a_status("AAPL"), a_status("X", "\x1b[2J")]))
    assert names[-1] == "status"
    assert rows["AAPL"][-2:] == ["Trading", "Halt"]
    assert rows["X"][-1] == "\\x1b[2J"
