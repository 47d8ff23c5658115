"""Real frames of both protocols, quoted with their sources, and the rows that they must become.

`alpaca_frames.jsonl` beside this file has what the venue sent: the frame verbatim, where it was
published, how many control messages it holds, and its rows, written by hand. The rows hold every
column but those of the origin.
"""

import json
from pathlib import Path

import pytest

from ticktape.decoders import decoder_for

HERE = Path(__file__).parent
FRAMES = [json.loads(line) for line in (HERE / "alpaca_frames.jsonl").read_text().splitlines()]
KINDS = {"alpaca-v1": "alpaca_v1", "alpaca-v2": "alpaca"}
ORIGIN = ("feed", "recv_ns", "witness", "epoch", "seq", "index")
# The whole collection, also what Alpaca did not send; it is not part of the repository.
COLLECTION = HERE.parents[2] / "shared" / "data" / "alpaca_frames.jsonl"


def own_rows(tables):
    """The rows of all kinds in the order of the frame, without the columns of the origin."""
    rows = [row | {"kind": kind} for kind, table in tables.items() for row in table]
    rows.sort(key=lambda row: row["index"])
    return [{k: v for k, v in row.items() if k not in ORIGIN} for row in rows]


@pytest.mark.parametrize("quoted", FRAMES, ids=lambda quoted: f"{quoted['n']}")
def test_a_real_frame_becomes_the_rows_written_by_hand(make_block, read_both_ways, quoted):
    kind = KINDS[quoted["protocol"]]
    block = make_block(quoted["frame"].encode())
    assert own_rows(read_both_ways(kind, [block])) == quoted["rows"]
    decoder = decoder_for(kind, "sip")
    decoder.decode(block)
    assert decoder.counts == (len(quoted["rows"]), quoted["control"], 0, 0)


@pytest.mark.parametrize(
    "quoted",
    [quoted for quoted in FRAMES if quoted["protocol"] == "alpaca-v2"],
    ids=lambda quoted: f"{quoted['n']}",
)
def test_the_same_messages_in_msgpack_become_the_same_rows(
    make_block, packed_entry, read_both_ways, quoted
):
    messages = [
        message | ({"t": ns_of(quoted, at)} if "t" in message else {})
        for at, message in enumerate(json.loads(quoted["frame"]))
    ]
    block = make_block(packed_entry(*messages))
    assert own_rows(read_both_ways("alpaca", [block])) == quoted["rows"]


def ns_of(quoted, at):
    return quoted["rows"][at]["event_ns"]


def test_every_quoted_frame_names_its_source():
    assert all(quoted["source"] for quoted in FRAMES)


@pytest.mark.skipif(not COLLECTION.exists(), reason="the collection is not beside the repository")
def test_all_45_frames_of_the_collection_decode_as_they_should(make_block, read_both_ways):
    collected = [json.loads(line) for line in COLLECTION.read_text().splitlines()]
    quoted = {frame["n"]: frame for frame in FRAMES}
    assert len(collected) == 45
    for frame in collected:
        protocol, payload = frame["protocol"], frame["frame"].encode()
        block = make_block(payload)
        if frame["dir"] == ">":
            # What a client sends is never journaled; would it be, it is no message of the venue.
            rows = read_both_ways(KINDS[protocol], [block])
            assert list(rows) == ["unknown"]
            assert [row["text"] for row in rows["unknown"]] == [frame["frame"]]
        elif protocol == "polygon-v1":
            # Another venue's grammar: v1 knows no arrays and no `sym`, v2 no maps without `T`.
            for kind, count in (("alpaca_v1", 1), ("alpaca", expected_v2_rows(payload))):
                rows = read_both_ways(kind, [block])
                assert [(name, len(found)) for name, found in rows.items()] == [("unknown", count)]
        else:
            assert quoted[frame["n"]]["frame"] == frame["frame"]
            rows = read_both_ways(KINDS[protocol], [block])
            assert own_rows(rows) == quoted[frame["n"]]["rows"]


def expected_v2_rows(payload):
    """One for each message of an array, one for what is no array."""
    made = json.loads(payload)
    return len(made) if isinstance(made, list) else 1
