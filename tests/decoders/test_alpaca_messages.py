"""Every kind of message field by field, in both encodings.

The values are those of docs.alpaca.markets (stocks, crypto, options, news) and of the clients'
tests; the expected rows are written by hand.
"""

import pytest

from ticktape.decoders import decoder_for

TRADE_NS = 1_680_782_066_838_232_225  # 2023-04-06T11:54:26.838232225Z
MINUTE_NS = 1_771_787_700_000_000_000  # 2026-02-22T19:15:00Z


CASES = {
    "stock trade": (
        {
            **{"T": "t", "S": "AAPL", "i": 628, "x": "K", "p": 162.92, "s": 3},
            **{"c": ["@", "F", "T", "I"], "z": "C", "t": TRADE_NS, "r": "2023-04-06T11:54:27Z"},
        },
        "trades",
        {
            **{"symbol": "AAPL", "event_ns": TRADE_NS, "price": 162.92, "size": 3.0, "id": 628},
            **{"exchange": "K", "conditions": "@,F,T,I", "tape": "C", "taker_side": ""},
        },
    ),
    "stock quote": (
        {
            **{"T": "q", "S": "AMD", "bx": "K", "bp": 91.95, "bs": 200, "ax": "Q", "ap": 0},
            **{"as": 0, "c": [" ", "R"], "z": "C", "t": TRADE_NS + 1},
        },
        "quotes",
        {
            **{"symbol": "AMD", "event_ns": TRADE_NS + 1, "bid_price": 91.95, "bid_size": 200.0},
            **{"bid_exchange": "K", "ask_price": 0.0, "ask_size": 0.0, "ask_exchange": "Q"},
            **{"conditions": " ,R", "tape": "C"},
        },
    ),
    "minute bar": (
        {
            **{"T": "b", "S": "SPY", "o": 388.98, "h": 389.13, "l": 388.97, "c": 389.12},
            **{"v": 49378, "t": MINUTE_NS, "n": 461, "vw": 389.062639},
        },
        "bars",
        {
            **{"symbol": "SPY", "event_ns": MINUTE_NS, "span": "minute", "open": 388.98},
            **{"high": 389.13, "low": 388.97, "close": 389.12, "volume": 49378.0},
            **{"trade_count": 461, "vwap": 389.062639},
        },
    ),
    "updated bar": (
        {
            **{"T": "u", "S": "SPY", "o": 388, "h": 389, "l": 387, "c": 388.5, "v": 49400},
            **{"t": MINUTE_NS, "n": 462, "vw": 389},
        },
        "bars",
        {
            **{"symbol": "SPY", "event_ns": MINUTE_NS, "span": "updated", "open": 388.0},
            **{"high": 389.0, "low": 387.0, "close": 388.5, "volume": 49400.0},
            **{"trade_count": 462, "vwap": 389.0},
        },
    ),
    "day's bar": (
        {
            **{"T": "d", "S": "SPY", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10},
            **{"t": 1_771_736_400_000_000_000},  # no n and no vw
        },
        "bars",
        {
            **{"symbol": "SPY", "event_ns": 1_771_736_400_000_000_000, "span": "day"},
            **{"open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 10.0},
            **{"trade_count": None, "vwap": None},
        },
    ),
    "crypto bar of a minute without trades": (
        {
            **{"T": "b", "S": "BTC/USD", "o": 71856.1435, "h": 71856.1435, "l": 71856.1435},
            **{"c": 71856.1435, "v": 0, "t": MINUTE_NS, "n": 0, "vw": 0},
        },
        "bars",
        {
            **{"symbol": "BTC/USD", "event_ns": MINUTE_NS, "span": "minute"},
            **{"open": 71856.1435, "high": 71856.1435, "low": 71856.1435, "close": 71856.1435},
            **{"volume": 0.0, "trade_count": 0, "vwap": 0.0},
        },
    ),
    "correction": (
        {
            **{"T": "c", "S": "EEM", "x": "M", "oi": 52983525033527, "op": 39.1582},
            **{"os": 440000, "oc": [" ", "7"], "ci": 52983525034326, "cp": 39.1809},
            **{"cs": 440001, "cc": [" ", "7", "Z"], "z": "B", "t": TRADE_NS},
        },
        "corrections",
        {
            **{"symbol": "EEM", "event_ns": TRADE_NS, "exchange": "M", "tape": "B"},
            **{"original_id": 52983525033527, "original_price": 39.1582},
            **{"original_size": 440000.0, "original_conditions": " ,7"},
            **{"corrected_id": 52983525034326, "corrected_price": 39.1809},
            **{"corrected_size": 440001.0, "corrected_conditions": " ,7,Z"},
        },
    ),
    "cancel": (
        {
            **{"T": "x", "S": "GOOGL", "i": 465, "x": "D", "p": 105.31, "s": 300, "a": "C"},
            **{"z": "C", "t": 1_680_786_942_835_409_580},
        },
        "cancels",
        {
            **{"symbol": "GOOGL", "event_ns": 1_680_786_942_835_409_580, "exchange": "D"},
            **{"id": 465, "price": 105.31, "size": 300.0, "action": "C", "tape": "C"},
        },
    ),
    "status": (
        {
            **{"T": "s", "S": "AAPL", "sc": "H", "sm": "Trading Halt", "rc": "T12"},
            **{"rm": "Trading Halted; For information requested by NASDAQ"},
            **{"t": 1_645_557_300_000_000_000, "z": "C"},
        },
        "statuses",
        {
            **{"symbol": "AAPL", "event_ns": 1_645_557_300_000_000_000, "status_code": "H"},
            **{"status_message": "Trading Halt", "reason_code": "T12", "tape": "C"},
            **{"reason_message": "Trading Halted; For information requested by NASDAQ"},
        },
    ),
    "status in few words": (
        {"T": "s", "S": "AAPL", "sc": "T", "rm": "", "t": TRADE_NS},
        "statuses",
        {
            **{"symbol": "AAPL", "event_ns": TRADE_NS, "status_code": "T", "status_message": ""},
            **{"reason_code": "", "reason_message": "", "tape": ""},
        },
    ),
    "price band": (
        {
            **{"T": "l", "S": "IONM", "u": 3.24, "d": 2.65, "i": "B"},
            **{"t": 1_680_788_085_565_004_401, "z": "C"},
        },
        "lulds",
        {
            **{"symbol": "IONM", "event_ns": 1_680_788_085_565_004_401, "limit_up": 3.24},
            **{"limit_down": 2.65, "indicator": "B", "tape": "C"},
        },
    ),
    "imbalance": (
        {"T": "i", "S": "INAQU", "p": 9.12, "z": "C", "t": 1_734_119_889_242_138_635},
        "imbalances",
        {
            **{"symbol": "INAQU", "event_ns": 1_734_119_889_242_138_635},
            **{"price": 9.12, "tape": "C"},
        },
    ),
    "crypto trade": (
        {
            **{"T": "t", "S": "AVAX/USD", "p": 47.299, "s": 29.205707815},
            **{"t": 1_710_239_268_858_228_144, "i": 3447222699101865076, "tks": "S"},
        },
        "trades",
        {
            **{"symbol": "AVAX/USD", "event_ns": 1_710_239_268_858_228_144, "price": 47.299},
            **{"size": 29.205707815, "id": 3447222699101865076, "taker_side": "S"},
            **{"exchange": "", "conditions": "", "tape": ""},
        },
    ),
    "crypto quote": (
        {
            **{"T": "q", "S": "BAT/USD", "bp": 0.35718, "bs": 13445.46, "ap": 0.3581},
            **{"as": 13561.902, "t": 1_710_239_383_111_588_173},
        },
        "quotes",
        {
            **{"symbol": "BAT/USD", "event_ns": 1_710_239_383_111_588_173},
            **{"bid_price": 0.35718, "bid_size": 13445.46, "bid_exchange": ""},
            **{"ask_price": 0.3581, "ask_size": 13561.902, "ask_exchange": ""},
            **{"conditions": "", "tape": ""},
        },
    ),
    "whole crypto book": (
        {
            **{"T": "o", "S": "BTC/USD", "t": 1_710_239_930_796_132_210, "r": True},
            "b": [{"p": 71859.53, "s": 0.27994}, {"p": 71849.4, "s": 0.553986}],
            "a": [{"p": 71939, "s": 1}],
        },
        "crypto_books",
        {
            **{"symbol": "BTC/USD", "event_ns": 1_710_239_930_796_132_210, "reset": True},
            **{"bid_prices": [71859.53, 71849.4], "bid_sizes": [0.27994, 0.553986]},
            **{"ask_prices": [71939.0], "ask_sizes": [1.0]},
        },
    ),
    "change of a crypto book": (
        {"T": "o", "S": "CRV/USD", "t": TRADE_NS, "b": [{"p": 0.7904, "s": 0}], "a": []},
        "crypto_books",
        {
            **{"symbol": "CRV/USD", "event_ns": TRADE_NS, "reset": False},
            **{"bid_prices": [0.7904], "bid_sizes": [0.0], "ask_prices": [], "ask_sizes": []},
        },
    ),
    "change of one side of a crypto book": (
        {"T": "o", "S": "CRV/USD", "t": TRADE_NS, "a": [{"p": 1, "s": 2, "new": 3}], "r": False},
        "crypto_books",
        {
            **{"symbol": "CRV/USD", "event_ns": TRADE_NS, "reset": False},
            **{"bid_prices": [], "bid_sizes": [], "ask_prices": [1.0], "ask_sizes": [2.0]},
        },
    ),
    "option trade": (
        {
            **{"T": "t", "S": "AAPL240315C00172500", "t": TRADE_NS, "p": 2.84, "s": 1},
            **{"x": "N", "c": "S"},
        },
        "trades",
        {
            **{"symbol": "AAPL240315C00172500", "event_ns": TRADE_NS, "price": 2.84},
            **{"size": 1.0, "exchange": "N", "conditions": "S", "id": None},
            **{"tape": "", "taker_side": ""},
        },
    ),
    "option quote": (
        {
            **{"T": "q", "S": "SPXW240327P04925000", "t": TRADE_NS, "bx": "C", "bp": 9.46},
            **{"bs": 53, "ax": "C", "ap": 9.66, "as": 38, "c": "A"},
        },
        "quotes",
        {
            **{"symbol": "SPXW240327P04925000", "event_ns": TRADE_NS, "bid_price": 9.46},
            **{"bid_size": 53.0, "bid_exchange": "C", "ask_price": 9.66, "ask_size": 38.0},
            **{"ask_exchange": "C", "conditions": "A", "tape": ""},
        },
    ),
    "news": (
        {
            **{"T": "n", "id": 24918784, "headline": "Corsair ümlaut", "summary": "short"},
            **{"author": "B. News", "created_at": 1_641_420_037_000_000_000},
            **{"updated_at": 1_641_420_038_000_000_001, "url": "https://example.com/1"},
            **{"content": "<p>long</p>", "symbols": ["CRSR", "AMD"], "source": "benzinga"},
        },
        "news",
        {
            **{"symbol": "CRSR", "event_ns": 1_641_420_038_000_000_001, "id": 24918784},
            **{"headline": "Corsair ümlaut", "summary": "short", "author": "B. News"},
            **{"source": "benzinga", "url": "https://example.com/1"},
            **{"content": "<p>long</p>", "symbols": ["CRSR", "AMD"]},
            **{"created_ns": 1_641_420_037_000_000_000},
            **{"updated_ns": 1_641_420_038_000_000_001},
        },
    ),
    "news of no symbol, its times as texts": (
        {
            **{"T": "n", "id": 1, "created_at": "2022-01-05T22:00:37Z", "symbols": None},
            **{"updated_at": "2022-01-05T22:00:38.5Z", "content": None},
        },
        "news",
        {
            **{"symbol": "", "event_ns": 1_641_420_038_500_000_000, "id": 1, "headline": ""},
            **{"summary": "", "author": "", "source": "", "url": "", "content": ""},
            **{"symbols": [], "created_ns": 1_641_420_037_000_000_000},
            **{"updated_ns": 1_641_420_038_500_000_000},
        },
    ),
}


@pytest.mark.parametrize(("message", "kind", "own"), CASES.values(), ids=CASES)
def test_a_message_keeps_every_field_in_both_encodings(
    entry, make_block, read_both_ways, message, kind, own
):
    block = make_block((3, b"{}"), entry(message), seq=7, epoch=3)
    origin = {"feed": "sip", "recv_ns": block.recv_ns, "witness": "stream", "epoch": 3}
    assert read_both_ways("alpaca", [block]) == {kind: [origin | {"seq": 8, "index": 0} | own]}


@pytest.mark.parametrize(("message", "kind", "own"), CASES.values(), ids=CASES)
def test_the_type_need_not_come_first(entry, make_block, read_both_ways, message, kind, own):
    turned = dict(reversed(message.items()))
    (row,) = read_both_ways("alpaca", [make_block(entry(turned))])[kind]
    assert own.items() <= row.items()


@pytest.mark.parametrize("conditions", [None, [], "", "missing"])
def test_no_conditions_are_an_empty_text(entry, make_block, read_both_ways, conditions):
    message = CASES["stock trade"][0] | {"c": conditions}
    if conditions == "missing":
        del message["c"]
    (row,) = read_both_ways("alpaca", [make_block(entry(message))])["trades"]
    assert row["conditions"] == ""


def test_control_messages_make_no_row_in_either_encoding(entry, make_block):
    control = [
        {"T": "success", "msg": "connected"},
        {"T": "error", "code": 406, "msg": "connection limit exceeded"},
        {"msg": "old servers send no code", "T": "error"},
        {"T": "subscription", "trades": ["AAPL"], "orderbooks": None, "news": []},
        {"T": "subscription"},
    ]
    decoder = decoder_for("alpaca", "sip")
    block = make_block(*map(entry, control))
    assert decoder.decode(block) == []
    assert decoder.counts == (0, 5, 0, 0)
    assert decoder.tables([block]) == {}
    assert decoder.counts == (0, 5, 0, 0)


WRONG = {
    "stock trade": [{"i": 2**63}, {"i": 1.5}, {"i": "1"}, {"s": "1"}, {"c": [1]}, {"c": {}}],
    "stock quote": [{"bp": None}, {"as": True}, {"c": 5}, {"t": None}],
    "minute bar": [{"v": None}, {"n": 2**63}, {"t": "noon"}],
    "correction": [{"oi": None}, {"cc": 5}, {"oc": [None]}],
    "cancel": [{"i": None}, {"a": 1}],
    "status": [{"sc": 2}, {"t": 2.5}],
    "price band": [{"u": None}],
    "imbalance": [{"p": "9.12"}],
    "whole crypto book": [{"b": {}}, {"a": [{"p": 1}]}, {"b": [[1, 2]]}, {"r": 1}],
    "news": [{"id": "1"}, {"symbols": "A"}, {"symbols": [None]}, {"updated_at": ""}],
}


@pytest.mark.parametrize(
    ("case", "change"),
    [(case, change) for case, changes in WRONG.items() for change in changes],
    ids=str,
)
def test_a_wrong_field_makes_one_unknown_row_and_costs_no_neighbour(
    entry, make_block, read_both_ways, case, change
):
    good, kind, _ = CASES[case]
    rows = read_both_ways("alpaca", [make_block(entry(good, good | change, good))])
    assert [row["index"] for row in rows[kind]] == [0, 2]
    (unknown,) = rows["unknown"]
    assert unknown["index"] == 1
    assert unknown["reason"]
    assert f'"T":"{good["T"]}"' in unknown["text"]


@pytest.mark.parametrize("case", ["stock trade", "whole crypto book", "news"])
def test_a_message_without_a_needed_field_is_unknown(entry, make_block, read_both_ways, case):
    message, kind, _ = CASES[case]
    needed = {"trades": ["S", "t", "p", "s"], "crypto_books": ["S", "t"], "news": ["id"]}[kind]
    for key in needed:
        less = {name: value for name, value in message.items() if name != key}
        assert list(read_both_ways("alpaca", [make_block(entry(less))])) == ["unknown"]


@pytest.mark.parametrize(
    "change", [{"p": "1"}, {"t": "soon"}, {"i": 2**63}, {"T": "zz"}, {"c": [1]}], ids=str
)
def test_one_corrupted_message_in_a_thousand_costs_itself_alone(
    entry, make_block, read_both_ways, change
):
    trade = CASES["stock trade"][0]
    messages = [trade | {"i": number} for number in range(1000)]
    messages[617] |= change
    rows = read_both_ways("alpaca", [make_block(entry(*messages))])
    assert [row["id"] for row in rows["trades"]] == [n for n in range(1000) if n != 617]
    assert [row["index"] for row in rows["unknown"]] == [617]


def test_blocks_of_both_encodings_keep_the_journals_order(
    make_block, json_entry, packed_entry, read_both_ways
):
    trade, bar = CASES["stock trade"][0], CASES["minute bar"][0]
    makers = [json_entry, packed_entry, packed_entry, json_entry, packed_entry]
    entries = [make(trade | {"i": n}, bar | {"v": n}) for n, make in enumerate(makers)]
    rows = read_both_ways("alpaca", [make_block(*entries)])
    assert [row["id"] for row in rows["trades"]] == [0, 1, 2, 3, 4]
    assert [row["volume"] for row in rows["bars"]] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert {row["event_ns"] for row in rows["trades"]} == {TRADE_NS}
    assert {row["event_ns"] for row in rows["bars"]} == {MINUTE_NS}


def test_a_frame_is_read_as_what_it_holds_whatever_the_entrys_kind(
    make_block, json_entry, packed_entry, read_both_ways
):
    trade = CASES["stock trade"][0]
    text, binary = json_entry(trade)[1], packed_entry(trade)[1]
    rows = read_both_ways("alpaca", [make_block((1, text), (1, b" \n" + text), (0, binary))])
    assert [row["price"] for row in rows["trades"]] == [162.92] * 3
