"""RFC 3339 texts to int64 nanoseconds, one at a time or in columns, with one grammar for both.

The grammar is Arrow's: a date, `T` or a space, at least hours, at most nine digits of a second, and
a zone. Never may the quick way accept what Arrow refuses, or round: a venue's nanoseconds stay what
they were.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import pyarrow as pa

Column: TypeAlias = "pa.Array[Any]"

INT64_MAX = 2**63 - 1

# The venues' own form, in the whole years that int64 holds. Arrow reads it, too, but brings half a
# second of imports with its first text, and every second costs it 50 µs.
_USUAL = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z", re.ASCII)
_YEARS = range(1678, 2262)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND_CHARS = len("2021-02-22T15:51:44")
_FRACTION_AT = _SECOND_CHARS + 1
_ZONE_AT = _FRACTION_AT + 9  # behind nanoseconds that are whole
# Made once, as making them anew for each text would be a fifth of its cost.
_SECOND = slice(_FRACTION_AT)
_FRACTION = slice(_FRACTION_AT, _ZONE_AT)
_ZONE = slice(_ZONE_AT, None)
_NS_PER_S = 1_000_000_000
_DAY_S = 86_400
_SCALE: tuple[int, ...] = tuple(10 ** (9 - digits) for digits in range(10))
_SCALES = len(_SCALE)
_NINE = frozenset({9})
_ONE_TO_NINE = frozenset(range(1, _SCALES))
# From so many texts on it pays to look at all at once: at 4 it costs as much, at 10 a fifth less.
_TOGETHER_MIN = 6
_NS_UTC = pa.timestamp("ns", "UTC")
_REMEMBERED_MAX = 256


def instants(texts: Sequence[str]) -> Column:
    """Turn RFC 3339 texts into int64 nanoseconds UTC, in the same order.

    Raises:
        ValueError: one of them is no time, or lies outside 1677 to 2262.
    """
    return instants_of(pa.array(texts, pa.string()))


def instants_of(texts: Column) -> Column:
    """Turn a column of RFC 3339 texts into int64 nanoseconds UTC.

    Raises:
        ValueError: one of them is no time, or lies outside 1677 to 2262.
    """
    return cast("Column", texts.cast(_NS_UTC).cast(pa.int64()))


class InstantParser:
    """Parses one text at a time; remembers seconds, since ticks come in time's order.

    Several, because bars and late prints stand between them.
    """

    __slots__ = ("_latest", "_latest_ns", "_whole", "_with_dot")

    def __init__(self) -> None:
        # Text of a second, with a point or a Z behind it -> its nanoseconds.
        self._with_dot: dict[str, int] = {}
        self._whole: dict[str, int] = {}
        # That of them with which the last text began.
        self._latest: str | None = None
        self._latest_ns = 0

    def parse(self, text: str) -> int:
        """Turn one RFC 3339 text into int64 nanoseconds UTC.

        Raises:
            ValueError: it is no time, or lies outside 1677 to 2262.
        """
        second = text[_SECOND]
        if second == self._latest:
            second_ns: int | None = self._latest_ns
        else:
            second_ns = self._with_dot.get(second)
            if second_ns is not None:
                self._latest, self._latest_ns = second, second_ns
        if second_ns is not None:
            # isdigit alone would let other scripts' digits through, which Arrow refuses.
            if text[_ZONE] == "Z":
                digits = text[_FRACTION]
                if digits.isdigit() and digits.isascii():
                    return second_ns + int(digits)
            digits = text[_FRACTION_AT:-1]
            if digits.isdigit() and text.isascii() and text[-1] == "Z":
                count = len(digits)
                if count < _SCALES:
                    return second_ns + int(digits) * _SCALE[count]
        else:
            second_ns = self._whole.get(text)
            if second_ns is not None:
                return second_ns
        return self._parse_anew(text)

    def parse_all(self, texts: list[str]) -> list[int]:
        """As `parse`, for the texts of a frame: most frames lie within one second.

        Raises:
            ValueError: one of them is no time, or lies outside 1677 to 2262.
        """
        fractions = self._fractions(texts) if len(texts) >= _TOGETHER_MIN else None
        if fractions is None:
            return list(map(self.parse, texts))
        second_ns, digits = fractions
        lengths = set(map(len, digits))
        if lengths == _NINE:
            return [second_ns + int(each) for each in digits]
        if lengths <= _ONE_TO_NINE:
            return [second_ns + int(each) * _SCALE[len(each)] for each in digits]
        return list(map(self.parse, texts))

    def _fractions(self, texts: list[str]) -> tuple[int, list[str]] | None:
        """A second that is known, and the digits behind its point in each text, all ASCII.

        None unless each of the texts is that second, a point, some of such digits or none, and Z.
        """
        # Digits alone between what it is cut by: so all commas are those that it was joined by.
        joined = ",".join(texts)
        second = joined[:_FRACTION_AT]
        second_ns = self._with_dot.get(second)
        if second_ns is None or joined[-1] != "Z":
            return None
        digits = joined[_FRACTION_AT:-1].split("Z," + second)
        together = "".join(digits)
        if len(digits) == len(texts) and together.isdigit() and together.isascii():
            return second_ns, digits
        return None

    def _parse_anew(self, text: str) -> int:
        usual = _USUAL.fullmatch(text)
        if usual is not None and int(text[:4]) in _YEARS:
            second, digits = usual[1], usual[2] or ""
            # As strict as Arrow: 24 o'clock, a 60th second or the 30th of February is no time.
            since = datetime.fromisoformat(second + "+00:00") - _EPOCH
            second_ns = (since.days * _DAY_S + since.seconds) * _NS_PER_S
            self._remember(second, second_ns)
            return second_ns + int(digits or 0) * _SCALE[len(digits)]
        found = cast("int", instants([text])[0].as_py())
        second = text[:_SECOND_CHARS]
        if len(second) == _SECOND_CHARS and text[-1] == "Z":
            try:
                second_ns = cast("int", instants([second + "Z"])[0].as_py())
            except ValueError:  # a form without seconds: right, but not worth remembering
                return found
            # In the very last second of int64 a fraction could overflow, so Arrow decides there.
            if second_ns <= INT64_MAX - _NS_PER_S:
                self._remember(second, second_ns)
        return found

    def _remember(self, second: str, second_ns: int) -> None:
        if len(self._whole) >= _REMEMBERED_MAX:
            self._whole.clear()
            self._with_dot.clear()
        self._with_dot[second + "."] = self._whole[second + "Z"] = second_ns
