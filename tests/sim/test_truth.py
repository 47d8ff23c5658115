import os

import pytest

from ticktape.sim.generate import generate_tape
from ticktape.sim.lane import EncodedTape, Lane
from ticktape.sim.orderbooks import WholeBook
from ticktape.sim.truth import TRUTH, Place, Truth, read_truth
from ticktape.sim.wire_v1 import JsonV1
from ticktape.sim.wire_v2 import JsonV2

SOME = {"trades": frozenset({"ZAAA", "ZAAC"}), "quotes": frozenset({"ZAAB"})}


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=6, events=300, events_per_s=100)


def note(truth, lane, edges):
    """Note the rows between the edges, each range on the frame after the last; what it ought to be.

    The reference counts as the wire does: a new frame for each group of rows that has any.
    """
    expected, frame = [], 0
    for number, (start, stop) in enumerate(edges):
        place = Place("/v2/iex", 3, frame, 1000 + number, 2000 + number)
        rows = [row for row in range(start, stop) if lane.heard[row]]
        fault = "cut" if number == 1 else ""
        truth.rows(place, lane, start, stop, len(rows), played=900, fault=fault, whole=not fault)
        group, at = None, 0
        for row in rows:
            mine = row // lane.batch if lane.encoded.wire.joins else row
            at = at + 1 if mine == group else 0
            frame += group is not None and mine != group
            group = mine
            expected.append((frame, at, 900 + row, 1000 + number, 2000 + number, fault, not fault))
        frame += bool(rows)
        if number == 1:
            truth.extra(Place("/v2/iex", 3, frame, 1, 2), "malformed", "{broken")
            expected.append((frame, 0, -1, 1, 2, "malformed", True))
            frame += 1
            truth.flush()
    return expected


@pytest.mark.parametrize("wire", [JsonV1(), JsonV2()], ids=["v1", "v2"])
@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("on_disk", [False, True])
def test_ranges_become_the_rows_that_were_heard(tape, wire, batch, on_disk, tmp_path):
    truth = Truth(tmp_path if on_disk else None)
    lane = Lane(EncodedTape(tape, wire), SOME, batch)
    expected = note(truth, lane, [(0, 10), (10, 60), (60, 61), (61, 62), (62, 300)])
    table = truth.table()
    assert table.schema.equals(TRUTH)
    names = ["frame", "place", "row", "sent_ns", "sent_mono_ns", "fault", "whole"]
    assert [tuple(row[name] for name in names) for row in table.to_pylist()] == expected
    assert table["seq"].to_pylist() == list(range(len(expected)))
    assert truth.messages == len(expected)


def test_columns_are_those_of_the_rows(tape):
    truth = Truth()
    lane = Lane(EncodedTape(tape, JsonV2()), {"trades": {"*"}, "quotes": {"*"}}, 10)
    truth.rows(Place("/v2/iex", 0, 0, 1, 1), lane, 0, len(tape), int(lane.heard.sum()))
    kinds = {kind: table.to_pylist() for kind, table in tape.tables.items()}
    for row in truth.table().to_pylist():
        source = kinds[row["kind"]][row["kind_row"]]
        assert (row["symbol"], row["event_ns"]) == (source["symbol"], source["event_ns"])
        if row["kind"] == "trades":
            names = ["exchange", "id", "price", "size", "conditions", "tape"]
            assert [row[name] for name in names] == [source[name] for name in names]
        if row["kind"] == "corrections":
            assert (row["id"], row["price"]) == (source["original_id"], source["original_price"])


def test_v1_codes_are_numbers_as_text(tape):
    truth = Truth()
    lane = Lane(EncodedTape(tape, JsonV1()), {"trades": {"*"}, "quotes": {"*"}}, 10)
    truth.rows(Place("/stream", 0, 0, 1, 1), lane, 0, len(tape), int(lane.heard.sum()))
    for row in truth.table().to_pylist():
        codes = [row["exchange"], row["tape"], *row["conditions"].split(",")]
        assert all(code.isdigit() for code in codes if code)
        if row["kind"] == "quotes":
            assert (row["conditions"], row["tape"]) == ("1", "")


def test_half_written_file_is_not_read(tape, tmp_path):
    truth = Truth(tmp_path)
    lane = Lane(EncodedTape(tape, JsonV2()), SOME, 1)
    note(truth, lane, [(0, 50), (50, 100)])
    whole = truth.table()
    (tmp_path / "sent-000009.tmp").write_bytes(os.urandom(100))
    assert read_truth(tmp_path).equals(whole)


def test_nothing_sent_is_an_empty_truth(tmp_path):
    assert Truth().table().equals(TRUTH.empty_table())
    assert read_truth(tmp_path).num_rows == 0


def test_whole_book_for_one_listener_is_noted_with_its_frame(tmp_path):
    truth = Truth(tmp_path)
    book = WholeBook("BTC/USD", 1_700_000_000_123_456_789, ((2.5, 0.001),), ((3.0, 7.0),))
    truth.extra(Place("/x", 4, 8, 1, 2), "malformed", "{broken")
    truth.book(Place("/x", 4, 9, 3, 4), book)
    unknown, noted = truth.table().to_pylist()
    assert (unknown["kind"], unknown["symbol"], unknown["event_ns"]) == ("unknown", "", None)
    assert (noted["kind"], noted["symbol"], noted["event_ns"]) == (
        "crypto_books",
        "BTC/USD",
        book.event_ns,
    )
    assert (noted["seq"], noted["frame"], noted["row"], noted["kind_row"]) == (1, 9, -1, -1)
    assert noted["text"] == (
        '[{"T":"o","S":"BTC/USD","t":"2023-11-14T22:13:20.123456789Z",'
        '"b":[{"p":2.5,"s":0.001}],"a":[{"p":3,"s":7}],"r":true}]'
    )
