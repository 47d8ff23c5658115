"""A tape on the wire for one subscription: its rows encoded once, cut into frames, in blocks.

Rows are cut into groups of `batch` rows counted from the start of the tape, whoever listens: a
group is what goes into one v2 frame (for v1, which has one message per frame, into one write). The
buffers handed out are never changed afterwards.
"""

from collections import OrderedDict
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.sim import framing
from ticktape.sim.jsontext import Column, choose, flat, objects
from ticktape.sim.states import Subscription
from ticktape.sim.tape import Ints, Tape

BLOCK_ROWS = 16_384  # about 2 MB of JSON, encoded in about 10 ms
KEEP_ROWS_MAX = 2_000_000  # a longer tape (> 250 MB of JSON) is encoded as it plays
KEEP_BLOCKS = 4


class Wire(Protocol):
    """What a protocol's encoder offers."""

    @property
    def name(self) -> str:
        """Which protocol."""

    @property
    def joins(self) -> bool:
        """Whether one frame carries several messages."""

    @property
    def opening(self) -> str:
        """What a frame begins with."""

    @property
    def closing(self) -> str:
        """What a frame ends with."""

    @property
    def binary(self) -> bool:
        """Whether frames are binary."""

    def elements(self, tape: Tape, start: int, stop: int) -> "pa.Array[Any]":
        """Return the message of each row from `start` to `stop`."""

    def heard(self, tape: Tape, subscription: Subscription) -> npt.NDArray[np.bool_]:
        """Return for each row whether `subscription` hears it."""

    def control(self, message: object) -> bytes:
        """Return a control message as the payload of its frame."""

    def error(self, code: int) -> object:
        """Return the control message of an error."""

    def with_field(self, element: bytes, name: str, value: str) -> bytes:
        """Return a message with one field more than the protocol knows."""

    def unknown(self, padding: int) -> bytes:
        """Return the payload of a message of a type that nobody knows."""

    def malformed(self) -> bytes:
        """Return a payload that is no JSON."""

    def wire_codes(self, table: pa.Table) -> pa.Table:
        """Return the truth's columns as the protocol writes them."""


class EncodedTape:
    """A tape's messages in one protocol, encoded in blocks when first asked for."""

    def __init__(self, tape: Tape, wire: Wire) -> None:
        self.tape = tape
        self.wire = wire
        self.opcode = framing.BINARY if wire.binary else framing.TEXT
        self._blocks: OrderedDict[int, pa.Array[Any]] = OrderedDict()

    def warm(self) -> None:
        """Encode all of it now, so that nothing has to be encoded while it plays."""
        if len(self.tape) <= KEEP_ROWS_MAX:
            for block in range(-(-len(self.tape) // BLOCK_ROWS)):
                self._block(block)

    def elements(self, start: int, stop: int) -> "pa.Array[Any]":
        """Return the messages of rows `start` to `stop`."""
        parts = []
        for block in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
            first = block * BLOCK_ROWS
            low, high = max(start, first) - first, min(stop, first + BLOCK_ROWS) - first
            parts.append(self._block(block).slice(low, high - low))
        return pa.concat_arrays(parts) if parts else pa.array([], pa.string())

    def _block(self, block: int) -> "pa.Array[Any]":
        found = self._blocks.get(block)
        if found is None:
            first = block * BLOCK_ROWS
            stop = min(first + BLOCK_ROWS, len(self.tape))
            found = self._blocks[block] = self.wire.elements(self.tape, first, stop)
            if len(self.tape) > KEEP_ROWS_MAX and len(self._blocks) > KEEP_BLOCKS:
                self._blocks.popitem(last=False)
        return found


class Burst(NamedTuple):
    """Frames ready for the socket: their bytes, how many messages, how many frames."""

    content: memoryview | bytes
    messages: int
    frames: int


class _Block(NamedTuple):
    content: memoryview
    places: Ints  # where each group begins, and the end
    messages: Ints  # messages before each group, and all
    frames: Ints


class Lane:
    """What one subscription hears of a tape, in frames of `batch` rows."""

    def __init__(self, encoded: EncodedTape, subscription: Subscription, batch: int) -> None:
        self.encoded = encoded
        self.subscription = subscription
        self.batch = batch
        self.heard = encoded.wire.heard(encoded.tape, subscription)
        self._groups_per_block = max(1, BLOCK_ROWS // batch)
        self._blocks: OrderedDict[int, _Block] = OrderedDict()

    def burst(self, start: int, stop: int) -> list[Burst]:
        """Return the frames of rows `start` to `stop`, in order.

        Whole groups come from blocks; a range that begins or ends inside a group is cut there.
        """
        bursts = []
        while start < stop:
            whole = start % self.batch == 0
            last_group = stop == len(self.encoded.tape)
            end = stop if last_group else stop - stop % self.batch
            if whole and end > start:
                block_rows = self._groups_per_block * self.batch
                end = min(end, (start // block_rows + 1) * block_rows)
                bursts.append(self._whole_groups(start, end))
            else:
                end = min(stop, (start // self.batch + 1) * self.batch)
                bursts.append(self._cut_group(start, end))
            start = end
        return [burst for burst in bursts if burst.messages]

    def messages(self, start: int, stop: int) -> list[bytes]:
        """Return the messages heard in rows `start` to `stop`, one by one."""
        texts = self.encoded.elements(start, stop).filter(pa.array(self.heard[start:stop]))
        return [str(text).encode() for text in texts.to_pylist()]

    def payloads(self, messages: list[bytes]) -> list[bytes]:
        """Return the payloads of the frames that carry these messages."""
        wire = self.encoded.wire
        if not wire.joins:
            return messages
        return [wire.opening.encode() + b",".join(messages) + wire.closing.encode()]

    def _cut_group(self, start: int, stop: int) -> Burst:
        messages = self.messages(start, stop)
        if not messages:
            return Burst(b"", 0, 0)
        payloads = self.payloads(messages)
        content = b"".join(framing.frame(payload, self.encoded.opcode) for payload in payloads)
        return Burst(content, len(messages), len(payloads))

    def _whole_groups(self, start: int, stop: int) -> Burst:
        block_rows = self._groups_per_block * self.batch
        number = start // block_rows
        block = self._block(number)
        low = (start - number * block_rows) // self.batch
        high = -(-(stop - number * block_rows) // self.batch)
        return Burst(
            block.content[int(block.places[low]) : int(block.places[high])],
            int(block.messages[high] - block.messages[low]),
            int(block.frames[high] - block.frames[low]),
        )

    def _block(self, number: int) -> _Block:
        found = self._blocks.get(number)
        if found is None:
            found = self._blocks[number] = self._make_block(number)
            if len(self._blocks) > KEEP_BLOCKS:
                self._blocks.popitem(last=False)
        return found

    def _make_block(self, number: int) -> _Block:
        first = number * self._groups_per_block * self.batch
        stop = min(first + self._groups_per_block * self.batch, len(self.encoded.tape))
        heard = self.heard[first:stop]
        texts = self.encoded.elements(first, stop)
        if not heard.all():
            texts = texts.filter(pa.array(heard))
        # `ends[g]` is how many messages there are before group g.
        groups = -(-(stop - first) // self.batch)
        before = np.concatenate(([0], np.cumsum(heard)))
        edges = np.minimum(np.arange(groups + 1) * self.batch, stop - first)
        ends: Ints = before[edges].astype(np.int64)
        wire, opcode = self.encoded.wire, self.encoded.opcode
        if not wire.joins:
            content, places = framing.frames(texts, opcode)
            return _Block(content, places[ends], ends, ends)
        joined = _join_groups(texts, ends, self.batch)
        full = objects(wire.opening, joined, wire.closing)
        empty = pa.array(np.diff(ends) == 0, pa.bool_())
        content, places = framing.frames(choose(empty, "", full), opcode)
        frames = np.concatenate(([0], np.cumsum(np.diff(ends) > 0)))
        return _Block(content, places, ends, frames)


def _join_groups(texts: "pa.Array[Any]", ends: Ints, batch: int) -> "pa.Array[Any]":
    if batch == 1 and len(texts) == len(ends) - 1:
        return texts
    lists = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), texts)
    return flat(cast("Column", pc.binary_join(lists, pa.scalar(","))))
