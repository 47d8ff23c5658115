"""How long each feed waits before its first connection: those of one host come one after another.

Alpaca answers HTTP 429 to four streams that knock together (Lean.Brokerages.Alpaca#37). A feed that
is started again does not wait: it has data to miss.
"""

from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit

from ticktape.config import FeedConfig

_PORTS = {"ws": 80, "wss": 443}


def start_waits(feeds: Iterable[FeedConfig]) -> dict[str, float]:
    """Feed -> seconds before its first connection; a terminal has no host that would count."""
    before: Counter[tuple[str | None, int | None]] = Counter()
    waits = {}
    for feed in feeds:
        if feed.kind == "mt5":
            continue
        parts = urlsplit(feed.url)
        server = (parts.hostname, parts.port or _PORTS.get(parts.scheme))
        waits[feed.name] = before[server] * feed.stagger_s
        before[server] += 1
    return waits
