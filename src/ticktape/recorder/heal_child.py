"""The healing process: follows the journals of the feeds, and asks REST for what they missed.

Nothing waits for it, and it makes nothing wait: on the word to leave it stops between two requests,
each of which has a bound, and what is unfinished is taken up by the next start.
"""

import contextlib
import os
import random
from pathlib import Path
from typing import NamedTuple

from ticktape import clock
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, ConfigError, Locked
from ticktape.journal.reader import Reader
from ticktape.latency import PauseLog, RunId
from ticktape.recorder.following import Following
from ticktape.recorder.heal_asking import paces_of
from ticktape.recorder.heal_news import HealNews
from ticktape.recorder.healer import IDLE_NS, Healer
from ticktape.recorder.parent import Parent
from ticktape.recorder.priority import OBSERVER, take_place
from ticktape.recorder.task import HealFeed, HealTask
from ticktape.recorder.turn import turn
from ticktape.records import Position

_READ_BYTES = 4 << 20
_POLL_NS = clock.NS_PER_S // 2  # it looks by itself and is never woken, like the table
_REPORT_NS = 300_000_000
_LOCK_NS = (
    clock.NS_PER_S // 2
)  # how often the journal of a feed that `ticktape heal` has is tried again


class _Healed(NamedTuple):
    """A feed that is healed here, and its own look at the journals that tell of it."""

    healer: Healer
    following: Following


class HealChild:
    """The healers of all feeds in one loop."""

    def __init__(self, task: HealTask, parent: Parent) -> None:
        self._task = task
        self._parent = parent
        self._directory = RunDirectory(Path(task.directory))
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        self._pauses = PauseLog(self._directory.pauses, "heal", process)
        self._paces = paces_of(task.feeds)
        self._healed: list[_Healed] = []
        self._locked: list[HealFeed] = []
        self._look_at_ns = clock.monotonic_ns() + _LOCK_NS
        self._report_at_ns = 0
        for feed in task.feeds:
            try:
                self._open(feed)
            except Locked:
                self._locked.append(feed)
                words = f"{feed.name}: waits for `ticktape heal`, which is at work on it"
                self._parent.tell("state", words=words)

    def _open(self, feed: HealFeed) -> None:
        """Begin to heal a feed, if it can be.

        Raises:
            Locked: another process heals it now.
        """
        try:
            healer = Healer(
                feed,
                self._directory,
                self._task.run,
                self._task.journal,
                self._reader,
                self._hear,
                pace=self._paces[feed.name],
                source=random.Random(os.urandom(8)),
                is_leaving=self._parent.leave.is_set,
            )
        except ConfigError as error:
            words = f"{feed.name} is not healed: {error.args[0]}"
            self._parent.tell("trouble", words=words, hint=error.hint)
            return
        following = Following(self._directory, healer.starts(), self._pauses, synced=True)
        self._healed.append(_Healed(healer, following))

    def _open_sometimes(self) -> None:
        """Look whether feeds that another process healed are free now."""
        now_ns = clock.monotonic_ns()
        if not self._locked or now_ns < self._look_at_ns:
            return
        self._look_at_ns = now_ns + _LOCK_NS
        for feed in list(self._locked):
            with contextlib.suppress(Locked):
                self._open(feed)
                self._locked.remove(feed)

    def _reader(self, name: str, start: Position) -> Reader:
        journal, positions = self._directory.journal(name), self._directory.positions(name)
        return Reader(journal, positions, start, synced=True)

    def _hear(self, news: HealNews) -> None:
        words = f"{news.feed}: {news.words}" if news.event in _OF_DISK else news.words
        self._parent.tell(news.event, feed=news.feed, words=words, hint=news.hint)

    def run(self) -> int:
        """Heal until the parent says leave."""
        while not self._parent.leave.is_set():
            self._open_sometimes()
            found = self._read()
            wait_ns = self._step()
            self._report_sometimes()
            if not found and wait_ns > 0:
                clock.sleep_s(min(wait_ns, _POLL_NS) / clock.NS_PER_S)
        return EXIT_COMPLETE

    def _read(self) -> bool:
        """Take what is new; whether there was something."""
        found = False
        for healer, following in self._healed:
            for name, blocks in following.read(_READ_BYTES):
                found = True
                healer.see(name, blocks)
        return found

    def _step(self) -> int:
        """One step of every feed, unless it is time to leave; how long there is nothing to do."""
        wait_ns = IDLE_NS
        for healer, _ in self._healed:
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
        feeds = {each.healer.feed.name: each.healer.statistics()._asdict() for each in self._healed}
        behind: dict[str, int] = {}
        for _, following in self._healed:
            for name, count_bytes in following.behind_bytes().items():
                behind[name] = max(count_bytes, behind.get(name, 0))
        self._parent.tell("statistics", behind_bytes=behind, feeds=feeds)

    def close(self) -> None:
        """End the healers' journals, close the readers; may be called twice."""
        for healer, following in self._healed:
            healer.close()
            following.close()
        self._pauses.close()


_OF_DISK = ("trouble", "mended")


def main(task: HealTask, parent: Parent) -> int:
    """Run the healer's child; its exit code."""
    take_place(OBSERVER)
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
