"""A plain client of the `websockets` package: the simulator is not tested against itself."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime

import msgpack
import pytest
import websockets
from msgpack.ext import Timestamp
from websockets.asyncio.client import connect

KEY = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
KEY_V1 = {"action": "authenticate", "data": {"key_id": "demo-key", "secret_key": "demo-secret"}}
KINDS = {"t": "trades", "q": "quotes", "b": "bars", "c": "corrections", "x": "cancels"}
KINDS |= {"u": "bars", "d": "bars", "s": "statuses", "l": "lulds", "i": "imbalances"}
KINDS |= {"o": "crypto_books", "n": "news"}
BARS = ("bars", "updatedBars", "dailyBars")
# What a client of each family can hear; `*` is refused for the quotes of options.
STOCKS = ("trades", "quotes", *BARS, "statuses", "lulds", "imbalances")
CHANNELS = {
    "/v1beta3/crypto": ("trades", "quotes", "orderbooks", *BARS),
    "/v1beta1/news": ("news",),
}
PACKED = {"Content-Type": "application/msgpack"}
KINDS_V1 = {"T": "trades", "Q": "quotes", "AM": "bars"}


def nanoseconds(text):
    """RFC 3339 -> ns, by hand: the reference for the wire's own way."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


class Client:
    """One connection: `frames` has each data frame as the list of its messages.

    `packed` speaks MessagePack, of which times are read as `msgpack.ext.Timestamp`.
    """

    def __init__(self, socket, path, *, packed=False):
        self.socket = socket
        self.path = path
        self.v1 = path == "/stream"
        self.packed = packed
        self.frames = []
        self.control = []
        self.raw = []

    @classmethod
    async def open(cls, sim, path="/v2/iex", *, packed=False, **options):
        options = {"max_size": None, "compression": None, "ping_interval": None} | options
        if packed:
            options["additional_headers"] = PACKED | options.get("additional_headers", {})
        socket = await connect(sim.url(path), **options)
        return cls(socket, path, packed=packed)

    async def send(self, message):
        if not isinstance(message, str | bytes):
            message = msgpack.packb(message) if self.packed else json.dumps(message)
        await self.socket.send(message)

    async def read(self):
        """Read one frame; data is kept apart from control messages, which are returned."""
        raw = await asyncio.wait_for(self.socket.recv(), 240)
        text = raw.decode() if isinstance(raw, bytes) and not self.packed else raw
        assert self.v1 or isinstance(raw, bytes) is self.packed
        try:
            found = msgpack.unpackb(text) if self.packed else json.loads(text)
        except ValueError:
            self.raw.append(text)
            return None
        messages = [found] if self.v1 else found
        first = messages[0]
        is_control = (
            first["stream"] in ("listening", "authorization")
            if self.v1
            else first["T"] in ("success", "error", "subscription")
        )
        if is_control:
            self.control.append(first)
            return first
        self.frames.append(messages)
        self.raw.append(text)
        return None

    async def answer(self, message=None):
        """Send a message and return the next control message."""
        if message is not None:
            await self.send(message)
        while True:
            found = await self.read()
            if found is not None:
                return found

    async def answer_fragments(self, pieces):
        """Send one message in several frames and return the next control message."""
        await self.socket.send(pieces)
        return await self.answer()

    async def login(self):
        if self.v1:
            assert (await self.answer(KEY_V1))["data"]["status"] == "authorized"
        else:
            assert (await self.answer())["msg"] == "connected"
            assert (await self.answer(KEY))["msg"] == "authenticated"
        return self

    async def listen(self, **channels):
        """Subscribe to these channels of v2, or to all there are."""
        if self.v1:
            streams = {"action": "listen", "data": {"streams": ["T.*", "Q.*", "AM.*"]}}
            return await self.answer(streams)
        if not channels:
            mine = (names for start, names in CHANNELS.items() if self.path.startswith(start))
            channels = {name: ["*"] for name in next(mine, STOCKS)}
        return await self.answer({"action": "subscribe", **channels})

    async def read_messages(self, count):
        while sum(map(len, self.frames)) < count:
            await self.read()
        return self

    async def read_to_the_end(self):
        """Read until the server drops us; return the close code seen."""
        try:
            while True:
                await self.read()
        except websockets.ConnectionClosed:
            return self.socket.close_code

    def messages(self):
        """Every data message, its keys in the order of the wire, its times as nanoseconds."""
        return [in_ns(message) for frame in self.frames for message in frame]

    def rows(self):
        """(frame, place, kind, symbol, event_ns, id, price, size) of each data message."""
        make = row_v1 if self.v1 else row_v2
        return [
            (frame, place, *make(message))
            for frame, messages in enumerate(self.frames)
            for place, message in enumerate(messages)
        ]


def in_ns(message):
    times = {key: message[key] for key in ("t", "created_at", "updated_at") if key in message}
    return message | {key: time_ns(value) for key, value in times.items()}


def time_ns(value):
    return value.to_unix_nano() if isinstance(value, Timestamp) else nanoseconds(value)


def row_v2(message):
    kind = KINDS.get(message["T"], "unknown")
    if kind == "unknown":
        return (kind, "", None, None, None, None)
    if kind == "news":
        symbol = (message["symbols"] or [""])[0]
        return (kind, symbol, time_ns(message["updated_at"]), message["id"], None, None)
    event_ns = time_ns(message["t"])
    symbol = message["S"]
    match kind:
        case "trades" | "cancels":
            return (kind, symbol, event_ns, message.get("i"), message["p"], message["s"])
        case "imbalances":
            return (kind, symbol, event_ns, None, message["p"], None)
        case "corrections":
            return (kind, symbol, event_ns, message["oi"], message["op"], message["os"])
    return (kind, symbol, event_ns, None, None, None)


def row_v1(message):
    data = message["data"]
    kind = KINDS_V1.get(data["ev"], "unknown")
    if kind == "unknown":
        return (kind, "", None, None, None, None)
    if kind == "bars":
        return (kind, data["T"], data["s"] * 10**6, None, None, None)
    trade = (int(data["i"]), data["p"], data["s"]) if kind == "trades" else (None, None, None)
    return (kind, data["T"], data["t"], *trade)


def truth_rows(table, connection=0):
    """The same of the truth."""
    names = ["frame", "place", "kind", "symbol", "event_ns", "id", "price", "size"]
    rows = [row for row in table.to_pylist() if row["connection"] == connection and row["whole"]]
    return [tuple(row[name] for name in names) for row in rows]


@pytest.fixture
def client():
    return Client


@pytest.fixture(name="in_ns")
def in_ns_fixture():
    return in_ns


@pytest.fixture
def truth():
    return truth_rows


@pytest.fixture
def count_kinds():
    return lambda table: Counter(table["kind"].to_pylist())
