"""The bytes of the last-value files: head, positions, cells; what a record's cell holds is `cells`.

A text never runs into its neighbour and a cell never changes its owner: width and place are fixed
here.

    file   ┌───────────────┬──────────────────┬────────┬────────┬───
           │ head, 512 B   │ 56 positions     │ cell 0 │ cell 1 │ …   capacity cells
           │ words 0 to 63 │ 64 B each        │        │        │
           └───────────────┴──────────────────┴────────┴────────┴───
    head   magic · version · cell bytes · capacity · boot id (2) · generation · count of cells ·
           counters
    position  feed (32 B) · epoch · offset · used · next seq + 1, 0 when it is not known
              one reader position per feed
    cell   sequence (odd while it is being written) · CRC-32 of the payload, and above it the
           payload's length · payload · whatever a longer payload left
    payload  feed 16 · symbol 32 · kind 1 · flags 1 · 2 unused · index 4 ·
           event_ns 8 · recv_ns 8 · epoch 8 · seq 8 · witness 8 · 144 bytes of the kind's own

There are two such files. `last.map` has cells of 256 bytes. `books.map` beside it has cells of
14,656 bytes for whole images of books, made when the first book comes; its head keeps no positions
and no counters. There, the payload of a book's cell in `last.map` is followed by the rows (see
`books` for polled books, `orderbooks` for those put together from changes).

Every number is in the machine's own byte order: the file never leaves it. Texts are UTF-8, filled
up with NUL. A text longer than its field is cut at a character and the cell says so (flag CUT), and
so is a book of more rows than an image has room for; a feed or symbol longer than its field gets no
cell at all, because two names cut to one would be mixed.
"""

import struct
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

MAGIC: Final = int.from_bytes(b"TTLASTV1", "little")
VERSION: Final = 3
WORD_BYTES: Final = 8
HEAD_BYTES: Final = 4096
CELL_BYTES: Final = 256
CHECK_BYTES: Final = 16  # sequence and CRC with length, before a cell's payload
PAYLOAD_BYTES: Final = CELL_BYTES - CHECK_BYTES
CAPACITY: Final = 16_384  # 4 MiB: trades and quotes of 8,000 symbols, about all that SIP lists

# Brokers show 5 to 64 rows; 512 is eight times that.
IMAGE_ROWS_MAX: Final = 512
IMAGE_BYTES: Final = 14_656  # 512 rows of 28 bytes, a book's cell and the counts, in whole 64 B
ORDER_LEVELS_MAX: Final = 896  # levels of 16 bytes need less room than rows
IMAGE_CAPACITY: Final = 256  # 3.6 MiB; past it, a book has its top alone

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
POSITION_SEQ: Final = 7

FEED_BYTES: Final = 16
SYMBOL_BYTES: Final = 32
WITNESS_BYTES: Final = 8

CUT: Final = 1  # a text of the record was longer than its field, or a book than its image
EMPTY: Final = 2  # a writer died in the middle of the cell: the key holds, the value is gone
NO_ID: Final = 4  # the trade has no id, or the bar no trade count
NO_VWAP: Final = 8
NO_PREVIOUS: Final = 16  # the book was of a first poll
NO_BID: Final = 32  # the book has no bids: its best bid means nothing
NO_ASK: Final = 64
VALID: Final = 128  # the order book is whole: nothing is missing since some moment

ORIGIN: Final = "=16s32sBB2xiqqqq8s"
"""What every payload begins with, as `struct` says it."""
KIND_AT: Final = FEED_BYTES + SYMBOL_BYTES
FLAGS_AT: Final = KIND_AT + 1
OWNER_BYTES: Final = FLAGS_AT  # feed, symbol and kind: whose a cell or an image is
SLOT_AT: Final = 184  # in the cell of a book of either sort: where its image is
EVENT_AT: Final = FLAGS_AT + 7  # after the flags, 2 unused bytes and the index
_ORDER: Final = "little" if struct.pack("=H", 1) == b"\1\0" else "big"


class CellKind(IntEnum):
    """What a cell holds."""

    TRADE = 1
    QUOTE = 2
    BAR = 3
    BOOK = 4  # its top; the whole image is in the other file
    DAY = 5  # a day's bar starts before every minute of it and would never win against them
    TICK = 6
    ORDER_BOOK = 7  # its best levels; the whole is in the other file
    STATUS = 8


class Shape(NamedTuple):
    """Which of the two files: the bytes of a cell, and its place among the failpoints."""

    cell_bytes: int
    failpoint: str

    def cell_word(self, cell: int) -> int:
        """Word at which cell number `cell` begins."""
        return (HEAD_BYTES + cell * self.cell_bytes) // WORD_BYTES

    def file_bytes(self, capacity: int) -> int:
        """Length of a file of `capacity` cells."""
        return HEAD_BYTES + capacity * self.cell_bytes


CELLS: Final = Shape(CELL_BYTES, "lastvalue.cell")
IMAGES: Final = Shape(IMAGE_BYTES, "lastvalue.image")


def images_path(path: Path) -> Path:
    """The file of the whole images that belongs to the last-value file at `path`."""
    return path.with_name("books.map")


def owner_of(feed: bytes, symbol: bytes, kind: int) -> bytes:
    """What a cell or an image begins with; `feed` and `symbol` come from `key_text`."""
    return feed.ljust(FEED_BYTES, b"\0") + symbol.ljust(SYMBOL_BYTES, b"\0") + bytes([kind])


def key_text(text: str, width_bytes: int) -> bytes | None:
    """`text` as a key of at most `width_bytes`; None when it does not fit or would not come back.

    An empty text and one with a NUL would not come back.
    """
    encoded = text.encode(errors="replace")
    if 0 < len(encoded) <= width_bytes and b"\0" not in encoded:
        return encoded
    return None


def text_of(raw: bytes) -> str:
    """The text in a field; what is left of a character that the field's end cut is dropped."""
    try:
        return raw.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return raw.rstrip(b"\0").decode(errors="ignore")


def encode_empty(key: bytes) -> bytes:
    """Payload of a cell whose value is gone; `key` is its first 49 bytes: feed, symbol, kind."""
    assert len(key) == OWNER_BYTES
    return (key + bytes([EMPTY])).ljust(PAYLOAD_BYTES, b"\0")


def decode_key(payload: bytes) -> tuple[str, str, int]:
    """Feed, symbol and kind of a cell."""
    return (
        text_of(payload[:FEED_BYTES]),
        text_of(payload[FEED_BYTES:KIND_AT]),
        payload[KIND_AT],
    )


def decode_event_ns(payload: bytes) -> int:
    """The record's `event_ns`, without decoding the rest."""
    return int.from_bytes(payload[EVENT_AT : EVENT_AT + 8], _ORDER, signed=True)
