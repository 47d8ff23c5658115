"""An image and a batch of ticks come out of their entry as they went in; times only outwards."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape import mt5
from ticktape.mt5 import Form, Image, Mark, RemoteStamp, TickBatch

S = 1_000_000_000
MONO_NS = 10_000 * S
U64 = st.integers(0, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)
PRICES = st.floats() | st.sampled_from([math.nan, -0.0, math.inf, -math.inf, 1.2004299999999999])
SYMBOLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
BOOKS = st.lists(st.tuples(st.integers(0, 2**32 - 1), PRICES, U64, PRICES), max_size=40)
TICK_ROWS = st.lists(
    st.tuples(I64, PRICES, PRICES, PRICES, U64, I64, st.integers(0, 2**32 - 1), PRICES),
    min_size=1,
    max_size=20,
)
# How long before its block: from nothing over what two bytes hold to what needs the wide form.
AGES = st.one_of(
    st.integers(0, 7_000_000), st.integers(6_553_400, 6_553_700), st.integers(0, 5_000 * S)
)
COUNTS = st.one_of(st.integers(0, 300), st.integers(2**32 - 2, 2**32 + 2), st.integers(0, 2**40))


@st.composite
def images(draw):
    ages = sorted((draw(AGES) for _ in range(3)), reverse=True)
    previous_ns, before_ns, after_ns = (MONO_NS - age for age in ages)
    return Image(
        draw(SYMBOLS),
        before_ns,
        after_ns,
        draw(st.sampled_from([None, previous_ns])),
        draw(COUNTS),
        draw(COUNTS),
        draw(st.integers(0, 15)),
        mt5.pack_rows(draw(BOOKS)),
        draw(st.none() | st.builds(RemoteStamp, I64, I64, st.integers(0, 2**32 - 1))),
    )


@st.composite
def batches(draw):
    ages = sorted((draw(AGES) for _ in range(2)), reverse=True)
    rows = b"".join(mt5.TICK.pack(*row) for row in draw(TICK_ROWS))
    offset_ms = draw(st.integers(-(2**31), 2**31 - 1))
    seen, marks = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 63))
    times = MONO_NS - ages[0], MONO_NS - ages[1]
    return TickBatch(draw(SYMBOLS), *times, offset_ms, seen, marks, rows)


def image(**more):
    plain = Image("RIZ6", MONO_NS - 300, MONO_NS - 100, MONO_NS - 2_000_300, 7, 3, 0, b"")
    return plain._replace(**more)


@given(images())
def test_an_image_comes_back_as_it_was_but_for_its_times(made):
    found = mt5.unpack_image(mt5.pack_image(made, MONO_NS), MONO_NS)
    times = {name: None for name in ("before_ns", "after_ns", "previous_ns")}
    assert found._replace(**times) == made._replace(**times)
    assert type(found.rows) is bytes


@given(images())
def test_the_times_of_an_image_only_widen_and_by_less_than_one_unit(made):
    found = mt5.unpack_image(mt5.pack_image(made, MONO_NS), MONO_NS)
    assert 0 <= made.before_ns - found.before_ns < mt5.UNIT_NS
    assert 0 <= found.after_ns - made.after_ns < mt5.UNIT_NS
    assert found.after_ns <= MONO_NS
    if made.previous_ns is None:
        assert found.previous_ns is None
    else:
        # A poll that began at the very stamp must not look like none: that takes a whole unit.
        assert 0 <= made.previous_ns - found.previous_ns <= mt5.UNIT_NS
        assert found.previous_ns <= made.previous_ns <= found.before_ns + mt5.UNIT_NS


@given(batches())
def test_ticks_come_back_as_they_were_and_their_bracket_encloses_the_call(made):
    found = mt5.unpack_ticks(mt5.pack_ticks(made, MONO_NS), MONO_NS)
    assert found._replace(before_ns=0, after_ns=0) == made._replace(before_ns=0, after_ns=0)
    assert 0 <= made.before_ns - found.before_ns < mt5.UNIT_NS
    assert 0 <= found.after_ns - made.after_ns < mt5.UNIT_NS
    assert mt5.last_msc(found.rows) == mt5.TICK.unpack_from(found.rows[-60:])[5]


@given(BOOKS)
def test_rows_are_the_terminals_own_bytes_one_behind_the_other(book):
    assert mt5.pack_rows(book) == b"".join(struct.pack("<IdQd", *row) for row in book)
    assert mt5.pack_rows(mt5.unpack_rows(mt5.pack_rows(book))) == mt5.pack_rows(book)


@pytest.mark.parametrize(
    ("made", "form"),
    [
        (image(), Form.IMAGE),
        (image(unchanged=255, before_ns=MONO_NS - 6_553_500), Form.IMAGE),
        (image(unchanged=256), Form.IMAGE_WIDE),
        (image(before_ns=MONO_NS - 6_553_501), Form.IMAGE_WIDE),
        (image(poll=2**32 - 1), Form.IMAGE),
        (image(poll=2**32), Form.IMAGE_WIDE),
        (image(previous_ns=MONO_NS - 430 * S), Form.IMAGE_WIDE),
        (image(after_ns=MONO_NS - 430 * S, before_ns=MONO_NS - 430 * S), Form.IMAGE_WIDE),
        (image(previous_ns=MONO_NS - 429 * S), Form.IMAGE),
    ],
)
def test_the_short_form_holds_what_fits_and_the_wide_one_the_rest(made, form):
    packed = mt5.pack_image(made, MONO_NS)
    head = 20 if form is Form.IMAGE else 48
    assert (packed[0], len(packed)) == (form, head + len(made.symbol))
    assert mt5.unpack_image(packed, MONO_NS)[4:6] == (made.poll, made.unchanged)


def test_the_short_form_is_as_it_is_drawn():
    rows = mt5.pack_rows([(1, 2.5, 3, 3.5)])
    made = image(symbol="ü", rows=rows, marks=Mark.KEYFRAME | Mark.LEG_B)
    packed = mt5.pack_image(made, MONO_NS)
    assert packed[:2] == bytes([1, 3])
    assert struct.unpack_from("<H", packed, 2) == (3,)
    assert struct.unpack_from("<3I", packed, 4) == (20_003, 7, 1)
    assert packed[16:18] == bytes([9, 2])
    assert struct.unpack_from("<H", packed, 18) == (1,)
    assert packed[20:] == "ü".encode() + rows


def test_the_bridges_own_stamps_stand_behind_the_symbol():
    made = image(remote=RemoteStamp(-5, 2**40, 9))
    packed = mt5.pack_image(made, MONO_NS)
    assert packed[16] == Mark.REMOTE
    assert struct.unpack("<qqI", packed[24:]) == (-5, 2**40, 9)
    assert mt5.unpack_image(packed, MONO_NS).marks == 0


def test_stamps_that_lie_behind_their_block_are_those_of_the_block():
    """The bridge's clock is known to some microseconds only."""
    made = image(before_ns=MONO_NS + 50, after_ns=MONO_NS + 900, previous_ns=MONO_NS + 1)
    found = mt5.unpack_image(mt5.pack_image(made, MONO_NS), MONO_NS)
    assert (found.before_ns, found.after_ns) == (MONO_NS, MONO_NS)
    assert found.previous_ns == MONO_NS - 100


def test_an_empty_book_is_an_image_without_rows():
    packed = mt5.pack_image(image(rows=mt5.pack_rows(())), MONO_NS)
    assert mt5.unpack_image(packed, MONO_NS).rows == b""


def test_given_the_wall_stamp_all_times_are_wall_times():
    wall_ns = 1_700_000_000 * S
    packed = mt5.pack_image(image(), MONO_NS)
    found, mono = mt5.unpack_image(packed, wall_ns), mt5.unpack_image(packed, MONO_NS)
    for name in ("before_ns", "after_ns", "previous_ns"):
        assert getattr(found, name) - wall_ns == getattr(mono, name) - MONO_NS


@pytest.mark.parametrize(
    "made", [image(symbol="x" * 256), image(rows=bytes(28 * 65_536)), image(symbol="\ud800")]
)
def test_what_no_entry_can_say_is_refused_and_not_cut(made):
    with pytest.raises(ValueError, match=r"rows|surrogates"):
        mt5.pack_image(made, MONO_NS)


def test_the_largest_book_and_the_longest_symbol_fit():
    made = image(symbol="x" * 255, rows=bytes(28 * 65_535))
    found = mt5.unpack_image(mt5.pack_image(made, MONO_NS), MONO_NS)
    assert (found.symbol, found.rows) == (made.symbol, made.rows)


SAMPLES = [
    mt5.pack_image(image(symbol="GOLD.ü#", rows=bytes(56)), MONO_NS),
    mt5.pack_image(image(unchanged=300, rows=bytes(28)), MONO_NS),
    mt5.pack_image(image(remote=RemoteStamp(1, 2, 3), rows=bytes(28)), MONO_NS),
    mt5.pack_ticks(TickBatch("ü", MONO_NS - 9, MONO_NS, 7, 1, 0, bytes(120)), MONO_NS),
]


@pytest.mark.parametrize("packed", SAMPLES, ids=["image", "wide", "remote", "ticks"])
def test_every_cut_of_an_entry_and_every_addition_is_refused(packed):
    unpack = mt5.unpack_ticks if packed[0] == Form.TICKS else mt5.unpack_image
    unpack(packed, MONO_NS)
    for end in range(len(packed)):
        with pytest.raises(ValueError, match=r"."):
            unpack(packed[:end], MONO_NS)
    with pytest.raises(ValueError, match="should be"):
        unpack(packed + b"\0", MONO_NS)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x01", b"\x02", b"\x03"]))
def test_of_any_bytes_either_all_numbers_fit_a_table_or_it_is_a_value_error(tail, form):
    for unpack in (mt5.unpack_image, mt5.unpack_ticks):
        try:
            found = unpack(form + tail, 2**62)
        except ValueError:
            continue
        assert all(-(2**63) <= each < 2**63 for each in found if isinstance(each, int))


@pytest.mark.parametrize("place", range(5))
def test_a_number_that_no_table_holds_is_damage(place):
    numbers = [0] * 5
    numbers[place] = 2**63
    head = struct.pack("<BBBxHxxQQQQQ", Form.IMAGE_WIDE, 0, 1, 0, *numbers)
    with pytest.raises(ValueError, match="no image has"):
        mt5.unpack_image(head + b"X", MONO_NS)


def test_an_entry_of_another_form_is_named():
    with pytest.raises(ValueError, match="form 9 is no image"):
        mt5.unpack_image(bytes([9]) * 40, MONO_NS)
    with pytest.raises(ValueError, match="form 1 is no batch"):
        mt5.unpack_ticks(SAMPLES[0] + bytes(40), MONO_NS)
