"""What can wait, waits for room; the ballast is freed for the last entries and made again."""

import pytest

from ticktape import clock
from ticktape.config import JournalConfig
from ticktape.errors import Full
from ticktape.recorder import disk_watch as disk_watch_module
from ticktape.recorder.disk_watch import FULL_BYTES, Ballast, DiskWatch
from ticktape.recorder.room import Room

MIB = 1 << 20
GB = 10**9


class Disk:
    """A disk of which a test says what is free; a file on it takes room."""

    def __init__(self, root, free_bytes):
        self.root, self.others = root, free_bytes
        self.asked = 0

    def free(self, _):
        self.asked += 1
        return max(self.others - sum(p.stat().st_size for p in self.root.iterdir()), 0)


@pytest.fixture
def now(monkeypatch):
    class Now:
        ns = 10**12

        def after(self, seconds):
            self.ns += int(seconds * 1e9)

    made = Now()
    monkeypatch.setattr(clock, "monotonic_ns", lambda: made.ns)
    return made


@pytest.fixture
def watched(tmp_path, now):
    disk = Disk(tmp_path, 10 * GB)
    told = []
    config = JournalConfig(reserve_bytes=GB, ballast_bytes=3 * MIB)
    watch = DiskWatch(tmp_path, config, lambda *said: told.append(said[:2]), disk.free)
    watch.disk, watch.told, watch.file = disk, told, tmp_path / "ballast"
    return watch


def grow(watch, now, seconds=30.0):
    for _ in range(int(seconds / 0.05)):
        now.after(0.05)
        watch.look()


def test_a_short_run_has_no_ballast_and_a_longer_one_grows_it_in_slices(watched, now):
    watched.look()
    now.after(4)
    watched.look()
    assert not watched.file.exists()
    now.after(2)
    sizes = []
    for _ in range(5):
        watched.look()
        sizes.append(watched.file.stat().st_size)
        now.after(0.05)
    assert sizes == [MIB, 2 * MIB, 3 * MIB, 3 * MIB, 3 * MIB]
    assert watched.told == []
    watched.close()
    assert not watched.file.exists()


def test_on_a_full_disk_it_is_freed_at_once_and_made_again_when_there_is_plenty(watched, now):
    grow(watched, now)
    watched.disk.others = 3 * MIB + FULL_BYTES - 1
    watched.look()
    assert watched.file.exists(), "it is not time to look"
    watched.hurry()
    watched.look()
    assert not watched.file.exists()
    assert [event for event, _ in watched.told] == ["trouble", "trouble"]
    assert "the ballast of 3 MB is freed" in watched.told[-1][1]
    watched.disk.others = GB + 5 * MIB  # not so much that it would be freed again soon
    grow(watched, now)
    assert not watched.file.exists()
    watched.disk.others = 2 * GB
    grow(watched, now)
    assert watched.file.stat().st_size == 3 * MIB
    assert [event for event, _ in watched.told[2:]] == ["mended", "mended"]
    assert watched.told[-1] == ("mended", "the disk has room: the ballast is back")


def test_less_than_the_reserve_is_said_once_a_minute_and_so_is_its_end(watched, now):
    watched.disk.others = GB - 1
    for _ in range(26):
        watched.look()
        now.after(5)
    words = "the disk has 1.0 GB left, less than reserve_bytes"
    assert watched.told == [("trouble", words)] * 3
    watched.disk.others = 5 * GB
    watched.look()
    assert watched.told[-1] == ("mended", "the disk has 5.0 GB left")


def test_what_is_left_of_a_run_that_was_killed_is_taken_over(watched, now):
    watched.file.write_bytes(bytes(3 * MIB))
    grow(watched, now)
    assert watched.file.stat().st_size == 3 * MIB
    watched.close()


def test_no_ballast_is_made_where_none_is_wanted(tmp_path, now):
    ballast = Ballast(tmp_path / "ballast", 0, 0)
    assert not ballast.is_wanted(100 * GB)
    assert ballast.free() == 0


def test_a_disk_that_refuses_a_slice_is_no_trouble(tmp_path):
    ballast = Ballast(tmp_path / "nowhere" / "ballast", 3 * MIB, 0)
    assert not ballast.grow()


def test_a_ballast_is_bytes_that_no_disk_can_pack(watched, now):
    grow(watched, now)
    content = watched.file.read_bytes()
    assert len(set(content)) == 256 and content[:MIB] != content[MIB : 2 * MIB]
    assert JournalConfig().ballast_bytes > disk_watch_module.FULL_BYTES


def test_room_is_short_below_the_reserve_until_there_is_clearly_more(tmp_path, now):
    disk = Disk(tmp_path, GB - 1)
    room = Room(tmp_path, GB, disk.free)
    with pytest.raises(Full, match=r"the table waits until the disk has .*1.0 GB"):
        room.ask("the table waits")
    assert disk.asked == 1
    disk.others = GB + 1
    assert room.is_short(), "it is asked once a second"
    now.after(1)
    assert room.is_short(), "just above it is not clearly more"
    disk.others = 2 * GB
    now.after(1)
    room.ask("the table waits")
    assert not Room(tmp_path, 0, disk.free).is_short()
