"""Where a feed's gaps are healed from, and what is wrong with what a config says of that.

Nobody is ever asked whom the config does not name: a stream that is not Alpaca's own has no REST
interface unless one is given.
"""

from urllib.parse import urlsplit

from ticktape.config.reading import Faults
from ticktape.config.streams import NEWS, STOCKS, stream_of
from ticktape.config.tables import FeedConfig

AUTO = "auto"
OFF = "off"

# Source: docs.alpaca.markets, real-time data and historical data (seen 2026-08).
_BASES = {
    "stream.data.alpaca.markets": "https://data.alpaca.markets",
    "stream.data.sandbox.alpaca.markets": "https://data.sandbox.alpaca.markets",
}
# Path of a stream -> what REST calls it. Delayed SIP is SIP, and its history is no different.
_FEEDS = {
    "/v2/iex": "iex",
    "/v2/sip": "sip",
    "/v2/delayed_sip": "sip",
    "/v2/otc": "otc",
    "/v1beta1/boats": "boats",
}


def heal_base(feed: FeedConfig) -> str:
    """The address of the REST interface that heals a feed, without a version; "" for none."""
    if feed.kind != "alpaca" or feed.heal == OFF or stream_of(feed) is NEWS:
        return ""
    if feed.heal != AUTO:
        return feed.heal.rstrip("/")
    base = _BASES.get(urlsplit(feed.url).hostname or "", "")
    if base and stream_of(feed) is STOCKS and not heal_feed_of(feed):
        return ""  # the test stream's prices have no history
    return base


def heal_feed_of(feed: FeedConfig) -> str:
    """What REST calls the feed's stream; "" when it has no name for it, as for crypto."""
    return feed.heal_feed or _FEEDS.get(urlsplit(feed.url).path.rstrip("/"), "")


def check_healing(feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults) -> None:
    """Note what is wrong with how a feed's gaps are to be healed."""
    if "heal" in wrong or feed.heal in (AUTO, OFF):
        return
    if feed.kind != "alpaca":
        faults.add(f"{place}.heal", "is for kind alpaca; leave it out")
    elif not _is_base(feed.heal):
        words = 'must be "auto", "off" or an address, like https://data.alpaca.markets'
        faults.add(f"{place}.heal", f"{words}, without user, password, ? or #")


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port_fits = parts.port is None or parts.port > 0
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or "@" in parts.netloc or " " in url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and port_fits and plain
