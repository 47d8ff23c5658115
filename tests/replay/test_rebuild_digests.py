"""What a digest is of, by its own description; and how two streams of rows are compared."""

import json
import math
import struct
from hashlib import blake2b

import pyarrow as pa
import pytest

from ticktape.records import Position
from ticktape.replay.derive import Group, Reading
from ticktape.replay.differences import Differences
from ticktape.replay.digests import RowsDigest
from ticktape.schemas import KINDS

NUMBERS = {"int64": "<q", "int32": "<i", "int8": "<b", "double": "<d", "bool": "<?"}


def row_of(kind, **values):
    plain = {"string": "", "double": 0.0, "bool": False}
    row = {
        f.name: plain.get(str(f.type), [] if pa.types.is_list(f.type) else 0) for f in KINDS[kind]
    }
    return row | values


def table_of(kind, rows):
    return pa.Table.from_pylist(rows, schema=KINDS[kind])


def digest_of(kind, rows):
    digest = RowsDigest(kind)
    digest.add(table_of(kind, rows))
    return digest.hex()


def by_the_book(kind, rows):
    """The digest as its module describes it, value by value."""

    def streams(values, type_):
        valid = b"".join(b"\1" if value is not None else b"\0" for value in values)
        values = [value for value in values if value is not None]
        if pa.types.is_list(type_):
            lengths = b"".join(struct.pack("<q", len(value)) for value in values)
            inner = [item for value in values for item in value]
            return [(type_, valid, lengths, b""), *streams(inner, type_.value_type)]
        if str(type_) == "string":
            texts = [value.encode() for value in values]
            lengths = b"".join(struct.pack("<q", len(text)) for text in texts)
            return [(type_, valid, lengths, b"".join(texts))]
        return [(type_, valid, b"", b"".join(struct.pack(NUMBERS[str(type_)], v) for v in values))]

    def hashed(raw):
        return blake2b(raw, digest_size=32)

    text = f"{kind} {len(rows)}\n"
    for field in KINDS[kind]:
        for depth, (type_, *parts) in enumerate(
            streams([row[field.name] for row in rows], field.type)
        ):
            name = field.name + ".item" * depth
            text += f"{name} {type_} {' '.join(hashed(part).hexdigest() for part in parts)}\n"
    return hashed(text.encode()).hexdigest()


TRADES = [
    row_of("trades", symbol="ÄÖ", price=1.5, id=None, seq=1),
    row_of("trades", symbol="", price=math.nan, id=-(2**63), seq=2),
    row_of("trades", symbol="IBM", price=-0.0, id=2**63 - 1, seq=3),
]
BOOKS = [
    row_of("books", ask_prices=[1.0, 2.0], types=None, seq=1),
    row_of("books", ask_prices=[], types=[1, 2, -3], whole_volumes=[7], seq=2),
    row_of("books", previous_ns=None, bid_prices=[3.5], seq=3),
]


@pytest.mark.parametrize(("kind", "rows"), [("trades", TRADES), ("books", BOOKS), ("trades", [])])
def test_the_digest_is_what_its_description_says(kind, rows):
    assert digest_of(kind, rows) == by_the_book(kind, rows)


@pytest.mark.parametrize(("kind", "rows"), [("trades", TRADES), ("books", BOOKS)])
def test_portions_do_not_change_it(kind, rows):
    digest = RowsDigest(kind)
    whole = table_of(kind, rows * 5)
    for start, count in ((0, 1), (1, 0), (1, 7), (8, 7)):
        for batch in whole.slice(start, count).to_batches() or [whole.slice(start, count)]:
            digest.add(batch)

    assert digest.hex() == digest_of(kind, rows * 5)
    assert digest.rows == 15


@pytest.mark.parametrize(
    "change",
    [
        {"price": math.nextafter(1.5, 2)},
        {"price": None},
        {"symbol": "ÄÖ\0"},
        {"id": 0},
        {"conditions": "ÄÖ", "symbol": ""},
        {"size": 1.5, "price": 0.0},
    ],
    ids=json.dumps,
)
def test_every_change_of_a_value_changes_it(change):
    assert digest_of("trades", [TRADES[0] | change, *TRADES[1:]]) != digest_of("trades", TRADES)


def test_where_one_list_ends_and_the_next_begins_matters():
    one = [row_of("books", ask_prices=[1.0, 2.0]), row_of("books", ask_prices=[3.0])]
    other = [row_of("books", ask_prices=[1.0]), row_of("books", ask_prices=[2.0, 3.0])]

    assert digest_of("books", one) != digest_of("books", other)


# Comparing.


def found(table, journal, *, batch=2, reading=None):
    differences = Differences(Group("trades", "", "1970-01-01"), reading or Reading(Position(0, 0)))
    parts = [table_of("trades", rows).to_batches(batch) for rows in (table, journal)]
    differences.compare(*parts)
    return differences


def trades(count, **values):
    return [row_of("trades", seq=number, price=float(number), **values) for number in range(count)]


def counted(differences):
    counts = differences.counts
    return {
        name: getattr(counts, name) for name in counts.__struct_fields__ if getattr(counts, name)
    }


@pytest.mark.parametrize("batch", [1, 2, 3, 100])
def test_each_way_to_differ_is_counted_and_shown(batch):
    journal = trades(20)
    table = [*journal[:3], *journal[4:8], journal[7], *journal[8:20], row_of("trades", seq=30)]
    table[0] = table[0] | {"price": -0.0}
    differences = found(table, journal, batch=batch)

    assert counted(differences) == {"missing": 1, "surplus": 1, "doubled": 1, "altered": 1}
    shown = [(each.what, each.seq, each.column) for each in differences.examples]
    assert shown == [
        ("altered", 0, "price"),
        ("missing", 3, ""),
        ("doubled", 7, ""),
        ("surplus", 30, ""),
    ]
    assert math.copysign(1, differences.examples[0].table) == -1
    assert math.copysign(1, differences.examples[0].journal) == 1


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_many_rows_at_one_place_are_all_seen(batch):
    same = [row_of("trades", seq=1)] * 9

    assert counted(found([*same, row_of("trades", seq=2)], same[:1], batch=batch)) == {
        "doubled": 8,
        "surplus": 1,
    }


def test_equal_streams_of_other_batches_have_no_difference():
    table, journal = table_of("trades", trades(50)), table_of("trades", trades(50))
    differences = Differences(Group("trades", "", "1970-01-01"), None)
    differences.compare(table.to_batches(7), journal.to_batches(11))

    assert counted(differences) == {}


def test_a_side_that_is_empty_makes_all_of_the_other_missing_or_too_many():
    assert counted(found([], trades(5))) == {"missing": 5}
    assert counted(found(trades(5), [])) == {"surplus": 5}


def test_rows_behind_the_saved_position_are_behind_and_not_missing():
    reading = Reading(Position(0, 0))
    reading.cut = (0, 3)

    assert counted(found([], trades(5), reading=reading)) == {"missing": 3, "behind": 2}
