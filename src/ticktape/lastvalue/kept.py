"""A cell as its writer knows it, how it learns of one from the file, and what is later."""

from typing import Final

from ticktape.lastvalue.cells import Held, decode
from ticktape.lastvalue.layout import (
    FEED_BYTES,
    FLAGS_AT,
    SYMBOL_BYTES,
    CellKind,
    decode_key,
    encode_empty,
    key_text,
)
from ticktape.lastvalue.mapfile import Mapping
from ticktape.orderbook import Key
from ticktape.records import Record

_KNOWN: Final = frozenset(int(kind) for kind in CellKind)


class Cell:
    """A cell as its writer knows it: where it is, what it holds, and whether that is written."""

    __slots__ = ("feed", "is_pending", "key", "kind", "newest", "number", "symbol")

    def __init__(self, number: int, key: Key, feed: bytes, symbol: bytes, kind: int) -> None:
        self.key = key
        self.number = number  # -1 until it is first written
        self.feed = feed
        self.symbol = symbol
        self.kind = kind
        # Of an order book: the last change that is not written yet.
        self.newest: Record | Held | None = None
        self.is_pending = False


def is_later(record: Record, newest: Record | Held) -> bool:
    """Whether `record` has the greater (event_ns, epoch, seq, index)."""
    if record.event_ns != newest.event_ns:
        return record.event_ns > newest.event_ns
    return (record.epoch, record.seq, record.index) > (newest.epoch, newest.seq, newest.index)


def take_cell(mapping: Mapping, number: int) -> Cell | None:
    """The cell as it stands, mended if its writer died in it; None when it makes no sense.

    A cell left odd whose CRC holds is whole: it is made even. With a broken CRC its value is gone,
    but its key was written before it counted and never since; the record that was being written
    comes again, because its position was not yet set.
    """
    is_whole, payload = mapping.peek_cell(number)
    if mapping.is_odd(number):
        if not is_whole:
            payload = encode_empty(payload[:FLAGS_AT])
        mapping.store_cell(number, payload)
    elif not is_whole:
        return None
    feed, symbol, kind = decode_key(payload)
    feed_key, symbol_key = key_text(feed, FEED_BYTES), key_text(symbol, SYMBOL_BYTES)
    if feed_key is None or symbol_key is None or kind not in _KNOWN:
        return None
    cell = Cell(number, (feed, symbol), feed_key, symbol_key, kind)
    cell.newest = decode(payload)
    return cell
