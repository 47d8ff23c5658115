import contextlib

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ticktape.decoders.instants import InstantParser, instants


def both(text):
    """What the parser says cold, warm with the same second, and in bulk; None for a refusal."""
    said = []
    for warm in (None, text[:19] + "Z", text):
        parser = InstantParser()
        with contextlib.suppress(ValueError):
            parser.parse(warm or "2021-02-22T15:51:44Z")
        try:
            said.append(parser.parse(text))
        except ValueError:
            said.append(None)
    try:
        said.append(instants([text])[0].as_py())
    except ValueError:
        said.append(None)
    return said


@given(st.integers(-(2**62), 2**62), st.integers(0, 9), st.sampled_from(["Z", "+05:30", "-0500"]))
def test_zero_to_nine_digits_and_offsets_are_exact_to_the_nanosecond(ns, digits, zone):
    ns -= ns % 10 ** (9 - digits)
    second, fraction = divmod(ns, 10**9)
    date = pa.scalar(second, pa.timestamp("s")).as_py().isoformat()
    tail = "." + f"{fraction:09d}"[:digits] if digits else ""
    shift = {"Z": 0, "+05:30": 19_800, "-0500": -18_000}[zone]
    assert both(f"{date}{tail}{zone}") == [ns - shift * 10**9] * 4


ALMOST = st.text(st.sampled_from("0123456789-:.TZ +²٣"), max_size=32)


@given(ALMOST | ALMOST.map(lambda tail: "2021-02-22T15:51:44" + tail))
@example("2021-02-22T15:51:44.Z")
@example("2021-02-22T15:51:44.1234567891Z")
@example("2021-02-22T15:51:44.²Z")
@example("2021-02-22T15:51:44.٣Z")
@example("2262-04-11T23:47:16.854775808Z")
@example("2021-02-22T15:51:44.1")
@example("2021-02-22T15:51Z")
@example("2021-02-30T00:00:00Z")
@example("2021-02-22T24:00:00Z")
@example("2021-02-22T15:51:60.5Z")
@example("2021-02-22T15:51:44.5z")
@example("1677-09-21T00:12:43.1Z")
@example("1677-12-31T23:59:59.999999999Z")
@example("1678-01-01T00:00:00.000000001Z")
@example("9999-01-01T00:00:00Z")
@example("")
def test_the_parser_and_the_bulk_accept_the_same_texts(text):
    assert len(set(both(text))) == 1


def test_the_last_nanosecond_of_int64_is_read():
    assert both("2262-04-11T23:47:16.854775807Z") == [2**63 - 1] * 4


@pytest.mark.parametrize(
    "text", ["2021-02-29T00:00:00Z", "2021-02-22T15:51:44", "noon", "2300-01-01T00:00:00Z"]
)
def test_what_is_no_time_is_refused(text):
    assert both(text) == [None] * 4


@pytest.mark.parametrize("head", ["", "-", "()", "-" * 20, "\0" * 20, "2021-02-22T15:51:"])
def test_what_only_ends_like_a_time_is_refused(head):
    parser = InstantParser()
    for _ in range(2):
        for tail in ("000000001Z", "5Z", "Z"):
            with pytest.raises(ValueError, match=r"\w"):
                parser.parse(head + tail)
        assert parser.parse("2021-02-22T15:51:44.5Z") == 1_614_009_104_500_000_000


def test_seconds_that_take_turns_are_each_exact_however_many_there_are():
    parser = InstantParser()
    for turn in range(3):
        for second in range(600):
            minute, rest = divmod(second, 60)
            text = f"2021-02-22T15:{minute:02d}:{rest:02d}.{turn}Z"
            assert parser.parse(text) == instants([text])[0].as_py()


def test_the_usual_times_need_none_of_the_imports_that_arrow_does_with_its_first_text(monkeypatch):
    monkeypatch.setattr("ticktape.decoders.instants.instants", lambda _: pytest.fail("asked Arrow"))
    parser = InstantParser()
    assert parser.parse("2021-02-22T15:51:44.1Z") == 1_614_009_104_100_000_000
    assert parser.parse("1969-12-31T23:59:59.999999999Z") == -1
    assert parser.parse("1970-01-01T00:00:00Z") == 0


def told(read, texts):
    """What is read; None for a refusal."""
    try:
        return read(texts)
    except ValueError:
        return None


IN_A_SECOND = st.text(st.sampled_from("0123456789Z.,²٣"), max_size=11).map(
    lambda tail: "2021-02-22T15:51:44." + tail
)
FRACTION = st.integers(0, 10**9 - 1).map(lambda ns: f"2021-02-22T15:51:44.{ns}Z")
NINE_DIGITS = st.integers(0, 10**9 - 1).map(lambda ns: f"2021-02-22T15:51:44.{ns:09d}Z")
OTHERS = st.sampled_from(["2021-02-22T15:51:44Z", "2021-02-22T15:51:45.5Z", "noon", "", ","])


@given(
    st.lists(NINE_DIGITS, max_size=12)
    | st.lists(FRACTION | NINE_DIGITS, max_size=12)
    | st.lists(FRACTION | IN_A_SECOND | OTHERS, min_size=6, max_size=8)
)
@example(["2021-02-22T15:51:44.1Z,2021-02-22T15:51:44.2Z", *["2021-02-22T15:51:44.3Z"] * 6])
@example(["2021-02-22T15:51:44.1Z,2021-02-22T15:51:44.2", "Z", *["2021-02-22T15:51:44.3Z"] * 6])
@example(["2021-02-22T15:51:44.1", *["2021-02-22T15:51:44.3Z"] * 6])
@example([*["2021-02-22T15:51:44.3Z"] * 6, "2021-02-22T15:51:44.1"])
@example([*["2021-02-22T15:51:44.3Z"] * 6, "2021-02-22T15:51:44.Z"])
@example([*["2021-02-22T15:51:44.3Z"] * 6, "2021-02-22T15:51:44.1234567891Z"])
@example(["2021-02-22T15:51:44.٣Z"] * 6)
def test_the_texts_of_a_frame_are_read_together_as_one_by_one(texts):
    together, alone = InstantParser(), InstantParser()
    for parser in (together, alone):
        parser.parse("2021-02-22T15:51:44.5Z")

    wanted = told(lambda each: list(map(alone.parse, each)), texts)

    assert told(together.parse_all, texts) == wanted
    assert told(InstantParser().parse_all, texts) == wanted, "no second is known yet"


def test_the_texts_of_a_frame_within_a_second_are_not_read_one_by_one(monkeypatch):
    parser = InstantParser()
    parser.parse("1970-01-01T00:00:01Z")
    monkeypatch.setattr(InstantParser, "parse", lambda *_: pytest.fail("one by one"))

    texts = [f"1970-01-01T00:00:01.{'0' * digits}5Z" for digits in range(8)]
    assert parser.parse_all(texts) == [10**9 + 5 * 10 ** (8 - digits) for digits in range(8)]
