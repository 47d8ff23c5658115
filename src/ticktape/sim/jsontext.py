"""Columns -> JSON text in bulk; nothing here may print a number other than the venue would.

Whole columns, because a text per value in Python is five times slower than Arrow's.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.sim.layouts import SPANS, Form, Layout
from ticktape.sim.tape import Ints

Texts: TypeAlias = "pa.Array[Any]"
"""A string array, one JSON text for each row."""

Column: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"

# Their stubs know only equal types of arguments; a plain string stands for each row here.
join: Any = pc.binary_join_element_wise
cast: Any = pc.cast
choose: Any = pc.if_else


def flat(column: Column) -> "pa.Array[Any]":
    """Return a column as one array."""
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def row_numbers(rows: Ints) -> "pa.Array[Any]":
    """Return row numbers as Arrow takes them."""
    return pa.array(rows, pa.int64())


def by_value(column: Column, text: Callable[[Any], str]) -> Texts:
    """Return `text(value)` of each row, asked once for each different value, also for None."""
    coded: Any = flat(column).dictionary_encode("encode")
    texts = [text(value) for value in coded.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(coded.indices)


def strings(column: Column) -> Texts:
    """Return quoted, escaped strings."""
    return by_value(column, lambda value: msgspec.json.encode(value).decode())


def code_lists(column: Column) -> Texts:
    """Return `["@","F"]` of `@,F`, `[]` of an empty text, and `null` of None."""
    return by_value(column, lambda value: msgspec.json.encode(split_codes(value)).decode())


def string_lists(column: Column) -> Texts:
    """Return arrays of strings, of a list column; one by one, for kinds that are rare."""
    return pa.array([msgspec.json.encode(names).decode() for names in column.to_pylist()])


def grouped(texts: Texts, ends: Ints) -> Texts:
    """Return the texts between each two ends, with commas between; one fewer than the ends."""
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), texts)
    joined: Any = pc.binary_join(lists, pa.scalar(","))
    return flat(joined)


def levels(rows: pa.Table, side: str) -> Texts:
    """Return `[{"p":71859.53,"s":0.27994}]` of one side of books."""
    prices: Any = flat(rows[f"{side}_prices"])
    sizes: Any = flat(rows[f"{side}_sizes"])
    texts = objects('{"p":', numbers(prices.flatten()), ',"s":', numbers(sizes.flatten()), "}")
    return objects("[", grouped(texts, list_ends(prices)), "]")


def list_ends(column: Column) -> Ints:
    """Return where in its flat values each row of a list column ends, with a 0 before."""
    lists: Any = flat(column)
    ends: Ints = np.concatenate(([0], np.cumsum(lists.value_lengths().to_numpy())))
    return ends.astype(np.int64)


def split_codes(codes: str | None) -> list[str] | None:
    """Return the codes that a table keeps joined by commas; None of None."""
    if codes is None:
        return None
    return codes.split(",") if codes else []


def numbers(column: Column) -> Texts:
    """Return the shortest text that parses to the same float; `136` and not `136.0`."""
    return flat(cast(column, pa.string()))


def integers(column: Column) -> Texts:
    """Return whole numbers without a point or exponent.

    Raises:
        pyarrow.ArrowInvalid: a value is not whole.
    """
    return flat(cast(cast(column, pa.int64()), pa.string()))


def instants(event_ns: Column) -> Texts:
    """Return RFC 3339 in UTC with as many digits of the second as are not trailing zeros."""
    ns: Ints = event_ns.to_numpy()
    seconds, fractions = np.divmod(ns, NS_PER_S)
    different, places = np.unique(seconds, return_inverse=True)
    texts = [
        f"{datetime.fromtimestamp(int(second), UTC):%Y-%m-%dT%H:%M:%S}" for second in different
    ]
    whole = pa.array(texts, pa.string()).take(row_numbers(places))
    digits = pc.utf8_lpad(cast(row_numbers(fractions), pa.string()), 9, "0")
    trimmed = pc.utf8_rtrim(digits, "0")
    point = choose(pc.equal(trimmed, pa.scalar("")), "", ".")
    return flat(join(whole, point, trimmed, "Z", ""))


def messages(layout: Layout, rows: pa.Table) -> Texts:
    """Return the message of each row."""
    parts: list[str | Texts] = []
    for number, (key, form, column) in enumerate(layout):
        name = f'{"," if number else "{"}"{key}":'
        if form is Form.TYPE:
            parts.append(f'{name}"{column}"')
        elif form is Form.IF_TRUE:
            parts.append(choose(flat(rows[column]), f"{name}true", ""))
        elif form is Form.LEVELS:
            parts += [name, levels(rows, column)]
        else:
            parts += [name, _WRITE[form](rows[column])]
    return objects(*parts, "}")


_WRITE: dict[Form, Callable[[Column], Texts]] = {
    Form.SPAN: partial(by_value, text=lambda span: f'"{SPANS[span]}"'),
    Form.STRING: strings,
    Form.STRINGS: string_lists,
    Form.CODES: code_lists,
    Form.NUMBER: numbers,
    Form.INTEGER: integers,
    Form.INSTANT: lambda column: objects('"', instants(column), '"'),
}


def objects(*parts: "str | Texts") -> Texts:
    """Return the parts joined row by row; a plain string stands in each row."""
    return flat(join(*parts, ""))
