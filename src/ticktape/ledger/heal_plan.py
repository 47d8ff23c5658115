"""What REST can give back of a gap, and what to ask for it: pure.

More is asked for than was lost, by an overlap on both sides: what both the stream and REST have is
matched later, row by row, and what only one has stays. Nothing here may promise what cannot be
had: a channel without a history makes its gap unhealable.

Source: reference of Alpaca's historical data (docs.alpaca.markets, seen 2026-08).
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from ticktape import clock
from ticktape.ledger.paging import ROWS_ASKED, Chain, grouped

Channels = dict[str, list[str]]
"""Channel -> symbols, in the config's words."""

OVERLAP_NS = 2 * clock.NS_PER_S
# Off-exchange trades reach SIP up to 10 s late by the rule (FINRA 6380A), and later by mistake.
SIP_OVERLAP_NS = 15 * clock.NS_PER_S
_STRANGE_NS = 2 * clock.NS_PER_S  # so far the rows of one feed are usually not apart
_TOLD_NS = clock.NS_PER_S  # a lag below that is no news
_MINUTE_NS = 60 * clock.NS_PER_S
STAR = "*"

_NO_HISTORY = {
    "orderbooks": "the changes of an order book have no history",
    "updated_bars": "REST has a bar as it stands now, not each version that was sent",
    "daily_bars": "REST has a bar as it stands now, not each version that was sent",
    "statuses": "statuses cannot be asked again",
    "lulds": "limit bands cannot be asked again",
    "imbalances": "imbalances cannot be asked again",
    "news": "news is not healed",
    "quotes": "quotes of options have no history",
}


class Family(NamedTuple):
    """One kind of stream as REST has it.

    `names_feed`: it wants to be told which feed, and to leave symbols as they were then.
    """

    path: str
    channels: frozenset[str]
    names_feed: bool


def family_of(url: str) -> Family:
    """What REST has of the stream at this URL."""
    path = urlsplit(url).path.rstrip("/")
    if path.startswith("/v1beta3/crypto/"):
        return Family(path, frozenset({"trades", "quotes", "bars"}), names_feed=False)
    if path in ("/v1beta1/opra", "/v1beta1/indicative"):
        return Family("/v1beta1/options", frozenset({"trades"}), names_feed=False)
    if path == "/v1beta1/news":
        return Family("", frozenset(), names_feed=False)
    return Family("/v2/stocks", frozenset({"trades", "quotes", "bars"}), names_feed=True)


class Parts(NamedTuple):
    """What was subscribed in a gap: `healable` by channel, and why the `lost` ones are not."""

    healable: Channels
    lost: dict[str, str]


def parts_of(subscribed: Mapping[str, Iterable[str]], family: Family) -> Parts:
    """Tell what can be had again from what cannot."""
    wanted = {channel: sorted(set(s)) for channel, s in subscribed.items()}
    wanted = {channel: symbols for channel, symbols in wanted.items() if symbols}
    healable = {c: symbols for c, symbols in wanted.items() if c in family.channels}
    lost = {
        channel: _NO_HISTORY.get(channel, f"{channel} cannot be asked again")
        for channel in wanted
        if channel not in family.channels
    }
    return Parts(healable, lost)


def concerned(subscribed: Channels, symbol: str, channels: str) -> Channels:
    """What of a subscription a gap is about: one symbol or all, some channels or all."""
    named = [name for name in channels.split(",") if name]
    if not symbol:
        return {c: s for c, s in subscribed.items() if not named or c in named}
    if named:
        return {channel: [symbol] for channel in named}
    return {c: [symbol] for c, s in subscribed.items() if symbol in s or STAR in s}


class Around(NamedTuple):
    """What the feed's journal says around a gap.

    `event_ns` is the newest time of the venue that came before it, None when nothing did. `lag_ns`
    is how far our clock was ahead of the venue's at least: some milliseconds live, years when a
    tape is played, less than nothing when our clock is behind. `spread_ns` is how much more it
    usually was. `symbols` are those seen, by channel.
    """

    event_ns: int | None
    lag_ns: int
    symbols: Channels
    spread_ns: int = 0

    def words(self) -> str:
        """What is strange about the lag; "" when nothing is."""
        lag_s, most_s = (
            self.lag_ns / clock.NS_PER_S,
            (self.lag_ns + self.spread_ns) / clock.NS_PER_S,
        )
        if self.spread_ns > _STRANGE_NS:
            return (
                f"what came around it was {lag_s:,.1f} to {most_s:,.1f} s late by our clock, so"
                " that more was asked for on both sides"
            )
        if self.lag_ns < -_TOLD_NS:
            return f"our clock was {-lag_s:,.1f} s behind the venue's"
        if self.lag_ns > _TOLD_NS:
            days = lag_s / 86_400
            late = f"{lag_s:,.1f} s" if days < 1 else f"{days:,.0f} days"
            return f"what came was {late} late by our clock"
        return ""


class Window(NamedTuple):
    """Times of the venue, both inclusive."""

    from_ns: int
    to_ns: int


def window_of(from_ns: int, to_ns: int, around: Around, overlap_ns: int) -> Window:
    """Which times of the venue a gap may have taken, with the overlap.

    Whatever was lost was sent before the gap ended; by the venue's clock that is our time less the
    smallest lag. Where the lag is not the same on both sides a clock may have been set meanwhile,
    and no side is believed alone.
    """
    start_ns = from_ns - around.lag_ns - around.spread_ns
    end_ns = to_ns - around.lag_ns
    if around.spread_ns > _STRANGE_NS:
        end_ns += around.spread_ns
    if around.event_ns is not None:
        start_ns = min(start_ns, around.event_ns)
        end_ns = max(end_ns, around.event_ns + to_ns - from_ns)
    return Window(start_ns - overlap_ns, max(end_ns, start_ns) + overlap_ns)


def chains_of(
    channel: str,
    symbols: Iterable[str],
    window: Window,
    family: Family,
    feed: str,
    begun: Iterable[Chain] = (),
) -> list[Chain]:
    """The requests for one channel; those that were `begun` and ask for all of it stay.

    Without this a restart, which has seen other symbols by then, would ask all of it again.
    """
    path = f"{family.path}/{channel}"
    wanted = _query(channel, window, family, feed)
    found = [chain for chain in begun if chain.path == path and _has(chain.query, wanted)]
    covered = {symbol for chain in found for symbol in chain.symbols}
    for group in grouped(set(symbols) - covered - {STAR}):
        found.append(Chain(path, {"symbols": ",".join(group)} | wanted))
    return found


def _has(query: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a request asks for all that is wanted of its symbols."""
    same = all(query.get(name) == wanted[name] for name in wanted.keys() - _TIMES)
    # Our own times all have nine digits, so that they compare as texts.
    return same and query["start"] <= wanted["start"] and query["end"] >= wanted["end"]


_TIMES = {"start", "end"}


def _query(channel: str, window: Window, family: Family, feed: str) -> dict[str, str]:
    # A bar is sent when its minute is over: lost are those whose minutes ended in the window. And
    # those that began in it are asked for, too: that is what a window says of bars.
    back_ns = _MINUTE_NS if channel == "bars" else 0
    query = {
        "start": clock.iso_utc(window.from_ns - back_ns),
        "end": clock.iso_utc(window.to_ns),
        "limit": str(ROWS_ASKED),
        "sort": "asc",
    }
    if channel == "bars":
        query["timeframe"] = "1Min"
    if family.names_feed:
        query["asof"] = "-"
        if feed:
            query["feed"] = feed
    return query


def words_of(
    rows: Mapping[str, int], parts: Parts, seen: Mapping[str, int], where: str = "in it"
) -> str:
    """What was found, for people: rows by channel, what stays lost, whom a star stood for.

    `where` names the times of which so many came: with the overlap they are more than were lost.
    """
    said = [f"{count:,} {channel}" for channel, count in rows.items()]
    words = f"REST has {', '.join(said)} {where}" if said else "nothing of it can be asked again"
    if seen:
        most = max(seen.values())
        words += (
            f"; of all symbols' {', '.join(seen)} it could ask for the {most:,} seen, not for one"
            " that traded in the gap alone"
        )
    for channel, reason in parts.lost.items():
        words += f"; {channel} stay lost: {reason}"
    return words
