"""Tick cursors are found again in the journal, however it ended."""

import random
import shutil

import msgspec
import pytest

from ticktape import mt5
from ticktape.feeds.mt5.healing import ClosedGap
from ticktape.feeds.mt5.restore import Restored, restore
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.polls import Polls
from ticktape.records import EntryKind

FIRST_MSC = 1_700_000_000_000
SEGMENT_BYTES = 65_536


class Recording:
    """A journal with ticks, images and heartbeats, and the cursors behind what is in it."""

    def __init__(self, root):
        self.directory = root / "journal"
        self.positions = root / "positions"
        self.writer = None
        self.cursors = {}
        self.mono_ns = 10**12

    def open(self, segment_bytes=SEGMENT_BYTES):
        config = WriterConfig("os", 3_600_000, segment_bytes, 1 << 20)
        self.writer = Writer(self.directory, self.positions, config)

    def close(self):
        self.writer.close()

    def append(self, payload, kind=EntryKind.BINARY):
        self.mono_ns += 10**6
        self.writer.append([payload], self.mono_ns, self.mono_ns, 1, kind)

    def ticks(self, symbol, *times, offset_ms=0, seen=1):
        rows = b"".join(mt5.TICK.pack(t // 1000, 1, 1, 0, 0, t, 6, 0) for t in times)
        batch = mt5.TickBatch(symbol, self.mono_ns, self.mono_ns, offset_ms, seen, 0, rows)
        self.append(mt5.pack_ticks(batch, self.mono_ns + 10**6))
        self.cursors[symbol] = (times[-1], seen)

    def polls(self, **cursors):
        self.cursors |= cursors
        self.append(msgspec.json.encode(Polls(1, 2, cursors=dict(self.cursors))), EntryKind.POLLS)

    def image(self):
        image = mt5.Image("A", self.mono_ns, self.mono_ns, None, 1, 0, 0, bytes(28 * 20))
        self.append(mt5.pack_image(image, self.mono_ns + 10**6))

    def found(self, *symbols):
        return restore(self.directory, symbols)


@pytest.fixture
def recording(tmp_path):
    made = Recording(tmp_path)
    made.open()
    yield made
    made.close()


def test_a_journal_that_is_not_there_or_empty_knows_nothing(recording, tmp_path):
    assert restore(tmp_path / "nowhere", ["A"]) == Restored({}, 0)
    assert recording.found("A") == Restored({}, 0)
    assert recording.found() == Restored({}, 0)


def test_the_last_batch_of_each_symbol_counts(recording):
    recording.ticks("A", FIRST_MSC, FIRST_MSC + 5, seen=4)
    recording.ticks("ü#", FIRST_MSC + 9)
    recording.ticks("A", FIRST_MSC + 5, seen=5, offset_ms=7_200_000)
    recording.image()
    assert recording.found("A", "ü#", "never") == Restored(
        {"A": (FIRST_MSC + 5, 5), "ü#": (FIRST_MSC + 9, 1)}, 7_200_000
    )


def test_only_what_is_asked_for_is_told(recording):
    recording.ticks("A", FIRST_MSC)
    recording.ticks("B", FIRST_MSC)
    assert recording.found("B").cursors == {"B": (FIRST_MSC, 1)}


def test_a_heartbeat_names_cursors_of_symbols_that_never_ticked(recording):
    """Where the first tick would begin is known from the start on."""
    recording.polls(A=(FIRST_MSC, 17))
    assert recording.found("A").cursors == {"A": (FIRST_MSC, 17)}
    recording.ticks("A", FIRST_MSC + 1)
    assert recording.found("A").cursors == {"A": (FIRST_MSC + 1, 1)}


def test_after_any_number_of_blocks_and_starts_the_cursor_is_that_behind_the_last(recording):
    rng = random.Random(6)
    for number in range(300):
        match rng.randrange(4):
            case 0 | 1:
                recording.ticks(rng.choice("AB"), FIRST_MSC + number, seen=rng.randint(1, 9))
            case 2:
                recording.image()
            case 3:
                recording.polls()
        if number % 70 == 69:
            recording.close()
            recording.open()
        assert recording.found("A", "B").cursors == recording.cursors


def test_a_symbol_that_stopped_long_ago_is_found_over_several_segments(recording):
    recording.ticks("rare", FIRST_MSC, seen=3, offset_ms=3_600_000)
    for number in range(400):
        recording.ticks("busy", *range(FIRST_MSC + number * 10, FIRST_MSC + number * 10 + 10))
    assert len(list(recording.directory.glob("*.seg"))) > 3
    found = recording.found("rare", "busy")
    assert found.cursors == recording.cursors


def test_with_a_heartbeat_only_the_newest_segment_is_read(recording, monkeypatch):
    starts = []

    class Counted(Reader):
        def __init__(self, directory, positions, start):
            starts.append(start)
            super().__init__(directory, positions, start)

    monkeypatch.setattr("ticktape.feeds.mt5.restore.Reader", Counted)
    recording.ticks("rare", FIRST_MSC, seen=3)
    for number in range(400):
        recording.ticks("busy", *range(FIRST_MSC + number * 10, FIRST_MSC + number * 10 + 10))
    recording.close()
    recording.open()
    recording.polls()
    assert recording.found("rare", "busy").cursors == recording.cursors
    assert len(list_segments(recording.directory)) > 4
    assert starts == [list_segments(recording.directory)[-1].position]


@pytest.mark.parametrize("cut", range(1, 130, 7))
def test_a_torn_end_goes_back_to_the_last_whole_block(recording, tmp_path, cut):
    recording.ticks("A", FIRST_MSC)
    recording.ticks("A", FIRST_MSC + 5)
    whole = recording.found("A").cursors
    assert whole == {"A": (FIRST_MSC + 5, 1)}
    torn = tmp_path / "torn"
    shutil.copytree(recording.directory, torn)
    (segment,) = torn.glob("*.seg")
    segment.write_bytes(segment.read_bytes()[:-cut])
    assert restore(torn, ["A"]).cursors == {"A": (FIRST_MSC, 1)}


def test_of_the_offsets_the_last_one_counts_also_when_it_is_none(recording):
    """A broker in London has one in summer and none in winter."""
    recording.ticks("A", FIRST_MSC, offset_ms=3_600_000)
    assert recording.found("A").offset_ms == 3_600_000
    recording.ticks("A", FIRST_MSC + 1, offset_ms=0)
    assert recording.found("A").offset_ms == 0
    recording.close()
    recording.open()
    recording.ticks("B", FIRST_MSC + 1, offset_ms=0)
    assert recording.found("A", "B").offset_ms == 0


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (bytes([mt5.Form.TICKS]) + b"short", EntryKind.BINARY),
        (b"{", EntryKind.POLLS),
        (b'{"from_ns": "x"}', EntryKind.POLLS),
        (b"", EntryKind.BINARY),
    ],
)
def test_an_entry_that_cannot_be_read_does_not_stop_a_start(recording, payload, kind):
    recording.ticks("A", FIRST_MSC)
    recording.append(payload, kind)
    recording.ticks("B", FIRST_MSC + 1)
    assert recording.found("A", "B").cursors == recording.cursors


def test_gaps_that_wait_for_ticks_are_found_as_the_last_note_has_them(recording):
    def note(*gaps):
        recording.append(msgspec.json.encode({"waiting": gaps, "event": "note"}), EntryKind.NOTE)

    recording.ticks("A", FIRST_MSC)
    assert recording.found("A").gaps == ()
    first, second = ClosedGap(1, 2, "gone"), ClosedGap(5, 6, "gone again", "A", 7)
    note(first)
    note(first, second)
    recording.append(b'{"instrument": {}}', EntryKind.NOTE)
    assert recording.found("A").gaps == (first, second)
    note(second)
    assert recording.found("A").gaps == (second,)
    note()
    assert recording.found("A").gaps == ()
    note(*[{"from_ns": "of another version"}])
    assert recording.found("A").gaps == ()
