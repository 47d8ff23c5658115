"""Notes of what a failed sync took are found wherever they stand, and market data is no note."""

import pytest

from ticktape.journal import suspects
from ticktape.journal.segments import list_segments
from ticktape.journal.suspects import Suspects
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind

SUSPECT = {"suspect": {"epoch": 0, "from_offset": 200, "to_offset": 400}}


@pytest.fixture
def writer(tmp_path):
    with Writer(tmp_path / "journal", tmp_path / "positions", WriterConfig("os")) as made:
        yield made


def named(writer, found=None):
    """Which segments are named as suspect, asked as a sealer asks: the last one is not closed."""
    found = found or Suspects(writer.directory, writer.positions.path)
    *closed, newest = list_segments(writer.directory)
    return [found.touch(each, each.size_bytes(), closed.__contains__) for each in (*closed, newest)]


def fill(writer, *payloads):
    """A segment with these blocks."""
    for payload in payloads:
        writer.append([payload], 1, 2)
    writer._roll()


def test_a_note_in_the_segment_itself_behind_it_or_in_the_newest_one_names_it(writer):
    fill(writer, b"x" * 500)
    fill(writer, b"y" * 500)
    assert named(writer) == [False, False, False]
    writer.append_json(EntryKind.NOTE, SUSPECT)
    assert named(writer) == [True, False, False]
    writer._roll()
    fill(writer, b"z")
    assert named(writer) == [True, False, False, False, False]


def test_the_same_is_found_when_it_is_asked_for_segment_by_segment(writer):
    found = Suspects(writer.directory, writer.positions.path)
    fill(writer, b"x" * 500)
    assert named(writer, found) == [False, False]
    fill(writer, b"y" * 500)
    writer.append_json(EntryKind.NOTE, SUSPECT)
    fill(writer, b"z")
    assert named(writer, found) == [True, False, False, False]


def test_the_word_is_found_where_two_pieces_meet(writer, monkeypatch):
    monkeypatch.setattr(suspects, "_READ_BYTES", 64)
    for length in range(64):
        fill(writer, b"x" * (300 + length))
        writer.append_json(EntryKind.NOTE, SUSPECT)
        fill(writer, b"z")
        assert suspects._has_word(list_segments(writer.directory)[-2].open()), length
        assert not suspects._has_word(list_segments(writer.directory)[-3].open())


def test_market_data_that_reads_like_a_note_names_nothing(writer):
    fill(writer, b"x" * 500)
    fill(writer, b'{"suspect":{"epoch":0,"from_offset":200,"to_offset":400}}')
    assert named(writer) == [False, False, False]
