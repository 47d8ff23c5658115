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


class Outcome(msgspec.Struct, frozen=True):
    """What one input led to: the entries to be logged behind it, by kind and bytes.

    `done_ns` is when each of its blocks was through, where that was asked for; the block at which a
    strategy stops has none.
    """

    input: Input
    kinds: list[int]
    payloads: list[bytes]
    failure: DecisionError | None
    done_ns: list[int]

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


class _Made(msgspec.Struct):
    """What an input leads to, while it does."""

    kinds: list[int] = []
    payloads: list[bytes] = []
    failure: DecisionError | None = None
    done_ns: list[int] = []


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

    `next_number` is that of the next decision.
    """

    def __init__(
        self,
        strategy: Strategy,
        decoders: Mapping[str, Decodes],
        on_error: str = "stop",
    ) -> None:
        self.strategy = strategy
        self._decoders = decoders
        self._on_error = on_error
        self.stopped = False
        # Bound once, not for each block: a strategy waits for what comes before its callbacks.
        self._on_decided, self._on_raised = self._decided, self._raised
        self._made = _Made()  # of the next input: before its callbacks nothing is to be done
        self.next_number = 0
        self._records = 0
        self._decisions = 0
        self._timers = 0
        self._failures = 0

    def give(
        self,
        feed: str,
        blocks: Sequence[Block],
        now: Callable[[], int] | None = None,
        enough_at_ns: int = 0,
    ) -> Outcome:
        """Give blocks of one feed, in order, all of one epoch and not none.

        A strategy that is stopped is given nothing more. With a clock, `now`, each block is stamped
        when its records are given; from `enough_at_ns` on the rest is not given: the outcome's
        input says which blocks were.
        """
        if self.stopped:
            return self._outcome(_named(feed, blocks))
        decoder, strategy = self._decoders[feed], self.strategy
        decided, raised = self._on_decided, self._on_raised
        for block in blocks:
            self._records += strategy.decide_all(decoder.decode(block), decided, raised)
            if self.stopped:
                break
            if now is not None:
                done_ns = now()
                stamps = self._made.done_ns
                stamps.append(done_ns)
                if done_ns >= enough_at_ns:
                    return self._outcome(_named(feed, blocks[: len(stamps)]))
        return self._outcome(_named(feed, blocks))

    def fire_timer(self, now_ns: int) -> Outcome:
        """Call the strategy's timer with this time."""
        if self.stopped:
            return self._outcome(Timer(now_ns))
        self._timers += 1
        value = None
        try:
            value = self.strategy.on_timer(now_ns)
        except DecisionError as error:
            self._failed("timer", error)
        if value is not None:
            said = Decided(
                self.next_number, "timer", "", "", now_ns, now_ns, 0, -1, 0, msgspec.Raw(value)
            )
            self._add(said)
        return self._outcome(Timer(now_ns))

    def _outcome(self, given: Input) -> Outcome:
        made, self._made = self._made, _Made()
        return Outcome(given, made.kinds, made.payloads, made.failure, made.done_ns)

    def _decided(self, record: Record, value: bytes) -> None:
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
        self._add(said)

    def _add(self, said: Decided) -> None:
        self.next_number += 1
        self._decisions += 1
        self._made.kinds.append(EntryKind.DECISION)
        self._made.payloads.append(encode(said))

    def _raised(self, record: Record, error: DecisionError) -> bool:
        """A callback raised; whether the strategy goes on."""
        self._failed(record.kind, error)
        return not self.stopped

    def _failed(self, trigger: str, error: DecisionError) -> None:
        self._failures += 1
        failed = Failed(trigger, error.seq, str(error.args[0]), self._on_error)
        self._made.kinds.append(EntryKind.ERROR)
        self._made.payloads.append(encode(failed))
        self._made.failure = error
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
