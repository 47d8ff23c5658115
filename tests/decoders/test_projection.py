"""The two projections are one: for any blocks, the tables are the records."""

import json

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.decoders import chunk, decoder_for
from ticktape.records import Gap

TIMES = st.sampled_from(
    [
        "2021-02-22T15:51:44.208Z",
        "2021-02-22T15:51:45Z",
        "2021-02-22T23:00:00.000000001+01:00",
        "soon",
    ]
)
NUMBERS = st.sampled_from([1, 1.5, -0.0, 2**53, 1e30, "1", None, True])
NAMES = st.sampled_from(["AAPL", "", "Ä", "a,b"])
CODES = st.sampled_from([["@"], ["@", "I"], [], None, [" "], "x", [1]])
IDS = st.sampled_from([0, 7, 2**63 - 1, 2**63, "7", "07", None, 1.0])
KEYS = {
    **dict.fromkeys(["t", "created_at", "updated_at"], TIMES),
    **dict.fromkeys(["symbols"], CODES),
    **dict.fromkeys(["r", "b", "a"], st.sampled_from([True, None, 1, [], [{"p": 1}]])),
    **dict.fromkeys(["S", "x", "z", "bx", "ax", "sm", "headline"], NAMES),
    **dict.fromkeys(
        ["p", "s", "bp", "bs", "ap", "as", "o", "h", "l", "v", "vw", "op", "os", "cp", "cs"],
        NUMBERS,
    ),
    **dict.fromkeys(["i", "oi", "ci", "n"], IDS),
    **dict.fromkeys(["c", "oc", "cc"], CODES | NUMBERS),
}
GOOD = {
    "t": {"t": "2021-02-22T15:51:44.208Z", "S": "A", "p": 1, "s": 2},
    "q": {"t": "2021-02-22T15:51:44.2Z", "S": "A", "bp": 1, "bs": 2, "ap": 3, "as": 4},
    "b": {"t": "2021-02-22T15:51:00Z", "S": "A", "o": 1, "h": 2, "l": 3, "c": 4, "v": 5},
    "c": {
        "t": "2021-02-22T15:51:00Z",
        "S": "A",
        "oi": 1,
        "op": 2,
        "os": 3,
        "ci": 4,
        "cp": 5,
        "cs": 6,
    },
    "x": {"t": "2021-02-22T15:51:00Z", "S": "A", "i": 1, "p": 2, "s": 3},
}
GOOD["u"] = GOOD["d"] = GOOD["b"]
GOOD["o"] = {"t": "2021-02-22T15:51:44.2Z", "S": "A", "b": [{"p": 1, "s": 0}], "a": []}
GOOD["s"] = {"t": "2021-02-22T15:51:44.2Z", "S": "A", "sc": "H", "rm": ""}
GOOD["l"] = {"t": "2021-02-22T15:51:44.2Z", "S": "A", "u": 1, "d": 2}
GOOD["i"] = {"t": "2021-02-22T15:51:44.2Z", "S": "A", "p": 1}
GOOD["n"] = {"id": 1, "created_at": "2021-02-22T15:51:44.2Z", "updated_at": "soon"}


@st.composite
def v2_messages(draw):
    letter = draw(st.sampled_from([*GOOD, "success", "p", 5]))
    message = {"T": letter} | GOOD.get(letter, {})
    for key in draw(st.lists(st.sampled_from(sorted(KEYS)), max_size=3)):
        message[key] = draw(KEYS[key])
    return message


@st.composite
def v1_messages(draw):
    data = {"ev": draw(st.sampled_from(["T", "Q", "AM", "X"])), "T": "SPY", "t": 15, "p": 1, "s": 2}
    data |= {"P": 3, "S": 4, "o": 1, "h": 2, "l": 3, "v": 5, "c": draw(CODES | NUMBERS)}
    for key in draw(st.lists(st.sampled_from(["i", "x", "z", "c", "s", "vw"]), max_size=3)):
        data[key] = draw(IDS | NUMBERS | CODES)
    return {"stream": draw(st.sampled_from(["T.SPY", "listening"])), "data": data}


def frames(messages):
    """Text and binary entries: whole, cut and senseless frames, also of the other encoding."""
    whole = messages.map(lambda m: json.dumps(m).encode()) | messages.map(packed)
    return st.tuples(
        st.sampled_from([0, 1]),
        whole
        | st.binary(max_size=8)
        | st.tuples(whole, st.integers(0, 40)).map(lambda f: f[0][: f[1]]),
    )


def packed(messages):
    def stamped(message):
        texts = {"2021-02-22T15:51:44.208Z": 1_614_009_104_208_000_000, "soon": 2**63}
        texts["2021-02-22T15:51:45Z"] = 1_614_009_105_000_000_000
        time = texts.get(message.get("t"))
        return message | {"t": msgpack.Timestamp.from_unix_nano(time)} if time else message

    made = [stamped(m) for m in messages] if isinstance(messages, list) else messages
    return msgpack.packb(made, default=float)


GAPS = st.sampled_from(
    [
        b'{"event":"down","gap":{"from_ns":5,"to_ns":null,"cause":"disconnect","planned":false}}',
        b'{"event":"up","gaps":[{"from_ns":5,"to_ns":9},{"from_ns":6,"symbol":"A","state":"healed"}]}',
        b'{"event":"up"}',
        b'{"event":"up","gap":{"from_ns":"5"}}',
        b'{"frames":3,"bytes":9,"from_ns":5,"to_ns":9}',
        b'{"frames":3}',
        b"{",
    ]
).flatmap(lambda payload: st.sampled_from([(2, payload), (4, payload)]))


def entries(messages):
    return st.lists(st.lists(frames(messages) | GAPS, max_size=4), max_size=6)


def read(kind, make_block, read_both_ways, journal):
    blocks, seq = [], 0
    for number, payloads in enumerate(journal):
        blocks.append(make_block(*payloads, seq=seq, epoch=number // 2, recv_ns=1000 + number))
        seq += len(payloads)
    read_both_ways(kind, blocks)


@pytest.fixture(scope="module", params=[1, 300, 1_000_000])
def chunk_bytes(request):
    """Chunk ends must not show, so small chunks are tried, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunk, "CHUNK_BYTES", request.param)
        yield


@pytest.mark.usefixtures("chunk_bytes")
@settings(deadline=None, max_examples=80)
@given(journal=entries(st.lists(v2_messages(), max_size=4)))
def test_v2_tables_hold_exactly_the_records(make_block, read_both_ways, journal):
    read("alpaca", make_block, read_both_ways, journal)


@pytest.mark.usefixtures("chunk_bytes")
@settings(deadline=None, max_examples=50)
@given(journal=entries(v1_messages()))
def test_v1_tables_hold_exactly_the_records(make_block, read_both_ways, journal):
    read("alpaca_v1", make_block, read_both_ways, journal)


@settings(deadline=None, max_examples=80)
@given(entries=st.lists(frames(st.lists(v2_messages(), max_size=2)) | GAPS, min_size=2, max_size=4))
def test_an_entry_alone_in_its_block_gives_what_it_gives_among_others(make_block, entries):
    together, alone = (decoder_for("alpaca", "sip") for _ in range(2))
    records, counts = [], []
    for seq, entry in enumerate(entries):
        records += alone.decode(make_block(entry, seq=seq))
        counts.append(alone.counts)
    assert together.decode(make_block(*entries)) == records
    assert together.counts == tuple(map(sum, zip(*counts, strict=True)))


def test_session_entries_give_their_gaps_and_count_no_message(make_block):
    decoder = decoder_for("alpaca", "sip")
    block = make_block(
        (
            2,
            b'{"event":"down","gap":{"from_ns":5,"to_ns":null,"cause":"disconnect","planned":true}}',
        ),
        (2, b'{"event":"x","gaps":[{"from_ns":1,"to_ns":2,"symbol":"A","state":"healed"}]}'),
        (2, b"not json"),
        seq=4,
        recv_ns=99,
    )
    first, second = decoder.decode(block)
    assert isinstance(first, Gap)
    assert (first.event_ns, first.from_ns, first.to_ns, first.recv_ns, first.seq) == (
        5,
        5,
        None,
        99,
        4,
    )
    assert (first.cause, first.planned, first.symbol, first.state) == (
        "disconnect",
        True,
        "",
        "open",
    )
    assert (second.symbol, second.state, second.to_ns, second.index) == ("A", "healed", 2, 0)
    assert decoder.counts == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("payload", "from_ns", "to_ns"),
    [
        (b'{"frames":3,"bytes":9,"from_ns":5,"to_ns":9}', 5, 9),
        (b'{"frames":3,"bytes":9}', 99, 99),
    ],
)
def test_frames_that_were_dropped_are_a_gap_of_the_feed(make_block, payload, from_ns, to_ns):
    decoder = decoder_for("alpaca", "sip")
    block = make_block((4, payload), (4, b'{"frames":'), seq=4, recv_ns=99)
    [gap] = decoder.decode(block)
    assert decoder.counts == (0, 0, 0, 1)
    assert (gap.symbol, gap.state, gap.planned, gap.channels) == ("", "open", False, "")
    assert gap.cause == "3 frames were dropped: the disk refused"
    assert (gap.event_ns, gap.from_ns, gap.to_ns, gap.recv_ns) == (from_ns, from_ns, to_ns, 99)
    assert decoder.tables([block])["gaps"].num_rows == 1
    assert decoder.counts == (0, 0, 0, 1)
