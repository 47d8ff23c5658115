"""The ledger's journal as gap rows: what is suspect, of which feed."""

import msgspec
import pytest

from ticktape.decoders.ledger import LedgerTables
from ticktape.records import EntryKind
from ticktape.schemas import KINDS


class Block:
    def __init__(self, *entries, seq=5):
        self.epoch, self.seq, self.recv_ns = 1, seq, 1_000
        self._entries = entries

    def entries(self):
        return list(self._entries)


def suspect(feed="sip", **gap):
    said = {"from_ns": 10, "to_ns": None, "cause": "silent", "state": "suspect", **gap}
    return EntryKind.SESSION, msgspec.json.encode({"event": "suspect", "feed": feed, "gap": said})


def test_a_suspicion_and_its_end_are_rows_of_their_feed():
    note = (EntryKind.NOTE, b'{"event":"counts","feed":"sip"}')
    block = Block(note, suspect(symbol="A", channels="trades"), suspect("iex", to_ns=90))
    made = LedgerTables().tables([block])

    assert list(made) == ["gaps"]
    assert made["gaps"].schema == KINDS["gaps"]
    first, last = made["gaps"].to_pylist()
    assert first == {
        "feed": "ledger:sip",
        "symbol": "A",
        "event_ns": 10,
        "recv_ns": 1_000,
        "witness": "stream",
        "epoch": 1,
        "seq": 6,
        "index": 0,
        "from_ns": 10,
        "to_ns": None,
        "cause": "silent",
        "planned": False,
        "state": "suspect",
        "channels": "trades",
    }
    assert (last["feed"], last["seq"], last["to_ns"]) == ("ledger:iex", 7, 90)


@pytest.mark.parametrize(
    "entry",
    [
        (EntryKind.NOTE, b'{"event":"identity","feed":"sip"}'),
        (EntryKind.SESSION, b"{"),
        (EntryKind.SESSION, b"[" * 100_000),
        (EntryKind.SESSION, b'{"event":"suspect","feed":"sip"}'),
        (EntryKind.SESSION, b'{"event":"suspect","feed":3,"gap":{"from_ns":"x"}}'),
        (EntryKind.TEXT, b'{"event":"suspect","gap":{"from_ns":1}}'),
    ],
)
def test_entries_that_tell_of_no_gap_give_no_row_and_raise_nothing(entry):
    assert LedgerTables().tables([Block(entry)]) == {}
