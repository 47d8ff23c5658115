"""A plain client of the `websockets` package: the simulator is not tested against itself."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime

import pytest
import websockets
from websockets.asyncio.client import connect

KEY = {"action": "auth", "key": "demo-key", "secret": "demo-secret"}
KEY_V1 = {"action": "authenticate", "data": {"key_id": "demo-key", "secret_key": "demo-secret"}}
KINDS = {"t": "trades", "q": "quotes", "b": "bars", "c": "corrections", "x": "cancels"}
KINDS_V1 = {"T": "trades", "Q": "quotes", "AM": "bars"}


def nanoseconds(text):
    """RFC 3339 -> ns, by hand: the reference for the wire's own way."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    seconds = int(datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp())
    return seconds * 10**9 + int(fraction.ljust(9, "0") or 0)


class Client:
    """One connection: `frames` has each data frame as the list of its messages."""

    def __init__(self, socket, *, v1=False):
        self.socket = socket
        self.v1 = v1
        self.frames = []
        self.control = []
        self.raw = []

    @classmethod
    async def open(cls, sim, path="/v2/iex", **options):
        options = {"max_size": None, "compression": None, "ping_interval": None} | options
        socket = await connect(sim.url(path), **options)
        return cls(socket, v1=path == "/stream")

    async def send(self, message):
        await self.socket.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def read(self):
        """Read one frame; data is kept apart from control messages, which are returned."""
        raw = await asyncio.wait_for(self.socket.recv(), 20)
        text = raw.decode() if isinstance(raw, bytes) else raw
        try:
            found = json.loads(text)
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
        """Subscribe to channels of v2, or to all of v1."""
        if self.v1:
            streams = {"action": "listen", "data": {"streams": ["T.*", "Q.*", "AM.*"]}}
            return await self.answer(streams)
        channels = channels or {"trades": ["*"], "quotes": ["*"], "bars": ["*"]}
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

    def rows(self):
        """(frame, place, kind, symbol, event_ns, id, price, size) of each data message."""
        make = row_v1 if self.v1 else row_v2
        return [
            (frame, place, *make(message))
            for frame, messages in enumerate(self.frames)
            for place, message in enumerate(messages)
        ]


def row_v2(message):
    kind = KINDS.get(message["T"], "unknown")
    if kind == "unknown":
        return (kind, "", None, None, None, None)
    event_ns = nanoseconds(message["t"])
    symbol = message["S"]
    match kind:
        case "trades" | "cancels":
            return (kind, symbol, event_ns, message["i"], message["p"], message["s"])
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


@pytest.fixture
def truth():
    return truth_rows


@pytest.fixture
def count_kinds():
    return lambda table: Counter(table["kind"].to_pylist())
