"""Entries of the ledger and of healing: written and read by one grammar."""

import pytest

from ticktape.ledger.entries import (
    Asked,
    Compared,
    Counts,
    Failed,
    GapSaid,
    Healed,
    Healing,
    Identity,
    LateFeed,
    Page,
    Request,
    Started,
    Stopped,
    Suspect,
    Unhealable,
    Unsettled,
    encode_entry,
    kind_of,
    read_ledger_entry,
    read_rest_entry,
)
from ticktape.records import EntryKind

GAP = GapSaid(1, 2, "silent", "A", "trades", False, "suspect")
OF_THE_LEDGER = [
    Suspect("sip", GAP),
    Counts("sip", 60, {"trades": {"A": 2}}, (0, 100), 3),
    Identity("sip", "stored", (0, 100), {"trades": 1}, {"trades": 2}),
    LateFeed("sip", 1, None, "late"),
]
OF_HEALING = [
    Started("run"),
    Stopped(),
    Healing(GAP, suspected=True),
    Page(Request("/v2/stocks/trades", {"symbols": "A"}), 1, 10_000),
    Healed(GAP, "2 trades"),
    Healed(GAP, "2 trades", Asked(1, 2, {"trades": ["A"]}, of_all=True)),
    Unhealable(GAP, "no plan"),
    Unsettled(GAP, "no history", Asked(1, 2, {})),
    Compared(1, 2, {"trades": ["A"]}),
    Failed(429, "too many"),
]


@pytest.mark.parametrize("entry", OF_THE_LEDGER, ids=lambda each: type(each).__name__)
def test_what_the_ledger_writes_is_read_again(entry):
    assert read_ledger_entry(kind_of(entry), encode_entry(entry)) == entry


@pytest.mark.parametrize("entry", OF_HEALING, ids=lambda each: type(each).__name__)
def test_what_a_healer_writes_is_read_again(entry):
    assert kind_of(entry) == EntryKind.SESSION
    assert read_rest_entry(kind_of(entry), encode_entry(entry)) == entry


@pytest.mark.parametrize("read", [read_ledger_entry, read_rest_entry])
@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (EntryKind.TEXT, b'{"event":"started"}'),
        (EntryKind.SESSION, b'{"event":"something later"}'),
        (EntryKind.SESSION, b'{"suspect":{"epoch":1}}'),
        (EntryKind.NOTE, b"["),
        (EntryKind.NOTE, b"[" * 100_000),
        (EntryKind.SESSION, b'{"event":"suspect","feed":"sip","gap":{"from_ns":1e300}}'),
    ],
)
def test_anything_else_is_none_of_them(read, kind, payload):
    assert read(kind, payload) is None
