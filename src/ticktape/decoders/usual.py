"""Messages as a venue usually writes them, read out of their text without an object for any.

A venue's own program writes all messages of a type alike: the same keys in the same order, and no
space between them. Such text is cut into columns by the places of its keys, at a third of the cost
of reading each message. Every byte is looked at: what differs in one of them, or would
need more than that to be understood (an escape, a sign, an exponent), is not usual, and then None
is given for all of it, and it is read message by message. So nothing here may accept what a reader
of JSON refuses, nor give another value than it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.decoders.instants import Column, instants_of

Places = npt.NDArray[np.int64]

_WORD_BYTES = 8
# So that a word can be read at every byte of a text, and behind it as far as a literal goes.
_PADDING = bytes(64)
_SPACE, _QUOTE, _COLON, _DOT, _ZERO, _BRACE, _TYPE = b' ":.0{T'
_KEY_END = b'":'  # what ends a key, and stands nowhere else in text that is usual
_TYPE_END_AT = len('{"T')
_TAG_AT = len('{"T":"')
# Numbers of so many bytes are whole numbers of int64 and floats that are finite, whatever they say.
_NUMBER_BYTES_MAX = 18


class Value(Enum):
    """What stands behind a key; what is RAW may hold anything."""

    TEXT = '"'
    NUMBER = "number"
    WHOLE = "whole number"
    RAW = "raw"


class _Words(NamedTuple):
    """What must stand there, a row for each word of each literal: of these the place among them."""

    literals: npt.NDArray[np.intp]
    offsets: Places
    masks: npt.NDArray[np.uint64]
    words: npt.NDArray[np.uint64]


class Form:
    """How a type of message is usually written: `{"T":"tag"` and these keys, in this order.

    `tag` is one letter.
    """

    def __init__(self, tag: str, values: Mapping[str, Value]) -> None:
        self.tag = tag
        self.values = dict(values)
        self.numbers = [
            *(key for key, value in values.items() if value is Value.WHOLE),
            *(key for key, value in values.items() if value is Value.NUMBER),
        ]
        self.raws = [key for key, value in values.items() if value is Value.RAW]
        texts, behind = [], f'{{"T":"{tag}"'
        for key, value in values.items():
            opening = '"' if value is Value.TEXT else ""
            texts.append((behind + f',"{key}":' + opening).encode())
            behind = opening
        texts.append((behind + "}").encode())
        self.literals = texts
        """What stands before each value, its key in it; and behind the last one."""
        self.key_ends = _rows([text.rindex(_KEY_END) for text in texts[:-1]])
        self.sizes = _rows(map(len, texts[:-1]))
        # Only a text may be empty.
        self.least_sizes = _rows(value is not Value.TEXT for value in values.values())
        self.words = _words(texts)
        self.quotes = sum(text.count(b'"') for text in texts)

    def is_in(self, payload: bytes) -> bool:
        """Whether a look at a payload lets expect this form in it."""
        return all(literal in payload for literal in self.literals)


def _rows(numbers: Iterable[int], dtype: type = np.int64) -> npt.NDArray[Any]:
    """Make a column of numbers, each of which is meant for all of a row."""
    return np.array([*numbers], dtype)[:, np.newaxis]


def _words(texts: Sequence[bytes]) -> _Words:
    """Cut the literals into words, of which the last two may overlap."""
    found = []
    for number, text in enumerate(texts):
        last = max(len(text) - _WORD_BYTES, 0)
        for offset in (*range(0, last, _WORD_BYTES), last):
            piece = text[offset : offset + _WORD_BYTES]
            found.append((number, offset, (1 << 8 * len(piece)) - 1, piece))
    numbers, offsets, masks, pieces = zip(*found, strict=True)
    words = (int.from_bytes(piece, "little") for piece in pieces)
    return _Words(
        np.array(numbers, np.intp), _rows(offsets), _rows(masks, np.uint64), _rows(words, np.uint64)
    )


class Text:
    """Many payloads as one text, and where in it messages and quotation marks are; owns a copy."""

    def __init__(self, payloads: Sequence[bytes]) -> None:
        whole = b"".join([*payloads, _PADDING])
        length = len(whole) - len(_PADDING)
        self.buffer = pa.py_buffer(whole)
        self.bytes: npt.NDArray[np.uint8] = np.frombuffer(whole, np.uint8, length)
        # One word at each byte; they overlap.
        self.words: npt.NDArray[np.uint64] = np.ndarray(
            (len(whole) - _WORD_BYTES,), "<u8", whole, strides=(1,)
        )
        self.is_plain = length > 0 and whole.isascii() and b"\\" not in whole
        self.is_plain = self.is_plain and bool(self.bytes.min() >= _SPACE)
        self.stops: Places = np.cumsum(np.fromiter(map(len, payloads), np.int64, len(payloads)))

    def find(self) -> Places | None:
        """Find the messages; how many each payload has, or None if these are no such payloads."""
        text, stops = self.bytes, self.stops
        is_quote = text == _QUOTE
        self.quotes = int(np.count_nonzero(is_quote))
        is_quote[:-1] &= text[1:] == _COLON
        self.key_ends: Places = np.flatnonzero(is_quote)
        self.first: Places = np.flatnonzero(text[self.key_ends - 1] == _TYPE)
        self.keys: Places = np.diff(self.first, append=len(self.key_ends))
        self.begins: Places = self.key_ends[self.first] - _TYPE_END_AT
        if not len(self.begins) or np.count_nonzero(text == _BRACE) != len(self.begins):
            return None
        row_stops = np.searchsorted(self.begins, stops)
        counts = np.diff(row_stops, prepend=0)
        if not counts.all():
            return None
        # Behind a message stands a comma and the next one, or `]` and the payload's end.
        following = np.append(self.begins[1:], 0)
        following[row_stops - 1] = stops
        self.ends: Places = following - 1
        starts = np.append(0, stops[:-1])
        between = np.full(len(following), ord(","), np.uint8)
        between[row_stops - 1] = ord("]")
        is_right = (
            self.first[0] == 0
            and (self.begins[row_stops - counts] == starts + 1).all()
            and (text[starts] == ord("[")).all()
            and (text[self.ends] == between).all()
        )
        return counts if is_right else None

    def message(self, row: int) -> bytes:
        """The message that was found at this place among all of them."""
        return self.bytes[self.begins[row] : self.ends[row]].tobytes()


class Cut:
    """The messages of one form, cut at its keys; a method for each kind of `Value`."""

    def __init__(self, form: Form, edges: Mapping[str, tuple[Places, Places]], text: Text) -> None:
        self._edges = edges
        self._text = text
        # All at once: what is looked at in them is the same.
        count, numbers = len(self), self._cut(*form.numbers)
        self._numbers = {key: numbers[at * count :][:count] for at, key in enumerate(form.numbers)}
        wholes = sum(value is Value.WHOLE for value in form.values.values())
        self.is_right = _are_numbers(numbers, wholes * count)
        self._raws = {key: self._cut(key) for key in form.raws}
        self.quotes = form.quotes * count + sum(map(_quotes_in, self._raws.values()))
        """How many quotation marks there are if none stands in a text."""

    def __len__(self) -> int:
        return len(next(iter(self._edges.values()))[0])

    def _cut(self, *keys: str) -> Column:
        """What stands behind these keys, one key after the other."""
        count = len(self)
        edges = np.empty(2 * len(keys) * count, np.int32)
        for at, key in enumerate(keys):
            rows = edges[2 * at * count :][: 2 * count]
            rows[0::2], rows[1::2] = self._edges[key]
        # Every other text of this one lies between two values.
        both = pa.Array.from_buffers(
            pa.string(), len(edges) - 1, [None, pa.py_buffer(edges.data), self._text.buffer]
        )
        return cast("Column", both.take(_evens(len(edges) // 2)))

    def texts(self, key: str) -> Column:
        """The texts behind a key."""
        return self._cut(key)

    def moments(self, key: str) -> Column:
        """The texts behind a key as nanoseconds.

        Raises:
            ValueError: one of them is no time.
        """
        return instants_of(self._cut(key))

    def numbers(self, key: str) -> Column:
        """The numbers behind a key as float64."""
        return cast("Column", self._numbers[key].cast(pa.float64()))

    def wholes(self, key: str) -> Column:
        """The numbers behind a key as int64."""
        return cast("Column", self._numbers[key].cast(pa.int64()))

    def raws(self, key: str) -> Column:
        """What stands behind a key, as it stands there."""
        return cast("Column", self._raws[key].cast(pa.binary()))


def _quotes_in(cut: Column) -> int:
    text = np.frombuffer(cast("memoryview", cut.buffers()[2]), np.uint8)
    return int(np.count_nonzero(text == _QUOTE))


def _evens(count: int) -> Column:
    """0, 2, 4 and so on, so many."""
    places = np.arange(0, 2 * count, 2, dtype=np.int32)
    # Not by `pa.array`, which brings pandas with it where that is installed.
    return pa.Array.from_buffers(pa.int32(), count, [None, pa.py_buffer(places.data)])


def _are_numbers(cut: Column, wholes: int) -> bool:
    """Whether these are numbers as JSON has them, without a sign or an exponent, and not long.

    The first of them, `wholes`, must be whole numbers.
    """
    edges, chars = cast("list[memoryview]", cut.buffers()[1:])
    at = np.frombuffer(edges, np.int32, len(cut) + 1)
    sizes = at[1:] - at[:-1]
    if sizes.min() < 1 or sizes.max() > _NUMBER_BYTES_MAX:
        return False
    text = np.frombuffer(chars, np.uint8, at[-1])
    digits = text - np.uint8(_ZERO) < 10
    dots = np.flatnonzero(~digits)
    if len(dots):
        owners = np.searchsorted(at, dots, "right")
        if owners[0] <= wholes or (text[dots] != _DOT).any() or (owners[1:] == owners[:-1]).any():
            return False
    if not (digits[at[:-1]].all() and digits[at[1:] - 1].all()):
        return False
    # A zero begins nothing but 0 and 0.5.
    leading = at[:-1][(text[at[:-1]] == _ZERO) & (sizes > 1)]
    return bool((text[leading + 1] == _DOT).all())


class Usual(NamedTuple):
    """What to make of a form: a kind's own columns, as `Shape` has them from messages.

    `draft` gives the symbols and the times, and raises for exactly what the others do.
    """

    form: Form
    columns: Callable[[Cut], list[Column]]
    brief: Callable[[Cut], dict[str, Column]]
    draft: Callable[[Cut], tuple[Column, Column]]


class Found(NamedTuple):
    """What payloads hold: `counts` messages each, and by form which of them, and they."""

    text: Text
    counts: Places
    cuts: list[tuple[Form, Places | None, Cut]]
    """Of each form its rows among all messages (None for all of them) and what stands there."""


def read_usual(payloads: Sequence[bytes], forms: Collection[Form]) -> Found | None:
    """Cut payloads into their messages; None if one of these has none of the `forms`."""
    if not any(form.is_in(payloads[0]) for form in forms):
        return None
    text = Text(payloads)
    counts = text.find() if text.is_plain else None
    if counts is None:
        return None
    tags = text.words[text.begins + _TAG_AT] & np.uint64(0xFF)
    cuts: list[tuple[Form, Places | None, Cut]] = []
    cut_rows = 0
    for form in forms:
        rows = np.flatnonzero(tags == ord(form.tag))
        if not len(rows):
            continue
        cut_rows += len(rows)
        is_all = len(rows) == len(tags)
        cut = _cut(form, text, slice(None) if is_all else rows)
        if cut is None:
            return None
        cuts.append((form, None if is_all else rows, cut))
    # What ends a text early is no part of it.
    is_whole = cut_rows == len(tags) and sum(cut.quotes for *_, cut in cuts) == text.quotes
    return Found(text, counts, cuts) if is_whole else None


def _cut(form: Form, text: Text, rows: Places | slice) -> Cut | None:
    """Cut these messages; None if one of them has another form."""
    key_count = len(form.values) + 1
    if (text.keys[rows] != key_count).any():
        return None
    if isinstance(rows, slice):
        key_ends = text.key_ends.reshape(-1, key_count).T[1:]
    else:
        key_ends = text.key_ends[text.first[rows] + _rows(range(1, key_count))]
    ends = text.ends[rows] - len(form.literals[-1])
    places = np.concatenate((key_ends - form.key_ends, ends[np.newaxis]))
    literals, offsets, masks, words = form.words
    if (text.words[places[literals] + offsets] & masks != words).any():
        return None
    begins, ends = places[:-1] + form.sizes, places[1:]
    if (ends < begins + form.least_sizes).any():
        return None
    edges = dict(zip(form.values, zip(begins, ends, strict=True), strict=True))
    cut = Cut(form, edges, text)
    return cut if cut.is_right else None
