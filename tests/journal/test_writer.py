"""What a writer promises while its disk takes everything."""

import os
import signal
import stat
import struct
import subprocess
import sys
import threading

import msgspec
import pytest

from ticktape.errors import JournalError, Locked
from ticktape.failpoints import Failpoints
from ticktape.journal import disk as disk_module
from ticktape.journal import format
from ticktape.journal.disk import Disk
from ticktape.journal.format import SEGMENT_HEADER_BYTES
from ticktape.journal.positions import JournalState
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind, Position


def test_entries_come_back_as_they_were_given(journal):
    journal.open()
    journal.append(b"one", session=3)
    journal.append(b"two", b"", b"three", session=4, kind=EntryKind.BINARY)
    journal.append(b"\x00" * 70, b"{}", kinds=[EntryKind.TEXT, EntryKind.SESSION])
    journal.writer.close()
    blocks, reader = journal.read()
    assert [block.count for block in blocks] == [1, 3, 2]
    assert blocks[1].entries() == [(1, b"two"), (1, b""), (1, b"three")]
    assert journal.entries()[0] == journal.expected
    assert reader.damage == []


def test_numbers_go_on_without_holes_over_blocks_segments_and_epochs(journal):
    for _ in range(3):
        with journal.open(segment_bytes=400):
            for count in (1, 5, 2, 1):
                journal.append(*[30] * count)
    seqs = [entry[0] for entry in journal.entries()[0]]
    assert seqs == list(range(27))
    assert len(list_segments(journal.directory)) > 3


def test_writer_rolls_to_the_next_segment_when_full(journal):
    writer = journal.open(segment_bytes=1000)
    journal.append(500)
    assert len(journal.segments()) == 1
    journal.append(500)
    first, second = list_segments(journal.directory)
    assert second.base == first.size_bytes() == writer.offset - SEGMENT_HEADER_BYTES
    assert second.header().first_seq == 2
    assert second.header().nonce != first.header().nonce


def test_a_block_larger_than_a_segment_is_written_whole(journal):
    journal.open(segment_bytes=1000)
    journal.append(3_000_000)
    journal.append(10)
    assert [block.count for block in journal.read()[0]] == [1, 1]


def test_every_start_begins_a_new_epoch_even_if_nothing_was_written(journal):
    for epoch in range(4):
        with journal.open() as writer:
            assert writer.epoch == epoch
            assert writer.next_seq == 0
    assert len({segment.header().journal_id for segment in list_segments(journal.directory)}) == 1


def test_an_epoch_whose_segments_are_gone_is_not_given_again(journal):
    for _ in range(3):
        with journal.open():
            journal.append(10)
    newest = journal.segments()[-1]
    newest.rename(newest.with_suffix(".seg.zst"))  # as sealing will leave it
    journal.lost = {2}
    assert journal.open().epoch == 3


def test_append_tells_the_number_of_the_first_entry(journal):
    journal.open()
    assert [journal.append(1, 1), journal.append(1), journal.append(1)] == [0, 2, 3]


def test_own_entries_are_stamped_by_the_writers_clock(journal):
    writer = journal.open()
    writer.append_json(EntryKind.NOTE, {"said": 1})
    writer.append_json(EntryKind.NOTE, {"said": 2}, session=9, mono_ns=77)
    first, second = journal.read()[0]
    assert (first.recv_ns, first.recv_mono_ns) == (journal.clock.wall_ns(), journal.clock.now_ns)
    assert (second.recv_ns, second.recv_mono_ns, second.session) == (
        journal.clock.wall_at(77),
        77,
        9,
    )
    assert msgspec.json.decode(second.entries()[0][1]) == {"said": 2}


def test_offset_spans_exactly_the_block_just_written(journal):
    writer = journal.open()
    start = writer.offset
    journal.append(40, 2)
    block = journal.read()[0][0]
    assert (block.offset, block.end_offset) == (start, writer.offset)


def test_what_cannot_be_written_gets_no_number(journal, monkeypatch):
    monkeypatch.setattr(format, "BODY_BYTES_MAX", 100)
    monkeypatch.setattr(format, "_PIECE_BYTES", 100)
    writer = journal.open()
    journal.append(5)
    with pytest.raises(struct.error):
        writer.append([b"x"], 1, 2, 0, kind=16)
    with pytest.raises(ValueError, match="argument"):
        writer.append([b"x", b"y"], 1, 2, 0, kinds=[0])
    with pytest.raises(ValueError, match="most it can hold"):
        writer.append([bytes(97)], 1, 2)
    journal.disk.faults["write"] = lambda *_: OSError(28, "full")
    assert journal.append(5) == 1
    with pytest.raises(ValueError, match="most it can hold"):
        writer.append([bytes(97)], 1, 2)
    with pytest.raises(struct.error):
        writer.append([b"x"], -1, 2)
    journal.disk.faults.clear()
    journal.clock.advance()
    assert journal.append(5) == 2


def test_a_second_writer_is_refused_and_the_first_goes_on(journal):
    journal.open()
    journal.append(5)
    with pytest.raises(Locked, match="another recorder"):
        Writer(journal.directory, journal.positions_path)
    journal.append(5)
    journal.writer.close()
    journal.open()


def test_close_may_be_called_twice_and_from_another_thread(journal):
    writer = journal.open()
    journal.append(5)
    closer = threading.Thread(target=writer.close)
    closer.start()
    closer.join()
    assert writer.close() == 0
    assert writer.state() is JournalState.CLOSED
    writer.tick()
    journal.open()


def test_append_after_close_is_our_own_bug_and_writes_nothing(journal):
    writer = journal.open()
    writer.close()
    before = journal.segments()
    with pytest.raises(AssertionError, match="after close"):
        writer.append([b"late"], 1, 2)
    assert journal.segments() == before


def test_an_unwritable_place_is_told_in_our_own_words(journal, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(JournalError, match="refused a write") as caught:
        Writer(tmp_path / "file" / "journal", tmp_path / "positions")
    assert caught.value.hint
    with pytest.raises(JournalError, match="refused a write"):
        Writer(journal.directory, tmp_path / "file" / "positions")
    journal.open()  # the lock was given back


@pytest.mark.skipif(os.name == "nt", reason="modes are of POSIX")
def test_segments_are_not_readable_by_others(journal):
    journal.open()
    mode = stat.S_IMODE(journal.segments()[0].stat().st_mode)
    assert mode & 0o137 == 0


_CHILD = """
import sys
from pathlib import Path
from ticktape.journal.writer import Writer, WriterConfig

root = Path(sys.argv[1])
writer = Writer(root / "journal", root / "live" / "positions", WriterConfig(segment_bytes=2000))
for number in range(1000):
    writer.append([b"%d" % number] * 3, number, number, 1)
    print(number, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no kill -9")
def test_kill_within_a_block_write_loses_only_that_block(journal):
    """The failpoint `journal.write` hands a part of a block to the system, then dies."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(journal.root)],
        env={**os.environ, "TICKTAPE_FAILPOINT": "journal.write:120"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split()[-1] == b"118"  # counted from 0: the 120th block is number 119
    blocks, reader = journal.read()
    assert [block.entries()[0][1] for block in blocks] == [b"%d" % n for n in range(119)]
    [damage] = reader.damage
    assert (damage.torn, damage.entries, damage.bytes) == (True, 3, 64 + 7)

    writer = journal.open()
    assert writer.epoch == 1
    assert writer.next_seq == 360  # the torn block's three had numbers, and are lost
    assert writer.recovered.last.entries()[0][1] == b"118"
    manifest = msgspec.json.decode(
        next(journal.directory.glob("000000-*.manifest.json")).read_bytes()
    )
    assert manifest["torn_bytes"] == 71
    assert manifest["torn_entries"] == 3
    writer.append([b"next"], 1, 2)
    blocks, reader = journal.read()
    assert len(blocks) == 120
    assert [damage.entries for damage in reader.damage] == [3]
    journal.expected = journal.entries()[0]


_PORTABLE = """
import os, socket, sys
from pathlib import Path

sys.modules["fcntl"] = None
for name in ("pread", "fdatasync", "fork", "register_at_fork"):
    if hasattr(os, name):
        delattr(os, name)
if hasattr(socket, "AF_UNIX"):
    del socket.AF_UNIX

from ticktape.journal import Reader, Writer

root = Path(sys.argv[1])
with Reader(root / "journal", root / "positions") as reader:
    for epoch in range(2):
        with Writer(root / "journal", root / "positions") as writer:
            writer.append([b"here", b"too"], 1, 2)
            assert [(b.epoch, b.entries()) for b in reader.read()] == [
                (epoch, [(0, b"here"), (0, b"too")])
            ]
"""


def test_nothing_here_needs_what_only_linux_has(journal):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _PORTABLE, str(journal.root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert len(journal.read()[0]) == 2
    journal.expected = journal.entries()[0]


def test_the_failpoint_is_off_outside_tests(journal):
    writer = journal.open()
    assert writer._tail._write == journal.disk.write


@pytest.mark.parametrize(
    ("name", "left"), [("journal.write", 71), ("journal.header", 32), ("journal.unpublished", None)]
)
def test_a_failpoint_strikes_in_a_long_block_too(tmp_path, monkeypatch, name, left):
    def die(self):
        raise SystemExit

    monkeypatch.setenv("TICKTAPE_FAILPOINT", f"{name}:2")
    monkeypatch.setattr(Failpoints, "die", die)
    with Writer(tmp_path / "journal", tmp_path / "positions", WriterConfig("os")) as writer:
        writer.append([b"x" * 70_000], 1, 2)
        start = writer.offset
        with pytest.raises(SystemExit):
            writer.append([b"y" * 80_000], 1, 2)
        [segment] = list_segments(tmp_path / "journal")
        whole = format.BLOCK_HEADER_BYTES + format.WORD_BYTES + 80_000
        assert segment.path.stat().st_size == start + (left or whole)


@pytest.mark.parametrize("has_writev", [True, False])
def test_long_blocks_are_the_same_bytes_where_one_write_takes_one_piece_only(
    tmp_path, monkeypatch, has_writev
):
    if not has_writev:
        monkeypatch.setattr(Disk, "write_pieces", staticmethod(disk_module._write_joined))
    payloads = [b"x" * 20_000, b"", b"y" * 5]
    with Writer(tmp_path / "journal", tmp_path / "positions", WriterConfig("os")) as writer:
        writer.append(payloads, 1, 2, 3, 1)
        nonce, offset = writer._tail.nonce, SEGMENT_HEADER_BYTES
    [segment] = list_segments(tmp_path / "journal")
    body = format.pack_body(payloads, 1, None)
    block = format.pack_block(nonce, offset, 0, 1, 2, 3, 3, body)
    assert segment.path.read_bytes()[SEGMENT_HEADER_BYTES:] == block


def test_a_journal_made_anew_is_read_from_its_first_block(journal):
    journal.open()
    journal.append(5)
    with Reader(journal.directory, journal.positions_path, Position(0, 0)) as reader:
        assert [block.seq for block in reader.read()] == [0]
