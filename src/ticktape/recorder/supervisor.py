"""Starts the processes of a run, keeps them alive, and shuts them down along the data's way.

It holds no market data and decodes nothing. Readers are opened before feeds and closed after them.
"""

import json
import queue
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from filelock import FileLock, Timeout

from ticktape import clock
from ticktape.config import REST, Config, Keys, dump
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_BUG, EXIT_COMPLETE, ConfigError, Full, Locked
from ticktape.journal.disk import Disk, write_error
from ticktape.recorder.alerts import Alerts, alert_text
from ticktape.recorder.assignments import Assignments
from ticktape.recorder.cpus import beside_spinners, shares, usable
from ticktape.recorder.disk_watch import DiskWatch
from ticktape.recorder.hang import HangWatch
from ticktape.recorder.logs import LogWatch, rotate
from ticktape.recorder.parent import EXIT_REFUSED, EXIT_STOPPED
from ticktape.recorder.process import ChildEvent, ChildProcess, child_environment
from ticktape.recorder.requests import RequestFolder
from ticktape.recorder.stagger import start_waits
from ticktape.recorder.subscriptions import Subscriptions
from ticktape.recorder.task import CaptureTask, DecideTask, Task

_UPKEEP_AFTER_NS = 5 * clock.NS_PER_S
_EVENTS_MAX = 10_000
_SOON_S = 0.1
_LOCK_S = 1.0  # who looks whether a recorder is at work holds the lock for a moment
_FEEDS_LEAVE_S = 15.0
_READERS_LEAVE_S = 120.0
DECISIONS_LEAVE_S = 10.0  # a strategy that is further behind than this is cut off, and it is said
_HEAR_S = 2.0  # for the last words of those that are gone
_TROUBLE_MAX = 100  # different words that are kept for the run's end
_OUR_EXITS = (EXIT_COMPLETE, EXIT_REFUSED, EXIT_STOPPED)


class RunEnd(NamedTuple):
    """How a run ended, beside what `check` proves of its data.

    `failed` are children, with their code, that did not end well and did not come back;
    `lost_frames` by feed are dropped ones of which no journal tells.
    """

    refused: list[str]
    stopped_decisions: list[str]
    cut_off: list[str]
    failed: dict[str, int]
    restarts: dict[str, int]
    journal_trouble: list[str]
    lost_frames: dict[str, int]

    def reasons(self) -> list[str]:
        """Why the run is not complete, as far as no journal can show it."""
        found = [f"{name} was cut off: it did not finish in time" for name in self.cut_off]
        found += [f"{name} stopped itself at an error" for name in self.stopped_decisions]
        found += [f"{name} ended with code {code}" for name, code in self.failed.items()]
        return found


class Supervisor:
    """The processes of one run.

    Args:
        config: the whole config; its directory is used as it is.
        keys: feed -> its keys.
        proxies: feed -> the proxy to go through, "" for none.
        on_event: called, in `poll`, with everything that a child reports.

    Raises:
        Locked: another recorder has the directory.
        JournalError: the directory cannot be written.
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
        self._upkeep: ChildProcess | None = None  # until it is its turn
        self._upkeep_at_ns = 0
        self.readers: list[ChildProcess] = []
        self._journal_trouble: dict[str, None] = {}
        self._lost_frames: dict[str, int] = {}
        self._cut_off: list[str] = []
        self._hangs = HangWatch()
        self._alone, self._shared = shares(config.feed, usable())
        self._hot, others = beside_spinners(config.decide, config.feed, usable())
        self._shared = self._shared or others
        self._alerts = Alerts(config.alert.command, child_environment())
        self._disk = DiskWatch(self.directory.root, config.journal, self._hear_disk)
        self._logs = LogWatch(self.directory.log)
        self._lock = self._open_directory()
        requests = RequestFolder(self.directory.requests)
        self._subscriptions = Subscriptions(config, requests, self._hear)

    def _open_directory(self) -> FileLock:
        root = self.directory.root
        lock = FileLock(self.directory.lock, timeout=_LOCK_S)
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            self._refuse_forgotten(lock)
            self.directory.log.mkdir(exist_ok=True)
            # As a whole or not at all: a full disk must not cost the config of what is recorded.
            Disk().replace(self.directory.config, dump(self.config).encode())
        except Timeout as error:
            raise Locked(
                f"{root}: another ticktape records into this directory",
                hint="Stop it, or give this config another directory = ….",
            ) from error
        except OSError as error:
            lock.release()
            failure = write_error(error, str(root))
            if not isinstance(failure, Full):
                failure.hint = "Choose one that you may write to: directory = … in the config."
            raise failure from error
        return lock

    def _refuse_forgotten(self, lock: FileLock) -> None:
        """Nobody could read a run whose config has forgotten one of its feeds."""
        journals = [name for feed in self.config.feed for name in feed.journals()]
        known = {*journals, *(name + REST for name in journals)}
        if forgotten := [name for name in self.directory.feeds() if name not in known]:
            lock.release()
            root = self.directory.root
            raise ConfigError(
                [f"{root} holds feed {name!r}, which this config has not" for name in forgotten],
                hint="Give this config another directory = …, or put the feed back into it.",
            )

    # Starting.

    def start(self) -> None:
        """Start all children: readers first, then the feeds."""
        tasks = Assignments(self.config, self.run, self.directory, self._keys, self._proxies)
        for name, task in tasks.readers().items():
            self.readers.append(self._child(name, task))
        self._upkeep = self._child("upkeep", tasks.upkeep())
        self._upkeep_at_ns = clock.monotonic_ns() + _UPKEEP_AFTER_NS
        for name, capture_task in tasks.captures(self._alone).items():
            self.captures.append(self._child(name, capture_task))
        for reader in self.readers:
            reader.start()
        waits = start_waits(self.config.feed)
        for capture in self.captures:
            assert isinstance(capture.task, CaptureTask)
            wait_s = waits.get(capture.task.name, 0.0)
            capture.start(msgspec.structs.replace(capture.task, start_wait_s=wait_s))

    def _child(self, name: str, task: Task) -> ChildProcess:
        log = self.directory.log / f"{name}.log"
        finishes = not isinstance(task, CaptureTask)
        cpus = self._hot if _is_hot(task) and self._hot else self._shared
        return ChildProcess(name, task, log, self._events, finishes=finishes, cpus=cpus)

    def children(self) -> list[ChildProcess]:
        """All children, readers first."""
        return [*self.readers, *self.captures]

    # Going on.

    def poll(self, timeout_s: float) -> bool:
        """Hear the children for up to `timeout_s` and restart who died; False when none can record.

        That is when no feed's capture is to be started again: each is refused by its venue, or by
        its config. While a child is to be started, or the ballast grows, it takes `_SOON_S` at
        most.
        """
        if self._upkeep is not None or self._disk.is_growing or self._is_waited_for():
            timeout_s = min(timeout_s, _SOON_S)
        try:
            event = self._events.get(timeout=timeout_s)
        except queue.Empty:
            event = None
        while event is not None:
            self._hear(event)
            event = self._events.get_nowait() if not self._events.empty() else None
        for child in self.children():
            child.poll()
        for child in self.captures:
            words = self._hangs.look(child)
            if words:
                hint = "It is left and opened again; look whether a window of it waits for you."
                self._hear(ChildEvent(child.name, "hung", {"words": words, "hint": hint}))
        self._disk.look()
        self._logs.look()
        self._start_upkeep()
        self._subscriptions.look(self.captures)
        return not all(child.final for child in self.captures)

    def _is_waited_for(self) -> bool:
        """Whether a child is gone and comes back."""
        return any(child.pid is None and not child.final for child in self.children())

    def _start_upkeep(self) -> None:
        """Start it late: there is nothing to seal yet, and the others need the CPU to come up."""
        if self._upkeep is not None and clock.monotonic_ns() >= self._upkeep_at_ns:
            self._upkeep.start()
            self.readers.append(self._upkeep)
            self._upkeep = None

    def reread(self, read: Callable[[], Config]) -> None:
        """Take over the channels of the config that `read` gives; what else is in it is only said.

        A config with faults, for which `read` raises ConfigError, changes nothing.
        """
        self._subscriptions.reread(read, self.captures)

    def _hear(self, event: ChildEvent) -> None:
        content = event.content
        self._hangs.hear(event)
        self._subscriptions.hear(event)
        if event.event == "trouble" and event.child.startswith("capture-"):
            self._disk.hurry()
            self._note_trouble(f"{event.child}: {content['words']}")
            feed = event.child.removeprefix("capture-")
            lost = int(content.get("lost_frames", 0))
            if lost:
                self._lost_frames[feed] = self._lost_frames.get(feed, 0) + lost
        moment = clock.iso_utc(clock.wall_now_ns())
        line = {"at": moment, "child": event.child, "event": event.event, **content}
        try:
            rotate(self.directory.events)
            with open(self.directory.events, "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")
        except OSError:
            # The disk is full or gone: the same words still reach the terminal and the certificate.
            self._note_trouble("the log cannot be written")
        self._on_event(event)
        failed = self._alerts.call(alert_text(event)) if alert_text(event) else ""
        if failed:
            self._on_event(ChildEvent("alert", "trouble", {"words": failed, "hint": ""}))

    def _hear_disk(self, event: str, words: str, hint: str) -> None:
        self._hear(ChildEvent("disk", event, {"words": words, "hint": hint}))

    def _note_trouble(self, words: str) -> None:
        if len(self._journal_trouble) < _TROUBLE_MAX:
            self._journal_trouble.setdefault(words)

    # Leaving.

    def stop(self, on_wait: Callable[[str], None]) -> RunEnd:
        """Stop feeds, drain readers, in bounds; `on_wait` is called with what is waited for."""
        self._upkeep = None
        self._leave(self.captures, _FEEDS_LEAVE_S, on_wait)
        strategies = [child for child in self.readers if child.name.startswith("decide-")]
        rest = [child for child in self.readers if child not in strategies]
        for child in rest:
            child.leave()
        self._leave(strategies, DECISIONS_LEAVE_S, on_wait)
        self._leave(rest, _READERS_LEAVE_S, on_wait)
        self._hear_all()
        self._alerts.close()
        self._subscriptions.close()
        self._disk.close()
        self._lock.release()
        return RunEnd(
            refused=[c.name for c in self.captures if c.exit_code == EXIT_REFUSED],
            stopped_decisions=[c.name for c in strategies if c.exit_code == EXIT_STOPPED],
            cut_off=self._cut_off,
            failed={c.name: _code(c) for c in self.children() if self._has_failed(c)},
            restarts={c.name: c.restarts for c in self.children() if c.restarts},
            journal_trouble=list(self._journal_trouble),
            lost_frames=self._lost_frames,
        )

    def _has_failed(self, child: ChildProcess) -> bool:
        return child.exit_code not in _OUR_EXITS and child.name not in self._cut_off

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

    def _hear_all(self) -> None:
        """Hear the last words of those that are gone, which may still be on their way."""
        until_ns = clock.monotonic_ns() + int(_HEAR_S * clock.NS_PER_S)
        while clock.monotonic_ns() < until_ns:
            heard = all(child.is_heard() for child in self.children())
            self.poll(0.0 if heard else 0.02)
            if heard:
                return

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
            child.kill()
        self._disk.close()
        self._lock.release()


def _is_hot(task: Task) -> bool:
    """Whether its place is beside the strategies that spin, where there is such a one."""
    if isinstance(task, DecideTask):
        return task.decide.wait == "spin"
    return isinstance(task, CaptureTask)


def _code(child: ChildProcess) -> int:
    """Its exit code; that of a child that could never be started is our own word for it."""
    return EXIT_BUG if child.exit_code is None else child.exit_code
