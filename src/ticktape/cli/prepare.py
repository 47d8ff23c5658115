"""`ticktape init` and `ticktape doctor`: before the first recording."""

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ticktape import clock
from ticktape.cli.running import keys_of
from ticktape.cli.terminal import console, print_json
from ticktape.config import Config, default_toml, load_config
from ticktape.errors import EXIT_CONFIG, ConfigError
from ticktape.journal.disk import Disk

_SYNCS = 20
_STALLS_S = 0.5


def init(config: Path = Path("ticktape.toml"), /, *, test: bool = False, json: bool = False) -> int:
    """Write a commented config to begin with.

    Parameters
    ----------
    config
        The file to write; an existing one is never replaced.
    test
        For Alpaca's test stream, which sends made-up data around the clock.
    json
        Print one JSON object instead.
    """
    try:
        with open(config, "x", encoding="utf-8") as target:
            target.write(default_toml(test=test))
    except FileExistsError as error:
        raise ConfigError(
            [f"{config} exists; it is left alone"], hint="Name another: ticktape init other.toml"
        ) from error
    except OSError as error:
        raise ConfigError(
            [f"{config}: cannot be written ({error.strerror})"], hint="Choose another folder."
        ) from error
    if json:
        print_json({"written": str(config)})
    else:
        console.print(f"{config} written. Next: set APCA_API_KEY_ID and APCA_API_SECRET_KEY, then")
        console.print(f"  ticktape doctor {config}\n  ticktape record {config}", markup=False)
    return 0


class Finding(NamedTuple):
    """One thing that doctor looked at; `level` is ok, note or fault."""

    level: str
    what: str
    words: str
    cure: str = ""


def doctor(config: Path | None = None, /, *, json: bool = False) -> int:
    """Look at this machine, and at a config, its keys and its disk; say what to do.

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
            cure = error.hint
            findings += [Finding("fault", "config", fault, cure) for fault in error.faults]
    if loaded is not None:
        findings += _keys(loaded)
        findings += [_reachable(feed.name, feed.url) for feed in loaded.feed]
    findings += _disk(loaded.directory if loaded is not None else Path())
    if json:
        print_json({"findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            style = {"ok": "green", "note": "yellow", "fault": "bold red"}[finding.level]
            console.print(f"{finding.level:5} {finding.what}: {finding.words}", style=style)
            if finding.cure:
                console.print(f"      → {finding.cure}", markup=False)
    return EXIT_CONFIG if any(finding.level == "fault" for finding in findings) else 0


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
    words = f"the wall clock moved {drift_ns / 1000:.1f} µs against the monotonic one in 0.2 s"
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
    words = f"a spinning process stood still for at most {longest_ns / 1e6:.2f} ms in {_STALLS_S} s"
    if longest_ns > 20_000_000:
        cure = "Other work takes the CPUs: that is the floor of any latency here."
        return Finding("note", "scheduler", words, cure)
    return Finding("ok", "scheduler", words)


def _keys(config: Config) -> list[Finding]:
    try:
        found = keys_of(config)
    except ConfigError as error:
        return [Finding("fault", "keys", fault, error.hint) for fault in error.faults]
    return [Finding("ok", "keys", f"feed {feed!r} has a key and a secret") for feed in found]


def _reachable(feed: str, url: str) -> Finding:
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), timeout=3):
            return Finding("ok", "network", f"feed {feed!r}: {parts.hostname}:{port} answers")
    except OSError as error:
        cure = "Look at the network, the firewall, or set proxy = … for this feed."
        words = f"feed {feed!r}: {parts.hostname}:{port} does not answer ({error})"
        return Finding("fault", "network", words, cure)


def _disk(directory: Path) -> list[Finding]:
    place = directory
    while not place.exists():
        place = place.parent
    found = []
    free_bytes = shutil.disk_usage(place).free
    level = "ok" if free_bytes > 10 << 30 else "note"
    cure = "" if level == "ok" else "A day of 30 liquid symbols with quotes takes a few GB."
    found.append(Finding(level, "disk", f"{free_bytes / 1e9:.1f} GB free at {place}", cure))
    try:
        found.append(_fsync(place))
    except OSError as error:
        cure = "Choose a directory that you may write to: directory = … in the config."
        words = f"{place} cannot be written ({error.strerror})"
        found.append(Finding("fault", "disk", words, cure))
    return found


def _fsync(place: Path) -> Finding:
    disk = Disk()
    times_ns = []
    with tempfile.TemporaryFile(dir=place) as target:
        for _ in range(_SYNCS):
            os.write(target.fileno(), bytes(4096))
            before_ns = clock.monotonic_ns()
            disk.sync(target.fileno())
            times_ns.append(clock.monotonic_ns() - before_ns)
    median_ms = sorted(times_ns)[len(times_ns) // 2] / 1e6
    words = f"a sync of 4 kB takes {median_ms:.2f} ms (median of {_SYNCS})"
    if median_ms > 25:
        cure = 'sync = "group" hides this; do not use sync = "each" on this disk.'
        return Finding("note", "fsync", words, cure)
    if median_ms < 0.02:
        cure = "This is faster than a disk can be: a RAM disk or a lying one. Power loss costs all."
        return Finding("note", "fsync", words, cure)
    return Finding("ok", "fsync", words)
