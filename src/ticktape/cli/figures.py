"""Numbers, times and texts as people read them; pure."""

from datetime import UTC, datetime
from decimal import Decimal

from ticktape.clock import NS_PER_S, iso_utc

_LIST_SHOWN = 3
_UNITS = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", NS_PER_S))
_AGES = (
    ("s", 1, 120),
    ("min", 60, 120),
    ("hours", 3_600, 48),
    ("days", 86_400, 730),
    ("years", 31_556_952, 0),  # the Gregorian year, 365.2425 days
)


def duration(ns: float) -> str:
    """A duration in the unit that gives it one to three digits: 126 µs, 27.5 ms, 1.49 s."""
    for name, size in _UNITS:  # noqa: B007 - what the loop ends with is the answer
        if abs(ns) < 999.5 * size:
            break
    value = ns / size
    digits = 0 if abs(value) >= 99.5 or name == "ns" else 1 if abs(value) >= 9.95 else 2
    return f"{value:,.{digits}f} {name}"


def age(ns: int) -> str:
    """How long ago, in plain words: 0.4 s, 12 s, 5 min, 3 hours, 13 years."""
    seconds = ns / NS_PER_S
    if abs(seconds) < 10:
        return f"{seconds:.1f} s"
    name, size = _AGES[-1][:2]
    for name, size, end in _AGES:  # noqa: B007 - what the loop ends with is the answer
        if abs(seconds) < end * size:
            break
    return f"{seconds / size:,.0f} {name}"


def span(from_ns: int, to_ns: int) -> str:
    """Two instants in UTC as one text; the day is said once when it is the same."""
    begin, end = iso_utc(from_ns), iso_utc(to_ns)
    day = "" if begin[:10] == end[:10] else f"{end[:10]} "
    return f"{begin[:10]} {begin[11:19]} to {day}{end[11:19]} UTC"


def moment(ns: int, now_ns: int) -> str:
    """An instant in UTC: 20:00:49.234 of today, 2013-10-08 20:00:49 of another day."""
    text, now = iso_utc(ns), iso_utc(now_ns)
    return text[11:23] if text[:10] == now[:10] else f"{text[:10]} {text[11:19]}"


def cell(value: object) -> str:
    """A value of a table as text on one line; nothing in it can steer the terminal."""
    if value is None:
        return "NULL"
    if isinstance(value, list):
        return _list(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, datetime):
        return str(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value)
    return printable(str(value))


def _list(values: list[object]) -> str:
    """A list in brackets; of a long one the beginning, and how many there are."""
    shown = ", ".join(cell(value) for value in values[:_LIST_SHOWN])
    return f"[{shown}, … {len(values)} in all]" if len(values) > _LIST_SHOWN else f"[{shown}]"


def _float(value: float) -> str:
    if value == 0 or not 1e-4 <= abs(value) < 1e15:
        return f"{value:.6g}"
    text = f"{value:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def printable(text: str) -> str:
    """The text with everything that is not printed (line ends, escapes) spelled out."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def plain_number(value: object) -> object:
    """Decimals without a fraction, as DuckDB's sums of whole numbers are, as whole numbers."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def is_number(value: object) -> bool:
    """Whether a value belongs to the right of its column."""
    return isinstance(value, int | float) and not isinstance(value, bool)
