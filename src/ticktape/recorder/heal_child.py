"""The healing process: follows the journals of the feeds, and asks REST for what they missed.

Nothing waits for it, and it makes nothing wait: on the word to leave it stops between two requests,
each of which has a bound, and what is unfinished is taken up by the next start.
"""

import os
import random
from pathlib import Path

from ticktape import clock
from ticktape.directory import LEDGER, RunDirectory
from ticktape.errors import EXIT_COMPLETE, ConfigError, Locked
from ticktape.journal.reader import Reader
from ticktape.latency import PauseLog, RunId
from ticktape.recorder.following import Following
from ticktape.recorder.healer import IDLE_NS, Healer, HealNews
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import TABLE, take_place
from ticktape.recorder.task import HealFeed, HealTask
from ticktape.recorder.turn import turn
from ticktape.records import Position

_READ_BYTES = 4 << 20
_POLL_NS = clock.NS_PER_S // 4  # it looks by itself and is never woken, like the table
_REPORT_NS = 300_000_000
_LOCK_S = 0.5  # how often the journal of a feed that `ticktape heal` has is tried again


class HealChild:
    """The healers of all feeds in one loop."""

    def __init__(self, task: HealTask, parent: Parent) -> None:
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        self._healers: list[Healer] = []
        for healed in task.feeds:
            healer = self._open(task, healed)
            if healer is not None:
                self._healers.append(healer)
        starts: dict[str, Position] = {}
        for healer in self._healers:
            for name, start in healer.starts().items():
                # Of one journal for several healers, from where the first of them stands: to see
                # an entry twice is harmless.
                starts[name] = min(start, starts.get(name, start))
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, "heal", process)
        self._following = Following(self._directory, starts, self._pauses, synced=True)
        self._report_at_ns = 0

    def _open(self, task: HealTask, healed: HealFeed) -> Healer | None:
        """The healer of a feed; None when it cannot be, or it is time to leave."""
        is_told = False
        while not self._parent.leave.is_set():
            try:
                return Healer(
                    healed,
                    self._directory,
                    task.run,
                    task.journal,
                    self._reader,
                    self._hear,
                    source=random.Random(os.urandom(8)),
                )
            except ConfigError as error:
                words = f"{healed.name} is not healed: {error.args[0]}"
                self._parent.tell("trouble", words=words, hint=error.hint)
                return None
            except Locked:
                if not is_told:
                    words = f"{healed.name}: waits for `ticktape heal`, which is at work on it"
                    self._parent.tell("state", words=words)
                is_told = True
                clock.sleep_s(_LOCK_S)
        return None

    def _reader(self, name: str, start: Position) -> Reader:
        journal, positions = self._directory.journal(name), self._directory.positions(name)
        return Reader(journal, positions, start, synced=True)

    def _hear(self, news: HealNews) -> None:
        words = f"{news.feed}: {news.words}" if news.event in _OF_DISK else news.words
        self._parent.tell(news.event, feed=news.feed, words=words, hint=news.hint)

    def run(self) -> int:
        """Heal until the parent says leave."""
        while not self._parent.leave.is_set():
            found = self._read()
            wait_ns = self._step()
            self._report_sometimes()
            if not found and wait_ns > 0:
                clock.sleep_s(min(wait_ns, _POLL_NS) / clock.NS_PER_S)
        return EXIT_COMPLETE

    def _read(self) -> bool:
        """Take what is new; whether there was something."""
        found = False
        for name, blocks in self._following.read(_READ_BYTES):
            found = True
            for healer in self._healers:
                if name in (healer.feed.name, LEDGER):
                    healer.see(name, blocks)
        return found

    def _step(self) -> int:
        """One step of every feed, unless it is time to leave; how long there is nothing to do."""
        wait_ns = IDLE_NS
        for healer in self._healers:
            if self._parent.leave.is_set():
                return 0
            wait_ns = min(wait_ns, healer.step())
        return wait_ns

    def _report_sometimes(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns > self._report_at_ns:
            self._report_at_ns = now_ns + _REPORT_NS
            self.report()

    def report(self) -> None:
        """Tell the parent the counters."""
        feeds = {healer.feed.name: healer.statistics()._asdict() for healer in self._healers}
        behind = self._following.behind_bytes()
        self._parent.tell("statistics", behind_bytes=behind, feeds=feeds)

    def close(self) -> None:
        """End the healers' journals, close the readers; may be called twice."""
        for healer in self._healers:
            healer.close()
        self._following.close()
        self._pauses.close()


_OF_DISK = ("trouble", "mended")


def main(task: HealTask, parent: Parent) -> int:
    """Run the healer's child; its exit code."""
    take_place(TABLE)
    parent.listen()
    with turn(RunDirectory(Path(task.directory)), "heal", parent) as ours:
        if not ours:
            return EXIT_COMPLETE
        child = HealChild(task, parent)
        try:
            return child.run()
        finally:
            child.report()
            child.close()
