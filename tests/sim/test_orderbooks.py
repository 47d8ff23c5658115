"""Whole books at any row, against a book put together by hand from all changes before it."""

import pyarrow as pa
import pytest

from ticktape.orderbook import OrderBook
from ticktape.records import CryptoBook
from ticktape.sim.families import CRYPTO
from ticktape.sim.generate import generate_family, generate_tape
from ticktape.sim.orderbooks import BookKeeper
from ticktape.sim.tape import Tape


@pytest.fixture(scope="module")
def tape():
    return generate_family(
        CRYPTO, seed=2, symbols=3, events=4000, events_per_s=100, long_ids=False
    ).only({"trades", "crypto_books"})


def record(row):
    sides = {name: tuple(row[name]) for name in row if name.endswith(("prices", "sizes"))}
    places = {"recv_ns": 0, "epoch": 0, "seq": 0, "index": 0, "feed": ""}
    return CryptoBook(
        symbol=row["symbol"], event_ns=row["event_ns"], reset=row["reset"], **sides, **places
    )


def by_hand(tape, stop):
    books = {}
    changes = tape.tables["crypto_books"].to_pylist()
    places = tape.places("crypto_books").tolist()
    for place, row in zip(places, changes, strict=True):
        if place < stop:
            books.setdefault(row["symbol"], OrderBook()).apply(record(row))
    return books


def test_whole_books_are_the_changes_before_them(tape):
    keeper = BookKeeper(tape)
    for row in (0, 1, 2, 3, 500, 501, 2000, len(tape)):
        expected = by_hand(tape, row)
        found = keeper.whole(frozenset({"*"}), row)
        assert [book.symbol for book in found] == sorted(expected)
        for book in found:
            other = expected[book.symbol]
            assert (book.event_ns, book.bids, book.asks) == (
                other.event_ns,
                other.bids(),
                other.asks(),
            )


def test_only_the_symbols_asked_for_and_known_are_given(tape):
    keeper = BookKeeper(tape)
    assert keeper.whole(frozenset({"*"}), 0) == []
    found = keeper.whole(frozenset({"BTC/USD", "NO/SUCH"}), len(tape))
    assert [book.symbol for book in found] == ["BTC/USD"]


def test_tape_without_books_has_none():
    assert BookKeeper(generate_tape(events=20)).whole(frozenset({"*"}), 20) == []


def test_made_up_books_begin_whole_lose_levels_and_never_cross(tape):
    rows = tape.tables["crypto_books"].to_pylist()
    begun = set()
    books = {}
    for row in rows:
        assert row["reset"] or row["symbol"] in begun
        begun.add(row["symbol"])
        book = books.setdefault(row["symbol"], OrderBook())
        before = {price for price, _ in (*book.bids(), *book.asks())}
        gone = {
            price
            for side in ("bid", "ask")
            for price, size in zip(row[f"{side}_prices"], row[f"{side}_sizes"], strict=True)
            if size == 0
        }
        assert gone <= before
        book.apply(record(row))
        bids, asks = book.bids(1), book.asks(1)
        assert not bids or not asks or bids[0][0] < asks[0][0]
    assert sum(row["reset"] for row in rows) > 3
    assert any(0.0 in row["bid_sizes"] for row in rows)
    assert any(not row["bid_prices"] and row["ask_prices"] for row in rows)


def test_changes_without_a_beginning_make_a_book_of_what_was_said():
    row = {"symbol": "A/B", "event_ns": 5, "reset": False, "bid_prices": [1.0, 2.0]}
    row |= {"bid_sizes": [3.0, 0.0], "ask_prices": [], "ask_sizes": []}
    tape = Tape({"crypto_books": pa.Table.from_pylist([row])}, "crypto")
    (book,) = BookKeeper(tape).whole(frozenset({"A/B"}), 1)
    assert (book.bids, book.asks, book.event_ns) == (((1.0, 3.0),), (), 5)
