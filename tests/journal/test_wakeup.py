"""A sleeping reader is woken, and nobody else is; no test here waits for time to pass."""

import os
import select
import socket
import subprocess
import sys
import threading

import pytest

from ticktape import clock
from ticktape.journal import wakeup
from ticktape.journal.positions import (
    ASLEEP_INDEXES,
    FILE_BYTES,
    SLEEPERS_INDEX,
    SLOT_COUNT,
    Positions,
)
from ticktape.journal.reader import wait_any
from ticktape.journal.wakeup import FIRST_S, LONG_S, SLEEP_S_MAX, Sleeper


@pytest.fixture
def sleeper():
    made = Sleeper()
    yield made
    made.close()


def is_woken(sleeper):
    """Whether a byte waits for it; a datagram on loopback is there once it is sent."""
    return bool(select.select([sleeper._socket], [], [], 0)[0])


def test_a_block_wakes_who_sleeps(journal, sleeper):
    writer = journal.open()
    sleeper.watch(writer.positions)
    index = sleeper._slots[id(writer.positions)][1]
    journal.append(10)
    assert not is_woken(sleeper), "who is awake is not disturbed"
    writer.positions.set_asleep(index)
    journal.append(10)
    assert is_woken(sleeper)
    assert writer.positions.words[index] == 0
    assert writer.positions.words[SLEEPERS_INDEX] == 0


def test_a_reader_in_another_thread_sleeps_until_a_block_comes(journal, monkeypatch):
    writer = journal.open()
    asleep = threading.Event()
    real = select.select
    waited = []

    def waiting(sockets, *rest):
        asleep.set()
        found = real(sockets, [], [], 240)  # no sleep ends by itself here
        waited.append(bool(found[0]))
        return found

    monkeypatch.setattr(wakeup.select, "select", waiting)
    found = []

    def follow():
        mine = Sleeper()
        mine._poll = None
        with journal.reader(files=False) as reader:
            while len(found) < 20:
                blocks = reader.read()
                found.extend(blocks)
                if not blocks:
                    wait_any([reader], mine, 240)
        mine.close()

    follower = threading.Thread(target=follow)
    follower.start()
    for _ in range(20):
        assert asleep.wait(240)
        asleep.clear()
        journal.append(10)
    follower.join(240)
    assert [block.seq for block in found] == list(range(20))
    assert waited == [True] * len(waited)
    assert writer.positions.words[SLEEPERS_INDEX] in (0, 1)


@pytest.mark.parametrize("has_poll", [True, False])
def test_a_byte_is_heard_once_in_a_step_of_any_length(monkeypatch, has_poll):
    if not has_poll:  # as on Windows
        monkeypatch.delattr(select, "poll", raising=False)
    sleeper = Sleeper()
    for wait_s in (FIRST_S, 0.0, FIRST_S / 2):
        assert not sleeper._hears(wait_s)
        sleeper._socket.sendto(b"\0", ("127.0.0.1", sleeper._port))
        assert sleeper._hears(wait_s)
        assert sleeper._socket.recv(16) == b"\0"
    sleeper.close()


def test_a_block_between_the_last_look_and_the_sleep_prevents_it(journal, sleeper, monkeypatch):
    journal.open()
    monkeypatch.setattr(wakeup.select, "select", lambda *_: pytest.fail("it slept"))
    sleeper._poll = None
    with journal.reader(files=False) as reader:
        reader.read()
        journal.append(10)
        wait_any([reader], sleeper, 30)


@pytest.mark.parametrize("synced", [False, True])
def test_a_sleeper_waits_for_its_own_gate(journal, sleeper, monkeypatch, synced):
    writer = journal.open()
    with journal.reader(files=False, synced=synced) as reader:
        reader.read()
        journal.append(10)
        assert bool(slept_s(reader, sleeper, monkeypatch)) == synced
        writer.sync()
        assert slept_s(reader, sleeper, monkeypatch) == []


def slept_s(reader, sleeper, monkeypatch, timeout_s=30, between=lambda: None):
    """The steps of a sleep in which no byte comes; `between` is called in the first one."""
    steps = []
    sleeper._poll = None

    def select_nothing(*given):
        if not steps:
            between()
        steps.append(given[-1])
        return [], [], []

    monkeypatch.setattr(wakeup.select, "select", select_nothing)
    wait_any([reader], sleeper, timeout_s)
    return steps


def test_no_sleep_is_longer_than_asked(journal, sleeper, monkeypatch):
    journal.open()
    with journal.reader(files=False) as reader:
        reader.read()
        for timeout_s in (0, -5, 0.001, 0.1, 0.2):
            steps = slept_s(reader, sleeper, monkeypatch, timeout_s)
            assert steps and sum(steps) == pytest.approx(max(timeout_s, 0.0))


def test_a_flag_that_has_just_been_set_is_slept_on_in_steps_and_an_old_one_at_once(
    journal, sleeper, monkeypatch
):
    journal.open()
    steps = [FIRST_S, SLEEP_S_MAX - FIRST_S, LONG_S - SLEEP_S_MAX]
    with journal.reader(files=False) as reader:
        reader.read()
        assert slept_s(reader, sleeper, monkeypatch) == pytest.approx(steps)
        assert slept_s(reader, sleeper, monkeypatch) == [LONG_S]
        assert slept_s(reader, sleeper, monkeypatch) == [LONG_S]
        journal.append(10)
        reader.read()
        assert slept_s(reader, sleeper, monkeypatch) == pytest.approx(steps)


def test_a_block_whose_writer_did_not_see_the_flag_is_found_by_the_second_look(
    journal, sleeper, monkeypatch
):
    words = journal.open().positions.words

    def append_unseeing():
        words[ASLEEP_INDEXES[0]] = 0
        journal.append(10)
        words[ASLEEP_INDEXES[0]] = 1

    with journal.reader(files=False) as reader:
        reader.read()
        assert slept_s(reader, sleeper, monkeypatch, between=append_unseeing) == [FIRST_S]
        assert len(reader.read()) == 1


@pytest.mark.parametrize("taken", ["sleepers", "flag", "port"])
def test_a_reader_of_whom_the_writer_does_not_know_sleeps_briefly(
    journal, sleeper, monkeypatch, taken
):
    words = journal.open().positions.words
    index = ASLEEP_INDEXES[0]
    at, value = {"sleepers": (SLEEPERS_INDEX, 0), "flag": (index, 0), "port": (index + 1, 9)}[taken]

    with journal.reader(files=False) as reader:
        reader.read()
        steps = slept_s(reader, sleeper, monkeypatch, between=lambda: words.__setitem__(at, value))
        # What was set anew has come of age in the second step; a slot is taken before a sleep.
        assert steps[:2] == pytest.approx([FIRST_S, SLEEP_S_MAX - FIRST_S])
        assert len(steps) == (2 if taken == "port" else 3)
        slept_s(reader, sleeper, monkeypatch)
        assert slept_s(reader, sleeper, monkeypatch) == [LONG_S]


def test_who_has_no_slot_or_waits_for_a_sync_or_for_a_journal_sleeps_briefly(
    journal, sleeper, monkeypatch
):
    with journal.reader(files=False) as reader:
        assert reader.read() == []
        assert sum(slept_s(reader, sleeper, monkeypatch)) == pytest.approx(SLEEP_S_MAX)
    writer = journal.open()
    with journal.reader(files=False, synced=True) as reader:
        reader.read()
        assert sum(slept_s(reader, sleeper, monkeypatch)) == pytest.approx(LONG_S)
        journal.append(10)
        assert sum(slept_s(reader, sleeper, monkeypatch)) == pytest.approx(SLEEP_S_MAX)
        assert slept_s(reader, sleeper, monkeypatch) == [SLEEP_S_MAX]
        writer.sync()
        reader.read()
        assert slept_s(reader, sleeper, monkeypatch) == [LONG_S]
    monkeypatch.setattr(Positions, "take_slot", lambda *_: None)
    other = Sleeper()
    with journal.reader(files=False) as reader:
        reader.read()
        assert sum(slept_s(reader, other, monkeypatch)) == pytest.approx(SLEEP_S_MAX)
    other.close()


def test_the_writer_of_a_new_epoch_wakes_who_sleeps_since_the_last_one(journal, sleeper):
    """The one before may have died with SLEEPERS reset, and the flags not yet looked at."""
    positions = journal.open().positions
    sleeper.watch(Positions.for_reader(journal.positions_path))
    journal.writer.close()
    ((reader_positions, index),) = sleeper._slots.values()
    reader_positions.set_asleep(index)
    reader_positions.words[SLEEPERS_INDEX] = 0
    assert not is_woken(sleeper)
    journal.open()
    assert is_woken(sleeper)
    assert positions.closed


def test_a_sleep_can_be_ended_from_another_thread(journal, sleeper):
    journal.open()
    with journal.reader(files=False) as reader:
        reader.read()
        for _ in range(3):
            threading.Thread(target=sleeper.rouse).start()
            assert select.select([sleeper._socket], [], [], 240)[0]
            assert wait_any([reader], sleeper, 30) == 0, "it did not sleep"
            assert not is_woken(sleeper)
    sleeper.close()
    sleeper.rouse()


def test_one_sleeper_follows_several_journals(journal, sleeper, tmp_path):
    other = type(journal)(tmp_path / "other")
    writers = [journal.open(), other.open()]
    for writer in writers:
        sleeper.watch(writer.positions)
        sleeper.watch(writer.positions)  # once is enough
    for one in (journal, other):
        index = sleeper._slots[id(one.writer.positions)][1]
        one.writer.positions.set_asleep(index)
        one.append(5)
        assert is_woken(sleeper)
        sleeper._fall_asleep()
        assert not is_woken(sleeper)
    other.check()


def test_more_sleepers_than_slots_look_by_themselves(journal):
    writer = journal.open()
    sleepers = [Sleeper() for _ in range(SLOT_COUNT + 3)]
    for each in sleepers:
        each.watch(writer.positions)
    assert [len(each._slots) for each in sleepers] == [1] * SLOT_COUNT + [0] * 3
    epoch, offset, _ = writer.positions.limit(synced=False)
    sleepers[-1].sleep([(writer.positions, epoch, offset, False)], 0.0)
    for index in ASLEEP_INDEXES:
        writer.positions.set_asleep(index)
    journal.append(10)
    assert [is_woken(each) for each in sleepers] == [True] * SLOT_COUNT + [False] * 3
    sleepers[0].close()
    sleepers[-1].watch(writer.positions)
    assert len(sleepers[-1]._slots) == 1
    for each in sleepers:
        each.close()
        each.close()
    assert all(writer.positions.words[index - 1] == 0 for index in ASLEEP_INDEXES)


@pytest.mark.skipif(os.name == "nt", reason="a slot of a dead process stays there")
def test_the_slot_of_a_dead_process_is_taken_over(journal, sleeper):
    writer = journal.open()
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, pathlib\n"
            "from ticktape.journal.positions import Positions\n"
            "positions = Positions.for_reader(pathlib.Path(sys.argv[1]))\n"
            "for _ in range(3): index = positions.take_slot(9)\n"
            "positions.set_asleep(index)\n",
            str(journal.positions_path),
        ],
        check=False,
    )
    assert done.returncode == 0
    assert writer.positions.words[ASLEEP_INDEXES[2]] == 1
    sleeper.watch(writer.positions)
    assert sleeper._slots[id(writer.positions)][1] == ASLEEP_INDEXES[0]
    journal.append(10)  # wakes port 9, where nobody is: that is no error


def test_two_that_took_the_same_slot_part_again(journal):
    writer = journal.open()
    one, two = Sleeper(), Sleeper()
    one.watch(writer.positions)
    # At the same instant the other saw the slot free, and stored its port last.
    index = sleeper_index = one._slots[id(writer.positions)][1]
    writer.positions.words[index + 1] = two._port
    two._slots[id(writer.positions)] = (writer.positions, sleeper_index)
    one.watch(writer.positions)
    two.watch(writer.positions)
    assert one._slots != two._slots
    for each in (one, two):
        writer.positions.set_asleep(each._slots[id(writer.positions)][1])
    journal.append(10)
    assert is_woken(one)
    assert is_woken(two)
    one.close()
    two.close()


def test_a_reader_that_has_gone_over_to_the_files_is_not_waited_for(journal, sleeper):
    journal.open()
    with journal.reader(files=False) as reader:
        reader.read()
        wait_any([reader], sleeper, 0)
        reader.read_files()
        wait_any([reader], sleeper, 0)
        assert sleeper._slots == {}


def test_a_full_socket_does_not_hold_the_writer(journal, sleeper):
    writer = journal.open()
    sleeper.watch(writer.positions)
    writer.positions.words[ASLEEP_INDEXES[0] + 1] = 0  # a port that cannot be sent to
    for _ in range(100):
        writer.positions.set_asleep(ASLEEP_INDEXES[0])
        journal.append(10)
    writer.positions.words[ASLEEP_INDEXES[0] + 1] = sleeper._port


def test_who_has_the_port_of_a_dead_reader_is_woken(journal, sleeper):
    writer = journal.open()
    sleeper.watch(writer.positions)
    (index,) = (slot[1] for slot in sleeper._slots.values())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.1", 0))
        port = dead.getsockname()[1]
    writer.positions.words[index + 1] = port
    for _ in range(3):  # the first is sent, and its refusal meets one that comes later
        writer.positions.set_asleep(index)
        journal.append(10)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heir:
        heir.bind(("127.0.0.1", port))
        heir.settimeout(240)
        for _ in range(2):
            writer.positions.set_asleep(index)
            journal.append(10)
        assert heir.recv(16) == b"\0"
    writer.positions.words[index + 1] = sleeper._port


# The mapped file.


def test_the_file_of_another_boot_is_made_anew(journal, monkeypatch):
    journal.open()
    journal.append(10)
    journal.writer.close()
    stale = Positions.for_reader(journal.positions_path)
    monkeypatch.setattr("ticktape.journal.positions.boot_id", lambda: b"another boot now")
    assert Positions.for_reader(journal.positions_path) is None
    inode = journal.positions_path.stat().st_ino
    writer = journal.open()
    assert journal.positions_path.stat().st_ino != inode
    statistics = writer.positions.statistics()
    assert (statistics.epoch, statistics.written_seq) == (1, 1)
    assert stale.statistics().epoch == 0, "who has the old one mapped is not killed by it"
    stale.close()


@pytest.mark.parametrize("content", [b"", b"short", bytes(FILE_BYTES), bytes(FILE_BYTES + 1)])
def test_a_file_that_is_none_of_ours_is_made_anew(journal, content):
    journal.positions_path.parent.mkdir(parents=True)
    journal.positions_path.write_bytes(content)
    assert Positions.for_reader(journal.positions_path) is None
    journal.open()
    journal.append(10)
    assert [block.seq for block in journal.read(files=False)[0]] == [0]


def test_of_the_same_boot_it_is_kept_so_that_readers_go_on(journal):
    journal.open()
    inode = journal.positions_path.stat().st_ino
    journal.writer.close()
    journal.open()
    assert journal.positions_path.stat().st_ino == inode


@pytest.mark.skipif(not hasattr(os.stat_result, "st_blocks"), reason="st_blocks is of POSIX")
def test_the_file_has_no_hole_that_could_kill_on_a_full_disk(journal, monkeypatch):
    journal.open()
    status = journal.positions_path.stat()
    assert status.st_blocks * 512 >= FILE_BYTES


def test_the_boot_and_the_epoch_stand_in_its_head(journal):
    journal.open()
    words = journal.writer.positions.words
    assert int(words[2]).to_bytes(8, "little") + int(words[3]).to_bytes(8, "little") == (
        clock.boot_id()
    )
    assert words[4] == 0
    assert words[5] == os.getpid()
