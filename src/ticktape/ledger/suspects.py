"""Alarms as entries of the ledger's journal; pure.

A suspicion is known by feed, symbol and beginning, so no two of a symbol may begin at one instant,
and none where a gap of the feed itself may begin: that is the last thing that was received.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ticktape.ledger.alarms import Alarm
from ticktape.ledger.counting import Hole
from ticktape.ledger.entries import Damaged, GapSaid, LateFeed, Suspect, place_of

# Kinds of rows whose channel has another name in the config.
_CHANNELS = {"crypto_books": "orderbooks"}
DAMAGED = "the journal is damaged"
_ENDED_MAX = 4_096  # beginnings that are remembered, so that none is used twice


class _Key(NamedTuple):
    feed: str
    symbol: str
    from_ns: int


class Suspects:
    """Which suspicions stand, and the entries that tell of them."""

    def __init__(self) -> None:
        self._by_alarm: dict[tuple[str, str, str, str, int], Suspect] = {}
        self._used: OrderedDict[_Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._by_alarm)

    def standing(self) -> list[Suspect]:
        """The suspicions that have no end yet."""
        return list(self._by_alarm.values())

    def take(self, alarm: Alarm) -> Suspect | LateFeed | None:
        """The entry of an alarm or of its end; None for the end of one that is not known."""
        if alarm.kind == "lag":
            return LateFeed(alarm.feed, alarm.since_ns, alarm.until_ns, alarm.words)
        known = (alarm.kind, alarm.feed, alarm.channel, alarm.symbol, alarm.since_ns)
        if alarm.until_ns is not None:
            began = self._by_alarm.pop(known, None)
            return None if began is None else _ended(began, alarm.until_ns)
        gap = GapSaid(
            from_ns=self._beginning(alarm.feed, alarm.symbol, alarm.since_ns),
            cause=alarm.words,
            symbol=alarm.symbol,
            channels=_CHANNELS.get(alarm.channel, alarm.channel),
            state="suspect",
        )
        self._by_alarm[known] = Suspect(alarm.feed, gap)
        return self._by_alarm[known]

    def damaged(self, feed: str, hole: Hole) -> Damaged:
        """The entry of what is not in a feed's journal any more: that is no suspicion."""
        from_ns = self._beginning(feed, "", hole.from_ns)
        gap = GapSaid(from_ns, max(hole.to_ns, from_ns + 1), DAMAGED)
        return Damaged(feed, gap, place_of(hole.until))

    def _beginning(self, feed: str, symbol: str, since_ns: int) -> int:
        from_ns = since_ns + 1
        while _Key(feed, symbol, from_ns) in self._used:
            from_ns += 1
        self._remember(_Key(feed, symbol, from_ns))
        return from_ns

    def _remember(self, key: _Key) -> None:
        self._used[key] = None
        if len(self._used) > _ENDED_MAX:
            self._used.popitem(last=False)

    def end_all(self, until_ns: Mapping[str, int]) -> list[Suspect]:
        """Nobody watches from here on: the ends of all that stand; `until_ns` is by feed."""
        ended = [_ended(each, until_ns[each.feed]) for each in self._by_alarm.values()]
        self._by_alarm.clear()
        return ended

    def end_left_over(
        self, left_over: Iterable[Suspect], until_ns: Mapping[str, int]
    ) -> list[Suspect]:
        """The ends of what stood when the process before this one was killed.

        `until_ns` is by feed when it last brought something: what came while nobody watched is
        looked through anew, and what is still wrong then has a beginning of its own.
        """
        found = []
        for each in left_over:
            self._remember(_Key(each.feed, each.gap.symbol, each.gap.from_ns))
            found.append(_ended(each, until_ns.get(each.feed, 0)))
        return found


def _ended(suspect: Suspect, until_ns: int) -> Suspect:
    gap = suspect.gap
    said = GapSaid(
        from_ns=gap.from_ns,
        # The clock may have been set back meanwhile; a gap never ends before it begins.
        to_ns=max(until_ns, gap.from_ns + 1),
        cause=gap.cause,
        symbol=gap.symbol,
        channels=gap.channels,
        state="suspect",
    )
    return Suspect(suspect.feed, said)
