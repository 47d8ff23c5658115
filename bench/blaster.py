"""A server that sends ready-made frames as fast as the socket takes them, after Alpaca's handshake.

It is no venue: it answers whatever comes. It must never be the bottleneck of a measurement.
"""

import base64
import hashlib
import json
import multiprocessing
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
_CHUNK_FRAMES = 2_000
_ACK = [{"T": "subscription", "trades": ["*"], "quotes": [], "bars": []}]


TEXT, BINARY = 0x81, 0x82


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unmasked WebSocket frame."""
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65_536:
        return bytes((opcode, 126)) + length.to_bytes(2, "big") + payload
    return bytes((opcode, 127)) + length.to_bytes(8, "big") + payload


def trades_frame(count: int, first_id: int = 1) -> bytes:
    """The JSON of a frame of `count` Alpaca trades."""
    trades = [
        {
            "T": "t",
            "S": "SPY",
            "i": first_id + index,
            "x": "D",
            "p": 165.46,
            "s": 300,
            "c": ["@", "I"],
            "z": "B",
            "t": f"2013-10-08T19:59:00.{(first_id + index) % 1_000_000_000:09d}Z",
        }
        for index in range(count)
    ]
    return json.dumps(trades, separators=(",", ":")).encode()


def listen(pipe: Connection) -> socket.socket:
    """Listen at a free port, and say which."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(60)
    pipe.send(listener.getsockname()[1])
    return listener


def shake_hands(listener: socket.socket, message: Callable[[bytes], bytes]) -> socket.socket:
    """Take one client to where data may come; `message` makes the frame of a control message."""
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while b"\r\n\r\n" not in request:
        request += client.recv(65_536)
    key = next(
        line.split(b":", 1)[1].strip()
        for line in request.split(b"\r\n")
        if line.lower().startswith(b"sec-websocket-key")
    )
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    client.sendall(message(b'[{"T":"success","msg":"connected"}]'))
    client.recv(65_536)  # auth, whatever it is
    client.sendall(message(b'[{"T":"success","msg":"authenticated"}]'))
    client.recv(65_536)  # subscribe
    client.sendall(message(json.dumps(_ACK).encode()))
    return client


def _serve(pipe: Connection, frames_count: int, trades_per_frame: int) -> None:
    chunk = b"".join(
        frame(trades_frame(trades_per_frame, 1 + index * trades_per_frame))
        for index in range(min(_CHUNK_FRAMES, frames_count))
    )
    client = shake_hands(listen(pipe), frame)
    pipe.recv()  # the word to begin
    for _ in range(max(1, frames_count // _CHUNK_FRAMES)):
        client.sendall(chunk)
    pipe.send("sent")
    pipe.poll(60)
    client.close()


class Blaster:
    """The server in a process of its own; `port` to connect to, `go` to begin."""

    def __init__(self, frames_count: int, trades_per_frame: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, frames_count, trades_per_frame), daemon=True
        )
        self._process.start()
        theirs.close()  # so that its death is heard
        self.port: int = self._pipe.recv()

    def go(self) -> None:
        """Begin to send."""
        self._pipe.send("go")

    def close(self) -> None:
        """End the process."""
        self._pipe.send("done")
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
