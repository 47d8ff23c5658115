"""Decides again from the journals, and says whether the decisions are the same, bit for bit.

Inputs are read as they are given: nothing of a day's run is kept in memory here.
"""

import heapq
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ticktape import clock
from ticktape.decisions import DecisionRunner, InputLog, find_logs, give_logged, load_strategy
from ticktape.decisions.log import Blocks, Failed, Logged, Start
from ticktape.decisions.runner import Outcome
from ticktape.decoders import decoder_for
from ticktape.decoders.holes import HoleTeller
from ticktape.directory import DECISION, RunDirectory
from ticktape.errors import ConfigError
from ticktape.journal.reader import Reader
from ticktape.records import Position
from ticktape.replay.places import BEGINNING, is_live, reader_of, stream_kinds


class Rerun(NamedTuple):
    """How one run of one strategy was decided again.

    `difference` says where the first decision differs; empty when all are the same. `error` is what
    the first callback that raised has said; empty when none did.
    """

    decision: str
    run: str
    inputs: int
    logged: int
    decided: int
    failures: int
    difference: str
    error: str


def read_runs(directory: RunDirectory, decision: str) -> list[InputLog]:
    """The inputs of every instance in a strategy's journal, one log for each start."""
    live = is_live(directory)

    def open_journal(start: Position) -> Reader:
        return reader_of(directory, f"{DECISION}:{decision}", start, live=live)

    return find_logs(open_journal, BEGINNING)


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
    inputs = decided = logged_count = failures = 0
    difference = error = ""

    def open_feed(feed: str) -> Reader:
        return reader_of(directory, feed, live=is_live(directory))

    for logged, outcome in give_logged(runner, open_feed, log, pace):
        inputs += 1
        decided += len(outcome.decisions)
        logged_count += len(logged.decisions)
        failures += outcome.failure is not None
        if outcome.failure is not None and not error:
            error = str(outcome.failure.args[0])
        if not difference:
            difference = _difference(logged, outcome)
    return Rerun(
        decision, log.start.run, inputs, logged_count, decided, failures, difference, error
    )


def _difference(logged: Logged, outcome: Outcome) -> str:
    """The first thing that is not the same; empty when all is."""
    mine = outcome.decisions
    for index in range(max(len(logged.decisions), len(mine))):
        live = logged.decisions[index] if index < len(logged.decisions) else b"nothing"
        now = mine[index] if index < len(mine) else b"nothing"
        if live != now:
            return f"live {live.decode('utf-8', 'replace')} | now {now.decode('utf-8', 'replace')}"
    was = [_failed_words(failed) for failed in logged.failures]
    now_failed = [_failed_words(failed) for failed in outcome.failed()]
    if was != now_failed:
        return f"live {', '.join(was) or 'no error'} | now {', '.join(now_failed) or 'no error'}"
    return ""


def _failed_words(failed: Failed) -> str:
    """Where it raised; its own words may hold an address of memory, which no replay repeats."""
    return f"an error in {failed.trigger} at entry {failed.seq}"


def new_runner(
    directory: RunDirectory, file: Path, decision: str, class_name: str, on_error: str
) -> DecisionRunner:
    """A fresh instance of the strategy in `file` with decoders for all feeds of the run."""
    decoders = {
        feed: HoleTeller(feed, decoder_for(kind, feed))
        for feed, kind in stream_kinds(directory).items()
    }
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
        ConfigError: nothing was recorded.
    """
    log = InputLog(Start("by receipt", {}), partial(_by_receipt, directory))
    if next(log.inputs(), None) is None:
        raise ConfigError([f"{directory.root}: nothing was recorded"], hint="Record something.")
    return log


def _by_receipt(directory: RunDirectory) -> Iterator[Logged]:
    live = is_live(directory)
    feeds = [_feed_inputs(directory, feed, live=live) for feed in stream_kinds(directory)]
    # Each feed's own order stays, also where its clock was set back.
    yield from heapq.merge(*feeds, key=lambda logged: logged.recv_ns)


def _feed_inputs(directory: RunDirectory, feed: str, *, live: bool) -> Iterator[Logged]:
    with reader_of(directory, feed, live=live) as reader:
        while blocks := reader.read():
            for block in blocks:
                said = Blocks(feed, block.epoch, block.offset, block.end_offset, 1)
                yield Logged(said, [], [], block.position, block.recv_ns)
