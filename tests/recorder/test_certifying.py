"""A day that is over has its certificate made, once and again when a heal has changed it."""

import msgspec
import pytest

from ticktape import clock
from ticktape.config import JournalConfig
from ticktape.directory import RunDirectory
from ticktape.journal.position_file import save_positions
from ticktape.journal.reader import Reader
from ticktape.journal.segments import list_segments
from ticktape.journal.writer import Writer, WriterConfig
from ticktape.ledger.healing import HealBook, HealGap
from ticktape.recorder import certifying
from ticktape.recorder.certifying import PIN_NS, WAIT_NS, CertificateRoll
from ticktape.recorder.keeping import DAY_NS, Keeper
from ticktape.records import Position

HOUR_NS = 3600 * clock.NS_PER_S
START_NS = 20_000 * DAY_NS + 20 * HOUR_NS  # 2024-10-04 20:00
DAYS = ["2024-10-04", "2024-10-05", "2024-10-06", "2024-10-07"]


class FakeProcess:
    """A process that ends when it is told to."""

    def __init__(self):
        self.code = None
        self.killed = False

    def poll(self):
        return self.code

    def kill(self):
        self.killed = True

    def wait(self):
        pass


class World:
    """A run of one feed with an entry for each hour, and what the roll makes of it."""

    def __init__(self, root, monkeypatch):
        self.directory = RunDirectory(root)
        self.mono_ns = 1
        monkeypatch.setattr(certifying.clock, "monotonic_ns", lambda: self.mono_ns)
        self.asked = []
        self.processes = []
        self.restart()

    def restart(self):
        self.roll = CertificateRoll(self.directory, ["sip", "sip.rest"], ["sip"], self.start)

    def start(self, days):
        self.asked.append(list(days))
        self.processes.append(FakeProcess())
        return self.processes[-1]

    def record(self, hours):
        config = WriterConfig("os", segment_bytes=1500)
        journal, positions = self.directory.journal("sip"), self.directory.positions("sip")
        with Writer(journal, positions, config) as writer:
            for hour in hours:
                writer.append([bytes(300)], START_NS + hour * HOUR_NS, 1)

    def end(self):
        with Reader(self.directory.journal("sip"), None) as reader:
            blocks = []
            while more := reader.read():
                blocks += more
        return blocks[-1].end

    def all_read(self, position=None, gaps=()):
        at = {"sip": position or self.end()}
        for reader in ("table", "ledger"):
            save_positions(self.directory.reader_file(reader), at)
        book = HealBook(gaps={gap.key: gap for gap in gaps})
        save_positions(
            self.directory.reader_file("heal-sip"), at, {"book": msgspec.to_builtins(book)}
        )

    def look(self, hour):
        self.mono_ns += certifying._AGAIN_NS
        return self.roll.look(START_NS + int(hour * HOUR_NS))

    def made(self, *days, code=0):
        """What the process that was started last makes before it ends."""
        self.directory.certificates.mkdir(exist_ok=True)
        for day in days:
            path = self.directory.certificates / f"{day}.json"
            path.write_text(f'{{"words": "COMPLETE: {day}", "more": 1}}')
        self.processes[-1].code = code


@pytest.fixture
def world(tmp_path, monkeypatch):
    return World(tmp_path, monkeypatch)


def test_a_day_is_certified_once_it_is_over_and_all_have_read_it(world):
    world.record(range(5))
    world.all_read(Position(0, 0))
    assert world.look(3.9) == [] and world.asked == []
    world.look(4.1)
    assert world.asked == [], "the table has not read it yet"
    world.all_read()
    world.look(4.2)
    assert world.asked == [DAYS[:1]]
    assert world.look(4.3) == [] and len(world.asked) == 1, "one is at work at a time"
    world.made(DAYS[0])
    (certified,) = world.look(4.4)
    assert certified == (DAYS[0], f"COMPLETE: {DAYS[0]}")
    for hour in (5, 9, 20):
        world.look(hour)
    assert len(world.asked) == 1


def test_days_of_which_there_is_none_are_made_in_one_go_and_a_restart_remembers_them(world):
    world.record([*range(10), 60])
    world.all_read()
    world.look(77)
    assert world.asked == [DAYS], "on one of them nothing came, which the verb will see"
    world.made(DAYS[0], DAYS[1], DAYS[3])
    assert [each.day for each in world.look(77)] == [DAYS[0], DAYS[1], DAYS[3]]
    world.restart()
    world.look(78)
    assert len(world.asked) == 1


def test_a_certificate_of_the_runs_end_is_not_made_again(world):
    world.record(range(5))
    world.all_read()
    world.start([])
    world.made(DAYS[0])
    world.asked.clear()
    world.look(6)
    assert world.asked == []


def test_what_does_not_come_to_an_end_is_waited_for_within_a_bound(world):
    world.record(range(5))
    world.all_read(gaps=[HealGap("IBM", START_NS, START_NS + 5)])
    world.look(5)
    world.look(5 + WAIT_NS / HOUR_NS - 0.1)
    assert world.asked == []
    world.look(5 + WAIT_NS / HOUR_NS)
    assert world.asked == [DAYS[:1]]


def test_it_is_made_again_when_a_gap_of_that_day_is_no_longer_open(world):
    old = HealGap("IBM", START_NS, START_NS + 5)
    world.record(range(5))
    world.all_read(gaps=[old])
    world.look(5)
    world.look(8)
    world.made(DAYS[0], code=1)
    world.look(9)
    world.look(11)
    assert len(world.asked) == 1
    world.restart()
    world.all_read(gaps=[HealGap("IBM", START_NS + 5 * HOUR_NS)])
    world.look(12)
    assert world.asked == [DAYS[:1], DAYS[:1]]
    world.made(DAYS[0])
    world.look(13)
    world.look(15)
    assert len(world.asked) == 2


def test_a_failure_is_said_and_tried_again_later(world):
    world.record(range(5))
    world.all_read()
    world.look(5)
    world.made(code=70)
    (certified,) = world.look(5.1)
    assert "code 70" in certified.words and "certificate.log" in certified.words
    world.look(7)
    assert len(world.asked) == 2


def test_closing_ends_the_process_and_the_next_one_begins_anew(world):
    world.record(range(5))
    world.all_read()
    world.look(5)
    world.roll.close()
    world.roll.close()
    assert world.processes[0].killed
    world.restart()
    world.look(6)
    assert len(world.asked) == 2


def keep(world, hour, **limits):
    keeper = Keeper(world.directory, ["sip"], [], JournalConfig(**limits))
    return list(keeper.delete(START_NS + int(hour * HOUR_NS), world.roll.pin))


def oldest_ns(world):
    segments = list_segments(world.directory.journal("sip"))
    first = [certifying.read_first_block(each) for each in segments]
    return min(block.recv_ns for block in first if block is not None)


def test_nothing_of_a_day_goes_before_its_certificate_is_made(world):
    world.record(range(60))
    world.all_read()
    assert keep(world, 30, keep_days=0.01) == []
    world.start([])
    world.made(DAYS[0])
    assert keep(world, 30, keep_bytes=1) != []
    assert oldest_ns(world) < 20_001 * DAY_NS + 5 * HOUR_NS
    assert keep(world, 30, keep_bytes=1) == []


def test_a_certificate_that_cannot_be_made_does_not_fill_the_disk(world):
    world.record(range(60))
    world.all_read()
    assert keep(world, 60, keep_bytes=1) == []
    assert keep(world, 60 + PIN_NS / HOUR_NS + 1, keep_bytes=1) != []
