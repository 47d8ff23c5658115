"""Starts the processes of a run, keeps them alive, and shuts them down along the data's way.

It holds no market data and decodes nothing. Readers are opened before feeds and closed after them.
"""

import json
import queue
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.config import Config, Keys, dump
from ticktape.directory import RunDirectory
from ticktape.errors import Locked, WriteFailed
from ticktape.journal.segments import list_segments
from ticktape.recorder.parent import EXIT_REFUSED, EXIT_STOPPED
from ticktape.recorder.process import ChildEvent, ChildProcess
from ticktape.recorder.task import CaptureTask, DecideTask, FeedPlace, LastTask, TableTask

_EVENTS_MAX = 10_000
_FEEDS_LEAVE_S = 15.0
_READERS_LEAVE_S = 120.0
DECISIONS_LEAVE_S = 10.0  # a strategy that is further behind than this is cut off, and it is said


class RunEnd(NamedTuple):
    """How a run ended, beside what `check` proves of its data."""

    refused: list[str]
    stopped_decisions: list[str]
    cut_off: list[str]
    restarts: dict[str, int]
    journal_trouble: list[str]


class Supervisor:
    """The processes of one run.

    Args:
        config: the whole config; its directory is used as it is.
        keys: feed -> its keys.
        proxies: feed -> the proxy to go through, "" for none.
        on_event: called, in `poll`, with everything that a child reports.
    """

    def __init__(
        self,
        config: Config,
        keys: Mapping[str, Keys],
        proxies: Mapping[str, str],
        on_event: Callable[[ChildEvent], None],
    ) -> None:
        self.config = config
        self.directory = RunDirectory(Path(config.directory))
        self.run = f"{clock.wall_now_ns()}-{secrets.token_hex(4)}"
        self._keys = keys
        self._proxies = proxies
        self._on_event = on_event
        self._events: queue.Queue[ChildEvent] = queue.Queue(_EVENTS_MAX)
        self.captures: list[ChildProcess] = []
        self.readers: list[ChildProcess] = []
        self._journal_trouble: list[str] = []
        self._cut_off: list[str] = []
        self._lock = self._open_directory()

    def _open_directory(self) -> FileLock:
        root = self.directory.root
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.directory.lock, timeout=0)
            lock.acquire()
            self.directory.log.mkdir(exist_ok=True)
            self.directory.config.write_text(dump(self.config))
        except Timeout as error:
            raise Locked(
                f"{root}: another ticktape records into this directory",
                hint="Stop it, or give this config another directory = ….",
            ) from error
        except OSError as error:
            raise WriteFailed(
                f"{root}: cannot be written ({error.strerror})",
                hint="Choose a directory that you may write to: directory = … in the config.",
            ) from error
        return lock

    # Starting.

    def start(self) -> None:
        """Start all children: readers first, then the feeds."""
        feeds = [FeedPlace(feed.name, feed.kind) for feed in self.config.feed]
        root = str(self.directory.root)
        positions = {feed.name: (self._next_epoch(feed.name), 0) for feed in feeds}
        decisions = [decide.name for decide in self.config.decide]
        self.readers.append(
            self._child("table", TableTask(self.run, root, feeds, decisions, self.config.table))
        )
        for index, decide in enumerate(self.config.decide):
            # The first strategy's stage is `decided`; further ones are told apart by name.
            stage = f"decided-{decide.name}" if index else "decided"
            strategy = DecideTask(
                self.run, root, feeds, decide, self.config.journal, positions, stage
            )
            self.readers.append(self._child(f"decide-{decide.name}", strategy))
        self.readers.append(self._child("last", LastTask(self.run, root, feeds)))
        for feed in self.config.feed:
            keys = self._keys[feed.name]
            task = CaptureTask(
                self.run,
                root,
                feed,
                self.config.journal,
                keys.key,
                keys.secret,
                self._proxies.get(feed.name, ""),
            )
            self.captures.append(self._child(f"capture-{feed.name}", task))
        for child in self.children():
            child.start()

    def _next_epoch(self, feed: str) -> int:
        segments = list_segments(self.directory.feed_journal(feed))
        return segments[-1].epoch + 1 if segments else 0

    def _child(
        self, name: str, task: CaptureTask | LastTask | DecideTask | TableTask
    ) -> ChildProcess:
        return ChildProcess(name, task, self.directory.log / f"{name}.log", self._events)

    def children(self) -> list[ChildProcess]:
        """All children, readers first."""
        return [*self.readers, *self.captures]

    # Going on.

    def poll(self, timeout_s: float) -> bool:
        """Hear the children for up to `timeout_s` and restart who died; False when none can record.

        That is when every feed has been refused by its venue.
        """
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            event = None
        while event is not None:
            self._hear(event)
            event = self._events.get_nowait() if not self._events.empty() else None
        for child in self.children():
            child.poll()
        return not all(child.final for child in self.captures)

    def _hear(self, event: ChildEvent) -> None:
        if event.event == "trouble" and event.child.startswith("capture-"):
            self._journal_trouble.append(f"{event.child}: {event.content['words']}")
        line = {
            "at": clock.iso_utc(clock.wall_now_ns()),
            "child": event.child,
            "event": event.event,
            **event.content,
        }
        try:
            with open(self.directory.log / "events.jsonl", "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        except OSError:
            # The disk is full or gone: the same words still reach the terminal and the certificate.
            self._journal_trouble.append("the log cannot be written")
        self._on_event(event)

    # Leaving.

    def stop(self, on_wait: Callable[[str], None]) -> RunEnd:
        """Stop feeds, drain readers, in bounds; `on_wait` is called with what is waited for."""
        self._leave(self.captures, _FEEDS_LEAVE_S, on_wait)
        strategies = [child for child in self.readers if child.name.startswith("decide-")]
        rest = [child for child in self.readers if child not in strategies]
        for child in rest:
            child.leave()
        self._leave(strategies, DECISIONS_LEAVE_S, on_wait)
        self._leave(rest, _READERS_LEAVE_S, on_wait)
        self.poll(0.05)
        self._lock.release()
        return RunEnd(
            refused=[c.name for c in self.captures if c.exit_code == EXIT_REFUSED],
            stopped_decisions=[c.name for c in strategies if c.exit_code == EXIT_STOPPED],
            cut_off=self._cut_off,
            restarts={c.name: c.restarts for c in self.children() if c.restarts},
            journal_trouble=self._journal_trouble,
        )

    def _leave(
        self, children: list[ChildProcess], bound_s: float, on_wait: Callable[[str], None]
    ) -> None:
        for child in children:
            if not child.leaving:
                child.leave()
        until_ns = clock.monotonic_ns() + int(bound_s * clock.NS_PER_S)
        while waiting := [child for child in children if not child.is_gone()]:
            if clock.monotonic_ns() > until_ns:
                for child in waiting:
                    self._cut_off.append(child.name)
                    child.kill()
                return
            on_wait(", ".join(child.name for child in waiting))
            self.poll(0.05)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Child -> what it last said of itself."""
        return {child.name: child.statistics for child in self.children()}

    def pids(self) -> dict[str, int]:
        """Child -> its process id, for those that run."""
        return {child.name: child.pid for child in self.children() if child.pid is not None}

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self.children():
            child.leaving = True
            child.kill()
        self._lock.release()
