"""Nothing that table, ledger or healer still need is deleted, whatever the limit."""

import random

import msgspec
import pytest

from ticktape import clock
from ticktape.config import JournalConfig
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import save_positions
from ticktape.journal.reader import Reader
from ticktape.journal.retention import read_deleted
from ticktape.journal.sealing import Sealer
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger.healing import HealBook, HealGap
from ticktape.recorder.keeping import DAY_NS, Keeper
from ticktape.records import Position

START_NS = 1_763_650_800_000_000_000
HOUR_NS = 3600 * clock.NS_PER_S


class Days:
    """A run whose feeds' journals hold an entry for every hour of some days."""

    def __init__(self, root):
        self.directory = RunDirectory(root)
        self.ends = {}

    def record(self, feed, hours, payload=300, segment_bytes=1500):
        journal, positions = self.directory.journal(feed), self.directory.positions(feed)
        with Writer(journal, positions, WriterConfig("os", segment_bytes=segment_bytes)) as writer:
            for hour in hours:
                writer.append([bytes(payload)], START_NS + hour * HOUR_NS, 1)

    def blocks(self, feed):
        with Reader(self.directory.journal(feed), None) as reader:
            found = []
            while blocks := reader.read():
                found += blocks
            return found

    def stand(self, reader, counts=None, **positions):
        path = self.directory.reader_file(reader)
        save_positions(path, {name.replace("_", "."): at for name, at in positions.items()}, counts)

    def all_read(self, *feeds):
        ends = {feed: self.blocks(feed)[-1].end for feed in feeds}
        for reader in ("table", "ledger"):
            self.stand(reader, **{name.replace(".", "_"): end for name, end in ends.items()})

    def keep(self, *journals, healed=(), now_hour=10**6, **limits):
        keeper = Keeper(self.directory, journals, healed, JournalConfig(**limits))
        return [name for name, _ in keeper.delete(START_NS + now_hour * HOUR_NS)]

    def hours(self, feed):
        return [(b.recv_ns - START_NS) // HOUR_NS for b in self.blocks(feed)]

    def disk_bytes(self, *feeds):
        return sum(s.disk_bytes() for f in feeds for s in list_segments(self.directory.journal(f)))


@pytest.fixture
def days(tmp_path):
    made = Days(tmp_path / "tape")
    made.record("sip", range(96))
    return made


def test_by_default_everything_is_kept(days):
    days.all_read("sip")
    assert days.keep("sip") == []
    assert days.hours("sip") == list(range(96))


def test_what_is_older_than_keep_days_goes_once_all_have_read_it(days):
    days.all_read("sip")
    assert days.keep("sip", keep_days=2)
    hours = days.hours("sip")
    assert 40 <= hours[0] <= 47, "a segment goes when its newest entry is too old"
    assert hours == list(range(hours[0], 96))
    gone = read_deleted(days.directory.journal("sip"))
    assert {each.why for each in gone} == {"older than keep_days = 2"}
    assert gone[-1].next_seq == hours[0]


def test_a_clock_that_is_ahead_of_time_deletes_nothing_more(days):
    days.all_read("sip")
    days.keep("sip", keep_days=2, now_hour=95)
    kept = days.hours("sip")
    assert days.keep("sip", keep_days=2, now_hour=10**7) == []
    assert days.hours("sip") == kept


def test_keep_bytes_bounds_all_journals_together_and_the_oldest_go_first(days):
    days.record("iex", range(40, 136))
    days.all_read("sip", "iex")
    limit = days.disk_bytes("sip", "iex") // 2
    days.keep("sip", "iex", keep_bytes=limit)
    assert days.disk_bytes("sip", "iex") <= limit
    assert days.disk_bytes("sip", "iex") > limit - 3000
    assert abs(days.hours("sip")[0] - days.hours("iex")[0]) <= 8


@pytest.mark.parametrize("reader", ["table", "ledger"])
@pytest.mark.parametrize("limits", [{"keep_bytes": 1}, {"keep_days": 0.1}])
def test_nothing_that_a_reader_has_yet_to_read_goes_at_any_position(days, reader, limits):
    days.all_read("sip")
    blocks = days.blocks("sip")
    for block in sorted(random.Random(1).sample(blocks, 12), key=lambda each: each.offset):
        days.stand(reader, sip=block.position)
        days.keep("sip", **limits)
        there = days.blocks("sip")
        assert [b for b in blocks if b.position >= block.position] == [
            b for b in there if b.position >= block.position
        ]


@pytest.mark.parametrize("reader", ["table", "ledger"])
@pytest.mark.parametrize("harm", ["missing", "unreadable", "of another feed"])
def test_without_a_readers_position_nothing_goes(days, reader, harm):
    days.all_read("sip")
    path = days.directory.reader_file(reader)
    if harm == "missing":
        path.unlink()
    elif harm == "unreadable":
        path.write_bytes(path.read_bytes().replace(b"sip", b"sap"))
    else:
        days.stand(reader, iex=Position(9, 9))
    assert days.keep("sip", keep_bytes=1) == []


def a_book(*from_hours):
    gaps = [HealGap("", START_NS + hour * HOUR_NS) for hour in from_hours]
    return {"book": msgspec.to_builtins(HealBook(gaps={gap.key: gap for gap in gaps}))}


def test_what_the_healer_needs_for_a_gap_stays_until_it_is_healed(days):
    days.record("sip.rest", range(96))
    days.all_read("sip", "sip.rest")
    end, own = days.blocks("sip")[-1].end, days.blocks("sip.rest")[-1].end
    healed = {"healed": ("sip",), "keep_bytes": 1}
    assert days.keep("sip", "sip.rest", **healed) == [], "it has never said where it stands"
    days.stand("heal-sip", a_book(30, 50), sip=end, sip_rest=own)
    days.keep("sip", "sip.rest", **healed)
    assert 25 <= days.hours("sip")[0] <= 29
    assert 25 <= days.hours("sip.rest")[0] <= 29
    days.stand("heal-sip", a_book(50), sip=end, sip_rest=own)
    days.keep("sip", "sip.rest", **healed)
    assert 45 <= days.hours("sip")[0] <= 49
    days.stand("heal-sip", a_book(), sip=days.blocks("sip")[10].position, sip_rest=own)
    at = days.hours("sip")[10]
    days.keep("sip", "sip.rest", **healed)
    assert at - 5 < days.hours("sip")[0] <= at
    days.stand("heal-sip", a_book(), sip=end, sip_rest=own)
    days.keep("sip", "sip.rest", **healed)
    assert len(list_segments(days.directory.journal("sip"))) == 1


def test_plain_and_sealed_segments_go_alike_and_the_newest_never(days):
    days.all_read("sip")
    sealer = Sealer(days.directory.journal("sip"), None)
    for _ in range(5):
        sealer.seal_next()
    newest = list_segments(days.directory.journal("sip"))[-1]
    days.keep("sip", keep_bytes=1, keep_days=0.01)
    assert list_segments(days.directory.journal("sip")) == [newest]


def test_a_month_of_days_stays_within_its_bytes_and_nothing_unread_goes(tmp_path):
    """Starts, readers that lag by chance, sealing now and then: a month in a moment."""
    rng = random.Random(7)
    days = Days(tmp_path / "tape")
    limit, stored, known = 20_000, Position(0, 0), []
    for day in range(31):
        days.record("sip", range(day * 24, day * 24 + 24))
        known += [b for b in days.blocks("sip") if not known or b.position > known[-1].position]
        lag = rng.choice([0, 0, 3, 30])
        stored = max(stored, known[max(len(known) - 1 - lag, 0)].end)
        days.stand("table", sip=stored)
        days.stand("ledger", sip=known[-1].end)
        sealer = Sealer(days.directory.journal("sip"), None)
        for _ in range(rng.randint(0, 4)):
            sealer.seal_next()
        days.keep("sip", keep_bytes=limit, now_hour=day * 24 + 24)
        there = days.blocks("sip")
        assert [b for b in known if b.position >= stored] == [
            b for b in there if b.position >= stored
        ]
        unread = sum(b.end_offset - b.offset for b in known if b.position >= stored)
        assert days.disk_bytes("sip") <= limit + unread + 4_000
    gone = read_deleted(days.directory.journal("sip"))
    assert gone[0].first_seq == 0 and gone[-1].next_seq == days.blocks("sip")[0].seq
    assert DAY_NS == 24 * HOUR_NS
