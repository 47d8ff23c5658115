"""Drafts say whose and when; the records made of them are those that decode makes of the same."""

import pytest

from ticktape.decoders import decoder_for, drafts
from ticktape.records import EntryKind

T0 = 1_700_000_000_000_000_000
BAR = {"T": "b", "S": "A", "t": T0, "o": 1, "h": 2, "l": 1, "c": 2, "v": 5}
SUCCESS = {"T": "success", "msg": "authenticated"}
SESSION = EntryKind.SESSION, b'{"event": "connected"}'


def trade(number, symbol="A"):
    return {"T": "t", "S": symbol, "t": T0 + number, "p": 1 + number, "s": 2, "i": number}


def quote(number):
    return {"T": "q", "S": "A", "t": T0 + number, "bp": number, "bs": 2, "ap": 3, "as": 4}


TRADES = [trade(number) for number in range(8)]


@pytest.fixture
def decoder():
    return decoder_for("alpaca", "sip")


def test_records_of_drafts_are_those_of_decode(decoder, entry, make_block):
    several = [entry(SUCCESS), entry(*TRADES[:3]), entry(), entry(TRADES[3])]
    mixed = [entry(*TRADES[4:], BAR, *map(quote, range(5)))]
    blocks = [make_block(*several, seq=4, epoch=2), make_block(*mixed, seq=8, epoch=2, recv_ns=7)]
    expected = [record for block in blocks for record in decoder.decode(block)]
    sifted = decoder.drafts(blocks)
    made = {each.kind: each.records(range(len(each.symbols))) for each in sifted.drafts}
    assert made == {
        kind: [record for record in expected if record.kind == kind]
        for kind in ("trades", "quotes")
    }
    assert sifted.records == [record for record in expected if record.kind == "bars"]
    assert sifted.total == len(expected)
    for each in sifted.drafts:
        assert [record.symbol for record in made[each.kind]] == each.symbols
        assert [record.event_ns for record in made[each.kind]] == each.event_ns
        assert each.first == (2, made[each.kind][0].seq)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([*TRADES, {**TRADES[0], "t": "yesterday"}], id="no time"),
        pytest.param([*TRADES, {**TRADES[0], "c": 5}], id="no conditions"),
        pytest.param([*TRADES, {**TRADES[0], "p": "much"}], id="no price"),
        pytest.param([*TRADES, {**BAR, "t": "yesterday"}], id="bar without a time"),
        pytest.param([*TRADES, {"T": "?"}], id="unknown"),
    ],
)
def test_what_must_be_told_one_by_one_has_no_drafts(decoder, entry, make_block, messages):
    assert decoder.drafts([make_block(entry(*TRADES)), make_block(entry(*messages))]) is None


@pytest.mark.parametrize("messages", [[], [SUCCESS], [BAR]])
def test_without_trades_and_quotes_there_are_no_drafts(decoder, entry, make_block, messages):
    assert decoder.drafts([make_block(entry(*messages))]) is None


def test_entries_of_our_own_have_no_drafts(decoder, entry, make_block):
    assert decoder.drafts([make_block(entry(*TRADES), SESSION)]) is None


def test_a_kind_in_both_encodings_has_no_drafts(decoder, json_entry, packed_entry, make_block):
    assert decoder.drafts([make_block(json_entry(*TRADES), packed_entry(*TRADES))]) is None


def test_symbols_of_which_few_came_have_no_drafts_and_it_does_not_look_for_a_while(
    decoder, entry, make_block
):
    few = make_block(entry(*(trade(number, f"S{number}") for number in range(8))))
    many = make_block(entry(*TRADES))
    assert decoder.drafts([few]) is None
    looks = [decoder.drafts([many]) is not None for _ in range(drafts._PASSES + 1)]
    assert looks == [False] * drafts._PASSES + [True]


def test_history_has_no_drafts():
    assert not isinstance(decoder_for("alpaca_rest", "sip.rest"), drafts.DraftingProjection)
