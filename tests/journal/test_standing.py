"""What a journal said last of its feed, however its end looks."""

from ticktape.journal.standing import find_standing
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.records import EntryKind


def start(tmp_path, **config):
    return Writer(tmp_path / "journal", tmp_path / "positions", WriterConfig("os", **config))


def payload_of(block):
    return block.entries()[-1][1]


def test_empty_journal_says_nothing(tmp_path):
    assert find_standing(tmp_path / "journal", 1) == (None, None)


def test_last_state_is_found_behind_data_and_notes_and_before_them(tmp_path):
    with start(tmp_path, segment_bytes=300) as writer:
        writer.append([b"data"], 1, 1)
        writer.append([b"down"], 2, 2, kind=EntryKind.SESSION)
        for number in range(9):  # several segments
            writer.append([b"greeting %d" % number], 3, 3)
        writer.append([b"note"], 4, 4, kind=EntryKind.NOTE)

    said, heard = find_standing(tmp_path / "journal", 1)
    assert payload_of(said) == b"down"
    assert payload_of(heard) == b"greeting 8"


def test_venue_that_was_polled_was_heard_also_without_news(tmp_path):
    with start(tmp_path) as writer:
        writer.append([b"tick"], 1, 1, kind=EntryKind.BINARY)
        writer.append([b"polls"], 2, 2, kind=EntryKind.POLLS)
        writer.append([b"note"], 3, 3, kind=EntryKind.NOTE)

    assert payload_of(find_standing(tmp_path / "journal", 1).heard) == b"polls"


def test_own_epoch_is_not_looked_at_and_torn_bytes_are_passed_over(tmp_path):
    with start(tmp_path) as writer:
        writer.append([b"down"], 2, 2, kind=EntryKind.SESSION)
        writer.append([b"torn"], 2, 2, kind=EntryKind.SESSION)
    (segment,) = (tmp_path / "journal").glob("*.seg")
    segment.write_bytes(segment.read_bytes()[:-1])
    with start(tmp_path) as writer:
        writer.append([b"started"], 3, 3, kind=EntryKind.SESSION)

    assert payload_of(find_standing(tmp_path / "journal", 1).said) == b"down"
    assert payload_of(find_standing(tmp_path / "journal", 2).said) == b"started"
