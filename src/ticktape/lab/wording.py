"""Figures as the lab's sentences, tables and pictures write them; pure."""

from ticktape.clock import NS_PER_S

_TIMES = (("ns", 1), ("µs", 1_000), ("ms", 1_000_000), ("s", NS_PER_S))
_SIZES = (("B", 1), ("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000))

UNKNOWN = "-"


def duration(ns: float) -> str:
    """A time in the unit that gives it one to three digits: 126 µs, 27.5 ms, 1.49 s."""
    return _scaled(ns, _TIMES)


def size(count: float) -> str:
    """Bytes, likewise: 870 B, 12.5 MB."""
    return _scaled(count, _SIZES)


def _scaled(value: float, units: tuple[tuple[str, int], ...]) -> str:
    for name, unit in units:  # noqa: B007 - what the loop ends with is the answer
        if abs(value) < 999.5 * unit:
            break
    value /= unit
    digits = 0 if unit == 1 or abs(value) >= 99.5 else 1 if abs(value) >= 9.95 else 2
    return f"{value:,.{digits}f} {name}"


def share(value: float) -> str:
    """A share as per cent: 0 %, 0.012 %, 4.1 %, 60 %; what is not all is never 100 %."""
    cent = 100 * value
    if cent == 0:
        return "0 %"
    if cent < 0.0995:
        return f"{cent:.2g} %"
    if cent < 9.95 or 99 < cent < 100:
        return f"{min(cent, 99.9) if cent < 100 else cent:.1f} %"
    return f"{cent:.0f} %"


def rate(per_s: float) -> str:
    """Captures a second."""
    return f"{per_s:,.0f}/s" if per_s >= 99.5 else f"{per_s:.3g}/s"


def ratio(value: float) -> str:
    """A ratio: 0.52, 1.04, 12.3."""
    return f"{value:.2f}" if value < 9.95 else f"{value:,.1f}"


def listed(words: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def ordinal(place: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{'th' if place % 100 in (11, 12, 13) else ending}"
