"""A book as the last-value files hold it: the top in a cell, the whole image in a slot of its own.

    slot's payload   the cell's payload, 240 B · asks · bids · types · whole volumes (4 B each, how
                     many there are; -1 says None) · ask prices · ask volumes · bid prices ·
                     bid volumes · whole volumes (8 B each) · types (4 B each)

An image thus brings its own top: who has read the slot never pairs a book with another one's top.
"""

import struct
from typing import Final

import msgspec

from ticktape.lastvalue.layout import (
    CHECK_BYTES,
    CUT,
    EMPTY,
    FLAGS_AT,
    IMAGE_BYTES,
    IMAGE_ROWS_MAX,
    NO_ASK,
    NO_BID,
    NO_PREVIOUS,
    ORIGIN,
    PAYLOAD_BYTES,
    SLOT_AT,
    WITNESS_BYTES,
    CellKind,
    text_of,
)
from ticktape.mt5 import BID_TYPES
from ticktape.records import Book

_TOP = struct.Struct(ORIGIN + "ddddqqqqqqiii52x")
_SLOT = struct.Struct("=i")
_COUNTS = struct.Struct("=iiii")
_ROW_BYTES: Final = 28  # price, volume and whole volume of 8 bytes, type of 4
_ROOM_BYTES: Final = IMAGE_BYTES - CHECK_BYTES
NO_SLOT: Final = -1
assert _TOP.size == PAYLOAD_BYTES == SLOT_AT + _SLOT.size + 52
assert PAYLOAD_BYTES + _COUNTS.size + IMAGE_ROWS_MAX * _ROW_BYTES <= _ROOM_BYTES


class BookTop(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The best of both sides of a book, and where it came from; the words of `records.Book`.

    A side without levels has None for its price and volume. `bid_levels` and `ask_levels` count
    the levels that were polled.
    """

    feed: str
    symbol: str
    event_ns: int
    recv_ns: int
    epoch: int
    seq: int
    index: int
    witness: str
    bid_price: float | None
    bid_volume: float | None
    ask_price: float | None
    ask_volume: float | None
    bid_levels: int
    ask_levels: int
    flags: int
    before_ns: int
    after_ns: int
    previous_ns: int | None
    poll: int
    unchanged: int


def encode_top(book: Book, feed: bytes, symbol: bytes, slot: int) -> bytes:
    """Payload of a book's cell; `slot` is where its image is, or NO_SLOT.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    witness = book.witness.encode(errors="replace")
    asks, bids = len(book.ask_prices), len(book.bid_prices)
    flags = CUT if _rows(book) > IMAGE_ROWS_MAX or len(witness) > WITNESS_BYTES else 0
    if book.previous_ns is None:
        flags |= NO_PREVIOUS
    if not bids:
        flags |= NO_BID
    if not asks:
        flags |= NO_ASK
    return _TOP.pack(
        feed,
        symbol,
        CellKind.BOOK,
        flags,
        book.index,
        book.event_ns,
        book.recv_ns,
        book.epoch,
        book.seq,
        witness,
        book.bid_prices[0] if bids else 0.0,
        book.bid_volumes[0] if bids else 0.0,
        book.ask_prices[0] if asks else 0.0,
        book.ask_volumes[0] if asks else 0.0,
        book.before_ns,
        book.after_ns,
        book.previous_ns or 0,
        book.poll,
        book.unchanged,
        book.flags,
        bids,
        asks,
        slot,
    )


def decode_top(payload: bytes) -> BookTop:
    """The top in a book's cell, or at the head of its image."""
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, witness, *own) = (
        _TOP.unpack_from(payload)
    )
    bid_price, bid_volume, ask_price, ask_volume, before_ns, after_ns, previous_ns, *own = own
    poll, unchanged, book_flags, bids, asks, _slot = own
    return BookTop(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        witness=text_of(witness),
        bid_price=bid_price if bids else None,
        bid_volume=bid_volume if bids else None,
        ask_price=ask_price if asks else None,
        ask_volume=ask_volume if asks else None,
        bid_levels=bids,
        ask_levels=asks,
        flags=book_flags,
        before_ns=before_ns,
        after_ns=after_ns,
        previous_ns=None if flags & NO_PREVIOUS else previous_ns,
        poll=poll,
        unchanged=unchanged,
    )


def slot_of(payload: bytes) -> int:
    """The slot that the cell of a book of either sort names, or NO_SLOT."""
    (slot,) = _SLOT.unpack_from(payload, SLOT_AT)
    return int(slot)


def encode_image(book: Book, top: bytes) -> bytes:
    """Payload of a book's slot; `top` is what `encode_top` made of it.

    Of a book of more than 512 rows each side loses its worst rows, the longer side first.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    asks, bids = len(book.ask_prices), len(book.bid_prices)
    types, whole = book.types, book.whole_volumes
    if _rows(book) > IMAGE_ROWS_MAX:
        asks, bids = kept_levels(asks, bids, IMAGE_ROWS_MAX)
        kept = _kept(book, asks, bids)
        types = None if types is None else tuple(types[at] for at in kept)
        whole = None if whole is None else tuple(whole[at] for at in kept)
    types_count, whole_count = len(types or ()), len(whole or ())
    payload = b"".join(
        (
            top,
            _COUNTS.pack(
                asks,
                bids,
                -1 if types is None else types_count,
                -1 if whole is None else whole_count,
            ),
            struct.pack(
                f"={2 * (asks + bids)}d{whole_count}q{types_count}i",
                *book.ask_prices[:asks],
                *book.ask_volumes[:asks],
                *book.bid_prices[:bids],
                *book.bid_volumes[:bids],
                *(whole or ()),
                *(types or ()),
            ),
        )
    )
    if len(payload) > _ROOM_BYTES:
        raise OverflowError(f"{len(payload)} bytes of image")
    return payload


def kept_levels(asks: int, bids: int, levels_max: int) -> tuple[int, int]:
    """How many levels of each side an image keeps; the longer side loses first."""
    half = levels_max // 2
    return min(asks, max(half, levels_max - bids)), min(bids, max(half, levels_max - asks))


def decode_image(payload: bytes) -> Book | None:
    """The book in a slot; None when the slot holds none."""
    if payload[FLAGS_AT] & EMPTY:
        return None
    top = decode_top(payload)
    asks, bids, types, whole = _COUNTS.unpack_from(payload, PAYLOAD_BYTES)
    at = PAYLOAD_BYTES + _COUNTS.size
    numbers = struct.unpack_from(
        f"={2 * (asks + bids)}d{max(whole, 0)}q{max(types, 0)}i", payload, at
    )
    ends = (asks, 2 * asks, 2 * asks + bids, 2 * (asks + bids))
    whole_end = ends[3] + max(whole, 0)
    return Book(
        feed=top.feed,
        symbol=top.symbol,
        event_ns=top.event_ns,
        recv_ns=top.recv_ns,
        epoch=top.epoch,
        seq=top.seq,
        index=top.index,
        witness=top.witness,
        before_ns=top.before_ns,
        after_ns=top.after_ns,
        previous_ns=top.previous_ns,
        poll=top.poll,
        unchanged=top.unchanged,
        flags=top.flags,
        ask_prices=numbers[: ends[0]],
        ask_volumes=numbers[ends[0] : ends[1]],
        bid_prices=numbers[ends[1] : ends[2]],
        bid_volumes=numbers[ends[2] : ends[3]],
        types=None if types < 0 else numbers[whole_end:],
        whole_volumes=None if whole < 0 else numbers[ends[3] : whole_end],
    )


def _rows(book: Book) -> int:
    return max(
        len(book.ask_prices) + len(book.bid_prices),
        len(book.types or ()),
        len(book.whole_volumes or ()),
    )


def _kept(book: Book, asks: int, bids: int) -> list[int]:
    """Places in `types` and `whole_volumes` of the rows that a cut image keeps.

    These stand in the order delivered: asks from the worst to the best, bids from the best on.
    """
    if book.types is None:
        first = len(book.ask_prices)
        return list(range(first - asks, first + bids))
    # Whatever is not known as a bid stands with the asks.
    ask_places = [at for at, kind in enumerate(book.types) if kind not in BID_TYPES]
    bid_places = [at for at, kind in enumerate(book.types) if kind in BID_TYPES]
    return sorted(ask_places[len(ask_places) - asks :] + bid_places[:bids])
