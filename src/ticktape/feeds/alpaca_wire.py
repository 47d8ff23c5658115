"""Alpaca's words and bytes on protocol v2: channels, both encodings, headers. Pure.

JSON and MessagePack carry the same maps. Which one a session speaks, its upgrade request says; a
control message is understood in either, for an error may come before the venue has chosen.

Source: docs.alpaca.markets, pages of the real-time streams (seen 2026-01 and 2026-08).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

# Our words for channels (config) -> Alpaca's. Corrections and cancels come with trades.
CHANNELS = {
    "trades": "trades",
    "quotes": "quotes",
    "bars": "bars",
    "updated_bars": "updatedBars",
    "daily_bars": "dailyBars",
    "statuses": "statuses",
    "lulds": "lulds",
    "imbalances": "imbalances",
    "orderbooks": "orderbooks",
    "news": "news",
}

OUR_WORDS = {theirs: ours for ours, theirs in CHANNELS.items()}

Pair = tuple[str, str]
"""Alpaca's channel, symbol."""

_DATA = ("t", "q", "b", "u", "d", "c", "x", "s", "l", "i", "o", "n")
HEAD_BYTES = 48  # a control message names its type in the first bytes of its only element
_REQUEST_BYTES = 30_000  # the venue takes frames up to 32 KiB (alpaca-trade-api-python#319)
# Alpaca's two kinds of token, as a message names them in the place of the key.
_TOKENS = ("oauth", "access_token")


class Control(msgspec.Struct):
    """A control message, as far as all kinds of it are alike."""

    T: str
    msg: str | None = None
    code: int | None = None


Ack = msgspec.defstruct("Ack", [(name, list[str] | None, None) for name in CHANNELS.values()])
"""The whole state of a subscription; a channel that is not named has no symbols."""


class Wire(NamedTuple):
    """One encoding.

    `type_at` is where a data message's type stands as the venue writes it, `data_types` what stands
    there. `controls` are the types of control messages as they are written, wherever they stand.
    """

    is_binary: bool
    type_at: slice
    data_types: frozenset[bytes]
    controls: tuple[bytes, bytes, bytes]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], list[Control]]
    pieces: Callable[[bytes], list[msgspec.Raw]]
    ack: Callable[[bytes], Any]


# Lax: a code that comes as text is still that code.
JSON = Wire(
    False,
    slice(6, 9),  # [{"T":"t"
    frozenset(f'"{kind}"'.encode() for kind in _DATA),
    (b'"error"', b'"success"', b'"subscription"'),
    msgspec.json.encode,
    msgspec.json.Decoder(list[Control], strict=False).decode,
    msgspec.json.Decoder(list[msgspec.Raw]).decode,
    msgspec.json.Decoder(Ack).decode,
)
# An array of up to 15 maps of up to 15 keys, and the type first, as the Go client insists. Longer
# arrays have their type further on, and are looked at twice.
MSGPACK = Wire(
    True,
    slice(2, 6),
    frozenset(b"\xa1T\xa1" + kind.encode() for kind in _DATA),
    (b"\xa5error", b"\xa7success", b"\xacsubscription"),
    msgspec.msgpack.encode,
    msgspec.msgpack.Decoder(list[Control], strict=False).decode,
    msgspec.msgpack.Decoder(list[msgspec.Raw]).decode,
    msgspec.msgpack.Decoder(Ack).decode,
)
ANY_CONTROL = JSON.controls + MSGPACK.controls


def wire_of(payload: bytes) -> Wire:
    """The encoding that a message is in: no array of MessagePack begins as JSON does."""
    return JSON if payload[:1] in (b"[", b"{", b" ", b"\n", b"\r", b"\t") else MSGPACK


def upgrade_headers(
    key: str, secret: str, *, is_binary: bool = False, by_headers: bool = False
) -> dict[str, str]:
    """What the upgrade request says besides: the encoding and, if they go this way, the keys."""
    headers = {"Content-Type": "application/msgpack"} if is_binary else {}
    if by_headers and key in _TOKENS:
        headers["Authorization"] = f"Bearer {secret}"
    elif by_headers:
        headers |= {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": secret}
    return headers


def cut_to_size(pairs: Sequence[Pair]) -> list[list[Pair]]:
    """The pairs in requests that each fit into one frame which the venue takes."""
    requests: list[list[Pair]] = []
    size = _REQUEST_BYTES
    for pair in pairs:
        more = len(msgspec.json.encode(pair[1])) + len(",")  # MessagePack is shorter
        if size + more > _REQUEST_BYTES:
            requests.append([])
            size = 0
        size += more
        requests[-1].append(pair)
    return requests


def by_channel(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """Alpaca's channel -> symbols, in the order of the pairs."""
    channels: dict[str, list[str]] = {}
    for channel, symbol in pairs:
        channels.setdefault(channel, []).append(symbol)
    return channels
