"""Runs the healers of a run in the foreground, with what happens said on standard error."""

import os
import random
import signal
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from ticktape import clock
from ticktape.cli.figures import moment, printable
from ticktape.cli.running import keys_of, proxies_of
from ticktape.cli.terminal import errors
from ticktape.config import Config, JournalConfig
from ticktape.directory import RunDirectory
from ticktape.errors import Locked
from ticktape.journal.reader import Reader
from ticktape.ledger.heal_answers import Pace
from ticktape.ledger.healing import in_words
from ticktape.recorder.following import sync_all, writer_is_gone
from ticktape.recorder.heal_asking import paces_of
from ticktape.recorder.heal_news import HealNews
from ticktape.recorder.healer import Healer
from ticktape.recorder.task import HealFeed
from ticktape.records import Position

_READ_BYTES = 4 << 20
_PATIENCE_NS = 120 * clock.NS_PER_S  # what is due later than that is left for another time
_FAILURES_MAX = 8  # in a row, some two minutes: then REST is taken for away
_POLL_S = 0.1
_STYLES = {"healed": "green", "compared": "green", "mended": "green", "healing": "dim"}


class Healing:
    """The healers of some feeds of a run, open; their news are kept.

    Raises:
        Locked: one of the feeds is healed by another process.
        ConfigError: a key is missing, or a proxy cannot be used.
    """

    def __init__(self, run: RunDirectory, config: Config, names: Sequence[str]) -> None:
        self._run = run
        self.news: list[HealNews] = []
        self.healers: list[Healer] = []
        self._readers: dict[str, bool] = {}
        self._asked = 0
        self._had = _catch_interrupt(self._interrupt)
        feeds = tuple(feed for feed in config.feed if feed.name in names)
        chosen = Config(directory=config.directory, feed=feeds)
        try:
            keys, proxies = keys_of(chosen), proxies_of(chosen)
            asked = []
            for feed in feeds:
                own = keys[feed.name]
                asked.append(HealFeed(feed.name, feed, own.key, own.secret, proxies[feed.name]))
            paces = paces_of(asked)
            for healed in asked:
                self.healers.append(self._open(healed, config.journal, paces[healed.name]))
        except BaseException:
            self.close()
            raise

    def _open(self, healed: HealFeed, journal: JournalConfig, pace: Pace) -> Healer:
        try:
            return Healer(
                healed,
                self._run,
                f"heal-{clock.wall_now_ns()}",
                journal,
                self._reader,
                self._hear,
                pace=pace,
                source=random.Random(os.urandom(8)),
                is_leaving=lambda: self.interrupted,
            )
        except Locked as error:
            raise Locked(
                f"{healed.name} is healed by another process now",
                hint="A recorder heals by itself while it runs; this is for when it does not.",
            ) from error

    def _reader(self, name: str, start: Position) -> Reader:
        """A reader of what is on the disk: to its end when nobody writes there any more."""
        journal, positions = self._run.journal(name), self._run.positions(name)
        if name not in self._readers:
            is_over = writer_is_gone(self._run, name)
            if is_over:
                # A writer that was killed leaves what is not yet on the disk. What else there is
                # to do is for the next one, which may be starting now.
                sync_all(self._run, name)
            self._readers[name] = is_over
        return Reader(journal, None if self._readers[name] else positions, start, synced=True)

    # What happens.

    def _hear(self, news: HealNews) -> None:
        self.news.append(news)
        style = _STYLES.get(news.event, "yellow")
        errors.print(f"{news.feed}: {printable(news.words)}", style=style, markup=False)
        if news.hint:
            errors.print(f"  → {printable(news.hint)}", style="dim", markup=False)

    def _interrupt(self) -> None:
        self._asked += 1
        if self._asked > 1:
            raise KeyboardInterrupt
        errors.print("stopping; what is unfinished goes on with the next heal", markup=False)

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._asked > 0

    # The work.

    def read(self) -> None:
        """Learn from the journals which gaps there are."""
        for healer in self.healers:
            for name, start in healer.starts().items():
                with self._reader(name, start) as reader:
                    while (blocks := reader.read(_READ_BYTES)) and not self.interrupted:
                        healer.see(name, blocks)

    def work(self) -> None:
        """Ask until there is nothing to do soon, REST is away, or Ctrl-C is pressed."""
        with errors.status("") as status:
            while not self.interrupted:
                busy = [healer for healer in self.healers if _has_work(healer)]
                if not busy:
                    return
                wait_ns = min(healer.step() for healer in busy)
                status.update(self._line())
                if wait_ns > 0:
                    clock.sleep_s(min(wait_ns / clock.NS_PER_S, _POLL_S))

    def _line(self) -> str:
        parts = []
        for healer in self.healers:
            said = healer.statistics()
            words = f"{said.pages:,} pages, {said.rows:,} rows"
            parts.append(f"{said.feed}: {said.waiting} to heal, {words}")
        return printable("; ".join(parts))

    def left(self) -> list[str]:
        """What is not healed yet, in words."""
        now_ns = clock.wall_now_ns()
        found = []
        for healer in self.healers:
            for gap in healer.book.waiting():
                words = f"{healer.feed.name}: gap {in_words(gap)}: {gap.cause}"
                due_ns = healer.due_ns(gap)
                if due_ns is None:
                    words += "; it has not ended: record again, and it will"
                elif due_ns > now_ns:
                    words += f"; to be asked from {moment(due_ns, now_ns)} UTC"
                found.append(words)
        return found

    def close(self) -> None:
        """End the journals of the healers; may be called twice."""
        for healer in self.healers:
            healer.close()
        self.healers = []
        self._had()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _has_work(healer: Healer) -> bool:
    if healer.failures >= _FAILURES_MAX:
        return False
    due_ns = healer.next_due_ns()
    return due_ns is not None and due_ns <= clock.wall_now_ns() + _PATIENCE_NS


def _catch_interrupt(call: Callable[[], None]) -> Callable[[], None]:
    """Have Ctrl-C and SIGTERM call this; how to undo it."""
    names = (signal.SIGINT, signal.SIGTERM)
    had = [signal.signal(name, lambda *_: call()) for name in names]

    def undo() -> None:
        for name, before in zip(names, had, strict=True):
            signal.signal(name, before)

    return undo
