"""What is read from files agrees with what was captured; nothing is believed but files."""

import random
from itertools import pairwise

import pytest

from ticktape.feeds.mt5.terminal import Account, LocalTerminal
from ticktape.lab.cell import Ran
from ticktape.lab.measure import measure
from ticktape.lab.packing import pack
from ticktape.lab.plan import Options, make_plan
from ticktape.lab.reading import read_files
from ticktape.lab.results import CellKey, Threshold
from ticktape.lab.saving import FileWriter
from ticktape.lab.source import PolledBook
from ticktape.lab.stages import FILES
from ticktape.sim.mt5 import BookDescription, Connection, Description, Terminal

MS = 1_000_000
S = 1000 * MS
ROWS = [(1, 1.2 + 0.1 * level, 7, 7.25) for level in range(3)] + [(2, 1.1, 2**63, 0.37)]


class FakeClock:
    """Both clocks, and the waiting: `hold` moves the time on."""

    def __init__(self):
        self.now_ns = 5_000 * S

    def monotonic_ns(self):
        return self.now_ns

    def wall_ns(self):
        return self.now_ns + 1_700_000_000 * S

    def hold(self, wait_ns, with_lock):
        self.now_ns += wait_ns


def capture(sequence, leg=0, rows=ROWS):
    at_ns = sequence * MS + leg
    return pack((sequence, leg, at_ns, at_ns + 100, rows))


@pytest.fixture
def judge(tmp_path):
    """What is found in files that hold these captures."""

    def of(files, *, form="csv", count=None, legs=1, layout="sequential", **known):
        (tmp_path / FILES).mkdir()
        writer = FileWriter(tmp_path / FILES, form, stream=False)
        for captures in files:
            writer.write(captures)
        count = count or sum(map(len, files))
        ran = Ran(
            CellKey(layout, Threshold(1_000_000), 0, known.pop("victim", "")),
            tmp_path,
            warm=known.pop("warm", [0] * legs),
            stop_ns=S,
            acquired=[count] * legs,
            is_drained=known.pop("is_drained", True),
            **known,
        )
        return measure(ran, make_plan(Options(format=form)), None)

    return of


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_captures_come_back_from_files_as_they_went_in(tmp_path, form):
    books = [ROWS, [], ROWS[:1], [(2, float("nan"), 0, float("inf"))], ROWS]
    captures = [capture(number, rows=rows) for number, rows in enumerate(books)]
    writer = FileWriter(tmp_path, form, stream=False)
    writer.write(captures[:2])
    writer.write(captures[2:])
    found = read_files(tmp_path, form, stream=False)
    assert found.sequence == list(range(5))
    assert found.good[:3] == [True] * 3
    assert found.good[4]
    assert found.file == [0, 0, 1, 1, 1]
    assert found.before_ns == [number * MS for number in range(5)]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_messages_come_back_from_files_as_they_went_in(tmp_path, form):
    texts = ['[{"T":"t","c":["@","I"]}]', '[{"T":"n","headline":"a, \\"b\\"\nµ"}]', "[]"]
    captures = [pack((number, 0, 5, 5, text.encode())) for number, text in enumerate(texts)]
    FileWriter(tmp_path, form, stream=True).write(captures)
    found = read_files(tmp_path, form, stream=True)
    assert found.good == [True] * 3
    assert found.sequence == [0, 1, 2]


def test_the_last_capture_of_a_torn_file_is_lost_and_the_others_survive(judge, tmp_path):
    writer = FileWriter(tmp_path / "whole", "csv", stream=False)
    (tmp_path / "whole").mkdir()
    writer.write([capture(number) for number in range(10)])
    text = (tmp_path / "whole" / "000000.csv").read_bytes()
    (tmp_path / FILES).mkdir()
    for cut in range(len(text) - 200, len(text) - 1, 7):
        (tmp_path / FILES / "000000.csv").write_bytes(text[:cut])
        found = read_files(tmp_path / FILES, "csv", stream=False)
        assert found.good.count(True) in (8, 9)
        assert found.sequence[:8] == list(range(8))


def test_a_file_that_cannot_be_read_is_named(judge, tmp_path):
    (tmp_path / FILES).mkdir()
    (tmp_path / FILES / "000000.parquet").write_bytes(b"PAR1 torn")
    assert read_files(tmp_path / FILES, "parquet", stream=False).torn_files == ["000000.parquet"]


def test_what_is_behind_the_last_saved_one_was_lost_at_the_stop(judge):
    result = judge([[capture(number) for number in range(10) if number != 4]], count=14)
    assert (result.lost_in_run, result.lost_at_stop) == (1, 4)
    assert result.acquired == result.saved + result.lost_in_run + result.lost_at_stop


def test_of_two_packers_the_one_behind_lost_nothing_in_the_run(judge):
    kept = [0, 1, 2, 4, 6, 3, 8, 5, 10, 7, 12, 14, 16, 18]
    captures = [[capture(number) for number in kept]]
    result = judge(captures, count=20, layout="queue-4", is_drained=False)
    assert (result.lost_in_run, result.lost_at_stop, result.left_behind) == (0, 6, 6)


def test_a_capture_that_both_packers_have_passed_was_lost_in_the_run(judge):
    kept = [0, 1, 2, 6, 3, 8, 5, 10, 7, 12, 14]
    captures = [[capture(number) for number in kept]]
    result = judge(captures, count=20, layout="queue-4", is_drained=False)
    assert (result.lost_in_run, result.lost_at_stop) == (1, 8)


def test_what_we_tore_when_the_time_was_over_is_left_behind_and_not_damaged(judge):
    captures = [capture(number) for number in range(10)]
    torn = captures[9][:-32] + captures[9][-4:]  # without its last row
    result = judge([[*captures[:9], torn]], count=10, is_drained=False)
    assert (result.corrupted, result.left_behind) == (0, 1)


def test_the_warm_up_counts_for_nothing(judge):
    captures = [capture(number) for number in range(20)]
    del captures[3]
    result = judge([captures], count=20, warm=[10])
    assert result.acquired == result.saved == 10
    assert (result.lost_in_run, result.gaps.count) == (0, 9)


def test_one_that_is_there_twice_or_damaged_is_counted_once(judge):
    captures = [capture(number) for number in range(10)]
    damaged = bytearray(captures[5])
    damaged[45] ^= 4
    result = judge([[*captures[:5], bytes(damaged), *captures[6:], captures[2]]], count=10)
    assert (result.duplicated, result.corrupted, result.out_of_order) == (1, 1, 0)
    assert (result.saved, result.lost_in_run, result.lost_at_stop) == (11, 0, 0)
    assert result.acquired == result.saved - result.duplicated


def test_a_damaged_number_is_a_damaged_capture_and_a_lost_one(judge):
    captures = [capture(number) for number in range(10)]
    damaged = bytearray(captures[5])
    damaged[6] ^= 1  # far beyond what was acquired
    result = judge([[*captures[:5], bytes(damaged), *captures[6:]]], count=10)
    assert (result.corrupted, result.lost_in_run, result.saved) == (1, 1, 9)


def test_two_legs_are_in_order_by_time_and_their_gaps_are_those_of_both(judge):
    merged = [capture(number, leg) for number in range(5) for leg in (0, 1)]
    result = judge([merged], count=5, legs=2, layout="journal-x2")
    assert (result.acquired, result.saved, result.out_of_order) == (10, 10, 0)
    assert result.gaps.lowest == 1
    assert result.gaps.max == MS - 1


def test_two_legs_one_behind_the_other_are_out_of_order(judge):
    apart = [capture(number, leg) for leg in (0, 1) for number in range(5)]
    result = judge([apart], count=5, legs=2, layout="journal-x2")
    assert result.out_of_order == 4


def test_what_survives_a_kill_was_acquired_before_it(judge):
    captures = [capture(number) for number in range(10)]
    result = judge([captures[:8]], count=10, victim="process", at_kill=[9])
    assert (result.at_kill, result.survived) == (9, 8)


# Against the simulator's truth.


def test_measured_gaps_are_those_of_the_calls_in_the_simulators_truth(judge, tmp_path):
    """Each call moves the simulated book on, and the simulator keeps the moment of each."""
    clock, chance = FakeClock(), random.Random(1)
    described = Description(books={"X": BookDescription()}, speed=0)
    with Terminal(tmp_path / "world", described, clock=clock) as terminal:
        terminal.start()
        module = Connection(clock=clock, hold=clock.hold)
        account = Account(path=str(terminal.world.executable))
        source = PolledBook(LocalTerminal(account, module, clock.monotonic_ns), "X")
        captures = []
        for sequence in range(400):
            polled = source.poll()
            captures.append(pack((sequence, 0, *polled)))
            # Mostly microseconds, at times none at all, three times whole seconds.
            pause_ns = chance.choice([0, 21_345, 40_001, 999_999])
            clock.now_ns += pause_ns + (sequence % 150 == 100) * 2 * S
        calls = terminal.world.book("X").calls.moments().tolist()
    gaps = [after - before for before, after in pairwise(calls)]
    result = judge([captures[:150], captures[150:]], count=400)
    assert result.gaps.count == len(gaps) == 399
    assert result.gaps.zero == gaps.count(0) > 0
    ordered = sorted(gaps)
    assert result.gaps.max == ordered[-1] > 2 * S
    assert result.gaps.p50 == ordered[199]
    assert result.gaps.p99 == ordered[395]
    assert result.gaps.mean == pytest.approx(sum(gaps) / len(gaps))


def test_a_call_that_stalls_is_a_gap_of_its_length(judge, tmp_path):
    clock = FakeClock()
    books = {"X": BookDescription(kind="generated")}
    with Terminal(tmp_path / "world", Description(books=books, latency_us=70), clock=clock) as sim:
        sim.start()
        module = Connection(clock=clock, hold=clock.hold)
        account = Account(path=str(sim.world.executable))
        source = PolledBook(LocalTerminal(account, module, clock.monotonic_ns), "X")
        captures = []
        for sequence in range(100):
            if sequence == 50:
                sim.world.control.stall_next_ms = 1234
            captures.append(pack((sequence, 0, *source.poll())))
            clock.now_ns += 30_000
    result = judge([captures], count=100)
    assert (result.gaps.p50, result.gaps.lowest) == (100_000, 100_000)
    assert result.gaps.max == 1234 * MS + 100_000
