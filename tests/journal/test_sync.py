"""What is synced, when, and what happens to it when the disk refuses a sync."""

import errno
import threading

import msgspec
import pytest

from ticktape.errors import JournalError, SyncFailed
from ticktape.journal.positions import JournalState
from ticktape.records import EntryKind


def failing(*numbers):
    return lambda number, *_: OSError(errno.EIO, "refused") if number in numbers else None


def always(*_):
    return OSError(errno.EIO, "refused by the test")


def suspects(journal):
    notes = [entry for entry in journal.entries()[1] if entry[1] == EntryKind.NOTE]
    found = [msgspec.json.decode(entry[2])["suspect"] for entry in notes]
    return [(each["epoch"], each["from_offset"], each["to_offset"]) for each in found]


def seqs(journal, **how):
    blocks, _ = journal.read(files=False, **how)
    return [block.seq for block in blocks]


def test_group_commit_publishes_synced_only_after_the_sync(journal):
    writer = journal.open()
    journal.append(10)
    assert writer.positions.statistics().synced_seq == 0
    assert seqs(journal) == [0]
    assert seqs(journal, synced=True) == []
    writer.sync()
    statistics = writer.positions.statistics()
    assert (statistics.synced, statistics.synced_seq) == (writer.offset, 1)
    assert seqs(journal, synced=True) == [0]


def test_the_group_commit_comes_by_itself(journal):
    writer = journal.open(commit_ms=1)
    committed = threading.Event()
    writer._commit._on_synced = lambda *_: committed.set()
    journal.append(10)
    assert committed.wait(240)
    writer._commit.sync_now(0, 0)  # whoever has the guard has published
    assert writer.positions.statistics().synced_seq == 1


def test_each_block_is_synced_before_append_returns(journal):
    writer = journal.open("each", segment_bytes=300)
    for number in range(1, 6):
        journal.append(50)
        statistics = writer.positions.statistics()
        assert (statistics.synced_seq, statistics.synced) == (number, statistics.written)
    assert journal.disk.log.count(("sync", journal.segments()[0].name)) == 3  # the first at birth


def test_os_mode_claims_and_does_not_sync(journal):
    writer = journal.open("os", segment_bytes=300)
    log = len(journal.disk.log)
    for _ in range(8):
        journal.append(50)
    assert writer.positions.statistics().synced_seq == 8
    assert [event for event, _ in journal.disk.log[log:] if event == "sync"] == []
    # The segment in hand and the commit's duplicate of it; those of finished ones are given back.
    assert journal.disk.open_files == 2


def test_each_range_is_told_as_synced_once_and_without_holes(journal):
    journal.open(segment_bytes=400)
    for number in range(12):
        journal.append(50)
        if number % 3 == 2:
            journal.writer.sync()
    journal.writer.close()
    ranges = journal.synced
    assert all(start < end for start, end in ranges)
    assert [start for start, _ in ranges[1:]] == [end for _, end in ranges[:-1]]


def test_the_name_of_a_segment_is_durable_before_what_is_in_it(journal):
    journal.open(segment_bytes=250)
    journal.append(100)
    journal.append(100)
    journal.append(10)
    journal.writer.sync()
    log = journal.disk.log
    later = journal.segments()[1:]
    assert len(later) == 2
    for segment in later:
        created = log.index(("create", segment.name))
        named = log.index(("sync_directory", "journal"), created)
        assert named < log.index(("sync", segment.name), created)


def test_folders_that_a_first_start_makes_are_durable_before_anything_else(journal):
    journal.open()
    before = journal.disk.log[: journal.disk.log.index(("create", journal.segments()[0].name))]
    assert ("sync_directory", journal.root.name) in before
    assert ("sync_directory", journal.root.parent.name) in before
    journal.writer.close()
    log = len(journal.disk.log)
    journal.open()
    assert ("sync_directory", journal.root.name) not in journal.disk.log[log:]


def test_a_failed_sync_is_told_and_what_it_left_open_is_suspect(journal):
    writer = journal.open()
    journal.append(10)
    writer.sync()
    start = writer.offset
    journal.append(20)
    journal.append(30)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    writer.sync()
    assert [type(trouble) for trouble in journal.troubles] == [SyncFailed]
    first, second = journal.segments()
    end = first.stat().st_size
    assert suspects(journal) == [(0, start, end)]
    assert writer.positions.statistics().suspect_bytes == end - start
    assert writer.state() is JournalState.SUSPECT
    assert second.name == f"000000-{end:020d}.seg"
    assert seqs(journal, synced=True) == [0], "what is suspect is not shown as synced"
    writer.sync()
    assert writer.state() is JournalState.OK
    assert seqs(journal, synced=True) == [0, 1, 2, 3]


def test_a_file_whose_sync_failed_is_never_synced_again(journal):
    """The system may say yes the second time, although it has lost what it said no to."""
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    writer._tail.sync()  # as the commit's thread does, without the writer's knowledge
    log = len(journal.disk.log)
    start = 128
    for _ in range(3):
        writer._tail.sync()
    assert journal.disk.log[log:] == []
    assert writer.positions.statistics().synced_seq == 0
    journal.append(20)  # this one goes into the failed file still, and is suspect with it
    first, second = journal.segments()
    assert suspects(journal) == [(0, start, first.stat().st_size)]
    journal.append(5)
    writer.sync()
    synced = [event for event in journal.disk.log[log:] if event[0] != "create"]
    assert synced == [("sync_directory", "journal"), ("sync", second.name)]


def test_a_folder_that_cannot_be_synced_makes_its_new_segment_suspect(journal):
    writer = journal.open(segment_bytes=150)
    journal.append(100)
    journal.append(1)
    journal.disk.faults["sync_directory"] = failing(journal.disk.counts["sync_directory"] + 1)
    writer.sync()
    start = journal.segments()[0].stat().st_size
    [(_, told_start, _)] = suspects(journal)
    assert told_start == start


@pytest.mark.parametrize("sync", ["group", "each"])
def test_a_disk_that_never_syncs_again_is_borne_with_few_segments(journal, sync):
    writer = journal.open(sync)
    journal.disk.faults["sync"] = always
    for _ in range(600):  # a minute of ticks
        journal.append(10)
        writer._tail.sync()
        writer.tick()
        journal.clock.advance(0.1)
    assert writer.state() is JournalState.SUSPECT
    assert writer.positions.statistics().synced_seq == 0
    assert len(journal.segments()) < 12
    ranges = suspects(journal)
    # What told of the first ones is suspect itself: the last one tells of all.
    assert {start for _, start, _ in ranges} == {128}
    ends = [end for _, _, end in ranges]
    assert ends == sorted(set(ends))
    assert writer.positions.statistics().suspect_bytes == ends[-1] - 128
    assert writer.close() == 0
    assert writer.state() is JournalState.SUSPECT


@pytest.mark.parametrize("sync", ["group", "each"])
def test_a_disk_that_mends_is_trusted_again_from_there(journal, sync):
    writer = journal.open(sync)
    journal.disk.faults["sync"] = always
    for _ in range(4):
        journal.append(10)
        writer.sync()
        journal.clock.advance(2)
    journal.disk.faults.clear()
    journal.clock.advance(60)
    writer.tick()
    writer.sync()
    assert writer.state() is JournalState.OK
    assert seqs(journal, synced=True) == seqs(journal)
    assert len(suspects(journal)) == len(journal.segments()) - 1


def test_a_sync_that_fails_at_close_is_still_told(journal):
    writer = journal.open()
    journal.append(10)
    end = writer.offset
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    assert writer.close() == 0
    assert suspects(journal) == [(0, 128, end)]
    assert writer.state() is JournalState.CLOSED
    assert [type(trouble) for trouble in journal.troubles] == [SyncFailed]


def test_a_sync_that_fails_while_the_disk_is_full_is_told_once_it_is_not(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    journal.disk.faults["write"] = lambda *_: OSError(errno.ENOSPC, "full")
    journal.append(10)
    writer.sync()
    assert writer.state() is JournalState.HOLDING
    journal.disk.faults.clear()
    journal.clock.advance()
    writer.tick()
    assert suspects(journal) == [(0, 128, journal.segments()[0].stat().st_size)]
    assert [entry[0] for entry in journal.entries()[0]] == [0, 1]


def test_a_finished_segment_is_not_synced_to_a_reader_before_it_is(journal):
    """A roll makes a segment final; for the durable that is not enough."""
    writer = journal.open(segment_bytes=250)
    journal.append(10)
    writer.sync()
    journal.append(100)
    assert len(journal.segments()) == 2
    with journal.reader(files=False, synced=True) as reader:
        for expected in ([0], [], []):
            assert [block.seq for block in reader.read()] == expected
        assert seqs(journal) == [0, 1]
        writer.sync()
        journal.append(10)
        assert [block.seq for block in reader.read()] == [1]
        assert reader.read() == []
        writer.sync()
        assert [block.seq for block in reader.read()] == [2]


def test_what_a_killed_writer_left_is_synced_by_the_next_start(journal):
    journal.open(segment_bytes=200)
    for _ in range(4):
        journal.append(100)
    journal.kill()
    old = [segment.name for segment in journal.segments()]
    assert seqs(journal, synced=True) == []
    log = len(journal.disk.log)
    journal.open()
    new = journal.disk.log[log:]
    created = new.index(("create", journal.segments()[-1].name))
    assert [name for event, name in new[:created] if event == "sync"][: len(old)] == old
    assert seqs(journal, synced=True) == [0, 1, 2, 3]


# A process that ends before its note is on the disk: the next one's sync says yes, and may lie.


def fail_and_die(journal, *, rolls=False):
    """One block is synced, one is not; returns where they end."""
    writer = journal.open()
    journal.append(10)
    writer.sync()
    start = writer.offset
    journal.append(20)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    writer._tail.sync()  # as the commit's thread does, without the writer's knowledge
    if rolls:
        writer.tick()  # the note is written, and not synced
    end = writer.offset
    journal.kill()
    return start, end


@pytest.mark.parametrize("rolls", [False, True])
def test_start_notes_what_the_process_before_it_could_not(journal, rolls):
    start, end = fail_and_die(journal, rolls=rolls)
    before = len(journal.troubles)
    writer = journal.open()
    assert suspects(journal)[-1] == (0, start, end)
    assert [type(trouble) for trouble in journal.troubles[before:]] == [SyncFailed]
    assert "ended before it could write that down" in str(journal.troubles[-1])
    assert writer.positions.doubt() is None
    writer.close()
    journal.open()
    assert suspects(journal)[-1] == (0, start, end), "once is enough"
    assert len(suspects(journal)) == 1 + rolls


def test_note_that_is_on_the_disk_needs_no_other(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    writer.sync()
    assert writer.positions.doubt() == (0, 128)
    writer.sync()
    assert writer.positions.doubt() is None
    journal.kill()
    journal.open()
    assert len(suspects(journal)) == 1


def test_doubt_begins_where_the_first_failure_in_a_row_does(journal):
    writer = journal.open()
    journal.append(10)
    journal.disk.faults["sync"] = always
    for _ in range(3):
        journal.append(10)
        writer.sync()
        journal.clock.advance(100)
    journal.kill()
    end = int(journal.segments()[-1].stem[7:]) + journal.segments()[-1].stat().st_size
    journal.disk.faults.clear()
    journal.open()
    assert suspects(journal)[-1] == (0, 128, end)


def test_refused_start_leaves_its_doubt_to_the_next(journal):
    journal.open(segment_bytes=150)
    for _ in range(3):
        journal.append(100)
    journal.kill()
    second, last = journal.segments()[1], journal.segments()[-1]
    start, end = int(second.stem[7:]), int(last.stem[7:]) + last.stat().st_size
    journal.disk.faults["sync"] = lambda _, path: always() if path == second else None
    journal.disk.faults["create"] = always
    for _ in range(2):
        with pytest.raises(JournalError):
            journal.open()
        journal.disk.faults.pop("sync", None)
    journal.disk.faults.clear()
    journal.open()
    assert suspects(journal) == [(0, start, end)]


def test_doubt_and_what_a_start_is_refused_are_noted_without_overlap(journal):
    start, end = fail_and_die(journal)
    journal.disk.faults["sync"] = failing(journal.disk.counts["sync"] + 1)
    journal.open()
    assert sorted(suspects(journal)) == [(0, 0, start), (0, start, end)]


def test_doubt_of_another_boot_is_not_believed(journal, monkeypatch):
    fail_and_die(journal)
    monkeypatch.setattr("ticktape.journal.positions.boot_id", lambda: bytes(16))
    journal.open()
    assert suspects(journal) == []


def test_an_error_of_ours_in_the_commits_thread_reaches_the_writer(journal):
    writer = journal.open(commit_ms=1)
    raised = threading.Event()

    def on_synced(*_):
        raised.set()
        raise ZeroDivisionError

    writer._commit._on_synced = on_synced
    journal.append(10)
    assert raised.wait(240)
    writer._commit._thread.join(240)
    with pytest.raises(ZeroDivisionError):
        writer.tick()
    with pytest.raises(ZeroDivisionError):
        writer.close()
