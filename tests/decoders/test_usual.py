"""What is read from the text at once is what its messages, read one by one, would be."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders import alpaca_usual, decoder_for
from ticktape.decoders.alpaca import AlpacaWire
from ticktape.decoders.usual import read_usual
from ticktape.sim import jsontext
from ticktape.sim.families import STOCKS
from ticktape.sim.layouts import LAYOUTS
from ticktape.sim.recorded import shipped_tape

TIME = "2023-12-04T17:38:36.428955792Z"
TRADE = (
    f'{{"T":"t","S":"AAPL","i":67,"x":"V","p":188.57,"s":100,"c":["@","I"],"z":"C","t":"{TIME}"}}'
)
QUOTE = (
    '{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"c":["R"],"z":"C",'
    f'"t":"{TIME}"}}'
)
FORMS = [alpaca_usual._TRADE, alpaca_usual._QUOTE]


def frame(*messages):
    return f"[{','.join(messages)}]".encode()


def is_usual(*payloads):
    return read_usual(payloads, FORMS) is not None


@pytest.mark.parametrize(
    "payloads",
    [
        [frame(TRADE)],
        [frame(QUOTE, QUOTE), frame(QUOTE)],
        [frame(TRADE, QUOTE, TRADE), frame(QUOTE), frame(TRADE)],
        [frame(TRADE.replace('["@","I"]', "[]").replace('"V"', '""'))],
        [frame(TRADE.replace("188.57", "0.5").replace("100", "0").replace("67", "9" * 18))],
        [frame(TRADE.replace('["@","I"]', "null")), frame(TRADE.replace('["@","I"]', '"I"'))],
    ],
)
def test_what_the_venue_usually_writes_is_read_at_once(make_block, read_both_ways, payloads):
    assert is_usual(*payloads)
    blocks = [make_block(*payloads, seq=7), make_block(payloads[0], seq=7 + len(payloads))]
    rows = read_both_ways("alpaca", blocks)
    assert "unknown" not in rows


def test_recorded_trades_and_quotes_are_usual(make_block, read_both_ways):
    tape = shipped_tape()
    seq, blocks = 0, []
    for kind, _, rows in tape.rows(0, 2_000):
        if kind in ("trades", "quotes"):
            texts = jsontext.messages(LAYOUTS[STOCKS][kind], rows).to_pylist()
            payloads = [frame(*texts[at : at + 3]) for at in range(0, len(texts), 3)]
            assert is_usual(*payloads)
            blocks.append(make_block(*payloads, seq=seq))
            seq += len(payloads)
    assert read_both_ways("alpaca", blocks).keys() == {"trades", "quotes"}


@pytest.mark.parametrize(
    ("usual", "unusual"),
    [
        *(("188.57", each) for each in ("1.", ".5", "01", "00.5", "1e3", "-1", "+1", "1.2.3")),
        *(("188.57", each) for each in ("", " 1", "1 ", "1_0", '"1"', "1" * 19, "[1]", "null")),
        *(("67", each) for each in ("6.5", "067", "-6", "9" * 19, "null", "", "6,7")),
        *(("AAPL", each) for each in ("A\\n", 'A"', "A\\u0041", "É", "\t", "{", "A\\")),
        *(('["@","I"]', each) for each in ("", '[{"a":1}]', "\n[]")),
        ('"T":"t"', '"T":"tt"'),
        ('"T":"t"', '"T": "t"'),
        ('"x":"V",', ""),
        ('"z":"C",', '"z":"C","y":1,'),
        ('"x":"V"', '"x":null'),
        ('"x":"V"', '"x":5'),
        ("}", "},"),
        ("}", "} "),
        ("}", "}]["),
    ],
)
def test_what_is_written_otherwise_is_read_message_by_message(
    make_block, read_both_ways, usual, unusual
):
    payloads = [frame(TRADE, TRADE), frame(QUOTE, TRADE.replace(usual, unusual, 1), TRADE)]
    assert usual in TRADE
    assert not is_usual(*payloads)
    read_both_ways("alpaca", [make_block(payloads[0]), make_block(payloads[1], seq=1)])


@pytest.mark.parametrize(
    "codes", ['["@"', '["@"],"y":["I"]', '["@"],"z":"A"', "5", '["@",1]', " []"]
)
def test_what_stands_for_the_list_of_conditions_is_read_as_one(make_block, read_both_ways, codes):
    other = TRADE.replace('["@","I"]', codes)
    read_both_ways("alpaca", [make_block(frame(TRADE, other), frame(QUOTE, other, TRADE))])


@pytest.mark.parametrize(
    "payloads",
    [
        [frame(TRADE)[:-1], frame(TRADE)[1:]],  # right together, and each of them wrong
        [frame(TRADE)[:-1] + b",", frame(TRADE)[1:]],
        [frame(TRADE) + frame(TRADE)],
        [frame(TRADE), b"[]"],
        [frame(TRADE), b""],
        [frame(TRADE), b'[{"}]'],
        [frame(TRADE), b"[{}]"],
        [frame(TRADE), b'{"T":"error","code":400,"msg":"x"}'],
        [frame(TRADE), b'[{"T":"success","msg":"connected"}]'],
        [frame(TRADE), b'[{"T":"t"'],
        [frame(TRADE).replace(b"[{", b"{{", 1)],
        [frame(TRADE).replace(b"}]", b"}}", 1)],
    ],
)
def test_payloads_that_are_none_by_themselves_are_not_joined(make_block, read_both_ways, payloads):
    assert not is_usual(*payloads)
    read_both_ways("alpaca", [make_block(*payloads)])


@pytest.mark.parametrize("time", ["yesterday", "2023-02-30T00:00:00Z", "1500-01-01T00:00:00Z", ""])
def test_a_time_that_is_none_is_told_apart_from_its_neighbours(make_block, read_both_ways, time):
    rows = read_both_ways(
        "alpaca", [make_block(frame(TRADE, TRADE.replace(TIME, time), QUOTE), frame(TRADE))]
    )
    assert {kind: len(found) for kind, found in rows.items()} == {
        "trades": 2,
        "quotes": 1,
        "unknown": 1,
    }


def test_entries_of_our_own_stand_between_usual_ones(make_block, read_both_ways):
    said = (2, b'{"event":"x","gaps":[{"from_ns":1,"to_ns":2}]}')
    blocks = [make_block(frame(TRADE, TRADE), seq=3), make_block(said, seq=4)]
    blocks.append(make_block(frame(QUOTE), said, frame(TRADE, QUOTE), seq=5))
    rows = read_both_ways("alpaca", blocks)
    assert [(row["seq"], row["index"]) for row in rows["trades"]] == [(3, 0), (3, 1), (7, 0)]
    assert len(rows["gaps"]) == 2


BITS = st.sampled_from(["{", "}", "[", "]", '"', ",", ":", "0", ".", "\\", " ", '","', "é", "\x00"])


@settings(deadline=None, max_examples=100)
@given(
    sent=st.lists(
        st.lists(st.sampled_from([TRADE, QUOTE]), min_size=1, max_size=3), min_size=1, max_size=3
    ),
    spoiled=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 12), BITS), max_size=2),
)
def test_no_change_of_the_text_makes_a_difference(make_block, read_both_ways, sent, spoiled):
    text = "\n".join(f"[{','.join(messages)}]" for messages in sent)
    for at, length, bit in spoiled:
        at %= len(text)
        text = text[:at] + bit + text[at + length :]
    read_both_ways("alpaca", [make_block(*[each.encode() for each in text.split("\n")])])


def test_a_brief_decoder_gives_the_rows_of_usual_messages_too(make_block):
    block = make_block(frame(TRADE, QUOTE, TRADE))
    brief = decoder_for("alpaca", "sip", is_brief=True).tables([block])
    assert {kind: table.num_rows for kind, table in brief.items()} == {"trades": 2, "quotes": 1}
    assert "price" not in brief["trades"].column_names


def test_each_form_is_of_a_shape_with_its_columns():
    shapes = {shape.kind for shape in AlpacaWire().shapes.values() if shape.usual is not None}
    assert shapes == {"trades", "quotes"}
