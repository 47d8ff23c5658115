"""MessagePack values: times to exact int64 nanoseconds, and any value as a text to read.

msgspec's own reading of a time rounds to microseconds, so it must never be used: times are taken
as raw bytes and read here. A time is the extension type -1 in its three forms, or an RFC 3339 text.

    d6 ff | seconds u32                    d7 ff | nanoseconds u30, seconds u34
    c7 0c ff | nanoseconds u32, seconds i64

Source: the MessagePack specification, "Timestamp extension type".
"""

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec
import numpy as np
import pyarrow as pa

from ticktape.decoders.columns import ints
from ticktape.decoders.instants import INT64_MAX, Column, InstantParser, instants

_NS_PER_S = 1_000_000_000
_TIME_CODE = -1
_SECONDS_BITS = 34
_SECONDS = (1 << _SECONDS_BITS) - 1
_FOUR_HEAD, _EIGHT_HEAD = 0xD6FF, 0xD7FF
_FOUR = np.dtype([("head", ">u2"), ("word", ">u4")])
_EIGHT = np.dtype([("head", ">u2"), ("word", ">u8")])
_EIGHT_BYTES = _EIGHT.itemsize
_unpack_eight = struct.Struct(">HQ").unpack
_unpack_twelve = struct.Struct(">Iq").unpack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Far deeper than any message, far less than Python's own stack.
_DEPTH_MAX = 64
_MAP_HEADS = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
_LIST_HEADS = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_TEXT_HEADS = dict.fromkeys(range(0xA0, 0xC0), 1) | {0xD9: 2, 0xDA: 3, 0xDB: 5}
_EXT_HEADS = frozenset([*range(0xC7, 0xCA), *range(0xD4, 0xD9)])

_decode_time = msgspec.msgpack.Decoder(msgspec.msgpack.Ext | str).decode
_decode_ext = msgspec.msgpack.Decoder(msgspec.msgpack.Ext).decode
_decode_map = msgspec.msgpack.Decoder(dict[str | int, msgspec.Raw]).decode
_decode_list = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode


class PackedInstants:
    """Reads one time at a time; holds the memory of the texts among them."""

    __slots__ = ("_parse_text",)

    def __init__(self) -> None:
        self._parse_text = InstantParser().parse

    def parse(self, raw: msgspec.Raw) -> int:
        """Turn one MessagePack time into int64 nanoseconds UTC.

        Raises:
            ValueError: it is no time, or lies outside int64 nanoseconds.
        """
        packed = bytes(raw)
        if len(packed) == _EIGHT_BYTES:
            head, word = _unpack_eight(packed)
            if head == _EIGHT_HEAD:
                return _nanos(word & _SECONDS, word >> _SECONDS_BITS)
        value = _decode_time(packed)
        return self._parse_text(value) if isinstance(value, str) else _ext_nanos(value)


def moments(values: Sequence[str | msgspec.Raw]) -> Column:
    """Turn RFC 3339 texts or MessagePack times, also mixed, into int64 nanoseconds UTC.

    Raises:
        ValueError: one of them is no time, or lies outside int64 nanoseconds.
    """
    try:
        return instants(cast("Sequence[str]", values))
    except TypeError:  # MessagePack times are among them
        return _packed_instants(values)


def _packed_instants(values: Sequence[str | msgspec.Raw]) -> Column:
    parse, parse_text = PackedInstants().parse, InstantParser().parse
    if set(map(type, values)) != {msgspec.Raw}:  # the feed changed its encoding in these blocks
        return ints([parse_text(v) if isinstance(v, str) else parse(v) for v in values])
    return cast("Column", pa.array(bulk_nanoseconds(cast("Sequence[msgspec.Raw]", values))))


def bulk_nanoseconds(raws: Sequence[msgspec.Raw]) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Turn MessagePack times into int64 nanoseconds UTC, in the same order.

    Raises:
        ValueError: one of them is no time, or lies outside int64 nanoseconds.
    """
    parse = PackedInstants().parse
    packed = [bytes(raw) for raw in raws]
    lengths = np.fromiter(map(len, packed), np.int64, len(packed))
    found = np.empty(len(packed), np.int64)
    others = np.ones(len(packed), np.bool_)
    for form, head in ((_EIGHT, _EIGHT_HEAD), (_FOUR, _FOUR_HEAD)):
        rows = np.flatnonzero(lengths == form.itemsize)
        times = np.frombuffer(b"".join([packed[row] for row in rows.tolist()]), form)
        if (times["head"] == head).all():
            found[rows] = _bulk_nanos(times["word"])
            others[rows] = False
    for row in np.flatnonzero(others).tolist():
        found[row] = parse(raws[row])
    return found


def _bulk_nanos(words: "np.ndarray[Any, Any]") -> "np.ndarray[Any, np.dtype[np.uint64]]":
    # 34 bits of seconds in nanoseconds still fit into 64 bits without a sign.
    wide = words.astype(np.uint64)
    nanos = wide >> _SECONDS_BITS
    found = (wide & _SECONDS) * _NS_PER_S + nanos
    if (nanos >= _NS_PER_S).any() or (found > INT64_MAX).any():
        raise ValueError("a time is outside int64 nanoseconds")
    return found


def _ext_nanos(ext: msgspec.msgpack.Ext) -> int:
    stamp = bytes(ext.data)
    if ext.code == _TIME_CODE:
        if len(stamp) == 4:
            return _nanos(int.from_bytes(stamp, "big"), 0)
        if len(stamp) == 8:
            word = int.from_bytes(stamp, "big")
            return _nanos(word & _SECONDS, word >> _SECONDS_BITS)
        if len(stamp) == 12:
            nanos, seconds = _unpack_twelve(stamp)
            return _nanos(seconds, nanos)
    raise ValueError(f"extension type {ext.code} of {len(stamp)} bytes is no time")


def _nanos(seconds: int, nanos: int) -> int:
    found = seconds * _NS_PER_S + nanos
    if nanos >= _NS_PER_S or not -INT64_MAX - 1 <= found <= INT64_MAX:
        raise ValueError(f"{seconds} s and {nanos} ns is no time in int64 nanoseconds")
    return found


def is_map(payload: bytes) -> bool:
    """Whether the bytes begin as a MessagePack map does."""
    return bool(payload) and payload[0] in _MAP_HEADS


def is_list(payload: bytes) -> bool:
    """Whether the bytes begin as a MessagePack array does."""
    return bool(payload) and payload[0] in _LIST_HEADS


def readable(packed: bytes) -> bytes:
    """Write one MessagePack value as JSON, or give its bytes as they are when that cannot be.

    Times become RFC 3339 texts with all nine digits; other extensions {"ext": code, "hex": data}.
    """
    try:
        return msgspec.json.encode(_plain(packed, 0))
    except (ValueError, RecursionError):
        return packed


def _plain(packed: bytes, depth: int) -> object:
    """Make of a MessagePack value what JSON can hold, without rounding its times."""
    head = packed[0]
    if head in _TEXT_HEADS:
        return packed[_TEXT_HEADS[head] :].decode("utf-8", "replace")
    if head in _EXT_HEADS:
        return _plain_ext(_decode_ext(packed))
    if depth == _DEPTH_MAX:
        raise ValueError("nested too deep to be read")
    if head in _MAP_HEADS:
        return {key: _plain(bytes(raw), depth + 1) for key, raw in _decode_map(packed).items()}
    if head in _LIST_HEADS:
        return [_plain(bytes(raw), depth + 1) for raw in _decode_list(packed)]
    value = msgspec.msgpack.decode(packed)
    # JSON has no word for these two, and null would be another value.
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain_ext(ext: msgspec.msgpack.Ext) -> object:
    try:
        seconds, nanos = divmod(_ext_nanos(ext), _NS_PER_S)
    except ValueError:
        return {"ext": ext.code, "hex": bytes(ext.data).hex()}
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
