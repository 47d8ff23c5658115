"""Every image says the same as a record and as a row, and its bytes can be made from either."""

import itertools
import math
import random
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape import mt5
from ticktape.decoders.books import book_of, book_table, flags_of, witness_of
from ticktape.mt5 import BookFlag, Image, Mark
from ticktape.schemas import KINDS

WALL_NS = 1_700_000_000_000_000_000
SELL, BUY, SELL_MARKET, BUY_MARKET = 1, 2, 3, 4
PLAIN = [
    (SELL, 1.2006, 250, 250.0),
    (SELL, 1.2005, 100, 100.5),
    (BUY, 1.2004299999999999, 50, 50.0),
    (BUY, 1.2003, 36, 36.0),
]


def image(rows, marks=0, **more):
    plain = Image("RIZ6", WALL_NS - 900, WALL_NS - 400, WALL_NS - 9000, 7, 3, marks, b"")
    return plain._replace(rows=mt5.pack_rows(rows), **more)


def rows_of(book):
    """The inverse of the decoder: a row of the table, or a record, to the terminal's rows."""
    row = {name: book[name] for name in KINDS["books"].names}
    asks = list(zip(row["ask_prices"], row["ask_volumes"], strict=True))[::-1]
    bids = list(zip(row["bid_prices"], row["bid_volumes"], strict=True))
    types = row["types"]
    if types is None:
        types = [SELL] * len(asks) + [BUY] * len(bids)
    whole = row["whole_volumes"]
    made = []
    sides = {True: iter(bids), False: iter(asks)}
    for number, kind in enumerate(types):
        kind &= 0xFF
        price, exact = next(sides[kind in mt5.BID_TYPES])
        volume = int(exact) if whole is None else whole[number] & (2**64 - 1)
        made.append((kind, price, volume, exact))
    assert not [*sides[True], *sides[False]]
    return made


def same(one, other):
    """Equal to the bit, but for what None and lists are called."""
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def check(images):
    """Record and row agree, field for field, and give the bytes back; the rows."""
    placed = [(each, WALL_NS + n, 2, 50 + n) for n, each in enumerate(images)]
    table = book_table("mt5", placed)
    assert table.schema == KINDS["books"]
    table.validate(full=True)
    rows = table.to_pylist()
    for (made, recv_ns, epoch, seq), row in zip(placed, rows, strict=True):
        record = book_of(made, "mt5", recv_ns, epoch, seq)
        for name in KINDS["books"].names:
            assert same(getattr(record, name), row[name]), name
        assert mt5.pack_rows(rows_of(row)) == made.rows
    return rows


PRICES = st.sampled_from([1.0, 2.0, 3.0, 4.0, -0.0, 0.0, math.nan, math.inf]) | st.floats()
VOLUMES = st.sampled_from([0, 1, 5, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1)
EXACT = st.sampled_from([0.0, -0.0, 5.0, 5.9, 0.37, -1.0, 2.0**63, math.nan]) | st.floats()


@st.composite
def books(draw):
    rows = []
    for _ in range(draw(st.integers(0, 12))):
        exact = draw(EXACT)
        is_whole = 0 <= exact < 2**63 and draw(st.booleans())
        volume = int(exact) if is_whole else draw(VOLUMES)
        kind = draw(st.sampled_from([1, 1, 1, 2, 2, 2, 3, 4, 0, 200]))
        rows.append((kind, draw(PRICES), volume, exact))
    if draw(st.booleans()):
        rows.sort(key=lambda row: (row[0], -row[1]))
    return rows


@given(st.lists(st.tuples(books(), st.integers(0, 15)), max_size=6))
def test_row_and_record_of_any_books_agree_and_hold_every_byte(made):
    check([image(rows, marks, previous_ns=None if marks & 1 else 5) for rows, marks in made])


def test_row_and_record_of_many_plain_books_agree():
    rng = random.Random(5)
    found = check([image(plain_book(rng)) for _ in range(400)])
    assert all(row["types"] is None and row["whole_volumes"] is None for row in found)
    assert {row["flags"] for row in found} == {0}


def plain_book(rng):
    levels = rng.randint(2, 20)
    prices = [round(1.2 - n * 1e-5, 5) for n in range(levels)]
    asks = rng.randint(1, levels - 1)
    volumes = [round(rng.uniform(0.01, 500), 2) for _ in range(levels)]
    return [
        (SELL if n < asks else BUY, prices[n], int(volumes[n]), volumes[n]) for n in range(levels)
    ]


def test_asks_stand_from_behind_so_that_both_sides_begin_with_the_best():
    (row,) = check([image(PLAIN)])
    assert row["ask_prices"] == [1.2005, 1.2006] and row["ask_volumes"] == [100.5, 250.0]
    assert row["bid_prices"] == [1.2004299999999999, 1.2003]
    assert (row["types"], row["whole_volumes"], row["flags"]) == (None, None, 0)
    assert (row["before_ns"], row["after_ns"]) == (WALL_NS - 900, WALL_NS - 400)
    assert (row["event_ns"], row["previous_ns"]) == (WALL_NS - 400, WALL_NS - 9000)
    assert (row["poll"], row["unchanged"], row["epoch"], row["seq"]) == (7, 3, 2, 50)
    assert (row["feed"], row["symbol"], row["index"]) == ("mt5", "RIZ6", 0)


def test_a_book_out_of_order_is_kept_as_it_was_delivered():
    rows = [PLAIN[2], PLAIN[1], PLAIN[0], PLAIN[3]]
    (row,) = check([image(rows)])
    assert row["ask_prices"] == [1.2006, 1.2005]
    assert row["types"] == [BUY, SELL, SELL, BUY]
    assert row["flags"] & BookFlag.UNSORTED and row["flags"] & BookFlag.INTERLEAVED


def test_the_documents_example_of_a_book_has_its_sides_right():
    """mql5.com, market_book_get: 1 is sell, 2 is buy; its price carries binary noise."""
    rows = [(1, 1.20038, 250, 250.0), (2, 1.20035, 100, 100.0), (2, 1.2003, 50, 50.0)]
    (row,) = check([image(rows)])
    assert row["ask_prices"] == [1.20038] and row["bid_prices"] == [1.20035, 1.2003]


def test_only_what_says_something_new_is_kept_beside_the_exact_volumes():
    market = [(SELL_MARKET, *PLAIN[0][1:]), *PLAIN[1:]]
    fraction = [(SELL, 1.2006, 0, 0.37), *PLAIN[1:]]
    odd = [(SELL, 1.2006, 1, 0.37), *PLAIN[1:]]
    huge = [(SELL, 1.2006, 2**64 - 1, 1.8446744073709552e19), *PLAIN[1:]]
    found = check([image(rows) for rows in (PLAIN, market, fraction, odd, huge)])
    assert [row["types"] for row in found] == [None, [3, 1, 2, 2], None, None, None]
    assert [row["whole_volumes"] for row in found] == [
        None,
        None,
        None,
        [1, 100, 50, 36],
        [-1, 100, 50, 36],
    ]


FLAGGED = {
    BookFlag.EMPTY: [],
    BookFlag.ONE_SIDED: PLAIN[:2],
    BookFlag.CROSSED: [PLAIN[0], (BUY, 1.2007, 5, 5.0)],
    BookFlag.LOCKED: [PLAIN[0], (BUY, 1.2006, 5, 5.0)],
    BookFlag.UNSORTED: [PLAIN[1], PLAIN[0], *PLAIN[2:]],
    BookFlag.DUPLICATE_PRICE: [PLAIN[0], PLAIN[0], *PLAIN[2:]],
    BookFlag.INTERLEAVED: [PLAIN[0], PLAIN[2], PLAIN[1], PLAIN[3]],
    BookFlag.MARKET_ROWS: [(SELL_MARKET, *PLAIN[0][1:]), *PLAIN[1:]],
}


@pytest.mark.parametrize("flag", FLAGGED, ids=lambda flag: flag.name)
def test_each_flag_stands_on_its_book_and_alone(flag):
    (row,) = check([image(FLAGGED[flag])])
    assert row["flags"] == flag


@pytest.mark.parametrize(
    ("rows", "flags"),
    [
        (PLAIN[2:], BookFlag.ONE_SIDED),
        (PLAIN[:1], BookFlag.ONE_SIDED),
        ([PLAIN[2], PLAIN[3], PLAIN[3]], BookFlag.ONE_SIDED | BookFlag.DUPLICATE_PRICE),
        ([(BUY_MARKET, 1.0, 1, 1.0)], BookFlag.ONE_SIDED | BookFlag.MARKET_ROWS),
        (PLAIN[2:] + PLAIN[:2], BookFlag.INTERLEAVED),
        # What two sides share is no price twice on one side.
        ([(SELL, 2.0, 1, 1.0), (BUY, 2.0, 1, 1.0)], BookFlag.LOCKED),
        # The best of a side that is out of order is still its best.
        (
            [(SELL, 2.0, 1, 1.0), (SELL, 3.0, 1, 1.0), (BUY, 2.5, 1, 1.0)],
            BookFlag.UNSORTED | BookFlag.CROSSED,
        ),
    ],
)
def test_books_with_more_than_one_oddity_have_all_of_them(rows, flags):
    (row,) = check([image(rows)])
    assert row["flags"] == flags


def test_marks_of_the_poller_become_flags():
    for rows, marks in itertools.product((PLAIN, []), range(4)):
        (row,) = check([image(rows, marks)])
        assert bool(row["flags"] & BookFlag.KEYFRAME) == bool(marks & Mark.KEYFRAME)
        assert bool(row["flags"] & BookFlag.AFTER_GAP) == bool(marks & Mark.AFTER_GAP)
        assert bool(row["flags"] & BookFlag.EMPTY) == (not rows)


def test_the_quick_way_to_flags_is_the_slow_one():
    rng = random.Random(9)
    made = []
    for _ in range(3_000):
        rows = plain_book(rng)
        if rng.random() < 0.5:
            at = rng.randrange(len(rows))
            rows[at] = (rng.choice([1, 2, 3]), rng.choice(rows)[1], *rows[at][2:])
        made.append(image(rows[: rng.randint(0, len(rows))], rng.randrange(16)))
    found = book_table("mt5", [(each, 1, 1, n) for n, each in enumerate(made)])["flags"]
    wanted = [flags_of(mt5.unpack_rows(each.rows), each.marks) for each in made]
    assert np.array_equal(found.to_numpy(), wanted)
    assert len(set(wanted)) > 30


@pytest.mark.parametrize(("witness", "mark"), mt5.WITNESS_MARKS.items())
def test_the_leg_of_an_entry_is_its_witness(witness, mark):
    assert witness_of(mark | Mark.KEYFRAME) == witness
    (row,) = check([image(PLAIN, int(mark | Mark.AFTER_GAP))])
    assert row["witness"] == witness
