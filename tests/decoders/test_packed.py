import json
import math
import struct

import msgpack
import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticktape.decoders.packed import PackedInstants, moments, readable

NS = 10**9
FORMS = {
    4: lambda s, n: b"\xd6\xff" + struct.pack(">I", s),
    8: lambda s, n: b"\xd7\xff" + struct.pack(">Q", n << 34 | s),
    12: lambda s, n: b"\xc7\x0c\xff" + struct.pack(">Iq", n, s),
    # Heads that nobody needs to write, but that mean the same.
    "ext8 of 4": lambda s, n: b"\xc7\x04\xff" + struct.pack(">I", s),
    "ext16 of 8": lambda s, n: b"\xc8\x00\x08\xff" + struct.pack(">Q", n << 34 | s),
    "ext32 of 12": lambda s, n: b"\xc9\x00\x00\x00\x0c\xff" + struct.pack(">Iq", n, s),
}
SECONDS_MAX = {4: 2**32 - 1, 8: 2**34 - 1, 12: 2**63 - 1}


def both(*packed):
    """What the parser and the bulk say of some times; None where they refuse one."""
    raws = [msgspec.Raw(one) for one in packed]
    try:
        one_by_one = [PackedInstants().parse(raw) for raw in raws]
    except ValueError:
        one_by_one = None
    try:
        bulk = moments(raws).to_pylist()
    except ValueError:
        bulk = None
    assert one_by_one == bulk
    return bulk


@st.composite
def times(draw):
    """A time in one of its forms, and its nanoseconds."""
    form = draw(st.sampled_from([4, 8, 12, "ext8 of 4", "ext16 of 8", "ext32 of 12"]))
    ns = draw(st.integers(-(2**63), 2**63 - 1))
    if form == 12 or form == "ext32 of 12":
        return FORMS[form](*divmod(ns, NS)), ns
    seconds, nanos = divmod(abs(ns) % (2**32 * NS), NS)
    if "4" in str(form):
        nanos = 0
    return FORMS[form](seconds, nanos), seconds * NS + nanos


@given(st.lists(times(), max_size=20))
def test_every_form_is_read_to_the_nanosecond_alone_and_in_bulk(drawn):
    assert both(*[packed for packed, _ in drawn]) == [ns for _, ns in drawn]


@given(st.lists(st.integers(0, 2**63 - 1), max_size=50))
def test_the_common_form_is_exact_over_all_it_can_say(stamps):
    assert both(*[FORMS[8](*divmod(ns, NS)) for ns in stamps]) == stamps


@pytest.mark.parametrize("ns", [-(2**63), -1, 0, 1, 999_999_999, 2**63 - 1])
def test_what_the_msgpack_package_writes_is_read(ns):
    assert both(msgpack.packb(msgpack.Timestamp.from_unix_nano(ns))) == [ns]


def test_a_time_that_msgspec_would_round_keeps_its_last_digits():
    packed = msgpack.packb(msgpack.Timestamp(1_614_009_105, 670_905_508))
    assert both(packed) == [1_614_009_105_670_905_508]


def test_texts_are_times_too():
    text = msgpack.packb("2021-02-22T15:51:45.335689322Z")
    ext = msgpack.packb(msgpack.Timestamp(1_614_009_105, 335_689_322))
    assert both(text, ext, text) == [1_614_009_105_335_689_322] * 3


def test_texts_of_json_and_msgpack_times_may_be_mixed():
    ext = msgspec.Raw(FORMS[4](1_614_009_105, 0))
    assert moments(["2021-02-22T15:51:45Z", ext]).to_pylist() == [1_614_009_105 * NS] * 2


@pytest.mark.parametrize("first", [b"\xd7\xff\x00\x00\x00\x00\x00\x00\x00\x01", b""])
@pytest.mark.parametrize(
    "packed",
    [
        FORMS[8](0, NS),
        FORMS[8](2**34 - 1, 0),
        FORMS[8](9_223_372_036, 854_775_808),
        FORMS[12](0, NS),
        FORMS[12](9_223_372_036, 854_775_808),
        FORMS[12](-9_223_372_037, 145_224_191),
        FORMS[12](2**63 - 1, 999_999_999),
        FORMS[12](-(2**63), 0),
        b"\xd7\x05" + bytes(8),
        b"\xd6\x01" + bytes(4),
        b"\xd5\xff\x00\x00",
        b"\xc7\x00\xff",
        b"\xc7\x0c\xfe" + bytes(12),
        *map(msgpack.packb, [None, 5, 2**63, 1.5, True, b"", [], {}, "", "noon", "123456789"]),
        b"\xa1\xff",
    ],
    ids=bytes.hex,
)
def test_what_is_no_time_is_refused_alone_and_among_others(packed, first):
    assert both(*[time for time in (first, packed) if time]) is None


def values(max_leaves=12):
    leaves = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text()
    )
    keys = st.text(max_size=4)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
        max_leaves=max_leaves,
    )


@given(values())
def test_any_value_that_json_can_hold_reads_as_its_json(value):
    assert json.loads(readable(msgpack.packb(value))) == value


def test_what_json_has_no_word_for_is_still_readable():
    packed = msgpack.packb(
        {
            "t": msgpack.Timestamp(1_614_009_105, 335_689_300),
            "old": msgpack.Timestamp(-1, 5),
            "far": msgpack.Timestamp(2**40, 1),
            "ext": msgpack.ExtType(5, b"\x01\xff"),
            "bin": b"ab",
            "nan": math.nan,
            7: -math.inf,
        }
    )
    assert json.loads(readable(packed)) == {
        "t": "2021-02-22T15:51:45.335689300Z",
        "old": "1969-12-31T23:59:59.000000005Z",
        "far": {"ext": -1, "hex": "000000010000010000000000"},
        "ext": {"ext": 5, "hex": "01ff"},
        "bin": "YWI=",
        "nan": "nan",
        "7": "-inf",
    }


def test_bytes_that_are_not_utf8_are_replaced_in_the_text():
    assert json.loads(readable(b"\x81\xa1T\xa3a\xffb")) == {"T": "a\ufffdb"}


@pytest.mark.parametrize(
    "packed",
    [
        b"\x81\xa1T",
        b"\x81\x90\x01",
        b"\x81\x81\x01\x02\x03",
        b"\xc1",
        b"\x91\xc1",
        b"\x91" * 65 + b"\x01",
        b"\x91" * 100_000 + b"\x01",
        b"\x81\xa1\xff\x01",
    ],
    ids=range(8),
)
def test_what_cannot_be_written_as_json_stays_as_it_is(packed):
    assert readable(packed) == packed


@given(st.binary(min_size=1))
@example(b"\xdf\xff\xff\xff\xff")
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\xdb\xff\xff\xff\xff")
@example(b"\xc9\xff\xff\xff\xff\x00")
def test_no_bytes_make_the_text_raise(packed):
    assert isinstance(readable(packed), bytes)
