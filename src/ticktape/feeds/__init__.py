"""Feeds: a venue's bytes become journal entries; one capture process per feed.

`states`, `gapkeeper`, `backoff` and the venues' protocols are pure; `socket`, `session` and
`capture` are the rim. Nothing here decodes a data message. A new venue is a class with `open`,
`is_control`, `receive` and `change`, added to `KINDS` or to the entry-point group `ticktape.feeds`
of a package of its own (docs/how-to/own-feed.md).
"""

from collections.abc import Callable
from functools import partial

from ticktape.config.packages import FEEDS, load, unusable
from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.alpaca_v1 import AlpacaV1Protocol
from ticktape.feeds.alpaca_wire import upgrade_headers as alpaca_headers
from ticktape.feeds.protocol import Channels, VenueProtocol

ProtocolMaker = Callable[[str, str, Channels], VenueProtocol]

KINDS: dict[str, ProtocolMaker] = {
    "alpaca": AlpacaProtocol,
    "alpaca_v1": AlpacaV1Protocol,
}


def protocol_maker(kind: str, *, encoding: str = "json", auth: str = "message") -> ProtocolMaker:
    """How to make one session's protocol: called with key, secret and our channel -> symbols.

    `encoding` and `auth` are the config's, and Alpaca's alone.

    Raises:
        ConfigError: no such kind, here or in an installed package that can be imported.
    """
    if kind == "alpaca":
        return partial(
            AlpacaProtocol, is_binary=encoding == "msgpack", by_headers=auth == "headers"
        )
    return KINDS[kind] if kind in KINDS else load(FEEDS, kind)


def upgrade_headers(
    kind: str, key: str, secret: str, *, encoding: str, auth: str
) -> dict[str, str]:
    """What the upgrade request of a session says besides; it may hold the keys: never show it.

    A protocol of a package says it with a static method `upgrade_headers(key, secret)`, if it has
    anything to say.

    Raises:
        ConfigError: as `protocol_maker`, or that method fails.
    """
    if kind == "alpaca":
        return alpaca_headers(
            key, secret, is_binary=encoding == "msgpack", by_headers=auth == "headers"
        )
    say = getattr(protocol_maker(kind), "upgrade_headers", None)
    if say is None:
        return {}
    try:
        return dict(say(key, secret))
    except Exception as error:  # noqa: BLE001 - a package may raise anything
        # Only its type, and `from None`: its words may hold the keys.
        words = f"its upgrade_headers fails with {type(error).__name__}"
        raise unusable(FEEDS, kind, RuntimeError(words)) from None
