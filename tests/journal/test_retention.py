"""What goes is the oldest, is written down before it goes, and no reader that pins it falls off."""

import json
import random
from hashlib import sha256
from itertools import takewhile

import pytest

from ticktape.journal import retention as retention_module
from ticktape.journal.reader import Reader
from ticktape.journal.retention import DELETED, Pin, Retention, entries_until, read_deleted
from ticktape.journal.sealed import SealedFile
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import find_next_epoch, list_segments
from ticktape.records import Position

END = Position(1 << 40, 0)


def seal(journal):
    sealer = Sealer(journal.directory, None)
    while sealer.seal_next() is not None:
        pass


@pytest.fixture(params=["plain", "sealed"])
def old(journal, request):
    """Two epochs of several segments of two blocks each, plain or sealed."""
    for _ in range(2):
        journal.open("os", segment_bytes=600)
        for _ in range(8):
            journal.append(100, 200)
        journal.writer.close()
    if request.param == "sealed":
        seal(journal)
    journal.blocks = journal.read()[0]
    yield journal
    journal.expected = journal.entries()[0]


def segment_ends(journal):
    return [Position(s.epoch, s.base + s.size_bytes()) for s in list_segments(journal.directory)]


def test_for_every_position_of_a_pin_only_what_it_has_read_may_go(old):
    segments = list_segments(old.directory)
    ends = segment_ends(old)
    retention = Retention(old.directory)
    for block in old.blocks:
        for position in (block.position, block.end):
            found = [each.segment for each in retention.candidates([Pin(END), Pin(position)])]
            expected = [s for s, end in zip(segments[:-1], ends, strict=False) if end <= position]
            assert found == expected
            # And what the reader has yet to read is all there.
            kept = [s for s in segments if s not in found]
            assert all(
                any(s.epoch == b.epoch and s.base <= b.offset for s in kept)
                for b in old.blocks
                if b.position >= position
            )
    assert retention.candidates([Pin(Position(0, 0))]) == []
    assert [each.segment for each in retention.candidates([])] == segments[:-1]


def test_nothing_from_a_pinned_moment_on_may_go(old):
    retention = Retention(old.directory)
    found = retention.candidates([])
    for candidate in found:
        pinned = retention.candidates([Pin(END, candidate.last_ns)])
        assert pinned == list(takewhile(lambda c, at=candidate: c.last_ns < at.last_ns, found))


def test_what_goes_is_written_down_with_its_places_its_digest_and_its_reason(old):
    first = list_segments(old.directory)[0]
    with first.open() as file:
        content = file.read_at(1 << 30, 0)
    link = ""
    if first.is_sealed:
        with SealedFile(first.path) as sealed:
            link = sealed.head.link(first.name).hex()
    done = Retention(old.directory).delete(first, "older than keep_days = 1", 77)
    mine = [b for b in old.blocks if b.epoch == 0 and b.end_offset <= len(content)]
    assert read_deleted(old.directory) == [done]
    assert done.segment == first.name and done.bytes == len(content)
    assert done.sha256 == sha256(content).hexdigest() and done.link == link
    assert (done.first_seq, done.next_seq) == (mine[0].seq, mine[-1].next_seq)
    assert done.last_ns >= mine[-1].recv_ns
    assert (done.deleted_ns, done.why) == (77, "older than keep_days = 1")
    assert not first.plain_path.exists() and not first.sealed_path.exists()
    assert not list(old.directory.glob(first.name.replace(".seg", "*")))
    old.blocks = [b for b in old.blocks if b not in mine]
    assert old.read()[0] == old.blocks


@pytest.mark.parametrize("at", ["retention.written", "retention.removed"])
def test_a_crash_leaves_the_segment_or_its_line_and_never_a_mystery(old, monkeypatch, at):
    class Died(Exception):
        pass

    def pass_by(name):
        if name == at:
            raise Died

    before = list_segments(old.directory)
    with monkeypatch.context() as patched:
        patched.setattr(retention_module.failpoints, "pass_by", pass_by)
        with pytest.raises(Died):
            Retention(old.directory).delete(before[0], "a test", 1)
    there, gone = list_segments(old.directory), read_deleted(old.directory)
    assert len(there) + len(gone) == len(before)
    assert [(each.epoch, each.base) for each in gone] == [(0, 0)] * len(gone)
    if there[0] == before[0]:
        Retention(old.directory).delete(before[0], "again", 2)
    assert [each.segment for each in read_deleted(old.directory)] == [before[0].name]


def test_a_torn_line_costs_itself_alone(old):
    first, second, *_ = list_segments(old.directory)
    Retention(old.directory).delete(first, "a", 1)
    path = old.directory / DELETED
    path.write_bytes(path.read_bytes() + b'{"segment":"00')
    Retention(old.directory).delete(second, "b", 2)
    assert [each.why for each in read_deleted(old.directory)] == ["a", "b"]
    assert json.loads(path.read_bytes().splitlines()[0])["why"] == "a"


def test_a_reader_that_falls_off_goes_on_behind_and_lists_the_loss(old):
    rng = random.Random(1)
    segments = list_segments(old.directory)
    retention = Retention(old.directory)
    for each in segments[:3]:
        retention.delete(each, "a test", 1)
    rest = [b for b in old.blocks if b.position >= segments[3].position]
    lost = [b for b in old.blocks if b.position < segments[3].position]
    for block in rng.sample(lost, 3):
        with Reader(old.directory, None, block.position) as reader:
            found = []
            while blocks := reader.read():
                found += blocks
            assert found == rest
            (damage,) = reader.damage
            assert (damage.epoch, damage.offset) == block.position
            assert str(damage).startswith("damaged block" if damage.bytes else "missing part")
    with Reader(old.directory, None) as reader:
        while reader.read():
            pass
        assert reader.damage == [], "who reads what is there has lost nothing"


def test_a_reader_that_stands_in_a_deleted_segment_reads_it_to_its_end(old):
    segments = list_segments(old.directory)
    with Reader(old.directory, None) as reader:
        found = reader.read(1)
        for each in segments[:3]:
            Retention(old.directory).delete(each, "a test", 1)
        while blocks := reader.read():
            found += blocks
    whole = [b for b in old.blocks if b.position < segments[1].position]
    rest = [b for b in old.blocks if b.position >= segments[3].position]
    assert found == [*whole, *rest]
    assert sum(d.entries or 0 for d in reader.damage) == rest[0].seq - whole[-1].next_seq


def test_the_chain_goes_on_over_what_was_deleted(journal):
    journal.open("os", segment_bytes=600)
    for _ in range(8):
        journal.append(100, 200)
    journal.writer.close()
    sealer = Sealer(journal.directory, None)
    sealer.seal_next()
    first, second, *_ = list_segments(journal.directory)
    done = Retention(journal.directory).delete(first, "a test", 1)
    sealer.seal_next()
    with SealedFile(second.sealed_path) as sealed:
        assert sealed.head.previous.hex() == done.link
    assert find_next_epoch(journal.directory) == 1
    journal.expected = journal.entries()[0]


def test_numbers_of_deleted_entries_are_passed_over_in_a_row():
    class Part:
        def __init__(self, first_seq, next_seq):
            self.first_seq, self.next_seq = first_seq, next_seq

    parts = [Part(0, 10), Part(10, 10), Part(10, 25), Part(30, 40)]
    assert [entries_until(parts, seq) for seq in (0, 9, 10, 24, 25, 29, 30, 99)] == [
        25, 25, 25, 25, 25, 29, 40, 99,
    ]  # fmt: skip
