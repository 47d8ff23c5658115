"""Decides again from the journals, and says whether the decisions are the same, bit for bit."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ticktape import clock
from ticktape.decisions import DecisionRunner, InputLog, give_logged, load_strategy
from ticktape.decisions.log import Blocks, Logged, Start, read_logged
from ticktape.decisions.runner import Outcome
from ticktape.decoders import decoder_for
from ticktape.directory import DECISION, RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal.blocks import Block
from ticktape.replay.places import feed_kinds, is_live, reader_of


class Rerun(NamedTuple):
    """How one run of one strategy was decided again.

    `difference` says where the first decision differs; empty when all are the same.
    """

    decision: str
    run: str
    inputs: int
    logged: int
    decided: int
    failures: int
    difference: str


def read_runs(directory: RunDirectory, decision: str) -> list[InputLog]:
    """The inputs of every run in a strategy's journal, one log for each start."""
    logs: list[InputLog] = []
    with reader_of(directory, f"{DECISION}:{decision}", live=is_live(directory)) as reader:
        while blocks := reader.read():
            for block in blocks:
                before = logs[-1].start if logs else None
                log = logs[-1] if logs else InputLog()
                if _starts(block):
                    log = InputLog()
                    before = None
                log.take(block)
                if before is None:
                    logs.append(log)
    return [log for log in logs if log.start is not None]


def _starts(block: Block) -> bool:
    return isinstance(read_logged(block).input, Start)


def rerun(
    directory: RunDirectory,
    decision: str,
    log: InputLog,
    runner: DecisionRunner,
    pace: Callable[[Logged], None],
) -> Rerun:
    """Give a strategy one run's inputs again and compare.

    Args:
        directory: the run's.
        decision: the strategy's name.
        log: the inputs.
        runner: a fresh instance; another strategy than the logged one is compared all the same.
        pace: called before each input; it may wait.
    """
    assert log.start is not None
    decided = logged_count = failures = 0
    difference = ""
    for logged, outcome in zip(log.inputs, _paced(runner, directory, log, pace), strict=True):
        mine = outcome.decisions
        decided += len(mine)
        logged_count += len(logged.decisions)
        failures += outcome.failure is not None
        if not difference and mine != logged.decisions:
            difference = _first_difference(logged, mine)
    return Rerun(
        decision, log.start.run, len(log.inputs), logged_count, decided, failures, difference
    )


def _paced(
    runner: DecisionRunner,
    directory: RunDirectory,
    log: InputLog,
    pace: Callable[[Logged], None],
) -> Iterator[Outcome]:
    outcomes = give_logged(runner, directory, log)
    for logged in log.inputs:
        pace(logged)
        yield next(outcomes)


def _first_difference(logged: Logged, mine: list[bytes]) -> str:
    for index in range(max(len(logged.decisions), len(mine))):
        live = logged.decisions[index] if index < len(logged.decisions) else b"nothing"
        now = mine[index] if index < len(mine) else b"nothing"
        if live != now:
            return f"live {live.decode('utf-8', 'replace')} | now {now.decode('utf-8', 'replace')}"
    return "the same decisions in another order"


def new_runner(
    directory: RunDirectory, file: Path, decision: str, class_name: str, on_error: str
) -> DecisionRunner:
    """A fresh instance of the strategy in `file` with decoders for all feeds of the run."""
    decoders = {feed: decoder_for(kind, feed) for feed, kind in feed_kinds(directory).items()}
    return DecisionRunner(load_strategy(file, decision, class_name), decoders, on_error)


class Pace:
    """Waits between inputs so that they come `speed` times as fast as live; 0: at once."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._first: tuple[int, int] | None = None

    def __call__(self, logged: Logged) -> None:
        """Wait until it is this input's turn."""
        if self._speed <= 0:
            return
        recv_ns = logged.recv_ns
        now_ns = clock.monotonic_ns()
        if self._first is None:
            self._first = (recv_ns, now_ns)
        due_ns = self._first[1] + (recv_ns - self._first[0]) / self._speed
        if due_ns > now_ns:
            clock.sleep_s((due_ns - now_ns) / clock.NS_PER_S)


def inputs_by_receipt(directory: RunDirectory) -> InputLog:
    """Inputs for a strategy that did not run live: all feeds' blocks in the order of receipt.

    Raises:
        ConfigError: the run has no feeds.
    """
    log = InputLog()
    places: list[tuple[int, str, Block]] = []
    for feed in feed_kinds(directory):
        with reader_of(directory, feed, live=is_live(directory)) as reader:
            while blocks := reader.read(8 << 20):
                for block in blocks:
                    block.body = b""
                    places.append((block.recv_ns, feed, block))
    if not places:
        raise ConfigError([f"{directory.root}: nothing was recorded"], hint="Record something.")
    places.sort(key=lambda place: place[0])
    log.start = Start("by receipt", {})
    for _, feed, block in places:
        said = Blocks(feed, block.epoch, block.offset, block.end_offset, 1)
        log.inputs.append(Logged(said, [], [], block.position, block.recv_ns))
    return log
