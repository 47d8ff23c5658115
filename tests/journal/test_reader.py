"""How a reader follows a writer, and where it goes on."""

import os
import random

import pytest

from ticktape.journal import reader as reader_module
from ticktape.journal import segments as segments_module
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.records import Position


def seqs(blocks):
    return [block.seq for block in blocks]


def read_all(reader):
    found = []
    while blocks := reader.read():
        found += blocks
    return found


def put(path, content):
    """Overwrite a mapped file in place."""
    with open(path, "r+b") as target:
        target.write(content)


def test_a_reader_may_be_there_before_the_journal(journal):
    with journal.reader(files=False) as reader:
        assert reader.read() == []
        assert reader.seen() is None
        journal.open()
        assert reader.read() == []
        journal.append(10)
        assert seqs(reader.read()) == [0]


def test_a_reader_follows_each_block_across_rolls(journal):
    journal.open(segment_bytes=300)
    with journal.reader(files=False) as reader:
        for number in range(20):
            journal.append(40)
            assert seqs(reader.read()) == [number]
            assert reader.read() == []
            assert reader.position.offset <= journal.writer.offset
    assert len(journal.segments()) > 5


def test_a_reader_follows_across_epochs(journal):
    with journal.reader(files=False) as reader:
        for epoch in range(3):
            with journal.open():
                assert reader.read() == []
                journal.append(40)
                [block] = reader.read()
                assert (block.epoch, block.seq) == (epoch, epoch)
                assert reader.position == block.end
                assert reader.read() == []


def test_a_reader_of_files_reads_all_epochs_at_once(journal):
    for _ in range(3):
        with journal.open(segment_bytes=200):
            journal.append(40)
            journal.append(40)
    assert seqs(journal.read()[0]) == [0, 1, 2, 3, 4, 5]


def test_a_live_reader_reads_no_further_than_written(journal):
    writer = journal.open()
    journal.append(40)
    block = journal.read()[0][0]
    # What a write in progress looks like: some bytes are there, and not published.
    path = journal.segments()[0]
    whole = path.read_bytes()
    with journal.reader(files=False) as reader:
        reader.read()
        for torn in (10, 64, 100):
            path.write_bytes(whole + whole[block.offset :][:torn])
            assert reader.read() == []
        assert reader.damage == []
        path.write_bytes(whole)
        journal.append(40)
        assert seqs(reader.read()) == [1]
    assert writer.positions.statistics().written == writer.offset


def flip(path, at):
    """Turn one byte of a file over."""
    content = path.read_bytes()
    put(path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_who_reads_on_in_a_live_segment_reads_what_who_begins_anew_does(journal, seed, synced):
    """With blocks that are damaged, rolls, new epochs and chunks of any size."""
    chance = random.Random(seed)
    live, anew = (journal.reader(files=False, synced=synced) for _ in range(2))
    begun, looked = [], []
    read_anew = live._read_anew
    live._read_anew = lambda max_bytes: begun.append(max_bytes) or read_anew(max_bytes)

    def look(max_bytes):
        anew._live = None
        assert live.has_news() == anew.has_news()
        looked.append(max_bytes)
        found = live.read(max_bytes)
        assert found == anew.read(max_bytes)
        assert live.position == anew.position
        assert live.damage == anew.damage
        assert live.seen()[1:] == anew.seen()[1:]
        assert live.is_at_limit() == anew.is_at_limit()
        return found

    with live, anew:
        for _ in range(3):
            writer = journal.open(segment_bytes=4000)
            for _ in range(60):
                for _ in range(chance.choice([1, 1, 1, 3])):
                    start = writer.offset
                    journal.append(chance.choice([0, 30, 300]))
                if chance.random() < 0.5:
                    writer.sync()
                path, base = journal.segments()[-1], list_segments(journal.directory)[-1].base
                at = start - base + chance.choice([0, 30, 60, 64])
                is_damaged = chance.random() < 0.2 and base <= start
                if is_damaged:
                    flip(path, at)
                look(chance.choice([100, 1 << 20, 1 << 20]))
                if is_damaged:
                    while look(1 << 20):
                        pass
                    flip(path, at)  # the journal itself is to be whole at the end
            writer.close()
    assert len(begun) < len(looked) / 2
    assert live.damage


def test_a_new_epoch_is_not_read_before_its_writer_is_known(journal):
    """Its first segment is there before the positions are: its bytes may be on their way."""
    journal.open()
    journal.append(40)
    journal.writer.close()
    kept = journal.positions_path.read_bytes()
    journal.open()
    journal.append(40)
    new = journal.positions_path.read_bytes()
    put(journal.positions_path, kept)
    whole = journal.segments()[1].read_bytes()
    for size in (200, len(whole)):
        journal.segments()[1].write_bytes(whole[:size])
        with journal.reader(files=False) as reader:
            assert seqs(reader.read()) == [0]
            assert reader.read() == []
        with journal.reader(Position(1, 0), files=False) as reader:
            assert reader.read() == []
            assert reader.damage == []
    put(journal.positions_path, new)


@pytest.mark.parametrize("synced", [False, True])
def test_a_saved_position_gives_each_block_once(journal, tmp_path, synced):
    file = tmp_path / "readers" / "table.pos"
    found = []
    for _ in range(3):
        with journal.open(segment_bytes=300) as writer:
            for _ in range(4):
                for _ in range(3):
                    journal.append(30)
                if synced:
                    writer.sync()
                start = load_positions(file)[0].get("x", Position(0, 0))
                with journal.reader(start, files=False, synced=synced) as reader:
                    while blocks := reader.read(200):
                        found += seqs(blocks)
                        save_positions(file, {"x": reader.position})
                    assert reader.damage == []
    assert found == list(range(36))


def test_every_position_that_a_block_gives_is_a_place_to_begin(journal):
    for _ in range(2):
        with journal.open(segment_bytes=250):
            for _ in range(5):
                journal.append(60)
    blocks, _ = journal.read()
    for index, block in enumerate(blocks):
        assert seqs(journal.read(block.position)[0]) == seqs(blocks[index:])
        later, reader = journal.read(block.end)
        assert seqs(later) == seqs(blocks[index + 1 :])
        assert reader.damage == []


def test_a_start_at_a_segment_begins_with_its_first_block(journal):
    journal.open(segment_bytes=250)
    for _ in range(5):
        journal.append(60)
    for segment in list_segments(journal.directory)[:-1]:
        assert journal.read(segment.position)[0][0].seq == segment.header().first_seq


def test_beyond_a_recovered_end_a_reader_moves_on_and_lists_what_is_lost(journal):
    journal.open()
    for _ in range(3):
        journal.append(100)
    blocks = journal.read()[0]
    journal.kill()
    # Power was lost: of what this reader had read, the last block and a half are gone.
    path = journal.segments()[0]
    size = blocks[1].offset + 30
    path.write_bytes(path.read_bytes()[:size])
    early, late = (journal.reader(blocks[-1].end, files=False) for _ in range(2))
    with early, late:
        assert early.read() == []  # before there is a new epoch to go to
        journal.expected = journal.expected[:1]
        journal.open()
        assert journal.append(7) == 1
        for reader in (early, late):
            assert [(block.epoch, block.seq) for block in reader.read()] == [(1, 1)]
            [damage] = reader.damage
            assert (damage.epoch, damage.offset) == (0, size)
            assert damage.bytes == blocks[-1].end_offset - size


def test_read_until_gives_blocks_that_begin_before_its_end_and_nothing_more(journal):
    for _ in range(2):
        with journal.open(segment_bytes=250):
            for _ in range(5):
                journal.append(60)
    blocks, _ = journal.read()
    for start in range(len(blocks)):
        for stop in range(start, len(blocks)):
            with journal.reader(blocks[start].position) as reader:
                found = []
                while some := reader.read_until(blocks[stop].position):
                    found += some
                assert seqs(found) == seqs(blocks[start:stop])
                assert reader.read_until(blocks[stop].position) == []
                assert seqs(reader.read())[:1] == [stop]
                assert reader.damage == []


def test_read_until_reads_no_more_bytes_than_it_must(journal, monkeypatch):
    """A replay asks for each input by itself: a chunk for each of them would take hours."""
    journal.open()
    for _ in range(50):
        journal.append(1000)
    blocks, _ = journal.read()
    asked = []
    real = segments_module.read_at
    monkeypatch.setattr(
        segments_module,
        "read_at",
        # What an opening looks at is bounded by itself.
        lambda fd, size, at: (asked.append(size) if at else None) or real(fd, size, at),
    )
    with journal.reader(blocks[10].position) as reader:
        assert seqs(reader.read_until(blocks[12].position)) == [10, 11]
    assert asked == [blocks[12].offset - blocks[10].offset]


def test_seek_goes_back_and_forth(journal):
    journal.open(segment_bytes=250)
    for _ in range(6):
        journal.append(60)
    blocks, _ = journal.read()
    with journal.reader() as reader:
        for index in (4, 1, 5, 0, 2):
            reader.seek(blocks[index].position)
            assert reader.read()[0] == blocks[index]
        for index in (5, 3, 0):
            reader.seek(blocks[index].position)
            assert read_all(reader) == blocks[index:]
        assert reader.damage == []


@pytest.mark.parametrize("max_bytes", [1, 63, 64, 100, 1000, 1 << 20])
def test_any_size_of_chunk_gives_the_same_blocks(journal, max_bytes):
    journal.open(segment_bytes=2000)
    for size in (0, 1, 50, 700, 5000, 3):
        journal.append(size, size)
    with journal.reader() as reader:
        found = []
        while blocks := reader.read(max_bytes):
            found += blocks
    assert found == journal.read()[0]
    assert reader.damage == []


def test_a_block_larger_than_a_chunk_is_read_whole(journal):
    journal.open()
    journal.append(10)
    journal.append(3_500_000)
    journal.append(10)
    with journal.reader(files=False) as reader:
        assert seqs(reader.read() + reader.read() + reader.read()) == [0, 1, 2]


def test_read_files_finds_what_a_dead_writer_had_not_published(journal):
    journal.open()
    journal.append(10)
    with journal.reader(files=False, synced=True) as reader:
        assert reader.read() == []
        journal.kill()
        assert reader.read() == []
        reader.read_files()
        assert seqs(reader.read()) == [0]
        assert reader.seen() is None


def test_without_a_known_writer_a_torn_end_is_waited_for(journal):
    """After a reboot the positions are of another boot, and a new writer may be on its way."""
    journal.open()
    journal.append(10)
    journal.append(10)
    journal.kill()
    journal.positions_path.unlink()
    path = journal.segments()[0]
    path.write_bytes(path.read_bytes()[:-3])
    with journal.reader(files=False) as reader:
        assert seqs(reader.read()) == [0]
        assert reader.read() == []
        assert reader.damage == []
        assert journal.read(files=False, synced=True)[0] == []
        journal.expected = journal.expected[:1]
        journal.open()
        journal.append(10)
        assert seqs(reader.read()) == [2]
        assert [damage.entries for damage in reader.damage] == [1]


def test_without_a_known_writer_a_torn_end_of_an_earlier_epoch_is_passed(journal):
    journal.open()
    journal.append(10)
    journal.append(10)
    journal.kill()
    path = journal.segments()[0]
    path.write_bytes(path.read_bytes()[:-3])
    journal.expected = journal.expected[:1]
    journal.open()
    journal.append(10)
    journal.writer.close()
    journal.positions_path.unlink()
    with journal.reader(files=False) as reader:
        assert seqs(reader.read() + reader.read()) == [0, 2]
        assert [damage.entries for damage in reader.damage] == [1]


def test_a_torn_block_never_makes_a_reader_ask_for_more_than_there_is(journal, monkeypatch):
    """Its header may be true and say 200 MB of which a few bytes came."""
    journal.open()
    journal.append(3_000_000)
    journal.kill()
    path = journal.segments()[0]
    path.write_bytes(path.read_bytes()[:500])
    journal.lost = {0}
    asked = []
    real = segments_module.read_at
    monkeypatch.setattr(
        segments_module,
        "read_at",
        # What an opening looks at is bounded by itself.
        lambda fd, size, at: (asked.append(size) if at else None) or real(fd, size, at),
    )
    with journal.reader() as reader:
        assert reader.read(100) == []
    assert max(asked) <= 500


def test_behind_bytes_counts_to_the_gate(journal):
    writer = journal.open()
    with journal.reader(files=False) as reader:
        journal.append(100)
        reader.read()
        assert reader.behind_bytes() == 0
        start = writer.offset
        journal.append(100)
        journal.append(100)
        assert reader.behind_bytes() == writer.offset - start
        writer.close()
        writer = journal.open()
        journal.append(100)
        assert reader.behind_bytes() == writer.offset
    with journal.reader() as files:
        assert files.behind_bytes() == 0


def test_a_segment_that_is_gone_from_the_middle_is_listed_with_its_entries(journal):
    journal.open(segment_bytes=250)
    for _ in range(5):
        journal.append(60, 60)
    gone = journal.segments()[2]
    size = gone.stat().st_size
    gone.unlink()
    journal.lost = {4, 5}
    blocks, reader = journal.read()
    assert seqs(blocks) == [0, 2, 6, 8]
    [damage] = reader.damage
    assert (damage.bytes, damage.entries, damage.torn) == (size, 2, False)


def test_an_epoch_that_is_gone_from_the_middle_is_listed_with_its_entries(journal):
    for _ in range(3):
        with journal.open():
            journal.append(60, 60)
    journal.segments()[1].unlink()
    journal.lost = {2, 3}
    blocks, reader = journal.read()
    assert seqs(blocks) == [0, 4]
    [damage] = reader.damage
    assert (damage.epoch, damage.bytes, damage.entries) == (2, 0, 2)
    assert "missing part" in str(damage)


def test_a_segment_that_vanishes_while_it_is_opened_is_looked_for_again(journal, monkeypatch):
    """A refusing disk's half-made segment is removed; a reader may have seen its name."""
    journal.open(segment_bytes=200)
    journal.append(100)
    journal.append(10)
    real = reader_module.read_opening
    missing = [journal.segments()[1]]

    def read_opening(segment):
        if segment.path in missing:
            missing.clear()
            raise FileNotFoundError(segment.path)
        return real(segment)

    monkeypatch.setattr(reader_module, "read_opening", read_opening)
    with journal.reader() as reader:
        assert seqs(reader.read()) == [0]
        assert reader.read() == []
        assert seqs(reader.read()) == [1]
        assert reader.damage == []


def test_a_closed_reader_has_given_its_files_back_and_may_be_closed_again(journal):
    journal.open()
    journal.append(10)
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    for _ in range(3):
        reader = Reader(journal.directory, journal.positions_path)
        reader.read()
        reader.close()
        reader.close()
    if before:
        assert len(set(os.listdir("/proc/self/fd"))) == len(before)


def test_an_unreadable_position_file_begins_at_the_start(tmp_path):
    file = tmp_path / "a" / "b.pos"
    assert load_positions(file) == ({}, {})
    save_positions(file, {"x": Position(3, 500)}, {"rows": 7})
    assert load_positions(file) == ({"x": Position(3, 500)}, {"rows": 7})
    whole = file.read_bytes()
    for size in range(len(whole) - 2):
        file.write_bytes(whole[:size])
        assert load_positions(file) == ({}, {})
    for content in (b"[]", b'{"positions": []}', b'{"positions": {"x": [1]}, "counts": {}}'):
        file.write_bytes(content)
        assert load_positions(file) == ({}, {})


def test_bytes_that_a_disk_lost_are_never_taken_for_read(journal):
    """Published, and then no longer there: one whole block is left of what a live reader wants."""
    writer = journal.open()
    with journal.reader(files=False) as reader:
        journal.append(30)
        assert seqs(reader.read()) == [0]
        journal.append(30)
        left = writer.offset
        journal.append(30)
        path = journal.segments()[0]
        whole = path.read_bytes()
        os.truncate(path, left)
        assert seqs(reader.read()) == [1]
        assert reader.position.offset == left
        assert not reader.is_at_limit()
        path.write_bytes(whole)
        assert seqs(reader.read()) == [2]
        assert reader.damage == []
