"""`ticktape doctor`: what stands in the way of a recording, and what to do about it.

It asks nothing of a venue and writes nothing but a temporary file beside the run.
"""

import importlib
import ipaddress
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ticktape import clock
from ticktape.cli.figures import duration
from ticktape.cli.running import keys_of, proxies_of
from ticktape.cli.syncing import SyncCost, measure_sync, sync_json, sync_words
from ticktape.cli.terminal import console, print_json, print_line
from ticktape.config import (
    Config,
    DecideConfig,
    FeedConfig,
    JournalConfig,
    Keys,
    bridge_of,
    is_packaged,
    load_config,
)
from ticktape.config.packages import owner_of
from ticktape.config.terminal import MODULE
from ticktape.errors import EXIT_CONFIG, ConfigError, DecisionError
from ticktape.journal.disk import Disk

_STALLS_S = 0.5
_ROOM_BYTES = 10 << 30
_STYLES = {"ok": "green", "note": "yellow", "fault": "bold red"}


class Finding(NamedTuple):
    """One thing that doctor looked at; `level` is ok, note or fault."""

    level: str
    what: str
    words: str
    cure: str = ""


def doctor(config: Path | None = None, /, *, json: bool = False) -> int:
    """Look at this machine, and at a config, its keys, its strategies and its disk; say what to do.

    Nothing is recorded and no key is sent anywhere.

    Parameters
    ----------
    config
        The config to look at; without one only the machine is looked at.
    json
        Print one JSON object instead.
    """
    findings = [_python(), _cpus(), _clock(), _stalls()]
    loaded: Config | None = None
    if config is not None:
        try:
            loaded = load_config(config)
            findings.append(Finding("ok", "config", f"{config} is right"))
        except ConfigError as error:
            findings += _faults("config", error)
    if loaded is not None:
        findings += _of_config(loaded)
    place = (loaded.directory if loaded is not None else Path()).resolve()
    while not place.exists():
        place = place.parent
    commit_ms = (loaded.journal if loaded is not None else JournalConfig()).commit_ms
    findings.append(_room(place))
    cost = _measured(place, findings)
    findings += _syncs(cost, commit_ms) if cost is not None else []
    faults = sum(finding.level == "fault" for finding in findings)
    if json:
        said = {"faults": faults, "findings": [each._asdict() for each in findings]}
        print_json(said | {"sync": None if cost is None else sync_json(cost, commit_ms)})
    else:
        _print(findings, faults)
    return EXIT_CONFIG if faults else 0


def _print(findings: list[Finding], faults: int) -> None:
    for at, finding in enumerate(findings):
        words = f"{finding.level:5}  {finding.what:9}  {finding.words}"
        console.print(words, style=_STYLES[finding.level], markup=False)
        next_cure = findings[at + 1].cure if at + 1 < len(findings) else ""
        if finding.cure and finding.cure != next_cure:
            print_line(f"       → {finding.cure}")
    print_line("")
    notes = sum(finding.level == "note" for finding in findings)
    if faults:
        print_line(f"{faults} fault{'s' * (faults != 1)} to mend before recording")
    else:
        print_line("nothing stands in the way" + (", see the notes" if notes else ""))


def _faults(what: str, error: ConfigError) -> list[Finding]:
    return [Finding("fault", what, fault, error.hint) for fault in error.faults]


def _of_config(config: Config) -> list[Finding]:
    findings = _keys(config)
    proxies = proxies_of(config)
    for feed in config.feed:
        findings += _handler(feed) if is_packaged(feed.kind) else []
        findings += _terminal(feed) if feed.kind == "mt5" else [_venue(feed, proxies[feed.name])]
    findings += [_strategy(each) for each in config.decide]
    if config.journal.sync == "os":
        cure = 'sync = "group" costs no speed and loses at most commit_ms of data.'
        words = 'sync = "os": power loss costs what the system had not yet written'
        findings.append(Finding("note", "journal", words, cure))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("ok", "python", f"{version} on {sys.platform}")


def _cpus() -> Finding:
    count = os.cpu_count() or 1
    if count < 2:
        cure = "Strategies and tables share the one CPU with capture; expect latency, not loss."
        return Finding("note", "cpu", "1 CPU", cure)
    return Finding("ok", "cpu", f"{count} CPUs")


def _clock() -> Finding:
    before = clock.WallClock()
    clock.sleep_s(0.2)
    drift_ns = abs(before.drift_ns())
    words = f"the wall clock moved {duration(drift_ns)} against the monotonic one in 0.2 s"
    if drift_ns > 1_000_000:
        cure = "Something steps the clock: look at chronyd or systemd-timesyncd."
        return Finding("note", "clock", words, cure)
    return Finding("ok", "clock", words)


def _stalls() -> Finding:
    """The longest time that a spinning process was not run."""
    end_ns = clock.monotonic_ns() + int(_STALLS_S * clock.NS_PER_S)
    longest_ns, before_ns = 0, clock.monotonic_ns()
    while before_ns < end_ns:
        now_ns = clock.monotonic_ns()
        longest_ns = max(longest_ns, now_ns - before_ns)
        before_ns = now_ns
    words = f"a spinning process stood still for at most {duration(longest_ns)} in {_STALLS_S} s"
    if longest_ns > 20_000_000:
        cure = "Other work takes the CPUs: that is the floor of any latency here."
        return Finding("note", "scheduler", words, cure)
    return Finding("ok", "scheduler", words)


def _keys(config: Config) -> list[Finding]:
    try:
        found = keys_of(config)
    except ConfigError as error:
        return _faults("keys", error)
    return [
        Finding("ok", "keys", f"feed {feed.name!r} {_keys_words(feed, found[feed.name])}")
        for feed in config.feed
    ]


def _keys_words(feed: FeedConfig, keys: Keys) -> str:
    if is_packaged(feed.kind):
        return "has a key and a secret" if keys.key else "has no keys: env is none for a package"
    if feed.kind != "mt5":
        return "has a key and a secret"
    if keys.key:
        return "has a login and a password"
    return "has no login, which it needs not where the terminal is logged in"


def _handler(feed: FeedConfig) -> list[Finding]:
    """Whether the package that brings this kind of feed can be used."""
    from ticktape.decoders import decoder_for
    from ticktape.feeds import protocol_maker

    try:
        protocol_maker(feed.kind)
        decoder_for(feed.kind, feed.name)
    except ConfigError as error:
        return _faults("package", error)
    words = f"feed {feed.name!r}: kind {feed.kind} is of the {owner_of(feed.kind)}"
    return [Finding("ok", "package", words)]


def _venue(feed: FeedConfig, proxy: str) -> Finding:
    """Whether the venue, or the proxy before it, takes a connection."""
    parts = urlsplit(proxy or feed.url)
    port = parts.port or (443 if parts.scheme in ("wss", "https") else 80)
    place = f"{'the proxy ' if proxy else ''}{parts.hostname}:{port}"
    cure = "Look at the network and the firewall; behind a proxy set proxy = … for this feed."
    return _reachable(feed, parts.hostname or "", port, place, cure)


def _reachable(feed: FeedConfig, host: str, port: int, place: str, cure: str) -> Finding:
    try:
        with socket.create_connection((host, port), timeout=3):
            return Finding("ok", "network", f"feed {feed.name!r}: {place} answers")
    except OSError as error:
        words = f"feed {feed.name!r}: {place} does not answer ({error.strerror or error})"
        return Finding("fault", "network", words, cure)


def _terminal(feed: FeedConfig) -> list[Finding]:
    """What a terminal needs, without opening it: `ticktape probe` does that."""
    bridge = bridge_of(feed.terminal)
    if bridge is None:
        found = [_package(feed, "MetaTrader5", _NO_PACKAGE)]
        if feed.terminal != MODULE and not Path(feed.terminal).exists():
            words = f"feed {feed.name!r}: there is no {feed.terminal}"
            cure = "Name terminal64.exe where it is installed, or leave terminal out."
            found.append(Finding("fault", "terminal", words, cure))
        return found
    host, port = bridge
    found = [_package(feed, "rpyc", "pip install 'ticktape[mt5-linux]'")]
    found.append(_reachable(feed, host, port, f"the bridge {host}:{port}", _NO_BRIDGE))
    if not _is_loopback(host):
        words = f"feed {feed.name!r}: the bridge is not on this machine, and its port asks nobody"
        cure = "Whoever reaches it may run programs there: come through a tunnel (ssh -L)."
        found.append(Finding("note", "network", words, cure))
    return found


_NO_PACKAGE = (
    "On Windows: pip install 'ticktape[mt5]'. Elsewhere: terminal = \"rpyc://127.0.0.1:18812\","
    " see docs/how-to/record-mt5-wine.md."
)
_NO_BRIDGE = "Start it where the terminal runs, see docs/how-to/record-mt5-wine.md."


def _package(feed: FeedConfig, name: str, cure: str) -> Finding:
    try:
        importlib.import_module(name)
    except ImportError as error:
        words = f"feed {feed.name!r}: the package {name} cannot be imported ({error})"
        return Finding("fault", "terminal", words, cure)
    return Finding("ok", "terminal", f"feed {feed.name!r}: the package {name} is there")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _strategy(decide: DecideConfig) -> Finding:
    from ticktape.decisions import load_strategy

    try:
        load_strategy(decide.file, decide.name, decide.class_name)
    except DecisionError as error:
        return Finding("fault", "strategy", str(error.args[0]), error.hint)
    return Finding("ok", "strategy", f"{decide.name} loads from {decide.file}")


def _room(place: Path) -> Finding:
    free_bytes = shutil.disk_usage(place).free
    words = f"{free_bytes / 1e9:.1f} GB free at {place}"
    if free_bytes <= _ROOM_BYTES:
        cure = "The journal keeps every byte: give it room for the days that you mean to record."
        return Finding("note", "disk", words, cure)
    return Finding("ok", "disk", words)


def _measured(place: Path, findings: list[Finding]) -> SyncCost | None:
    """What a sync costs there; a disk that refuses is added to the findings."""
    try:
        return measure_sync(place, Disk())
    except OSError as error:
        cure = "Choose a directory that you may write to: directory = … in the config."
        words = f"{place} cannot be written ({error.strerror})"
        findings.append(Finding("fault", "disk", words, cure))
        return None


def _syncs(cost: SyncCost, commit_ms: int) -> list[Finding]:
    """One finding for each way to sync."""
    cures = {}
    if cost.is_slow:
        cures["each"] = 'sync = "group" hides this; do not use sync = "each" on this disk.'
    elif cost.is_lying:
        cures["each"] = (
            "This is faster than a disk can be: a RAM disk or a lying one. Power loss costs all."
        )
    return [
        Finding("note" if sync in cures else "ok", "fsync", words, cures.get(sync, ""))
        for sync, words in sync_words(cost, commit_ms).items()
    ]
