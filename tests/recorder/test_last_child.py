"""The last-value child: its pace, and that what a damaged journal took away ends order books."""

import threading

import pytest

from ticktape.directory import RunDirectory
from ticktape.journal import Writer
from ticktape.lastvalue import LastValues
from ticktape.recorder.last_child import LastChild
from ticktape.recorder.task import FeedPlace, LastTask

WHOLE = b'[{"T":"o","S":"BTC/USD","t":"2026-11-20T15:00:00Z","b":[],"a":[{"p":11,"s":2}],"r":true}]'
CHANGE = b'[{"T":"o","S":"BTC/USD","t":"2026-11-20T15:00:01Z","b":[{"p":%d,"s":1}],"a":[]}]'


class FakeParent:
    def __init__(self):
        self.leave = threading.Event()
        self.leave.set()
        self.orphaned = False

    def listen(self):
        pass

    def tell(self, event, **content):
        pass


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


def write(directory, frames, first_ns=1):
    with Writer(directory.journal("crypto"), directory.positions("crypto")) as writer:
        for recv_ns, frame in enumerate(frames, first_ns):
            writer.append([frame], recv_ns, recv_ns)


def follow(directory):
    """Run the child to the end of the journal; the book that its readers see then."""
    task = LastTask("run", str(directory.root), [FeedPlace("crypto", "alpaca")])
    child = LastChild(task, FakeParent())
    try:
        child.run()
    finally:
        child.close()
    with LastValues(directory.last) as last:
        return last["crypto", "BTC/USD"].order_book


def damage(directory, found):
    """Flip a bit behind `found` in the journal."""
    for path in sorted(directory.journal("crypto").iterdir()):
        content = bytearray(path.read_bytes())
        if found in content:
            content[content.index(found)] ^= 1
            path.write_bytes(content)
            return
    raise AssertionError(found)


def test_a_book_of_a_whole_journal_is_valid(directory):
    write(directory, [WHOLE, CHANGE % 8, CHANGE % 9])
    assert follow(directory).bids() == ((9.0, 1.0), (8.0, 1.0))


def test_a_damaged_block_ends_the_book_until_the_next_whole_one(directory):
    write(directory, [WHOLE, CHANGE % 8, CHANGE % 9])
    damage(directory, b'"p":8')
    book = follow(directory)
    assert (book.is_valid, book.bids()) == (False, ())
    assert (book.invalid_since_ns, book.recv_ns) == (1, 3)


def test_a_whole_book_behind_the_damage_is_valid(directory):
    write(directory, [WHOLE, CHANGE % 8, WHOLE, CHANGE % 9])
    damage(directory, b'"p":8')
    assert follow(directory).bids() == ((9.0, 1.0),)


def test_what_was_damaged_while_no_child_ran_ends_the_book_at_its_restart(directory):
    write(directory, [WHOLE])
    assert follow(directory).is_valid
    write(directory, [CHANGE % 8, CHANGE % 9], first_ns=2)
    damage(directory, b'"p":8')
    book = follow(directory)
    assert (book.is_valid, book.invalid_since_ns, book.recv_ns) == (False, 3, 3)


def test_a_restart_alone_ends_no_book(directory):
    write(directory, [WHOLE])
    assert follow(directory).is_valid
    write(directory, [CHANGE % 8, CHANGE % 9], first_ns=2)
    assert follow(directory).bids() == ((9.0, 1.0), (8.0, 1.0))
    assert follow(directory).is_valid


@pytest.fixture
def child(directory):
    made = LastChild(LastTask("run", str(directory.root), []), FakeParent())
    yield made
    made.close()


def test_a_steady_stream_is_taken_once_a_millisecond_and_the_first_after_a_pause_at_once(
    child, monkeypatch
):
    now_ns = 10**12
    rests = []

    def sleep(seconds):
        nonlocal now_ns
        rests.append(round(seconds * 1e6))
        now_ns += round(seconds * 1e9)

    monkeypatch.setattr("ticktape.clock.monotonic_ns", lambda: now_ns)
    monkeypatch.setattr("ticktape.clock.sleep_s", sleep)

    def take(work_us, taken_bytes=5_000):
        nonlocal now_ns
        began_ns = now_ns
        now_ns += work_us * 1_000
        child._rest(began_ns, taken_bytes)

    take(100)
    assert rests == []
    for _ in range(3):
        take(100)
    assert rests == [900, 900, 900]
    take(1_500)  # a burst takes longer: no rest
    assert len(rests) == 3
    now_ns += 5_000_000
    take(100)
    assert len(rests) == 3
    take(100)
    take(100, 20_000)  # so much in a millisecond: the next come four at once
    take(100, 80_000)
    assert rests[3:] == [900, 3_900, 3_900]
    take(100, 20_000)
    assert rests[6:] == [900], "as much in four is a stream as before"
