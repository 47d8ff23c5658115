"""Which gaps of one feed want healing, and how far that has come: pure, made of journal entries.

A gap is known by its symbol and its beginning. The feed's own journal says that it is there, the
ledger's that something is suspected, and the healer's own what was done about it, which is the
last word.
"""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from ticktape import clock
from ticktape.errors import DecodeError
from ticktape.ledger.entries import (
    Compared,
    End,
    GapSaid,
    Healing,
    Page,
    RestEntry,
    Started,
)
from ticktape.ledger.heal_plan import Channels
from ticktape.ledger.paging import Chain, chain_of

HEALING = "healing"
HEALED = "healed"
UNHEALABLE = "unhealable"
SUSPECT = "suspect"
_FINISHED_MAX = 20_000  # gaps that are remembered as done with; what a reader sees twice is newer


class HealGap(msgspec.Struct):
    """A gap that is not healed yet; `to_ns` is None while it lasts.

    `suspected` says that nobody knows whether something is missing. `subscription` names in the
    book what stood when it began, "" when that is not known. `chains` are the requests made for it
    so far.
    """

    symbol: str
    from_ns: int
    to_ns: int | None = None
    cause: str = ""
    channels: str = ""
    planned: bool = False
    state: str = "open"
    suspected: bool = False
    subscription: str = ""
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

    `kept` are the subscriptions that gaps were in, each once: one may have ten thousand symbols.
    `finished` is what became of gaps that are done with, of the newest; of these `refused` are the
    unhealable ones, and suspicions that could not be settled. `pages` are those of a comparison
    that is not finished, and `seen` the symbols that the ledger has counted, by channel.
    `recent_ns` is how old rows must be before the plan shows them, as far as that is known.
    """

    subscribed: Channels = {}
    kept: dict[str, Channels] = {}
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
        is_suspicion = said.state == SUSPECT
        if key in self.refused and self.refused[key].suspected and not is_suspicion:
            self._take_back(key)  # what was a suspicion is known now
        if key in self.finished:
            if key in self.refused:  # the healer's own journal does not say what was subscribed
                self._see_subscription(self.refused[key])
            return
        gap = self.gaps.get(key)
        if gap is None:
            gap = self.gaps[key] = HealGap(
                said.symbol, said.from_ns, state=said.state, suspected=is_suspicion
            )
        elif not is_suspicion:
            # What the feed itself has missed is more than a suspicion.
            gap.state = HEALING if gap.state == HEALING else said.state
            gap.suspected = False
        self._see_subscription(gap)
        gap.to_ns = gap.to_ns if said.to_ns is None else said.to_ns
        gap.cause, gap.planned = said.cause, said.planned
        gap.channels = said.channels or gap.channels
        if gap.planned and gap.to_ns is not None:
            del self.gaps[key]  # nobody wants back what nobody missed

    def _see_subscription(self, gap: HealGap) -> None:
        gap.subscription = gap.subscription or self._keep()

    def _keep(self) -> str:
        """The name under which the present subscription is kept."""
        if not self.subscribed:
            return ""
        for name, channels in self.kept.items():
            if channels == self.subscribed:
                return name
        used = {gap.subscription for each in (self.gaps, self.refused) for gap in each.values()}
        self.kept = {name: channels for name, channels in self.kept.items() if name in used}
        name = str(max(map(int, self.kept), default=-1) + 1)
        self.kept[name] = self.subscribed
        return name

    def subscribed_in(self, gap: HealGap) -> Channels:
        """What stood when a gap began; empty when that is not known."""
        return self.kept.get(gap.subscription, {})

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
            self._see_healing(entry)
        elif isinstance(entry, Page):
            self._see_page(entry, body)
        elif isinstance(entry, End):
            key = f"{entry.gap.from_ns} {entry.gap.symbol}"
            self._see_end(key, entry.gap.state)
        elif isinstance(entry, Compared):
            self.pages = {}

    def _see_healing(self, entry: Healing) -> None:
        said = entry.gap
        key = f"{said.from_ns} {said.symbol}"
        self.finished.pop(key, None)
        if key in self.refused:
            self._take_back(key)
        if key not in self.gaps:
            self.gaps[key] = HealGap(
                said.symbol,
                said.from_ns,
                said.to_ns,
                said.cause,
                said.channels,
                suspected=entry.suspected,
            )
        self.gaps[key].state = HEALING
        self.in_hand = key

    def _take_back(self, key: str) -> None:
        self.finished.pop(key, None)
        self.gaps[key] = self.refused.pop(key)

    def _see_end(self, key: str, state: str) -> None:
        self.finished[key] = state
        if len(self.finished) > _FINISHED_MAX:
            oldest = next(iter(self.finished))
            del self.finished[oldest]
            self.refused.pop(oldest, None)
        self.in_hand = ""
        gap = self.gaps.pop(key, None)
        if gap is not None and state in (UNHEALABLE, SUSPECT):
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

    def ask_anew(self) -> None:
        """Pages that were taken for journaled may not be: none of what is unfinished counts."""
        for chains in (self.pages, *(gap.chains for gap in self.gaps.values())):
            for chain in chains.values():
                chain.restart()

    # What to do.

    def due_ns(self, gap: HealGap, delay_ns: int) -> int | None:
        """When to ask for a gap; None while it lasts, and for one that nobody wants healed."""
        if gap.to_ns is None or gap.planned:
            return None
        return gap.to_ns + max(delay_ns, self.recent_ns)

    def next_gap(self, now_ns: int, delay_ns: int, aside: Collection[str] = ()) -> HealGap | None:
        """The gap to heal now: one that was begun, else the newest, which is looked at first.

        Those whose keys are in `aside` are not.
        """
        due = [
            gap
            for key, gap in self.gaps.items()
            if (due_ns := self.due_ns(gap, delay_ns)) is not None
            and due_ns <= now_ns
            and key not in aside
        ]
        return max(due, key=lambda gap: (bool(gap.chains), gap.from_ns, gap.symbol), default=None)

    def retry(self) -> None:
        """Want the unhealable ones healed once more: keys or a plan may have changed."""
        for key in list(self.refused):
            self._take_back(key)

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
