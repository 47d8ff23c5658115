import json
from itertools import pairwise

import pytest

from ticktape.sim import lane as lanes
from ticktape.sim.families import FAMILIES
from ticktape.sim.generate import generate_family, generate_tape
from ticktape.sim.lane import EncodedTape, Lane
from ticktape.sim.tape import Tape
from ticktape.sim.wire_v1 import JsonV1
from ticktape.sim.wire_v2 import JsonV2, PackedV2

EVERYTHING = {"trades": frozenset({"*"}), "quotes": frozenset({"*"}), "bars": frozenset({"*"})}
SOME = {"trades": frozenset({"ZAAA"}), "quotes": frozenset({"ZAAB"})}


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=4, events=900, events_per_s=50)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(lanes, "BLOCK_ROWS", 256)


def payloads(content):
    """Cut frames by hand: a server's have no mask, and these are all shorter than 64 KiB."""
    content, found = bytes(content), []
    while content:
        length, head = content[1], 2
        if length == 126:
            length, head = int.from_bytes(content[2:4], "big"), 4
        found.append(json.loads(content[head : head + length]))
        content = content[head + length :]
    return found


def by_hand(tape, wire, subscription, batch, start, stop):
    """The frames that ought to be sent, one message at a time."""
    texts = wire.elements(tape, 0, len(tape)).to_pylist()
    heard = wire.heard(tape, subscription)
    frames, group = [], None
    for row in range(start, stop):
        if heard[row]:
            message = json.loads(texts[row])
            if not wire.joins:
                frames.append(message)
            elif row // batch == group:
                frames[-1].append(message)
            else:
                frames.append([message])
                group = row // batch
    return frames


@pytest.mark.parametrize("wire", [JsonV1(), JsonV2()], ids=["v1", "v2"])
@pytest.mark.parametrize("batch", [1, 7, 400])
@pytest.mark.parametrize("subscription", [EVERYTHING, SOME], ids=["all", "some"])
@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 200, 513, 800], list(range(0, 900, 50))])
def test_frames_are_right_however_the_range_is_cut(tape, wire, batch, subscription, cuts):
    lane = Lane(EncodedTape(tape, wire), subscription, batch)
    edges = [0, *cuts, len(tape)]
    for start, stop in pairwise(edges):
        bursts = lane.burst(start, stop)
        found = [payload for burst in bursts for payload in payloads(burst.content)]
        expected = by_hand(tape, wire, subscription, batch, start, stop)
        assert found == expected
        assert sum(burst.frames for burst in bursts) == len(expected)
        count = sum(map(len, expected)) if wire.joins else len(expected)
        assert sum(burst.messages for burst in bursts) == count


def test_long_tape_keeps_only_some_blocks(tape, monkeypatch):
    monkeypatch.setattr(lanes, "KEEP_ROWS_MAX", 800)
    encoded = EncodedTape(tape, JsonV2())
    encoded.warm()
    lane = Lane(encoded, EVERYTHING, 1)
    found = [p for b in lane.burst(0, len(tape)) for p in payloads(b.content)]
    assert found == by_hand(tape, JsonV2(), EVERYTHING, 1, 0, len(tape))
    assert len(encoded._blocks) <= lanes.KEEP_BLOCKS


# The legacy stream has stocks only.
WIRES = [(JsonV1(), "stocks")]
WIRES += [(wire, family) for wire in (JsonV2(), PackedV2()) for family in sorted(FAMILIES)]


@pytest.mark.parametrize(("wire", "family"), WIRES)
def test_a_later_pass_is_encoded_as_if_it_were_alone(wire, family):
    about = {"symbols": 3, "events": 600, "events_per_s": 50, "long_ids": True}
    tape, still = generate_family(FAMILIES[family], seed=4, **about), {}
    for number in range(3):
        later = tape.again(number)
        encoded = EncodedTape(later, wire, still)
        encoded.warm()
        alone = Tape(later.tables, family, {kind: later.due_of(kind) for kind in later.tables})
        expected = wire.elements(alone, 0, len(alone)).cast("binary")
        assert encoded.elements(0, len(later)).cast("binary").equals(expected)
        assert (encoded.wire.heard(later, EVERYTHING) == wire.heard(alone, EVERYTHING)).all()


def test_only_the_first_of_several_passes_is_encoded_before_it_plays(tape):
    still = {}
    first = EncodedTape(tape, JsonV2(), still)
    first.warm()
    second = EncodedTape(tape.again(1), JsonV2(), still)
    second.warm()
    assert len(first._blocks) == len(still) > 1 and not second._blocks


def test_nobody_interested_means_no_frames(tape):
    lane = Lane(EncodedTape(tape, JsonV2()), {"trades": frozenset({"NOSUCH"})}, 10)
    assert lane.burst(0, len(tape)) == []
