"""Alpaca's stream protocol v2 (`auth`, `subscribe`): pure, no socket, no clock.

Nothing here sees a message before the journal has it, and data messages are not looked into at all.

Source: docs.alpaca.markets, real-time stock data and streaming pages (seen 2026-01 and 2026-08).
"""

from collections import Counter
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
_LIMITED = ("trades", "quotes")  # what a plan's number of symbols counts; the others are free
# [{"T":"t" as the venue writes it: where the type stands, and the types that are data.
_TYPE = slice(6, 9)
_DATA_TYPES = frozenset((b'"t"', b'"q"', b'"b"', b'"u"', b'"d"', b'"c"', b'"x"', b'"s"', b'"l"'))
_HEAD_BYTES = 48  # a control message names its type in the first bytes of its only element
_REQUEST_BYTES = 30_000  # the venue takes frames up to 32 KiB (alpaca-trade-api-python#319)
_REFUSALS_MAX = 64  # of one channel: a few bad symbols are found; a channel of them is given up

Pair = tuple[str, str]
"""Alpaca's channel, symbol."""


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
REFUSED_SUBSCRIPTION = {
    400: "A channel or symbol is malformed; the rest is recorded.",
    405: "The plan allows fewer symbols (30 on the free one); shorten the lists.",
    410: "This stream does not have that channel.",
    413: "Quotes of options cannot be subscribed with a star.",
}


class _Control(msgspec.Struct):
    T: str
    msg: str | None = None
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


# Lax: a code that comes as text is still that code.
_controls = msgspec.json.Decoder(list[_Control], strict=False)
_pieces = msgspec.json.Decoder(list[msgspec.Raw])
_ack = msgspec.json.Decoder(_Ack)
_encode = msgspec.json.encode


class AlpacaProtocol:
    """One session of protocol v2.

    What the venue refuses as a whole is asked for again channel by channel and in halves, in the
    order of the config, so that as much is recorded as the plan allows; the rest is `missing`.

    Args:
        key: the account's key id.
        secret: its secret.
        wanted: our channel -> symbols.
    """

    def __init__(self, key: str, secret: str, wanted: Channels) -> None:
        self._key = key
        self._secret = secret
        ordered = [(CHANNELS[channel], s) for channel, ss in wanted.items() for s in ss]
        self._wanted = set(ordered)
        self._requests = _cut_to_size(ordered)
        self._asked: list[Pair] = []
        self._acknowledged: set[Pair] = set()
        self._refusals: dict[str, None] = {}
        self._hint = REFUSED_SUBSCRIPTION[400]
        self._refused_of: Counter[str] = Counter()
        self._authenticated = False
        self._unreadable = False
        self._ready = False

    def open(self) -> list[Action]:
        """Nothing: the venue greets first."""
        return []

    def is_control(self, payload: bytes) -> bool:
        """Whether an element may be success, error or subscription.

        Once data flows only the first bytes are looked at: control messages come alone, their type
        first. Until then all of it is: nothing is in a hurry yet.
        """
        if self._ready:
            if payload[_TYPE] in _DATA_TYPES:
                return False
            head = payload[:_HEAD_BYTES]
        else:
            head = payload
        return b'"error"' in head or b'"success"' in head or b'"subscription"' in head

    def receive(self, payload: bytes) -> list[Action]:
        """Act on a control message; what cannot be read is said, and left to the decoders."""
        try:
            messages = _controls.decode(payload)
        except (ValueError, RecursionError) as error:
            return [Notice(0, f"a control message cannot be read ({error})")]
        actions: list[Action] = []
        for index, message in enumerate(messages):
            if message.T == "success":
                actions += self._success(message.msg or "")
            elif message.T == "error":
                actions += self._error(message.code, message.msg or "")
            elif message.T == "subscription":
                actions += self._subscription(bytes(_pieces.decode(payload)[index]))
        return actions

    def _success(self, words: str) -> list[Action]:
        if words == "connected" and not self._authenticated:
            login = {"action": "auth", "key": self._key, "secret": self._secret}
            return [Send(_encode(login))]
        if words == "authenticated" and not self._authenticated:
            self._authenticated = True
            return [Authenticated(), *self._ask_next()]
        return [Notice(0, f"the venue says {words!r}")]

    def _ask_next(self) -> list[Action]:
        while self._requests:
            self._asked = self._requests.pop(0)
            if self._asked:
                request: dict[str, object] = {"action": "subscribe"}
                for channel, symbol in self._asked:
                    request.setdefault(channel, []).append(symbol)  # type: ignore[attr-defined]
                return [Send(_encode(request))]
        self._asked = []
        self._ready = True
        missing = self._wanted - self._acknowledged
        words = "; ".join(self._refusals)
        if missing and not self._acknowledged and not self._unreadable:
            said = f"nothing of the subscription was accepted: {words or 'the answer is empty'}"
            return [Fail(405, said, self._hint, fatal=True)]
        words = words or "the venue's answer leaves it out"
        return [Ready(_grouped(self._acknowledged), _grouped(missing), words if missing else "")]

    def _error(self, code: int, words: str) -> list[Action]:
        if code == 403:  # already authenticated: that is what we want
            return []
        if code in REFUSED_SUBSCRIPTION and self._asked:
            return self._refused(code, words)
        policy = POLICIES.get(code)
        if policy is None or (self._ready and code in REFUSED_SUBSCRIPTION):
            return [Notice(code, f"the venue says error {code} {words!r}")]
        said = f"{policy.words} ({code} {words!r})"
        return [Fail(code, said, policy.hint, policy.fatal, policy.wait_s)]

    def _refused(self, code: int, words: str) -> list[Action]:
        self._hint = REFUSED_SUBSCRIPTION[code]
        self._refusals[f"{words} ({code}): {self._hint}"] = None
        asked, self._asked = self._asked, []
        channels = list(dict.fromkeys(channel for channel, _ in asked))
        if len(channels) > 1:
            by_channel = [[pair for pair in asked if pair[0] == channel] for channel in channels]
            self._requests = [*by_channel, *self._requests]
            return self._ask_next()
        (channel,) = channels
        self._refused_of[channel] += 1
        if self._refused_of[channel] > _REFUSALS_MAX:
            self._give_up(channel)
        elif len(asked) > 1 and code != 410:
            half = (len(asked) + 1) // 2
            self._requests = [asked[:half], asked[half:], *self._requests]
        elif code == 405 and channel in _LIMITED and asked[0][1] != "*":
            # The plan is full. A star alone does not say so: no limited plan takes one.
            self._give_up(*_LIMITED)
        return self._ask_next()

    def _give_up(self, *channels: str) -> None:
        self._requests = [
            [pair for pair in request if pair[0] not in channels] for request in self._requests
        ]

    def _subscription(self, message: bytes) -> list[Action]:
        try:
            ack = _ack.decode(message)
        except (ValueError, RecursionError) as error:
            words = f"the venue's acknowledgement cannot be read ({error})"
            if self._ready:
                return [Notice(0, words)]
            # Data may well be coming: to end the session for this would lose it.
            self._unreadable = True
            self._refusals[words] = None
            return self._ask_next()
        told = {
            (channel, symbol)
            for channel in CHANNELS.values()
            for symbol in getattr(ack, channel) or ()
        }
        self._acknowledged = told & self._wanted
        if self._ready:
            missing = self._wanted - told
            words = "the venue's answer leaves it out" if missing else ""
            return [Ready(_grouped(told), _grouped(missing), words)]
        return self._ask_next()


def _cut_to_size(ordered: list[Pair]) -> list[list[Pair]]:
    """The pairs in requests that each fit into one frame which the venue takes."""
    requests: list[list[Pair]] = [[]]
    size = 0
    for pair in ordered:
        more = len(pair[1].encode()) + len('"",')
        if size + more > _REQUEST_BYTES:
            requests.append([])
            size = 0
        size += more
        requests[-1].append(pair)
    return requests


def _grouped(pairs: set[Pair]) -> Channels:
    channels: Channels = {}
    for channel, symbol in sorted(pairs):
        channels.setdefault(channel, []).append(symbol)
    return channels
