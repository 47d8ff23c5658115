"""Following several journals, and knowing when all of each is read."""

import os
import subprocess
import sys

import pytest
from filelock import FileLock

from ticktape.directory import RunDirectory
from ticktape.errors import SyncFailed
from ticktape.journal import Writer
from ticktape.journal.blocks import Block
from ticktape.journal.disk import Disk
from ticktape.journal.positions import Positions
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import WriterConfig
from ticktape.latency import PauseKind, PauseLog, RunId, read_pauses
from ticktape.recorder.following import Following, ranges, sync_all, writer_is_gone
from ticktape.recorder.timed_disk import TimedDisk
from ticktape.records import Position

RUN = RunId(bytes(16), 1, os.getpid())
BEGINNING = Position(0, 0)


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


@pytest.fixture
def pauses(tmp_path):
    with PauseLog(tmp_path / "pauses", "test", RUN) as log:
        yield log


def writer_of(directory, feed="sip", **options):
    return Writer(directory.journal(feed), directory.positions(feed), **options)


def payloads(following, max_bytes=1 << 16):
    return [
        (feed, [text for block in blocks for _, text in block.entries()])
        for feed, blocks in following.read(max_bytes)
    ]


def test_each_look_gives_what_is_new_of_every_feed(directory, pauses):
    with writer_of(directory, "a") as a, writer_of(directory, "b") as b:
        following = Following(directory, {"a": BEGINNING, "b": BEGINNING}, pauses)
        a.append([b"1"], 1, 1)
        b.append([b"2"], 1, 1)
        assert payloads(following) == [("a", [b"1"]), ("b", [b"2"])]
        b.append([b"3"], 1, 1)
        assert payloads(following) == [("b", [b"3"])]
        assert payloads(following) == []
        following.close()
        following.close()


def test_it_is_not_drained_while_a_writer_is_there_and_then_reads_to_the_very_end(
    directory, pauses
):
    with writer_of(directory) as writer:
        following = Following(directory, {"sip": BEGINNING}, pauses)
        writer.append([b"1"], 1, 1)
        assert payloads(following) == [("sip", [b"1"])]
        assert not following.is_drained()
        writer.append([b"2"], 1, 1)
    assert not following.is_drained()
    assert payloads(following) == [("sip", [b"2"])]
    assert following.is_drained()
    following.close()


def test_what_a_killed_writer_had_written_is_read_by_those_who_wait_for_synced(directory, pauses):
    script = f"""
import os, signal
from pathlib import Path
from ticktape.directory import RunDirectory
from ticktape.journal.writer import Writer, WriterConfig
directory = RunDirectory(Path({str(directory.root)!r}))
config = WriterConfig("group", 10_000)
writer = Writer(directory.journal("sip"), directory.positions("sip"), config)
writer.append([b"written, never synced"], 1, 1)
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    following = Following(directory, {"sip": BEGINNING}, pauses, synced=True)

    assert payloads(following) == []
    assert not following.is_drained()
    assert payloads(following) == [("sip", [b"written, never synced"])]
    assert following.is_drained()
    following.close()


def test_a_writer_is_there_from_its_start_to_its_close(directory):
    assert writer_is_gone(directory, "sip")
    with writer_of(directory):
        assert not writer_is_gone(directory, "sip")
    assert writer_is_gone(directory, "sip")


def test_looking_for_a_dead_writer_never_turns_a_new_one_away(directory, monkeypatch):
    """The lock is not touched when the positions tell: a starting writer would be refused."""
    writer_of(directory).close()
    monkeypatch.setattr("ticktape.recorder.following.is_locked", lambda _: pytest.fail("touched"))

    assert writer_is_gone(directory, "sip")


def test_what_ticktape_heal_writes_is_waited_for_by_nobody_but_a_healer_of_ours_is(
    directory, pauses
):
    with writer_of(directory, "sip.rest") as by_hand:
        by_hand.append([b"1"], 1, 1)
        by_hand.sync()
        following = Following(
            directory, {"sip": BEGINNING, "sip.rest": BEGINNING}, pauses, synced=True
        )
        with FileLock(directory.live / "heal.lock"):
            assert payloads(following) == [("sip.rest", [b"1"])]
            assert not following.is_drained()
            assert not following.is_drained()
        assert not following.is_drained()
        assert payloads(following) == []
        assert following.is_drained()
        following.close()


def test_without_positions_the_lock_tells(directory):
    with writer_of(directory):
        directory.positions("sip").unlink()
        assert not writer_is_gone(directory, "sip")
    assert writer_is_gone(directory, "sip")


def test_a_disk_that_refuses_to_settle_is_named(directory, monkeypatch):
    writer_of(directory).close()

    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Disk, "sync", refuse)

    with pytest.raises(SyncFailed, match="Input/output error"):
        sync_all(directory, "sip")


def test_all_segments_of_the_last_epoch_and_their_names_are_synced_and_nothing_is_written(
    directory, monkeypatch
):
    writer = writer_of(directory, config=WriterConfig("os", segment_bytes=65_536))
    for _ in range(5):
        writer.append([bytes(60_000)], 1, 1)
    writer.close()
    journal = directory.journal("sip")
    there = sorted(journal.iterdir())
    synced = []
    monkeypatch.setattr(Disk, "sync_file", lambda _, path: synced.append(path))
    monkeypatch.setattr(Disk, "sync_directory", lambda _, path: synced.append(path))

    sync_all(directory, "sip")

    segments = [each.path for each in list_segments(journal)]
    assert len(segments) > 2
    assert synced == [*segments, journal]
    assert sorted(journal.iterdir()) == there


def test_bytes_behind_are_told_by_feed(directory, pauses):
    with writer_of(directory) as writer:
        following = Following(directory, {"sip": BEGINNING, "none": BEGINNING}, pauses)
        payloads(following)
        writer.append([b"1" * 100], 1, 1)
        behind = following.behind_bytes()
        payloads(following)

        assert behind["sip"] > 100
        assert behind["none"] == 0
        assert following.behind_bytes() == {"sip": 0, "none": 0}
        following.close()


def test_a_wake_up_that_came_much_too_late_is_noted_as_a_stall(directory, tmp_path, monkeypatch):
    with PauseLog(tmp_path / "pauses", "test", RUN) as log:
        following = Following(directory, {"sip": BEGINNING}, log)
        monkeypatch.setattr("ticktape.recorder.following.wait_any", lambda *_: 5_000_000)
        monkeypatch.setattr("ticktape.recorder.following.clock.monotonic_ns", lambda: 25_000_000)
        monkeypatch.setattr(log, "_monotonic_ns", lambda: 25_000_000)
        following.wait(0.25)
        following.close()

    (pause,) = read_pauses(tmp_path / "pauses")
    assert (pause["kind"], pause["start_mono_ns"]) == (PauseKind.STALL, 5_000_000)
    assert pause["duration_ns"] == 20_000_000


def test_spinning_never_sleeps(directory, pauses, monkeypatch):
    following = Following(directory, {"sip": BEGINNING}, pauses, spin=True)
    monkeypatch.setattr("ticktape.recorder.following.wait_any", lambda *_: pytest.fail("slept"))

    following.wait(10.0)
    following.close()


def test_spinning_gives_way_until_a_writer_has_moved(directory, pauses, monkeypatch):
    with writer_of(directory, "a"), writer_of(directory, "b") as b:
        following = Following(directory, {"a": BEGINNING, "b": BEGINNING}, pauses, spin=True)
        assert payloads(following) == []
        turns = []

        def give_way():
            turns.append(None)
            if len(turns) == 3:
                b.append([b"1"], 1, 1)

        monkeypatch.setattr("ticktape.recorder.following.give_way", give_way)
        following.wait(10.0)
        assert len(turns) == 3
        assert payloads(following) == [("b", [b"1"])]

        turns[:] = [None] * 10
        following.wait(10.0)
        assert 10 < len(turns) < 1_000, "with nothing new it comes back, for the timers' sake"
        following.close()


def test_spinning_looks_for_a_writer_that_is_not_known_yet(directory, pauses, monkeypatch):
    monkeypatch.setattr("ticktape.recorder.following.give_way", lambda: None)
    following = Following(directory, {"sip": BEGINNING}, pauses, spin=True)
    assert payloads(following) == []
    with writer_of(directory) as writer:
        writer.append([b"1"], 1, 1)
        following.wait(10.0)
        assert payloads(following) == [("sip", [b"1"])]
    following.close()


def test_at_the_limit_nothing_is_left_of_any_feed(directory, pauses):
    with writer_of(directory, "a") as a, writer_of(directory, "b") as b:
        following = Following(directory, {"a": BEGINNING, "b": BEGINNING}, pauses)
        a.append([b"1"], 1, 1)
        b.append([b"2"], 1, 1)
        b.append([b"3"], 1, 1)
        assert not following.is_at_limit(), "nothing was looked at"
        assert payloads(following, max_bytes=1) == [("a", [b"1"]), ("b", [b"2"])]
        assert not following.is_at_limit()
        assert payloads(following, max_bytes=1) == [("b", [b"3"])]
        assert following.is_at_limit()
        a.append([b"4"], 1, 1)
        # What has come since, the sleep itself finds: so one need not look twice.
        assert following.is_at_limit()
        following.wait(10.0)
        assert payloads(following) == [("a", [b"4"])]
        following.close()


def test_the_disks_syncs_are_noted_with_their_length(directory, tmp_path, monkeypatch):
    times = iter(range(1, 10**12, 1_000_000))
    monkeypatch.setattr("ticktape.recorder.timed_disk.clock.monotonic_ns", lambda: next(times))
    with (
        PauseLog(tmp_path / "pauses", "test", RUN) as log,
        writer_of(directory, disk=TimedDisk(log)) as writer,
    ):
        writer.append([b"1"], 1, 1)

    found = read_pauses(tmp_path / "pauses")
    assert set(found["kind"].tolist()) == {PauseKind.FSYNC}
    assert set(found["duration_ns"].tolist()) == {1_000_000}


def test_a_sync_that_failed_is_not_trusted_when_the_drain_is_told_yes(directory):
    with writer_of(directory) as writer:
        writer.append([b"1"], 1, 1)
    sync_all(directory, "sip")
    positions = Positions.for_reader(directory.positions("sip"))
    positions.publish_doubt(128)  # as a commit does whose sync the disk refused
    positions.close()

    with pytest.raises(SyncFailed, match="ended before it could write that down"):
        sync_all(directory, "sip")


def test_ranges_are_cut_where_the_epoch_changes_or_blocks_lack():
    spans = [(0, 128, 200), (0, 200, 300), (0, 350, 400), (1, 400, 500), (1, 500, 600)]
    blocks = [Block(epoch, begin, end, 0, 2, 0, 0, 0, b"") for epoch, begin, end in spans]
    assert ranges(blocks) == [(0, 128, 300, 4), (0, 350, 400, 2), (1, 400, 600, 4)]
    assert ranges([]) == []
