"""MessagePack in bulk against the `msgpack` package, which knows nothing of ours."""

import json
import math

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgpack.ext import Timestamp

from ticktape.sim import packed
from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS
from ticktape.sim.generate import generate_family
from ticktape.sim.layouts import LAYOUTS, Form
from ticktape.sim.wire_v2 import JsonV2, PackedV2

FAMILIES = [STOCKS, CRYPTO, OPTIONS, NEWS]
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def made(family, events=4000, seed=3):
    return generate_family(
        family, seed=seed, symbols=4, events=events, events_per_s=30, long_ids=True
    )


def pieces(write, values, kind):
    return write(pa.array(values, kind)).to_pylist()


@given(st.lists(INT64))
@example([0, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 63) - 1])
@example([-1, -(1 << 63)])
def test_whole_numbers_are_the_smallest_form(values):
    expected = [
        msgpack.packb(value) if value >= 0 else b"\xd3" + value.to_bytes(8, "big", signed=True)
        for value in values
    ]
    assert pieces(packed.integers, values, pa.int64()) == expected


def test_half_a_share_is_refused():
    with pytest.raises(pa.ArrowInvalid):
        packed.integers(pa.array([0.5]))


@given(st.lists(st.floats(allow_nan=False)))
def test_numbers_are_float64(values):
    assert pieces(packed.numbers, values, pa.float64()) == [msgpack.packb(v) for v in values]


@given(st.lists(INT64))
@example([0, 10**9, 1_680_782_066_838_232_225, ((1 << 32) - 1) * 10**9, (1 << 32) * 10**9])
@example([-1, -(10**9), (1 << 63) - 1, (1 << 32) * 10**9 + 1])
def test_instants_are_timestamps_in_the_smallest_form(values):
    expected = [msgpack.packb(Timestamp(*divmod(value, 10**9))) for value in values]
    assert pieces(packed.instants, values, pa.int64()) == expected


@pytest.mark.parametrize(("ns", "length"), [(0, 4), (1, 8), (-1, 12)])
def test_instants_have_4_bytes_without_a_fraction_8_with_one_and_12_out_of_range(ns, length):
    (piece,) = pieces(
        packed.instants, [1_680_782_066 * 10**9 * (1 if ns >= 0 else -1) + ns], pa.int64()
    )
    assert len(piece) == length + (3 if length == 12 else 2)


@given(st.lists(st.one_of(st.none(), st.lists(st.sampled_from("@FIT "), max_size=4))))
def test_codes_are_arrays_and_none_is_nil(values):
    joined = [None if codes is None else ",".join(codes) for codes in values]
    expected = [msgpack.packb(codes) for codes in values]
    assert pieces(packed.code_lists, joined, pa.string()) == expected


@given(st.lists(st.text(max_size=300)))
def test_strings(values):
    assert pieces(packed.strings, values, pa.string()) == [msgpack.packb(v) for v in values]


@pytest.mark.parametrize("counts", [[], [0], [3, 0, 1], [15, 16, 70_000]])
def test_arrays_have_the_head_of_their_length(counts):
    ends = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    items = pa.array([msgpack.packb(n % 200) for n in range(int(ends[-1]))], pa.binary())
    found = [msgpack.unpackb(array) for array in packed.arrays(items, ends).to_pylist()]
    assert [len(array) for array in found] == counts
    assert [n for array in found for n in array] == [n % 200 for n in range(len(items))]


@pytest.mark.parametrize("size", [1, 14, 15, 16])
def test_a_field_more_is_one_more_in_the_head(size):
    message = {f"k{number}": number for number in range(size)}
    spoilt = packed.with_field(msgpack.packb(message), "note", "x" * 300)
    assert msgpack.unpackb(spoilt) == message | {"note": "x" * 300}
    assert msgpack.unpackb(packed.with_field(spoilt, "more", 1))["more"] == 1


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_both_encodings_say_the_same_in_the_same_order(family, in_ns):
    tape = made(family)
    assert set(tape.tables) == set(family.kinds)
    texts = JsonV2().elements(tape, 0, len(tape)).to_pylist()
    maps = PackedV2().elements(tape, 0, len(tape)).to_pylist()
    # Any part of the tape is encoded as it is in the whole.
    assert PackedV2().elements(tape, 7, min(90, len(tape))).to_pylist() == maps[7:90]
    for text, message in zip(texts, maps, strict=True):
        said, packed_said = in_ns(json.loads(text)), in_ns(msgpack.unpackb(message))
        assert packed_said == said
        assert [*packed_said] == [*said] and next(iter(packed_said)) == "T"


def types_of(value):
    if isinstance(value, dict):
        return {key: types_of(item) for key, item in value.items()}
    return type(value)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_packed_values_have_the_types_of_the_venues(family):
    tape = made(family)
    expected = {
        Form.TYPE: str,
        Form.SPAN: str,
        Form.STRING: str,
        Form.CODES: list,
        Form.STRINGS: list,
        Form.NUMBER: float,
        Form.INTEGER: int,
        Form.INSTANT: Timestamp,
        Form.LEVELS: list,
        Form.IF_TRUE: bool,
    }
    for kind, table in tape.tables.items():
        layout = LAYOUTS[family][kind]
        forms = {field.key: expected[field.form] for field in layout}
        for message in packed.messages(layout, table).to_pylist():
            found = msgpack.unpackb(message)
            assert types_of(found) == {key: forms[key] for key in found}
            assert set(forms) - set(found) <= {"r"}
            for side in (found.get("a"), found.get("b")) if kind == "crypto_books" else ():
                assert all(types_of(level) == {"p": float, "s": float} for level in side)
            assert found.get("r", True) is True


def test_ids_of_19_digits_and_all_nanoseconds_survive():
    tape = made(CRYPTO)
    trades = tape.tables["trades"].to_pylist()
    messages = packed.messages(LAYOUTS[CRYPTO]["trades"], tape.tables["trades"]).to_pylist()
    for row, message in zip(trades, map(msgpack.unpackb, messages), strict=True):
        assert message["i"] == row["id"] > 10**18
        assert message["t"].to_unix_nano() == row["event_ns"]
        assert math.isclose(message["s"], row["size"], rel_tol=0)


def test_spoilt_messages():
    wire, tape = PackedV2(), made(STOCKS, events=10)
    element = wire.elements(tape, 0, 1)[0].as_py()
    assert msgpack.unpackb(wire.with_field(element, "note", "x"))["note"] == "x"
    assert msgpack.unpackb(wire.unknown(10))[0]["T"] == "zz"
    assert json.loads(wire.text(wire.unknown(10))) == msgpack.unpackb(wire.unknown(10))
    with pytest.raises(ValueError, match="incomplete"):
        msgpack.unpackb(wire.malformed())
    assert wire.text(wire.malformed())
    assert msgpack.unpackb(wire.control(wire.error(405)))[0]["code"] == 405
