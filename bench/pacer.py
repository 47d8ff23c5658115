"""A server that sends a frame of trades when it is due, in JSON or in MessagePack.

The id of a frame's last trade is the moment at which the frame was due, on the monotonic clock that
all processes of the machine share; all other ids are small. It is no venue: it answers whatever
comes.
"""

import json
import multiprocessing
from datetime import datetime
from multiprocessing.connection import Connection

import msgspec

from bench.blaster import BINARY, TEXT, frame, listen, shake_hands, trades_frame
from bench.decide import paced

STAMP_MIN = 1 << 32
"""An id from here on is a moment, as it is on a machine that has been up for four seconds."""

_PLACE = (1 << 32) + 1  # of the stamp, in a frame that is made only once


def _packed(payload: bytes) -> bytes:
    """A frame of JSON as MessagePack, its instants as the venue packs them."""
    messages = json.loads(payload)
    for message in messages:
        if "t" in message:
            message["t"] = datetime.fromisoformat(message["t"][:26] + "+00:00")
    return msgspec.msgpack.encode(messages)


def _serve(pipe: Connection, encoding: str, per_frame: int, count: int, rate: int) -> None:
    is_packed = encoding == "msgpack"
    opcode = BINARY if is_packed else TEXT
    pack = _packed if is_packed else bytes
    client = shake_hands(listen(pipe), lambda payload: frame(pack(payload), opcode))

    def written(number: int) -> bytes:
        return b"\xcf" + number.to_bytes(8, "big") if is_packed else b"%d" % number

    text = trades_frame(per_frame)
    text = (f'"i":{_PLACE}').encode().join(text.rsplit(b'"i":%d' % per_frame, 1))
    head, _, tail = pack(text).partition(written(_PLACE))
    pipe.send("subscribed")
    pipe.recv()  # the word to begin
    paced(count, rate, lambda due_ns: client.sendall(frame(head + written(due_ns) + tail, opcode)))
    pipe.send("sent")
    pipe.poll(60)
    client.close()


class Pacer:
    """The server in a process of its own: `port` to connect to, `go` once the client is there.

    Args:
        encoding: "json" or "msgpack".
        per_frame: trades in a frame.
        count: frames in all.
        rate: frames a second.
    """

    def __init__(self, encoding: str, per_frame: int, count: int, rate: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (theirs, encoding, per_frame, count, rate)
        self._process = context.Process(target=_serve, args=arguments, daemon=True)
        self._process.start()
        theirs.close()  # so that its death is heard
        self.port: int = self._pipe.recv()

    def go(self) -> None:
        """Begin to send."""
        assert self._pipe.recv() == "subscribed"
        self._pipe.send("go")

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.join()

    def __enter__(self) -> "Pacer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
