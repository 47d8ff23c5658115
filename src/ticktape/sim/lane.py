"""A tape on the wire for one subscription: its rows encoded once, cut into frames, in blocks.

Rows are cut into groups of `batch` rows counted from the start of the tape, whoever listens: a
group is what goes into one v2 frame (for v1, which has one message per frame, into one write). The
buffers handed out are never changed afterwards.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.sim import framing
from ticktape.sim.jsontext import Still
from ticktape.sim.orderbooks import WholeBook
from ticktape.sim.states import Subscription
from ticktape.sim.tape import Ints, Tape

BLOCK_ROWS = 8192  # about 1 MB of JSON, encoded in about 4 ms, and in 2 when it comes again
KEEP_ROWS_MAX = 2_000_000  # a longer tape (> 250 MB of JSON) is encoded as it plays
KEEP_BLOCKS = 4

_NONE: Ints = np.zeros(0, np.int64)

StillBlocks: TypeAlias = dict[int, dict[str, Still]]
"""What is the same in all passes of a tape, by block and kind."""


class Wire(Protocol):
    """What a protocol's encoder offers."""

    @property
    def name(self) -> str:
        """Which protocol in which encoding."""

    @property
    def joins(self) -> bool:
        """Whether one frame carries several messages."""

    @property
    def opcode(self) -> int:
        """What kind of frame: text or binary."""

    def elements(
        self, tape: Tape, start: int, stop: int, still: dict[str, Still] | None = None
    ) -> "pa.Array[Any]":
        """Return the message of each row from `start` to `stop`.

        `still` may keep by kind what is the same in the next pass of the tape.
        """

    def payload(self, messages: list[bytes]) -> bytes:
        """Return the payload of the frame that carries these messages."""

    def payloads(self, elements: "pa.Array[Any]", ends: Ints) -> "pa.Array[Any]":
        """Return the payload with the messages between each two `ends`, empty without any."""

    def book(self, book: WholeBook) -> bytes:
        """Return the payload of a frame with a whole order book."""

    def text(self, payload: bytes) -> str:
        """Return a payload as JSON, or as near to a text as it can be made."""

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
        """Return a payload that cannot be read."""

    def wire_codes(self, table: pa.Table) -> pa.Table:
        """Return the truth's columns as the protocol writes them."""


class EncodedTape:
    """A tape's messages in one protocol, encoded in blocks when first asked for.

    Of a tape that will be played again, `still` keeps by block what will be the same then.
    """

    def __init__(self, tape: Tape, wire: Wire, still: StillBlocks | None = None) -> None:
        self.tape = tape
        self.wire = wire
        self._still = still if len(tape) <= KEEP_ROWS_MAX else None
        self._keeps_all = len(tape) <= KEEP_ROWS_MAX and not still
        self._blocks: OrderedDict[int, pa.Array[Any]] = OrderedDict()

    def warm(self) -> None:
        """Encode all of it now, so that nothing has to be encoded while it plays.

        A later pass is encoded as it plays, for much of the work is done.
        """
        if self._keeps_all:
            for block in range(-(-len(self.tape) // BLOCK_ROWS)):
                self._block(block)

    def elements(self, start: int, stop: int) -> "pa.Array[Any]":
        """Return the messages of rows `start` to `stop`."""
        parts = []
        for block in range(start // BLOCK_ROWS, -(-stop // BLOCK_ROWS)):
            first = block * BLOCK_ROWS
            low, high = max(start, first) - first, min(stop, first + BLOCK_ROWS) - first
            parts.append(self._block(block).slice(low, high - low))
        return pa.concat_arrays(parts) if parts else pa.array([], pa.binary())

    def _block(self, block: int) -> "pa.Array[Any]":
        found = self._blocks.get(block)
        if found is None:
            first = block * BLOCK_ROWS
            stop = min(first + BLOCK_ROWS, len(self.tape))
            still = None if self._still is None else self._still.setdefault(block, {})
            found = self._blocks[block] = self.wire.elements(self.tape, first, stop, still)
            if not self._keeps_all and len(self._blocks) > KEEP_BLOCKS:
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
    """What one subscription hears of a tape, in frames of `batch` rows; never the rows `unsent`."""

    def __init__(
        self, encoded: EncodedTape, subscription: Subscription, batch: int, unsent: Ints = _NONE
    ) -> None:
        self.encoded = encoded
        self.subscription = subscription
        self.batch = batch
        self.heard = encoded.wire.heard(encoded.tape, subscription)
        self.heard[unsent] = False
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
        heard = self.encoded.elements(start, stop).filter(pa.array(self.heard[start:stop]))
        messages: list[Any] = heard.cast(pa.binary()).to_pylist()
        return messages

    def payloads(self, messages: list[bytes]) -> list[bytes]:
        """Return the payloads of the frames that carry these messages."""
        wire = self.encoded.wire
        if not wire.joins:
            return messages
        return [wire.payload(messages)]

    def _cut_group(self, start: int, stop: int) -> Burst:
        messages = self.messages(start, stop)
        if not messages:
            return Burst(b"", 0, 0)
        payloads = self.payloads(messages)
        opcode = self.encoded.wire.opcode
        content = b"".join(framing.frame(payload, opcode) for payload in payloads)
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
        wire = self.encoded.wire
        if not wire.joins:
            content, places = framing.frames(texts, wire.opcode)
            return _Block(content, places[ends], ends, ends)
        content, places = framing.frames(wire.payloads(texts, ends), wire.opcode)
        frames = np.concatenate(([0], np.cumsum(np.diff(ends) > 0)))
        return _Block(content, places, ends, frames)


_Wanted: TypeAlias = tuple[tuple[str, frozenset[str]], ...]


class Lanes:
    """The lanes of one pass of a tape; who hears the same in the same encoding shares one.

    Rows `unsent` happen, but nobody ever hears them. `still`, empty at first, is for a tape of
    several passes: what of its messages is the same in all of them.
    """

    def __init__(
        self,
        tape: Tape,
        batch: int,
        unsent: Ints = _NONE,
        encoded: dict[str, EncodedTape] | None = None,
        still: dict[str, StillBlocks] | None = None,
    ) -> None:
        self._tape = tape
        self._still = still
        self._batch = batch
        self._unsent = unsent
        self._encoded = {} if encoded is None else encoded
        self._lanes: dict[tuple[str, _Wanted], Lane] = {}

    def without(self, unsent: Ints) -> Self:
        """Return the lanes of the same pass with other rows `unsent`; nothing is encoded again."""
        return type(self)(self._tape, self._batch, unsent, self._encoded, self._still)

    def again(self, tape: Tape) -> Self:
        """Return the lanes of the next pass of the tape."""
        return type(self)(tape, self._batch, still=self._still)

    def lane(self, wire: Wire, wanted: Subscription) -> Lane:
        """Return the lane of a subscription, with all of its tape encoded."""
        key = (wire.name, tuple(sorted(wanted.items(), key=lambda item: item[0])))
        if key not in self._lanes:
            if wire.name not in self._encoded:
                still = None if self._still is None else self._still.setdefault(wire.name, {})
                self._encoded[wire.name] = EncodedTape(self._tape, wire, still)
                self._encoded[wire.name].warm()
            self._lanes[key] = Lane(self._encoded[wire.name], wanted, self._batch, self._unsent)
        return self._lanes[key]

    def keep(self, used: Iterable[Lane | None]) -> None:
        """Forget all other lanes."""
        kept = set(used)
        self._lanes = {key: lane for key, lane in self._lanes.items() if lane in kept}
