"""Facts of this machine, its own stalls, and what its processes take of it.

A spinning thread takes a whole core, which on two would be half of what is measured: so stalls are
looked for just before each cell, for a moment, and not while it runs.
"""

import contextlib
import os
import platform
import shutil
import sys
from array import array
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple

from ticktape import clock
from ticktape.lab.gaps import gaps_of
from ticktape.lab.results import Gaps

STALLS_S = 0.3
_PROC = Path("/proc")


class Usage(NamedTuple):
    """What a process takes: resident bytes, and CPU time so far."""

    resident_bytes: int
    cpu_s: float


def machine_facts(folder: Path) -> dict[str, Any]:
    """What a reader of the results must know; `folder` is where files go."""
    disk = shutil.disk_usage(folder)
    return {
        "cpu": _cpu_name(),
        "cpus": os.cpu_count() or 1,
        "memory_bytes": memory_bytes(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "ticktape": _version(),
        "disk_bytes": disk.total,
        "disk_free_bytes": disk.free,
        "filesystem": _filesystem(folder.resolve()),
    }


def _version() -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("ticktape")
    return ""


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in (_PROC / "cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int:
    """All memory of the machine; 0 when nobody says."""
    if hasattr(os, "sysconf"):
        with contextlib.suppress(OSError, ValueError):
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    psutil = _psutil()
    return int(psutil.virtual_memory().total) if psutil is not None else 0


def _filesystem(folder: Path) -> str:
    """The type of the file system that holds `folder`; "" when nobody says."""
    best, found = "", ""
    with contextlib.suppress(OSError):
        for line in (_PROC / "mounts").read_text(encoding="utf-8").splitlines():
            _, place, kind, *_ = line.split(" ")
            if folder.is_relative_to(place) and len(place) >= len(best):
                best, found = place, kind
    return found


def measure_stalls(seconds: float = STALLS_S) -> Gaps:
    """Spin, and see how long this process was not run; every turn of the loop is a gap."""
    turns = array("q")
    now_ns, append = clock.monotonic_ns, turns.append
    before_ns = now_ns()
    end_ns = before_ns + int(seconds * clock.NS_PER_S)
    while before_ns < end_ns:
        at_ns = now_ns()
        append(at_ns - before_ns)
        before_ns = at_ns
    return gaps_of(turns)


# Processes.


def _psutil() -> Any:  # noqa: ANN401 - a package that need not be there
    try:
        return import_module("psutil")
    except ImportError:
        return None


def usage_of(pid: int) -> Usage | None:
    """What a process takes now; None when it is gone, or nobody can say."""
    if sys.platform == "linux":
        return _usage_of_proc(pid)
    psutil = _psutil()
    if psutil is None:
        return None
    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return Usage(int(process.memory_info().rss), float(times.user + times.system))
    except psutil.Error:
        return None


def _usage_of_proc(pid: int) -> Usage | None:
    try:
        pages = int((_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1])
        # Behind the name, which may hold anything: utime and stime are fields 14 and 15.
        stat = (_PROC / str(pid) / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    ticks = int(stat[11]) + int(stat[12])
    return Usage(pages * os.sysconf("SC_PAGE_SIZE"), ticks / os.sysconf("SC_CLK_TCK"))


def can_tell_usage() -> bool:
    """Whether memory and CPU of other processes are known here."""
    return usage_of(os.getpid()) is not None
