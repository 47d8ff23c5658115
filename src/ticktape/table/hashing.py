"""128 bits per trade, 64 of its identity and 64 of its content; the same in every process.

Never Python's `hash`, which is salted per process. A false "same" needs both halves to collide at
once: about one in 10^20 for a billion trades against two million remembered ones.
"""

from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import pyarrow as pa

Words: TypeAlias = "np.ndarray[Any, np.dtype[np.uint64]]"

KEY_COLUMNS = ("symbol", "event_ns", "exchange", "id")
CONTENT_COLUMNS = ("price", "size", "conditions", "tape")
COLUMNS = KEY_COLUMNS + CONTENT_COLUMNS

# Steele, Lea and Flood's SplitMix64 (OOPSLA 2014): a bijection that spreads every bit over all
# others.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


class Prints(NamedTuple):
    """One row per trade with an identity: its two hashes."""

    keys: Words
    contents: Words


def prints_of(trades: pa.Table) -> Prints:
    """Hash the identity and the content of trades; none may have a null id."""
    count = trades.num_rows
    return Prints(
        _chain(trades, KEY_COLUMNS, np.zeros(count, np.uint64)),
        _chain(trades, CONTENT_COLUMNS, np.full(count, 1, np.uint64)),
    )


def _chain(trades: pa.Table, names: tuple[str, ...], start: Words) -> Words:
    mixed = start
    for name in names:
        mixed = _mix(mixed ^ _words(trades.column(name)))
    return mixed


def _mix(words: Words) -> Words:
    words = words + _GOLDEN
    words ^= words >> np.uint64(30)
    words *= _MIX_1
    words ^= words >> np.uint64(27)
    words *= _MIX_2
    words ^= words >> np.uint64(31)
    return words


def _words(column: "pa.ChunkedArray[Any]") -> Words:
    if pa.types.is_string(column.type):
        return _text_words(column)
    if pa.types.is_floating(column.type):
        # -0.0 + 0.0 is 0.0: equal prices get equal bits.
        return cast("Words", (column.to_numpy() + 0.0).view(np.uint64))
    return cast("Words", column.to_numpy().view(np.uint64))


def _text_words(column: "pa.ChunkedArray[Any]") -> Words:
    coded = column.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    texts = coded.dictionary.to_pylist()
    hashes = np.array([_text_hash(str(text)) for text in texts] or [0], np.uint64)
    return cast("Words", hashes[coded.indices.to_numpy(zero_copy_only=False)])


def _text_hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
