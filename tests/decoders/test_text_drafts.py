"""Drafts out of usual text are those of its messages, and their records those of decode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.decoders import decoder_for, text_drafts
from ticktape.decoders.text_drafts import TextDrafts, newest_of

MIN, MAX = -(2**63), 2**63 - 1
TIMES = (
    "2023-11-14T22:13:20Z",
    "2023-11-14T22:13:20.5Z",
    "2023-11-14T22:13:20.499999999Z",
    "1677-09-21T00:12:43.145224193Z",
    "2262-04-11T23:47:16.854775807Z",
)
SESSION = 2, b'{"event": "connected"}'


@pytest.fixture(autouse=True, scope="module")
def every_text():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_drafts, "_TEXT_BYTES_MIN", 0)
        yield


def trade(symbol="A", moment=0, number=7, codes='["@","I"]'):
    return (
        f'{{"T":"t","S":"{symbol}","i":{number},"x":"V","p":1.25,"s":100,"c":{codes},"z":"C",'
        f'"t":"{TIMES[moment]}"}}'
    )


def quote(symbol="A", moment=0):
    return (
        f'{{"T":"q","S":"{symbol}","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"c":["R"],'
        f'"z":"C","t":"{TIMES[moment]}"}}'
    )


def frame(*messages):
    return f"[{','.join(messages)}]".encode()


def made_of(block_list, decoder):
    return [record for block in block_list for record in decoder.decode(block)]


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("tq"), st.sampled_from("ABC"), st.integers(0, len(TIMES) - 1)),
        min_size=12,
        max_size=30,
    ),
    latest=st.lists(st.sampled_from([MIN, 1_699_999_999 * 10**9, MAX, 2**63]), min_size=3),
    cut=st.integers(1, 11),
)
def test_what_they_say_is_what_records_say(make_block, rows, latest, cut):
    texts = [(trade if kind == "t" else quote)(*rest) for kind, *rest in rows]
    blocks = [
        make_block(frame(*texts[:cut]), seq=4, epoch=2, recv_ns=5),
        make_block(frame(*texts[cut:12]), frame(*(texts[12:] or texts)), seq=5, epoch=2, recv_ns=6),
    ]
    decoder = decoder_for("alpaca", "sip")
    sifted = decoder.drafts(blocks)
    if sifted is None:  # too few came of some symbol
        return
    expected = made_of(blocks, decoder)
    assert sifted.total == len(expected)
    for each in sifted.drafts:
        if not isinstance(each, TextDrafts):
            return
        mine = [record for record in expected if record.kind == each.kind]
        symbols = [record.symbol for record in mine]
        assert each.symbols == symbols
        assert list(each.counts) == list(dict.fromkeys(symbols))
        assert each.event_ns == [record.event_ns for record in mine]
        assert each.first == (2, mine[0].seq)
        assert each.records(range(len(mine))) == mine
        needed = dict(zip("ABC", latest, strict=False))
        found, late = each.newest(needed)
        assert (found, late) == newest_of(symbols, each.event_ns, needed)
        assert list(found) == [symbol for symbol in each.counts if symbol in found]


def test_usual_text_is_not_read_message_by_message(make_block, monkeypatch):
    decoder = decoder_for("alpaca", "sip")
    block = make_block(frame(*[trade()] * 8), frame(*[quote()] * 8))
    with monkeypatch.context() as patch:
        patch.setattr("ticktape.decoders.drafts._Read", None)
        sifted = decoder.drafts([block])
    assert {each.kind: each.counts for each in sifted.drafts} == {
        "trades": {"A": 8},
        "quotes": {"A": 8},
    }


@pytest.mark.parametrize(
    "payloads",
    [
        pytest.param([frame(*[trade()] * 8, trade(codes="5"))], id="no conditions"),
        pytest.param([frame(*[trade()] * 8, trade(number="07"))], id="no number"),
        pytest.param([frame(*[trade()] * 8).replace(b"20Z", b"61Z", 1)], id="no time"),
        pytest.param([frame(*[trade()] * 8), SESSION], id="an entry of our own"),
        pytest.param([frame(*(trade(each) for each in "ABCDEF"))], id="few of each symbol"),
    ],
)
def test_what_must_be_told_one_by_one_has_no_drafts(make_block, payloads):
    assert decoder_for("alpaca", "sip").drafts([make_block(*payloads)]) is None


def test_what_is_written_otherwise_has_the_drafts_of_its_messages(make_block):
    decoder = decoder_for("alpaca", "sip")
    blocks = [make_block(frame(*[trade()] * 8, trade().replace('"i":7', '"i": 7')))]
    (found,) = decoder.drafts(blocks).drafts
    assert not isinstance(found, TextDrafts)
    assert found.records(range(9)) == made_of(blocks, decoder)
