"""What goes into a cell comes out of it, or the cell says that it was cut."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.lastvalue import layout, snapshot
from ticktape.lastvalue.layout import CellKind
from ticktape.records import Bar, Quote, Trade

INT64 = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False)


def texts(width_bytes):
    """Texts of at most so many bytes that do not end in the NUL that fills a field up."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=width_bytes).filter(
        lambda text: len(text.encode()) <= width_bytes and not text.endswith("\0")
    )


def keys(width_bytes):
    return texts(width_bytes).filter(lambda text: text and "\0" not in text)


ORIGIN = {
    "feed": keys(16),
    "symbol": keys(32),
    "event_ns": INT64,
    "recv_ns": INT64,
    "epoch": INT64,
    "seq": INT64,
    "index": st.integers(-(2**31), 2**31 - 1),
    "witness": texts(8),
}
TRADES = st.builds(
    Trade,
    **ORIGIN,
    price=FLOATS,
    size=FLOATS,
    exchange=texts(16),
    id=st.none() | INT64,
    conditions=texts(64),
    tape=texts(8),
    taker_side=texts(8),
)
QUOTES = st.builds(
    Quote,
    **ORIGIN,
    bid_price=FLOATS,
    bid_size=FLOATS,
    bid_exchange=texts(16),
    ask_price=FLOATS,
    ask_size=FLOATS,
    ask_exchange=texts(16),
    conditions=texts(64),
    tape=texts(8),
)
BARS = st.builds(
    Bar,
    **ORIGIN,
    span=texts(8),
    open=FLOATS,
    high=FLOATS,
    low=FLOATS,
    close=FLOATS,
    volume=FLOATS,
    trade_count=st.none() | INT64,
    vwap=st.none() | FLOATS,
)
KINDS = {Trade: CellKind.TRADE, Quote: CellKind.QUOTE, Bar: CellKind.BAR}


def payload_of(record):
    feed = layout.key_text(record.feed, layout.FEED_BYTES)
    symbol = layout.key_text(record.symbol, layout.SYMBOL_BYTES)
    assert feed is not None
    assert symbol is not None
    return layout.encode(record, feed, symbol, KINDS[type(record)])


@given(TRADES | QUOTES | BARS)
def test_every_record_that_fits_comes_back_equal(record):
    payload = payload_of(record)
    assert len(payload) == layout.PAYLOAD_BYTES
    assert not payload[layout.FLAGS_AT] & layout.CUT
    assert layout.decode(payload) == record
    assert layout.decode_key(payload) == (record.feed, record.symbol, KINDS[type(record)])
    assert layout.decode_event_ns(payload) == record.event_ns


@given(TRADES | QUOTES | BARS)
def test_numpy_sees_the_same_numbers_at_the_same_places(record):
    kind = KINDS[type(record)]
    row = np.frombuffer(payload_of(record), dtype=snapshot.DTYPES[kind])[0]
    for name in snapshot.DTYPES[kind].names:
        if name in ("unused", "rest", "kind", "flags"):
            continue
        ours = getattr(record, name)
        theirs = row[name].item()
        if isinstance(theirs, bytes):
            theirs = theirs.decode()
        assert theirs == (ours if ours is not None else 0)


@given(TRADES, st.text(st.characters(exclude_categories=["Cs"]), min_size=65, max_size=90))
def test_longer_conditions_are_cut_at_a_character_and_flagged(trade, conditions):
    payload = payload_of(msgspec.structs.replace(trade, conditions=conditions))
    assert payload[layout.FLAGS_AT] & layout.CUT
    kept = layout.decode(payload).conditions
    assert conditions.startswith(kept)
    # Nothing more was taken off than the field asked for: one character of 4 bytes, and NULs.
    rest = conditions[len(kept) :]
    assert len(kept.encode()) > 64 - 4 or rest.startswith("\0")


@pytest.mark.parametrize("text", ["", "x" * 33, "é" * 17, "A\0", "\0"])
def test_a_name_that_would_not_come_back_is_no_key(text):
    assert layout.key_text(text, 32) is None


def test_an_emptied_cell_keeps_its_key_and_holds_no_record():
    trade = Trade(
        feed="sip", symbol="AAPL", event_ns=1, recv_ns=2, epoch=0, seq=0, index=0, price=1.0, size=1
    )
    empty = layout.encode_empty(payload_of(trade)[: layout.FLAGS_AT])
    assert layout.decode(empty) is None
    assert layout.decode_key(empty) == ("sip", "AAPL", CellKind.TRADE)


def test_a_number_outside_its_field_is_refused():
    trade = Trade(
        feed="sip",
        symbol="A",
        event_ns=2**63,
        recv_ns=2,
        epoch=0,
        seq=0,
        index=0,
        price=1.0,
        size=1,
    )
    with pytest.raises(struct.error):
        payload_of(trade)
