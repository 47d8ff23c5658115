"""What a writer promises when its disk refuses to write (DESIGN §2.6)."""

import errno

import msgspec
import pytest

from ticktape.errors import Full, WriteFailed
from ticktape.journal import format as format_module
from ticktape.journal.format import BLOCK_HEADER_BYTES, WORD_BYTES
from ticktape.journal.positions import JournalState
from ticktape.records import EntryKind

ENOSPC, EIO = errno.ENOSPC, errno.EIO


def refuse(first, count=1, how=ENOSPC):
    """A fault of the calls `first` to `first + count - 1`."""

    def fault(number, *_):
        if first <= number < first + count:
            return how if how is None or how < 0 else OSError(how, "refused by the test")
        return None

    return fault


def take(first, count_bytes):
    """A fault that takes only a part at call `first`."""
    return lambda number, *_: count_bytes if number == first else None


def told(journal):
    """What each entry says that tells of dropped ones, with its number."""
    own = journal.entries()[1]
    return [(e[0], msgspec.json.decode(e[2])) for e in own if e[1] == EntryKind.DROPPED]


def dropped_entries(journal):
    """The counts alone."""
    return [{"frames": said["frames"], "bytes": said["bytes"]} for _, said in told(journal)]


@pytest.mark.parametrize("piece_bytes", [0, 16_384])
@pytest.mark.parametrize("how", [ENOSPC, EIO, "short", "nothing"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("sync", ["group", "each", "os"])
def test_a_refused_write_anywhere_loses_and_doubles_nothing(
    journal, monkeypatch, how, count, sync, piece_bytes
):
    """Each of the first 14 writes in turn, blocks and headers, is refused once or three times."""
    monkeypatch.setattr(format_module, "_PIECE_BYTES", piece_bytes)
    blocks = 7
    for first in range(2, 15):
        before = journal.disk.counts.get("write", 0)
        if how in ("short", "nothing"):
            taken = 37 if how == "short" else 0
            journal.disk.faults["write"] = lambda number, size, f=before + first, t=taken: (
                min(t, size - 1) if f <= number < f + count else None
            )
        else:
            journal.disk.faults["write"] = refuse(before + first, count, how)
        # A header, and then a roll after every second block.
        writer = journal.open(sync, segment_bytes=300)
        for _ in range(blocks):
            journal.append(60, 20)
            journal.clock.advance(0.2)
            writer.tick()
        journal.disk.faults.clear()
        journal.clock.advance()
        journal.append(60)
        assert writer.state() is JournalState.OK
        assert writer.next_seq == len(journal.expected)
        assert writer.positions.statistics().held_bytes == 0
        assert writer.close() == 0
    kinds = {type(trouble) for trouble in journal.troubles}
    assert kinds == {WriteFailed if how == EIO else Full}
    assert dropped_entries(journal) == []


def test_refused_entries_are_held_and_written_in_order_on_a_new_segment(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["write"] = lambda *_: OSError(ENOSPC, "full")
    assert [journal.append(20), journal.append(30, 30)] == [1, 2]
    assert writer.state() is JournalState.HOLDING
    statistics = writer.positions.statistics()
    assert (statistics.accepted_seq, statistics.written_seq) == (4, 1)
    assert statistics.held_bytes == 2 * BLOCK_HEADER_BYTES + 3 * WORD_BYTES + 80
    assert len(journal.entries()[0]) == 1

    journal.disk.faults.clear()
    writer.tick()
    assert writer.state() is JournalState.HOLDING, "the disk is not asked at every block"
    journal.clock.advance()
    writer.tick()
    assert writer.state() is JournalState.OK
    assert journal.entries()[0] == journal.expected
    assert len(journal.segments()) == 2
    statistics = writer.positions.statistics()
    assert (statistics.accepted_seq, statistics.written_seq, statistics.held_bytes) == (4, 4, 0)


def test_a_retry_that_is_refused_again_keeps_the_rest(journal):
    writer = journal.open(sync="os")
    writes = journal.disk.counts["write"]
    # The block; then the retry's header passes, its first block too, its second is refused.
    journal.disk.faults["write"] = lambda number, *_: (
        OSError(EIO, "refused") if number - writes in (1, 4) else None
    )
    for _ in range(4):
        journal.append(10)
    journal.clock.advance()
    journal.append(10)
    assert writer.state() is JournalState.HOLDING
    assert [entry[0] for entry in journal.entries()[0]] == [0]
    journal.clock.advance()
    journal.append(10)
    assert [entry[0] for entry in journal.entries()[0]] == [0, 1, 2, 3, 4, 5]


def test_synced_never_counts_what_is_only_held(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["write"] = lambda *_: OSError(ENOSPC, "full")
    journal.append(10)
    writer.sync()
    assert writer.positions.statistics().synced_seq == 1
    journal.disk.faults.clear()


def test_beyond_the_bound_entries_are_dropped_and_counted_exactly(journal):
    writer = journal.open(memory_bytes=1000)
    journal.append(10)
    journal.disk.faults["write"] = lambda *_: OSError(ENOSPC, "full")
    assert journal.append(400) == 1  # met the refusal
    assert journal.append(300, 60) == 2  # 400 + 360 + 2 headers and 3 words = 900
    assert writer.positions.statistics().held_bytes == 900
    assert journal.append(40) == -1  # would be 1008
    assert journal.append(20, 13) == -1
    assert journal.append(32) == -1  # would be just 1000, but nothing tells yet of the loss before
    assert writer.state() is JournalState.DROPPING
    assert (writer.dropped_frames, writer.dropped_bytes) == (4, 105)
    statistics = writer.positions.statistics()
    assert (statistics.dropped_frames, statistics.dropped_bytes) == (4, 105)
    assert statistics.state is JournalState.DROPPING

    journal.disk.faults.clear()
    journal.clock.advance()
    writer.tick()
    assert writer.state() is JournalState.OK
    assert dropped_entries(journal) == [{"frames": 4, "bytes": 105}]
    seqs = [entry[0] for part in journal.entries() for entry in part]
    assert sorted(seqs) == [0, 1, 2, 3, 4]


def test_what_is_held_on_both_sides_of_a_loss_has_the_entry_that_tells_of_it_between(journal):
    """A disk that takes a part makes room again, long before all that is held is written."""
    writer = hold_both_sides_of_a_loss(journal)
    assert journal.append(2500) == -1
    assert writer.state() is JournalState.DROPPING
    journal.disk.faults.clear()
    journal.clock.advance()
    writer.tick()
    assert [(seq, said["frames"]) for seq, said in told(journal)] == [(3, 5), (5, 1)]
    assert (writer.untold_frames, writer.dropped_frames) == (0, 6)


def test_every_entry_that_was_to_tell_of_a_loss_is_untold_when_it_is_lost_itself(journal):
    writer = hold_both_sides_of_a_loss(journal)
    assert writer.close() == 3  # a block, the entry that tells, and a block
    assert dropped_entries(journal) == []
    assert writer.untold_frames == writer.dropped_frames == 5 + 3
    journal.lost = {2, 4}


def hold_both_sides_of_a_loss(journal):
    """A writer that holds a block, the entry that tells of five dropped ones, and a block."""
    writer = journal.open(memory_bytes=3000)
    journal.disk.faults["write"] = lambda *_: OSError(ENOSPC, "full")
    assert [journal.append(900) for _ in range(3)] == [0, 1, 2]
    assert [journal.append(500), journal.append(7), journal.append(7, 7)] == [-1, -1, -1]
    for _ in range(2):
        writes = journal.disk.counts["write"]
        # Of the retry, the new segment's header and one block pass.
        journal.disk.faults["write"] = lambda number, _, last=writes + 2: (
            OSError(ENOSPC, "full") if number > last else None
        )
        journal.clock.advance()
        if writer.dropped_frames == 4:
            assert journal.append(7) == -1, "too little is written to begin again"
    assert journal.append(9) == 4, "3 is the entry that tells"
    assert writer.state() is JournalState.HOLDING
    assert [entry[0] for entry in journal.entries()[0]] == [0, 1]
    return writer


def test_a_loss_is_told_with_when_it_was(journal):
    writer = journal.open(memory_bytes=200)
    journal.disk.faults["write"] = lambda *_: OSError(EIO, "broken")
    journal.append(100)
    first = journal._number + 2  # a payload has a number, too
    assert [journal.append(70), journal.append(1), journal.append(70)] == [-1, -1, -1]
    last = journal._number
    journal.disk.faults.clear()
    assert writer.close() == 0
    [(seq, said)] = told(journal)
    assert (seq, said["frames"], said["bytes"]) == (1, 3, 141)
    # An outage that begins with the first of it, as the last that was received, is another gap.
    assert (said["from_ns"], said["to_ns"]) == (1000 + first - 1, 1000 + last)


def test_each_time_the_bound_is_reached_is_told_once(journal):
    writer = journal.open(memory_bytes=200)
    for frames in (1, 2):
        journal.disk.faults["write"] = lambda *_: OSError(EIO, "broken")
        journal.append(100)
        assert writer.state() is JournalState.HOLDING
        for _ in range(frames):
            assert journal.append(70) == -1
        assert writer.state() is JournalState.DROPPING
        journal.disk.faults.clear()
        journal.clock.advance()
        journal.append(5)
    writer.tick()
    assert dropped_entries(journal) == [{"frames": 1, "bytes": 70}, {"frames": 2, "bytes": 140}]
    assert writer.dropped_frames == 3


def test_a_block_larger_than_the_memory_is_held_if_it_met_the_refusal(journal):
    journal.open(memory_bytes=100)
    journal.disk.faults["write"] = refuse(journal.disk.counts["write"] + 1)
    assert journal.append(5000) == 0
    assert journal.append(1) == -1
    journal.clock.advance()
    journal.append(1)
    assert dropped_entries(journal) == [{"frames": 1, "bytes": 1}]


def test_a_torn_write_stays_and_the_next_segment_begins_behind_it(journal):
    writer = journal.open()
    journal.append(10)
    start = writer.offset
    journal.disk.faults["write"] = take(journal.disk.counts["write"] + 1, 50)
    journal.append(500)
    journal.clock.advance()
    journal.append(10)
    first, second = journal.segments()
    assert first.stat().st_size == start + 50
    assert second.name == f"000000-{start + 50:020d}.seg"
    blocks, reader = journal.read()
    assert [block.seq for block in blocks] == [0, 1, 2]
    assert [tuple(damage) for damage in reader.damage] == [(0, start, 50, 0, True)]


def test_a_torn_block_that_was_written_again_is_not_counted_as_lost(journal):
    journal.open()
    journal.append(10, 10)
    journal.disk.faults["write"] = take(journal.disk.counts["write"] + 1, 100)
    journal.append(500, 20, 3)  # its header is whole, and says three
    journal.clock.advance()
    journal.append(10)
    assert [damage.entries for damage in journal.read()[1].damage] == [0]


def kill_while_a_refused_block_is_held(journal, monkeypatch, *, rolls, torn_bytes=0):
    """The disk took all of it and said that it did not; the writer dies before it has it twice."""
    writer = journal.open()
    journal.append(10)
    real = writer._tail._write

    def write(descriptor, block):
        real(descriptor, block)
        raise OSError(EIO, "took all nevertheless")

    monkeypatch.setattr(writer._tail, "_write", write)
    journal.append(600)
    if rolls:
        monkeypatch.setattr(writer._tail, "_write", lambda d, b: real(d, b[:torn_bytes]))
        journal.clock.advance()
        writer.tick()
    journal.kill()
    journal.open()
    journal.append(10)


@pytest.mark.parametrize("files", [True, False])
@pytest.mark.parametrize(("rolls", "torn_bytes"), [(False, 0), (True, 0), (True, 30), (True, 200)])
def test_a_refused_block_that_is_whole_is_read_when_its_writer_died_before_the_next_copy(
    journal, monkeypatch, files, rolls, torn_bytes
):
    kill_while_a_refused_block_is_held(journal, monkeypatch, rolls=rolls, torn_bytes=torn_bytes)

    blocks, reader = journal.read(files=files)

    assert [block.seq for block in blocks] == [0, 1, 2]
    assert len(journal.segments()) == 2 + rolls
    assert not any(each.entries for each in reader.damage)


def test_a_write_that_failed_but_left_bytes_makes_no_position_twice(journal, monkeypatch):
    """Some file systems take a part and then say EIO; the file's size is what counts."""
    writer = journal.open()
    journal.append(10)
    start = writer.offset
    real = writer._tail._write

    def write(descriptor, block):
        real(descriptor, block[:333])
        monkeypatch.setattr(writer._tail, "_write", real)
        raise OSError(EIO, "took a part nevertheless")

    monkeypatch.setattr(writer._tail, "_write", write)
    journal.append(600)
    journal.clock.advance()
    journal.append(10)
    assert journal.segments()[-1].name == f"000000-{start + 333:020d}.seg"
    assert [block.seq for block in journal.read()[0]] == [0, 1, 2]


def test_a_half_made_segment_is_removed(journal):
    writer = journal.open(segment_bytes=250)
    before = journal.disk.counts["write"]
    journal.disk.faults["write"] = take(before + 2, 60)  # the roll's header
    journal.append(100)
    assert len(journal.segments()) == 1
    assert writer.state() is JournalState.HOLDING
    assert journal.append(5) == 1
    journal.clock.advance()
    writer.tick()
    assert [segment.stat().st_size > 128 for segment in journal.segments()] == [True, True]


def test_a_half_made_segment_that_cannot_be_removed_does_not_stop_the_next(journal):
    writer = journal.open(segment_bytes=150)
    journal.disk.faults["write"] = take(journal.disk.counts["write"] + 2, 60)
    journal.disk.faults["remove"] = lambda *_: OSError(EIO, "stays")
    journal.append(100)
    journal.append(5)
    journal.clock.advance()
    journal.append(7)
    assert writer.state() is JournalState.OK
    blocks, reader = journal.read()
    assert [block.seq for block in blocks] == [0, 1, 2]
    assert sum(damage.entries for damage in reader.damage) == 0


@pytest.mark.parametrize("call", ["create", "duplicate", "close"])
def test_a_roll_that_is_refused_in_any_of_its_calls_loses_nothing(journal, call):
    writer = journal.open(segment_bytes=150)
    count = journal.disk.counts.get(call, 0)
    journal.disk.faults[call] = refuse(count + 1, how=EIO)
    journal.append(100)
    assert [type(trouble) for trouble in journal.troubles] == [WriteFailed]
    journal.append(5)
    journal.clock.advance()
    journal.append(100)
    journal.append(6)
    assert writer.state() is JournalState.OK
    assert journal.entries()[0] == journal.expected
    if call == "close":
        journal.disk.open_files -= 1  # the fake refused it, and the real one is still open


def test_close_writes_what_is_held_when_the_disk_lets_it(journal):
    writer = journal.open()
    journal.disk.faults["write"] = refuse(journal.disk.counts["write"] + 1)
    journal.append(10)
    journal.append(10)
    assert writer.close() == 0
    assert writer.state() is JournalState.CLOSED
    assert len(journal.entries()[0]) == 2


def test_close_tells_what_it_could_not_write(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["write"] = lambda *_: OSError(ENOSPC, "full")
    journal.append(10, 30)
    journal.append(7)
    assert writer.close() == 3
    assert (writer.dropped_frames, writer.dropped_bytes) == (3, 47)
    assert writer.state() is JournalState.DROPPING
    assert writer.close() == 0
    journal.lost = {1, 2, 3}
    journal.disk.faults.clear()
    assert journal.open().next_seq == 1, "what nobody ever saw leaves no hole"


def test_what_no_entry_tells_of_is_known_to_the_caller(journal):
    writer = journal.open(memory_bytes=200)
    refused = [True]
    journal.disk.faults["write"] = lambda _, size: (
        OSError(EIO, "broken") if refused[0] or size < 125 else None
    )
    journal.append(100)
    assert journal.append(70, 70) == -1
    assert writer.untold_frames == 2
    refused[0] = False  # now header and block pass, and the entry that tells does not
    assert writer.close() == 1
    assert dropped_entries(journal) == []
    assert writer.untold_frames == writer.dropped_frames == 3


def test_what_an_entry_tells_of_is_not_told_twice(journal):
    writer = journal.open(memory_bytes=200)
    journal.disk.faults["write"] = lambda *_: OSError(EIO, "broken")
    journal.append(100)
    assert journal.append(70, 70) == -1
    journal.disk.faults.clear()
    assert writer.close() == 0
    assert dropped_entries(journal) == [{"frames": 2, "bytes": 140}]
    assert (writer.untold_frames, writer.dropped_frames) == (0, 2)


def test_trouble_names_the_place_and_the_next_step(journal):
    journal.open()
    journal.disk.faults["write"] = refuse(journal.disk.counts["write"] + 1)
    journal.append(10)
    [trouble] = journal.troubles
    assert f"{journal.directory} epoch 0 offset 128" in str(trouble)
    assert "Free space" in trouble.hint


def test_held_blocks_roll_like_any_others(journal):
    journal.open(segment_bytes=300)
    journal.disk.faults["write"] = refuse(journal.disk.counts["write"] + 1)
    for _ in range(6):
        journal.append(100)
    journal.clock.advance()
    journal.writer.tick()
    assert len(journal.segments()) > 3
    assert len(journal.entries()[0]) == 6
