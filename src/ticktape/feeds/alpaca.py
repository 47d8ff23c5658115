"""Alpaca's stream protocol v2 (`auth`, `subscribe`): pure, no socket, no clock.

Nothing here sees a message before the journal has it, and data messages are not looked into at all.

Source: docs.alpaca.markets, real-time stock data and streaming pages (seen 2026-01 and 2026-08).
"""

from typing import NamedTuple

import msgspec

from ticktape.feeds.protocol import (
    Action,
    Authenticated,
    Channels,
    Fail,
    Notice,
    Ready,
    Send,
)

# Our words for channels (config) -> Alpaca's.
CHANNELS = {
    "trades": "trades",
    "quotes": "quotes",
    "bars": "bars",
    "updated_bars": "updatedBars",
    "daily_bars": "dailyBars",
    "statuses": "statuses",
    "lulds": "lulds",
}
_HEAD_BYTES = 48  # a control message names its type in the first bytes of its only element


class Policy(NamedTuple):
    """What an error code means for a recorder."""

    fatal: bool
    words: str
    hint: str
    wait_s: float = 0.0


# Codes and texts: Alpaca's documentation; policies: what a recorder can do about each.
POLICIES: dict[int, Policy] = {
    400: Policy(False, "invalid syntax", "This is our bug if the symbols are well formed."),
    401: Policy(False, "not authenticated", "A new session authenticates again."),
    402: Policy(
        True,
        "authentication failed",
        "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY (or the keys = … of this feed).",
    ),
    404: Policy(False, "authentication came too late", "A new session authenticates at once."),
    406: Policy(
        False,
        "connection limit exceeded: another session holds this account's slot",
        "Stop the other recorder; after a crash the venue frees the slot within 90 s. Waiting.",
        0.5,
    ),
    407: Policy(False, "slow client: the venue dropped us", "Reconnecting; the gap is recorded."),
    408: Policy(True, "this account has no data API v2", "Ask Alpaca to enable it."),
    409: Policy(
        True,
        "insufficient subscription: this feed is not in your plan",
        "Use the iex feed (…/v2/iex), or subscribe to the plan that has this one.",
    ),
    411: Policy(True, "insufficient scope of the token", "Make a token with market-data scope."),
    412: Policy(
        True, "option messages need MessagePack", 'Set encoding = "msgpack" for this feed.'
    ),
    500: Policy(False, "internal error at the venue", "Reconnecting; the gap is recorded."),
}
_REFUSED_SUBSCRIPTION = {400, 405, 410, 413}
_SUBSCRIPTION_HINTS = {
    400: "A channel or symbol is malformed; the rest is recorded.",
    405: "The plan allows fewer symbols (30 on the free one); shorten the lists.",
    410: "This stream does not have that channel.",
    413: "Quotes of options cannot be subscribed with a star.",
}


class _Control(msgspec.Struct):
    T: str
    msg: str = ""
    code: int = 0


class _Ack(msgspec.Struct):
    T: str
    trades: list[str] | None = None
    quotes: list[str] | None = None
    bars: list[str] | None = None
    updatedBars: list[str] | None = None
    dailyBars: list[str] | None = None
    statuses: list[str] | None = None
    lulds: list[str] | None = None


_control = msgspec.json.Decoder(list[_Control])
_ack = msgspec.json.Decoder(list[_Ack])
_encode = msgspec.json.encode


class AlpacaProtocol:
    """One session of protocol v2.

    A subscription that the venue refuses as a whole (too many symbols) is asked for again in
    halves, in the
    order of the config, so that as much is recorded as the plan allows; the rest is `missing`.

    Args:
        key: the account's key id.
        secret: its secret.
        wanted: our channel -> symbols.
    """

    def __init__(self, key: str, secret: str, wanted: Channels) -> None:
        self._key = key
        self._secret = secret
        self._wanted = {(CHANNELS[channel], s) for channel, ss in wanted.items() for s in ss}
        ordered = [(CHANNELS[channel], s) for channel, ss in wanted.items() for s in ss]
        self._pieces: list[list[tuple[str, str]]] = [ordered]
        self._asked: list[tuple[str, str]] = []
        self._acknowledged: set[tuple[str, str]] = set()
        self._refusals: list[str] = []
        self._ready = False

    def open(self) -> list[Action]:
        """Nothing: the venue greets first."""
        return []

    def is_control(self, payload: bytes) -> bool:
        """Whether the first element may be success, error or subscription."""
        head = payload[:_HEAD_BYTES]
        return b'"error"' in head or b'"success"' in head or b'"subscription"' in head

    def receive(self, payload: bytes) -> list[Action]:
        """Act on a control message; anything unreadable is left to the decoders."""
        try:
            messages = _control.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return []
        actions: list[Action] = []
        for message in messages:
            if message.T == "success":
                actions += self._success(message.msg)
            elif message.T == "error":
                actions += self._error(message.code, message.msg)
            elif message.T == "subscription":
                actions += self._subscription(payload)
        return actions

    def _success(self, words: str) -> list[Action]:
        if words == "connected":
            login = {"action": "auth", "key": self._key, "secret": self._secret}
            return [Send(_encode(login))]
        if words == "authenticated":
            return [Authenticated(), *self._ask_next()]
        return [Notice(0, f"success: {words}")]

    def _ask_next(self) -> list[Action]:
        while self._pieces:
            self._asked = self._pieces.pop(0)
            if self._asked:
                request: dict[str, object] = {"action": "subscribe"}
                for channel, symbol in self._asked:
                    request.setdefault(channel, []).append(symbol)  # type: ignore[attr-defined]
                return [Send(_encode(request))]
        self._asked = []
        self._ready = True
        missing = self._wanted - self._acknowledged
        if missing and not self._acknowledged:
            words = "; ".join(dict.fromkeys(self._refusals)) or "nothing was acknowledged"
            return [Fail(405, words, _SUBSCRIPTION_HINTS[405], fatal=True)]
        words = "; ".join(dict.fromkeys(self._refusals)) or "not acknowledged"
        return [Ready(_grouped(self._acknowledged), _grouped(missing), words if missing else "")]

    def _error(self, code: int, words: str) -> list[Action]:
        if code == 403:
            return []
        if code in _REFUSED_SUBSCRIPTION and self._asked:
            return self._refused(code, words)
        policy = POLICIES.get(code)
        if policy is None:
            return [Notice(code, words)]
        if self._ready and code in (400, 405, 410, 413):
            return [Notice(code, words)]
        said = f"{policy.words} ({code} {words!r})"
        return [Fail(code, said, policy.hint, policy.fatal, policy.wait_s)]

    def _refused(self, code: int, words: str) -> list[Action]:
        self._refusals.append(f"{words} ({code}): {_SUBSCRIPTION_HINTS[code]}")
        asked, self._asked = self._asked, []
        if len(asked) > 1:
            half = (len(asked) + 1) // 2
            self._pieces = [asked[:half], asked[half:], *self._pieces]
        elif code == 405:
            # The plan is full: what is left cannot fit either, but for bars, which do not count.
            self._pieces = [
                [pair for pair in piece if pair[0] not in ("trades", "quotes")]
                for piece in self._pieces
            ]
        return self._ask_next()

    def _subscription(self, payload: bytes) -> list[Action]:
        message = _ack.decode(payload)[0]
        told = {
            (channel, symbol)
            for channel in CHANNELS.values()
            for symbol in getattr(message, channel) or ()
        }
        self._acknowledged = told & self._wanted
        if self._ready:
            missing = self._wanted - told
            return [Ready(_grouped(told), _grouped(missing), "not acknowledged" if missing else "")]
        return self._ask_next()


def _grouped(pairs: set[tuple[str, str]]) -> Channels:
    channels: Channels = {}
    for channel, symbol in sorted(pairs):
        channels.setdefault(channel, []).append(symbol)
    return channels
