"""The report and the trace equal a join done block by block and row by row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.latency import BlockIndex, Histogram, LatencyReport, PauseKind, path_of
from ticktape.latency.rowreading import PAUSE, ROW, boot_words
from ticktape.latency.trace import NO_STAMP, NOT_REACHED, OTHER_BOOT
from ticktape.records import Position

BOOT_A = bytes(range(16))
BOOT_B = bytes(range(100, 116))


class Header:
    """A block of the journal, as far as an index needs it."""

    def __init__(self, epoch, offset, end_offset, seq, count, recv_mono_ns):
        self.epoch = epoch
        self.offset = offset
        self.end_offset = end_offset
        self.seq = seq
        self.count = count
        self.recv_mono_ns = recv_mono_ns


def rows_of(rows):
    """(epoch, from, to, mono_ns, count, boot) tuples as an array."""
    array = np.zeros(len(rows), dtype=ROW)
    for at, (epoch, from_offset, to_offset, mono_ns, count, boot) in enumerate(rows):
        array[at] = (epoch, from_offset, to_offset, mono_ns, count, tuple(boot_words(boot)))
    return array


def index_of(headers, boots, feed="sip"):
    return BlockIndex.from_blocks(feed, headers, boots)


@st.composite
def journals(draw):
    """Blocks with holes between them over up to three epochs and two boots."""
    headers, boots, seq = [], {}, 0
    for epoch in sorted(draw(st.sets(st.integers(0, 5), min_size=1, max_size=3))):
        boots[epoch] = draw(st.sampled_from([BOOT_A, BOOT_B]))
        offset = 0
        for _ in range(draw(st.integers(0, 6))):
            offset += draw(st.sampled_from([0, 0, 0, 128]))
            end = offset + draw(st.integers(1, 3)) * 10
            count = draw(st.integers(0, 4))
            headers.append(Header(epoch, offset, end, seq, count, draw(st.integers(1, 1000))))
            seq += count
            offset = end
    return headers, boots


ROWS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 20).map(lambda n: n * 10),
        st.integers(0, 20).map(lambda n: n * 10),
        st.integers(1, 2000),
        st.integers(0, 9),
        st.sampled_from([BOOT_A, BOOT_B]),
    ).filter(lambda row: row[1] < row[2]),
    max_size=12,
)


def brute_first(header, boots, rows):
    """Earliest covering row of the block's own boot, or None."""
    covering = [
        row
        for row in rows
        if row[0] == header.epoch
        and row[1] <= header.offset
        and header.end_offset <= row[2]
        and row[5] == boots[header.epoch]
    ]
    return min(covering, key=lambda row: row[3], default=None)


@settings(max_examples=200)
@given(journals(), ROWS, ROWS)
def test_the_report_equals_a_brute_force_join(journal, last_rows, stored_rows):
    headers, boots = journal
    report = LatencyReport()
    report.add(
        index_of(headers, boots), {"stored": rows_of(stored_rows), "last": rows_of(last_rows)}
    )
    table, statistics = report.to_dict(), report.statistics()
    assert list(table) == ["recv_to_last", "recv_to_stored"]
    for stage, rows in (("last", last_rows), ("stored", stored_rows)):
        every, impossible, unreached = [], 0, 0
        for header in headers:
            row = brute_first(header, boots, rows)
            if row is None:
                unreached += header.count
            elif row[3] < header.recv_mono_ns:
                impossible += header.count
            else:
                every += [row[3] - header.recv_mono_ns] * header.count
        expected = Histogram()
        expected.record(np.array(every, dtype=np.int64))
        assert table[f"recv_to_{stage}"] == expected.to_dict(1000)
        found = statistics[stage]
        assert (found.measured, found.unreached, found.impossible) == (
            len(every),
            unreached,
            impossible,
        )
        assert found.other_boot_rows == sum(
            row[0] in boots and row[5] != boots[row[0]] for row in rows
        )
        slow = [batch for batch in report.worst(100) if batch.stage == stage]
        assert [batch.latency_ns for batch in slow] == sorted(
            (batch.latency_ns for batch in slow), reverse=True
        )
        assert (max(every) if every else None) == (slow[0].latency_ns if slow else None)


@given(journals(), ROWS, st.integers(1, 4))
def test_parts_added_one_by_one_equal_the_whole(journal, rows, part_blocks):
    headers, boots = journal
    whole, parts = LatencyReport(), LatencyReport()
    stages = {"last": rows_of(rows)}
    whole.add(index_of(headers, boots), stages)
    for at in range(0, len(headers), part_blocks):
        parts.add(index_of(headers[at : at + part_blocks], boots), stages)
    if headers:
        assert parts.to_dict() == whole.to_dict()


@given(journals(), ROWS)
def test_the_trace_of_every_block_equals_a_brute_force_join(journal, rows):
    headers, boots = journal
    index = index_of(headers, boots)
    for header in headers:
        steps = path_of(
            index, {"last": rows_of(rows)}, Position(header.epoch, header.end_offset - 1)
        )
        assert [step.stage for step in steps] == [
            "recv",
            "written",
            "synced",
            "last",
            "decided",
            "stored",
        ]
        assert steps[0].mono_ns == header.recv_mono_ns
        row = brute_first(header, boots, rows)
        assert steps[3].mono_ns == (None if row is None else row[3])
        if row is not None:
            assert steps[3].since_recv_us == (row[3] - header.recv_mono_ns) / 1000
        else:
            assert steps[3].note in (NOT_REACHED, NO_STAMP, OTHER_BOOT)
        assert steps[1].note == NOT_REACHED


def simple():
    """Three blocks of 10, 20 and 30 entries, received at 1, 2 and 3 ms."""
    headers = [
        Header(1, 128, 200, 0, 10, 1_000_000),
        Header(1, 200, 300, 10, 20, 2_000_000),
        Header(1, 300, 400, 30, 30, 3_000_000),
    ]
    return index_of(headers, {1: BOOT_A})


def test_a_block_covered_twice_counts_its_first_time():
    report = LatencyReport()
    rows = [(1, 128, 400, 9_000_000, 60, BOOT_A), (1, 0, 300, 4_000_000, 30, BOOT_A)]
    report.add(simple(), {"stored": rows_of(rows)})
    stored = report.to_dict()["recv_to_stored"]
    assert stored["count"] == 60
    assert stored["max"] == 6_000.0
    assert stored["p50"] == pytest.approx(3_000, rel=0.02)


def test_rows_of_another_boot_are_left_out_and_counted():
    report = LatencyReport()
    rows = [(1, 0, 300, 4_000_000, 30, BOOT_A), (1, 300, 400, 10, 30, BOOT_B)]
    report.add(simple(), {"stored": rows_of(rows)})
    statistics = report.statistics()["stored"]
    assert (statistics.measured, statistics.unreached) == (30, 30)
    assert (statistics.impossible, statistics.other_boot_rows) == (0, 1)


def test_each_batch_is_named_once_by_its_slowest_block():
    report = LatencyReport()
    rows = [(1, 0, 300, 4_000_000, 30, BOOT_A), (1, 300, 400, 3_500_000, 30, BOOT_A)]
    report.add(simple(), {"last": rows_of(rows)})
    found = report.worst(20)
    assert [
        (batch.position, batch.seq, batch.latency_ns, batch.batch_count) for batch in found
    ] == [
        (Position(1, 128), 0, 3_000_000, 30),
        (Position(1, 300), 30, 500_000, 30),
    ]
    assert report.worst(1) == found[:1]
    assert found[0].why == "one of a batch of 30"


def pauses_of(pauses):
    array = np.zeros(len(pauses), dtype=PAUSE)
    for at, (kind, start, duration, boot, process) in enumerate(pauses):
        array[at] = (kind, start, duration, tuple(boot_words(boot)), process)
    return array


def test_pauses_that_overlap_a_slow_batch_are_its_cause():
    report = LatencyReport()
    report.add(simple(), {"last": rows_of([(1, 300, 400, 5_000_000, 1, BOOT_A)])})
    pauses = pauses_of(
        [
            (PauseKind.GC, 2_900_000, 200_000, BOOT_A, b"last"),
            (PauseKind.FSYNC, 3_500_000, 1_200_000, BOOT_A, b"capture.sip"),
            (PauseKind.FSYNC, 5_000_000, 900_000, BOOT_A, b"after"),
            (PauseKind.GC, 1_000_000, 2_000_000, BOOT_A, b"before"),
            (PauseKind.STALL, 3_000_000, 2_000_000, BOOT_B, b"other boot"),
        ]
    )
    (batch,) = report.worst(20, pauses)
    assert [(pause.process, pause.overlap_ns) for pause in batch.pauses] == [
        ("capture.sip", 1_200_000),
        ("last", 100_000),
    ]
    assert batch.why == "FSYNC pause of 1200 µs in capture.sip"


def test_a_slow_batch_alone_and_without_a_pause_says_so():
    report = LatencyReport()
    report.add(simple(), {"last": rows_of([(1, 128, 200, 5_000_000, 1, BOOT_A)])})
    (batch,) = report.worst(5, pauses_of([]))
    assert batch.why == "no pause seen"


def test_the_list_of_slow_batches_is_bounded():
    headers = [Header(0, at * 10, at * 10 + 10, at, 1, 1) for at in range(50)]
    rows = [(0, at * 10, at * 10 + 10, 100 + at, 1, BOOT_A) for at in range(50)]
    report = LatencyReport(worst_count=3)
    report.add(index_of(headers[:40], {0: BOOT_A}), {"last": rows_of(rows)})
    report.add(index_of(headers[40:], {0: BOOT_A}), {"last": rows_of(rows)})
    assert [batch.seq for batch in report.worst(10)] == [49, 48, 47]


def test_stages_without_a_row_have_no_percentiles():
    report = LatencyReport()
    report.add(simple(), {"decided": rows_of([])})
    assert report.to_dict()["recv_to_decided"]["p50"] is None
    assert report.to_dict()["recv_to_decided"]["count"] == 0
    assert report.statistics()["decided"].unreached == 60


def test_the_trace_says_why_a_stamp_is_missing():
    stages = {
        "written": rows_of([(1, 128, 300, 2_500_000, 30, BOOT_A)]),
        "last": rows_of([(1, 300, 400, 3_100_000, 30, BOOT_A)]),
        "decided": rows_of([(1, 128, 200, 2_000_000, 10, BOOT_A)]),
        "stored": rows_of([(1, 128, 400, 77, 60, BOOT_B)]),
        "twin": rows_of([(2, 128, 400, 3_100_000, 1, BOOT_A)]),
    }
    index = simple()
    position = index.position_of(1, 15)
    assert position == Position(1, 200)
    found = {step.stage: step for step in path_of(index, stages, position)}
    assert list(found)[-1] == "twin"
    assert (found["recv"].since_recv_us, found["recv"].batch_count) == (0.0, 20)
    assert (found["written"].since_recv_us, found["written"].batch_count) == (500.0, 30)
    assert found["synced"].note == NOT_REACHED
    assert found["last"].note == NO_STAMP
    assert found["decided"].note == NOT_REACHED
    assert found["stored"].note == OTHER_BOOT
    assert found["twin"].note == NO_STAMP


@pytest.mark.parametrize("position", [Position(0, 0), Position(1, 100), Position(1, 400)])
def test_a_position_outside_the_index_is_a_lookup_error(position):
    with pytest.raises(LookupError, match="sip"):
        path_of(simple(), {}, position)


@pytest.mark.parametrize(("seq", "offset"), [(0, 128), (9, 128), (10, 200), (59, 300)])
def test_an_entry_is_found_by_its_seq(seq, offset):
    assert simple().position_of(1, seq) == Position(1, offset)


@pytest.mark.parametrize(("epoch", "seq"), [(1, 60), (0, 5), (2, 5), (1, -1)])
def test_an_entry_that_is_not_there_has_no_position(epoch, seq):
    assert simple().position_of(epoch, seq) is None


def test_blocks_out_of_order_are_refused():
    with pytest.raises(ValueError, match="reading order"):
        index_of([Header(1, 50, 90, 0, 1, 1), Header(1, 0, 50, 1, 1, 1)], {1: BOOT_A})
    with pytest.raises(ValueError, match="reading order"):
        index_of([Header(1, 50, 50, 0, 1, 1)], {1: BOOT_A})
    with pytest.raises(ValueError, match="length"):
        one = np.ones(1, dtype=np.int64)
        BlockIndex("sip", one, one, one, one, one, np.ones(2, dtype=np.int64), {1: BOOT_A})
