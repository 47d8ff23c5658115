"""What a sync costs is measured on the journal's own calls, in a bounded time."""

import errno

import pytest

from ticktape.cli.syncing import measure_sync, sync_words
from ticktape.journal.disk import Disk

MS = 1_000_000


class SlowDisk(Disk):
    """A disk whose n-th sync takes so long, on a clock that nobody waits for."""

    def __init__(self, *syncs_ns):
        self.now_ns = 0
        self.synced = 0
        self._syncs_ns = syncs_ns

    def sync(self, descriptor):
        self.now_ns += self._syncs_ns[self.synced % len(self._syncs_ns)]
        self.synced += 1


def measured(disk, place, monkeypatch):
    monkeypatch.setattr("ticktape.clock.monotonic_ns", lambda: disk.now_ns)
    return measure_sync(place, disk)


def test_a_slow_disk_is_asked_for_a_second_and_no_longer(tmp_path, monkeypatch):
    disk = SlowDisk(300 * MS)
    cost = measured(disk, tmp_path, monkeypatch)
    assert disk.now_ns == 1_200 * MS and cost.samples == 4
    assert cost.sync_ns == cost.sync_p99_ns == 300 * MS
    assert cost.syncs_per_s == pytest.approx(1 / 0.3)
    assert cost.is_slow and cost.advised == "group"


def test_median_and_p99_are_those_of_the_syncs(tmp_path, monkeypatch):
    cost = measured(SlowDisk(*[MS] * 97, *[9 * MS] * 3), tmp_path, monkeypatch)
    assert (cost.samples, cost.sync_ns, cost.sync_p99_ns) == (200, MS, 9 * MS)
    words = sync_words(cost, 50)
    assert "1.00 ms (p99 9.00 ms)" in words["each"] and "59.0 ms" in words["group"]
    assert "806 blocks a second" in words["each"]


@pytest.mark.parametrize(
    ("sync_ns", "advised", "is_lying"),
    [(100, "group", True), (100_000, "each", False), (MS, "group", False)],
)
def test_every_block_may_wait_where_that_is_cheap_and_true(
    tmp_path, monkeypatch, sync_ns, advised, is_lying
):
    cost = measured(SlowDisk(sync_ns), tmp_path, monkeypatch)
    assert (cost.advised, cost.is_lying) == (advised, is_lying)
    assert "(advised here)" in sync_words(cost, 50)[advised]


def test_nothing_is_left_behind_when_the_disk_refuses(tmp_path):
    class Refuses(Disk):
        def sync(self, descriptor):
            raise OSError(errno.EIO, "planted")

    with pytest.raises(OSError, match="planted"):
        measure_sync(tmp_path, Refuses())
    assert list(tmp_path.iterdir()) == []
