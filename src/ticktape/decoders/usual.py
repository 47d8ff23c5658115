"""Messages as a venue usually writes them, read out of their text without an object for any.

A venue's own program writes all messages of a type alike: the same keys in the same order, and no
space between them. Such text is cut into columns by the places of its quotation marks, at a third
of the cost of reading each message. Every byte is looked at: what differs in one of them, or would
need more than that to be understood (an escape, a sign, an exponent), is not usual, and then None
is given for all of it, and it is read message by message. So nothing here may accept what a reader
of JSON refuses, nor give another value than it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.decoders.instants import Column, instants_of

Places = npt.NDArray[np.int64]

_WORD_BYTES = 8
# So that a word can be read at every byte of a text, and behind it as far as a literal goes.
_PADDING = bytes(64)
_SPACE, _QUOTE, _DOT, _ZERO, _BRACE = b' ".0{'
_TAG_AT = len('{"T":"')
# Numbers of so many bytes are whole numbers of int64 and floats that are finite, whatever they say.
_NUMBER_BYTES_MAX = 18


class Value(Enum):
    """What stands behind a key; of RAW a form has one at most, and it may hold anything."""

    TEXT = '"'
    NUMBER = "number"
    WHOLE = "whole number"
    RAW = "raw"


class _Literal(NamedTuple):
    """What stands before a value, its key in it; where its first quotation mark is, and which.

    `quote` counts from the message's first quotation mark, or back from behind its last one.
    `words` are (offset, mask, what stands there).
    """

    text: bytes
    before_quote: int
    quote: int
    words: tuple[tuple[int, np.uint64, np.uint64], ...]


class Form:
    """How a type of message is usually written: `{"T":"tag"` and these keys, in this order.

    The last of `values` is a text; `tag` is one letter.
    """

    def __init__(self, tag: str, values: Mapping[str, Value]) -> None:
        self.tag = tag
        self.values = dict(values)
        texts, behind = [], f'{{"T":"{tag}"'
        for key, value in values.items():
            opening = '"' if value is Value.TEXT else ""
            texts.append((behind + f',"{key}":' + opening).encode())
            behind = opening
        texts.append((behind + "}").encode())
        self.has_raw = Value.RAW in self.values.values()
        self.literals = tuple(self._literals(texts))
        self.marks = sum(text.count(b'"') for text in texts)

    def _literals(self, texts: list[bytes]) -> Iterable[_Literal]:
        marks = [text.count(b'"') for text in texts]
        kinds = list(self.values.values())
        from_end = kinds.index(Value.RAW) + 1 if self.has_raw else len(texts)
        for number, text in enumerate(texts):
            quote = sum(marks[:number]) if number < from_end else -sum(marks[number:])
            offsets = [*range(0, len(text) - _WORD_BYTES, _WORD_BYTES)]
            offsets.append(max(len(text) - _WORD_BYTES, 0))
            words = tuple(_word(text, offset) for offset in offsets)
            yield _Literal(text, text.index(b'"'), quote, words)

    def is_in(self, payload: bytes) -> bool:
        """Whether a look at a payload lets expect this form in it."""
        return all(literal.text in payload for literal in self.literals)


def _word(text: bytes, offset: int) -> tuple[int, np.uint64, np.uint64]:
    piece = text[offset : offset + _WORD_BYTES]
    mask = (1 << 8 * len(piece)) - 1
    return offset, np.uint64(mask), np.uint64(int.from_bytes(piece, "little"))


class _Text:
    """Many payloads as one text, and where in it messages and quotation marks are."""

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
        self.begins: Places = np.flatnonzero(text == _BRACE)
        self.quotes: Places = np.flatnonzero(text == _QUOTE)
        if not len(self.begins) or not len(self.quotes):
            return None
        self.first: Places = np.searchsorted(self.quotes, self.begins)
        self.last: Places = np.append(self.first[1:], len(self.quotes))
        ends = self.quotes[self.last - 1]
        row_stops = np.searchsorted(self.begins, stops)
        counts = np.diff(row_stops, prepend=0)
        if not counts.all():
            return None
        # Behind a message's last mark stands `},` and the next one, or `}]` and the payload's end.
        following = np.append(self.begins[1:], 0)
        following[row_stops - 1] = stops
        starts = np.append(0, stops[:-1])
        between = np.full(len(ends), ord(","), np.uint8)
        between[row_stops - 1] = ord("]")
        is_right = (
            (self.begins[row_stops - counts] == starts + 1).all()
            and (text[starts] == ord("[")).all()
            and (following == ends + len('"},')).all()
            and (text[following - 1] == between).all()
        )
        return counts if is_right else None


class Cut:
    """The messages of one form, cut at its keys; a method for each kind of `Value`."""

    def __init__(self, form: Form, edges: Mapping[str, tuple[Places, Places]], text: _Text) -> None:
        self._edges = edges
        self._text = text
        self._numbers = {
            key: self._cut(key)
            for key, value in form.values.items()
            if value in (Value.NUMBER, Value.WHOLE)
        }
        self.is_right = all(
            _are_numbers(cut, is_whole=form.values[key] is Value.WHOLE)
            for key, cut in self._numbers.items()
        )

    def __len__(self) -> int:
        return len(next(iter(self._edges.values()))[0])

    def _cut(self, key: str) -> Column:
        begins, ends = self._edges[key]
        edges = np.empty(2 * len(begins), np.int32)
        edges[0::2], edges[1::2] = begins, ends
        # Every other text of this one lies between two values.
        both = pa.Array.from_buffers(
            pa.string(), len(edges) - 1, [None, pa.py_buffer(edges.data), self._text.buffer]
        )
        return cast("Column", both.take(np.arange(0, len(edges), 2)))

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
        return cast("Column", self._cut(key).cast(pa.binary()))


def _are_numbers(cut: Column, *, is_whole: bool) -> bool:
    """Whether these are numbers as JSON has them, without a sign or an exponent, and not long."""
    edges, chars = cast("list[memoryview]", cut.buffers()[1:])
    at = np.frombuffer(edges, np.int32, len(cut) + 1)
    sizes = np.diff(at)
    if sizes.min() < 1 or sizes.max() > _NUMBER_BYTES_MAX:
        return False
    text = np.frombuffer(chars, np.uint8, at[-1])
    digits = text - np.uint8(_ZERO) < 10
    dots = np.flatnonzero(~digits)
    if len(dots):
        owners = np.searchsorted(at, dots, "right")
        if is_whole or (text[dots] != _DOT).any() or (owners[1:] == owners[:-1]).any():
            return False
    if not (digits[at[:-1]].all() and digits[at[1:] - 1].all()):
        return False
    # A zero begins nothing but 0 and 0.5.
    leading = at[:-1][(text[at[:-1]] == _ZERO) & (sizes > 1)]
    return bool((text[leading + 1] == _DOT).all())


class Usual(NamedTuple):
    """What to make of a form: a kind's own columns, as `Shape` has them from messages."""

    form: Form
    columns: Callable[[Cut], list[Column]]
    brief: Callable[[Cut], dict[str, Column]]


class Found(NamedTuple):
    """What payloads hold: `counts` messages each, and by form which of them, and they."""

    counts: Places
    cuts: list[tuple[Form, Places | None, Cut]]
    """Of each form its rows among all messages (None for all of them) and what stands there."""


def read_usual(payloads: Sequence[bytes], forms: Collection[Form]) -> Found | None:
    """Cut payloads into their messages; None if one of these has none of the `forms`."""
    if not any(form.is_in(payloads[0]) for form in forms):
        return None
    text = _Text(payloads)
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
    return Found(counts, cuts) if cut_rows == len(tags) else None


def _cut(form: Form, text: _Text, rows: Places | slice) -> Cut | None:
    """Cut these messages; None if one of them has another form."""
    quotes, first, last = text.quotes, text.first[rows], text.last[rows]
    marks = last - first
    # What is raw may hold some of its own.
    if not ((marks >= form.marks).all() if form.has_raw else (marks == form.marks).all()):
        return None
    places: list[Places] = []
    for literal in form.literals:
        place = quotes[(first if literal.quote >= 0 else last) + literal.quote]
        place -= literal.before_quote
        for offset, mask, word in literal.words:
            if (text.words[place + offset] & mask != word).any():
                return None
        places.append(place)
    edges = {}
    for number, (key, value) in enumerate(form.values.items()):
        begins = places[number] + len(form.literals[number].text)
        ends = places[number + 1]
        if (ends < begins + (value is not Value.TEXT)).any():  # only a text may be empty
            return None
        edges[key] = (begins, ends)
    cut = Cut(form, edges, text)
    return cut if cut.is_right else None
