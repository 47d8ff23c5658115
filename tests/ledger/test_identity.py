"""A stage against the ledger's own counts: equal at the very position, or named."""

import tracemalloc
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.journal.blocks import Block
from ticktape.ledger.counting import Brought, FeedCounter
from ticktape.ledger.identity import StageIdentity, SumsKept, identity_words
from ticktape.records import Position

BEGIN = Position(0, 0)


def brought_of(kinds, first=0, epoch=0):
    """Blocks from the number `first`, 100 bytes each, with a row of each of these kinds."""
    blocks, rows = [], {}
    for number, found in enumerate(kinds, first):
        seq, count = 10 * number, max(len(found), 1)
        blocks.append(Block(epoch, 100 * number, 100 * number + 100, seq, count, 1, 0, 0, b""))
        for index, kind in enumerate(found):
            rows.setdefault(kind, []).append(seq + index)
    tables = {
        kind: pa.table({"symbol": ["A"] * len(seqs), "seq": seqs}) for kind, seqs in rows.items()
    }
    return Brought(blocks, tables)


class Told:
    """A feed of one trade a block, read in pieces."""

    def __init__(self, blocks_max=10**6, start=BEGIN, totals=None):
        self.sums = SumsKept(start, totals or {}, blocks_max)
        self.stage = StageIdentity("sip", "stored", self.sums)
        self.counter = FeedCounter("sip", start, totals or {})
        self.at = 0

    def read(self, count):
        brought = brought_of([["trades"]] * count, self.at)
        self.sums.add(brought, self.counter.totals)
        self.counter.add(brought)
        self.at += count
        return self

    def says(self, blocks, rows, **options):
        self.stage.hear(Position(0, 100 * blocks), {"trades": rows})
        return self.stage.judge(self.counter.position, **options)


def test_a_stage_that_adds_up_is_no_news():
    told = Told().read(10).read(10)
    assert told.says(7, 7) is None
    assert told.says(20, 20) is None
    assert (told.stage.compared, told.stage.differences) == (2, 0)


def test_less_than_was_journaled_is_named_with_kind_place_and_both_numbers():
    told = Told().read(10)
    entry = told.says(7, 6)
    assert (entry.feed, entry.stage, entry.position) == ("sip", "stored", (0, 700))
    assert (entry.received, entry.expected) == ({"trades": 6}, {"trades": 7})
    assert identity_words(entry) == (
        "sip does not add up at stage stored, 0:700: trades: 6 and not 7"
    )
    assert told.says(9, 8) is None, "the same difference is told once"
    assert told.says(10, 8).received == {"trades": 8}
    assert told.stage.differences == 2


def test_more_than_was_journaled_must_be_said_twice_or_at_the_end():
    """A table that was killed between the kinds of a commit is ahead with one for a moment."""
    told = Told().read(10)
    assert told.says(5, 7) is None
    assert told.says(7, 7) is None, "it was ahead, and nothing was wrong"
    assert told.says(8, 9) is None
    assert told.says(9, 10).received == {"trades": 10}

    told = Told().read(10)
    assert told.says(10, 11) is None
    end = told.counter.position
    assert told.stage.judge_end(end, end, {"trades": 11}).expected == {"trades": 10}


def test_a_stage_that_is_ahead_is_compared_when_the_ledger_comes_there():
    told = Told().read(10)
    assert told.says(15, 14) is None
    assert told.says(20, 20) is None, "the first word is still awaited"
    told.read(10)
    assert told.stage.judge(told.counter.position).position == (0, 1500)


def test_what_is_forgotten_is_counted_and_not_judged():
    told = Told(blocks_max=20)
    for _ in range(10):
        told.read(10)
    assert len(told.sums) <= 20
    assert told.says(5, 1) is None
    assert told.stage.unknown == 1
    assert told.says(95, 94).expected == {"trades": 95}


def test_what_a_stage_has_passed_is_not_kept():
    told = Told()
    for _ in range(10):
        told.read(10)
    told.says(95, 95)
    assert len(told.sums) == 6


def test_the_place_where_a_start_begins_is_known():
    told = Told(start=Position(0, 500), totals={"trades": 5})
    assert told.says(5, 4).expected == {"trades": 5}


@pytest.mark.parametrize("place", [Position(0, 650), Position(1, 700)])
def test_a_place_that_is_no_blocks_end_is_not_judged(place):
    told = Told().read(10)
    assert told.sums.at(place) is None


def test_blocks_that_come_one_by_one_take_no_more_memory_than_many_at_once():
    """A table that stands still for hours, and a feed that brings a block every millisecond."""
    count = 5_000
    sums, counter = SumsKept(BEGIN, {}, blocks_max=2_000), FeedCounter("sip", BEGIN, {})
    tracemalloc.start()
    for at in range(count):
        brought = brought_of([["trades", "quotes"] if at % 2 else ["quotes"]], at)
        sums.add(brought, counter.totals)
        counter.add(brought)
    del brought
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 200 * len(sums) <= 400_000
    for at in (count - 1, count - 500, count - 901):
        expected = {"trades": (at + 1) // 2, "quotes": at + 1}
        assert sums.at(Position(0, 100 * (at + 1))) == expected


def test_a_place_in_a_later_epoch_is_found_behind_an_earlier_one():
    sums = SumsKept(BEGIN, {})
    sums.add(brought_of([["trades"], []]), {})
    sums.add(brought_of([["quotes"]], epoch=1), {"trades": 1})
    assert sums.at(Position(1, 100)) == {"trades": 1, "quotes": 1}
    assert sums.at(Position(0, 200)) == {"trades": 1}


ROWS = st.lists(st.lists(st.sampled_from(["trades", "quotes"]), max_size=4), min_size=1)


@given(ROWS, st.sets(st.integers(1, 30)), st.data())
def test_any_cut_gives_the_sums_at_every_blocks_end(what, cuts, data):
    sums, counter = SumsKept(BEGIN, {}), FeedCounter("sip", BEGIN, {})
    edges = sorted({0, *(cut for cut in cuts if cut < len(what)), len(what)})
    for begin, end in pairwise(edges):
        brought = brought_of(what[begin:end], begin)
        sums.add(brought, counter.totals)
        counter.add(brought)
    index = data.draw(st.integers(0, len(what) - 1))
    flat = [kind for found in what[: index + 1] for kind in found]
    found = sums.at(Position(0, 100 * (index + 1)))
    assert {kind: n for kind, n in found.items() if n} == {k: flat.count(k) for k in set(flat)}
