"""Frames are quoted from alpacahq/alpaca-docs and public captures, one or two each."""

import json

import pytest

from ticktape.decoders import decoder_for
from ticktape.errors import ConfigError
from ticktape.schemas import KINDS

# alpacahq/alpaca-docs, realtime.md: captured 2021-02-22.
TRADE = (
    b'[{"T":"t","i":96921,"S":"AAPL","x":"D","p":126.55,"s":1,"t":"2021-02-22T15:51:44.208Z",'
    b'"c":["@","I"],"z":"C"}]'
)
# The same page: 7 and 9 digits of a second in one frame.
QUOTES = (
    b'[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"X","ap":87.67,"as":1,'
    b'"t":"2021-02-22T15:51:45.3355677Z","c":["R"],"z":"C"},'
    b'{"T":"q","S":"AMD","bx":"U","bp":87.66,'
    b'"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"}]'
)
# A public C# handler, 2024-03-28: three types in one frame, `c` a price in one of them.
MIXED = (
    b'[{"T":"b","S":"MSFT","o":419.86,"h":419.86,"l":419.86,"c":419.86,"v":131,'
    b'"t":"2024-03-28T16:58:00Z","n":3,"vw":419.846565},{"T":"t","S":"AAPL","i":4617,"x":"V",'
    b'"p":171.24,"s":100,"c":["@"],"z":"C","t":"2024-03-28T16:59:00.114612043Z"},'
    b'{ "T":"q","S":"AAPL","bx":"V","bp":171.22,"bs":2,"ax":"V","ap":171.24,"as":1,'
    b'"c":["R"],"z":"C","t":"2024-03-28T16:59:00.11462648Z"}]'
)
# ccxt/ccxt pull 16115, 2022-12-19: no exchange, no conditions, no tape, fractional size.
CRYPTO = (
    b'[{"T":"t","S":"BTC/USD","i":16665956,"p":16729.76,"s":0.017615,'
    b'"t":"2022-12-19T12:04:12.843Z","tks":"S"}]'
)
# docs.alpaca.markets, real-time stock data: a correction and a cancel.
CORRECTION = (
    b'[{"T":"c","S":"EEM","x":"M","oi":52983525033527,"op":39.1582,"os":440000,"oc":[" ","7"],'
    b'"ci":52983525034326,"cp":39.1809,"cs":440000,"cc":[" ","7"],"z":"B",'
    b'"t":"2023-04-06T14:25:06.542305024Z"}]'
)
CANCEL = (
    b'[{"T":"x","S":"GOOGL","i":465,"x":"D","p":105.31,"s":300,"a":"C","z":"C",'
    b'"t":"2023-04-06T13:15:42.83540958Z"}]'
)
CONTROL = (
    b'[{"T":"success","msg":"connected"}]',
    b'[{"T":"subscription","trades":["AAPL"],"quotes":["AMD","CLDR"],"bars":["*"]}]',
    b'[{"T":"error","code":406,"msg":"connection limit exceeded"}]',
)
# alpaca-trade-api-go v3, crypto perpetuals: the channel `pricing`, which has no table.
PRICING = (
    b'[{"T":"p","S":"BTC-PERP","t":"2024-12-19T09:27:36Z","x":"G","ip":101,"mp":101.5,'
    b'"fr":0.0001,"oi":90.7,"ft":"2024-12-19T16:00:00Z"}]'
)


@pytest.fixture
def sip():
    return decoder_for("alpaca", "sip")


@pytest.fixture
def one(sip, make_block):
    """The fields of the one record of one frame, after a look that the table has the same row."""

    def decode(frame):
        (record,) = sip.decode(make_block(frame, seq=7, epoch=3))
        tables = sip.tables([make_block(frame, seq=7, epoch=3)])
        assert list(tables) == [record.kind]
        assert tables[record.kind].schema == KINDS[record.kind]
        (row,) = tables[record.kind].to_pylist()
        assert row == {name: getattr(record, name) for name in KINDS[record.kind].names}
        return row

    return decode


def test_a_trade_keeps_every_field_and_says_where_it_came_from(one):
    assert one(TRADE) == {
        "feed": "sip",
        "symbol": "AAPL",
        "event_ns": 1_614_009_104_208_000_000,
        "recv_ns": 1_700_000_000_000_000_000,
        "witness": "stream",
        "epoch": 3,
        "seq": 7,
        "index": 0,
        "price": 126.55,
        "size": 1.0,
        "exchange": "D",
        "id": 96921,
        "conditions": "@,I",
        "tape": "C",
        "taker_side": "",
    }


def test_a_batch_of_quotes_keeps_its_order_and_its_nanoseconds(sip, make_block):
    quotes = sip.decode(make_block(QUOTES))
    assert [(q.index, q.ask_price, q.event_ns % 10**9) for q in quotes] == [
        (0, 87.67, 335_567_700),
        (1, 87.68, 335_689_322),
    ]


def test_a_mixed_frame_gives_each_kind_its_place_in_the_frame(sip, make_block):
    bar, trade, quote = sip.decode(make_block(MIXED))
    assert (bar.kind, bar.span, bar.close, bar.trade_count, bar.index) == (
        "bars",
        "minute",
        419.86,
        3,
        0,
    )
    assert (trade.kind, trade.id, trade.index) == ("trades", 4617, 1)
    assert (quote.kind, quote.bid_price, quote.index) == ("quotes", 171.22, 2)
    tables = sip.tables([make_block(MIXED)])
    assert {kind: t.column("index").to_pylist() for kind, t in tables.items()} == {
        "bars": [0],
        "trades": [1],
        "quotes": [2],
    }


def test_a_crypto_trade_needs_no_exchange_conditions_or_tape(one):
    row = one(CRYPTO)
    assert (row["size"], row["exchange"], row["conditions"], row["tape"], row["taker_side"]) == (
        0.017615,
        "",
        "",
        "",
        "S",
    )


def test_a_correction_names_both_trades(one):
    row = one(CORRECTION)
    assert (row["exchange"], row["original_id"], row["original_price"]) == (
        "M",
        52983525033527,
        39.1582,
    )
    assert (row["corrected_id"], row["corrected_price"], row["corrected_conditions"]) == (
        52983525034326,
        39.1809,
        " ,7",
    )


def test_a_cancel_is_told_from_its_exchange_key(one):
    row = one(CANCEL)
    assert (row["exchange"], row["id"], row["action"]) == ("D", 465, "C")
    assert row["event_ns"] % 10**9 == 835_409_580


@pytest.mark.parametrize(("letter", "span"), [("b", "minute"), ("u", "updated"), ("d", "day")])
def test_the_three_bars_differ_by_their_span(one, letter, span):
    bar = {"T": letter, "S": "SPY", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10}
    row = one(json.dumps([bar | {"t": "2026-02-22T19:15:00Z"}]).encode())
    assert (row["span"], row["high"], row["volume"], row["vwap"]) == (span, 2.0, 10.0, None)


def test_control_messages_are_counted_apart_and_make_no_row(sip, make_block):
    assert sip.decode(make_block(*CONTROL)) == []
    assert sip.counts == (0, 3, 0, 0)
    assert sip.tables([make_block(*CONTROL)]) == {}
    assert sip.counts == (0, 3, 0, 0)


def test_a_control_message_among_data_costs_the_data_nothing(sip, make_block):
    frame = b"[" + TRADE[1:-1] + b"," + CONTROL[0][1:-1] + b"," + QUOTES[1:]
    assert [r.index for r in sip.decode(make_block(frame))] == [0, 2, 3]
    assert sip.counts == (3, 1, 0, 0)
    assert {
        k: t.column("index").to_pylist() for k, t in sip.tables([make_block(frame)]).items()
    } == {
        "trades": [0],
        "quotes": [2, 3],
    }
    assert sip.counts == (3, 1, 0, 0)


def test_an_unknown_type_is_kept_as_text_at_the_time_we_received_it(one):
    row = one(PRICING)
    assert row["text"].encode() == PRICING[1:-1]
    assert row["event_ns"] == row["recv_ns"]
    assert "'p'" in row["reason"]


@pytest.mark.parametrize(
    "change",
    [
        {"p": "126.55"},
        {"p": None},
        {"s": True},
        {"i": "96921"},
        {"i": 2**63},
        {"i": 10**40},
        {"i": 1.5},
        {"S": 5},
        {"t": "yesterday"},
        {"t": 1614009104208},
        {"t": "2021-02-22T15:51:44.0123456789Z"},
        {"c": 7},
        {"c": [1]},
        {"c": {"@": 1}},
        {"x": 4},
    ],
    ids=str,
)
def test_one_malformed_message_becomes_unknown_and_its_neighbours_stay(sip, make_block, change):
    good = json.loads(TRADE)[0]
    bad = good | change
    block = make_block(json.dumps([good, bad, good]).encode())
    first, unknown, last = sip.decode(block)
    assert (first.kind, first.index, last.kind, last.index) == ("trades", 0, "trades", 2)
    assert json.loads(unknown.text) == bad
    assert unknown.reason
    assert sip.counts == (3, 0, 1, 0)
    tables = sip.tables([block])
    assert tables["trades"].column("index").to_pylist() == [0, 2]
    assert tables["unknown"].column("text").to_pylist() == [unknown.text]
    assert tables["unknown"].column("reason").to_pylist() == [unknown.reason]
    assert sip.counts == (3, 0, 1, 0)


@pytest.mark.parametrize("missing", ["S", "t", "p", "s", "T"])
def test_a_message_without_a_needed_key_is_unknown(one, missing):
    message = {key: value for key, value in json.loads(TRADE)[0].items() if key != missing}
    assert one(json.dumps([message]).encode())["reason"]


@pytest.mark.parametrize("key", ["c", "x", "z", "i"])
@pytest.mark.parametrize("form", ["null", "missing"])
def test_a_null_or_missing_detail_leaves_a_trade_a_trade(one, key, form):
    message = json.loads(TRADE)[0]
    message[key] = None
    if form == "missing":
        del message[key]
    column = {"c": "conditions", "x": "exchange", "z": "tape", "i": "id"}[key]
    assert one(json.dumps([message]).encode())[column] == (None if key == "i" else "")


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{}",
        b"null",
        b'"x"',
        TRADE[:-5],
        TRADE[1:-1],
        TRADE + TRADE,
        b"\xff\xfe",
        b"\x82\xa1T\xa1t",
        b'[{"T":"t","S":"A","p":NaN}]',
        b"[" * 100_000,
    ],
    ids=range(11),
)
def test_a_frame_that_is_no_array_of_messages_is_one_unknown_row(one, frame):
    assert one(frame)["text"] == frame.decode("utf-8", "replace")


def test_an_empty_array_holds_no_message(sip, make_block):
    assert sip.decode(make_block(b"[]")) == []
    assert sip.counts == (0, 0, 0, 0)


def test_bytes_that_are_not_utf8_spoil_only_the_message_that_needs_them(sip, make_block):
    broken = TRADE[1:-1].replace(b"AAPL", b"AA\xffL")
    unread = TRADE[1:-1].replace(b'"T"', b'"new":"\xff","T"')
    block = make_block(b"[" + broken + b"," + unread + b"]")
    assert [record.kind for record in sip.decode(block)] == ["unknown", "trades"]
    assert sip.tables([block])["unknown"].column("text")[0].as_py() == broken.decode(
        "utf-8", "replace"
    )


def test_unknown_fields_are_ignored_and_the_last_of_a_repeated_key_counts(one):
    assert (
        one(TRADE.replace(b'"p":126.55', b'"p":1,"r":{"deep":[[]]},"p":126.55'))["price"] == 126.55
    )


def test_a_price_without_a_dot_is_the_same_number(one):
    assert one(TRADE.replace(b"126.55", b"136"))["price"] == 136.0


def test_a_binary_frame_of_json_is_read_like_a_text_frame(sip, make_block):
    assert [r.kind for r in sip.decode(make_block((1, TRADE)))] == ["trades"]


def test_entries_that_the_venue_did_not_send_are_no_messages(sip, make_block):
    block = make_block((3, b"{}"), (8, b"note"), TRADE, seq=20)
    (trade,) = sip.decode(block)
    assert trade.seq == 22
    assert sip.tables([block])["trades"].column("seq").to_pylist() == [22]
    assert sip.counts == (1, 0, 0, 0)


def test_an_unknown_kind_of_feed_names_the_known_ones():
    with pytest.raises(ConfigError, match="Known kinds: alpaca, alpaca_v1, mt5"):
        decoder_for("polygon", "sip")
