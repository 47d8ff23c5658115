"""Frames are captures of 2020, when the protocol was alive."""

import json

import pytest

from ticktape.decoders import decoder_for
from ticktape.schemas import KINDS

# Pasted in a public Kafka producer, 2020-07-30: the id is a text.
TEXT_ID = (
    b'{"stream":"T.AAPL","data":{"ev":"T","T":"AAPL","i":"3041","x":2,"p":389.32,"s":1,'
    b'"t":1596126853339000000,"c":[37],"z":3}}'
)
# alpacahq/marketstore, contrib/alpaca/handlers/handlers_test.go (Apache-2.0), 2020-04-20.
NUMBER_ID = (
    b'{"data":{"ev":"T","T":"SPY","i":117537207,"x":2,"p":283.63,"s":2,'
    b'"t":1587407015152775000,"c":[14, 37, 41],"z":2}}'
)
QUOTE = (
    b'{"data":{"ev":"Q","T":"SPY","x":17,"p":283.35,"s":1,"X":17,"P":283.4,"S":1,"c":[1],'
    b'"t":1587407015152775000}}'
)
# alpacahq/user-docs, streaming v1.
MINUTE = (
    b'{"stream":"AM.SPY","data":{"ev":"AM","T":"SPY","v":48526,"av":9663586,"op":282.6,'
    b'"vw":282.0362,"o":282.13,"c":281.94,"h":282.14,"l":281.86,"a":284.4963,"s":1587409020000,'
    b'"e":1587409080000}}'
)
CONTROL = (
    b'{"stream":"authorization","data":{"action":"authenticate","status":"authorized"}}',
    b'{"stream":"listening","data":{"streams":["T.SPY","Q.SPY","AM.SPY"]}}',
    b'{"stream":"listening","data":{"error":"your connection is already authenticated"}}',
)


@pytest.fixture
def v1():
    return decoder_for("alpaca_v1", "old")


@pytest.fixture
def one(v1, make_block):
    def decode(frame, kind=0):
        (record,) = v1.decode(make_block((kind, frame)))
        tables = v1.tables([make_block((kind, frame))])
        (row,) = tables[record.kind].to_pylist()
        assert row == {name: getattr(record, name) for name in KINDS[record.kind].names}
        return row

    return decode


@pytest.mark.parametrize("kind", [0, 1])
def test_a_trade_with_a_text_id_keeps_its_number_in_text_and_binary_frames(one, kind):
    row = one(TEXT_ID, kind)
    assert (row["symbol"], row["id"], row["exchange"], row["tape"], row["conditions"]) == (
        "AAPL",
        3041,
        "2",
        "3",
        "37",
    )
    assert (row["event_ns"], row["price"], row["size"]) == (1596126853339000000, 389.32, 1.0)


def test_a_trade_with_a_number_id_and_several_conditions(one):
    row = one(NUMBER_ID)
    assert (row["id"], row["conditions"]) == (117537207, "14,37,41")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("00220725", None),
        ("-7", -7),
        ("-0", None),
        ("1e3", None),
        (" 1", None),
        ("1_0", None),
        ("", None),
        (str(2**63 - 1), 2**63 - 1),
        (str(2**63), None),
        ("9" * 5000, None),
        ("٣", None),
    ],
)
def test_only_the_canonical_text_of_an_int64_is_an_id(one, text, number):
    frame = json.loads(TEXT_ID)
    frame["data"]["i"] = text
    assert one(json.dumps(frame).encode())["id"] == number


def test_ids_of_both_forms_in_one_chunk_keep_their_rows(v1, make_block):
    block = make_block(TEXT_ID, NUMBER_ID, TEXT_ID.replace(b"3041", b"003041"))
    assert v1.tables([block])["trades"].column("id").to_pylist() == [3041, 117537207, None]


def test_capital_letters_are_the_ask(one):
    row = one(QUOTE)
    assert (row["bid_price"], row["ask_price"], row["ask_exchange"]) == (283.35, 283.4, "17")


def test_a_minute_starts_at_its_milliseconds(one):
    row = one(MINUTE)
    assert (row["event_ns"], row["span"], row["close"]) == (1587409020000000000, "minute", 281.94)
    assert (row["trade_count"], row["vwap"]) == (None, 282.0362)


def test_answers_to_our_requests_are_control(v1, make_block):
    assert v1.decode(make_block(*CONTROL)) == []
    assert v1.counts == (0, 3, 0, 0)
    assert v1.tables([make_block(*CONTROL)]) == {}
    assert v1.counts == (0, 3, 0, 0)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"[]",
        b'[{"ev":"T","sym":"PAYC"}]',
        b'{"stream":"trade_updates","data":{}}',
        NUMBER_ID.replace(b"283.63", b'"283.63"'),
        NUMBER_ID.replace(b"1587407015152775000", b"99999999999999999999"),
        NUMBER_ID.replace(b"[14, 37, 41]", b"{}"),
        NUMBER_ID.replace(b'"x":2', b'"x":[]'),
        MINUTE.replace(b"1587409020000", b"9223372036855"),
        MINUTE.replace(b'"AM"', b'"A"'),
        b"{" * 50_000,
    ],
    ids=range(11),
)
def test_what_is_no_v1_message_is_one_unknown_row(one, frame):
    assert one(frame)["text"] == frame.decode()
