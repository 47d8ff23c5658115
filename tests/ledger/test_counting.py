"""Rows counted by minute, kind and symbol: each once, however the journal is read."""

from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.journal.blocks import Block
from ticktape.ledger.counting import MINUTE_NS, Brought, FeedCounter, plus, spans
from ticktape.ledger.memory import Memory
from ticktape.records import Position
from ticktape.schemas import KINDS

BEGIN = Position(0, 0)


def block_of(number, recv_ns, count=1, epoch=0):
    return Block(epoch, 100 * number, 100 * number + 100, 10 * number, count, recv_ns, 0, 0, b"")


def journal(what):
    """Blocks and their rows from [(minute, [(kind, symbol)])]; one block each."""
    blocks, rows = [], []
    for number, (minute, found) in enumerate(what):
        blocks.append(block_of(number, minute * MINUTE_NS + number, max(len(found), 1)))
        rows += [(kind, symbol, 10 * number + i) for i, (kind, symbol) in enumerate(found)]
    return blocks, rows


def tables_of(blocks, rows):
    """The tables that a decoder makes of these blocks."""
    inside = [row for row in rows if blocks[0].seq <= row[2] < blocks[-1].next_seq]
    made = {}
    for kind in KINDS:
        mine = [row for row in inside if row[0] == kind]
        if mine:
            made[kind] = pa.table({"symbol": [r[1] for r in mine], "seq": [r[2] for r in mine]})
    return made


def fed(counter, blocks, rows, cuts=()):
    """The entries of blocks that are read in pieces."""
    entries = []
    edges = sorted({0, *(cut for cut in cuts if cut < len(blocks)), len(blocks)})
    for begin, end in pairwise(edges):
        part = blocks[begin:end]
        entries += counter.add(Brought(part, tables_of(part, rows)))
    return entries


def sums(entries):
    found = Counter()
    for entry in entries:
        for kind, symbols in entry.kinds.items():
            for symbol, count in symbols.items():
                found[entry.minute_ns // MINUTE_NS, kind, symbol] += count
    return found


def test_a_minute_is_told_once_it_is_over_and_says_where_the_next_begins():
    blocks, rows = journal(
        [
            (5, [("trades", "A"), ("trades", "A"), ("quotes", "B")]),
            (5, [("trades", "B")]),
            (6, [("trades", "A")]),
        ]
    )
    counter = FeedCounter("sip", BEGIN, {})
    (entry,) = fed(counter, blocks, rows)

    assert entry.minute_ns == 5 * MINUTE_NS
    assert entry.kinds == {"trades": {"A": 2, "B": 1}, "quotes": {"B": 1}}
    assert entry.until == (0, 200)
    assert counter.totals == {"trades": 4, "quotes": 1}
    assert counter.settled == (Position(0, 200), {"trades": 3, "quotes": 1})
    assert counter.finish()[0].kinds == {"trades": {"A": 1}}
    assert counter.finish() == []


def test_time_that_passes_ends_a_minute_too():
    blocks, rows = journal([(5, [("trades", "A")])])
    counter = FeedCounter("sip", BEGIN, {})
    assert fed(counter, blocks, rows) == []
    assert counter.pass_time(6 * MINUTE_NS - 1) == []
    assert len(counter.pass_time(6 * MINUTE_NS)) == 1


def test_blocks_without_rows_need_no_entry_and_are_not_read_again():
    blocks, rows = journal([(5, []), (6, [])])
    counter = FeedCounter("sip", BEGIN, {})
    assert fed(counter, blocks, rows) == []
    assert counter.settled[0] == Position(0, 200)


def test_what_the_journal_dropped_is_in_the_minute_of_the_entry_that_tells_it():
    blocks, rows = journal([(5, [("trades", "A")]), (6, []), (7, [])])
    counter = FeedCounter("sip", BEGIN, {})
    entries = counter.add(Brought(blocks, tables_of(blocks, rows)), {1: 30})
    entries += counter.finish()
    told = [(entry.minute_ns // MINUTE_NS, entry.dropped) for entry in entries]
    assert told == [(5, 0), (6, 30)]
    assert counter.dropped == 30


def test_a_clock_that_is_set_back_makes_entries_that_add_up():
    blocks, rows = journal([(5, [("trades", "A")]), (4, [("trades", "A")]), (5, [("trades", "A")])])
    counter = FeedCounter("sip", BEGIN, {})
    entries = fed(counter, blocks, rows) + counter.finish()
    assert sums(entries) == {(5, "trades", "A"): 2, (4, "trades", "A"): 1}


def test_spans_cut_where_the_stretch_changes_and_where_they_are_told():
    stamps = Brought([block_of(n, ns) for n, ns in enumerate([1, 2, 12, 13])], {}).recv_ns
    assert spans(stamps, 10) == [(0, 2), (2, 4)]
    assert spans(stamps, 10, [3]) == [(0, 2), (2, 3), (3, 4)]


def test_blocks_of_two_epochs_are_never_counted_together():
    with pytest.raises(AssertionError):
        Brought([block_of(0, 1), block_of(1, 1, epoch=1)], {})


KIND_AND_SYMBOL = st.tuples(st.sampled_from(["trades", "quotes", "gaps"]), st.sampled_from("ABC"))
JOURNAL = st.lists(
    st.tuples(st.integers(3, 6), st.lists(KIND_AND_SYMBOL, max_size=5)), min_size=1, max_size=25
)


@given(JOURNAL, st.sets(st.integers(1, 25)))
def test_any_cut_into_reads_gives_the_same_counts(what, cuts):
    blocks, rows = journal(what)
    counter = FeedCounter("sip", BEGIN, {})
    entries = fed(counter, blocks, rows, cuts) + counter.finish()

    truth = Counter((m, kind, symbol) for m, found in what for kind, symbol in found)
    assert sums(entries) == truth
    kinds = Counter(kind for _, found in what for kind, _ in found)
    assert counter.totals == dict(kinds)
    assert counter.position == blocks[-1].end


@given(
    JOURNAL,
    st.sets(st.integers(1, 25)),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=4),
)
def test_any_kill_and_restart_counts_each_row_once(what, cuts, kills):
    """Killed after so many reads; a memory is saved before, or only the journal's entries stand."""
    blocks, rows = journal(what)
    written = []
    saved, behind = Memory(), 0
    for life in [*kills, (10**6, True)]:
        after, saves = life
        memory = Memory(dict(saved.positions), saved.own, dict(saved.totals))
        for entry in written[behind:]:
            memory.take(entry)
        start, totals = memory.positions.get("sip", BEGIN), memory.totals.get("sip", {})
        counter = FeedCounter("sip", start, totals)
        rest = [block for block in blocks if block.position >= start]
        edges = sorted({0, *(cut for cut in cuts if cut < len(rest)), len(rest)})
        for begin, end in list(pairwise(edges))[:after]:
            part = rest[begin:end]
            written += counter.add(Brought(part, tables_of(part, rows)))
        if life == (10**6, True):
            written += counter.finish()
        elif saves:
            position, totals = counter.settled
            saved, behind = Memory({"sip": position}, BEGIN, {"sip": totals}), len(written)

    truth = Counter((m, kind, symbol) for m, found in what for kind, symbol in found)
    assert sums(written) == truth
    assert counter.totals == dict(Counter(kind for _, found in what for kind, _ in found))


def test_plus_adds_what_an_entry_counts():
    assert plus({"trades": 1}, {"trades": {"A": 2}, "bars": {"A": 1}}) == {"trades": 3, "bars": 1}
