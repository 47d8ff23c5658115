"""What a strategy was given, in which order, and what it returned: the entries of its own journal.

One block holds one input and all decisions that it led to, so that a crash leaves both or none.
These bytes are a strategy's whole memory: nothing but them may influence a replay.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Protocol

import msgspec

from ticktape.journal.blocks import Block
from ticktape.journal.reader import Reader
from ticktape.records import Decision, EntryKind, Position


class Start(msgspec.Struct, tag="start", frozen=True):
    """A new instance begins: a new run, or a restart that resumes without memory.

    `first_number` is that of its first decision, so that numbers are unique in a run.
    """

    run: str
    positions: dict[str, tuple[int, int]]
    file_sha256: str = ""
    first_number: int = 0


class Restart(msgspec.Struct, tag="restart", frozen=True):
    """The process came back and replayed muted up to here; the instance's memory goes on."""

    run: str
    replayed_inputs: int


class Blocks(msgspec.Struct, tag="blocks", frozen=True):
    """The blocks of one feed in [from_offset, to_offset) of an epoch, `count` of them."""

    feed: str
    epoch: int
    from_offset: int
    to_offset: int
    count: int


class Timer(msgspec.Struct, tag="timer", frozen=True):
    """The timer, with the time that it was called with."""

    now_ns: int


Input = Start | Restart | Blocks | Timer


class Decided(msgspec.Struct, frozen=True):
    """One decision: its number in the run, what it answers, and the value as JSON."""

    n: int
    trigger: str
    feed: str
    symbol: str
    event_ns: int
    recv_ns: int
    epoch: int
    seq: int
    index: int
    value: msgspec.Raw


class Failed(msgspec.Struct, frozen=True):
    """A callback raised."""

    trigger: str
    seq: int
    words: str
    policy: str


_input = msgspec.json.Decoder(Input)
_decided = msgspec.json.Decoder(Decided)
decode_failed = msgspec.json.Decoder(Failed).decode
encode = msgspec.json.encode
_START_MARK = b'{"type":"start"'  # how `encode` begins a Start: found without decoding the rest


class Logged(msgspec.Struct, frozen=True):
    """One block of the log, read back: an input, and the bytes of what it led to."""

    input: Input
    decisions: list[bytes]
    failures: list[Failed]
    position: Position
    recv_ns: int


def read_logged(block: Block) -> Logged | None:
    """The input and outcome that a block of a strategy's journal holds.

    None for a block that the writer put there itself: what it dropped, what is suspect.
    """
    entries = block.entries()
    if entries[0][0] != EntryKind.INPUT:
        return None
    return Logged(
        _input.decode(entries[0][1]),
        [payload for kind, payload in entries[1:] if kind == EntryKind.DECISION],
        [decode_failed(payload) for kind, payload in entries[1:] if kind == EntryKind.ERROR],
        block.position,
        block.recv_ns,
    )


class HasEntries(Protocol):
    """All that is needed of a block to read its decisions."""

    @property
    def epoch(self) -> int:
        """The start of the writer that wrote it."""
        ...

    @property
    def seq(self) -> int:
        """Number of the first entry."""
        ...

    def entries(self) -> list[tuple[int, bytes]]:
        """Kind and payload of every entry, in order."""
        ...


def decision_records(decision: str, block: HasEntries) -> list[Decision]:
    """The decisions in a block of a strategy's journal as records."""
    found = []
    for place, (kind, payload) in enumerate(block.entries()):
        if kind == EntryKind.DECISION:
            said = _decided.decode(payload)
            found.append(
                Decision(
                    feed=said.feed,
                    symbol=said.symbol,
                    event_ns=said.event_ns,
                    recv_ns=said.recv_ns,
                    epoch=block.epoch,
                    seq=block.seq + place,
                    index=0,
                    decision=decision,
                    number=said.n,
                    trigger=said.trigger,
                    trigger_epoch=said.epoch,
                    trigger_seq=said.seq,
                    trigger_index=said.index,
                    value=bytes(said.value).decode(),
                )
            )
    return found


class InputLog:
    """What one instance of a strategy was given, from its Start on, read anew for each `inputs`.

    Args:
        start: its beginning.
        read: gives the inputs in order, from the first.
    """

    def __init__(self, start: Start, read: Callable[[], Iterator[Logged]]) -> None:
        self.start = start
        self._read = read

    def inputs(self) -> Iterator[Logged]:
        """The inputs in order; nothing of them is kept."""
        return self._read()


def find_logs(open_reader: Callable[[Position], Reader], first: Position) -> list[InputLog]:
    """Every instance in a strategy's journal from `first` on, in order.

    Args:
        open_reader: gives a reader of the journal that begins at a position; each is closed.
        first: where to begin to look.
    """
    starts: list[tuple[Start, Position]] = []
    with open_reader(first) as reader:
        while blocks := reader.read():
            for block in blocks:
                kind, payload = block.entries()[0]
                if kind == EntryKind.INPUT and payload.startswith(_START_MARK):
                    start = _input.decode(payload)
                    assert isinstance(start, Start)
                    starts.append((start, block.end))
    return [
        InputLog(start, partial(_read_inputs, open_reader, begin, end))
        for (start, begin), (_, end) in zip(starts, [*starts[1:], (None, None)], strict=False)
    ]


def _read_inputs(
    open_reader: Callable[[Position], Reader], begin: Position, end: Position | None
) -> Iterator[Logged]:
    """The inputs in [begin, end), without the Starts and Restarts that stand there."""
    with open_reader(begin) as reader:
        while blocks := reader.read() if end is None else reader.read_until(end):
            for block in blocks:
                logged = read_logged(block)
                if logged is not None and isinstance(logged.input, Blocks | Timer):
                    yield logged


class Standing:
    """Where an instance stands: carried on input by input, live or while its log is read."""

    def __init__(self, start: Start) -> None:
        self.positions = {feed: Position(*at) for feed, at in start.positions.items()}
        self.next_number = start.first_number
        self.inputs = 0

    def take(self, logged: Logged) -> None:
        """Go on by one input."""
        self.inputs += 1
        self.next_number += len(logged.decisions)
        if isinstance(logged.input, Blocks):
            said = logged.input
            self.positions[said.feed] = Position(said.epoch, said.to_offset)
