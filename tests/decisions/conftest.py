"""What strategies are tried with: files, records, blocks of a fake feed, and a real journal."""

import textwrap
from types import SimpleNamespace

import pytest

from ticktape.decisions import load_strategy
from ticktape.journal import Block
from ticktape.records import Book, CryptoBook, Gap, Quote, Status, Tick, Trade

STAMPS = {"recv_ns": 5, "epoch": 0, "index": 0}


def a_trade(seq=0, price=1.0, *, event_ns=None, symbol="IBM", feed="sip", size=100.0):
    return Trade(
        feed=feed,
        symbol=symbol,
        event_ns=seq if event_ns is None else event_ns,
        seq=seq,
        price=price,
        size=size,
        **STAMPS,
    )


def a_quote(seq=0, bid=1.0, *, event_ns=0, symbol="IBM", feed="sip"):
    return Quote(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        seq=seq,
        bid_price=bid,
        bid_size=1.0,
        ask_price=bid + 1,
        ask_size=1.0,
        **STAMPS,
    )


def a_book(seq=0, bid=1.0, *, event_ns=0, symbol="IBM", feed="rts"):
    return Book(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        seq=seq,
        before_ns=event_ns,
        after_ns=event_ns,
        previous_ns=None,
        poll=1,
        unchanged=0,
        flags=0,
        ask_prices=(bid + 1, bid + 2),
        ask_volumes=(3.0, 4.0),
        bid_prices=(bid,),
        bid_volumes=(5.0,),
        **STAMPS,
    )


def a_tick(seq=0, bid=1.0, *, event_ns=0, symbol="IBM", feed="rts"):
    return Tick(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        seq=seq,
        time_msc=event_ns // 1_000_000,
        offset_ms=0,
        bid=bid,
        ask=bid + 1,
        last=0.0,
        volume=0,
        volume_real=0.0,
        flags=6,
        before_ns=event_ns,
        after_ns=event_ns,
        **STAMPS,
    )


def an_order_book(seq=0, bids=(), *, reset=False, event_ns=0, symbol="IBM", feed="sip"):
    return CryptoBook(
        feed=feed,
        symbol=symbol,
        event_ns=event_ns,
        seq=seq,
        reset=reset,
        bid_prices=tuple(price for price, _ in bids),
        bid_sizes=tuple(size for _, size in bids),
        ask_prices=(),
        ask_sizes=(),
        **STAMPS,
    )


def a_status(seq=0, message="Trading Halt", *, event_ns=0, symbol="IBM"):
    return Status(
        feed="sip",
        symbol=symbol,
        event_ns=event_ns,
        seq=seq,
        status_code="H",
        status_message=message,
        reason_code="",
        reason_message="",
        **STAMPS,
    )


def a_gap(seq=0, feed="sip"):
    return Gap(
        feed=feed,
        symbol="",
        event_ns=0,
        seq=seq,
        from_ns=0,
        to_ns=None,
        cause="the cable",
        **STAMPS,
    )


def a_block(records, *, offset=100, epoch=0):
    """A block whose records the fake decoder knows by its offset."""
    first = records[0].seq if records else 0
    return Block(epoch, offset, offset + 50, first, max(1, len(records)), 5, 6, 0, b"")


class FakeDecoder:
    """Gives the records that were laid out for a block's offset."""

    def __init__(self, by_offset):
        self.by_offset = by_offset

    def decode(self, block):
        return self.by_offset[block.offset]


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="strategy.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write_file


@pytest.fixture
def load(write):
    def load_text(text, class_name=""):
        return load_strategy(write(text), "mine", class_name)

    return load_text


@pytest.fixture
def makes():
    return SimpleNamespace(
        trade=a_trade,
        quote=a_quote,
        book=a_book,
        tick=a_tick,
        gap=a_gap,
        order_book=an_order_book,
        status=a_status,
        block=a_block,
        decoder=FakeDecoder,
    )
