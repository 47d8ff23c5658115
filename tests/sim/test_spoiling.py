import json

import msgpack
import pytest

from ticktape.sim.spoiling import corrupted

MESSAGES = [
    {"T": "t", "S": "SPY", "i": 1, "c": ["@", "I"], "t": "2026-03-03T14:30:00.5Z"},
    {"stream": "T.SPY", "data": {"ev": "T", "T": "SPY", "p": 1.5}},
    {"T": "n", "id": 7, "headline": 'he said "x": "y", {"a":1}', "content": '":":":'},
    {"T": "o", "S": "BTC/USD", "b": [{"p": 1.5, "s": 2}], "a": [], "r": True},
]


@pytest.mark.parametrize("message", MESSAGES)
@pytest.mark.parametrize("number", range(12))
def test_one_byte_of_json_makes_it_unreadable_and_it_stays_text(message, number):
    whole = json.dumps(message, separators=(",", ":")).encode()
    broken = corrupted(whole, number)
    assert sum(a != b for a, b in zip(whole, broken, strict=True)) == 1
    assert broken.isascii()
    with pytest.raises(ValueError):
        json.loads(broken)
    with pytest.raises(ValueError):
        json.loads(b"[" + broken + b"," + whole + b"]")


@pytest.mark.parametrize("message", MESSAGES)
def test_one_byte_of_messagepack_makes_it_unreadable(message):
    whole = msgpack.packb(message)
    broken = corrupted(whole, 3)
    assert sum(a != b for a, b in zip(whole, broken, strict=True)) == 1
    with pytest.raises(ValueError):
        msgpack.unpackb(b"\x92" + broken + whole)
