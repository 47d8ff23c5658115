import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from ticktape.sim import framing


def parse(content):
    """What the websockets package reads of these bytes: the reference."""
    stream, found = StreamReader(), []
    stream.feed_data(bytes(content))
    while stream.buffer:
        steps = Frame.parse(stream.read_exact, mask=False)
        with pytest.raises(StopIteration) as done:
            next(steps)
        found.append(done.value.value)
    return found


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 5_000_000])
def test_frame_of_any_size_reads_back(size):
    (found,) = parse(framing.frame(b"x" * size, framing.TEXT))
    assert (found.opcode, found.data, found.fin) == (Opcode.TEXT, b"x" * size, True)


@given(st.binary(min_size=1, max_size=300), st.integers(1, 400))
def test_fragments_join_to_the_payload(payload, pieces):
    found = parse(framing.fragments(payload, framing.BINARY, pieces))
    assert b"".join(frame.data for frame in found) == payload
    assert [frame.fin for frame in found] == [False] * (len(found) - 1) + [True]
    assert [frame.opcode for frame in found][1:] == [Opcode.CONT] * (len(found) - 1)
    assert len(found) <= pieces


@given(st.lists(st.text(max_size=200) | st.sampled_from(["", "y" * 70_000])))
def test_bulk_is_the_same_as_one_by_one(texts):
    content, places = framing.frames(pa.array(texts, pa.string()), framing.TEXT)
    single = [framing.frame(text.encode(), framing.TEXT) if text else b"" for text in texts]
    assert bytes(content[: places[-1]]) == b"".join(single)
    begins = [sum(map(len, single[:at])) for at in range(len(single) + 1)]
    assert places.tolist() == begins


def test_bulk_of_a_slice_begins_at_its_own_rows():
    texts = pa.array(["one", "two", "three"]).slice(1)
    content, places = framing.frames(texts, framing.TEXT)
    found = parse(content[places[0] : places[-1]])
    assert json.dumps([frame.data.decode() for frame in found]) == '["two", "three"]'
