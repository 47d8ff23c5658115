"""Order books in the last values: what a reader sees is the book at its place, or nothing."""

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ticktape.lastvalue import LastValues, LastValueWriter, images, layout, mapfile, orderbooks
from ticktape.lastvalue import snapshot as snapshots
from ticktape.orderbook import OrderBook, OrderBookImage
from ticktape.records import Book, CryptoBook, Gap, Position, Status, Unknown

BOOT = bytes(range(16))
OTHER_BOOT = bytes(16)
BTC, ETH = "BTC/USD", "ETH/USD"
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)


def change(seq, bids=(), asks=(), *, reset=False, symbol=BTC, feed="crypto", **more):
    return CryptoBook(
        **{
            "feed": feed,
            "symbol": symbol,
            "event_ns": 1_000 + seq,
            "recv_ns": 2_000 + seq,
            "epoch": 0,
            "seq": seq,
            "index": 0,
            "reset": reset,
            "bid_prices": tuple(price for price, _ in bids),
            "bid_sizes": tuple(size for _, size in bids),
            "ask_prices": tuple(price for price, _ in asks),
            "ask_sizes": tuple(size for _, size in asks),
            **more,
        }
    )


def whole(seq, *, levels=1, **more):
    bids = [(10.0 - number / 1024, 1.0 + number) for number in range(levels)]
    asks = [(11.0 + number / 1024, 2.0 + number) for number in range(levels)]
    return change(seq, bids, asks, reset=True, **more)


def gap(seq, from_ns=77, to_ns=None, *, symbol="", feed="crypto"):
    return Gap(
        feed=feed,
        symbol=symbol,
        event_ns=from_ns,
        recv_ns=2_000 + seq,
        epoch=0,
        seq=seq,
        index=0,
        from_ns=from_ns,
        to_ns=to_ns,
        cause="the cable",
    )


def unknown(seq):
    stamps = {"event_ns": seq, "recv_ns": 2_000 + seq, "epoch": 0, "seq": seq, "index": 0}
    return Unknown(feed="crypto", symbol="", reason="", text="?", **stamps)


def status(seq, message="Trading Halt", reason="", symbol="AAPL", **more):
    return Status(
        feed="sip",
        symbol=symbol,
        event_ns=1_000 + seq,
        recv_ns=2_000 + seq,
        epoch=0,
        seq=seq,
        index=0,
        status_code="H",
        status_message=message,
        reason_code="T12",
        reason_message=reason,
        tape="C",
        **more,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "live" / "last.map"


def is_accounted_for(statistics):
    return statistics.records == (
        statistics.written
        + statistics.conflated
        + statistics.late
        + statistics.ignored
        + statistics.full
        + statistics.oversize
        + statistics.unfit
    )


# The bytes.


@st.composite
def drawn_images(draw, side_max=20):
    def side():
        prices = draw(st.lists(FLOATS, max_size=side_max, unique=True))
        sizes = draw(st.lists(FLOATS, min_size=len(prices), max_size=len(prices)))
        return tuple(prices), tuple(sizes)

    bids, asks = side(), side()
    return OrderBookImage(
        feed="crypto",
        symbol=BTC,
        event_ns=draw(INT64),
        recv_ns=draw(INT64),
        epoch=draw(INT64),
        seq=draw(INT64),
        index=draw(st.integers(-(2**31), 2**31 - 1)),
        is_valid=True,
        invalid_since_ns=None,
        bid_prices=bids[0],
        bid_sizes=bids[1],
        ask_prices=asks[0],
        ask_sizes=asks[1],
        bid_levels=len(bids[0]),
        ask_levels=len(asks[0]),
    )


@given(drawn_images())
def test_an_image_comes_back_equal(image):
    cell = orderbooks.encode_order_book(image, b"crypto", BTC.encode(), 3)
    assert len(cell) == layout.PAYLOAD_BYTES
    assert orderbooks.decode_order_book(cell, orderbooks.encode_whole(image, cell)) == image
    assert orderbooks.decode_order_book(cell, None) is None, "its slot was not read"
    row = np.frombuffer(cell, dtype=snapshots.DTYPES[layout.CellKind.ORDER_BOOK])[0]
    assert (row["event_ns"], row["seq"], row["slot"], row["is_valid"]) == (
        image.event_ns,
        image.seq,
        3,
        True,
    )
    assert row["bid_price"] == (image.bid_prices or (0.0,))[0]
    assert row["ask_size"] == (image.ask_sizes or (0.0,))[0]
    assert (row["bid_levels"], row["ask_levels"]) == (image.bid_levels, image.ask_levels)


@pytest.mark.parametrize(
    ("bids", "asks", "kept"),
    [(448, 448, (448, 448)), (2_000, 2_000, (448, 448)), (3, 2_000, (3, 893)), (900, 0, (896, 0))],
)
def test_a_longer_book_keeps_its_best_and_says_that_it_is_cut(path, bids, asks, kept):
    given_ = change(
        1,
        [(1e6 - number, 1.0) for number in range(bids)],
        [(2e6 + number, 1.0) for number in range(asks)],
        reset=True,
    )
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([given_])
        value = last[BTC]
        book = value.order_book
        assert (len(book.bids()), len(book.asks())) == kept
        assert (book.bid_levels, book.ask_levels) == (bids, asks)
        assert value.cut == (("order_book",) if bids + asks > 896 else ())
        assert book.bid_prices == given_.bid_prices[: kept[0]]
        assert book.ask_prices == given_.ask_prices[: kept[1]]


# A writer and its readers.


def test_the_book_is_put_together_and_read_whole(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1), change(2, [(10.0, 0.0), (9.0, 5.0)], [(10.5, 1.0)])])
        value = last[BTC]
        book = value.order_book
        assert book.is_valid
        assert book.invalid_since_ns is None
        assert book.bids() == ((9.0, 5.0),)
        assert book.asks() == ((10.5, 1.0), (11.0, 2.0))
        assert (book.event_ns, book.recv_ns, book.seq) == (1_002, 2_002, 2)
        assert (value.age_ns(1_005, "order_book"), value.age_ns(1_005)) == (3, 3)
        assert (value.book, value.top, value.torn, value.cut) == (None, None, (), ())
        assert "is_valid=True" in repr(value)
        writer.update([change(3, [(9.0, 6.0)])])
        assert value.order_book is book, "a value does not change once taken"
        assert last["crypto", BTC].order_book.bids() == ((9.0, 6.0),)


def test_of_many_changes_read_at_once_the_book_is_written_once(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1)])
        mapping = writer._images._mapping
        before = mapping.words[layout.IMAGES.cell_word(0)]
        writer.update(change(seq, [(10.0, float(seq))]) for seq in range(2, 102))
        assert mapping.words[layout.IMAGES.cell_word(0)] == before + 2
        assert last[BTC].order_book.bids() == ((10.0, 101.0),)
        statistics = writer.statistics()
    assert (statistics.written, statistics.conflated, statistics.late) == (2, 99, 0)
    assert is_accounted_for(statistics)


def test_before_the_first_whole_book_there_is_none(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([change(1, [(10.0, 1.0)])])
        assert BTC not in last
        assert writer.statistics().ignored == 1


def test_a_gap_is_told_to_readers_until_the_next_whole_book(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1), whole(1, symbol=ETH), whole(1, symbol="X", feed="other")])
        writer.update([gap(2), change(3, [(10.0, 7.0)])])
        for symbol in (BTC, ETH):
            book = last[symbol].order_book
            assert (book.is_valid, book.invalid_since_ns) == (False, 77)
            assert (book.bids(), book.asks(), book.bid_levels) == ((), (), 0)
            assert (book.event_ns, book.recv_ns) == (1_001, 2_002)
            assert last[symbol].torn == ()
        assert last["X"].order_book.is_valid
        statistics = writer.statistics()
        assert (statistics.lost, statistics.ignored, statistics.written) == (2, 2, 3)
        writer.update([whole(4)])
        assert last[BTC].order_book.bids() == ((10.0, 1.0),)
        assert not last[ETH].order_book.is_valid
        assert is_accounted_for(writer.statistics())


def test_a_change_and_a_gap_read_at_once_are_one_write_and_no_book(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1), change(2, [(9.0, 1.0)]), gap(3)])
        assert not last[BTC].order_book.is_valid
        writer.update([gap(4), whole(5)])
        assert last[BTC].order_book.is_valid
        statistics = writer.statistics()
        assert (statistics.written, statistics.conflated, statistics.lost) == (2, 1, 0)
        assert is_accounted_for(statistics)


def test_what_could_not_be_read_ends_the_books(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1)])
        writer.update([unknown(2)])
        assert not last[BTC].order_book.is_valid


def test_over_all_feeds_the_book_that_changed_last_is_the_symbols(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1), whole(2, feed="other", levels=3), gap(3, feed="crypto")])
        assert last[BTC].order_book.feed == "other"
        assert last[BTC].order_book.bid_levels == 3
        writer.update([whole(4)])
        assert last[BTC].order_book.feed == "crypto"


def test_over_all_feeds_a_valid_book_goes_before_a_later_one_that_is_not(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1), whole(2, feed="other", levels=3), gap(3, feed="other")])
        assert last["other", BTC].order_book.event_ns > last["crypto", BTC].order_book.event_ns
        assert (last[BTC].order_book.feed, last[BTC].order_book.is_valid) == ("crypto", True)
        writer.update([gap(4)])
        assert last[BTC].order_book.feed == "other", "of those that are not, the later"


def test_past_the_last_slot_a_book_has_its_best_levels_and_is_cut(path, monkeypatch):
    monkeypatch.setattr(images, "IMAGE_CAPACITY", 1)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1, symbol="A"), whole(1, levels=3)])
        value = last[BTC]
        assert (value.order_book.bids(), value.order_book.asks()) == (
            ((10.0, 1.0),),
            ((11.0, 2.0),),
        )
        assert (value.order_book.bid_levels, value.cut) == (3, ("order_book",))
        assert writer.statistics().top_only == 1
        writer.update([change(2, [(10.0, 0.0)], [(11.0, 0.0)])])
        assert last[BTC].order_book.bid_prices == (10.0 - 1 / 1024,)
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        assert not last[BTC].order_book.is_valid, "nobody knows its other levels any more"
        assert last["A"].order_book.is_valid


def test_a_polled_book_of_the_same_name_has_a_slot_of_its_own(path):
    polled = Book(
        feed="crypto",
        symbol=BTC,
        event_ns=1,
        recv_ns=1,
        epoch=0,
        seq=1,
        index=0,
        before_ns=1,
        after_ns=1,
        previous_ns=None,
        poll=1,
        unchanged=0,
        flags=0,
        ask_prices=(5.0,),
        ask_volumes=(6.0,),
        bid_prices=(),
        bid_volumes=(),
    )
    for _ in range(2):
        with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
            writer.update([whole(1), polled])
            assert last[BTC].book == polled
            assert last[BTC].order_book.bids() == ((10.0, 1.0),)


def test_a_book_without_a_place_or_a_name_that_fits_is_counted(path):
    with LastValueWriter(path, BOOT, 1) as writer, LastValues(path) as last:
        writer.update([whole(1, symbol="x" * 33), whole(1), whole(1, symbol=ETH)])
        writer.update([whole(2), change(3, symbol=ETH)])
        writer.update([gap(4)])
        assert list(last) == [("crypto", BTC)]
        statistics = writer.statistics()
        assert (statistics.oversize, statistics.full, statistics.lost) == (1, 1, 1)
        assert is_accounted_for(statistics)


def test_a_name_that_is_no_text_raises_nothing(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1, symbol="\ud800"), gap(2)])
        assert not last["?"].order_book.is_valid


def test_an_unfit_number_keeps_what_the_cell_had(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([whole(1)])
        writer.update([change(2, [(9.0, 1.0)], event_ns=2**63)])
        assert last[BTC].order_book.seq == 1
        assert writer.statistics().unfit == 1
        writer.update([change(3, [(8.0, 1.0)])])
        assert last[BTC].order_book.bid_prices == (10.0, 9.0, 8.0), "no change was lost by it"
        assert is_accounted_for(writer.statistics())


def test_the_snapshot_has_order_books_and_statuses(path):
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        lone = change(1, [(5.0, 1.5)], reset=True, symbol="lone")
        writer.update([whole(1, levels=2), whole(2, symbol=ETH), lone, status(3, reason="news")])
        writer.update([gap(4, symbol=ETH)])
        rows = {row["symbol"]: row for row in last.snapshot().to_pylist()}
        array = last.array("order_book")
    prefix = "order_book_"
    assert rows[BTC]["order_book_bid_price"] == 10.0
    assert rows[BTC]["order_book_ask_size"] == 2.0
    assert rows[BTC]["order_book_bid_levels"] == 2
    assert rows[BTC]["order_book_is_valid"] is True
    assert rows[BTC]["order_book_invalid_since_ns"] is None
    assert rows[ETH]["order_book_is_valid"] is False
    assert rows[ETH]["order_book_invalid_since_ns"] == 77
    assert rows[ETH]["order_book_bid_price"] is None
    assert (rows["lone"]["order_book_bid_size"], rows["lone"]["order_book_ask_size"]) == (1.5, None)
    assert all(value is None for name, value in rows["AAPL"].items() if name.startswith(prefix))
    for field in Status.__struct_fields__:
        if field not in ("feed", "symbol"):
            name = field if field.startswith("status_") else f"status_{field}"
            assert rows["AAPL"][name] == getattr(status(3, reason="news"), field), field
    assert array["is_valid"].tolist() == [True, False, True]


# Statuses.


def test_the_last_status_comes_back_and_moves_forward_only(path):
    halted = status(5, reason="Trading Halted; For information requested by NASDAQ")
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([halted, status(4, "Trading Resumption")])
        assert last["AAPL"].status == halted
        assert last["AAPL"].age_ns(1_010, "status") == 5
        writer.update([status(6, "Trading Resumption")])
        assert last["AAPL"].status.status_message == "Trading Resumption"
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        assert last["AAPL"].status.seq == 6


@pytest.mark.parametrize(
    ("field", "width"),
    [
        ("status_code", 8),
        ("status_message", 40),
        ("reason_code", 8),
        ("reason_message", 80),
        ("tape", 8),
    ],
)
def test_a_longer_text_of_a_status_is_cut_and_says_so(path, field, width):
    fits = msgspec.structs.replace(status(1), **{field: "x" * width})
    longer = msgspec.structs.replace(status(2), **{field: "x" * width + "y"})
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        writer.update([fits])
        assert (last["AAPL"].status, last["AAPL"].cut) == (fits, ())
        writer.update([longer])
        assert getattr(last["AAPL"].status, field) == "x" * width
        assert last["AAPL"].cut == ("status",)


# A writer after another.


def test_the_next_writer_goes_on_from_the_book_that_is_there(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([whole(1, levels=3), whole(1, symbol=ETH), gap(2, symbol=ETH)])
        writer.set_position("crypto", Position(0, 3))
        before = writer.statistics()
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        assert writer.statistics() == before
        assert last[BTC].order_book.bid_levels == 3
        writer.update([change(3, [(10.0, 0.0)]), change(4, [(9.0, 1.0)], symbol=ETH)])
        assert last[BTC].order_book.bid_levels == 2
        assert last[ETH].order_book.invalid_since_ns == 77


def test_reading_a_journal_again_never_shows_a_book_that_was_not(path):
    """The first of the changes again, on top of the last of them, would be such a book."""
    records = [whole(1), change(2, [(9.0, 1.0)]), change(3, [(9.0, 0.0)]), gap(4), whole(5)]
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update(records)
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        once = last[BTC].order_book
        for record in records:
            writer.update([record])
            assert last[BTC].order_book == once
        assert writer.statistics().late == 4


@pytest.mark.parametrize("boot", [BOOT, OTHER_BOOT])
def test_without_its_image_a_book_is_not_valid_until_the_next_whole_one(path, boot):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([whole(1)])
    layout.images_path(path).unlink()
    with LastValueWriter(path, boot, 8) as writer, LastValues(path) as last:
        if boot == BOOT:
            book = last[BTC].order_book
            assert (book.is_valid, book.invalid_since_ns, book.bids()) == (False, 2_001, ())
        writer.update([change(2, [(9.0, 1.0)])])
        assert BTC not in last or not last[BTC].order_book.is_valid
        writer.update([whole(3)])
        assert last[BTC].order_book.bids() == ((10.0, 1.0),)


def test_a_cut_book_is_not_valid_for_the_next_writer(path):
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([whole(1, levels=500)])
    with LastValueWriter(path, BOOT, 8), LastValues(path) as last:
        assert not last[BTC].order_book.is_valid


@pytest.mark.parametrize(
    ("place", "then"), [("image", "change"), ("cell", "change"), ("cell", "gap")]
)
def test_a_book_half_written_is_never_taken_for_whole(path, deadly, place, then):
    second = change(2, [(9.0, 1.0)]) if then == "change" else gap(2)
    with LastValueWriter(path, BOOT, 8) as writer:
        writer.update([whole(1)])
        writer.set_position("crypto", Position(0, 1))
        deadly["writes"] = 2 if place == "cell" and then == "change" else 1
        with pytest.raises(Killed):
            writer.update([second])
        deadly["writes"] = 0
        with LastValues(path) as last:
            assert last[BTC].torn == ("order_book",)
            book = last[BTC].order_book
            assert book is None
    with LastValueWriter(path, BOOT, 8) as writer, LastValues(path) as last:
        book = last[BTC].order_book
        assert last[BTC].torn == ()
        if then == "gap":
            assert book.seq == 1, "the gap comes again"
        elif place == "image":
            assert (book.is_valid, book.invalid_since_ns) == (False, 2_001)
        else:
            assert book.bids() == ((10.0, 1.0), (9.0, 1.0))
        writer.update([second, change(3, [(8.0, 1.0)])])
        is_kept = then == "change" and place == "cell"
        assert last[BTC].order_book.is_valid == is_kept
        writer.update([whole(4)])
        assert last[BTC].order_book.bids() == ((10.0, 1.0),)


# Everything at random, with writers that die anywhere, against a plain dict.


class Killed(BaseException):
    """What the writer's process dies of."""


@pytest.fixture
def deadly(monkeypatch):
    """Let the n-th write of a cell or image from now on stop half way; 0: never."""
    monkeypatch.setattr(images, "IMAGE_CAPACITY", 4)  # so that many files are soon made
    left = {"writes": 0}
    store_cell = mapfile.Mapping.store_cell

    def store_or_die(mapping, cell, payload):
        left["writes"] -= 1
        if left["writes"]:
            store_cell(mapping, cell, payload)
            return
        word = mapping.shape.cell_word(cell)
        mapping.words[word] |= 1
        start = (word + 2) * layout.WORD_BYTES
        half = len(payload) // 2
        mapping.view[start + 64 : start + half] = payload[64:half]
        raise Killed

    monkeypatch.setattr(mapfile.Mapping, "store_cell", store_or_die)
    return left


LEVELS = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 3.0]), st.sampled_from([0.0, 1.0, 2.0])), max_size=4
)
EVENTS = st.one_of(
    st.tuples(st.just("whole"), st.sampled_from([BTC, ETH]), LEVELS, LEVELS),
    st.tuples(st.just("change"), st.sampled_from([BTC, ETH]), LEVELS, LEVELS),
    st.tuples(st.just("gap"), st.sampled_from(["", BTC, ETH])),
    st.tuples(st.just("end"), st.sampled_from(["", BTC, ETH])),
    st.tuples(st.just("over"), st.sampled_from(["", BTC, ETH])),
    st.tuples(st.just("unknown"), st.just("")),
)
STEPS = st.one_of(
    st.tuples(st.just("batch"), st.integers(1, 4)),
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 4)),
)


def records_and_books(events):
    """The records, and for each symbol its book after each of them: (bids, asks) or None."""
    records, history, books, open_ns = [], [], {BTC: None, ETH: None}, {}
    for seq, (what, symbol, *sides) in enumerate(events):
        named = [symbol] if symbol else [BTC, ETH]
        if what in ("whole", "change"):
            records.append(change(seq, *sides, reset=what == "whole", symbol=symbol))
            held = ({}, {}) if what == "whole" else books[symbol]
            if held is not None:
                sizes = [dict(old) | dict(new) for old, new in zip(held, sides, strict=True)]
                books[symbol] = tuple({p: s for p, s in side.items() if s} for side in sizes)
        elif what == "unknown":
            records.append(unknown(seq))
            books |= dict.fromkeys(named)
        elif what == "end" and symbol in open_ns:
            # The end of a gap that was told before means nothing to a book.
            records.append(gap(seq, open_ns.pop(symbol), seq + 1, symbol=symbol))
        else:
            records.append(gap(seq, seq, None if what == "gap" else seq + 1, symbol=symbol))
            books |= dict.fromkeys(named)
            if what == "gap":
                open_ns[symbol] = seq
        history.append(dict(books))
    return records, history


def check(last, history, symbol, given_to, *, may_be_lost):
    """What is read is the book at its place in the journal, which is not behind `given_to`."""
    value = last.get("crypto", symbol)
    book = None if value is None else value.order_book
    if book is None or not book.is_valid:
        assert may_be_lost or given_to < 0 or history[given_to][symbol] is None
        return
    bids, asks = history[book.seq][symbol]
    assert (dict(book.bids()), dict(book.asks())) == (bids, asks)
    assert book.bids() == tuple(sorted(bids.items(), reverse=True))
    assert book.asks() == tuple(sorted(asks.items()))
    if book.seq < given_to:
        assert history[given_to][symbol] == (bids, asks)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(EVENTS, min_size=10, max_size=30), st.lists(STEPS, max_size=30))
def test_a_reader_sees_the_dict_of_the_changes_or_that_nobody_knows(
    tmp_path_factory, deadly, events, steps
):
    path = tmp_path_factory.mktemp("map") / "last.map"
    records, history = records_and_books(events)
    deadly["writes"] = 0
    read_to, furthest, doubtful = 0, 0, set()
    writer = LastValueWriter(path, BOOT, 8)
    with LastValues(path) as last:
        for what, number in [*steps, *[("batch", 3)] * 10]:
            batch = records[read_to : read_to + number]
            furthest = max(furthest, read_to + (0 if what == "save" else len(batch)))
            if what == "batch":
                writer.update(batch)
                read_to += len(batch)
                whole_again = {each.symbol for each in batch if getattr(each, "reset", False)}
                doubtful -= whole_again
            elif what == "save":
                writer.set_position("crypto", Position(0, read_to))
            else:
                deadly["writes"] = number
                try:
                    writer.update(batch)
                    read_to += len(batch)
                except Killed:
                    pass
                deadly["writes"] = 0
                for symbol in (BTC, ETH):
                    check(last, history, symbol, read_to - 1, may_be_lost=True)
                writer.close()
                writer = LastValueWriter(path, BOOT, 8)
                read_to = (writer.position("crypto") or Position(0, 0)).offset
                doubtful = {BTC, ETH}
            for symbol in (BTC, ETH):
                # Of what is read again the end may have been seen before.
                may_be_lost = symbol in doubtful or read_to < furthest
                check(last, history, symbol, read_to - 1, may_be_lost=may_be_lost)
    writer.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(EVENTS, min_size=10, max_size=30), st.integers(1, 5), st.integers(0, 30))
def test_a_restart_between_two_batches_costs_no_book(
    tmp_path_factory, deadly, events, size, restart_at
):
    """But one whose gap was told before it and whose end comes after it."""
    path = tmp_path_factory.mktemp("map") / "last.map"
    records, history = records_and_books([each for each in events if each[0] != "end"])
    deadly["writes"] = 0
    writer = LastValueWriter(path, BOOT, 8)
    with LastValues(path) as last:
        for at in range(0, len(records), size):
            if at <= restart_at < at + size:
                writer.close()
                writer = LastValueWriter(path, BOOT, 8)
                writer.update(records[max(0, at - 3) : at])
            writer.update(records[at : at + size])
            given_to = min(at + size, len(records)) - 1
            for symbol in (BTC, ETH):
                check(last, history, symbol, given_to, may_be_lost=False)
    writer.close()


def test_a_book_taken_from_an_image_goes_on_like_the_one_it_was():
    one = OrderBook()
    one.apply(whole(1, levels=4))
    two = OrderBook.of_image(one.image("crypto", BTC))
    for book in (one, two):
        book.apply(change(2, [(10.0, 0.0)], [(10.25, 1.0)]))
    assert one.image("crypto", BTC) == two.image("crypto", BTC)
