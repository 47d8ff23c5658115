"""Payloads -> WebSocket frames as a server sends them (RFC 6455 §5.2), one by one or in bulk.

In bulk, because picows' one call per frame costs more than the frame. Never for a client: no masks.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

CONTINUATION, TEXT, BINARY = 0, 1, 2


def header(length: int, opcode: int, *, last: bool = True) -> bytes:
    """Return the head of a frame whose payload has `length` bytes."""
    first = opcode | (0x80 if last else 0)
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame(payload: bytes, opcode: int) -> bytes:
    """Return a whole message in one frame."""
    return header(len(payload), opcode) + payload


def fragments(payload: bytes, opcode: int, pieces: int) -> bytes:
    """Return a whole message in up to `pieces` frames, all but the last unfinished."""
    size = -(-len(payload) // max(1, pieces))
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return b"".join(
        header(len(part), CONTINUATION if number else opcode, last=number == len(parts) - 1) + part
        for number, part in enumerate(parts)
    )


def frames(payloads: "pa.Array[Any]", opcode: int) -> tuple[memoryview, npt.NDArray[np.int64]]:
    """Return all frames in one buffer, and where each begins (one place more than payloads).

    An empty payload makes no frame: its two places are equal.
    """
    texts: Any = payloads.cast(pa.large_binary())
    sizes = pc.binary_length(texts).to_numpy()
    different, places = np.unique(sizes, return_inverse=True)
    heads = [header(int(size), opcode) if size else b"" for size in different]
    column: Any = pa.array(heads, pa.large_binary()).take(pa.array(places, pa.int64()))
    framed: Any = pc.binary_join_element_wise(column, texts, pa.scalar(b"", pa.large_binary()))
    _, offsets, content = framed.buffers()
    starts = np.frombuffer(offsets, np.int64)[framed.offset : framed.offset + len(framed) + 1]
    return memoryview(content) if content is not None else memoryview(b""), starts
