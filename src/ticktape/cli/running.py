"""Runs a config to its end: start, watch, stop, prove; shared by record and demo."""

import contextlib
import os
import signal
import threading
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ticktape import clock
from ticktape.cli.checking import prove_with_progress
from ticktape.cli.watching import Watcher
from ticktape.config import Config, FeedConfig, Keys, is_packaged, read_keys, read_login
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, EXIT_JOURNAL, ConfigError
from ticktape.recorder.notify import Notifier
from ticktape.recorder.supervisor import RunEnd, Supervisor

if TYPE_CHECKING:
    from ticktape.ledger import Verdict

_POLL_S = 0.25  # Ctrl-C is heard within it


class Finished(NamedTuple):
    """A run that has ended, and what was proved of it."""

    verdict: "Verdict"
    end: RunEnd

    @property
    def exit_code(self) -> int:
        """DESIGN §8."""
        if self.end.journal_trouble and not self.verdict.complete:
            return EXIT_JOURNAL
        return EXIT_COMPLETE if self.verdict.complete else EXIT_INCOMPLETE


def keys_of(config: Config) -> dict[str, Keys]:
    """The keys of every feed.

    Raises:
        ConfigError: some are missing; all feeds' faults together.
    """
    found: dict[str, Keys] = {}
    faults: list[str] = []
    hint = ""
    for feed in config.feed:
        try:
            found[feed.name] = _keys_of(feed)
        except ConfigError as error:
            faults += error.faults
            hint = error.hint
    if faults:
        raise ConfigError(faults, hint=hint)
    return found


def _keys_of(feed: FeedConfig) -> Keys:
    if is_packaged(feed.kind) and feed.keys == "env":
        # The environment's are Alpaca's: no other venue may ever get them.
        return Keys("", "")
    read = read_login if feed.kind == "mt5" else read_keys
    return read(feed.keys, os.environ, label=f"feed {feed.name!r}")


def proxies_of(config: Config) -> dict[str, str]:
    """The proxy of every feed, "" for none; `proxy = "env"` asks the environment."""
    environment = urllib.request.getproxies_environment()
    found = {}
    for feed in config.feed:
        proxy = feed.proxy
        if proxy == "env":
            scheme = "https" if feed.url.startswith("wss") else "http"
            proxy = environment.get(scheme, environment.get("https", ""))
        found[feed.name] = proxy
    return found


def run_to_end(
    config: Config,
    keys: dict[str, Keys],
    is_over: Callable[[Supervisor], bool],
    on_started: Callable[[Supervisor], None] | None = None,
    reread: Callable[[], Config] | None = None,
) -> Finished:
    """Record until `is_over`, Ctrl-C or SIGTERM, or until every feed is refused; then prove it.

    With SIGHUP the channels of the config that `reread` gives are taken over.
    """
    watcher = Watcher()
    stop = _catch_signals()
    changed = _catch_hangup() if reread is not None else threading.Event()
    with (
        contextlib.closing(Notifier.of_environment(os.environ)) as manager,
        Supervisor(config, keys, proxies_of(config), watcher.hear) as supervisor,
    ):
        try:
            supervisor.start()
            manager.ready()
            if on_started is not None:
                on_started(supervisor)
            while supervisor.poll(_POLL_S) and not stop.is_set() and not is_over(supervisor):
                watcher.show(supervisor)
                _tell(manager, supervisor)
                if changed.is_set() and reread is not None:
                    changed.clear()
                    supervisor.reread(reread)
            manager.stopping()
            manager.status("stops in order, then proves what was recorded")
            end = supervisor.stop(lambda names: watcher.show(supervisor))
        finally:
            watcher.close()
    verdict = prove_with_progress(
        RunDirectory(supervisor.directory.root), end.reasons(), end.lost_frames
    )
    return Finished(verdict.with_lost(end.lost_frames), end)


def _tell(manager: Notifier, supervisor: Supervisor) -> None:
    """Tell a service manager that we live, and how the feeds stand."""
    if not manager.is_there:
        return
    manager.alive()
    captures = [s for name, s in supervisor.statistics().items() if name.startswith("capture-")]
    manager.status(", ".join(f"{said['feed']} {said['state']}" for said in captures if said))


def _catch_signals() -> threading.Event:
    stop = threading.Event()

    def asked(*_: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGINT, asked)
    signal.signal(signal.SIGTERM, asked)
    return stop


def _catch_hangup() -> threading.Event:
    """Set when the config is to be read again; the end of our terminal still ends us."""
    changed = threading.Event()
    if not hasattr(signal, "SIGHUP"):
        return changed  # Windows: `ticktape subscribe` works there
    # Under nohup a run outlives its terminal, which then sends the signal all the same.
    may_outlive = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    had_terminal = _has_terminal()

    def asked(*_: object) -> None:
        if had_terminal and not may_outlive and not _has_terminal():
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
            signal.raise_signal(signal.SIGHUP)
        changed.set()

    signal.signal(signal.SIGHUP, asked)
    return changed


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR))
    except OSError:
        return False
    return True


def over_after(seconds: float | None, until_ns: int | None) -> Callable[[Supervisor], bool]:
    """When `--for` or `--until` says that a run is over."""
    end_ns = None
    if seconds is not None:
        end_ns = clock.monotonic_ns() + int(seconds * clock.NS_PER_S)

    def is_over(_: Supervisor) -> bool:
        if end_ns is not None and clock.monotonic_ns() >= end_ns:
            return True
        return until_ns is not None and clock.wall_now_ns() >= until_ns

    return is_over
