"""One process per role: a successor waits, an orphan knows that it has one."""

import threading
from types import SimpleNamespace

import pytest
from filelock import FileLock

from ticktape.directory import RunDirectory
from ticktape.errors import WriteFailed
from ticktape.recorder.turn import has_successor, is_locked, turn


class FakeParent:
    def __init__(self):
        self.leave = threading.Event()
        self.orphaned = False
        self.told = threading.Event()

    def tell(self, event, **content):
        self.told.set()


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


def test_a_free_place_is_taken_and_given_back(directory):
    with turn(directory, "table", FakeParent()) as ours:
        assert ours
        assert is_locked(directory.live / "table.lock")

    assert not is_locked(directory.live / "table.lock")


def test_roles_do_not_wait_for_one_another(directory):
    with turn(directory, "table", FakeParent()), turn(directory, "last", FakeParent()) as ours:
        assert ours


def test_a_successor_says_that_it_waits_and_goes_on_when_the_place_is_free(directory):
    successor = FakeParent()
    entered = threading.Event()

    def follow():
        with turn(directory, "table", successor) as ours:
            assert ours
            entered.set()

    thread = threading.Thread(target=follow)
    with turn(directory, "table", FakeParent()):
        thread.start()
        assert successor.told.wait(60)
        assert not entered.is_set()
    thread.join(60)

    assert entered.is_set()


def test_a_waiting_orphan_gives_up(directory):
    orphan = FakeParent()
    orphan.orphaned = True
    with turn(directory, "table", FakeParent()), turn(directory, "table", orphan) as ours:
        assert not ours


def test_a_child_that_is_told_to_leave_still_waits_for_its_turn(directory):
    """Its supervisor lives and bounds it; giving up would leave rows behind."""
    leaving = FakeParent()
    leaving.leave.set()
    result = []

    def follow():
        with turn(directory, "table", leaving) as ours:
            result.append(ours)

    thread = threading.Thread(target=follow)
    with turn(directory, "table", FakeParent()):
        thread.start()
        assert leaving.told.wait(60)
    thread.join(60)

    assert result == [True]


def test_only_an_orphan_has_a_successor(directory):
    mine = SimpleNamespace(orphaned=False)
    lock = FileLock(directory.lock)
    with lock:
        assert not has_successor(directory, mine)
        mine.orphaned = True
        assert has_successor(directory, mine)
    assert not has_successor(directory, mine)


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "live").write_text("a file where a folder should be")

    with pytest.raises(WriteFailed, match=r"table.lock: the disk refused"):
        turn(RunDirectory(tmp_path), "table", FakeParent()).__enter__()
