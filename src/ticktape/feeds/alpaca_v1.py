"""Alpaca's retired stream protocol v1 (`authenticate`, `listen`): pure, no socket, no clock.

It is the protocol of the first notebook, and that of its recordings. The venue does not greet.

Source: Alpaca's v1 streaming page, retired 2022 (user-docs, seen 2026-11).
"""

import msgspec

from ticktape.feeds.protocol import Action, Authenticated, Channels, Fail, Notice, Ready, Send

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
        self._streams = [
            f"{PREFIXES[channel]}.{symbol}"
            for channel, symbols in wanted.items()
            for symbol in symbols
        ]
        self._authenticated = False
        self._ready = False

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

    def _authorization(self, status: str) -> list[Action]:
        if status == "authorized":
            if self._authenticated:
                return [Notice(0, f"the venue says {status!r}")]
            self._authenticated = True
            request = {"action": "listen", "data": {"streams": self._streams}}
            return [Authenticated(), Send(_encode(request))]
        return [
            Fail(
                402,
                f"authentication failed ({status!r})",
                "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY (or the keys = … of this feed).",
                fatal=True,
            )
        ]

    def _listening(self, data: dict[str, object]) -> list[Action]:
        error = data.get("error")
        if error is not None:
            return self._error(str(error))
        told = data.get("streams")
        streams = {str(stream) for stream in told} if isinstance(told, list) else set()
        missing = [stream for stream in self._streams if stream not in streams]
        words = "the venue's answer leaves it out" if missing else ""
        if not self._ready and not streams.intersection(self._streams):
            said = "nothing of the subscription was accepted: the answer is empty"
            return [Fail(405, said, _SHORTEN, fatal=True)]
        self._ready = True
        return [Ready(_grouped(sorted(streams)), _grouped(missing), words)]

    def _error(self, words: str) -> list[Action]:
        if _TAKEN in words:
            said = f"connection limit exceeded: another session holds the slot ({words!r})"
            return [Fail(406, said, "Stop the other recorder; waiting.", fatal=False, wait_s=0.5)]
        if _ALREADY in words:
            return []
        if self._authenticated and not self._ready:
            # The answer to our only request: without streams there is nothing to record.
            said = f"nothing of the subscription was accepted: {words}"
            return [Fail(405, said, _SHORTEN, fatal=True)]
        return [Notice(0, f"the venue says {words!r}")]


def _grouped(streams: list[str]) -> Channels:
    channels: Channels = {}
    for stream in streams:
        prefix, _, symbol = stream.partition(".")
        channels.setdefault(_CHANNELS.get(prefix, prefix), []).append(symbol)
    return channels
