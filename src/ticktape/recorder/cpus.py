"""Which CPUs a child may use: one that polls as fast as it can gets a CPU of its own.

Such a capture is never idle, so whoever else runs on its CPU takes polls away. Nothing is changed
where there are too few CPUs, or where the system has no say in it.
"""

import os
from collections.abc import Iterable

from ticktape.config import FeedConfig


def spinning(feeds: Iterable[FeedConfig]) -> list[str]:
    """Journals of the feeds that take a whole CPU and are not pinned by the config."""
    return [
        name
        for feed in feeds
        if feed.kind == "mt5" and feed.poll_ms == 0 and feed.pin_cpu < 0
        if "://" not in feed.terminal
        for name in feed.journals()
    ]


def shares(feeds: Iterable[FeedConfig], cpus: Iterable[int]) -> tuple[dict[str, int], set[int]]:
    """Journal -> the CPU that its capture has alone, and the CPUs that are left for all others.

    Both are empty when nothing spins, or when no CPU would be left.
    """
    names, free = spinning(feeds), sorted(cpus)
    if not names or len(free) <= len(names):
        return {}, set()
    # The last ones: systems tend to serve interrupts on the first.
    alone = free[-len(names) :]
    return dict(zip(names, alone, strict=True)), set(free) - set(alone)


def usable() -> set[int]:
    """The CPUs that this process may use; empty where the system does not tell."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


def confine(cpus: str = "") -> None:
    """Stay on these CPUs, as numbers with commas; "" is wherever the system likes."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
