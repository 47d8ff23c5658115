"""What a strategy was given, in which order, and what it returned: the entries of its own journal.

One block holds one input and all decisions that it led to, so that a crash leaves both or none.
These bytes are a strategy's whole memory: nothing but them may influence a replay.
"""

from typing import Any, Protocol

import msgspec

from ticktape.journal.blocks import Block
from ticktape.records import Decision, EntryKind, Position


class Start(msgspec.Struct, tag="start", frozen=True):
    """A new instance begins: a new run, or a restart that resumes without memory."""

    run: str
    positions: dict[str, tuple[int, int]]
    file_sha256: str = ""


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
_failed = msgspec.json.Decoder(Failed)
encode = msgspec.json.encode


class Logged(msgspec.Struct, frozen=True):
    """One block of the log, read back: an input, and the bytes of what it led to."""

    input: Input
    decisions: list[bytes]
    failures: list[Failed]
    position: Position
    recv_ns: int


def read_logged(block: Block) -> Logged:
    """The input and outcome that a block of a strategy's journal holds."""
    entries = block.entries()
    return Logged(
        _input.decode(entries[0][1]),
        [payload for kind, payload in entries[1:] if kind == EntryKind.DECISION],
        [_failed.decode(payload) for kind, payload in entries[1:] if kind == EntryKind.ERROR],
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
    """The inputs of one run, collected while a strategy's journal is read from its start."""

    def __init__(self) -> None:
        self.start: Start | None = None
        self.inputs: list[Logged] = []

    def take(self, block: Block) -> None:
        """Take one block in; a Start begins anew."""
        logged = read_logged(block)
        if isinstance(logged.input, Start):
            self.start = logged.input
            self.inputs = []
        elif not isinstance(logged.input, Restart):
            self.inputs.append(logged)

    def positions(self) -> dict[str, Position]:
        """For each feed where the strategy stands after all of these inputs."""
        found: dict[str, Position] = {}
        if self.start is not None:
            found = {feed: Position(*at) for feed, at in self.start.positions.items()}
        for logged in self.inputs:
            if isinstance(logged.input, Blocks):
                found[logged.input.feed] = Position(logged.input.epoch, logged.input.to_offset)
        return found


def as_json(logged: Logged) -> dict[str, Any]:
    """A logged input for people."""
    return {"input": msgspec.to_builtins(logged.input), "decisions": len(logged.decisions)}
