"""The venue's condition codes as one text: its list joined by commas, in its order.

A feed uses a few dozen different lists, so each is parsed once and remembered by its bytes. The
memory is bounded: a venue that sends ever new lists must not make it grow.
"""

from typing import cast

import msgspec
import numpy as np
import pyarrow as pa

from ticktape.decoders.columns import texts
from ticktape.decoders.instants import Column

_REMEMBERED_MAX = 4_096
_PACKED_FROM = 0x80  # JSON begins with ASCII, a MessagePack list, text or null does not

_NEWLINE = 0x0A

_Codes = list[str] | str | None
_encode_lines = msgspec.json.Encoder().encode_lines

bytes_of = msgspec.json.Encoder().encode
"""The bytes of what a reader left raw, of either encoding, in half the time that `bytes` takes."""


class Conditions(dict[bytes, str]):
    """`conditions[raw]` is the joined text of `raw`: a list of texts, one text, or null.

    `raw` is JSON or MessagePack; with `numbers` it is JSON, and a list of texts or whole numbers.

    Raises:
        ValueError: it is none of these.
    """

    def __init__(self, *, numbers: bool = False) -> None:
        super().__init__()
        self._decoder: msgspec.json.Decoder[list[str | int] | list[str] | str | None] = (
            msgspec.json.Decoder(list[str | int] | None if numbers else _Codes)
        )
        self._packed: msgspec.msgpack.Decoder[list[str] | str | None] = msgspec.msgpack.Decoder(
            _Codes
        )

    def __missing__(self, raw: bytes) -> str:
        codes = (self._packed if raw[0] >= _PACKED_FROM else self._decoder).decode(raw) or ()
        joined = codes if isinstance(codes, str) else ",".join(map(str, codes))
        if len(self) >= _REMEMBERED_MAX:
            self.clear()
        self[raw] = joined
        return joined

    def check(self, raws: list[msgspec.Raw]) -> None:
        """Raise if one of them is no list of conditions.

        Raises:
            ValueError: one of them is none.
        """
        pieces = _encode_lines(raws).split(b"\n")
        if len(pieces) != len(raws) + 1:  # one has a line's end in itself
            pieces = [*map(bytes, raws), b""]
        lists = set(pieces)
        lists.discard(b"")  # behind the last line's end
        for raw in lists:
            self[raw]

    def check_column(self, raws: Column) -> None:
        """Raise if one of a binary column is no list of conditions.

        Raises:
            ValueError: one of them is none.
        """
        for each in cast("list[bytes]", raws.dictionary_encode().dictionary.to_pylist()):
            self[each]

    def column(self, raws: list[msgspec.Raw]) -> Column:
        """Make the string column of the joined texts, in the same order.

        Raises:
            ValueError: one of them is no list of conditions.
        """
        # A line for each, written and told apart without an object of Python's for any of them.
        lines = _encode_lines(raws)
        ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == _NEWLINE) + 1
        if len(ends) != len(raws):  # one has a line's end in itself
            return texts([self[bytes(raw)] for raw in raws])
        offsets = np.zeros(len(raws) + 1, np.int32)
        offsets[1:] = ends
        buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(lines)]
        return self.column_of(pa.Array.from_buffers(pa.binary(), len(raws), buffers))

    def column_of(self, raws: Column) -> Column:
        """Make the same of a binary column; a line's end behind each says nothing.

        Raises:
            ValueError: one of them is no list of conditions.
        """
        coded = raws.dictionary_encode()
        lists = cast("list[bytes]", coded.dictionary.to_pylist())
        return texts([self[each.rstrip(b"\n")] for each in lists]).take(coded.indices)
