"""Columns -> MessagePack in bulk: the twin of `jsontext`, byte strings instead of texts.

Every value takes the smallest form that holds it, as the venue's own encoder does; prices are
always float64. A timestamp is the extension type -1.

Source: https://github.com/msgpack/msgpack/blob/master/spec.md (seen 2026-11).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.sim.jsontext import Column, cast, choose, flat, join, list_ends, split_codes
from ticktape.sim.layouts import SPANS, Form, Layout
from ticktape.sim.tape import Ints

Pieces: TypeAlias = "pa.Array[Any]"
"""A binary array, one piece of MessagePack for each row."""

_Matrix: TypeAlias = npt.NDArray[np.uint8]

FLOAT64, MAP16 = 0xCB, 0xDE
FIXMAP, FIXARRAY, ARRAY16, ARRAY32 = 0x80, 0x90, 0xDC, 0xDD
FIXMAP_MAX = 15
# Largest value of each form of a whole number, its first byte and how many bytes follow.
_UNSIGNED = (((1 << 8) - 1, 0xCC, 1), ((1 << 16) - 1, 0xCD, 2), ((1 << 32) - 1, 0xCE, 4))
_UINT64, _INT64 = 0xCF, 0xD3
_FIXINT_MAX = 0x7F
_INSTANT4, _INSTANT8, _INSTANT12 = b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"


def by_value(column: Column, piece: Callable[[Any], bytes]) -> Pieces:
    """Return `piece(value)` of each row, asked once for each different value, also for None."""
    coded: Any = flat(column).dictionary_encode("encode")
    pieces = [piece(value) for value in coded.dictionary.to_pylist()]
    return pa.array(pieces, pa.binary()).take(coded.indices)


def strings(column: Column) -> Pieces:
    """Return strings."""
    return by_value(column, msgspec.msgpack.encode)


def code_lists(column: Column) -> Pieces:
    """Return arrays of the codes that a column joins by commas, and nil of None."""
    return by_value(column, lambda codes: msgspec.msgpack.encode(split_codes(codes)))


def string_lists(column: Column) -> Pieces:
    """Return arrays of strings, of a list column; one by one, for kinds that are rare."""
    return pa.array([msgspec.msgpack.encode(names) for names in column.to_pylist()], pa.binary())


def numbers(column: Column) -> Pieces:
    """Return float64s."""
    values = flat(column).to_numpy(zero_copy_only=False).astype(">f8")
    matrix: _Matrix = np.empty((len(values), 9), np.uint8)
    matrix[:, 0] = FLOAT64
    matrix[:, 1:] = values.view(np.uint8).reshape(-1, 8)
    return _pieces(matrix, np.full(len(values), 9))


def integers(column: Column) -> Pieces:
    """Return whole numbers.

    Raises:
        pyarrow.ArrowInvalid: a value is not whole.
    """
    values: Ints = flat(cast(column, pa.int64())).to_numpy()
    matrix: _Matrix = np.empty((len(values), 9), np.uint8)
    # Whatever a shorter form does not take is overwritten by it below; the longest comes first.
    matrix[:, 0] = np.where(values < 0, _INT64, _UINT64)
    matrix[:, 1:] = _big_endian(values)
    sizes = np.full(len(values), 9)
    whole = values >= 0
    for largest, first, width in reversed(_UNSIGNED):
        fits = whole & (values <= largest)
        matrix[fits, 0] = first
        matrix[fits, 1 : 1 + width] = _big_endian(values[fits])[:, 8 - width :]
        sizes[fits] = 1 + width
    fits = whole & (values <= _FIXINT_MAX)
    matrix[fits, 0] = values[fits]
    sizes[fits] = 1
    return _pieces(matrix, sizes)


def instants(column: Column) -> Pieces:
    """Return timestamps of nanoseconds since 1970: 4 bytes without a fraction, else 8.

    Before 1970 they have 12 bytes; 64 bits of nanoseconds end before 2^34 s, where the 8 do.
    """
    ns: Ints = flat(column).to_numpy()
    seconds, fractions = np.divmod(ns, NS_PER_S)
    matrix: _Matrix = np.empty((len(ns), 15), np.uint8)
    sizes = np.full(len(ns), 10)
    matrix[:, :2] = np.frombuffer(_INSTANT8, np.uint8)
    # 30 bits of nanoseconds and 34 of seconds; as unsigned, since the first bit may be set.
    joined = (fractions.astype(np.uint64) << np.uint64(34)) | seconds.astype(np.uint64)
    matrix[:, 2:10] = joined.astype(">u8").view(np.uint8).reshape(-1, 8)
    short = (fractions == 0) & (seconds >= 0) & (seconds < 1 << 32)
    matrix[short, :2] = np.frombuffer(_INSTANT4, np.uint8)
    matrix[short, 2:6] = _big_endian(seconds[short])[:, 4:]
    sizes[short] = 6
    early = seconds < 0
    matrix[early, :3] = np.frombuffer(_INSTANT12, np.uint8)
    matrix[early, 3:7] = _big_endian(fractions[early])[:, 4:]
    matrix[early, 7:] = _big_endian(seconds[early])
    sizes[early] = 15
    return _pieces(matrix, sizes)


def levels(rows: pa.Table, side: str) -> Pieces:
    """Return the arrays of `{p, s}` of one side of books."""
    prices: Any = flat(rows[f"{side}_prices"])
    sizes: Any = flat(rows[f"{side}_sizes"])
    maps = objects(
        bytes((FIXMAP | 2,)),
        *(msgspec.msgpack.encode("p"), numbers(prices.flatten())),
        *(msgspec.msgpack.encode("s"), numbers(sizes.flatten())),
    )
    return arrays(maps, list_ends(prices))


def arrays(pieces: Pieces, ends: Ints) -> Pieces:
    """Return the pieces between each two ends as one array; one fewer than the ends."""
    counts = np.diff(ends)
    different, places = np.unique(counts, return_inverse=True)
    heads = pa.array([array_head(int(count)) for count in different], pa.binary())
    return objects(heads.take(pa.array(places, pa.int64())), _grouped(pieces, ends))


def array_head(count: int) -> bytes:
    """Return the head of an array."""
    if count < 16:
        return bytes((FIXARRAY | count,))
    if count < 1 << 16:
        return bytes((ARRAY16,)) + count.to_bytes(2, "big")
    return bytes((ARRAY32,)) + count.to_bytes(4, "big")


def with_field(message: bytes, key: str, value: object) -> bytes:
    """Return a map with one key more, as its last."""
    if message[0] == MAP16:
        count, rest = int.from_bytes(message[1:3], "big") + 1, message[3:]
    else:
        count, rest = (message[0] & FIXMAP_MAX) + 1, message[1:]
    short = count <= FIXMAP_MAX
    head = bytes((FIXMAP | count,)) if short else bytes((MAP16,)) + count.to_bytes(2, "big")
    return head + rest + msgspec.msgpack.encode(key) + msgspec.msgpack.encode(value)


def messages(layout: Layout, rows: pa.Table) -> Pieces:
    """Return the message of each row."""
    always = [field for field in layout if field.form is not Form.IF_TRUE]
    head: bytes | Pieces = bytes((FIXMAP | len(always),))
    parts: list[bytes | Pieces] = []
    for key, form, column in layout:
        name = msgspec.msgpack.encode(key)
        if form is Form.TYPE:
            parts.append(name + msgspec.msgpack.encode(column))
        elif form is Form.IF_TRUE:
            # At most one in a message, so that the map has one key more or not.
            flag, more = flat(rows[column]), bytes((FIXMAP | len(layout),))
            head = choose(flag, _constant(more), _constant(bytes((FIXMAP | len(always),))))
            parts.append(choose(flag, _constant(name + b"\xc3"), _constant(b"")))
        elif form is Form.LEVELS:
            parts += [name, levels(rows, column)]
        else:
            parts += [name, _WRITE[form](rows[column])]
    return objects(head, *parts)


_WRITE: dict[Form, Callable[[Column], Pieces]] = {
    Form.SPAN: partial(by_value, piece=lambda span: msgspec.msgpack.encode(SPANS[span])),
    Form.STRING: strings,
    Form.STRINGS: string_lists,
    Form.CODES: code_lists,
    Form.NUMBER: numbers,
    Form.INTEGER: integers,
    Form.INSTANT: instants,
}


def objects(*parts: "bytes | Pieces") -> Pieces:
    """Return the parts joined row by row; plain bytes stand in each row."""
    columns = [_constant(part) if isinstance(part, bytes) else part for part in parts]
    return flat(join(*columns, _constant(b"")))


def _constant(content: bytes) -> pa.BinaryScalar:
    return pa.scalar(content, pa.binary())


def _big_endian(values: Ints) -> _Matrix:
    return values.astype(">i8").view(np.uint8).reshape(-1, 8)


def _pieces(matrix: _Matrix, sizes: "npt.NDArray[Any]") -> Pieces:
    """Return the first `sizes[n]` bytes of each row n."""
    content = matrix[np.arange(matrix.shape[1]) < sizes[:, None]]
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int32)
    return _binary(offsets, _py_buffer(content))


def _grouped(pieces: Pieces, ends: Ints) -> Pieces:
    """Return the pieces between each two ends put together, without a copy."""
    _, offsets, content = pieces.buffers()
    if content is None or offsets is None:
        return pa.array([b""] * (len(ends) - 1), pa.binary())
    starts = np.frombuffer(memoryview(offsets), np.int32)[pieces.offset :][ends]
    return _binary(starts, content)


# Its stub knows no NumPy arrays.
_py_buffer: Any = pa.py_buffer


def _binary(offsets: npt.NDArray[np.int32], content: pa.Buffer) -> Pieces:
    """Return the pieces of `content` between each two offsets."""
    buffers = [None, _py_buffer(offsets), content]
    return pa.BinaryArray.from_buffers(pa.binary(), len(offsets) - 1, buffers)
