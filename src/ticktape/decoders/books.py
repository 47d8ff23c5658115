"""One image of a book as a record, and many as columns; both say the same, field for field.

All rows of many images are split at once: what costs in Python is the image, not its rows.
"""

from functools import cache
from itertools import pairwise
from operator import gt
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape import mt5
from ticktape.mt5 import BookFlag, Mark
from ticktape.records import Book
from ticktape.schemas import KINDS

Placed = tuple[mt5.Image, int, int, int]
"""An image with its block's recv_ns, its epoch and seq."""

_ROW = np.dtype([("type", "<u4"), ("price", "<f8"), ("volume", "<u8"), ("volume_dbl", "<f8")])
_LEGS = int(Mark.LEG_A | Mark.LEG_B)
_TWO_63 = float(1 << 63)


def witness_of(marks: int) -> str:
    """Which leg recorded an entry; "stream" when there is one only."""
    if not marks & _LEGS:
        return "stream"
    return "leg A" if marks & Mark.LEG_A else "leg B"


def _is_ask(kinds: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    # Whatever is not known as a bid stands with the asks: its type is kept in `types`.
    return ~np.isin(kinds, mt5.BID_TYPES)


class _Sides(NamedTuple):
    """An image's rows as a record has them."""

    flags: int
    ask_prices: tuple[float, ...]
    ask_volumes: tuple[float, ...]
    bid_prices: tuple[float, ...]
    bid_volumes: tuple[float, ...]
    types: tuple[int, ...] | None
    whole_volumes: tuple[int, ...] | None


def book_of(image: mt5.Image, feed: str, recv_ns: int, epoch: int, seq: int) -> Book:
    """The record of one image whose times are wall times."""
    sides = _plain_sides(image) or _sides(image)
    return Book(
        feed=feed,
        symbol=image.symbol,
        event_ns=image.after_ns,
        recv_ns=recv_ns,
        epoch=epoch,
        seq=seq,
        index=0,
        witness=witness_of(image.marks),
        before_ns=image.before_ns,
        after_ns=image.after_ns,
        previous_ns=image.previous_ns,
        poll=image.poll,
        unchanged=image.unchanged,
        flags=sides.flags,
        ask_prices=sides.ask_prices,
        ask_volumes=sides.ask_volumes,
        bid_prices=sides.bid_prices,
        bid_volumes=sides.bid_volumes,
        types=sides.types,
        whole_volumes=sides.whole_volumes,
    )


def _plain_sides(image: mt5.Image) -> _Sides | None:
    """Split an image that is as it should be, in a quarter of the time; None for any other."""
    flat = mt5.unpack_flat(image.rows)
    types, prices, whole, volumes = flat[0::4], flat[1::4], flat[2::4], flat[3::4]
    asks, bids = types.count(mt5.BOOK_TYPE_SELL), types.count(mt5.BOOK_TYPE_BUY)
    if not asks or not bids or types != _plain_types(asks, bids):
        return None
    if not all(map(gt, prices, prices[1:])):
        return None
    try:
        is_whole = tuple(map(int, volumes)) == whole
    except (ValueError, OverflowError):  # a volume that is no number
        return None
    # From the last ask, which is the best, back to the first.
    back = slice(asks - 1, None, -1)
    return _Sides(
        _mark_flags(image.marks),
        prices[back],
        volumes[back],
        prices[asks:],
        volumes[asks:],
        None,
        None if is_whole else tuple(map(_int64, whole)),
    )


@cache
def _plain_types(asks: int, bids: int) -> tuple[int, ...]:
    return (mt5.BOOK_TYPE_SELL,) * asks + (mt5.BOOK_TYPE_BUY,) * bids


def _sides(image: mt5.Image) -> _Sides:
    rows = mt5.unpack_rows(image.rows)
    asks = [row for row in rows if row[0] not in mt5.BID_TYPES]
    bids = [row for row in rows if row[0] in mt5.BID_TYPES]
    asks.reverse()
    kinds = [row[0] for row in rows]
    is_plain = kinds == [mt5.BOOK_TYPE_SELL] * len(asks) + [mt5.BOOK_TYPE_BUY] * len(bids)
    is_whole = all(_is_whole(row[2], row[3]) for row in rows)
    return _Sides(
        flags_of(rows, image.marks),
        tuple(row[1] for row in asks),
        tuple(row[3] for row in asks),
        tuple(row[1] for row in bids),
        tuple(row[3] for row in bids),
        None if is_plain else tuple(_int8(kind) for kind in kinds),
        None if is_whole else tuple(_int64(row[2]) for row in rows),
    )


def _is_whole(volume: int, volume_dbl: float) -> bool:
    """Whether the whole volume says nothing that the exact one does not."""
    return 0 <= volume_dbl < _TWO_63 and volume == int(volume_dbl)


def _int8(number: int) -> int:
    return (number & 0xFF) - (0x100 if number & 0x80 else 0)


def _int64(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def flags_of(rows: list[tuple[int, float, int, float]], marks: int) -> int:
    """The BookFlags of an image."""
    flags = BookFlag(_mark_flags(marks))
    if not rows:
        return int(flags | BookFlag.EMPTY)
    asks = [row[1] for row in rows if row[0] == mt5.BOOK_TYPE_SELL]
    bids = [row[1] for row in rows if row[0] == mt5.BOOK_TYPE_BUY]
    if len(asks) + len(bids) < len(rows):
        flags |= BookFlag.MARKET_ROWS
    is_bid = [row[0] in mt5.BID_TYPES for row in rows]
    if is_bid != sorted(is_bid):
        flags |= BookFlag.INTERLEAVED
    return int(flags | _spread_flags(asks, bids) | _side_flags(asks) | _side_flags(bids))


@cache
def _mark_flags(marks: int) -> int:
    flags = BookFlag.KEYFRAME if marks & Mark.KEYFRAME else BookFlag(0)
    return int(flags | BookFlag.AFTER_GAP if marks & Mark.AFTER_GAP else flags)


def _spread_flags(asks: list[float], bids: list[float]) -> BookFlag:
    if not asks or not bids:
        return BookFlag.ONE_SIDED
    if max(bids) > min(asks):
        return BookFlag.CROSSED
    return BookFlag.LOCKED if max(bids) == min(asks) else BookFlag(0)


def _side_flags(prices: list[float]) -> BookFlag:
    flags = BookFlag(0)
    if any(before < after for before, after in pairwise(prices)):
        flags |= BookFlag.UNSORTED
    if len(set(prices)) < len(prices):
        flags |= BookFlag.DUPLICATE_PRICE
    return flags


def book_table(feed: str, placed: list[Placed]) -> pa.Table:
    """The table of many images, a row each, in their order."""
    images = [image for image, *_ in placed]
    rows = np.frombuffer(b"".join(image.rows for image in images), _ROW)
    counts = np.array([len(image.rows) // mt5.ROW_BYTES for image in images], np.int64)
    owner = np.repeat(np.arange(len(images)), counts)
    is_ask = _is_ask(rows["type"])
    asks = _reversed_rows(np.flatnonzero(is_ask), owner)
    bids = np.flatnonzero(~is_ask)
    ask_counts = np.bincount(owner[is_ask], minlength=len(images))
    previous = [image.previous_ns for image in images]
    columns = [
        pa.repeat(feed, len(images)),
        pa.array([image.symbol for image in images], pa.string()),
        _ints([image.after_ns for image in images]),
        _ints([recv_ns for _, recv_ns, _, _ in placed]),
        pa.array([witness_of(image.marks) for image in images], pa.string()),
        _ints([epoch for _, _, epoch, _ in placed]),
        _ints([seq for _, _, _, seq in placed]),
        pa.array(np.zeros(len(images), np.int32)),
        _ints([image.before_ns for image in images]),
        _ints([image.after_ns for image in images]),
        pa.array(previous, pa.int64()),
        _ints([image.poll for image in images]),
        _ints([image.unchanged for image in images]),
        pa.array(_flags(images, rows, counts, owner), pa.int32()),
        _lists(rows["price"][asks], ask_counts),
        _lists(rows["volume_dbl"][asks], ask_counts),
        _lists(rows["price"][bids], counts - ask_counts),
        _lists(rows["volume_dbl"][bids], counts - ask_counts),
        _types(rows, counts, owner, ask_counts),
        _whole_volumes(rows, counts, owner),
    ]
    return pa.Table.from_arrays(columns, schema=KINDS["books"])


def _ints(values: list[int]) -> "pa.Array[Any]":
    return pa.array(np.array(values, np.int64))


def _reversed_rows(at: npt.NDArray[Any], owner: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows of each image from behind; images stay in their order."""
    order = np.lexsort((-at, owner[at]))
    return at[order]


def _lists(values: npt.NDArray[Any], counts: npt.NDArray[Any]) -> "pa.Array[Any]":
    flat: pa.Array[Any] = pa.array(np.ascontiguousarray(values))
    made: pa.Array[Any] = pa.ListArray.from_arrays(_offsets(counts), flat)
    return made


def _offsets(counts: npt.NDArray[Any]) -> "pa.Int32Array":
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
    return cast("pa.Int32Array", pa.array(offsets))


def _masked_lists(
    values: npt.NDArray[Any], counts: npt.NDArray[Any], is_there: npt.NDArray[np.bool_]
) -> "pa.Array[Any]":
    """Lists of the images that have one; the others are null."""
    kept: pa.Array[Any] = pa.array(values[np.repeat(is_there, counts)])
    offsets = _offsets(np.where(is_there, counts, 0))
    made: pa.Array[Any] = pa.ListArray.from_arrays(offsets, kept, mask=pa.array(~is_there))
    return made


def _any_of(hits: npt.NDArray[np.bool_], owner: npt.NDArray[Any], count: int) -> npt.NDArray[Any]:
    """Of each image, whether one of its rows is hit."""
    return np.bincount(owner[hits], minlength=count) > 0


def _types(
    rows: npt.NDArray[np.void],
    counts: npt.NDArray[Any],
    owner: npt.NDArray[Any],
    ask_counts: npt.NDArray[Any],
) -> "pa.Array[Any]":
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    plain = np.where(place < ask_counts[owner], mt5.BOOK_TYPE_SELL, mt5.BOOK_TYPE_BUY)
    is_there = _any_of(rows["type"] != plain, owner, len(counts))
    return _masked_lists(rows["type"].astype(np.uint8).view(np.int8), counts, is_there)


def _whole_volumes(
    rows: npt.NDArray[np.void], counts: npt.NDArray[Any], owner: npt.NDArray[Any]
) -> "pa.Array[Any]":
    exact = rows["volume_dbl"]
    in_range = (exact >= 0) & (exact < _TWO_63)
    whole = np.where(in_range, exact, 0.0).astype(np.uint64)
    is_there = _any_of(~(in_range & (rows["volume"] == whole)), owner, len(counts))
    return _masked_lists(np.ascontiguousarray(rows["volume"]).view(np.int64), counts, is_there)


def _flags(
    images: list[mt5.Image],
    rows: npt.NDArray[np.void],
    counts: npt.NDArray[Any],
    owner: npt.NDArray[Any],
) -> npt.NDArray[np.int32]:
    """The BookFlags of each image; the few that are remarkable are looked at one by one."""
    marks = np.array([image.marks for image in images], np.int64)
    flags = np.where(marks & Mark.KEYFRAME, int(BookFlag.KEYFRAME), 0)
    flags |= np.where(marks & Mark.AFTER_GAP, int(BookFlag.AFTER_GAP), 0)
    kinds, prices = rows["type"], rows["price"]
    # A plain book: sells, then buys, and the price falls from row to row through both.
    same = owner[1:] == owner[:-1]
    rough = np.zeros(len(rows), np.bool_)
    rough[1:] = same & ~((prices[1:] < prices[:-1]) & (kinds[1:] >= kinds[:-1]))
    rough |= ~np.isin(kinds, (mt5.BOOK_TYPE_SELL, mt5.BOOK_TYPE_BUY))
    both = np.bincount(owner[kinds == mt5.BOOK_TYPE_SELL], minlength=len(images)) > 0
    both &= np.bincount(owner[kinds == mt5.BOOK_TYPE_BUY], minlength=len(images)) > 0
    for number in np.flatnonzero(_any_of(rough, owner, len(images)) | ~both).tolist():
        image = images[number]
        flags[number] = flags_of(mt5.unpack_rows(image.rows), image.marks)
    return flags.astype(np.int32)
