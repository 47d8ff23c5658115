"""What each way to sync costs on a disk, and what power loss may take with it: for `doctor`.

It appends to a file of its own, through the journal's own calls, and removes it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from ticktape import clock
from ticktape.cli.figures import duration
from ticktape.journal.disk import Disk

_BLOCK_BYTES = 4_096  # of what one socket read brings of a busy stream, and a page of any disk
_SYNCS_MAX = 200  # so that two lie beyond the p99
_LOOK_NS = clock.NS_PER_S  # when it ends, however few
_CHEAP_NS = 200_000
"""A p99 up to which every block may wait: it is what a decision takes anyway."""
_SLOW_NS = 25_000_000  # half of the usual commit_ms
_LYING_NS = 20_000  # a flash write alone takes longer, and a disk's turn far longer
_NS_PER_MS = 1_000_000


class SyncCost(NamedTuple):
    """Of a block of 4 kB that was appended: times in nanoseconds, of `samples`."""

    samples: int
    write_ns: int
    sync_ns: int
    sync_p99_ns: int
    syncs_per_s: float

    @property
    def is_slow(self) -> bool:
        """Whether a block should not wait for it."""
        return self.sync_ns > _SLOW_NS

    @property
    def is_lying(self) -> bool:
        """Whether no disk is so fast."""
        return self.sync_ns < _LYING_NS

    @property
    def advised(self) -> str:
        """The value of `sync` that this disk is good for."""
        return "each" if self.sync_p99_ns <= _CHEAP_NS and not self.is_lying else "group"


def measure_sync(place: Path, disk: Disk) -> SyncCost:
    """Append and sync for at most a second, or one sync more.

    Raises:
        OSError: the folder cannot be written, or the disk refuses.
    """
    path = place / f".ticktape-doctor-{disk.random_bytes(8).hex()}"
    block = disk.random_bytes(_BLOCK_BYTES)  # nothing that a disk could make smaller
    writes_ns: list[int] = []
    syncs_ns: list[int] = []
    descriptor = disk.create(path)
    try:
        end_ns = clock.monotonic_ns() + _LOOK_NS
        while len(syncs_ns) < _SYNCS_MAX:
            before_ns = clock.monotonic_ns()
            if syncs_ns and before_ns > end_ns:
                break
            disk.write(descriptor, block)
            written_ns = clock.monotonic_ns()
            disk.sync(descriptor)
            writes_ns.append(written_ns - before_ns)
            syncs_ns.append(clock.monotonic_ns() - written_ns)
    finally:
        disk.close(descriptor)
        disk.remove(path)
    count, total_ns = len(syncs_ns), sum(syncs_ns) + sum(writes_ns)
    return SyncCost(
        count,
        sorted(writes_ns)[count // 2],
        sorted(syncs_ns)[count // 2],
        sorted(syncs_ns)[count * 99 // 100],
        count * clock.NS_PER_S / max(total_ns, 1),
    )


def sync_words(cost: SyncCost, commit_ms: int) -> dict[str, str]:
    """What each value of `sync` costs here, and what power loss takes, in words."""
    sync = f"{duration(cost.sync_ns)} (p99 {duration(cost.sync_p99_ns)})"
    window = duration(_window_ns(cost, commit_ms))
    words = {
        "group": f"no block waits, a sync behind them takes {sync};"
        f" power loss takes at most {window} of data",
        "each": f"every block waits {sync}, at most {cost.syncs_per_s:,.0f} blocks a second;"
        " power loss takes nothing",
        "os": f"nothing waits, a write takes {duration(cost.write_ns)}; unsafe:"
        " power loss takes what the system had not written yet",
    }
    return {
        sync: f'sync = "{sync}"{" (advised here)" if sync == cost.advised else ""}: {each}'
        for sync, each in words.items()
    }


def sync_json(cost: SyncCost, commit_ms: int) -> dict[str, Any]:
    """The same as numbers; `power_loss_ms` is None where nobody knows."""
    sync_us = {"p50": cost.sync_ns / 1_000, "p99": cost.sync_p99_ns / 1_000}
    return {
        "advised": cost.advised,
        "block_bytes": _BLOCK_BYTES,
        "write_us": cost.write_ns / 1_000,
        "sync_us": sync_us,
        "syncs_per_s": round(cost.syncs_per_s, 1),
        "power_loss_ms": {
            "group": _window_ns(cost, commit_ms) / _NS_PER_MS,
            "each": 0.0,
            "os": None,
        },
    }


def _window_ns(cost: SyncCost, commit_ms: int) -> int:
    # What is written while a sync runs waits for the next one.
    return commit_ms * _NS_PER_MS + cost.sync_p99_ns
