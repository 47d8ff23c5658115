"""MetaTrader 5's words: its codes, the bytes of its rows, and how a journal's entry holds them.

Pure: no terminal, no file, no clock. Rows are the terminal's own records and never altered; what we
know of a poll stands before them, in a head of our own.

A book's image, `form` 1 (with `form` 2 the five numbers are u64, in the order shown, after a
head of 8 bytes):

     0  form       u8   1                    8  poll       u32  number of this poll of the symbol,
     1  unchanged  u8   polls since the                        from 1, counted in a session
                        image before that   12  after      u32
                        had its rows        16  marks      u8   see Mark
     2  before     u16                      17  symbol     u8   bytes
     4  previous   u32                      18  rows       u16
    20  symbol in UTF-8; with Mark.REMOTE then before i64, after i64, map u32: the bridge's own
        counter and which clock map brought it to our clock; then 28 bytes a row.

Times are counted back from the block's monotonic stamp in units of 100 ns, which is as fine as
Windows' own counter, and rounded outwards: `before` and `after` enclose the call, `previous` is
where the poll before it began (0: there was none), so what the image shows changed in
(previous, after].

Ticks, `form` 3: form u8, marks u8, symbol u8, unused u8, count u32, before u64, after u64,
offset_ms i32 (the broker's clock less UTC, as known then), seen u32 (how many ticks of the last
one's millisecond were delivered so far), symbol, 60 bytes a tick.
"""

import struct
from collections.abc import Iterable, Sequence
from enum import IntEnum, IntFlag
from typing import Any, NamedTuple

BOOK_TYPE_SELL, BOOK_TYPE_BUY, BOOK_TYPE_SELL_MARKET, BOOK_TYPE_BUY_MARKET = 1, 2, 3, 4
ASK_TYPES = (BOOK_TYPE_SELL, BOOK_TYPE_SELL_MARKET)
BID_TYPES = (BOOK_TYPE_BUY, BOOK_TYPE_BUY_MARKET)
COPY_TICKS_ALL = -1

ROW = struct.Struct("<IdQd")
"""One row of a book as the terminal sends it: type, price, volume, volume_dbl."""
ROW_BYTES = ROW.size
TICK = struct.Struct("<qdddQqId")
"""One tick as the terminal sends it: time, bid, ask, last, volume, time_msc, flags, volume_real."""
TICK_BYTES = TICK.size
assert ROW_BYTES == 28
assert TICK_BYTES == 60

UNIT_NS = 100
ROWS_MAX = 0xFFFF
SYMBOL_BYTES_MAX = 255
_UNITS_MAX = 1 << 55
"""A greater number in an entry is damage: 114 years in units, and no count comes so far."""


class Form(IntEnum):
    """What an entry holds; its first byte."""

    IMAGE = 1
    IMAGE_WIDE = 2
    TICKS = 3


class Mark(IntFlag):
    """What the poller knew of an image or a batch of ticks; one byte."""

    KEYFRAME = 1  # stored although nothing changed, or the first of its kind
    AFTER_GAP = 2  # the first since we were not there to see
    LEG_A = 4
    LEG_B = 8
    REMOTE = 16  # stamps of the bridge's own clock follow the symbol
    REGRESS = 32  # history was rewritten under the cursor


class BookFlag(IntFlag):
    """What is remarkable about a stored image; column `flags` of `books`.

    Source: https://www.mql5.com/en/docs/marketinformation/marketbookget and the MQL5 book say that
    all of these come from real brokers.
    """

    EMPTY = 1
    ONE_SIDED = 2
    CROSSED = 4  # best bid above best ask
    LOCKED = 8  # best bid equal to best ask
    UNSORTED = 16  # a half whose prices do not fall
    DUPLICATE_PRICE = 32
    MARKET_ROWS = 64  # rows of the types 3 and 4
    AFTER_GAP = 128
    KEYFRAME = 256
    INTERLEAVED = 512  # a sell row stands behind a buy row


# A plain number: the operators of an enum cost a microsecond each.
_REMOTE_BIT = int(Mark.REMOTE)

WITNESS_MARKS = {"stream": Mark(0), "leg A": Mark.LEG_A, "leg B": Mark.LEG_B}

_MSC_AT = 40  # of `time_msc` in a tick
_IMAGE = struct.Struct("<BBHIIIBBH")
_WIDE = struct.Struct("<BBBxHxxQQQQQ")
_REMOTE = struct.Struct("<qqI")
_TICKS = struct.Struct("<BBBxIQQiI")


class RemoteStamp(NamedTuple):
    """The bracket of a call on the bridge's own counter, and the number of the clock map."""

    before: int
    after: int
    clock_map: int


class Image(NamedTuple):
    """One image of a book as it was polled; times are our monotonic nanoseconds.

    `previous_ns` is None for a first poll. `rows` are whole rows of 28 bytes, in their order.
    """

    symbol: str
    before_ns: int
    after_ns: int
    previous_ns: int | None
    poll: int
    unchanged: int
    marks: int
    rows: bytes
    remote: RemoteStamp | None = None


class TickBatch(NamedTuple):
    """Ticks that one call brought and that were not delivered before; `rows` of 60 bytes each.

    With the last one's `time_msc`, `seen` is the cursor behind them: so many of that millisecond
    were delivered.
    """

    symbol: str
    before_ns: int
    after_ns: int
    offset_ms: int
    seen: int
    marks: int
    rows: bytes


_ROW_PACKERS: dict[int, struct.Struct] = {}


def pack_rows(rows: Iterable[Sequence[float]]) -> bytes:
    """A book as the terminal gave it, as whole rows of 28 bytes."""
    flat: list[float] = []
    for row in rows:
        flat += row
    packer = _ROW_PACKERS.get(len(flat))
    if packer is None:
        packer = _row_packer(len(flat))
    return packer.pack(*flat)


def _row_packer(fields: int) -> struct.Struct:
    packer = _ROW_PACKERS[fields] = struct.Struct("<" + "IdQd" * (fields // 4))
    return packer


def unpack_flat(rows: bytes) -> tuple[Any, ...]:
    """The four fields of all rows, one after the other."""
    packer = _ROW_PACKERS.get(len(rows) // 7)
    if packer is None:
        packer = _row_packer(len(rows) // 7)
    return packer.unpack(rows)


def unpack_rows(rows: bytes) -> list[tuple[int, float, int, float]]:
    """Type, price, volume and volume_dbl of every row."""
    return list(ROW.iter_unpack(rows))


def _floor(ns: int) -> int:
    return max(ns, 0) // UNIT_NS


def _ceil(ns: int) -> int:
    return -(-max(ns, 0) // UNIT_NS)


def pack_image(image: Image, mono_ns: int) -> bytes:
    """An image as an entry of the block stamped `mono_ns`.

    Raises:
        ValueError: the symbol or the book is longer than an entry can say.
    """
    symbol = image.symbol.encode()
    count = len(image.rows) // ROW_BYTES
    if len(symbol) > SYMBOL_BYTES_MAX or count > ROWS_MAX:
        raise ValueError(f"a book of {count} rows, a symbol of {len(symbol)} bytes")
    before = _ceil(mono_ns - image.before_ns)
    after = _floor(mono_ns - image.after_ns)
    previous = 0 if image.previous_ns is None else max(_ceil(mono_ns - image.previous_ns), 1)
    poll, unchanged, marks = image.poll, image.unchanged, image.marks
    tail = symbol + image.rows
    if image.remote is not None:
        marks |= _REMOTE_BIT
        tail = symbol + _REMOTE.pack(*image.remote) + image.rows
    if unchanged <= 0xFF and before <= 0xFFFF and max(previous, poll, after) <= 0xFFFF_FFFF:
        head = _IMAGE.pack(
            Form.IMAGE, unchanged, before, previous, poll, after, marks, len(symbol), count
        )
    else:
        head = _WIDE.pack(
            Form.IMAGE_WIDE, marks, len(symbol), count, unchanged, before, previous, poll, after
        )
    return head + tail


def unpack_image(payload: bytes, mono_ns: int) -> Image:
    """The image in an entry of the block stamped `mono_ns`.

    Given the block's wall stamp instead, all times are wall times.

    Raises:
        ValueError: the entry is not a whole image.
    """
    try:
        if payload[0] == Form.IMAGE:
            (_, unchanged, before, previous, poll, after, marks, length, count) = (
                _IMAGE.unpack_from(payload)
            )
            at = _IMAGE.size
        elif payload[0] == Form.IMAGE_WIDE:
            (_, marks, length, count, unchanged, before, previous, poll, after) = _WIDE.unpack_from(
                payload
            )
            at = _WIDE.size
        else:
            raise ValueError(f"form {payload[0]} is no image")
        if max(unchanged, before, previous, poll, after) > _UNITS_MAX:
            raise ValueError("numbers that no image has")
        symbol = payload[at : at + length].decode()
        at += length
        remote = None
        if marks & _REMOTE_BIT:
            remote = RemoteStamp(*_REMOTE.unpack_from(payload, at))
            at += _REMOTE.size
    except (struct.error, IndexError) as error:
        raise ValueError("too short for an image's head") from error
    rows = payload[at:]
    if len(rows) != count * ROW_BYTES:
        raise ValueError(f"{len(rows)} bytes where {count} rows should be")
    return Image(
        symbol,
        mono_ns - before * UNIT_NS,
        mono_ns - after * UNIT_NS,
        mono_ns - previous * UNIT_NS if previous else None,
        poll,
        unchanged,
        marks & ~_REMOTE_BIT,
        rows,
        remote,
    )


def pack_ticks(batch: TickBatch, mono_ns: int) -> bytes:
    """A batch of ticks as an entry of the block stamped `mono_ns`."""
    symbol = batch.symbol.encode()
    head = _TICKS.pack(
        Form.TICKS,
        batch.marks,
        len(symbol),
        len(batch.rows) // TICK_BYTES,
        _ceil(mono_ns - batch.before_ns),
        _floor(mono_ns - batch.after_ns),
        batch.offset_ms,
        batch.seen,
    )
    return head + symbol + batch.rows


def unpack_ticks(payload: bytes, mono_ns: int) -> TickBatch:
    """The ticks in an entry of the block stamped `mono_ns`; as `unpack_image`.

    Raises:
        ValueError: the entry is not a whole batch.
    """
    try:
        form, marks, length, count, before, after, offset_ms, seen = _TICKS.unpack_from(payload)
    except struct.error as error:
        raise ValueError("too short for a head of ticks") from error
    if form != Form.TICKS:
        raise ValueError(f"form {form} is no batch of ticks")
    if max(before, after) > _UNITS_MAX:
        raise ValueError("times that no batch has")
    at = _TICKS.size + length
    symbol, rows = payload[_TICKS.size : at].decode(), payload[at:]
    if len(rows) != count * TICK_BYTES:
        raise ValueError(f"{len(rows)} bytes where {count} ticks should be")
    before_ns, after_ns = mono_ns - before * UNIT_NS, mono_ns - after * UNIT_NS
    return TickBatch(symbol, before_ns, after_ns, offset_ms, seen, marks, rows)


def last_msc(rows: bytes) -> int:
    """`time_msc` of the last of some ticks."""
    (msc,) = struct.unpack_from("<q", rows, len(rows) - TICK_BYTES + _MSC_AT)
    return int(msc)
