"""No bytes make a decoder raise, and no message is lost from its counts.

Random bytes, valid frames with bytes changed, put in, taken out or cut off, all as either kind of
entry.
"""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders import decoder_for

TIME = 1_680_782_066_838_232_225
MESSAGES = [
    {"T": "t", "S": "AAPL", "i": 628, "x": "K", "p": 162.92, "s": 3, "c": ["@", "I"], "t": TIME},
    {"T": "q", "S": "AMD", "bp": 91.95, "bs": 200, "ap": 92, "as": 1, "c": "R", "t": TIME},
    {"T": "b", "S": "SPY", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10, "t": TIME, "n": 4},
    {"T": "o", "S": "BTC/USD", "t": TIME, "b": [{"p": 71859.53, "s": 0}], "a": [], "r": True},
    {"T": "c", "S": "E", "oi": 5, "op": 1, "os": 2, "ci": 6, "cp": 3, "cs": 4, "t": TIME},
    {"T": "x", "S": "GOOGL", "i": 465, "x": "D", "p": 105.31, "s": 300, "a": "C", "t": TIME},
    {"T": "s", "S": "AAPL", "sc": "H", "sm": "Halt", "rc": "T12", "rm": "", "t": TIME},
    {"T": "l", "S": "IONM", "u": 3.24, "d": 2.65, "i": "B", "t": TIME, "z": "C"},
    {"T": "i", "S": "INAQU", "p": 9.12, "z": "C", "t": TIME},
    {"T": "n", "id": 1, "created_at": TIME, "updated_at": TIME, "symbols": ["A"]},
    {"T": "p", "S": "BTC-PERP", "t": TIME, "mp": 101.5},
    {"T": "success", "msg": "connected"},
    {"T": "subscription", "trades": ["AAPL"]},
]
V1 = (
    b'{"stream":"T.AAPL","data":{"ev":"T","T":"AAPL","i":"3041","x":2,"p":389.32,"s":1,'
    b'"t":1596126853339000000,"c":[37],"z":3}}'
)
# What decides most: heads of MessagePack, JSON's signs, and the bytes of a time.
TELLING = b"\x00\x01\x81\x91\xa1\xc0\xc1\xc4\xc7\xca\xcb\xcf\xd3\xd6\xd7\xd9\xdc\xdd\xde\xdf\xff"
BYTES = st.sampled_from([*TELLING, *b'[]{}",:019.eTt\\ ']) | st.integers(0, 255)


@st.composite
def damaged(draw, whole):
    frame = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(frame)))
        act = draw(st.sampled_from(["change", "put in", "take out", "cut"]))
        if act == "put in":
            frame.insert(at, draw(BYTES))
        elif act == "cut":
            del frame[at:]
        elif at < len(frame):
            frame[at : at + 1] = bytes([draw(BYTES)]) if act == "change" else b""
    return bytes(frame)


@pytest.fixture(scope="module")
def whole_frames(json_entry, packed_entry):
    picked = st.lists(st.sampled_from(MESSAGES), max_size=4)
    text = picked.map(lambda some: json_entry(*some)[1])
    return text | picked.map(lambda some: packed_entry(*some)[1])


@pytest.mark.parametrize("kind", ["alpaca", "alpaca_v1"])
@settings(deadline=None, max_examples=400)
@given(choice=st.data())
def test_no_frame_makes_a_decoder_raise_or_lose_a_row(
    make_block, read_both_ways, whole_frames, kind, choice
):
    whole = whole_frames if kind == "alpaca" else st.just(V1)
    entry = st.tuples(st.sampled_from([0, 1]), st.binary(max_size=30) | damaged(whole))
    journal = choice.draw(st.lists(st.lists(entry, max_size=3), max_size=3))
    read_both_ways(kind, [make_block(*payloads) for payloads in journal])


@pytest.mark.parametrize("frame_kind", ["json", "msgpack"])
def test_a_frame_cut_anywhere_is_one_unknown_row(
    make_block, json_entry, packed_entry, read_both_ways, frame_kind
):
    make = json_entry if frame_kind == "json" else packed_entry
    kind, whole = make(*MESSAGES)
    cuts = [(kind, whole[:end]) for end in range(len(whole))]
    rows = read_both_ways("alpaca", [make_block(*cuts)])
    assert list(rows) == ["unknown"]
    assert [row["seq"] for row in rows["unknown"]] == list(range(len(whole)))


@pytest.mark.parametrize("at", range(len(MESSAGES)))
def test_any_one_byte_changed_costs_at_most_its_frame(make_block, packed_entry, read_both_ways, at):
    kind, whole = packed_entry(MESSAGES[at])
    _, good = packed_entry(MESSAGES[0])
    entries = []
    for place in range(len(whole)):
        for byte in (0x00, 0xC1, whole[place] ^ 0x01, whole[place] ^ 0x80):
            entries.append((kind, whole[:place] + bytes([byte]) + whole[place + 1 :]))
            entries.append((kind, good))
    rows = read_both_ways("alpaca", [make_block(*entries)])
    kept = [row["seq"] for row in rows["trades"] if row["event_ns"] == TIME and row["id"] == 628]
    assert set(range(1, len(entries), 2)) <= set(kept)


HUGE = {
    "arrays in arrays": b"\x91" * 100_000,
    "maps in maps": b"\x81\xa1a" * 50_000,
    "arrays in arrays in JSON": b"[" * 100_000,
    "an array of four billion": b"\xdd\xff\xff\xff\xff",
    "a map of four billion": b"\x91\xdf\xff\xff\xff\xff",
    "a text of four gigabytes": b"\x91\xdb\xff\xff\xff\xff",
    "nothing": b"",
    "a never used byte": b"\xc1" * 1000,
}


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("payload", HUGE.values(), ids=HUGE)
def test_nesting_and_lengths_out_of_all_proportion_are_one_unknown_row(
    make_block, read_both_ways, payload, kind
):
    rows = read_both_ways("alpaca", [make_block((kind, payload))])
    assert list(map(len, rows.values())) == [1]


@pytest.mark.parametrize("form", ["json", "msgpack"])
@pytest.mark.parametrize("time", ["2023-04-06T11:54:26Z", "soon"])
def test_nesting_as_deep_as_the_stack_just_allows_raises_nothing(
    make_block, json_entry, packed_entry, form, time
):
    # Where exactly the stack ends depends on who calls, so each depth around it is tried.
    kind, whole = (json_entry if form == "json" else packed_entry)(
        {"T": "t", "S": "A", "p": 1, "s": 1, "t": time, "new": 5}
    )
    opened, closed = (b"[", b"]") if form == "json" else (b"\x91", b"")
    decoder = decoder_for("alpaca", "sip")
    limit = sys.getrecursionlimit()
    for depth in range(limit - 200, limit + 20):
        if form == "json":
            payload = whole.replace(b":5", b":" + opened * depth + b"5" + closed * depth)
        else:
            payload = whole[:-1] + opened * depth + b"\x05"
        decoder.decode(make_block((kind, payload)))
        assert decoder.counts.messages == 1
        tables = decoder.tables([make_block((kind, payload))])
        assert sum(table.num_rows for table in tables.values()) == 1
