"""Drafts move the cells as their records would, or nothing happens and the writer says so."""

from collections import Counter
from types import SimpleNamespace

import pytest

from ticktape.lastvalue import LastValues, LastValueWriter
from ticktape.records import Trade

BOOT = bytes(range(16))


def trade(symbol, event_ns, seq, *, epoch=1, index=0):
    fields = {"price": float(seq), "size": 1.0, "recv_ns": 9, "index": index}
    return Trade(feed="sip", symbol=symbol, event_ns=event_ns, epoch=epoch, seq=seq, **fields)


def drafts_of(*records):
    """Drafts of which these are the records."""

    def newest(latest):
        latest, rows = dict(latest), {}
        for row, record in enumerate(records):
            if record.event_ns >= latest[record.symbol]:
                rows[record.symbol], latest[record.symbol] = row, record.event_ns
                late.discard(row)
        return rows, len(late)

    late = set(range(len(records)))
    return SimpleNamespace(
        feed="sip",
        kind="trades",
        counts=Counter(record.symbol for record in records),
        newest=newest,
        first=(records[0].epoch, records[0].seq),
        records=lambda rows: [records[row] for row in rows],
    )


@pytest.fixture
def last(tmp_path):
    with LastValueWriter(tmp_path / "last.map", BOOT) as writer:
        yield writer


def shown(path):
    with LastValues(path / "last.map") as values:
        return {symbol: values["sip", symbol].trade for _, symbol in values}


def test_the_newest_of_each_symbol_is_shown_and_the_others_are_counted(last, tmp_path):
    last.update([trade("A", 5, 1), trade("B", 5, 2)])
    came = [
        trade("A", 4, 3),  # late
        trade("A", 7, 4),
        trade("B", 5, 5),  # as late as the one before it, but came later
        trade("A", 9, 6),
        trade("A", 8, 7),  # late
        trade("C", 1, 8),
        trade("A", 9, 9),
    ]
    assert last.update_drafts([drafts_of(*came)])
    assert shown(tmp_path) == {"A": came[6], "B": came[2], "C": came[5]}
    counts = last.statistics()
    assert (counts.records, counts.written, counts.conflated, counts.late) == (9, 5, 2, 2)


def test_a_number_that_no_field_holds_leaves_the_cell_as_it_was(last, tmp_path):
    first = trade("A", 5, 1)
    last.update([first])
    assert last.update_drafts([drafts_of(trade("A", 6, 2), trade("A", 7, 3, index=2**40))])
    assert shown(tmp_path) == {"A": first}
    counts = last.statistics()
    assert (counts.records, counts.written, counts.conflated, counts.unfit) == (3, 1, 1, 1)
    later = trade("A", 6, 4)
    assert last.update_drafts([drafts_of(later)])
    assert shown(tmp_path) == {"A": later}


@pytest.mark.parametrize("again", [trade("A", 5, 7), trade("A", 6, 7, epoch=0)])
def test_what_may_have_been_read_before_is_left_to_its_records(last, tmp_path, again):
    there = trade("A", 5, 7)
    last.update([there])
    before = last.statistics()
    assert not last.update_drafts([drafts_of(again)])
    assert (last.statistics(), shown(tmp_path)) == (before, {"A": there})


def test_drafts_of_which_no_record_can_be_made_change_nothing(last, tmp_path):
    def refuse(_):
        raise ValueError("no time")

    there = trade("A", 5, 1)
    last.update([there])
    before = last.statistics()
    drafts = drafts_of(trade("A", 6, 2))
    drafts.records = refuse
    assert not last.update_drafts([drafts])
    assert (last.statistics(), shown(tmp_path)) == (before, {"A": there})
