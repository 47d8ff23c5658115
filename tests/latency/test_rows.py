"""Rows come back whole, whatever the disk or a kill did to the file."""

import errno
import gc
import os
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.journal import Block
from ticktape.latency import (
    PauseKind,
    PauseLog,
    RunId,
    StageLog,
    read_pauses,
    read_rows,
    read_stages,
    rowfile,
)

BOOT = bytes(range(16))
OTHER_BOOT = bytes(16)
RUN = RunId(BOOT, 1_000, 7)


def as_tuples(rows):
    names = ("epoch", "from_offset", "to_offset", "mono_ns", "count")
    return [tuple(row[name].item() for name in names) for row in rows]


def write_rows(directory, count, run=RUN, feed="sip"):
    rows = [(3, at * 100, at * 100 + 100, 5_000 + at, at) for at in range(count)]
    with StageLog(directory, feed, run) as log:
        for row in rows:
            log.append(*row)
    return rows, log.path


@pytest.mark.parametrize("count", [0, 1, 4095, 4096, 10_000])
def test_rows_come_back_in_order(tmp_path, count):
    rows, _ = write_rows(tmp_path / "last", count)
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows


def test_rows_are_readable_after_a_flush_and_before_the_close(tmp_path):
    log = StageLog(tmp_path / "last", "sip", RUN)
    log.append(1, 0, 100, 5, 2)
    assert len(read_rows(tmp_path / "last", "sip")) == 0
    log.flush()
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == [(1, 0, 100, 5, 2)]
    log.close()
    log.close()
    assert log.statistics().rows == 1


def test_each_block_that_was_stamped_has_a_row_and_the_one_behind_has_none(tmp_path):
    blocks = [Block(3, at * 100, at * 100 + 90, at, 2, 1, 1, 0, b"") for at in range(3)]
    with StageLog(tmp_path / "decided", "sip", RUN) as log:
        log.append_each(blocks, [5_000, 5_001])

    rows = as_tuples(read_rows(tmp_path / "decided", "sip"))
    assert rows == [(3, 0, 90, 5_000, 2), (3, 100, 190, 5_001, 2)]


def test_rows_of_many_blocks_do_not_wait_in_memory_without_bound(tmp_path):
    blocks = [Block(3, at * 100, at * 100 + 100, at, 2, 1, 1, 0, b"") for at in range(5_000)]
    log = StageLog(tmp_path / "decided", "sip", RUN)
    log.append_each(blocks, range(1, 5_001))

    assert len(read_rows(tmp_path / "decided", "sip")) == 5_000
    log.close()


def test_a_file_cut_at_every_byte_gives_its_whole_rows(tmp_path):
    rows, path = write_rows(tmp_path / "last", 4)
    content = path.read_bytes()
    head_bytes = len(content) - 4 * 40
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        whole = max(0, length - head_bytes) // 40
        assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows[:whole]


def test_zeros_that_a_power_cut_left_are_no_rows(tmp_path):
    rows, path = write_rows(tmp_path / "last", 2)
    path.write_bytes(path.read_bytes() + bytes(130))
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows


def test_a_damaged_head_costs_its_file_only(tmp_path):
    rows, _ = write_rows(tmp_path / "last", 2)
    _, path = write_rows(tmp_path / "last", 3, RunId(BOOT, 2_000, 8))
    content = bytearray(path.read_bytes())
    content[20] ^= 1
    path.write_bytes(content)
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows


def test_feeds_and_starts_do_not_mix(tmp_path):
    directory = tmp_path / "last"
    first, _ = write_rows(directory, 2, RunId(BOOT, 900, 8))
    second, _ = write_rows(directory, 3, RunId(OTHER_BOOT, 1_000, 7))
    write_rows(directory, 4, RUN, feed="sip-x")
    write_rows(directory, 5, RUN, feed="a/b")
    rows = read_rows(directory, "sip")
    assert as_tuples(rows) == first + second
    assert [row.tobytes() for row in rows["boot"]] == [BOOT] * 2 + [OTHER_BOOT] * 3
    assert len(read_rows(directory, "sip-x")) == 4
    assert len(read_rows(directory, "a/b")) == 5
    assert len(read_rows(directory, "none")) == 0


def test_a_name_is_taken_once(tmp_path):
    write_rows(tmp_path / "last", 1)
    with pytest.raises(FileExistsError):
        write_rows(tmp_path / "last", 1)


def test_stages_come_in_their_order_and_others_after_them(tmp_path):
    write_rows(tmp_path / "stored", 2)
    write_rows(tmp_path / "extra", 1)
    write_rows(tmp_path / "last", 3)
    stages = read_stages(tmp_path, "sip")
    assert {stage: len(rows) for stage, rows in stages.items()} == {
        "written": 0,
        "synced": 0,
        "last": 3,
        "decided": 0,
        "stored": 2,
        "extra": 1,
    }
    assert list(stages)[-1] == "extra"


class RefusingDisk:
    """`os` as rowfile sees it, with a disk of `room` bytes that writes at most 7 at a time."""

    def __init__(self):
        self.room = 0
        self.system = SimpleNamespace(**{**vars(os), "write": self.write})

    def write(self, number, data):
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        length = min(7, self.room, len(data))
        self.room -= length
        return os.write(number, bytes(data[:length]))


def test_a_refusing_disk_delays_rows_and_keeps_them_aligned(tmp_path, monkeypatch):
    disk = RefusingDisk()
    monkeypatch.setattr(rowfile, "os", disk.system)
    with StageLog(tmp_path / "last", "sip", RUN) as log:
        for at in range(50):
            disk.room += 31
            log.append(1, at * 10, at * 10 + 10, 5 + at, 1)
            log.flush()
        statistics = log.statistics()
        assert "No space" in statistics.failure
        assert (statistics.rows, statistics.dropped) == (50, 0)
        disk.room = 1_000_000
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == [
        (1, at * 10, at * 10 + 10, 5 + at, 1) for at in range(50)
    ]


def test_past_the_bound_rows_are_dropped_and_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(rowfile, "PENDING_BYTES_MAX", 1_000)
    disk = RefusingDisk()
    monkeypatch.setattr(rowfile, "os", disk.system)
    with StageLog(tmp_path / "last", "sip", RUN) as log:
        for at in range(50):
            log.append(1, at * 10, at * 10 + 10, 5, 1)
            log.flush()
        statistics = log.statistics()
        disk.room = 1_000_000
    kept = read_rows(tmp_path / "last", "sip")
    assert statistics.dropped > 0
    assert log.statistics().dropped == statistics.dropped
    assert len(kept) == statistics.rows - statistics.dropped


def test_rows_that_the_disk_refuses_to_the_end_are_counted(tmp_path, monkeypatch):
    disk = RefusingDisk()
    monkeypatch.setattr(rowfile, "os", disk.system)
    log = StageLog(tmp_path / "last", "sip", RUN)
    for at in range(10):
        log.append(1, at * 10, at * 10 + 10, 5, 1)
    disk.room = 148 + 3 * 40 + 1
    log.close()
    log.close()
    assert len(read_rows(tmp_path / "last", "sip")) == 3
    assert (log.statistics().rows, log.statistics().dropped) == (10, 7)


@pytest.mark.parametrize(("stage", "name"), [("last", ""), ("last", "n" * 65), ("s" * 33, "sip")])
def test_a_name_that_does_not_fit_is_refused(tmp_path, stage, name):
    with pytest.raises(ValueError, match="bytes"):
        StageLog(tmp_path / stage, name, RUN)


@given(st.lists(st.tuples(st.sampled_from(PauseKind), st.integers(1, 10**9)), max_size=20))
def test_pauses_come_back_with_their_process(tmp_path_factory, pauses):
    directory = tmp_path_factory.mktemp("pause")
    with PauseLog(directory, "capture.sip", RUN, pause_ns_min=1) as log:
        for at, (kind, duration_ns) in enumerate(pauses):
            log.record(kind, at + 1, duration_ns)
    found = read_pauses(directory)
    assert [(row["kind"], row["start_mono_ns"], row["duration_ns"]) for row in found] == [
        (kind, at + 1, duration_ns) for at, (kind, duration_ns) in enumerate(pauses)
    ]
    assert set(found["process"]) <= {b"capture.sip"}


def test_short_pauses_are_passed_over_and_late_wakes_are_stalls(tmp_path):
    with PauseLog(tmp_path, "last", RUN, monotonic_ns=lambda: 1_000_000) as log:
        log.record(PauseKind.FSYNC, 10, 49_999)
        log.record(PauseKind.FSYNC, 10, 50_000)
        log.record_wake(1_000_000 - 80_000)
        log.record_wake(1_000_000 - 10)
    found = read_pauses(tmp_path)
    assert found["kind"].tolist() == [PauseKind.FSYNC, PauseKind.STALL]
    assert found["start_mono_ns"].tolist() == [10, 920_000]
    assert found["duration_ns"].tolist() == [50_000, 80_000]


def test_collections_are_noted_until_the_close(tmp_path):
    ticks = iter(range(100, 10_000_000, 100_000))
    log = PauseLog(tmp_path, "last", RUN, monotonic_ns=lambda: next(ticks))
    log.watch_gc()
    log.watch_gc()
    gc.collect()
    log.close()
    gc.collect()
    log.close()
    found = read_pauses(tmp_path)
    assert len(found) >= 1
    assert set(found["kind"]) == {PauseKind.GC}
    assert set(found["duration_ns"]) == {100_000}
    assert log._on_gc not in gc.callbacks


def test_unflushed_pauses_are_bounded_and_counted(tmp_path):
    with PauseLog(tmp_path, "last", RUN) as log:
        for at in range(5_000):
            log.record(PauseKind.STALL, at + 1, 1_000_000)
        log.flush()
        statistics = log.statistics()
    assert statistics.rows == 5_000
    assert len(read_pauses(tmp_path)) == statistics.rows - statistics.dropped
    assert statistics.dropped > 0


def test_nothing_written_means_no_rows(tmp_path):
    assert read_rows(tmp_path / "last", "sip").shape == (0,)
    assert read_pauses(tmp_path / "pause").shape == (0,)
    assert np.array_equal(read_rows(tmp_path / "last", "sip")["boot"], np.empty((0, 2)))


def test_a_full_file_is_followed_by_another_and_all_rows_come_back_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(rowfile, "FILE_BYTES_MAX", 500)
    rows = [(1, at * 10, at * 10 + 10, 5 + at, 1) for at in range(100)]
    with StageLog(tmp_path / "last", "sip", RUN) as log:
        for at, row in enumerate(rows):
            log.append(*row)
            if at % 3 == 0:
                log.flush()
    assert (log.statistics().rows, log.statistics().dropped) == (100, 0)
    files = sorted((tmp_path / "last").iterdir())
    assert len(files) > 5
    assert max(path.stat().st_size for path in files) < 700
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows
    newest = as_tuples(read_rows(tmp_path / "last", "sip", 20))
    assert newest == rows[-len(newest) :] and 20 <= len(newest) < 50


def test_a_disk_that_refuses_at_the_end_of_a_file_costs_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr(rowfile, "FILE_BYTES_MAX", 300)
    disk = RefusingDisk()
    monkeypatch.setattr(rowfile, "os", disk.system)
    rows = [(1, at * 10, at * 10 + 10, 5, 1) for at in range(50)]
    with StageLog(tmp_path / "last", "sip", RUN) as log:
        for row in rows:
            disk.room += 43
            log.append(*row)
            log.flush()
        disk.room = 1_000_000
    assert as_tuples(read_rows(tmp_path / "last", "sip")) == rows
    assert log.statistics().dropped == 0
