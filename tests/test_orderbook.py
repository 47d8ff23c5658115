"""An order book equals a plain dict of its changes, or says that nobody can know it."""

from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.decoders import decoder_for
from ticktape.orderbook import LEVELS_MAX, OrderBook, OrderBooks, may_be_change
from ticktape.records import CryptoBook, EntryKind, Gap, Trade, Unknown

PRICES = st.sampled_from([10.0, 10.5, 11.0, 12.25])
SIZES = st.sampled_from([0.0, 0.1, 2.0])
SIDES = st.lists(st.tuples(PRICES, SIZES), max_size=5)


def change(seq, bids=(), asks=(), *, reset=False, symbol="BTC/USD", feed="crypto", epoch=0):
    return CryptoBook(
        feed=feed,
        symbol=symbol,
        event_ns=1_000 + seq,
        recv_ns=2_000 + seq,
        epoch=epoch,
        seq=seq,
        index=0,
        reset=reset,
        bid_prices=tuple(price for price, _ in bids),
        bid_sizes=tuple(size for _, size in bids),
        ask_prices=tuple(price for price, _ in asks),
        ask_sizes=tuple(size for _, size in asks),
    )


def whole(seq, **more):
    return change(seq, [(10.0, 1.0)], [(11.0, 2.0)], reset=True, **more)


def gap(seq, from_ns, to_ns=None, *, symbol="", feed="crypto", index=0, state="open", **more):
    return Gap(
        feed=feed,
        symbol=symbol,
        event_ns=from_ns,
        recv_ns=2_000 + seq,
        epoch=0,
        seq=seq,
        index=index,
        from_ns=from_ns,
        to_ns=to_ns,
        cause="the cable",
        state=state,
        **more,
    )


def unknown(seq, text):
    return Unknown(
        feed="crypto",
        symbol="",
        event_ns=2_000 + seq,
        recv_ns=2_000 + seq,
        epoch=0,
        seq=seq,
        index=0,
        reason="",
        text=text,
    )


def kept(*records):
    """The book of BTC/USD on the feed `crypto` after these records."""
    books = OrderBooks()
    for record in records:
        books.update(record)
    return books.get("crypto", "BTC/USD")


@given(st.lists(st.tuples(st.booleans(), SIDES, SIDES), max_size=20))
def test_a_book_is_the_dict_of_its_last_sizes_and_best_first(steps):
    book, bids, asks, is_valid = OrderBook(), {}, {}, False
    for seq, (reset, new_bids, new_asks) in enumerate(steps):
        book.apply(change(seq, new_bids, new_asks, reset=reset))
        if reset:
            bids, asks, is_valid = {}, {}, True
        if is_valid:
            bids |= dict(new_bids)
            asks |= dict(new_asks)
        assert book.is_valid == is_valid
        assert book.bids() == tuple(sorted(((p, s) for p, s in bids.items() if s), reverse=True))
        assert book.asks() == tuple(sorted((p, s) for p, s in asks.items() if s))
        assert book.bids(1) == book.bids()[:1]
        image = book.image("crypto", "BTC/USD")
        assert (image.bids(), image.asks(2)) == (book.bids(), book.asks(2))
        assert OrderBook.of_image(image).image("crypto", "BTC/USD") == image


def test_a_price_twice_in_one_change_has_its_last_size():
    book = kept(change(1, [(10.0, 1.0), (10.0, 0.0), (9.0, 0.0), (9.0, 3.0)], reset=True))
    assert book.bids() == ((9.0, 3.0),)


def test_changes_before_the_first_whole_book_are_of_nothing():
    book = kept(change(1, [(10.0, 1.0)]))
    assert (book.is_valid, book.bids(), book.event_ns) == (False, (), 0)
    assert book.invalid_since_ns is None


def test_a_gap_ends_the_book_until_the_next_whole_one():
    lost = kept(whole(1), gap(2, 77), change(3, [(9.0, 1.0)]))
    assert (lost.is_valid, lost.bids(), lost.asks()) == (False, (), ())
    assert (lost.event_ns, lost.recv_ns, lost.invalid_since_ns) == (1_001, 2_002, 77)
    back = kept(whole(1), gap(2, 77), whole(3), change(4, [(9.0, 1.0)]))
    assert back.bids() == ((10.0, 1.0), (9.0, 1.0))
    assert back.invalid_since_ns is None


@pytest.mark.parametrize(
    "other",
    [
        gap(2, 77, feed="other"),
        gap(2, 77, symbol="ETH/USD"),
        gap(2, 5, 6, state="healed"),
        gap(2, 77, symbol="BTC/USD", channels="trades"),
        gap(2, 77, symbol="BTC/USD", channels="quotes,trades"),
        Trade(
            feed="crypto",
            symbol="BTC/USD",
            event_ns=1,
            recv_ns=1,
            epoch=0,
            seq=2,
            index=0,
            price=1.0,
            size=1.0,
        ),
    ],
)
def test_what_does_not_concern_a_book_leaves_it(other):
    assert kept(whole(1), other).is_valid


def test_a_gap_of_one_symbol_ends_its_book_alone():
    books = OrderBooks()
    for record in (whole(1), whole(2, symbol="ETH/USD")):
        books.update(record)
    assert books.update(gap(3, 77, symbol="ETH/USD")) == [("crypto", "ETH/USD")]
    assert books.get("crypto", "BTC/USD").is_valid


@pytest.mark.parametrize("symbol", ["", "BTC/USD"])
def test_the_end_of_a_gap_told_before_does_not_end_the_book_that_came_with_it(symbol):
    """The read that brought the acknowledgement may have brought the whole book, too."""
    assert kept(gap(1, 77, symbol=symbol), whole(2), gap(3, 77, 99, symbol=symbol)).is_valid


def test_a_gap_told_when_it_was_over_ends_the_book():
    assert not kept(whole(1), gap(2, 77, 99)).is_valid
    assert not kept(gap(1, 77), whole(2), gap(3, 78, 99)).is_valid, "another one"


def test_the_end_of_a_gap_is_known_after_a_book_was_taken_over():
    left = kept(whole(1), gap(2, 77)).image("crypto", "BTC/USD")
    books = OrderBooks()
    books.put("crypto", "BTC/USD", OrderBook.of_image(left))
    for record in (whole(3), gap(4, 77, 99)):
        books.update(record)
    assert books.get("crypto", "BTC/USD").is_valid


@given(st.data())
def test_reading_again_from_anywhere_changes_nothing(data):
    records = [whole(0), change(1, [(9.0, 1.0)]), gap(2, 77), whole(3), change(4, [(10.0, 0.0)])]
    books = OrderBooks()
    for record in records:
        books.update(record)
    before = books.get("crypto", "BTC/USD").image("crypto", "BTC/USD")
    for record in records[data.draw(st.integers(0, 4)) :]:
        assert books.update(record) == []
        assert books.get("crypto", "BTC/USD").image("crypto", "BTC/USD") == before


def test_a_later_start_of_the_writer_is_later_whatever_its_numbers():
    assert kept(whole(9), change(1, [(9.0, 1.0)], epoch=1)).bids(1) == ((10.0, 1.0),)
    assert kept(whole(9), change(1, [(12.0, 1.0)], epoch=1)).bids(1) == ((12.0, 1.0),)


@pytest.mark.parametrize(
    ("text", "may_be"),
    [
        ('{"T":"o","S":"BTC/USD","b":[{"p":null}]}', True),
        ('[{"T":"t"},{"T":"o"', True),
        ("\x00garbage", True),
        ("", True),
        ('{"S":"BTC/USD","T":"t"}', True),
        ('{"T":"t","S":"BTC/USD","p":"x"}', False),
        (' { "T" : "orders"}', False),
        (b"\x85\xa1T\xa1t\xa1S".decode("utf-8", "replace"), True),
    ],
)
def test_what_could_not_be_read_ends_the_books_unless_it_was_surely_something_else(text, may_be):
    record = unknown(2, text)
    assert may_be_change(record) == may_be
    book = kept(whole(1), record)
    assert book.is_valid != may_be
    assert book.invalid_since_ns == (2_002 if may_be else None)


@pytest.mark.parametrize("pack", [msgspec.json.encode, msgspec.msgpack.encode])
@pytest.mark.parametrize(("type_", "may_be"), [("o", True), ("t", False), ("nosuch", False)])
def test_a_message_that_its_decoder_could_not_read_shows_its_type(pack, type_, may_be):
    payload = pack([{"T": type_, "S": "BTC/USD", "t": "soon", "b": 5, "p": None}])
    kind = EntryKind.TEXT if payload.startswith(b"[") else EntryKind.BINARY
    block = SimpleNamespace(epoch=0, seq=0, recv_ns=1, entries=lambda: [(kind, payload)])
    [record] = decoder_for("alpaca", "crypto").decode(block)
    assert isinstance(record, Unknown)
    assert may_be_change(record) == may_be


def test_a_symbol_whose_book_is_unsubscribed_has_none_until_a_whole_one_comes():
    more = {"symbol": "BTC/USD", "channels": "orderbooks,trades", "planned": True}
    lost = kept(whole(1), gap(2, 77, **more), change(3, [(9.0, 1.0)]))
    assert (lost.is_valid, lost.invalid_since_ns) == (False, 77)
    assert kept(whole(1), gap(2, 77, **more), whole(3), gap(4, 77, 99, **more)).is_valid


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("side", ["bids", "asks"])
def test_a_book_that_grows_past_its_bound_ends_until_the_next_whole_one(side, reset):
    most = [(float(price), 1.0) for price in range(1, LEVELS_MAX + 1)]
    one_more = [(0.5, 1.0)]
    records = [whole(1), change(2, **{side: most}, reset=True), change(3, **{side: one_more})]
    assert len(getattr(kept(*records[:2]), side)()) == LEVELS_MAX
    if reset:
        records[2:] = [change(3, **{side: [*most, *one_more]}, reset=True)]
    ended = kept(*records, change(4, [(9.0, 1.0)]))
    assert (ended.is_valid, ended.bids(), ended.asks()) == (False, (), ())
    assert (ended.invalid_since_ns, ended.recv_ns, ended.event_ns) == (2_003, 2_003, 1_003)
    assert kept(*records, whole(4)).bids() == ((10.0, 1.0),)
