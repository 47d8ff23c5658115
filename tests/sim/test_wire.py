"""Both wires against messages written by hand, and against Python's own JSON."""

import json
from decimal import Decimal

import msgpack
import pyarrow as pa
import pytest

from ticktape.sim.families import STOCKS
from ticktape.sim.generate import generate_tape
from ticktape.sim.tape import COLUMNS, Tape
from ticktape.sim.wire_v1 import JsonV1
from ticktape.sim.wire_v2 import JsonV2, PackedV2

NS = 1_680_782_066_838_232_225  # 2023-04-06T11:54:26.838232225Z
TRADE = {
    "symbol": "AAPL", "event_ns": NS, "price": 162.92, "size": 3.0, "exchange": "K", "id": 628,
    "conditions": "@,F,T,I", "tape": "C",
}  # fmt: skip
QUOTE = {
    "symbol": "AMD", "event_ns": NS, "bid_price": 0.0, "bid_size": 200.0, "bid_exchange": "K",
    "ask_price": 91.98, "ask_size": 100.0, "ask_exchange": "Q", "conditions": "R", "tape": "C",
}  # fmt: skip
BAR = {
    "symbol": "SPY", "event_ns": NS // 10**9 * 10**9, "span": "minute", "open": 388.98,
    "high": 389.13, "low": 388.97, "close": 389.0, "volume": 49378.0, "trade_count": 461,
    "vwap": 389.062639,
}  # fmt: skip
CORRECTION = {
    "symbol": "EEM", "event_ns": NS, "exchange": "M", "original_id": 52983525033527,
    "original_price": 39.1582, "original_size": 440000.0, "original_conditions": " ,7",
    "corrected_id": 52983525034326, "corrected_price": 39.1809, "corrected_size": 440000.0,
    "corrected_conditions": " ,7", "tape": "B",
}  # fmt: skip
CANCEL = {
    "symbol": "GOOGL", "event_ns": NS // 10 * 10, "exchange": "D", "id": 465, "price": 105.31,
    "size": 300.0, "action": "C", "tape": "C",
}  # fmt: skip


def one(wire, kind, **values):
    row = {"trades": TRADE, "quotes": QUOTE, "bars": BAR}.get(kind)
    row = (row or {"corrections": CORRECTION, "cancels": CANCEL}[kind]) | values
    tape = Tape({kind: pa.Table.from_pylist([row], schema=COLUMNS[kind])})
    return wire.elements(tape, 0, 1)[0].as_py()


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "trades",
            '{"T":"t","S":"AAPL","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C",'
            '"t":"2023-04-06T11:54:26.838232225Z"}',
        ),
        (
            "quotes",
            '{"T":"q","S":"AMD","bx":"K","bp":0,"bs":200,"ax":"Q","ap":91.98,"as":100,"c":["R"],'
            '"z":"C","t":"2023-04-06T11:54:26.838232225Z"}',
        ),
        (
            "bars",
            '{"T":"b","S":"SPY","o":388.98,"h":389.13,"l":388.97,"c":389,"v":49378,'
            '"t":"2023-04-06T11:54:26Z","n":461,"vw":389.062639}',
        ),
        (
            "corrections",
            '{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,'
            '"oc":[" ","7"],"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":[" ","7"],"z":"B",'
            '"t":"2023-04-06T11:54:26.838232225Z"}',
        ),
        (
            "cancels",
            '{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","z":"C",'
            '"t":"2023-04-06T11:54:26.83823222Z"}',
        ),
    ],
)
def test_v2_messages_are_printed_as_the_real_server_does(kind, text):
    assert one(JsonV2(), kind) == text


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"price": 136.0}, '"p":136,'),
        ({"price": 0.0001}, '"p":0.0001,'),
        ({"size": 4_294_967_295.0}, '"s":4294967295,'),
        ({"id": 3447222699101865076}, '"i":3447222699101865076,'),
        ({"id": (1 << 63) - 1}, '"i":9223372036854775807,'),
        ({"conditions": ""}, '"c":[],'),
        ({"conditions": " "}, '"c":[" "],'),
        ({"symbol": 'A"\\é'}, '"S":"A\\"\\\\é",'),
        ({"event_ns": NS // 10**6 * 10**6}, '"t":"2023-04-06T11:54:26.838Z"'),
        ({"event_ns": NS // 10**9 * 10**9}, '"t":"2023-04-06T11:54:26Z"'),
        ({"event_ns": NS // 10**9 * 10**9 + 1}, '"t":"2023-04-06T11:54:26.000000001Z"'),
        ({"event_ns": NS // 10**9 * 10**9 + 10**8}, '"t":"2023-04-06T11:54:26.1Z"'),
    ],
)
def test_v2_awkward_values(values, part):
    assert part in one(JsonV2(), "trades", **values)


@pytest.mark.parametrize(("span", "letter"), [("minute", "b"), ("updated", "u"), ("day", "d")])
def test_v2_spans_of_bars_have_their_types(span, letter):
    assert json.loads(one(JsonV2(), "bars", span=span))["T"] == letter


def test_v2_refuses_to_print_half_a_share():
    with pytest.raises(pa.ArrowInvalid):
        one(JsonV2(), "trades", size=0.5)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "trades",
            '{"stream":"T.AAPL","data":{"ev":"T","T":"AAPL","i":628,"x":8,"p":162.92,"s":3,'
            '"t":1680782066838232225,"c":[0,14,12,37],"z":3}}',
        ),
        (
            "quotes",
            '{"stream":"Q.AMD","data":{"ev":"Q","T":"AMD","x":8,"p":0,"s":200,"X":12,"P":91.98,'
            '"S":100,"c":[1],"t":1680782066838232225}}',
        ),
        (
            "bars",
            '{"stream":"AM.SPY","data":{"ev":"AM","T":"SPY","v":49378,"av":49378,"op":388.98,'
            '"vw":389.062639,"o":388.98,"c":389,"h":389.13,"l":388.97,"a":389.062639,'
            '"s":1680782066000,"e":1680782126000}}',
        ),
        ("corrections", ""),
        ("cancels", ""),
    ],
)
def test_v1_messages(kind, text):
    assert one(JsonV1(), kind) == text


def test_v1_ids_may_be_text():
    assert '"i":"628",' in one(JsonV1(text_ids=True), "trades")


@pytest.mark.parametrize("wire", [JsonV1(), JsonV2()], ids=["v1", "v2"])
def test_every_message_of_a_generated_tape_reads_back_as_its_row(wire):
    tape = generate_tape(seed=5, events=3000, events_per_s=20, long_ids=True)
    texts = wire.elements(tape, 0, len(tape)).to_pylist()
    heard = wire.heard(tape, dict.fromkeys(STOCKS.channels, frozenset({"*"})))
    if wire.name == "v1":
        texts = [text for text, is_heard in zip(texts, heard, strict=True) if is_heard]
    assert all(texts) and len(texts) == heard.sum()
    trades = iter(tape.tables["trades"].to_pylist())
    checked = 0
    for text in filter(None, texts):
        message = json.loads(text, parse_float=Decimal)
        body = message.get("data", message)
        if body.get("ev", body.get("T")) in ("T", "t"):
            row = next(trades)
            assert type(body["s"]) is int and type(body["i"]) is int
            assert (body["i"], float(body["p"]), body["s"]) == (
                row["id"],
                row["price"],
                row["size"],
            )
            assert str(body["p"]) == f"{row['price']:g}" or float(body["p"]) == row["price"]
            checked += 1
    assert checked == tape.tables["trades"].num_rows


@pytest.mark.parametrize("wire", [JsonV1(), JsonV2()], ids=["v1", "v2"])
def test_spoilt_messages(wire):
    element = one(wire, "trades").encode()
    spoilt = json.loads(wire.with_field(element, "note", "x"))
    assert spoilt.get("data", spoilt)["note"] == "x"
    assert json.loads(wire.unknown(10))
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        json.loads(wire.malformed())
    assert json.loads(wire.control(wire.error(405)))


REFERENCE = [
    (
        "stocks", "statuses",
        {"symbol": "AAPL", "status_code": "H", "status_message": "Trading Halt",
         "reason_code": "T12", "reason_message": "", "tape": "C"},
        '{"T":"s","S":"AAPL","sc":"H","sm":"Trading Halt","rc":"T12","rm":"","t":TIME,"z":"C"}',
    ),
    (
        "stocks", "lulds",
        {"symbol": "IONM", "limit_up": 3.24, "limit_down": 2.65, "indicator": "B", "tape": "C"},
        '{"T":"l","S":"IONM","u":3.24,"d":2.65,"i":"B","t":TIME,"z":"C"}',
    ),
    (
        "stocks", "imbalances",
        {"symbol": "INAQU", "price": 9.12, "tape": "C"},
        '{"T":"i","S":"INAQU","p":9.12,"z":"C","t":TIME}',
    ),
    (
        "crypto", "trades",
        {"symbol": "AVAX/USD", "price": 47.299, "size": 29.205707815,
         "id": 3447222699101865076, "taker_side": "S"},
        '{"T":"t","S":"AVAX/USD","p":47.299,"s":29.205707815,"t":TIME,"i":3447222699101865076,'
        '"tks":"S"}',
    ),
    (
        "crypto", "quotes",
        {"symbol": "BAT/USD", "bid_price": 0.35718, "bid_size": 13445.46, "ask_price": 0.3581,
         "ask_size": 13561.902},
        '{"T":"q","S":"BAT/USD","bp":0.35718,"bs":13445.46,"ap":0.3581,"as":13561.902,"t":TIME}',
    ),
    (
        "crypto", "bars",
        {"symbol": "BTC/USD", "span": "minute", "open": 71856.1435, "high": 71856.1435,
         "low": 71856.1435, "close": 71856.1435, "volume": 0.0, "trade_count": 0, "vwap": 0.0},
        '{"T":"b","S":"BTC/USD","o":71856.1435,"h":71856.1435,"l":71856.1435,"c":71856.1435,'
        '"v":0,"t":TIME,"n":0,"vw":0}',
    ),
    (
        "crypto", "crypto_books",
        {"symbol": "MKR/USD", "reset": False, "bid_prices": [], "bid_sizes": [],
         "ask_prices": [2614.587, 0.7904], "ask_sizes": [12.5308, 0.0]},
        '{"T":"o","S":"MKR/USD","t":TIME,"b":[],"a":[{"p":2614.587,"s":12.5308},'
        '{"p":0.7904,"s":0}]}',
    ),
    (
        "crypto", "crypto_books",
        {"symbol": "BTC/USD", "reset": True, "bid_prices": [71859.53], "bid_sizes": [0.27994],
         "ask_prices": [], "ask_sizes": []},
        '{"T":"o","S":"BTC/USD","t":TIME,"b":[{"p":71859.53,"s":0.27994}],"a":[],"r":true}',
    ),
    (
        "options", "trades",
        {"symbol": "AAPL240315C00172500", "price": 2.84, "size": 1.0, "exchange": "N",
         "conditions": "S"},
        '{"T":"t","S":"AAPL240315C00172500","t":TIME,"p":2.84,"s":1,"x":"N","c":"S"}',
    ),
    (
        "options", "quotes",
        {"symbol": "SPXW240327P04925000", "bid_exchange": "C", "bid_price": 9.46,
         "bid_size": 53.0, "ask_exchange": "C", "ask_price": 9.66, "ask_size": 38.0,
         "conditions": "A"},
        '{"T":"q","S":"SPXW240327P04925000","t":TIME,"bx":"C","bp":9.46,"bs":53,"ax":"C",'
        '"ap":9.66,"as":38,"c":"A"}',
    ),
    (
        "news", "news",
        {"symbol": "CRSR", "id": 24918784, "headline": 'A "b"', "summary": "", "author": "Zoë",
         "source": "benzinga", "url": "https://x/", "content": "<p>1</p>\n", "symbols": ["CRSR"],
         "created_ns": NS // 10**9 * 10**9, "updated_ns": NS},
        '{"T":"n","id":24918784,"headline":"A \\"b\\"","summary":"","author":"Zoë",'
        '"created_at":"2023-04-06T11:54:26Z","updated_at":TIME,"url":"https://x/",'
        '"content":"<p>1</p>\\n","symbols":["CRSR"],"source":"benzinga"}',
    ),
]  # fmt: skip


@pytest.mark.parametrize(("family", "kind", "row", "text"), REFERENCE)
def test_every_family_prints_as_the_real_server_does(family, kind, row, text):
    """The messages are those of the venue's documentation (reference/alpaca.md §2.7 to §2.10)."""
    rows = pa.Table.from_pylist([row | {"event_ns": NS}])
    tape = Tape({kind: rows}, family)
    expected = text.replace("TIME", '"2023-04-06T11:54:26.838232225Z"')
    assert JsonV2().elements(tape, 0, 1).to_pylist() == [expected]
    assert (
        msgpack.unpackb(PackedV2().elements(tape, 0, 1)[0].as_py()).keys()
        == json.loads(expected).keys()
    )


def test_conditions_of_none_are_null_in_both_encodings():
    tape = Tape({"trades": pa.Table.from_pylist([TRADE | {"conditions": None}])})
    assert '"c":null,' in JsonV2().elements(tape, 0, 1)[0].as_py()
    assert msgpack.unpackb(PackedV2().elements(tape, 0, 1)[0].as_py())["c"] is None
