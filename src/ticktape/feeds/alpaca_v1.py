"""Alpaca's retired stream protocol v1 (`authenticate`, `listen`): pure, no socket, no clock.

It is the protocol of the first notebook, and that of its recordings. The venue does not greet.

Source: Alpaca's v1 streaming page, retired 2022 (user-docs, seen 2026-11).
"""

import msgspec

from ticktape.feeds.alpaca_errors import POLICIES
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

# Our words for channels (config) -> the prefix of a v1 stream.
PREFIXES = {"trades": "T", "quotes": "Q", "bars": "AM"}
_CHANNELS = {prefix: channel for channel, prefix in PREFIXES.items()}
_HEAD_BYTES = 48
_TAKEN = "rejected while another connection is open"
_ALREADY = "already authenticated"
_SHORTEN = "Shorten the lists; v1 took 30 streams of trades and quotes."


class _Control(msgspec.Struct):
    stream: str
    data: dict[str, object]


_control = msgspec.json.Decoder(_Control)
_encode = msgspec.json.encode


class AlpacaV1Protocol:
    """One session of protocol v1.

    Args:
        key: the account's key id.
        secret: its secret.
        wanted: our channel (trades, quotes, bars) -> symbols.
    """

    def __init__(self, key: str, secret: str, wanted: Channels) -> None:
        self._key = key
        self._secret = secret
        self._streams = _streams(wanted)
        self._authenticated = False
        self._ready = False
        self._held: set[str] = set()  # as the venue told last
        self._requests: list[tuple[str, list[str]]] = []
        self._waiting = False  # for the answer to one of them
        self._changed = False
        self._refusals: dict[str, None] = {}

    def open(self) -> list[Action]:
        """Say who we are; v1 waits for the client."""
        login = {"key_id": self._key, "secret_key": self._secret}
        return [Send(_encode({"action": "authenticate", "data": login}))]

    def is_control(self, payload: bytes) -> bool:
        """Whether the message may be of the streams authorization or listening.

        Once data flows only the first bytes are looked at, where the venue names the stream.
        """
        head = payload[:_HEAD_BYTES] if self._ready else payload
        return b'"authorization"' in head or b'"listening"' in head

    def receive(self, payload: bytes) -> list[Action]:
        """Act on a control message; what cannot be read is said, and left to the decoders."""
        try:
            message = _control.decode(payload)
        except (ValueError, RecursionError) as error:
            return [Notice(0, f"a control message cannot be read ({error})")]
        if message.stream == "authorization":
            return self._authorization(str(message.data.get("status", "")))
        if message.stream == "listening":
            return self._listening(message.data)
        return []

    def change(self, wanted: Channels) -> list[Action]:
        """Want these symbols from now on: the difference is sent, and ends in a `Ready`.

        Until the venue has answered what was asked before, it is only remembered.
        """
        self._streams = _streams(wanted)
        self._changed = True
        if not self._authenticated or self._waiting:
            return []
        return self._go_on()

    def _authorization(self, status: str) -> list[Action]:
        if status == "authorized":
            if self._authenticated:
                return [Notice(0, f"the venue says {status!r}")]
            self._authenticated = self._changed = True
            return [Authenticated(), *self._go_on()]
        return [
            Fail(
                402,
                f"authentication failed ({status!r})",
                "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY (or the keys = … of this feed).",
                fatal=not self._ready,  # else the next login decides
            )
        ]

    def _go_on(self) -> list[Action]:
        """Ask for the next part; after a change, for the difference to what stands."""
        if self._changed:
            self._changed = False
            self._plan()
        self._waiting = bool(self._requests)
        if self._requests:
            action, streams = self._requests.pop(0)
            return [Send(_encode({"action": action, "data": {"streams": streams}}))]
        return [self._settled()]

    def _plan(self) -> None:
        goes = sorted(self._held.difference(self._streams))
        comes = [stream for stream in self._streams if stream not in self._held]
        # First what goes: it makes room for what comes. Not where a star comes, or symbols come for
        # one: what is wanted before and after would be deaf in between. What was refused is tried
        # again.
        starred = {_prefix(stream) for stream in (*goes, *comes) if stream.endswith(".*")}
        starred &= {_prefix(stream) for stream in comes}
        first = [stream for stream in goes if _prefix(stream) not in starred]
        last = [stream for stream in goes if _prefix(stream) in starred]
        requests = (("unlisten", first), ("listen", comes), ("unlisten", last))
        self._requests = [(action, streams) for action, streams in requests if streams]
        self._refusals.clear()

    def _settled(self) -> Action:
        missing = [stream for stream in self._streams if stream not in self._held]
        words = shortened("; ".join(self._refusals))
        if not self._ready and missing and not self._held.intersection(self._streams):
            said = f"nothing of the subscription was accepted: {words or 'the answer is empty'}"
            return Fail(405, said, _SHORTEN, fatal=True, is_of_plan=True)
        self._ready = True
        words = words or "the venue's answer leaves it out"
        return Ready(_grouped(sorted(self._held)), _grouped(missing), words if missing else "")

    def _listening(self, data: dict[str, object]) -> list[Action]:
        error = data.get("error")
        if error is not None:
            return self._error(str(error))
        if not self._authenticated:
            return [Notice(0, "the venue acknowledges a subscription before the login")]
        told = data.get("streams")
        self._held = {str(stream) for stream in told} if isinstance(told, list) else set()
        return self._go_on()

    def _error(self, words: str) -> list[Action]:
        if _TAKEN in words:
            said = f"connection limit exceeded: another session holds the slot ({words!r})"
            taken = POLICIES[406]
            hint = "Stop the other recorder; waiting."
            return [Fail(406, said, hint, taken.fatal, taken.wait_s, taken.wait_max_s)]
        if _ALREADY in words:
            return []
        if self._waiting:
            # What stood before still stands; on the first request that is nothing.
            self._refusals[words] = None
            return self._go_on()
        return [Notice(0, f"the venue says {words!r}")]


def _streams(wanted: Channels) -> list[str]:
    """The venue's names for what is wanted, in its order, each once."""
    channels = ((PREFIXES.get(name, name), symbols) for name, symbols in wanted.items())
    return list(dict.fromkeys(f"{name}.{s}" for name, symbols in channels for s in symbols))


def _prefix(stream: str) -> str:
    return stream.partition(".")[0]


def _grouped(streams: list[str]) -> Channels:
    channels: Channels = {}
    for stream in streams:
        prefix, _, symbol = stream.partition(".")
        channels.setdefault(_CHANNELS.get(prefix, prefix), []).append(symbol)
    return channels
