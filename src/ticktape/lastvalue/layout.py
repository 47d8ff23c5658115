"""The bytes of the last-value file: head, positions, cells, and the records in them.

A text never runs into its neighbour and a cell never changes its owner: width and place are fixed
here.

    file   ┌───────────────┬──────────────────┬────────┬────────┬───
           │ head, 512 B   │ 56 positions     │ cell 0 │ cell 1 │ …   capacity cells
           │ words 0 to 63 │ 64 B each        │ 256 B  │ 256 B  │
           └───────────────┴──────────────────┴────────┴────────┴───
    head   magic · version · cell bytes · capacity · boot id (2) · generation · count of cells ·
           counters
    position  feed (32 B) · epoch · offset · used · unused          one reader position per feed
    cell   sequence (odd while it is being written) · CRC-32 of what follows ·
           feed 16 · symbol 32 · kind 1 · flags 1 · 2 unused · index 4 ·
           event_ns 8 · recv_ns 8 · epoch 8 · seq 8 · witness 8 · 144 bytes of the kind's own

Every number is in the machine's own byte order: the file never leaves it. Texts are UTF-8, filled
up with NUL. A text longer than its field is cut at a character and the cell says so (flag CUT); a
feed or symbol longer than its field gets no cell at all, because two names cut to one would be
mixed.
"""

import struct
from enum import IntEnum
from typing import Final

from ticktape.records import Bar, Quote, Record, Trade

MAGIC: Final = int.from_bytes(b"TTLASTV1", "little")
VERSION: Final = 1
WORD_BYTES: Final = 8
HEAD_BYTES: Final = 4096
CELL_BYTES: Final = 256
CELL_WORDS: Final = CELL_BYTES // WORD_BYTES
CHECK_BYTES: Final = 16  # sequence and CRC, before a cell's payload
PAYLOAD_BYTES: Final = CELL_BYTES - CHECK_BYTES
CAPACITY: Final = 16_384  # 4 MiB: trades and quotes of 8,000 symbols, about all that SIP lists

# Words of the head.
WORD_MAGIC: Final = 0
WORD_VERSION: Final = 1
WORD_CELL_BYTES: Final = 2
WORD_CAPACITY: Final = 3
WORD_BOOT: Final = 4
WORD_GENERATION: Final = 6
WORD_COUNT: Final = 7
WORD_COUNTERS: Final = 8

# Positions: 56 of them fill the rest of the head's page.
POSITION_WORD: Final = 64
POSITION_WORDS: Final = 8
POSITIONS: Final = (HEAD_BYTES // WORD_BYTES - POSITION_WORD) // POSITION_WORDS
POSITION_NAME_BYTES: Final = 32
POSITION_EPOCH: Final = 4
POSITION_OFFSET: Final = 5
POSITION_USED: Final = 6

FEED_BYTES: Final = 16
SYMBOL_BYTES: Final = 32
WITNESS_BYTES: Final = 8
EXCHANGE_BYTES: Final = 16
SHORT_BYTES: Final = 8  # tape, taker side, span
CONDITIONS_BYTES: Final = 64

CUT: Final = 1  # a text of the record was longer than its field
EMPTY: Final = 2  # a writer died in the middle of the cell: the key holds, the value is gone
NO_ID: Final = 4  # the trade has no id, or the bar no trade count
NO_VWAP: Final = 8


class CellKind(IntEnum):
    """What a cell holds. BOOK is kept free for the book's top."""

    TRADE = 1
    QUOTE = 2
    BAR = 3
    BOOK = 4
    DAY = 5  # a day's bar starts before every minute of it and would never win against them


ORIGIN = "=16s32sBB2xiqqqq8s"
_ORIGIN = struct.Struct(ORIGIN)
_TRADE = struct.Struct(ORIGIN + "ddq16s8s8s64s24x")
_QUOTE = struct.Struct(ORIGIN + "dddd16s16s8s64s8x")
_BAR = struct.Struct(ORIGIN + "dddddqd8s80x")
assert _TRADE.size == _QUOTE.size == _BAR.size == PAYLOAD_BYTES

FLAGS_AT: Final = FEED_BYTES + SYMBOL_BYTES + 1
EVENT_AT: Final = FLAGS_AT + 7  # after the flags, 2 unused bytes and the index


def cell_word(cell: int) -> int:
    """Word at which cell number `cell` begins."""
    return HEAD_BYTES // WORD_BYTES + cell * CELL_WORDS


def file_bytes(capacity: int) -> int:
    """Length of a file of `capacity` cells."""
    return HEAD_BYTES + capacity * CELL_BYTES


def key_text(text: str, width_bytes: int) -> bytes | None:
    """`text` as a key of at most `width_bytes`; None when it does not fit or would not come back.

    An empty text and one with a NUL would not come back.
    """
    encoded = text.encode(errors="replace")
    if 0 < len(encoded) <= width_bytes and b"\0" not in encoded:
        return encoded
    return None


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


def encode(record: Record, feed: bytes, symbol: bytes, kind: int) -> bytes:
    """Payload of any record that has a cell; `feed` and `symbol` come from `key_text`.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    if isinstance(record, Trade):
        return encode_trade(record, feed, symbol, kind)
    if isinstance(record, Quote):
        return encode_quote(record, feed, symbol, kind)
    assert isinstance(record, Bar)
    return encode_bar(record, feed, symbol, kind)


def encode_empty(key: bytes) -> bytes:
    """Payload of a cell whose value is gone; `key` is its first 49 bytes: feed, symbol, kind."""
    assert len(key) == FLAGS_AT
    return (key + bytes([EMPTY])).ljust(PAYLOAD_BYTES, b"\0")


def _text(raw: bytes) -> str:
    try:
        return raw.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        # The field's end cut a character in two: drop what is left of it.
        return raw.rstrip(b"\0").decode(errors="ignore")


def decode_key(payload: bytes) -> tuple[str, str, int]:
    """Feed, symbol and kind of a cell."""
    return (
        _text(payload[:FEED_BYTES]),
        _text(payload[FEED_BYTES : FEED_BYTES + SYMBOL_BYTES]),
        payload[FLAGS_AT - 1],
    )


def decode_event_ns(payload: bytes) -> int:
    """The record's `event_ns`, without decoding the rest."""
    return int.from_bytes(payload[EVENT_AT : EVENT_AT + 8], _ORDER, signed=True)


_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"


def decode(payload: bytes) -> Trade | Quote | Bar | None:
    """The record in a cell; None when the cell holds none."""
    kind, flags = payload[FLAGS_AT - 1], payload[FLAGS_AT]
    if flags & EMPTY:
        return None
    if kind == CellKind.TRADE:
        return _decode_trade(payload)
    if kind == CellKind.QUOTE:
        return _decode_quote(payload)
    if kind in (CellKind.BAR, CellKind.DAY):
        return _decode_bar(payload)
    return None


def _decode_trade(payload: bytes) -> Trade:
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _TRADE.unpack(payload)
    )
    price, size, number, exchange, tape, side, conditions = own
    return Trade(
        feed=_text(feed),
        symbol=_text(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=_text(witness),
        price=price,
        size=size,
        exchange=_text(exchange),
        id=None if flags & NO_ID else number,
        conditions=_text(conditions),
        tape=_text(tape),
        taker_side=_text(side),
    )


def _decode_quote(payload: bytes) -> Quote:
    (feed, symbol, _kind, _flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _QUOTE.unpack(payload)
    )
    bid_price, bid_size, ask_price, ask_size, bid_exchange, ask_exchange, tape, conditions = own
    return Quote(
        feed=_text(feed),
        symbol=_text(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=_text(witness),
        bid_price=bid_price,
        bid_size=bid_size,
        bid_exchange=_text(bid_exchange),
        ask_price=ask_price,
        ask_size=ask_size,
        ask_exchange=_text(ask_exchange),
        conditions=_text(conditions),
        tape=_text(tape),
    )


def _decode_bar(payload: bytes) -> Bar:
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = _BAR.unpack(
        payload
    )
    open_, high, low, close, volume, trade_count, vwap, span = own
    return Bar(
        feed=_text(feed),
        symbol=_text(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=_text(witness),
        span=_text(span),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=volume,
        trade_count=None if flags & NO_ID else trade_count,
        vwap=None if flags & NO_VWAP else vwap,
    )
