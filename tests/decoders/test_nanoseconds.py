"""Times to ints say what times to columns say, of every time and of what is none."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.decoders.nanoseconds import nanoseconds
from ticktape.decoders.packed import moments

TEXTS = (
    *("2021-02-22T15:51:44Z", "2021-02-22T15:51:44.1Z", "2021-02-22 15:51:44.123456789Z"),
    *("2021-02-22T15:51:44.000000001+01:00", "2021-02-22T15:51Z", "1969-12-31T23:59:59.9Z"),
)
BAD = ("", "yesterday", "2021-02-30T00:00:00Z", "2300-01-01T00:00:00Z", "2021-02-22T15:51:4\u0664Z")
STAMPS = tuple(map(msgpack.Timestamp.from_unix_nano, (0, 1, -1, 10**9, 10**18 + 1)))
RAWS = tuple(msgspec.Raw(msgpack.packb(each)) for each in (*STAMPS, TEXTS[1]))
BAD_RAWS = tuple(msgspec.Raw(msgpack.packb(each)) for each in (5, "yesterday"))


@given(st.one_of(st.lists(st.sampled_from(each), min_size=1) for each in (TEXTS, RAWS)))
def test_times_are_those_of_the_column(times):
    assert nanoseconds(times) == moments(times).to_pylist()


@pytest.mark.parametrize(
    "times", [(*TEXTS, bad) for bad in BAD] + [(*RAWS, bad) for bad in BAD_RAWS]
)
def test_what_is_no_time_is_refused_as_in_a_column(times):
    for read in (moments, nanoseconds):
        with pytest.raises(ValueError, match=r"."):
            read(times)
