"""Runs one strategy over blocks and timers; the same code live, muted and in a replay.

The order in which `give` and `fire_timer` are called is all that decides what a strategy returns;
live, that order is logged with the outcome, in one block of the strategy's journal.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ticktape.decisions.log import Blocks, Decided, Failed, Input, Timer, decode_failed, encode
from ticktape.decisions.strategy import Strategy
from ticktape.errors import DecisionError
from ticktape.journal.blocks import Block
from ticktape.records import EntryKind, Record


class Decodes(Protocol):
    """What a runner needs of a feed's decoder."""

    def decode(self, block: Block) -> Sequence[Record]:
        """The records of a block, in order."""
        ...


class Outcome(NamedTuple):
    """What one input led to: the entries to be logged behind it, by kind and bytes."""

    input: Input
    kinds: list[int]
    payloads: list[bytes]
    failure: DecisionError | None

    @property
    def decisions(self) -> list[bytes]:
        """The bytes of the decisions alone."""
        return self._of(EntryKind.DECISION)

    def failed(self) -> list[Failed]:
        """What callbacks raised."""
        return [decode_failed(payload) for payload in self._of(EntryKind.ERROR)]

    def _of(self, wanted: EntryKind) -> list[bytes]:
        return [
            payload
            for kind, payload in zip(self.kinds, self.payloads, strict=True)
            if kind == wanted
        ]


class _Made:
    """What an input leads to, while it does."""

    __slots__ = ("failure", "kinds", "payloads")

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.payloads: list[bytes] = []
        self.failure: DecisionError | None = None

    def outcome(self, given: Input) -> Outcome:
        """All of it, once it is known what was given."""
        return Outcome(given, self.kinds, self.payloads, self.failure)


class DecisionStatistics(NamedTuple):
    """Counters of one instance; they only grow."""

    decision: str
    records: int
    decisions: int
    timers: int
    failures: int
    stopped: bool


class DecisionRunner:
    """One strategy, its decoders, and its policy on errors.

    Args:
        strategy: a fresh instance.
        decoders: feed -> its decoder.
        on_error: "stop" ends the strategy at the first error; "detach" only the raising callback.
        on_block: called after each block with (feed, block), for the stage rows.

    `next_number` is that of the next decision.
    """

    def __init__(
        self,
        strategy: Strategy,
        decoders: Mapping[str, Decodes],
        on_error: str = "stop",
        on_block: Callable[[str, Block], None] | None = None,
    ) -> None:
        self.strategy = strategy
        self._decoders = decoders
        self._on_error = on_error
        self.on_block = on_block
        self.stopped = False
        self.next_number = 0
        self._records = 0
        self._decisions = 0
        self._timers = 0
        self._failures = 0

    def give(
        self, feed: str, blocks: Sequence[Block], is_enough: Callable[[], bool] | None = None
    ) -> Outcome:
        """Give blocks of one feed, in order, all of one epoch and not none.

        A strategy that is stopped is given nothing more. When `is_enough`, asked after each block,
        says so, the rest is not given: the outcome's input says which were.
        """
        made = _Made()
        if self.stopped:
            return made.outcome(_named(feed, blocks))
        decode, on_block = self._decoders[feed].decode, self.on_block
        for number, block in enumerate(blocks, 1):
            self._give_records(decode(block), made)
            if self.stopped:
                break
            if on_block is not None:
                on_block(feed, block)
            if is_enough is not None and is_enough():
                return made.outcome(_named(feed, blocks[:number]))
        return made.outcome(_named(feed, blocks))

    def _give_records(self, records: Sequence[Record], made: "_Made") -> None:
        decide = self.strategy.decide
        given = 0
        for record in records:
            given += 1
            try:
                value = decide(record)
            except DecisionError as error:
                self._failed(made, record.kind, error)
                if self.stopped:
                    break
                continue
            if value is not None:
                self._decided(made, record, value)
        self._records += given

    def fire_timer(self, now_ns: int) -> Outcome:
        """Call the strategy's timer with this time."""
        made = _Made()
        if self.stopped:
            return made.outcome(Timer(now_ns))
        self._timers += 1
        value = None
        try:
            value = self.strategy.on_timer(now_ns)
        except DecisionError as error:
            self._failed(made, "timer", error)
        if value is not None:
            said = Decided(
                self.next_number, "timer", "", "", now_ns, now_ns, 0, -1, 0, msgspec.Raw(value)
            )
            self._add(made, said)
        return made.outcome(Timer(now_ns))

    def _decided(self, made: "_Made", record: Record, value: bytes) -> None:
        said = Decided(
            self.next_number,
            record.kind,
            record.feed,
            record.symbol,
            record.event_ns,
            record.recv_ns,
            record.epoch,
            record.seq,
            record.index,
            msgspec.Raw(value),
        )
        self._add(made, said)

    def _add(self, made: "_Made", said: Decided) -> None:
        self.next_number += 1
        self._decisions += 1
        made.kinds.append(EntryKind.DECISION)
        made.payloads.append(encode(said))

    def _failed(self, made: "_Made", trigger: str, error: DecisionError) -> None:
        self._failures += 1
        failed = Failed(trigger, error.seq, str(error.args[0]), self._on_error)
        made.kinds.append(EntryKind.ERROR)
        made.payloads.append(encode(failed))
        made.failure = error
        if self._on_error == "detach":
            self.strategy.detach(trigger)
        else:
            self.stopped = True

    def statistics(self) -> DecisionStatistics:
        """Counters of this instance."""
        return DecisionStatistics(
            decision=self.strategy.name,
            records=self._records,
            decisions=self._decisions,
            timers=self._timers,
            failures=self._failures,
            stopped=self.stopped,
        )


def _named(feed: str, blocks: Sequence[Block]) -> Blocks:
    first, last = blocks[0], blocks[-1]
    return Blocks(feed, first.epoch, first.offset, last.end_offset, len(blocks))


def log_block(outcome: Outcome) -> tuple[list[bytes], list[int]]:
    """(payloads, kinds) of the one block in which an input and its outcome are logged."""
    return (
        [encode(outcome.input), *outcome.payloads],
        [EntryKind.INPUT, *outcome.kinds],
    )
