"""Feeds: a venue's bytes become journal entries; one capture process per feed.

`states`, `gapkeeper`, `backoff` and the venues' protocols are pure; `socket`, `session` and
`capture` are the rim. Nothing here decodes a data message. A new venue is a class with `open`,
`is_control` and `receive`, added to `KINDS` or to the entry-point group `ticktape.feeds` of a
package of its own.
"""

from collections.abc import Callable
from importlib.metadata import entry_points

from ticktape.errors import ConfigError
from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.alpaca_v1 import AlpacaV1Protocol
from ticktape.feeds.protocol import Channels, VenueProtocol

ProtocolMaker = Callable[[str, str, Channels], VenueProtocol]

KINDS: dict[str, ProtocolMaker] = {
    "alpaca": AlpacaProtocol,
    "alpaca_v1": AlpacaV1Protocol,
}


def protocol_maker(kind: str) -> ProtocolMaker:
    """How to make one session's protocol: called with key, secret and our channel -> symbols.

    Raises:
        ConfigError: no such kind, here or in an installed package.
    """
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
