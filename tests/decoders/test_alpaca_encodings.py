"""For any messages, JSON and MessagePack give identical tables, and both what was sent."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders import chunk


def ns_of(year):
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) * 10**9


# What RFC 3339 can say of int64 nanoseconds; with zeros at the end as often as without.
EXACT = st.integers(ns_of(1678), ns_of(2262) - 1)
STAMPS = st.builds(lambda ns, digits: ns - ns % 10**digits, EXACT, st.integers(0, 9)) | EXACT
IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(10**18, 2**63 - 1)
NUMBERS = (
    st.integers(0, 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(0, 10**9, places=9).map(float)
)
TEXTS = st.text(max_size=8)
CODES = st.none() | TEXTS | st.lists(TEXTS, max_size=3)
SYMBOLS = st.sampled_from(["AAPL", "BTC/USD", "SPXW240327P04925000", "Ä"]) | TEXTS
SIDES = st.lists(st.fixed_dictionaries({"p": NUMBERS, "s": NUMBERS}), max_size=3)


def kind_of(letter, needed, optional):
    own = {"T": st.just(letter), "S": SYMBOLS, "t": STAMPS}
    return st.fixed_dictionaries(own | needed, optional=optional | {"new": TEXTS})


def each(names, values):
    return dict.fromkeys(names.split(), values)


NULLABLE = st.none() | TEXTS
BAR = each("o h l c v", NUMBERS), {"n": st.none() | IDS, "vw": st.none() | NUMBERS}
MESSAGES = st.one_of(
    kind_of("t", each("p s", NUMBERS), {"i": IDS, "c": CODES} | each("x z tks", NULLABLE)),
    kind_of("q", each("bp bs ap as", NUMBERS), {"c": CODES} | each("bx ax z", NULLABLE)),
    *(kind_of(letter, *BAR) for letter in "bud"),
    kind_of("o", {}, {"r": st.none() | st.booleans()} | each("b a", st.none() | SIDES)),
    kind_of(
        "c",
        each("oi ci", IDS) | each("op os cp cs", NUMBERS),
        each("oc cc", CODES) | each("x z", NULLABLE),
    ),
    kind_of("x", {"i": IDS} | each("p s", NUMBERS), each("x a z", NULLABLE)),
    kind_of("s", {}, each("sc sm rc rm z", NULLABLE)),
    kind_of("l", each("u d", NUMBERS), each("i z", NULLABLE)),
    kind_of("i", {"p": NUMBERS}, each("z", NULLABLE)),
    st.fixed_dictionaries(
        {"T": st.just("n"), "id": IDS} | each("created_at updated_at", STAMPS),
        optional=each("headline summary author source url content", NULLABLE)
        | {"symbols": st.none() | st.lists(SYMBOLS, max_size=3)},
    ),
    st.just({"T": "subscription", "trades": ["AAPL"]}),
)


@pytest.mark.parametrize("chunk_bytes", [300, 1_000_000])
@settings(deadline=None, max_examples=150)
@given(frames=st.lists(st.lists(MESSAGES, max_size=6), max_size=5))
def test_both_encodings_give_the_same_tables(
    make_block, json_entry, packed_entry, read_both_ways, frames, chunk_bytes
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "CHUNK_BYTES", chunk_bytes)
        text, binary = (
            read_both_ways("alpaca", [make_block(make(*frame), seq=3) for frame in frames])
            for make in (json_entry, packed_entry)
        )
    assert repr(text) == repr(binary)
    assert "unknown" not in text
    sent = [message for frame in frames for message in frame if message["T"] != "subscription"]
    assert sum(map(len, text.values())) == len(sent)


@settings(deadline=None, max_examples=100)
@given(
    sent=st.lists(
        st.tuples(STAMPS, IDS, NUMBERS, NUMBERS), min_size=1, max_size=30
    )  # time, id, price, size
)
def test_times_ids_and_numbers_come_back_as_they_were_sent(
    make_block, json_entry, packed_entry, read_both_ways, sent
):
    trades = [{"T": "t", "S": "A", "t": t, "i": i, "p": p, "s": s} for t, i, p, s in sent]
    for make in (json_entry, packed_entry):
        rows = read_both_ways("alpaca", [make_block(make(*trades))])["trades"]
        assert [(r["event_ns"], r["id"], r["price"], r["size"]) for r in rows] == [
            (t, i, float(p), float(s)) for t, i, p, s in sent
        ]
