"""Records that are not made yet: which of them would move their cells, found before any is made.

Only of the newest of each cell a record is made. Where that could end otherwise than with a record
for each, in a cell or in a count, nothing is done, and the caller makes the records.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from ticktape.lastvalue.kept import Cell
from ticktape.lastvalue.layout import FEED_BYTES, SYMBOL_BYTES, CellKind, key_text
from ticktape.records import Quote, Record, Trade

DRAFTED: Final = {Trade.kind: int(CellKind.TRADE), Quote.kind: int(CellKind.QUOTE)}
_NEVER: Final = -(2**63)  # every time is later, or as late
_UNBEATEN: Final = 2**63


class Drafts(Protocol):
    """Trades or quotes of one feed, in arrival order."""

    @property
    def feed(self) -> str:
        """The feed of all of them."""

    @property
    def kind(self) -> str:
        """`trades` or `quotes`."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many came of each symbol, in the order in which the symbols first came."""

    @property
    def first(self) -> tuple[int, int]:
        """Epoch and seq of the first; all others come later."""

    def newest(self, latest: Mapping[str, int], /) -> tuple[dict[str, int], int]:
        """The rows of the newest; `latest` says of each symbol how late it must at least be.

        Of equal times the one that came last. Also how many are earlier than what came before them.
        Symbols whose first one is late enough come in the order of `counts`.
        """

    def records(self, rows: Iterable[int]) -> Sequence[Record]:
        """Make these.

        Raises:
            ValueError: one of them cannot be made.
        """


class Winners(NamedTuple):
    """What drafts do to the cells of their feed and kind: the newest of each, and the counts."""

    newest: dict[str, Record]  # symbol -> what its cell is to hold
    strange: int  # how many symbols had no cell when there was room for one
    conflated: int
    late: int
    refused: dict[str, int]  # counter -> those that get no cell


def settle(drafts: Drafts, cells: Mapping[str, Cell], room: int) -> Winners | None:
    """The drafts that win; nothing is changed yet. None when each must be looked at as a record.

    `cells` are those of the feed and kind by symbol; `room` says how many can still be added.
    """
    epoch, seq = drafts.first
    latest = dict.fromkeys(drafts.counts, _NEVER)
    refusals: dict[str, str] = {}
    strange = 0
    for symbol in latest:
        cell = cells.get(symbol)
        if cell is None:
            strange += room > 0
            why = _refusal(drafts.feed, symbol, room)
            if why is not None:
                refusals[symbol] = why
                latest[symbol] = _UNBEATEN
        elif (newest := cell.newest) is not None:
            if newest.seq >= seq or newest.epoch > epoch:
                return None  # read again: which of equal times is later must be asked of each
            latest[symbol] = newest.event_ns
    rows, late = drafts.newest(latest)
    try:
        made = dict(zip(rows, drafts.records(rows.values()), strict=True))
    except ValueError:
        return None
    conflated = sum(drafts.counts.values()) - late - len(rows)
    refused = _tally(drafts.counts, refusals)
    return Winners(made, strange, conflated, late - sum(refused.values()), refused)


def _tally(came: Mapping[str, int], refusals: Mapping[str, str]) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for symbol, why in refusals.items():
        counts[why] += came[symbol]
    return counts


def _refusal(feed: str, symbol: str, room: int) -> str | None:
    """The counter of what gets no cell; None when it gets one."""
    if not room:
        return "full"
    if key_text(feed, FEED_BYTES) is None or key_text(symbol, SYMBOL_BYTES) is None:
        return "oversize"
    return None
