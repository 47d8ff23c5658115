"""Alpaca's stream protocol v2 (`auth`, `subscribe`): pure, no socket, no clock.

Nothing here sees a message before the journal has it, and data messages are not looked into at all.

Source: docs.alpaca.markets, real-time stock data and streaming pages (seen 2026-01 and 2026-08).
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from ticktape.feeds.alpaca_errors import (
    ALREADY,
    POLICIES,
    REFUSED_SUBSCRIPTION,
    code_of,
    hint_of,
)
from ticktape.feeds.alpaca_wire import (
    ANY_CONTROL,
    HEAD_BYTES,
    JSON,
    MSGPACK,
    Pair,
    Wire,
    by_channel,
    cut_to_size,
    wire_of,
)
from ticktape.feeds.alpaca_wire import CHANNELS as CHANNELS
from ticktape.feeds.protocol import (
    Action,
    Authenticated,
    Channels,
    Fail,
    Notice,
    Ready,
    Send,
    shortened,
)

_LIMITED = ("trades", "quotes")  # what a plan's number of symbols counts; the others are free
_REFUSALS_MAX = 64  # of one channel: a few bad symbols are found; a channel of them is given up
_NOT_AUTHENTICATED = 401
_NOT_IN_PLAN = 409
_LEFT_OUT = "the venue's answer leaves it out"


class _Request(NamedTuple):
    action: str
    pairs: list[Pair]


class AlpacaProtocol:
    """One session of protocol v2.

    What the venue refuses as a whole is asked for again channel by channel and in halves, in the
    order of the config, so that as much is recorded as the plan allows; the rest is `missing`.

    Args:
        key: the account's key id, or "oauth" or "access_token".
        secret: its secret, or the token.
        wanted: our channel -> symbols.
        is_binary: whether the upgrade request asked for MessagePack.
        by_headers: whether it held the keys; the venue then authenticates by itself.
    """

    def __init__(
        self,
        key: str,
        secret: str,
        wanted: Channels,
        *,
        is_binary: bool = False,
        by_headers: bool = False,
    ) -> None:
        self._key = key
        self._secret = secret
        self._wanted = _pairs(wanted)
        self._by_headers = by_headers
        self._wire = MSGPACK if is_binary else JSON
        self._type_at = self._wire.type_at
        self._data_types = self._wire.data_types
        self._controls = self._wire.controls
        self._is_greeted = False
        self._is_authenticated = False
        self._is_second_login = False
        self._is_ready = False
        self._held: set[Pair] = set()  # as the venue told last
        self._doubtful: set[Pair] = set()  # asked for; the answer could not be read
        self._requests: list[_Request] = []
        self._asked: _Request | None = None
        self._is_changed = False
        self._refusals: dict[str, None] = {}
        self._refused_codes: list[int] = []
        self._refused_of: Counter[str] = Counter()

    def open(self) -> list[Action]:
        """Nothing: the venue greets first."""
        return []

    def is_control(self, payload: bytes) -> bool:
        """Whether an element may be success, error or subscription.

        Once data flows only the first bytes are looked at: control messages come alone, their type
        first. Until then all of it is, in both encodings: nothing is in a hurry yet.
        """
        if self._is_ready:
            if payload[self._type_at] in self._data_types:
                return False
            error, success, subscription = self._controls
            head = payload[:HEAD_BYTES]
            return error in head or success in head or subscription in head
        return any(control in payload for control in ANY_CONTROL)

    def receive(self, payload: bytes) -> list[Action]:
        """Act on a control message; what cannot be read is said, and left to the decoders."""
        wire = wire_of(payload)
        try:
            messages = wire.decode(payload)
        except (ValueError, RecursionError) as error:
            return [Notice(0, f"a control message cannot be read ({error})")]
        actions: list[Action] = []
        for index, message in enumerate(messages):
            if message.T == "success":
                actions += self._success(message.msg or "")
            elif message.T == "error":
                actions += self._error(message.code or 0, message.msg or "")
            elif message.T == "subscription":
                actions += self._subscription(wire, payload, index)
        return actions

    def change(self, wanted: Channels) -> list[Action]:
        """Want these symbols from now on: the difference is sent, and ends in a `Ready`.

        Until the venue has answered what was asked before, it is only remembered.
        """
        self._wanted = _pairs(wanted)
        self._is_changed = True
        if not self._is_authenticated or self._asked is not None:
            return []
        return self._go_on()

    # The login.

    def _success(self, words: str) -> list[Action]:
        if words == "connected" and not self._is_greeted:
            self._is_greeted = True
            return [] if self._by_headers else [self._login()]
        if words == "authenticated" and not self._is_authenticated:
            return self._logged_in()
        return [Notice(0, f"the venue says {words!r}")]

    def _login(self) -> Send:
        return self._send({"action": "auth", "key": self._key, "secret": self._secret})

    def _login_again(self) -> list[Action]:
        """The venue does not know us although it said so: once more, on the same connection."""
        said = [Notice(_NOT_AUTHENTICATED, "not authenticated; logging in again")]
        self._is_greeted, self._is_second_login = True, True
        self._asked, self._is_authenticated = None, False
        return [*said, self._login()]

    def _logged_in(self) -> list[Action]:
        self._is_authenticated = self._is_changed = True
        # A session authenticates once in its states, whatever it took.
        first: list[Action] = [] if self._is_second_login else [Authenticated()]
        return [*first, *self._go_on()]

    # The subscription.

    def _go_on(self) -> list[Action]:
        """Ask for the next part; after a change, for the difference to what stands."""
        if self._is_changed:
            self._is_changed = False
            self._plan()
        if self._requests:
            self._asked = self._requests.pop(0)
            return [self._send({"action": self._asked.action, **by_channel(self._asked.pairs)})]
        self._asked = None
        return [self._settled()]

    def _plan(self) -> None:
        goes = sorted((self._held | self._doubtful) - set(self._wanted))
        comes = [pair for pair in self._wanted if pair not in self._held]
        # First what goes: it makes room for what comes. Not where a star comes, or symbols come for
        # one: what is wanted before and after would be deaf in between, and a plan that takes a
        # star needs no room. What was refused is tried again.
        starred = {channel for channel, symbol in (*goes, *comes) if symbol == "*"}
        starred &= {channel for channel, _ in comes}
        first = [pair for pair in goes if pair[0] not in starred]
        last = [pair for pair in goes if pair[0] in starred]
        self._requests = [
            _Request(action, part)
            for action, pairs in (
                ("unsubscribe", first),
                ("subscribe", comes),
                ("unsubscribe", last),
            )
            for part in cut_to_size(pairs)
        ]
        self._refusals.clear()
        self._refused_codes.clear()
        self._refused_of.clear()

    def _settled(self) -> Action:
        missing = [pair for pair in self._wanted if pair not in self._held]
        words = shortened("; ".join(self._refusals))
        if not self._is_ready:
            if missing and len(missing) == len(self._wanted) and not self._doubtful:
                return self._nothing_accepted(words)
            self._is_ready = True
            stands = self._held.intersection(self._wanted)
        else:
            stands = self._held
        return Ready(_grouped(stands), _grouped(missing), (words or _LEFT_OUT) if missing else "")

    def _nothing_accepted(self, words: str) -> Fail:
        codes = self._refused_codes or [405]
        return Fail(
            codes[-1],
            f"nothing of the subscription was accepted: {words or 'the answer is empty'}",
            hint_of(codes[-1]),
            fatal=all(code in REFUSED_SUBSCRIPTION for code in codes),
            is_of_plan=True,
        )

    def _subscription(self, wire: Wire, payload: bytes, index: int) -> list[Action]:
        if not self._is_authenticated:
            return [Notice(0, "the venue acknowledges a subscription before the login")]
        try:
            ack = wire.ack(bytes(wire.pieces(payload)[index]))
        except (ValueError, RecursionError) as error:
            words = f"the venue's acknowledgement cannot be read ({error})"
            if self._asked is None:
                return [Notice(0, words)]
            # Data may well be coming: to end the session for this would lose it.
            self._doubtful.update(self._asked.pairs)
            self._refusals[words] = None
            return self._go_on()
        self._doubtful.clear()
        self._held = {
            (channel, symbol)
            for channel in CHANNELS.values()
            for symbol in getattr(ack, channel) or ()
        }
        return self._go_on()

    # Errors.

    def _error(self, code: int, words: str) -> list[Action]:
        code = code_of(code, words)
        is_login = self._is_greeted and not self._is_authenticated
        if code == ALREADY:
            return self._logged_in() if is_login else []
        if code == _NOT_AUTHENTICATED and not (self._is_ready or self._is_second_login):
            return self._login_again()
        if self._asked is not None and self._is_refusal(code):
            return self._refused(self._asked, code, words)
        policy = POLICIES.get(code)
        if policy is not None and not (self._is_ready and code in REFUSED_SUBSCRIPTION):
            said = f"{policy.words} ({code} {words!r})"
            # While data flows no request of ours can have such an answer.
            is_fatal = policy.fatal and not self._is_ready
            return [Fail(code, said, policy.hint, is_fatal, policy.wait_s, policy.wait_max_s)]
        if is_login:
            hint = "This error is not in Alpaca's list for a login. Trying again."
            return [Fail(code, f"the venue refuses the login ({code} {words!r})", hint, False)]
        return [Notice(code, f"the venue says error {code} {words!r}", hint_of(code))]

    def _is_refusal(self, code: int) -> bool:
        """Whether an error answers a request and leaves what stood before it."""
        if code == _NOT_IN_PLAN:
            return self._is_ready  # no reason to give up what flows already
        return code in REFUSED_SUBSCRIPTION or code not in POLICIES

    def _refused(self, asked: _Request, code: int, words: str) -> list[Action]:
        said = f"{words} ({code}): {hint_of(code)}"
        if asked.action == "unsubscribe":
            notice = Notice(code, f"the venue does not end a subscription: {said}")
            return [notice, *self._go_on()]
        self._refusals[said] = None
        self._refused_codes.append(code)
        if not self._is_changed:
            self._ask_for_less(asked.pairs, code)
        return self._go_on()

    def _ask_for_less(self, pairs: list[Pair], code: int) -> None:
        channels = list(by_channel(pairs))
        if len(channels) > 1:
            parts = [[pair for pair in pairs if pair[0] == channel] for channel in channels]
            self._ask_first(parts)
            return
        (channel,) = channels
        self._refused_of[channel] += 1
        if self._refused_of[channel] > _REFUSALS_MAX:
            self._give_up(channel)
        elif len(pairs) > 1 and code != 410:
            half = (len(pairs) + 1) // 2
            self._ask_first([pairs[:half], pairs[half:]])
        elif code == 405 and channel in _LIMITED and pairs[0][1] != "*":
            # The plan is full. A star alone does not say so: no limited plan takes one.
            self._give_up(*_LIMITED)

    def _ask_first(self, parts: list[list[Pair]]) -> None:
        self._requests = [*(_Request("subscribe", part) for part in parts), *self._requests]

    def _give_up(self, *channels: str) -> None:
        left = [
            _Request(action, [p for p in pairs if p[0] not in channels or action == "unsubscribe"])
            for action, pairs in self._requests
        ]
        self._requests = [request for request in left if request.pairs]

    def _send(self, message: dict[str, object]) -> Send:
        return Send(self._wire.encode(message), self._wire.is_binary)


def _pairs(wanted: Channels) -> list[Pair]:
    """Alpaca's words for what is wanted, in its order, each once; what it refuses is missing."""
    named = ((CHANNELS.get(name, name), s) for name, symbols in wanted.items() for s in symbols)
    return list(dict.fromkeys(named))


def _grouped(pairs: Iterable[Pair]) -> Channels:
    return by_channel(sorted(pairs))
