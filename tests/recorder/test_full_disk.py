"""A full disk: capture goes on in memory up to its bound, then counts exactly what it drops.

On a small disk of its own where one can be mounted; everywhere else the capture process is refused
every write by its limit on file sizes, which the system reports in the same way.
"""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from ticktape.cli.running import Finished
from ticktape.errors import EXIT_JOURNAL
from ticktape.journal import Reader
from ticktape.journal.positions import JournalState, Positions
from ticktape.records import EntryKind

DISK_BYTES = 18 << 20
ROWS = 36_000  # twelve seconds: more must be dropped before it ends than memory holds


class LimitedFiles:
    """A "full disk" for one process: no file of it may grow."""

    def __init__(self, folder):
        self.folder = folder

    def fill(self, pid):
        import resource

        _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, hard))
        self._pid, self._hard = pid, hard

    def free(self):
        import resource

        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (self._hard, self._hard))

    def close(self):
        pass


class SmallDisk:
    """A real disk of a few megabytes, filled and freed with a file of its own."""

    def __init__(self, folder):
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self, _pid):
        with open(self._ballast, "wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while ballast.write(bytes(4096)):
                pass

    def free(self):
        self._ballast.unlink()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)


def small_disk(folder, size=DISK_BYTES):
    """A small disk at `folder`; None where this process may not mount one."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("mount") is None:
        return None
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "ticktape-test", folder]
    done = subprocess.run(command, check=False, capture_output=True)
    return SmallDisk(folder) if done.returncode == 0 else None


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's own")


@pytest.fixture
def disk(request, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    wanted = getattr(request, "param", "limited files")
    size = {"small disk": DISK_BYTES, "larger disk": 4 * DISK_BYTES}.get(wanted)
    made = (small_disk(folder, size) if size else None) or LimitedFiles(folder)
    yield made
    made.close()


def journal_entries(directory, feed="sip"):
    with Reader(directory.feed_journal(feed), None) as reader:
        while blocks := reader.read():
            for block in blocks:
                yield from block.entries()


def state_of(made):
    positions = Positions.for_reader(made.directory.feed_positions("sip"))
    if positions is None:
        return None
    said = positions.statistics()
    positions.close()
    return said.state


@pytest.fixture
def filled(disk, venue, configured, recording, proven, tmp_path):
    """Record on a disk that is full for a while, until more was dropped than memory holds."""

    def run(*, free):
        source = venue("--tape", "generated", "--events", str(ROWS), "--rate", "3000")
        more = (
            "[journal]\nmemory_bytes = 1048576\nsegment_bytes = 262144\nreserve_bytes = 0\n"
            "[table]\ncommit_s = 0.3"
        )
        config = configured(disk.folder / "tape", {"sip": source.url()}, more=more)
        with recording(config) as made:
            made.until_frames(1_000)
            disk.fill(made.supervisor.pids()["capture-sip"])
            made.until(lambda: state_of(made) is JournalState.DROPPING, "it drops")
            made.until(lambda: made.said("capture-sip")["dropped_frames"] > 2_000, "it counts")
            made.held = made.said("capture-sip")["journal_state"]
            if free:
                disk.free()
                made.until(lambda: made.words("mended", "capture-sip"), "it takes writes again")
                made.until_frames(ROWS)
                made.sent = source.wait_end()["messages"]
            made.end = made.stop()
        if not free:
            disk.free()
        made.verdict = proven(made.directory.root, tmp_path)
        made.verdict = made.verdict.with_lost(made.end.lost_frames)
        return made

    return run


@pytest.mark.parametrize("disk", ["small disk"], indirect=True)
def test_what_was_held_is_written_when_space_is_freed_and_drops_are_counted_to_the_frame(filled):
    made = filled(free=True)
    (feed,) = made.verdict.feeds

    words = made.words("trouble", "capture-sip")
    assert words and all("the disk has no room" in each for each in words)
    assert made.held == "dropping"
    assert any(kind == EntryKind.DROPPED for kind, _ in journal_entries(made.directory))
    assert feed.dropped_frames > 2_000
    assert feed.total("received") + feed.dropped_frames == made.sent
    assert feed.total("stored") == feed.total("received")
    assert f"sip: {feed.dropped_frames} frames were dropped (disk refused)" in feed.reasons()
    assert made.end.lost_frames == {}
    assert not made.verdict.complete
    assert Finished(made.verdict, made.end).exit_code == EXIT_JOURNAL


def test_a_disk_that_stays_full_ends_incomplete_with_every_lost_frame_counted(filled):
    made = filled(free=False)
    (feed,) = made.verdict.feeds
    entries = list(journal_entries(made.directory))
    in_journal = sum(kind == EntryKind.TEXT for kind, _ in entries)
    lost = made.said("capture-sip")["frames"] - in_journal

    # Beside the venue's frames a few entries of our own are lost, which say that we stopped.
    assert lost <= made.end.lost_frames["sip"] <= lost + 3
    assert feed.dropped_frames == made.end.lost_frames["sip"] > 2_000
    assert not any(kind == EntryKind.DROPPED for kind, _ in entries)
    assert [gap.cause for gap in feed.open_gaps][-1].startswith("recording ended without a stop")
    assert not made.verdict.complete
    assert Finished(made.verdict, made.end).exit_code == EXIT_JOURNAL


@pytest.mark.parametrize("disk", ["larger disk"], indirect=True)
def test_the_ballast_holds_room_for_the_last_entries_and_comes_back(
    disk, venue, configured, recording, proven, tmp_path
):
    if not isinstance(disk, SmallDisk):
        pytest.skip("no disk may be mounted here")
    source = venue("--tape", "generated", "--events", "30000", "--rate", "400")
    more = (
        "[journal]\nmemory_bytes = 1048576\nsegment_bytes = 262144\nreserve_bytes = 0\n"
        "ballast_bytes = 2097152\n[table]\ncommit_s = 3600"
    )
    config = configured(disk.folder / "tape", {"sip": source.url()}, more=more)
    with recording(config) as made:
        ballast = made.directory.root / "ballast"
        made.until(
            lambda: ballast.exists() and ballast.stat().st_size == 2 << 20, "the ballast is whole"
        )
        disk.fill(0)
        words = made.until(lambda: made.words("trouble", "disk"), "the full disk is seen")
        assert words == ["the disk is full: the ballast of 2 MB is freed"]
        # Whether the capture has met the full disk before, or not: it writes.
        made.until_frames(made.said("capture-sip")["frames"] + 500)
        made.until(lambda: state_of(made) is JournalState.OK, "the capture writes")
        assert not ballast.exists()
        disk.free()
        made.until(lambda: made.words("mended", "disk"), "there is a ballast again")
        assert ballast.exists()
        made.end = made.stop()
    assert not ballast.exists()
    (feed,) = proven(made.directory.root, tmp_path).feeds
    assert feed.dropped_frames == 0
    assert made.end.lost_frames == {}
