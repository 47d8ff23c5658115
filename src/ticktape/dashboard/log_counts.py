"""The recorder's log of state changes, folded into what metrics count; pure.

States (which feed is down, which alarm stands) are those of the whole log; counters begin with the
lines that come after `begin`, so that a reader of the log that is started again counts nothing
twice.
"""

from collections import Counter
from typing import Any, Final

import msgspec

_CAPTURE: Final = "capture-"
_ENDINGS: Final = (0, 4, 5)  # as planned, refused by the venue, stopped by the strategy itself
_FEEDS_MAX: Final = 1_000
_OPEN_MAX: Final = 100_000  # symbols; a feed has 30,000 at most
_DECODE: Final = msgspec.json.Decoder(dict[str, Any])
_NS_PER_S: Final = 1_000_000_000


class FeedCounts:
    """A feed by its session's events; `is_down` and `is_planned` as they are now."""

    def __init__(self) -> None:
        self.is_down = True
        self.is_planned = True
        self.symbol_gaps: set[tuple[str, int]] = set()
        self.counts: Counter[str] = Counter()
        self.gap_s = 0.0


class LogCounts:
    """Takes the log's lines in their order."""

    def __init__(self) -> None:
        self.feeds: dict[str, FeedCounts] = {}
        self.alarms: dict[tuple[str, str, str, str], bool] = {}
        self.raised: Counter[tuple[str, str]] = Counter()
        self.exits: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()

    def begin(self) -> None:
        """Set all counters to zero; states stay."""
        for feed in self.feeds.values():
            feed.counts.clear()
            feed.gap_s = 0.0
        for counter in (self.raised, self.exits, self.troubles):
            counter.clear()

    def add(self, raw: bytes) -> None:
        """Take one line; what is none of the recorder's is passed over."""
        try:
            said = _DECODE.decode(raw)
        except msgspec.DecodeError:
            return
        child, event = str(said.get("child", "")), said.get("event")
        if event == "session" and child.startswith(_CAPTURE):
            content = said.get("content")
            if isinstance(content, dict):
                self._session(child.removeprefix(_CAPTURE), content)
        elif event == "alarm":
            self._alarm(said)
        elif event == "exit":
            self.exits[child] += said.get("code") not in _ENDINGS
        elif event in ("trouble", "decision_error", "failed", "hung"):
            self.troubles[child] += 1
        elif event in ("healed", "unhealable"):
            self._feed(str(said.get("feed", ""))).counts[str(event)] += 1

    def _feed(self, name: str) -> FeedCounts:
        feed = self.feeds.get(name)
        if feed is None:
            feed = FeedCounts()
            if len(self.feeds) < _FEEDS_MAX:
                self.feeds[name] = feed
        return feed

    def _session(self, name: str, content: dict[str, Any]) -> None:
        feed, event = self._feed(name), content.get("event")
        feed.is_down = bool(content.get("down_since_ns"))
        feed.is_planned = bool(content.get("planned"))
        if event == "connecting":
            feed.counts["sessions"] += 1
        elif event in ("healing", "healed", "unhealable"):
            feed.counts[event] += 1
            return  # of a gap that was counted when it ended
        gaps = [content.get("gap"), *(content.get("gaps") or ())]
        for gap in gaps:
            if isinstance(gap, dict) and not gap.get("planned"):
                _take_gap(feed, gap)

    def _alarm(self, said: dict[str, Any]) -> None:
        feed, kind, channel, symbol = (
            str(said.get(name, "")) for name in ("feed", "kind", "channel", "symbol")
        )
        if said.get("open"):
            self.raised[feed, kind] += 1
            if len(self.alarms) < _OPEN_MAX:
                self.alarms[feed, kind, channel, symbol] = True
        else:
            self.alarms.pop((feed, kind, channel, symbol), None)

    def standing(self) -> Counter[tuple[str, str]]:
        """(feed, kind) -> alarms that stand."""
        return Counter((feed, kind) for feed, kind, _, _ in self.alarms)


def _take_gap(feed: FeedCounts, gap: dict[str, Any]) -> None:
    from_ns, to_ns, symbol = gap.get("from_ns"), gap.get("to_ns"), str(gap.get("symbol", ""))
    if not isinstance(from_ns, int):
        return
    if not isinstance(to_ns, int):
        # One of the whole feed is open for as long as the feed is down, which is known anyhow.
        if symbol and len(feed.symbol_gaps) < _OPEN_MAX:
            feed.symbol_gaps.add((symbol, from_ns))
        return
    feed.symbol_gaps.discard((symbol, from_ns))
    feed.counts["gaps"] += 1
    if not symbol:
        feed.gap_s += max(0, to_ns - from_ns) / _NS_PER_S
