"""One connection of a v2 stream as a pure state machine: NEW -> READY -> CLOSED.

Takes a client's message, returns what to do; touches no socket and no clock, and no bytes of a
client may ever make it raise.

Source: reference/alpaca.md §1, §3 and §9, items 3 to 7 (the venue's documentation, and what others
measured on it in September 2026).
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import NamedTuple, Protocol, TypeAlias

import msgspec

from ticktape.sim.families import ALL_CHANNELS, STOCKS, Family
from ticktape.sim.slots import Slots

Subscription: TypeAlias = Mapping[str, frozenset[str]]
"""Channel -> symbols; `*` among them means all."""

ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    408: "v2 not enabled",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
    412: "option messages are only available in MsgPack format",
    413: "star subscription is not allowed for option quotes",
    500: "internal error",
}

SYMBOL = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9./-]{0,31}")


class State(Enum):
    """Where a connection is; a refused login leaves it NEW and open, as on the venue."""

    NEW = "new"
    READY = "ready"
    CLOSED = "closed"


class Send(NamedTuple):
    """Put one control message on the wire, alone in its frame."""

    message: object


class Deadline(NamedTuple):
    """Call `on_deadline` after so many seconds."""

    after_s: float


class Subscribe(NamedTuple):
    """The client listens to this from now on."""

    subscription: Subscription


class SendBooks(NamedTuple):
    """Send the whole order books of these symbols; `*` is every symbol there is."""

    symbols: frozenset[str]


class Drop(NamedTuple):
    """Drop the TCP connection, without a Close frame."""


Action: TypeAlias = Send | Deadline | Subscribe | SendBooks | Drop


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the venue allows; `max_symbols` 0 means no limit."""

    keys: Mapping[str, str]
    tokens: frozenset[str] = frozenset()
    auth_s: float = 10.0
    ack_style: str = "live"
    strict_docs: bool = False
    max_symbols: int = 0
    refused_paths: frozenset[str] = frozenset()
    ack_missing: frozenset[str] = frozenset()

    def user(self, key: object, secret: object) -> str | None:
        """Return who this is, or None; a token comes as the secret of a key with a fixed name."""
        if not isinstance(key, str) or not isinstance(secret, str):
            return None
        if key in ("oauth", "access_token"):
            return secret if secret in self.tokens else None
        return key if self.keys.get(key) == secret else None

    def user_of_headers(self, headers: Mapping[str, str]) -> tuple[bool, str | None]:
        """Return whether the upgrade request tries to log in, and who it is."""
        if "APCA-API-KEY-ID" in headers:
            secret = headers.get("APCA-API-SECRET-KEY")
            return True, self.user(headers["APCA-API-KEY-ID"], secret)
        scheme, _, value = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return True, value if value in self.tokens else None
        if scheme.lower() == "basic":
            try:
                key, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                return True, None
            return True, self.user(key, secret)
        return False, None


class Machine(Protocol):
    """What the I/O needs of a protocol's machine."""

    state: State

    def on_open(self, headers: Mapping[str, str], now_ns: int) -> list[Action]:
        """Answer the upgrade request."""

    def on_message(self, raw: bytes, now_ns: int) -> list[Action]:
        """Answer a message of the client."""

    def on_deadline(self) -> list[Action]:
        """Act on a deadline that was asked for."""

    def on_close(self, *, clean: bool, now_ns: int) -> None:
        """Take note that the connection is gone."""


class StreamMachine:
    """One connection of a stream of `family`, in MessagePack when it is `packed`, else in JSON.

    `number` names the connection in `slots`; `headers` of `on_open` must be case-insensitive.
    """

    def __init__(
        self,
        rules: Rules,
        slots: Slots,
        path: str,
        number: int,
        family: Family = STOCKS,
        *,
        packed: bool = False,
    ) -> None:
        self.state = State.NEW
        self._rules = rules
        self._slots = slots
        self._path = path
        self._number = number
        self._family = family
        self._packed = packed
        self._decode: Callable[[bytes], object] = (
            msgspec.msgpack.decode if packed else msgspec.json.decode
        )
        self._crowded = False
        self._held: dict[str, frozenset[str]] = dict.fromkeys(family.channels, frozenset())

    def on_open(self, headers: Mapping[str, str], now_ns: int) -> list[Action]:
        """Greet, and log in by the headers of the upgrade request when they carry a key."""
        actions: list[Action] = [Send([{"T": "success", "msg": "connected"}])]
        actions.append(Deadline(self._rules.auth_s))
        tries, user = self._rules.user_of_headers(headers)
        return actions + self._login(user, now_ns) if tries else actions

    def on_message(self, raw: bytes, now_ns: int) -> list[Action]:
        """Answer one message of the client, whatever it is."""
        try:
            message = self._decode(raw)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return [_error(400)]
        if not isinstance(message, dict):
            return [_error(400)]
        match message.get("action"):
            case "auth" if self.state is State.READY:
                return [_error(403)]
            case "auth":
                user = self._rules.user(message.get("key"), message.get("secret"))
                return self._login(user, now_ns)
            case "subscribe" | "unsubscribe" if self.state is not State.READY:
                return [_error(401)]
            case "subscribe":
                return self._change(message, add=True)
            case "unsubscribe":
                return self._change(message, add=False)
        return [_error(400)]

    def on_deadline(self) -> list[Action]:
        """Drop who has not logged in by now; one refused for the connection limit hears no 404."""
        if self.state is not State.NEW:
            return []
        return [Drop()] if self._crowded else [_error(404), Drop()]

    def on_close(self, *, clean: bool, now_ns: int) -> None:
        """Give the slot back: at once if the client said goodbye, else when the venue notices."""
        self.state = State.CLOSED
        self._slots.release(self._number, clean=clean, now_ns=now_ns)

    def _login(self, user: str | None, now_ns: int) -> list[Action]:
        if user is None:
            return [_error(402)]
        if self._family.packed_only and not self._packed:
            return [_error(412)]
        if self._path in self._rules.refused_paths:
            return [_error(409)]
        if not self._slots.take(self._number, user, self._path, now_ns):
            self._crowded = True
            return [_error(406)]
        self.state = State.READY
        return [Send([{"T": "success", "msg": "authenticated"}])]

    def _change(self, message: dict[str, object], *, add: bool) -> list[Action]:
        wanted = {key: value for key, value in message.items() if key != "action" and value}
        own = frozenset(self._family.channels)
        if wanted.keys() & (ALL_CHANNELS - own) and self._rules.strict_docs:
            return [_error(410)]
        if not wanted or not wanted.keys() <= own:
            return [_error(400)]
        held = dict(self._held)
        for channel, value in wanted.items():
            symbols = _symbols(value)
            if symbols is None:
                return [_error(400)]
            symbols -= self._rules.ack_missing
            held[channel] = held[channel] | symbols if add else held[channel] - symbols
        if add and any("*" in held[channel] for channel in self._family.starless):
            return [_error(413)]
        if add and self._too_many(held):
            return [_error(405)]
        no_books: frozenset[str] = frozenset()
        books = held.get("orderbooks", no_books) - self._held.get("orderbooks", no_books)
        self._held = held
        actions: list[Action] = [Subscribe(held), Send([self._acknowledgement()])]
        return [*actions, SendBooks(books)] if books else actions

    def _too_many(self, held: Subscription) -> bool:
        limit = self._rules.max_symbols
        if limit == 0:
            return False
        limited = [held[channel] for channel in self._family.limited]
        # `*` is every symbol there is, which no limited plan holds.
        return any("*" in symbols for symbols in limited) or sum(map(len, limited)) > limit

    def _acknowledgement(self) -> dict[str, object]:
        state = {channel: sorted(symbols) for channel, symbols in self._held.items()}
        implied = {channel: state["trades"] for channel in self._family.implied}
        docs = self._rules.ack_style == "docs"
        shown = {
            channel: symbols
            for channel, symbols in (state | implied).items()
            # The documentation shows `imbalances` only to who asked for them.
            if symbols or (docs and channel != "imbalances")
        }
        return {"T": "subscription", **shown}


def _error(code: int) -> Send:
    return Send([{"T": "error", "code": code, "msg": ERRORS[code]}])


def _symbols(value: object) -> frozenset[str] | None:
    if not isinstance(value, list):
        return None
    return checked_symbols(value)


def checked_symbols(names: Iterable[object]) -> frozenset[str] | None:
    """Return the names as a set, or None when one of them cannot be a symbol.

    Unknown symbols pass, as on the venue: only the form is looked at.
    """
    symbols = frozenset(name for name in names if isinstance(name, str) and SYMBOL.fullmatch(name))
    return symbols if all(isinstance(name, str) and name in symbols for name in names) else None
