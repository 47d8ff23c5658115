"""Blocks as the journal's reader gives them, and frames in both encodings of a venue."""

import json
import struct
from datetime import UTC, datetime, timedelta

import msgpack
import pytest

from ticktape.decoders import decoder_for
from ticktape.journal.blocks import Block
from ticktape.journal.format import KIND_SHIFT
from ticktape.schemas import KINDS, MARKET_KINDS

TIMES = ("t", "created_at", "updated_at")
TEXT, BINARY = 0, 1


def block_of(*entries, seq=0, epoch=1, offset=0, recv_ns=1_700_000_000_000_000_000):
    """A block of payloads (text frames) or (kind, payload) pairs."""
    pairs = [entry if isinstance(entry, tuple) else (0, entry) for entry in entries]
    words = [kind << KIND_SHIFT | len(payload) for kind, payload in pairs]
    body = struct.pack(f"<{len(words)}I", *words) + b"".join(payload for _, payload in pairs)
    return Block(
        epoch, offset, offset + 64 + len(body), seq, len(pairs), recv_ns, recv_ns // 7, 1, body
    )


@pytest.fixture(scope="session")
def make_block():
    return block_of


def rfc3339(ns):
    """The venue's own form: no zeros at the end of the fraction, no fraction when it is 0."""
    seconds, fraction = divmod(ns, 10**9)
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    tail = f".{fraction:09d}".rstrip("0") if fraction else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{tail}Z"


def with_times(message, made):
    if not isinstance(message, dict):
        return message
    return {
        key: made(value) if key in TIMES and type(value) is int else value
        for key, value in message.items()
    }


def json_entry(*messages):
    """A text frame; times given as nanoseconds become texts."""
    made = [with_times(message, rfc3339) for message in messages]
    return TEXT, json.dumps(made, separators=(",", ":")).encode()


def packed_entry(*messages):
    """A binary frame; times given as nanoseconds become extension type -1."""
    made = [with_times(message, msgpack.Timestamp.from_unix_nano) for message in messages]
    return BINARY, msgpack.packb(made)


def plain(value):
    return list(value) if isinstance(value, tuple) else value


def rows_of(records):
    """The rows that the tables must have, by kind."""
    rows = {}
    for record in records:
        row = {name: plain(getattr(record, name)) for name in KINDS[record.kind].names}
        rows.setdefault(record.kind, []).append(row)
    return rows


def read_both_ways(kind, blocks):
    """The rows by kind, after a look that records, tables, brief ones and counts say the same."""
    decoder, tables = decoder_for(kind, "sip"), decoder_for(kind, "sip")
    records, counts = [], [(0, 0, 0, 0)]
    for block in blocks:
        records += decoder.decode(block)
        counts.append(decoder.counts)
    made = tables.tables(blocks)
    rows = {name: table.to_pylist() for name, table in made.items()}
    # As texts, since a NaN is no NaN's equal and -0.0 is 0.0's.
    assert repr(rows) == repr({name: rows_of(records).get(name) for name in rows})
    assert rows.keys() == rows_of(records).keys()
    assert all(made[name].schema == KINDS[name] for name in made)
    assert tuple(tables.counts) == tuple(map(sum, zip(*counts, strict=True)))
    assert tables.counts.messages == sum(made[n].num_rows for n in MARKET_KINDS if n in made)
    look_briefly(kind, blocks, made, tables.counts)
    return rows


def look_briefly(kind, blocks, made, counts):
    """The ledger must count and watch exactly the rows that the table is given."""
    decoder = decoder_for(kind, "sip", is_brief=True)
    brief = decoder.tables(blocks)
    assert decoder.counts == counts
    assert brief.keys() == made.keys()
    for name, table in brief.items():
        assert set(table.column_names) >= {"symbol", "event_ns", "recv_ns", "seq"}
        assert repr(table.to_pylist()) == repr(made[name].select(table.column_names).to_pylist())


@pytest.fixture(scope="session", name="read_both_ways")
def _read_both_ways():
    return read_both_ways


@pytest.fixture(scope="session", name="json_entry")
def _json_entry():
    return json_entry


@pytest.fixture(scope="session", name="packed_entry")
def _packed_entry():
    return packed_entry


@pytest.fixture(params=[json_entry, packed_entry], ids=["json", "msgpack"])
def entry(request):
    """Makes a frame of messages, once in each encoding."""
    return request.param
