"""Which gaps of one feed want healing, and how far that has come: pure, made of journal entries.

A gap is known by its symbol and its beginning. The feed's own journal says that it is there, the
ledger's that something is suspected, and the healer's own what was done about it, which is the
last word.
"""

from collections.abc import Iterable, Mapping

import msgspec

from ticktape import clock
from ticktape.errors import DecodeError
from ticktape.ledger.entries import (
    Compared,
    GapSaid,
    Healed,
    Healing,
    Page,
    RestEntry,
    Started,
    Unhealable,
)
from ticktape.ledger.heal_plan import Channels
from ticktape.ledger.paging import Chain, chain_of

HEALING = "healing"
HEALED = "healed"
UNHEALABLE = "unhealable"
SUSPECT = "suspect"


class HealGap(msgspec.Struct):
    """A gap that is not healed yet; `to_ns` is None while it lasts.

    `subscribed` is what stood when it began, empty when that is not known. `chains` are the
    requests made for it so far.
    """

    symbol: str
    from_ns: int
    to_ns: int | None = None
    cause: str = ""
    channels: str = ""
    planned: bool = False
    state: str = "open"
    subscribed: Channels = {}
    chains: dict[str, Chain] = {}

    @property
    def key(self) -> str:
        """What it is known by."""
        return f"{self.from_ns} {self.symbol}"

    def said(self, state: str) -> GapSaid:
        """The gap as the healer's entries tell it."""
        return GapSaid(
            self.from_ns, self.to_ns, self.cause, self.symbol, self.channels, self.planned, state
        )


class HealBook(msgspec.Struct):
    """What is known of one feed's gaps; can be kept on the disk and taken up again.

    `finished` is what became of those that are done with; of these `refused` are the unhealable
    ones. `pages` are those of a comparison that
    is not finished, and `seen` the symbols that the ledger has counted, by channel. `recent_ns` is
    how old rows must be before the plan shows them, as far as that is known.
    """

    subscribed: Channels = {}
    gaps: dict[str, HealGap] = {}
    finished: dict[str, str] = {}
    refused: dict[str, HealGap] = {}
    pages: dict[str, Chain] = {}
    seen: dict[str, list[str]] = {}
    in_hand: str = ""
    recent_ns: int = 0

    # What the journals say.

    def see_subscribed(self, channels: Mapping[str, Iterable[str]]) -> None:
        """The venue acknowledged this, and nothing else."""
        self.subscribed = {channel: list(symbols) for channel, symbols in channels.items()}

    def see_gap(self, said: GapSaid) -> None:
        """The feed or the ledger tells of a gap; it may have done so before."""
        key = f"{said.from_ns} {said.symbol}"
        if key in self.finished:
            return
        gap = self.gaps.get(key)
        if gap is None:
            gap = self.gaps[key] = HealGap(said.symbol, said.from_ns, state=said.state)
        elif gap.state != HEALING and said.state != SUSPECT:
            gap.state = said.state  # what the feed itself has missed is more than a suspicion
        gap.subscribed = gap.subscribed or dict(self.subscribed)
        gap.to_ns = gap.to_ns if said.to_ns is None else said.to_ns
        gap.cause, gap.planned = said.cause, said.planned
        gap.channels = said.channels or gap.channels
        if gap.planned and gap.to_ns is not None:
            del self.gaps[key]  # nobody wants back what nobody missed

    def see_counts(self, kinds: Mapping[str, Mapping[str, int]]) -> None:
        """The ledger counted rows of these symbols."""
        for kind, counts in kinds.items():
            known = set(self.seen.get(kind, ()))
            if not known.issuperset(counts):
                self.seen[kind] = sorted(known.union(counts))

    def see_own(self, entry: RestEntry, body: bytes = b"") -> None:
        """The healer's own journal says this; `body` is what follows a page's entry."""
        if isinstance(entry, Started):
            self.in_hand = ""
        elif isinstance(entry, Healing):
            self._see_healing(entry.gap)
        elif isinstance(entry, Page):
            self._see_page(entry, body)
        elif isinstance(entry, Healed | Unhealable):
            key = f"{entry.gap.from_ns} {entry.gap.symbol}"
            self._see_end(key, entry.gap.state)
        elif isinstance(entry, Compared):
            self.pages = {}

    def _see_healing(self, said: GapSaid) -> None:
        key = f"{said.from_ns} {said.symbol}"
        self.finished.pop(key, None)
        if key in self.refused:
            self.gaps[key] = self.refused.pop(key)
        if key not in self.gaps:
            self.gaps[key] = HealGap(
                said.symbol, said.from_ns, said.to_ns, said.cause, said.channels
            )
        self.gaps[key].state = HEALING
        self.in_hand = key

    def _see_end(self, key: str, state: str) -> None:
        self.finished[key] = state
        self.in_hand = ""
        gap = self.gaps.pop(key, None)
        if gap is not None and state == UNHEALABLE:
            gap.chains = {}
            self.refused[key] = gap

    def _see_page(self, page: Page, body: bytes) -> None:
        chains = self.chains()
        fresh = chain_of(page)
        chain = chains.setdefault(fresh.key, fresh)
        if page.page == 0:
            chain.restart()
        if page.page == chain.pages:
            try:
                chain.take(body)
            except DecodeError:
                return  # it was asked again, or will be

    def chains(self) -> dict[str, Chain]:
        """The requests of what is in hand: a gap, or else a comparison."""
        gap = self.gaps.get(self.in_hand)
        return self.pages if gap is None else gap.chains

    # What to do.

    def due_ns(self, gap: HealGap, delay_ns: int) -> int | None:
        """When to ask for a gap; None while it lasts, and for one that nobody wants healed."""
        if gap.to_ns is None or gap.planned:
            return None
        return gap.to_ns + max(delay_ns, self.recent_ns)

    def next_gap(self, now_ns: int, delay_ns: int) -> HealGap | None:
        """The gap to heal now: one that was begun, else the newest, which is looked at first."""
        due = [
            gap
            for gap in self.gaps.values()
            if (due_ns := self.due_ns(gap, delay_ns)) is not None and due_ns <= now_ns
        ]
        return max(due, key=lambda gap: (bool(gap.chains), gap.from_ns, gap.symbol), default=None)

    def retry(self) -> None:
        """Want the unhealable ones healed once more: keys or a plan may have changed."""
        for key, gap in self.refused.items():
            del self.finished[key]
            self.gaps[key] = gap
        self.refused = {}

    def waiting(self) -> list[HealGap]:
        """Gaps that are to be healed, now or later, in the order of their beginning."""
        found = [gap for gap in self.gaps.values() if not gap.planned]
        return sorted(found, key=lambda gap: (gap.from_ns, gap.symbol))


def in_words(gap: HealGap) -> str:
    """A gap, for people."""
    whose = f"{gap.symbol} " if gap.symbol else ""
    if gap.to_ns is None:
        return f"{whose}since {clock.iso_utc(gap.from_ns)}"
    span_s = (gap.to_ns - gap.from_ns) / clock.NS_PER_S
    return f"{whose}from {clock.iso_utc(gap.from_ns)}, {span_s:.3f} s"
