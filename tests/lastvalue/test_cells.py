"""What goes into a cell comes out of it, or the cell says that it was cut."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.lastvalue import cells, layout, snapshot
from ticktape.lastvalue.layout import CellKind
from ticktape.records import Bar, Quote, Tick, Trade

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
TICKS = st.builds(
    Tick,
    **ORIGIN,
    time_msc=INT64,
    offset_ms=INT64,
    bid=FLOATS,
    ask=FLOATS,
    last=FLOATS,
    volume=INT64,
    volume_real=FLOATS,
    flags=INT64,
    before_ns=INT64,
    after_ns=INT64,
)
KINDS = {Trade: CellKind.TRADE, Quote: CellKind.QUOTE, Bar: CellKind.BAR, Tick: CellKind.TICK}


def payload_of(record):
    feed = layout.key_text(record.feed, layout.FEED_BYTES)
    symbol = layout.key_text(record.symbol, layout.SYMBOL_BYTES)
    assert feed is not None
    assert symbol is not None
    return cells.encode(record, feed, symbol, KINDS[type(record)])


@given(TRADES | QUOTES | BARS | TICKS)
def test_every_record_that_fits_comes_back_equal(record):
    payload = payload_of(record)
    assert len(payload) == layout.PAYLOAD_BYTES
    assert not payload[layout.FLAGS_AT] & layout.CUT
    assert cells.decode(payload) == record
    assert layout.decode_key(payload) == (record.feed, record.symbol, KINDS[type(record)])
    assert layout.decode_event_ns(payload) == record.event_ns


@given(TRADES | QUOTES | BARS | TICKS)
def test_numpy_sees_the_same_numbers_at_the_same_places(record):
    kind = KINDS[type(record)]
    row = np.frombuffer(payload_of(record), dtype=snapshot.DTYPES[kind])[0]
    for name in snapshot.DTYPES[kind].names:
        if name in ("unused", "rest", "kind", "flags"):
            continue
        ours = getattr(record, "flags" if name == "tick_flags" else name)
        theirs = row[name].item()
        if isinstance(theirs, bytes):
            theirs = theirs.decode()
        assert theirs == (ours if ours is not None else 0)


@given(TRADES, st.text(st.characters(exclude_categories=["Cs"]), min_size=65, max_size=90))
def test_longer_conditions_are_cut_at_a_character_and_flagged(trade, conditions):
    payload = payload_of(msgspec.structs.replace(trade, conditions=conditions))
    assert payload[layout.FLAGS_AT] & layout.CUT
    kept = cells.decode(payload).conditions
    assert conditions.startswith(kept)
    # Nothing more was taken off than the field asked for: one character of 4 bytes, and NULs.
    rest = conditions[len(kept) :]
    assert len(kept.encode()) > 64 - 4 or rest.startswith("\0")


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
