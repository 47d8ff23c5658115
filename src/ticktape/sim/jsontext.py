"""Columns -> JSON text in bulk; nothing here may print a number other than the venue would.

Whole columns, because a text per value in Python is five times slower than Arrow's.
"""

import itertools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.sim.layouts import SPANS, Form, Layout
from ticktape.sim.tape import IDS, Ints

Texts: TypeAlias = "pa.Array[Any]"
"""A string array, one JSON text for each row."""

Column: TypeAlias = "pa.Array[Any] | pa.ChunkedArray[Any]"

_TEXTS_MAX = 1000  # of a column made of two; more would cost more than they save

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


class Coded(NamedTuple):
    """A column of few different texts: those, and which of them each row has."""

    texts: list[str]
    places: Ints

    def array(self) -> Texts:
        """Return the text of each row."""
        return pa.array(self.texts, pa.string()).take(row_numbers(self.places))

    def within(self, before: str, after: str) -> "Coded":
        """Return the texts between two others."""
        return Coded([f"{before}{text}{after}" for text in self.texts], self.places)

    def and_then(self, other: "Coded") -> "Coded":
        """Return each row's text with the other's behind it."""
        texts = [text + more for text in self.texts for more in other.texts]
        return Coded(texts, self.places * len(other.texts) + other.places)


Part: TypeAlias = "str | Texts | Coded"


def by_value(column: Column, text: Callable[[Any], str]) -> Coded:
    """Return `text(value)` of each row, asked once for each different value, also for None."""
    coded: Any = flat(column).dictionary_encode("encode")
    texts = [text(value) for value in coded.dictionary.to_pylist()]
    return Coded(texts, coded.indices.to_numpy())


def strings(column: Column) -> Coded:
    """Return quoted, escaped strings."""
    return by_value(column, lambda value: msgspec.json.encode(value).decode())


def code_lists(column: Column) -> Coded:
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


def instants(event_ns: Column) -> "list[Part]":
    """Return RFC 3339 in UTC with as many digits of the second as are not trailing zeros."""
    return [seconds(event_ns), *fractions(event_ns)]


def seconds(event_ns: Column) -> Coded:
    """Return the text of whole seconds, with a point where a fraction follows."""
    second, ns = np.divmod(event_ns.to_numpy(), NS_PER_S)
    different, places = np.unique(2 * second + (ns > 0), return_inverse=True)
    texts = [
        f"{datetime.fromtimestamp(int(each) // 2, UTC):%Y-%m-%dT%H:%M:%S}{'.' * (int(each) % 2)}"
        for each in different
    ]
    return Coded(texts, places)


def fractions(event_ns: Column) -> "list[Part]":
    """Return what follows the point, and the zone."""
    # With a 1 before them, so that none of the nine digits is lost.
    ns: Ints = event_ns.to_numpy() % NS_PER_S + NS_PER_S
    digits = pc.utf8_slice_codeunits(cast(row_numbers(ns), pa.string()), 1)
    return [flat(pc.ascii_rtrim(digits, "0")), "Z"]


Still: TypeAlias = list["Part | None"]
"""The parts of messages that are the same in every pass of a tape; None where one is not."""


def messages(layout: Layout, rows: pa.Table, still: Still | None = None) -> Texts:
    """Return the message of each row.

    `still` is of the same rows in another pass, or empty: then it is filled for the passes to come.
    """
    parts = still or _still(layout, rows)
    if still is not None and not still:
        parts = _joined(parts)
        still += parts
    moving = iter(_moving(layout, rows))
    return objects(*(next(moving) if part is None else part for part in parts))


def _still(layout: Layout, rows: pa.Table) -> Still:
    parts: Still = []
    for number, (key, form, column) in enumerate(layout):
        name = f'{"," if number else "{"}"{key}":'
        if form is Form.TYPE:
            parts.append(f'{name}"{column}"')
        elif form is Form.IF_TRUE:
            parts.append(choose(flat(rows[column]), f"{name}true", ""))
        elif form is Form.INSTANT:
            parts += [f'{name}"', None, *fractions(rows[column]), '"']
        elif column in IDS:
            parts += [name, None]
        elif form is Form.LEVELS:
            parts += [name, levels(rows, column)]
        else:
            parts += [name, _WRITE[form](rows[column])]
    return [*parts, "}"]


def _moving(layout: Layout, rows: pa.Table) -> list[Part]:
    return [
        seconds(rows[column]) if form is Form.INSTANT else _WRITE[form](rows[column])
        for _, form, column in layout
        if form is Form.INSTANT or column in IDS
    ]


def _joined(parts: Still) -> Still:
    """Return the same with all that stand side by side as one."""
    joined: Still = []
    for is_moving, run in itertools.groupby(parts, lambda part: part is None):
        same = _fewer(part for part in run if part is not None)
        joined += [None] if is_moving else same if len(same) == 1 else [objects(*same)]
    return joined


_WRITE: dict[Form, "Callable[[Column], Texts | Coded]"] = {
    Form.SPAN: partial(by_value, text=lambda span: f'"{SPANS[span]}"'),
    Form.STRING: strings,
    Form.STRINGS: string_lists,
    Form.CODES: code_lists,
    Form.NUMBER: numbers,
    Form.INTEGER: integers,
}


def objects(*parts: Part) -> Texts:
    """Return the parts joined row by row; a plain string stands in each row."""
    made = [part.array() if isinstance(part, Coded) else part for part in _fewer(parts)]
    return flat(join(*made, ""))


def _fewer(parts: Iterable[Part]) -> list[Part]:
    """Return the same in fewer parts, since to join them takes most of the time."""
    fewer: list[Part] = []
    for part in parts:
        last = fewer[-1] if fewer else None
        if isinstance(last, str) and isinstance(part, str):
            fewer[-1] = last + part
        elif isinstance(last, Coded) and isinstance(part, str):
            fewer[-1] = last.within("", part)
        elif isinstance(last, str) and isinstance(part, Coded):
            fewer[-1] = part.within(last, "")
        elif (
            isinstance(last, Coded)
            and isinstance(part, Coded)
            and len(last.texts) * len(part.texts) <= _TEXTS_MAX
        ):
            fewer[-1] = last.and_then(part)
        else:
            fewer.append(part)
    return fewer
