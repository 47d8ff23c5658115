"""One connection of the legacy v1 stream as a pure state machine: authenticate, listen, unlisten.

The service is gone; this is what its documentation and captured frames show. Where neither speaks
(a malformed message, a stream of an unknown kind) the answer is our inference, in the same shape
as the errors that are known. No bytes of a client may ever make it raise.

Source: reference/alpaca.md §5; alpacahq/user-docs; alpacahq/Alpaca-API issue 63 (a `listen` before
the login is answered with an empty list).
"""

from collections.abc import Mapping

import msgspec

from ticktape.sim.slots import Slots
from ticktape.sim.states import Action, Deadline, Drop, Rules, Send, State, Subscribe
from ticktape.sim.states import checked_symbols as checked

PREFIX = "alpacadatav1/"
CHANNELS = {"T": "trades", "Q": "quotes", "AM": "bars"}
LIMITED = frozenset({"T", "Q"})

ALREADY = "your connection is already authenticated"
CROWDED = "your connection is rejected while another connection is open under the same account"
MALFORMED = "invalid message"
TOO_MANY = "channel limit exceeded"


class LegacyMachine:
    """One v1 connection. There is no greeting, and a login by header does not exist."""

    def __init__(self, rules: Rules, slots: Slots, path: str, number: int) -> None:
        self.state = State.NEW
        self._rules = rules
        self._slots = slots
        self._path = path
        self._number = number
        self._streams: frozenset[str] = frozenset()

    def on_open(self, headers: Mapping[str, str], now_ns: int) -> list[Action]:
        """Say nothing; start the clock for the login."""
        return [Deadline(self._rules.auth_s)]

    def on_message(self, raw: bytes, now_ns: int) -> list[Action]:
        """Answer one message of the client, whatever it is."""
        try:
            message = msgspec.json.decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return [_error(MALFORMED)]
        body = message.get("data") if isinstance(message, dict) else None
        if not isinstance(body, dict):
            return [_error(MALFORMED)]
        match message.get("action"):
            case "authenticate":
                return self._login(body, now_ns)
            case "listen":
                return self._change(body, add=True)
            case "unlisten":
                return self._change(body, add=False)
        return [_error(MALFORMED)]

    def on_deadline(self) -> list[Action]:
        """Drop who has not logged in by now."""
        return [Drop()] if self.state is State.NEW else []

    def on_close(self, *, clean: bool, now_ns: int) -> None:
        """Give the slot back."""
        self.state = State.CLOSED
        self._slots.release(self._number, clean=clean, now_ns=now_ns)

    def _login(self, body: dict[str, object], now_ns: int) -> list[Action]:
        if self.state is State.READY:
            return [_error(ALREADY)]
        if "oauth_token" in body:
            user = self._rules.user("oauth", body["oauth_token"])
        else:
            user = self._rules.user(body.get("key_id"), body.get("secret_key"))
        if user is None or self._path in self._rules.refused_paths:
            return [_authorization("unauthorized")]
        if not self._slots.take(self._number, user, self._path, now_ns):
            return [_error(CROWDED)]
        self.state = State.READY
        return [_authorization("authorized")]

    def _change(self, body: dict[str, object], *, add: bool) -> list[Action]:
        names = body.get("streams")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return [_error(MALFORMED)]
        if self.state is not State.READY:
            return [_listening(())]
        asked = frozenset(name.removeprefix(PREFIX) for name in names)
        for name in asked:
            kind, _, symbol = name.partition(".")
            if kind not in CHANNELS or not checked([symbol]):
                return [_error(MALFORMED)]
        kept = frozenset(
            name for name in asked if name.partition(".")[2] not in self._rules.ack_missing
        )
        streams = self._streams | kept if add else self._streams - kept
        limited = sum(name.partition(".")[0] in LIMITED for name in streams)
        if add and 0 < self._rules.max_symbols < limited:
            return [_error(TOO_MANY)]
        self._streams = streams
        return [Subscribe(self._subscription()), _listening(sorted(streams))]

    def _subscription(self) -> dict[str, frozenset[str]]:
        pairs = [name.partition(".")[::2] for name in self._streams]
        return {
            channel: frozenset(symbol for kind, symbol in pairs if CHANNELS[kind] == channel)
            for channel in CHANNELS.values()
        }


def _listening(streams: object) -> Send:
    return Send({"stream": "listening", "data": {"streams": streams}})


def _error(text: str) -> Send:
    return Send({"stream": "listening", "data": {"error": text}})


def _authorization(status: str) -> Send:
    return Send({"stream": "authorization", "data": {"action": "authenticate", "status": status}})
