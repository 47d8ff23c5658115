"""One digest for many rows: equal digests mean equal rows, bit for bit, however they were cut.

Rows come sorted by their place (epoch, seq, index). Each column is hashed for itself:

    valid     a byte for each row: 1 it has a value, 0 it is null
    lengths   of each text its bytes, of each list its elements, as int64
    values    numbers in their own width, a bool in one byte, texts in UTF-8; nulls take none
    digest    BLAKE2b of one line for the kind and the count of rows, then one for each column in
              the order of `schemas.KINDS`: its name, its type, its three digests

All numbers are little-endian, all digests BLAKE2b of 32 bytes in hexadecimal. The elements of a
list are a column of their own behind it, `NAME.item`. The day is no column: it says which rows.
"""

from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.schemas import KINDS

DIGEST_BYTES = 32

_Array: TypeAlias = "pa.Array[Any]"


class RowsDigest:
    """Takes rows of one kind in the order of their places, in whatever portions."""

    def __init__(self, kind: str) -> None:
        self.rows = 0
        self._kind = kind
        self._schema = KINDS[kind]
        self._columns = [_Column(field.name, field.type) for field in self._schema]

    def add(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Take the next rows; columns are found by their names, others are passed over."""
        self.rows += rows.num_rows
        for field, column in zip(self._schema, self._columns, strict=True):
            found = rows.column(field.name)
            for chunk in found.chunks if isinstance(found, pa.ChunkedArray) else [found]:
                column.add(chunk.cast(field.type))

    def hex(self) -> str:
        """The digest of all rows so far."""
        lines = [f"{self._kind} {self.rows}\n"]
        for column in self._columns:
            lines += column.lines()
        return blake2b("".join(lines).encode(), digest_size=DIGEST_BYTES).hexdigest()


class _Column:
    def __init__(self, name: str, kind: pa.DataType) -> None:
        self._name = name
        self._kind = kind
        self._valid, self._lengths, self._values = (
            blake2b(digest_size=DIGEST_BYTES) for _ in range(3)
        )
        self._items = _Column(f"{name}.item", kind.value_type) if pa.types.is_list(kind) else None

    def add(self, array: _Array) -> None:
        self._valid.update(_numbers(array.is_valid()))
        values: Any = array.drop_null()
        if self._items is not None:
            self._lengths.update(_numbers(pc.list_value_length(values).cast(pa.int64())))
            self._items.add(values.flatten())
        elif pa.types.is_string(self._kind):
            self._lengths.update(_numbers(pc.binary_length(values).cast(pa.int64())))
            self._values.update(_texts(values))
        else:
            self._values.update(_numbers(values))

    def lines(self) -> list[str]:
        parts = (self._valid, self._lengths, self._values)
        digests = " ".join(part.hexdigest() for part in parts)
        own = [f"{self._name} {self._kind} {digests}\n"]
        return own if self._items is None else own + self._items.lines()


def _numbers(array: _Array) -> bytes:
    """The values of an array without nulls, little-endian; a bool as one byte."""
    values = array.to_numpy(zero_copy_only=False)
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()


def _texts(array: _Array) -> bytes:
    """The UTF-8 of all texts, one behind the other."""
    if not len(array):
        return b""
    buffers: Any = array.buffers()
    _, offsets, data = buffers
    at = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1]
    return b"" if data is None else bytes(memoryview(data)[at[0] : at[-1]])
