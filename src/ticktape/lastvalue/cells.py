"""What a cell of `last.map` holds of each kind of record; a book's top is in `books`.

Order of the numbers and widths of the texts are those of the formats below, after the origin that
all cells have (see `layout`). The rest of a cell is unused.
"""

import struct
from collections.abc import Callable
from typing import Final

from ticktape.lastvalue.books import BookTop, decode_top
from ticktape.lastvalue.layout import (
    CUT,
    EMPTY,
    FLAGS_AT,
    KIND_AT,
    NO_ID,
    NO_VWAP,
    ORIGIN,
    PAYLOAD_BYTES,
    WITNESS_BYTES,
    CellKind,
    text_of,
)
from ticktape.records import Bar, Quote, Record, Status, Tick, Trade

EXCHANGE_BYTES: Final = 16
SHORT_BYTES: Final = 8  # tape, taker side, span, codes of a status
CONDITIONS_BYTES: Final = 64
STATUS_BYTES: Final = 40  # its words
REASON_BYTES: Final = 80

_TRADE = struct.Struct(ORIGIN + "ddq16s8s8s64s24x")
_QUOTE = struct.Struct(ORIGIN + "dddd16s16s8s64s8x")
_BAR = struct.Struct(ORIGIN + "dddddqd8s80x")
_TICK = struct.Struct(ORIGIN + "qqdddqdqqq64x")
_STATUS = struct.Struct(ORIGIN + "8s40s8s80s8s")
assert _TRADE.size == _QUOTE.size == _BAR.size == _TICK.size == _STATUS.size == PAYLOAD_BYTES


def encode_trade(record: Trade, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of a trade's cell.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = record.witness.encode(errors="replace")
    exchange = record.exchange.encode(errors="replace")
    tape = record.tape.encode(errors="replace")
    side = record.taker_side.encode(errors="replace")
    conditions = record.conditions.encode(errors="replace")
    number = record.id
    flags = 0 if number is not None else NO_ID
    if (
        len(conditions) > CONDITIONS_BYTES
        or len(exchange) > EXCHANGE_BYTES
        or len(tape) > SHORT_BYTES
        or len(side) > SHORT_BYTES
        or len(witness) > WITNESS_BYTES
    ):
        flags |= CUT
    return _TRADE.pack(
        feed,
        symbol,
        kind,
        flags,
        record.index,
        record.event_ns,
        record.recv_ns,
        record.epoch,
        record.seq,
        witness,
        record.price,
        record.size,
        number or 0,
        exchange,
        tape,
        side,
        conditions,
    )


def encode_quote(record: Quote, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of a quote's cell.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = record.witness.encode(errors="replace")
    bid_exchange = record.bid_exchange.encode(errors="replace")
    ask_exchange = record.ask_exchange.encode(errors="replace")
    tape = record.tape.encode(errors="replace")
    conditions = record.conditions.encode(errors="replace")
    flags = 0
    if (
        len(conditions) > CONDITIONS_BYTES
        or len(bid_exchange) > EXCHANGE_BYTES
        or len(ask_exchange) > EXCHANGE_BYTES
        or len(tape) > SHORT_BYTES
        or len(witness) > WITNESS_BYTES
    ):
        flags = CUT
    return _QUOTE.pack(
        feed,
        symbol,
        kind,
        flags,
        record.index,
        record.event_ns,
        record.recv_ns,
        record.epoch,
        record.seq,
        witness,
        record.bid_price,
        record.bid_size,
        record.ask_price,
        record.ask_size,
        bid_exchange,
        ask_exchange,
        tape,
        conditions,
    )


def encode_bar(record: Bar, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of a bar's cell.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = record.witness.encode(errors="replace")
    span = record.span.encode(errors="replace")
    flags = CUT if len(span) > SHORT_BYTES or len(witness) > WITNESS_BYTES else 0
    if record.trade_count is None:
        flags |= NO_ID
    if record.vwap is None:
        flags |= NO_VWAP
    return _BAR.pack(
        feed,
        symbol,
        kind,
        flags,
        record.index,
        record.event_ns,
        record.recv_ns,
        record.epoch,
        record.seq,
        witness,
        record.open,
        record.high,
        record.low,
        record.close,
        record.volume,
        record.trade_count or 0,
        0.0 if record.vwap is None else record.vwap,
        span,
    )


def encode_tick(record: Tick, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of a tick's cell.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = record.witness.encode(errors="replace")
    return _TICK.pack(
        feed,
        symbol,
        kind,
        CUT if len(witness) > WITNESS_BYTES else 0,
        record.index,
        record.event_ns,
        record.recv_ns,
        record.epoch,
        record.seq,
        witness,
        record.time_msc,
        record.offset_ms,
        record.bid,
        record.ask,
        record.last,
        record.volume,
        record.volume_real,
        record.flags,
        record.before_ns,
        record.after_ns,
    )


def encode_status(record: Status, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of a status's cell.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = record.witness.encode(errors="replace")
    status_code = record.status_code.encode(errors="replace")
    status_message = record.status_message.encode(errors="replace")
    reason_code = record.reason_code.encode(errors="replace")
    reason_message = record.reason_message.encode(errors="replace")
    tape = record.tape.encode(errors="replace")
    is_cut = (
        len(status_message) > STATUS_BYTES
        or len(reason_message) > REASON_BYTES
        or max(map(len, (status_code, reason_code, tape, witness))) > SHORT_BYTES
    )
    return _STATUS.pack(
        feed,
        symbol,
        kind,
        CUT if is_cut else 0,
        record.index,
        record.event_ns,
        record.recv_ns,
        record.epoch,
        record.seq,
        witness,
        status_code,
        status_message,
        reason_code,
        reason_message,
        tape,
    )


def encode(record: Record, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of any record but a book that has a cell; `feed` and `symbol` come from `key_text`.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    if isinstance(record, Trade):
        return encode_trade(record, feed, symbol, kind)
    if isinstance(record, Quote):
        return encode_quote(record, feed, symbol, kind)
    if isinstance(record, Tick):
        return encode_tick(record, feed, symbol, kind)
    if isinstance(record, Status):
        return encode_status(record, feed, symbol, kind)
    assert isinstance(record, Bar)
    return encode_bar(record, feed, symbol, kind)


Held = Trade | Quote | Bar | Tick | Status | BookTop
"""What `decode` finds in a cell."""


def decode(payload: bytes) -> Held | None:
    """What a cell holds: its record, of a polled book the top; None when it holds nothing.

    What an order book's cell holds is `orderbooks`.
    """
    decoder = _DECODERS.get(payload[KIND_AT])
    return None if decoder is None or payload[FLAGS_AT] & EMPTY else decoder(payload)


def _decode_trade(payload: bytes) -> Trade:
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _TRADE.unpack(payload)
    )
    price, size, number, exchange, tape, side, conditions = own
    return Trade(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        price=price,
        size=size,
        exchange=text_of(exchange),
        id=None if flags & NO_ID else number,
        conditions=text_of(conditions),
        tape=text_of(tape),
        taker_side=text_of(side),
    )


def _decode_quote(payload: bytes) -> Quote:
    (feed, symbol, _kind, _flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _QUOTE.unpack(payload)
    )
    bid_price, bid_size, ask_price, ask_size, bid_exchange, ask_exchange, tape, conditions = own
    return Quote(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        bid_price=bid_price,
        bid_size=bid_size,
        bid_exchange=text_of(bid_exchange),
        ask_price=ask_price,
        ask_size=ask_size,
        ask_exchange=text_of(ask_exchange),
        conditions=text_of(conditions),
        tape=text_of(tape),
    )


def _decode_bar(payload: bytes) -> Bar:
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = _BAR.unpack(
        payload
    )
    open_, high, low, close, volume, trade_count, vwap, span = own
    return Bar(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        span=text_of(span),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trade_count=None if flags & NO_ID else trade_count,
        vwap=None if flags & NO_VWAP else vwap,
    )


def _decode_tick(payload: bytes) -> Tick:
    (feed, symbol, _kind, _flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _TICK.unpack(payload)
    )
    time_msc, offset_ms, bid, ask, last, volume, volume_real, flags, before_ns, after_ns = own
    return Tick(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        time_msc=time_msc,
        offset_ms=offset_ms,
        bid=bid,
        ask=ask,
        last=last,
        volume=volume,
        volume_real=volume_real,
        flags=flags,
        before_ns=before_ns,
        after_ns=after_ns,
    )


def _decode_status(payload: bytes) -> Status:
    (feed, symbol, _kind, _flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _STATUS.unpack(payload)
    )
    status_code, status_message, reason_code, reason_message, tape = map(text_of, own)
    return Status(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        status_code=status_code,
        status_message=status_message,
        reason_code=reason_code,
        reason_message=reason_message,
        tape=tape,
    )


_DECODERS: Final[dict[int, Callable[[bytes], Held]]] = {
    CellKind.TRADE: _decode_trade,
    CellKind.QUOTE: _decode_quote,
    CellKind.BAR: _decode_bar,
    CellKind.BOOK: decode_top,
    CellKind.DAY: _decode_bar,
    CellKind.TICK: _decode_tick,
    CellKind.STATUS: _decode_status,
}
