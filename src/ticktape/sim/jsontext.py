"""Columns -> JSON text in bulk; nothing here may print a number other than the venue would.

Whole columns, because a text per value in Python is five times slower than Arrow's.
"""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.sim.tape import Ints

Texts = pa.Array
"""A string array, one JSON text for each row."""


def by_value(column: pa.ChunkedArray, text: Callable[[str], str]) -> Texts:
    """Return `text(value)` of each row, asked once for each different value."""
    coded = column.combine_chunks().dictionary_encode()
    texts = [text(value) for value in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(coded.indices)


def strings(column: pa.ChunkedArray) -> Texts:
    """Return quoted, escaped strings."""
    return by_value(column, lambda value: msgspec.json.encode(value).decode())


def code_lists(column: pa.ChunkedArray) -> Texts:
    """Return `["@","F"]` of `@,F`, and `[]` of nothing."""
    return by_value(column, lambda value: msgspec.json.encode(split_codes(value)).decode())


def split_codes(codes: str) -> list[str]:
    """Return the codes that a table keeps joined by commas."""
    return codes.split(",") if codes else []


def numbers(column: pa.ChunkedArray) -> Texts:
    """Return the shortest text that parses to the same float; `136` and not `136.0`."""
    return pc.cast(column.combine_chunks(), pa.string())


def integers(column: pa.ChunkedArray) -> Texts:
    """Return whole numbers without a point or exponent.

    Raises:
        pyarrow.ArrowInvalid: a value is not whole.
    """
    return pc.cast(pc.cast(column.combine_chunks(), pa.int64()), pa.string())


def instants(event_ns: pa.ChunkedArray) -> Texts:
    """Return RFC 3339 in UTC with as many digits of the second as are not trailing zeros."""
    ns: Ints = event_ns.to_numpy()
    seconds, fractions = np.divmod(ns, NS_PER_S)
    different, places = np.unique(seconds, return_inverse=True)
    texts = [f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%dT%H:%M:%S}" for second in different]
    whole = pa.array(texts, pa.string()).take(pa.array(places))
    digits = pc.utf8_lpad(pc.cast(pa.array(fractions), pa.string()), 9, "0")
    trimmed = pc.utf8_rtrim(digits, "0")
    point = pc.if_else(pc.equal(trimmed, ""), "", ".")
    return pc.binary_join_element_wise(whole, point, trimmed, "Z", "")


def objects(*parts: "str | Texts") -> Texts:
    """Return the parts joined row by row; a plain string stands in each row."""
    return pc.binary_join_element_wise(*parts, "")
