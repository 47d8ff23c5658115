"""Gap rows, as decoders make them, folded into gaps: pure."""

from collections.abc import Iterable
from typing import NamedTuple

from ticktape.records import Gap


class GapInterval(NamedTuple):
    """One gap: `to_ns` is None while it lasts; planned ones do not count against a run."""

    feed: str
    symbol: str
    from_ns: int
    to_ns: int | None
    cause: str
    planned: bool
    state: str


def fold_gaps(rows: Iterable[Gap]) -> list[GapInterval]:
    """Gaps in the order of their beginning, from rows in the journal's order.

    A gap is known by feed, symbol and beginning: its later rows say how it went on.
    """
    found: dict[tuple[str, str, int], GapInterval] = {}
    for row in rows:
        key = (row.feed, row.symbol, row.from_ns)
        before = found.get(key)
        to_ns = row.to_ns if row.to_ns is not None or before is None else before.to_ns
        found[key] = GapInterval(*key[:2], row.from_ns, to_ns, row.cause, row.planned, row.state)
    return sorted(found.values(), key=lambda gap: (gap.from_ns, gap.feed, gap.symbol))
