"""An order book as the last-value files hold it: the best levels in a cell, the whole in a slot.

    slot's payload   the cell's payload, 240 B · asks · bids (4 B each, how many there are) ·
                     ask prices · ask sizes · bid prices · bid sizes (8 B each)

As with polled books the whole brings its own cell's payload. The cell of a book that is not valid
says so and names no slot: what is in there is not the book any more.
"""

import struct
from typing import Final

from ticktape.lastvalue.books import NO_SLOT, kept_levels, slot_of
from ticktape.lastvalue.images import ImageWriter
from ticktape.lastvalue.layout import (
    CHECK_BYTES,
    CUT,
    EMPTY,
    FLAGS_AT,
    IMAGE_BYTES,
    NO_ASK,
    NO_BID,
    ORDER_LEVELS_MAX,
    ORIGIN,
    OWNER_BYTES,
    PAYLOAD_BYTES,
    SLOT_AT,
    VALID,
    CellKind,
    owner_of,
    text_of,
)
from ticktape.orderbook import Key, OrderBook, OrderBookImage, OrderBooks, place_of
from ticktape.records import CryptoBook, Record

_CELL = struct.Struct(ORIGIN + "ddddqii?39xi52x")
_ORIGIN = struct.Struct(ORIGIN)
_COUNTS = struct.Struct("=ii")
_LEVEL_BYTES: Final = 16  # price and size
assert _CELL.size == PAYLOAD_BYTES == SLOT_AT + 56
assert PAYLOAD_BYTES + _COUNTS.size + ORDER_LEVELS_MAX * _LEVEL_BYTES <= IMAGE_BYTES - CHECK_BYTES


def encode_order_book(image: OrderBookImage, feed: bytes, symbol: bytes, slot: int) -> bytes:
    """Payload of an order book's cell; `slot` is where its whole is, or NO_SLOT.

    Raises:
        struct.error, OverflowError: a number is outside its field.
    """
    asks, bids = len(image.ask_prices), len(image.bid_prices)
    flags = VALID if image.is_valid else 0
    if asks + bids > ORDER_LEVELS_MAX or (slot == NO_SLOT and max(asks, bids) > 1):
        flags |= CUT
    if not bids:
        flags |= NO_BID
    if not asks:
        flags |= NO_ASK
    return _CELL.pack(
        feed,
        symbol,
        CellKind.ORDER_BOOK,
        flags,
        image.index,
        image.event_ns,
        image.recv_ns,
        image.epoch,
        image.seq,
        b"",
        image.bid_prices[0] if bids else 0.0,
        image.bid_sizes[0] if bids else 0.0,
        image.ask_prices[0] if asks else 0.0,
        image.ask_sizes[0] if asks else 0.0,
        image.invalid_since_ns or 0,
        bids,
        asks,
        image.is_valid,
        slot,
    )


def encode_whole(image: OrderBookImage, cell: bytes) -> bytes:
    """Payload of an order book's slot; `cell` is what `encode_order_book` made of it.

    Of a book of more than 896 levels each side loses its worst, the longer side first.
    """
    asks, bids = kept_levels(len(image.ask_prices), len(image.bid_prices), ORDER_LEVELS_MAX)
    return b"".join(
        (
            cell,
            _COUNTS.pack(asks, bids),
            struct.pack(
                f"={2 * (asks + bids)}d",
                *image.ask_prices[:asks],
                *image.ask_sizes[:asks],
                *image.bid_prices[:bids],
                *image.bid_sizes[:bids],
            ),
        )
    )


def decode_order_book(cell: bytes, whole: bytes | None) -> OrderBookImage | None:
    """The order book of a cell, and of its slot if that was read.

    None when the cell says that there is more in a slot, and that was not read.
    """
    payload = cell if whole is None else whole
    (feed, symbol, _kind, flags, index, event_ns, recv_ns, epoch, seq, _witness, *own) = (
        _CELL.unpack_from(payload)
    )
    bid_price, bid_size, ask_price, ask_size, since_ns, bid_levels, ask_levels, is_valid, _ = own
    if whole is not None:
        asks, bids = _COUNTS.unpack_from(whole, PAYLOAD_BYTES)
        at = PAYLOAD_BYTES + _COUNTS.size
        numbers = struct.unpack_from(f"={2 * (asks + bids)}d", whole, at)
    elif is_valid and slot_of(cell) != NO_SLOT:
        return None
    else:
        asks, bids = int(not flags & NO_ASK), int(not flags & NO_BID)
        numbers = (ask_price, ask_size) * asks + (bid_price, bid_size) * bids
    return OrderBookImage(
        feed=text_of(feed),
        symbol=text_of(symbol),
        event_ns=event_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=index,
        is_valid=is_valid,
        invalid_since_ns=None if is_valid else since_ns,
        ask_prices=numbers[:asks],
        ask_sizes=numbers[asks : 2 * asks],
        bid_prices=numbers[2 * asks : 2 * asks + bids],
        bid_sizes=numbers[2 * asks + bids :],
        bid_levels=bid_levels,
        ask_levels=ask_levels,
    )


class OrderBookWriter:
    """The order books, as they are put together, and their wholes in `images`."""

    def __init__(self, images: ImageWriter) -> None:
        self._books = OrderBooks()
        self._images = images

    def has(self, change: CryptoBook) -> bool:
        """Whether a book has taken this change, or a later one, already."""
        book = self._books.get(change.feed, change.symbol)
        return book is not None and place_of(change) <= book.place

    def update(self, record: Record) -> list[Key]:
        """Take a record in; the books that it changed, each to be placed."""
        return self._books.update(record)

    def place(self, key: Key, feed: bytes, symbol: bytes) -> bytes:
        """The payload of a book's cell, after its whole went into its slot.

        `feed` and `symbol` are what `key_text` made of the key.

        Raises:
            struct.error, OverflowError: a number is outside its field.
        """
        book = self._books.get(*key)
        assert book is not None
        image = book.image(*key)
        if not image.is_valid:
            return encode_order_book(image, feed, symbol, NO_SLOT)
        slot = self._images.slot(owner_of(feed, symbol, CellKind.ORDER_BOOK))
        cell = encode_order_book(image, feed, symbol, slot)
        if slot != NO_SLOT:
            # Before the cell, as with polled books.
            self._images.store(slot, encode_whole(image, cell))
        return cell

    def take_over(self, feed: str, symbol: str, cell: bytes) -> bytes | None:
        """Go on from what a writer before us left; the cell's payload if it must be another.

        A book goes on only if all of it is there. What is missing, cut or half written is not known
        until the venue sends a whole one, and its readers must be told. A slot is written before
        its cell: the book in it is the newer one, unless the cell says that the book is not valid.
        """
        book = self._left_book(cell)
        self._books.put(feed, symbol, book)
        if book.is_valid == bool(cell[FLAGS_AT] & VALID):
            return None
        slot = self._images.slot(cell[:OWNER_BYTES]) if book.is_valid else NO_SLOT
        image = book.image(feed, symbol)
        return encode_order_book(image, feed.encode(), symbol.encode(), slot)

    def _left_book(self, cell: bytes) -> OrderBook:
        flags = cell[FLAGS_AT]
        if flags & VALID or flags & EMPTY:
            whole = self._images.kept(cell[:OWNER_BYTES])
            is_there = whole is not None and not whole[FLAGS_AT] & (EMPTY | CUT)
            image = decode_order_book(cell, whole) if is_there else None
        else:
            image = decode_order_book(cell, None)
        if image is not None:
            return OrderBook.of_image(image)
        book = OrderBook()
        if not flags & EMPTY:
            *_, index, event_ns, recv_ns, epoch, seq, _witness = _ORIGIN.unpack_from(cell)
            book.invalidate(recv_ns)
            book.event_ns, book.recv_ns, book.place = event_ns, recv_ns, (epoch, seq, index)
        return book
