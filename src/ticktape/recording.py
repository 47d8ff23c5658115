"""Records from Python: `with ticktape.record(config) as run:`, in a notebook without blocking it.

The recorder is the same tree of processes as that of `ticktape record`; a thread of this process
looks after it. Signals stay whose they are, nothing of the recording is in this process, and when
this process dies the recorder drains and leaves.
"""

import atexit
import contextlib
import json
import logging
import threading
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from ticktape import clock
from ticktape.cli.checking import prove_with_progress
from ticktape.cli.running import keys_of, proxies_of
from ticktape.config import Config, Keys, load_config, parse_config
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError, DecisionError, FeedError, Locked, Refused, TickTapeError
from ticktape.ledger import Verdict
from ticktape.recorder.alerts import alert_text
from ticktape.recorder.parent import EXIT_REFUSED, EXIT_STOPPED
from ticktape.recorder.process import ChildEvent
from ticktape.recorder.supervisor import RunEnd, Supervisor
from ticktape.tape import Tape

__all__ = ["Run", "RunState", "record"]

_POLL_S = 0.25
_LOOK_S = 0.05
_READY_S = 30.0
_log = logging.getLogger("ticktape")


class RunState(StrEnum):
    """How far a run is."""

    STARTING = "starting"
    RECORDING = "recording"
    STOPPING = "stopping"
    ENDED = "ended"


class Run:
    """A recorder at work, from `record` on; `stop` it, or use it in a `with`.

    What goes wrong meanwhile is a warning of the logger "ticktape", what else changes an info. A
    run whose feeds are all refused ends by itself.
    """

    def __init__(self, config: Config, keys: Mapping[str, Keys]) -> None:
        self._config = config
        self._changed = threading.Condition()
        self._state = RunState.STARTING
        self._sessions = dict.fromkeys((feed.name for feed in config.feed), "starting")
        self._said: dict[str, tuple[str, str]] = {}  # child -> its last bad words, and the hint
        self._failed_strategies: dict[str, tuple[str, str]] = {}
        self._asked_to_stop = threading.Event()
        self._supervisor: Supervisor | None = None
        self._end: RunEnd | None = None
        self._failure: Exception | None = None
        self._verdict: Verdict | None = None
        self._thread = threading.Thread(
            target=self._work, args=(keys,), name="ticktape recorder", daemon=True
        )
        self._thread.start()
        try:
            with self._changed:
                self._changed.wait_for(lambda: self._state is not RunState.STARTING)
        except BaseException:
            self._asked_to_stop.set()  # an interrupted cell has no run that it could stop
            raise
        if self._failure is not None:
            raise self._failure
        # An interpreter that ends does so in order; the thread is a daemon, so as not to hold it.
        atexit.register(self.stop)

    # The thread that looks after the recorder.

    def _work(self, keys: Mapping[str, Keys]) -> None:
        """All of the recorder's life: its lock, for one, belongs to one thread."""
        try:
            with Supervisor(self._config, keys, proxies_of(self._config), self._hear) as supervisor:
                with contextlib.suppress(OSError):  # captures say what is wrong with the disk
                    (supervisor.directory.root / "feeds").mkdir(exist_ok=True)
                self._supervisor = supervisor
                supervisor.start()
                self._become(RunState.RECORDING)
                while supervisor.poll(_POLL_S) and not self._asked_to_stop.is_set():
                    pass
                self._become(RunState.STOPPING)
                self._end = supervisor.stop(lambda _: None)
        except Exception as error:  # noqa: BLE001 - the thread's last frame: `stop` raises it
            self._failure = error
        finally:
            self._become(RunState.ENDED)

    def _become(self, state: RunState) -> None:
        with self._changed:
            self._state = state
            self._changed.notify_all()

    def _hear(self, event: ChildEvent) -> None:
        with self._changed:
            self._note(event)
            self._changed.notify_all()

    def _note(self, event: ChildEvent) -> None:
        content = event.content
        if event.event == "session":
            content = content["content"]
            self._enter(event.child.removeprefix("capture-"), content["event"])
        said = (str(content.get("words", "")), str(content.get("hint") or ""))
        if event.event == "decision_error":
            self._failed_strategies[event.child.removeprefix("decide-")] = said
        text = alert_text(event)
        if event.event == "exit" and event.content["code"] in (EXIT_REFUSED, EXIT_STOPPED):
            return  # why has been said
        if not text:
            if event.event in ("changed", "restart", "mended", "state"):
                _log.info("%s: %s", event.child, said[0])
        elif self._said.get(event.child) != said:  # a venue that stays away is told of once
            self._said[event.child] = said
            _log.warning("%s%s", text, f"\n  → {said[1]}" if said[1] else "")

    def _enter(self, feed: str, state: str) -> None:
        # Who was refused stops, too; that says less.
        if state in _SESSION_STATES and (self._sessions[feed], state) != ("refused", "stopped"):
            self._sessions[feed] = state

    # What its user asks.

    def __repr__(self) -> str:
        sessions = ", ".join(f"{feed} {state}" for feed, state in self.sessions.items())
        return f"Run({str(self.directory)!r}: {self.state}; {sessions})"

    @property
    def directory(self) -> Path:
        """The run's directory."""
        return Path(self._config.directory)

    @property
    def state(self) -> RunState:
        """How far the run is."""
        return self._state

    @property
    def sessions(self) -> dict[str, str]:
        """Feed -> how its session stands: connecting, subscribed, down, refused and so on."""
        with self._changed:
            return dict(self._sessions)

    @cached_property
    def tape(self) -> Tape:
        """What is recorded: to query, to follow; also after the run."""
        return Tape(self.directory)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Process -> what it last said of itself, renewed about three times a second."""
        return {} if self._supervisor is None else self._supervisor.statistics()

    def wait_ready(self, timeout_s: float = _READY_S) -> None:
        """Wait until every feed is subscribed, and last values and strategies are at work.

        Raises:
            Refused: a venue refuses a feed, in its words.
            DecisionError: a strategy cannot be loaded.
            FeedError: `timeout_s` was not enough.
        """
        due_ns = clock.monotonic_ns() + int(timeout_s * clock.NS_PER_S)
        with self._changed:
            while waiting := self._waiting():
                if self._failure is not None:
                    raise self._failure
                if self._state is not RunState.RECORDING:
                    raise FeedError(f"the run has ended: {'; '.join(waiting)}")
                if clock.monotonic_ns() >= due_ns:
                    raise FeedError(
                        f"not ready within {timeout_s:g} s: {'; '.join(waiting)}",
                        hint="The recorder goes on trying; wait again, or stop it: run.stop().",
                    )
                self._changed.wait(_LOOK_S)

    def _waiting(self) -> list[str]:
        """What is not ready yet, in words."""
        found = []
        for feed, state in self._sessions.items():
            words, hint = self._said.get(f"capture-{feed}", ("", ""))
            if state == "refused":
                raise Refused(f"feed {feed!r} is refused: {words}", hint=hint)
            if state != "subscribed":
                found.append(f"feed {feed!r} is {state}" + (f" ({words})" if words else ""))
        for name, (words, hint) in self._failed_strategies.items():
            raise DecisionError(words, decision=name, hint=hint)
        said = self.statistics()
        if not said.get("last"):
            found.append("last values are not at work yet")
        for decide in self._config.decide:
            if not said.get(f"decide-{decide.name}"):
                found.append(f"strategy {decide.name!r} is not at work yet")
        return found

    def stop(self) -> None:
        """Stop the feeds, let the rest finish, and wait for that; may be called twice.

        Raises:
            TickTapeError: the recorder could not go on.
        """
        self._asked_to_stop.set()
        self._thread.join()
        atexit.unregister(self.stop)
        if self._failure is not None:
            raise self._failure

    @property
    def verdict(self) -> Verdict:
        """The certificate, as `ticktape record` ends with; made once, by reading all of the run.

        The certificates of its days are written, too.

        Raises:
            TickTapeError: the run is not over yet.
        """
        if self._verdict is None:
            if self._end is None:
                if self._failure is not None:
                    raise self._failure
                raise TickTapeError(
                    "the run is still being recorded",
                    hint="run.stop() ends it; run.tape.check() says how it stands now.",
                )
            lost = self._end.lost_frames
            directory = RunDirectory(self.directory)
            verdict = prove_with_progress(directory, self._end.reasons(), lost)
            self._verdict = verdict.with_lost(lost)
        return self._verdict

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        if kind is None:
            _ = self.verdict  # now: what is recorded there later is another run's


_SESSION_STATES = {
    "connecting",
    "connected",
    "authenticated",
    "subscribed",
    "down",
    "refused",
    "stopped",
}


def record(
    config: str | Path | Mapping[str, object],
    *,
    keys: tuple[str, str] | Mapping[str, tuple[str, str]] | None = None,
) -> Run:
    """Start to record what a config says, and return at once.

    Args:
        config: a TOML file's path, TOML as text, or the same as a dict. Relative paths count from
            the file's folder, of a text or a dict from the working directory.
        keys: (key, secret) of all feeds, or feed -> that, instead of where the config says.

    Raises:
        ConfigError: the config has faults, or keys are missing; nothing was opened.
        Locked: another recorder has the directory.
        JournalError: the directory cannot be written.
    """
    read = _read(config)
    given = _given(keys, [feed.name for feed in read.feed])
    rest = tuple(feed for feed in read.feed if feed.name not in given)
    found = keys_of(msgspec.structs.replace(read, feed=rest)) | given
    try:
        return Run(read, found)
    except Locked as error:
        error.hint = "Stop it (run.stop(), or Ctrl-C), or give this config another directory = …."
        raise


def _read(config: str | Path | Mapping[str, object]) -> Config:
    if isinstance(config, Mapping):
        return parse_config(_toml(config), "the config", Path.cwd())
    if isinstance(config, Path) or "=" not in config:
        return load_config(Path(config))
    return parse_config(config, "the config", Path.cwd())


def _given(
    keys: tuple[str, str] | Mapping[str, tuple[str, str]] | None, feeds: list[str]
) -> dict[str, Keys]:
    """The keys that are given by hand, by feed; no fault shows them."""
    if not isinstance(keys, Mapping):
        keys = {} if keys is None else dict.fromkeys(feeds, keys)
    found: dict[str, Keys] = {}
    faults = []
    for name, pair in keys.items():
        if name not in feeds:
            faults.append(f"keys are given for feed {name!r}, which the config does not have")
        elif isinstance(pair, str) or len(pair) != 2:
            faults.append(f"the keys of feed {name!r} are not a pair")
        else:
            found[name] = Keys(*pair)
    if faults:
        raise ConfigError(
            faults, hint=f'Say keys = {{"{feeds[0]}": (key, secret)}}; feeds: {", ".join(feeds)}.'
        )
    return found


def _toml(config: Mapping[str, object]) -> str:
    """The dict of a config as TOML; its tables hold no further ones. None is as if left out."""
    tables: list[tuple[str, Mapping[str, object]]] = []
    top: dict[str, object] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            tables.append((f"[{_value(key)}]", value))
        elif isinstance(value, list | tuple) and any(isinstance(each, Mapping) for each in value):
            tables += [(f"[[{_value(key)}]]", each) for each in value]
        else:
            top[key] = value
    lines = []
    for head, table in [("", top), *tables]:
        given = {key: value for key, value in table.items() if value is not None}
        lines += [head, *(f"{_value(key)} = {_value(value)}" for key, value in given.items())]
    return "\n".join(lines)


def _value(value: object) -> str:
    # JSON is TOML for all that a config can hold, but for DEL; a path is its text.
    return json.dumps(value, ensure_ascii=False, default=str).replace("\x7f", "\\u007f")
