"""A frame's records are the same, however many messages it has and of however many types."""

import msgspec
import pytest

from ticktape.decoders import decoder_for

TRADE = {"T": "t", "i": 1, "S": "SPY", "x": "D", "p": 1.5, "s": 300, "c": ["@", "I"], "z": "B"}
BARE = {"T": "t", "S": "BTC/USD", "p": 1.5, "s": 0.25, "tks": "B"}
QUOTE = {"T": "q", "S": "SPY", "bx": "U", "bp": 1.4, "bs": 1, "ax": "X", "ap": 1.6, "as": 2}
QUOTE |= {"c": ["R"], "z": "B"}
BAR = {"T": "b", "S": "SPY", "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10}
FRAMES = {
    "trades": [TRADE | {"i": number} for number in range(9)],
    "trades and crypto's": [TRADE, BARE] * 5,
    "quotes": [QUOTE | {"bs": number} for number in range(9)],
    "two": [TRADE, BARE],
    "bars": [BAR, BAR],
    "trades, then a quote": [TRADE] * 7 + [QUOTE],
    "mixed": [QUOTE, TRADE, BAR] * 4,
    "with a control": [TRADE, {"T": "success", "msg": "x"}, TRADE],
}


@pytest.mark.parametrize("encoding", ["json", "packed"])
@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_has_the_records_that_its_messages_have_alone(
    name, encoding, json_entry, packed_entry, make_block
):
    entry = {"json": json_entry, "packed": packed_entry}[encoding]
    messages = [
        # Whole seconds, trimmed fractions and nanoseconds, over the end of a second.
        message | {"t": 1_700_000_000_999_999_990 + number * 5_000}
        if message["T"] != "success"
        else message
        for number, message in enumerate(FRAMES[name])
    ]
    together, alone = decoder_for("alpaca", "sip"), decoder_for("alpaca", "sip")

    found = together.decode(make_block(entry(*messages), seq=7, epoch=3))

    wanted = []
    for index, message in enumerate(messages):
        for record in alone.decode(make_block(entry(message), seq=7, epoch=3)):
            wanted.append(msgspec.structs.replace(record, index=index))
    assert found == wanted
    assert together.counts.messages == len(wanted)
    assert [record.witness for record in found] == ["stream"] * len(wanted)


def test_an_empty_frame_brings_nothing(make_block):
    decoder = decoder_for("alpaca", "sip")

    assert decoder.decode(make_block(b"[]", b"[]")) == []
    assert decoder.counts == (0, 0, 0, 0)
