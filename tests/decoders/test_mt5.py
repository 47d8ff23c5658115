"""Blocks of a terminal's feed, entry by entry and in bulk; and what is damaged beside them."""

import json
import random
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape import mt5
from ticktape.decoders import decoder_for
from ticktape.mt5 import Image, Mark, TickBatch
from ticktape.records import Book, EntryKind, Gap, Tick, Unknown
from ticktape.schemas import KINDS, MARKET_KINDS

MONO_NS = 1_700_000_000_000_000_000 // 7  # as tests/decoders/conftest.py stamps its blocks
WALL_NS = 1_700_000_000_000_000_000
MS = 1_000_000
ROWS = [(1, 1.2005, 100, 100.5), (2, 1.2004, 50, 50.0)]
I64 = st.integers(-(2**63), 2**63 - 1)


def image(rows=ROWS, symbol="RIZ6", **more):
    times = MONO_NS - 700, MONO_NS - 500, MONO_NS - 2_000_700
    plain = Image(symbol, *times, 7, 3, 0, mt5.pack_rows(rows))
    return EntryKind.BINARY, mt5.pack_image(plain._replace(**more), MONO_NS)


def tick(msc=1_700_010_799_990, bid=1.2, volume=3, flags=6, real=3.0):
    return mt5.TICK.pack(msc // 1000, bid, 1.3, 0.0, volume, msc, flags, real)


def ticks(*rows, symbol="RIZ6", offset_ms=10_800_000, **more):
    plain = TickBatch(symbol, MONO_NS - 400, MONO_NS - 200, offset_ms, 1, 0, b"".join(rows))
    return EntryKind.BINARY, mt5.pack_ticks(plain._replace(**more), MONO_NS)


@pytest.fixture
def read(make_block):
    """Records of entries, after a look that the tables have the same rows in the same order."""

    def decode(*entries, seq=5):
        block = make_block(*entries, seq=seq, epoch=2)
        decoder = decoder_for("mt5", "mt5")
        records = decoder.decode(block)
        counts = decoder.counts
        tables = decoder.tables([block])
        assert decoder.counts == counts
        assert list(tables) == [kind for kind in KINDS if kind in tables]
        for kind, table in tables.items():
            assert table.schema == KINDS[kind]
            table.validate(full=True)
            wanted = [record for record in records if record.kind == kind]
            columns = {
                name: [getattr(record, name) for record in wanted] for name in KINDS[kind].names
            }
            assert table.equals(pa.table(columns, schema=KINDS[kind]))
        assert {record.kind for record in records} == set(tables)
        rows = sum(table.num_rows for kind, table in tables.items() if kind in MARKET_KINDS)
        assert counts.messages == rows
        return records, counts

    return decode


def test_an_image_is_placed_by_the_blocks_wall_stamp(read):
    (book,), counts = read(image())
    assert isinstance(book, Book)
    assert (book.feed, book.symbol, book.epoch, book.seq) == ("mt5", "RIZ6", 2, 5)
    assert (book.recv_ns, book.event_ns, book.after_ns) == (WALL_NS, WALL_NS - 500, WALL_NS - 500)
    assert (book.before_ns, book.previous_ns) == (WALL_NS - 700, WALL_NS - 2_000_700)
    assert counts == (1, 0, 0, 0)


def test_ticks_keep_the_brokers_time_and_are_placed_in_utc(read):
    (one, two), counts = read(ticks(tick(), tick(1_700_010_799_995, volume=2**64 - 1, flags=134)))
    assert isinstance(one, Tick)
    assert (one.time_msc, one.offset_ms) == (1_700_010_799_990, 10_800_000)
    assert one.event_ns == WALL_NS - 10 * MS
    assert (one.seq, one.index, two.seq, two.index) == (5, 0, 5, 1)
    assert (two.volume, two.flags) == (-1, 134)
    assert two.volume & (2**64 - 1) == 2**64 - 1
    assert (one.before_ns, one.after_ns) == (WALL_NS - 400, WALL_NS - 200)
    assert (one.bid, one.ask, one.last, one.volume_real) == (1.2, 1.3, 0.0, 3.0)
    assert counts == (2, 0, 0, 0)


@pytest.mark.parametrize("offset_ms", [0, -18_000_000, 10_800_000, 20_700_000])
def test_the_offset_of_a_batch_is_that_of_each_of_its_ticks(read, offset_ms):
    records, _ = read(ticks(tick(), tick(), offset_ms=offset_ms), ticks(tick(), offset_ms=7))
    assert [each.event_ns for each in records] == [
        (1_700_010_799_990 - each) * MS for each in (offset_ms, offset_ms, 7)
    ]


def test_two_ticks_that_look_alike_are_two(read):
    records, _ = read(ticks(tick(), tick(), tick()), ticks(tick()))
    assert [(each.seq, each.index) for each in records] == [(5, 0), (5, 1), (5, 2), (6, 0)]


@given(st.data())
def test_any_ticks_are_the_same_one_by_one_and_in_bulk(make_block, data):
    """NaNs never equal themselves: compared by their bits."""
    floats = st.floats(allow_nan=False)
    rows = st.lists(
        st.builds(
            mt5.TICK.pack,
            *(I64, floats, floats, floats, st.integers(0, 2**64 - 1), I64),
            *(st.integers(0, 2**32 - 1), floats),
        ),
        max_size=5,
    )
    symbols, offsets = st.sampled_from(["A", "ü#", ""]), st.integers(-54_000_000, 54_000_000)
    made = data.draw(st.lists(st.tuples(rows, symbols, offsets, st.integers(0, 63)), max_size=4))
    entries = [
        ticks(*each, symbol=symbol, offset_ms=offset_ms, marks=marks)
        for each, symbol, offset_ms, marks in made
    ]
    decoder, block = decoder_for("mt5", "mt5"), make_block(*entries)
    records = decoder.decode(block)
    table = decoder.tables([block]).get("ticks", KINDS["ticks"].empty_table())
    names = KINDS["ticks"].names
    assert table.to_pylist() == [{name: getattr(r, name) for name in names} for r in records]
    assert len(records) == sum(len(each) for each, *_ in made)


@pytest.mark.parametrize("msc", [2**63 - 1, -(2**63), 9_223_372_036_855, 0])
def test_a_time_that_no_clock_shows_costs_nothing_but_its_place(read, msc):
    (found, other), _ = read(ticks(tick(msc), tick()))
    assert found.time_msc == msc
    assert -(2**63) <= found.event_ns < 2**63
    assert other.event_ns == WALL_NS - 10 * MS


def test_a_batch_without_ticks_has_no_rows(read):
    assert read(ticks()) == ([], (0, 0, 0, 0))
    records, _ = read(ticks(), ticks(tick()), ticks())
    assert [each.seq for each in records] == [6]


def test_images_and_ticks_of_many_symbols_keep_their_order(read):
    entries = [image(symbol="A"), ticks(tick(), symbol="B"), image([], symbol="B"), image()]
    records, counts = read(*entries)
    assert [(each.kind, each.symbol, each.seq) for each in records] == [
        ("books", "A", 5),
        ("ticks", "B", 6),
        ("books", "B", 7),
        ("books", "RIZ6", 8),
    ]
    assert counts.messages == 4


@pytest.mark.parametrize(("witness", "mark"), mt5.WITNESS_MARKS.items())
def test_the_leg_is_told_by_the_marks_of_each_entry(read, witness, mark):
    marks = int(mark | Mark.AFTER_GAP)
    records, _ = read(image(marks=marks), ticks(tick(), marks=marks), image(marks=int(Mark.LEG_A)))
    assert [each.witness for each in records] == [witness, witness, "leg A"]


DAMAGED = [
    (EntryKind.BINARY, b""),
    (EntryKind.BINARY, b"\x09" * 30),
    (EntryKind.BINARY, image()[1][:-1]),
    (EntryKind.BINARY, image()[1] + b"\0"),
    (EntryKind.BINARY, ticks(tick())[1][:-1]),
    (EntryKind.BINARY, bytes([mt5.Form.IMAGE_WIDE]) + b"\xff" * 47 + bytes(28)),
    (EntryKind.BINARY, image()[1].replace(b"RIZ6", b"R\xffZ6")),
    (EntryKind.TEXT, b'{"a": 1}'),
]


@pytest.mark.parametrize("damaged", DAMAGED)
def test_what_is_damaged_is_kept_and_its_neighbours_stay(read, damaged):
    records, counts = read(image(), damaged, ticks(tick()), damaged, image())
    assert [type(each) for each in records] == [Book, Unknown, Tick, Unknown, Book]
    assert [each.seq for each in records] == [5, 6, 7, 8, 9]
    unknown = records[1]
    assert bytes.fromhex(unknown.text) == damaged[1]
    assert unknown.reason and unknown.event_ns == unknown.recv_ns == WALL_NS
    assert counts == (5, 0, 2, 0)


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2]), st.binary(max_size=90)), min_size=1))
def test_no_bytes_whatever_raise(make_block, entries):
    decoder, block = decoder_for("mt5", "mt5"), make_block(*entries)
    records = decoder.decode(block)
    counts = decoder.counts
    tables = decoder.tables([block])
    assert decoder.counts == counts
    assert sum(table.num_rows for table in tables.values()) == len(records)


def test_gaps_of_session_entries_stand_between(read):
    gap = {"from_ns": 1, "to_ns": None, "cause": "x", "symbol": "RIZ6"}
    said = json.dumps({"event": "subscribed", "gaps": [gap]}).encode()
    records, counts = read(image(), (EntryKind.SESSION, said), image(), (EntryKind.SESSION, b"{"))
    assert [type(each) for each in records] == [Book, Gap, Book]
    assert (records[1].symbol, records[1].seq) == ("RIZ6", 6)
    assert counts == (2, 0, 0, 1)


@pytest.mark.parametrize("kind", [EntryKind.POLLS, EntryKind.NOTE, EntryKind.CLOCK])
def test_what_we_say_of_our_polling_is_no_data(read, kind):
    assert read((kind, b'{"from_ns": 1}')) == ([], (0, 0, 0, 0))


def test_tables_of_many_blocks_are_those_of_each_behind_one_another(make_block):
    rng = random.Random(4)
    decoder = decoder_for("mt5", "mt5")
    blocks = []
    for number in range(60):
        choices = [image(ROWS[: rng.randint(0, 2)]), ticks(*[tick()] * rng.randint(0, 3))]
        entries = rng.choices([*choices, DAMAGED[1]], k=rng.randint(1, 6))
        blocks.append(make_block(*entries, seq=number * 10, recv_ns=WALL_NS + number))
    whole = decoder.tables(blocks)
    records = [record for block in blocks for record in decoder.decode(block)]
    for kind in ("books", "ticks", "unknown"):
        wanted = [(each.recv_ns, each.seq, each.index) for each in records if each.kind == kind]
        found = whole[kind].select(["recv_ns", "seq", "index"]).to_pylist()
        assert [tuple(row.values()) for row in found] == wanted


def test_what_was_dropped_is_a_gap_in_records_and_tables():
    told = b'{"frames":3,"bytes":90,"from_ns":5,"to_ns":8}'
    block = SimpleNamespace(
        epoch=0, seq=4, recv_ns=9, entries=lambda: [(int(EntryKind.DROPPED), told)]
    )
    decoder = decoder_for("mt5", "rts")
    (gap,) = decoder.decode(block)
    assert (gap.from_ns, gap.to_ns, gap.symbol, gap.seq) == (5, 8, "", 4)
    assert "3 frames were dropped" in gap.cause
    assert decoder.tables([block])["gaps"].num_rows == 1
