"""The parameters of a query, read once and checked as the venue does.

Source: reference/alpaca.md §6, and the venue's OpenAPI description. Parameters that nobody knows
are left alone.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ticktape.sim.rest.answers import RequestRefused
from ticktape.sim.rest.instants import parse_instant
from ticktape.sim.states import SYMBOL

LIMIT_MAX = 10_000
LIMIT = 1000
NEWS_LIMIT_MAX = 50
NEWS_LIMIT = 10

_TIMEFRAME = re.compile(r"(?P<count>\d{1,2})(?P<unit>Min|T|Hour|H|Day|D|Week|W|Month|M)", re.ASCII)
_COUNTS = {
    "T": range(1, 60),
    "H": range(1, 24),
    "D": (1,),
    "W": (1,),
    "Mo": (1, 2, 3, 4, 6, 12),
}
_UNITS = {"Min": "T", "Hour": "H", "Day": "D", "Week": "W", "Month": "Mo", "M": "Mo"}
_BARS = {(1, "T"): "minute", (1, "D"): "day"}
_ASOF = re.compile(r"-|\d{4}-\d\d-\d\d", re.ASCII)

Query = Mapping[str, str]


class Wanted(NamedTuple):
    """What a query asks for: rows from `start_ns` to `end_ns`, both inclusive, None: not said."""

    symbols: tuple[str, ...]
    start_ns: int | None
    end_ns: int | None
    limit: int
    descending: bool
    token: str


def read_history(
    query: Query, *, symbol: str = "", limit: int = LIMIT, limit_max: int = LIMIT_MAX
) -> Wanted:
    """Return the parameters that all histories share; `symbol` is that of the path.

    Raises:
        RequestRefused: 400 for one that cannot be read, 422 for one that is not allowed.
    """
    if not _ASOF.fullmatch(query.get("asof", "-")):
        raise RequestRefused(400, f"invalid asof: {query['asof']!r}")
    start_ns = _instant(query, "start")
    end_ns = _instant(query, "end")
    if start_ns is not None and end_ns is not None and end_ns < start_ns:
        raise RequestRefused(422, "end should not be before start")
    sort = query.get("sort", "asc")
    if sort not in ("asc", "desc"):
        raise RequestRefused(400, f"invalid sort: {sort!r}")
    return Wanted(
        symbols=(symbol,) if symbol else read_symbols(query),
        start_ns=start_ns,
        end_ns=end_ns,
        limit=_limit(query, limit, limit_max),
        descending=sort == "desc",
        token=query.get("page_token", ""),
    )


def read_symbols(query: Query, *, required: bool = True) -> tuple[str, ...]:
    """Return the symbols, each once, sorted as pages have them.

    Raises:
        RequestRefused: there are none, or one cannot be a symbol.
    """
    text = query.get("symbols", "")
    if not text:
        if required:
            raise RequestRefused(400, "symbols is required")
        return ()
    names = [name.strip() for name in text.split(",")]
    for name in names:
        check_symbol(name)
    return tuple(sorted(set(names)))


def check_symbol(name: str) -> None:
    """Look at the form of a symbol; whether it exists is not asked.

    Raises:
        RequestRefused: it has no form that a symbol can have.
    """
    if name == "*" or not SYMBOL.fullmatch(name):
        raise RequestRefused(400, f"invalid symbol: {name}")


def read_timeframe(query: Query) -> str:
    """Return which bars a timeframe means, `minute` or `day`.

    Raises:
        RequestRefused: it is none, or one that the tape has no bars of.
    """
    text = query.get("timeframe", "")
    found = _TIMEFRAME.fullmatch(text)
    unit = _UNITS.get(found["unit"], found["unit"]) if found else ""
    if found is None or int(found["count"]) not in _COUNTS[unit]:
        raise RequestRefused(400, f"invalid timeframe: {text!r}")
    bars = _BARS.get((int(found["count"]), unit))
    if bars is None:
        raise RequestRefused(422, f"the simulator has no bars of {text}, only of 1Min and 1Day")
    return bars


def read_flag(query: Query, name: str) -> bool:
    """Return a parameter that is `true` or `false`, false when it is not there.

    Raises:
        RequestRefused: it is neither.
    """
    text = query.get(name, "false").lower()
    if text not in ("true", "false"):
        raise RequestRefused(400, f"invalid {name}: {text!r}")
    return text == "true"


def _instant(query: Query, name: str) -> int | None:
    text = query.get(name, "")
    return parse_instant(text, name) if text else None


def _limit(query: Query, default: int, largest: int) -> int:
    text = query.get("limit", "")
    if not text:
        return default
    if not re.fullmatch(r"-?\d{1,18}", text, re.ASCII):
        raise RequestRefused(400, f"invalid limit: {text!r}")
    limit = int(text)
    if not 1 <= limit <= largest:
        raise RequestRefused(422, f"limit must be between 1 and {largest}")
    return limit
