"""Which CPUs a child may use: who is never idle has one of its own, or shares it with captures.

A capture that polls as fast as it can has one alone: whoever else runs there takes polls away. A
strategy that spins gives way, so that where CPUs are few a stream's capture is served nowhere
sooner than beside it: on any other CPU it waits for the end of somebody's slice. Nothing is changed
where there are too few CPUs, or where the system has no say in it.
"""

import os
from collections.abc import Iterable

from ticktape.config import DecideConfig, FeedConfig

_MANY = 4  # of so many CPUs one is idle when a capture wakes


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


def beside_spinners(
    decides: Iterable[DecideConfig], feeds: Iterable[FeedConfig], cpus: Iterable[int]
) -> tuple[set[int], set[int]]:
    """The CPU of all captures and of strategies that spin, and those of all others.

    Both are empty when no strategy spins, when a capture does, and when CPUs are many or one.
    """
    free = sorted(cpus)
    spins = any(decide.wait == "spin" for decide in decides)
    if not spins or spinning(feeds) or not 1 < len(free) < _MANY:
        return set(), set()
    return {free[-1]}, set(free[:-1])


def usable() -> set[int]:
    """The CPUs that this process may use; empty where the system does not tell."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set()


def confine(cpus: str = "") -> None:
    """Stay on these CPUs, as numbers with commas; "" is wherever the system likes."""
    if cpus and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(cpu) for cpu in cpus.split(",")})
