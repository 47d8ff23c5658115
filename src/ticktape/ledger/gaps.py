"""Gap rows, as decoders make them, folded into gaps: pure."""

from collections.abc import Iterable
from typing import NamedTuple

from ticktape.config import REST
from ticktape.directory import LEDGER
from ticktape.records import Gap


class GapInterval(NamedTuple):
    """One gap: `to_ns` is None while it lasts; planned ones do not count against a run.

    `feed` is the one that was to hear, whoever tells of the gap. `suspected`: it began as a
    suspicion of the watchdog, and nobody knew whether anything was missing. `told_by` is the
    journal that says how it stands now. Empty `channels` are all.
    """

    feed: str
    symbol: str
    from_ns: int
    to_ns: int | None
    cause: str
    planned: bool
    state: str
    channels: str = ""
    suspected: bool = False
    told_by: str = ""

    @property
    def is_suspicion(self) -> bool:
        """Whether nobody knows yet that anything is missing."""
        return self.suspected and self.state in ("suspect", "healing")

    @property
    def counts(self) -> bool:
        """Whether it is a gap at all, healed or not: neither planned nor a mere suspicion."""
        return not self.planned and (not self.suspected or self.state in ("open", "unhealable"))

    @property
    def stands_open(self) -> bool:
        """Whether it counts against a run."""
        return self.counts and self.state != "healed"

    def concerns(self, channel: str, symbol: str) -> bool:
        """Whether this channel of this symbol was, or may have been, missed in it."""
        named = not self.channels or channel in self.channels.split(",")
        return named and self.symbol in ("", symbol)


def base_feed(name: str) -> str:
    """The feed that a journal or a row tells of: `sip` for sip.rest and ledger:sip."""
    return name.removeprefix(LEDGER).removesuffix(REST)


def fold_gaps(rows: Iterable[Gap]) -> list[GapInterval]:
    """Gaps in the order of their beginning, from rows of each journal in its order.

    A gap is known by feed, symbol and beginning: its later rows say how it went on. The feed's own
    come first, then the ledger's, then those of who healed it, in whatever order they are given.
    """
    found: dict[tuple[str, str, int], GapInterval] = {}
    for row in sorted(rows, key=_rank):
        key = (base_feed(row.feed), row.symbol, row.from_ns)
        before = found.get(key)
        if before is not None and not before.suspected and row.state == "suspect":
            continue  # what is known need not be suspected
        to_ns = row.to_ns if row.to_ns is not None or before is None else before.to_ns
        found[key] = GapInterval(
            *key[:2],
            row.from_ns,
            to_ns,
            row.cause or (before.cause if before else ""),
            row.planned,
            row.state,
            row.channels or (before.channels if before else ""),
            row.state == "suspect" or (before is not None and before.suspected),
            row.feed,
        )
    return sorted(found.values(), key=lambda gap: (gap.from_ns, gap.feed, gap.symbol))


def _rank(row: Gap) -> int:
    return 2 if row.feed.endswith(REST) else 1 if row.feed.startswith(LEDGER) else 0
