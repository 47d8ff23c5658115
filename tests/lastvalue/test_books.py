"""A book comes back whole from its image, or says that its worst rows were cut."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.lastvalue import books, cells, layout, snapshot
from ticktape.lastvalue.layout import CellKind
from ticktape.records import Book

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)
NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=4
)


@st.composite
def drawn_books(draw, side_max=20):
    asks, bids = draw(st.integers(0, side_max)), draw(st.integers(0, side_max))

    def column(numbers, length):
        return st.lists(numbers, min_size=length, max_size=length).map(tuple)

    return Book(
        feed=draw(NAMES),
        symbol=draw(NAMES),
        event_ns=draw(INT64),
        recv_ns=draw(INT64),
        epoch=draw(INT64),
        seq=draw(INT64),
        index=draw(st.integers(-(2**31), 2**31 - 1)),
        witness=draw(st.sampled_from(["stream", "leg A", "leg B"])),
        before_ns=draw(INT64),
        after_ns=draw(INT64),
        previous_ns=draw(st.none() | INT64),
        poll=draw(INT64),
        unchanged=draw(INT64),
        flags=draw(INT64),
        ask_prices=draw(column(FLOATS, asks)),
        ask_volumes=draw(column(FLOATS, asks)),
        bid_prices=draw(column(FLOATS, bids)),
        bid_volumes=draw(column(FLOATS, bids)),
        types=draw(st.none() | column(st.integers(1, 4), asks + bids)),
        whole_volumes=draw(st.none() | column(INT64, asks + bids)),
    )


def a_book(asks, bids, **more):
    """Ask number n costs 1000 + n and bid number n 999 - n; volumes are the numbers themselves."""
    return Book(
        feed="rts",
        symbol="RIZ6",
        event_ns=7,
        recv_ns=8,
        epoch=1,
        seq=2,
        index=3,
        before_ns=6,
        after_ns=7,
        previous_ns=None,
        poll=1,
        unchanged=0,
        flags=0,
        ask_prices=tuple(1000.0 + number for number in range(asks)),
        ask_volumes=tuple(float(number) for number in range(asks)),
        bid_prices=tuple(999.0 - number for number in range(bids)),
        bid_volumes=tuple(float(number) for number in range(bids)),
        **more,
    )


def payloads_of(book, slot=5):
    feed = layout.key_text(book.feed, layout.FEED_BYTES)
    symbol = layout.key_text(book.symbol, layout.SYMBOL_BYTES)
    top = books.encode_top(book, feed, symbol, slot)
    return top, books.encode_image(book, top)


def image_of(book):
    return books.decode_image(payloads_of(book)[1])


@given(drawn_books())
def test_every_image_that_fits_comes_back_equal(book):
    top, image = payloads_of(book)
    assert not top[layout.FLAGS_AT] & layout.CUT
    assert books.decode_image(image) == book


@given(drawn_books())
def test_the_top_has_the_best_of_both_sides_and_where_it_came_from(book):
    payload, image = payloads_of(book)
    assert len(payload) == layout.PAYLOAD_BYTES
    top = cells.decode(payload)
    assert top == books.decode_top(image), "an image brings its own top"
    for name in top.__struct_fields__:
        if name in book.__struct_fields__:
            assert getattr(top, name) == getattr(book, name), name
    assert (top.bid_levels, top.ask_levels) == (len(book.bid_prices), len(book.ask_prices))
    assert top.bid_price == (book.bid_prices[0] if book.bid_prices else None)
    assert top.bid_volume == (book.bid_volumes[0] if book.bid_volumes else None)
    assert top.ask_price == (book.ask_prices[0] if book.ask_prices else None)
    assert top.ask_volume == (book.ask_volumes[0] if book.ask_volumes else None)
    assert books.slot_of(payload) == 5
    assert layout.decode_key(payload) == (book.feed, book.symbol, CellKind.BOOK)
    assert layout.decode_event_ns(payload) == book.event_ns


@given(drawn_books())
def test_numpy_sees_the_same_top_at_the_same_places(book):
    payload = payloads_of(book)[0]
    top = books.decode_top(payload)
    row = np.frombuffer(payload, dtype=snapshot.DTYPES[CellKind.BOOK])[0]
    for name in top.__struct_fields__:
        theirs = row["book_flags" if name == "flags" else name].item()
        if isinstance(theirs, bytes):
            theirs = theirs.decode()
        assert theirs == (getattr(top, name) or type(theirs)()), name
    assert row["slot"] == 5


@pytest.mark.parametrize(("asks", "bids"), [(0, 0), (1, 0), (0, 1), (256, 256), (512, 0), (1, 511)])
def test_512_rows_fit_with_all_their_columns(asks, bids):
    book = a_book(
        asks, bids, types=(2,) * (asks + bids), whole_volumes=(2**63 - 1,) * (asks + bids)
    )
    assert image_of(book) == book


@pytest.mark.parametrize(
    ("asks", "bids", "kept_asks", "kept_bids"),
    [(257, 256, 256, 256), (600, 600, 256, 256), (600, 10, 502, 10), (3, 600, 3, 509)],
)
def test_more_rows_are_cut_at_the_far_end_and_flagged(asks, bids, kept_asks, kept_bids):
    book = a_book(asks, bids)
    top, image = payloads_of(book)
    assert top[layout.FLAGS_AT] & layout.CUT
    assert books.decode_image(image) == a_book(kept_asks, kept_bids)
    assert books.decode_top(image).ask_levels == asks
    assert books.decode_top(image).bid_levels == bids


@pytest.mark.parametrize("typed", [True, False])
def test_types_and_whole_volumes_are_cut_with_their_rows(typed):
    """Delivered: asks from the worst to the best, then bids; a row's whole volume is its place.

    A type that nobody knows is an ask's.
    """
    asks, bids = 300, 400
    types = (3,) * 44 + (9,) + (1,) * 255 + (2,) * 256 + (4,) * 144
    book = a_book(
        asks, bids, types=types if typed else None, whole_volumes=tuple(range(asks + bids))
    )
    image = image_of(book)
    assert image.types == ((9,) + (1,) * 255 + (2,) * 256 if typed else None)
    assert image.whole_volumes == tuple(range(44, 44 + 512))


def test_interleaved_rows_are_cut_by_their_side_and_not_their_place():
    pairs = 300  # sell, buy, sell, buy …: the best ask is the last sell, the best bid the first buy
    book = a_book(pairs, pairs, types=(1, 2) * pairs, whole_volumes=tuple(range(2 * pairs)))
    image = image_of(book)
    sells = [
        place for place, kind in zip(image.whole_volumes, image.types, strict=True) if kind == 1
    ]
    buys = [
        place for place, kind in zip(image.whole_volumes, image.types, strict=True) if kind == 2
    ]
    assert sells == list(range(2 * (pairs - 256), 2 * pairs, 2))
    assert buys == list(range(1, 2 * 256, 2))


@pytest.mark.parametrize(
    "change",
    [
        {"poll": 2**63},
        {"whole_volumes": (2**63, 1)},
        {"types": (2**31, 1)},
    ],
)
def test_a_number_outside_its_field_is_refused(change):
    book = msgspec.structs.replace(a_book(1, 1), **change)
    with pytest.raises(struct.error):
        payloads_of(book)


def test_an_emptied_slot_holds_no_book():
    top, _ = payloads_of(a_book(1, 1))
    empty = layout.encode_empty(top[: layout.FLAGS_AT])
    assert books.decode_image(empty) is None
    assert layout.decode_key(empty) == ("rts", "RIZ6", CellKind.BOOK)
