"""Tables and blocks of one small tape, and a decoder that needs no venue."""

import json
from types import SimpleNamespace

import pyarrow as pa
import pytest

from ticktape.schemas import KINDS

SECOND = 1_000_000_000


class PlainDecoder:
    """Payloads are JSON lists of [kind, {column: value}]; what is missing is empty or zero."""

    def __init__(self, feed):
        self.feed = feed

    def tables(self, blocks):
        rows = {}
        for block in blocks:
            for number, (_, payload) in enumerate(block.entries()):
                for index, (kind, values) in enumerate(json.loads(payload)):
                    origin = {
                        "feed": self.feed,
                        "recv_ns": block.recv_ns,
                        "epoch": block.epoch,
                        "seq": block.seq + number,
                        "index": index,
                    }
                    rows.setdefault(kind, []).append(origin | values)
        return {kind: table_of(kind, found) for kind, found in rows.items()}


def empty(field):
    if field.name in ("id", "to_ns"):
        return None
    return "" if field.type == pa.string() else False if field.type == pa.bool_() else 0


def table_of(kind, rows):
    schema = KINDS[kind]
    full = [{f.name: row.get(f.name, empty(f)) for f in schema} for row in rows]
    return pa.Table.from_pylist(full, schema=schema)


def block_of(messages, number, *, epoch=1, recv_ns=None):
    """The block at place `number` of its epoch, with one entry that holds `messages`."""
    payload = json.dumps(messages).encode()
    return SimpleNamespace(
        epoch=epoch,
        offset=number * 100,
        end_offset=number * 100 + 100,
        seq=number,
        recv_ns=number * SECOND if recv_ns is None else recv_ns,
        entries=lambda: [(0, payload)],
    )


def trade(id_, *, at=0, symbol="A", exchange="V", price=10.0, size=5.0, **more):
    values = {"symbol": symbol, "event_ns": at, "exchange": exchange, "id": id_}
    return ["trades", values | {"price": price, "size": size} | more]


@pytest.fixture(scope="session")
def tape():
    """What the tests make tapes of."""
    return SimpleNamespace(
        Decoder=PlainDecoder, table_of=table_of, block=block_of, trade=trade, SECOND=SECOND
    )
