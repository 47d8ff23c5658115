"""Feeds: a venue's bytes become journal entries; one capture process per feed.

`states`, `gapkeeper`, `backoff` and the venues' protocols are pure; `socket`, `session` and
`capture` are the rim. Nothing here decodes a data message. A new venue is a class with `open`,
`is_control`, `receive` and `change`, added to `KINDS` or to the entry-point group `ticktape.feeds`
of a package of its own.
"""

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points

from ticktape.errors import ConfigError
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
        ConfigError: no such kind, here or in an installed package.
    """
    if kind == "alpaca":
        return partial(
            AlpacaProtocol, is_binary=encoding == "msgpack", by_headers=auth == "headers"
        )
    if kind in KINDS:
        return KINDS[kind]
    for entry in entry_points(group="ticktape.feeds"):
        if entry.name == kind:
            maker: ProtocolMaker = entry.load()
            return maker
    raise ConfigError(
        [f"kind {kind!r} is not known"],
        hint=f"Known kinds: {', '.join(sorted(KINDS))}; others come as packages.",
    )


def upgrade_headers(
    kind: str, key: str, secret: str, *, encoding: str, auth: str
) -> dict[str, str]:
    """What the upgrade request of a session says besides; it may hold the keys: never show it."""
    if kind != "alpaca":
        return {}
    return alpaca_headers(
        key, secret, is_binary=encoding == "msgpack", by_headers=auth == "headers"
    )
