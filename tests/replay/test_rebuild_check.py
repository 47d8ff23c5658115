"""Tables and last values derived again come out equal; each planted difference is named."""

import math
import re
import threading

import numpy as np
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from filelock import FileLock

from ticktape import clock
from ticktape.journal.position_file import load_positions, save_positions
from ticktape.lastvalue import CAPACITY, LastValues
from ticktape.lastvalue.layout import CELLS
from ticktape.lastvalue.mapfile import open_for_writing
from ticktape.recorder import last_child
from ticktape.recorder.task import FeedPlace, LastTask
from ticktape.records import Position
from ticktape.replay.rebuild import check_again
from ticktape.table.files import write_file
from ticktape.table.store import TableStore, Tally


@pytest.fixture
def again(tmp_path):
    """Derive a run again; each time in an empty folder."""
    done = []

    def check(made):
        done.append(tmp_path / f"scratch-{len(done)}")
        done[-1].mkdir()
        return check_again(made.directory, done[-1], lambda *_: None)

    return check


def keep_last(made, feeds=("sip",), parent=None):
    """Bring all into the last values, as the child does."""
    places = [FeedPlace(feed, "alpaca") for feed in feeds]
    last_child.main(LastTask("run", str(made.directory.root), places), parent)


@pytest.fixture
def parent():
    """A parent that wants its child to read to the end and leave."""

    class Parent:
        orphaned = False
        leave = threading.Event()

        def listen(self, on_leave=None, *, orphan_s=0.0):
            pass

        def tell(self, *_, **__):
            pass

    Parent.leave.set()
    return Parent()


def rows(made, kind="trades"):
    table = TableStore(made.directory.root, read_only=True).rows(kind)
    return table.sort_by([("epoch", "ascending"), ("seq", "ascending"), ("index", "ascending")])


def plant(made, table, *, kind="trades", day=""):
    """Have the table hold these rows and no others, all in one day's folder if that is said."""
    DeltaTable(str(made.directory.table / kind)).delete()
    store = TableStore(made.directory.root)
    if not day:
        store.append(kind, table, "planted", Position(9, 9), Tally(table.num_rows))
        return
    action = write_file(store.root / kind, f"day={day}/planted.parquet", table)
    counters = {f"planted/{name}": 1 for name in Tally._fields}
    store._commit(kind, store._refresh(kind), [action], {"planted": 1, **counters})


def the_different(found):
    """The one group that is not the same."""
    (group,) = [each for each in found.groups if each.state != "same"]
    return group


def counted(group):
    counts = group.counts
    return {
        name: getattr(counts, name) for name in counts.__struct_fields__ if getattr(counts, name)
    }


# Whole runs.


def test_what_ran_live_is_derived_again_equal(made, again, parent):
    keep_last(made, parent=parent)
    found = again(made)

    assert found.state == "same", found.to_json()
    assert [(*each.group[:2], each.rows) for each in found.groups] == [
        ("trades", "sip", 100),
        ("gaps", "sip", 1),
        ("decisions", "decision:tens", 10),
    ]
    assert found.last.compared == 1
    assert (found.faults, found.damage, found.not_compared) == ([], [], [])


def test_deriving_again_changes_nothing_of_the_run(made, again):
    def prints():
        files = sorted(made.directory.root.rglob("*"))
        return {p: p.read_bytes() for p in files if p.is_file() and p.suffix != ".lock"}

    before = prints()
    again(made)

    assert prints() == before


def test_restarts_duplicates_and_two_feeds_come_out_equal(empty, trade, again, parent):
    empty.configure(["iex", "sip"])
    for number in range(3):
        twice = [[trade(1)], [trade(2, price=7.0 + number)], [trade(100 + number)]]
        empty.record(twice, feed="sip", run=f"sip-{number}", stop=number != 1)
        empty.record([[trade(1), trade(number)]], feed="iex", run=f"iex-{number}")
        empty.store(["iex", "sip"], [])
    keep_last(empty, ["iex", "sip"], parent)
    found = again(empty)

    assert found.state == "same", found.to_json()
    stored = {each.group.source: each.rows for each in found.groups if each.group.kind == "trades"}
    assert stored == {"iex": 3, "sip": 7}


def test_a_torn_end_is_said_and_nothing_differs(empty, trade, again):
    empty.record([[trade(1)], [trade(2)]], run="monday", stop=False)
    path = empty.segments()[-1]
    path.write_bytes(path.read_bytes()[:-9])
    empty.record([[trade(3)]], run="tuesday")
    empty.store()
    found = again(empty)

    assert found.state == "same", found.to_json()
    (words,) = found.damage
    assert re.match(r"sip: torn end at epoch 0 offset \d+: \d+ bytes", words)


# Planted in the tables.


def test_a_row_that_was_removed_is_missing(made, again):
    DeltaTable(str(made.directory.table / "trades")).delete("id = 1007")
    group = the_different(again(made))

    assert (group.state, counted(group)) == ("DIFFERENT", {"missing": 1})
    victim = made.blocks()[3 + 3]  # two trades a block, behind three entries of the session
    (example,) = group.examples
    assert (example.epoch, example.seq, example.index) == (0, victim.seq + 1, 0)


def test_a_row_that_is_there_twice_is_doubled(made, again):
    table = rows(made)
    plant(made, pa.concat_tables([table, table.slice(7, 1)]))
    group = the_different(again(made))

    assert (group.state, counted(group)) == ("DIFFERENT", {"doubled": 1})
    assert group.rows == group.derived_rows + 1


def test_one_bit_of_a_price_is_found_with_its_place_and_both_values(made, again):
    table = rows(made)
    prices = table["price"].to_numpy().copy()
    true, lie = prices[42], math.nextafter(prices[42], math.inf)
    prices[42] = lie
    plant(made, table.set_column(table.schema.get_field_index("price"), "price", pa.array(prices)))
    group = the_different(again(made))

    assert counted(group) == {"altered": 1}
    (example,) = group.examples
    assert (example.what, example.column) == ("altered", "price")
    assert (example.table, example.journal) == (lie, true)
    assert example.seq == table["seq"][42].as_py()


@pytest.mark.parametrize("column", ["price", "symbol", "conditions", "id", "recv_ns", "witness"])
def test_an_altered_value_is_found_in_whichever_column(made, again, column):
    text = column in ("symbol", "conditions", "witness")
    DeltaTable(str(made.directory.table / "trades")).update(
        updates={column: "'X'" if text else f"{column} + 1"}, predicate="id = 1007"
    )
    group = the_different(again(made))

    assert counted(group) == {"altered": 1}
    assert [example.column for example in group.examples] == [column]


def test_the_values_of_a_column_in_another_order_are_found(made, again):
    table = rows(made)
    at = table.schema.get_field_index("price")
    turned = pa.array(table["price"].to_numpy()[::-1].copy())
    plant(made, table.set_column(at, "price", turned))

    assert counted(the_different(again(made))) == {"altered": 100}


def test_two_columns_under_each_others_names_are_found(made, again):
    table = rows(made)
    price, size = (table.schema.get_field_index(name) for name in ("price", "size"))
    plant(
        made,
        table.set_column(price, "price", table["size"]).set_column(size, "size", table["price"]),
    )
    group = the_different(again(made))

    assert group.counts.altered == sum(p != 100 for p in table["price"].to_pylist())
    assert {example.column for example in group.examples} == {"price", "size"}


def test_the_order_of_the_rows_and_of_the_files_is_no_difference(made, again):
    table = rows(made)
    order = np.random.default_rng(1).permutation(table.num_rows)
    plant(made, table.take(pa.array(order)))

    assert again(made).state == "same"


def test_rows_in_the_wrong_days_folder_are_named_there_and_missing_in_their_own(made, again):
    plant(made, rows(made).slice(0, 3), day="2020-02-02")
    found = again(made)
    by_day = {each.group.day: counted(each) for each in found.groups if each.state != "same"}

    assert by_day == {"2020-02-02": {"wrong_day": 3}, "2025-11-20": {"missing": 100}}
    wrong = next(each for each in found.groups if each.group.day == "2020-02-02")
    assert (wrong.examples[0].column, wrong.examples[0].journal) == ("day", "2025-11-20")


def test_an_altered_decision_is_found(made, again):
    DeltaTable(str(made.directory.table / "decisions")).update(
        updates={"value": "'[0]'"}, predicate="number = 3"
    )
    group = the_different(again(made))

    assert group.group[:2] == ("decisions", "decision:tens")
    assert group.examples[0].table == "[0]"


def test_a_table_that_cannot_be_read_is_a_fault_and_its_rows_are_missing(made, again):
    (path,) = (made.directory.table / "trades").glob("day=*/*.parquet")
    path.unlink()
    found = again(made)

    assert found.state == "DIFFERENT"
    assert f"{path.name} is missing" in found.faults[0]
    assert counted(the_different(found)) == {"missing": 100}


def test_a_file_whose_bytes_are_not_parquet_is_named_and_the_rest_is_compared(made, again, trade):
    (path,) = (made.directory.table / "trades").glob("day=*/*.parquet")
    path.write_bytes(bytes(path.stat().st_size))
    made.record([[trade(500)]], run="tuesday")
    made.store()
    found = again(made)
    group = next(each for each in found.groups if each.group.kind == "trades")

    assert f"table 'trades': {path.name} cannot be read" in found.faults[0]
    assert (group.rows, counted(group)) == (1, {"missing": 100})


def test_a_commit_that_is_gone_from_the_log_is_found(made, again, trade):
    made.record([[trade(500)]], run="tuesday")
    made.store()
    max((made.directory.table / "trades" / "_delta_log").glob("*.json")).unlink()

    assert counted(the_different(again(made))) == {"missing": 1}


def test_what_is_not_yet_in_the_table_is_behind_and_no_fault(made, again, trade):
    made.record([[trade(200), trade(201)]], run="tuesday")
    found = again(made)

    assert found.state == "behind"
    trades = next(each for each in found.groups if each.group.kind == "trades")
    assert counted(trades) == {"behind": 2}


# The journals.


def flip(made, victim):
    for path in made.segments():
        raw = bytearray(path.read_bytes())
        at = raw.find(victim.body)
        if at >= 0:
            raw[at + len(victim.body) // 2] ^= 1
            path.write_bytes(raw)


def test_rows_of_a_damaged_block_cannot_be_proven_and_are_no_fault_of_the_table(made, again):
    victim = made.blocks()[10]
    flip(made, victim)
    found = again(made)
    group = next(each for each in found.groups if each.state != "same")

    assert found.state == "unproven"
    assert (group.state, counted(group)) == ("unproven", {"lost": 2})
    assert [w for w in found.damage if f"damaged block at epoch 0 offset {victim.offset}: " in w]


def test_a_fault_of_the_table_is_still_one_beside_a_damaged_block(made, again):
    flip(made, made.blocks()[10])
    DeltaTable(str(made.directory.table / "trades")).delete("id = 1050")
    group = the_different(again(made))

    assert (group.state, counted(group)) == ("DIFFERENT", {"missing": 1, "lost": 2})


def test_a_repeat_whose_first_arrival_was_damaged_is_not_called_missing(empty, trade, again):
    empty.record([[trade(1)], [trade(2)], [trade(1)], [trade(3)]], run="monday")
    empty.store()
    flip(empty, next(block for block in empty.blocks() if b'"i":1001' in block.body))
    group = the_different(again(empty))

    assert (group.state, counted(group)) == ("unproven", {"lost": 2})


def test_rows_of_a_segment_that_is_gone_are_not_to_be_derived(made, again):
    made.segments()[2].unlink()
    found = again(made)
    group = next(each for each in found.groups if each.group.kind == "trades")

    assert group.state == "unproven"
    assert set(counted(group)) == {"lost"}
    assert found.damage


def test_rows_of_a_feed_without_a_journal_are_named(made, again):
    table = rows(made).slice(0, 1)
    TableStore(made.directory.root).append(
        "trades", table.set_column(0, "feed", pa.array(["ghost"])), "x", Position(9, 9), Tally(1)
    )
    found = again(made)

    assert found.damage == ["the table has rows of 'ghost', which has no journal"]
    assert (the_different(found).state, the_different(found).group.source) == ("unproven", "ghost")


# A recorder at work.


def test_what_a_recorder_at_work_has_not_saved_is_not_compared(made, again, trade):
    path = made.directory.reader_file("table")
    saved = load_positions(path)
    made.record([[trade(200), trade(201)]], run="tuesday")
    made.store()
    save_positions(path, *saved)
    with FileLock(made.directory.lock):
        found = again(made)

    assert found.state == "same", found.to_json()
    trades = next(each for each in found.groups if each.group.kind == "trades")
    assert (trades.rows, trades.derived_rows) == (100, 100)
    words = "sip: 2 trades of 2025-11-20 are in the table behind its saved position"
    assert words in found.not_compared
    assert [w for w in found.not_compared if w.startswith("sip: what is journaled behind")]


# The last values.


def alter(made, change):
    """Change the payload of the first cell, with a CRC that holds."""
    path = made.directory.last
    mapping, is_kept = open_for_writing(path, clock.boot_id(), CAPACITY, CELLS)
    assert is_kept
    payload = mapping.load_cell(0)
    mapping.store_cell(0, change(payload))
    mapping.close()


def test_an_altered_last_value_is_found_with_both_values(made, again, parent):
    keep_last(made, parent=parent)
    with LastValues(made.directory.last) as values:
        true = values["sip", "IBM"].trade.price
    alter(made, lambda raw: raw.replace(np.float64(true).tobytes(), np.float64(1).tobytes()))
    found = again(made)

    assert found.state == "DIFFERENT"
    (difference,) = found.last.differences
    assert difference[:4] == ("sip", "IBM", "trade", "price")
    assert (difference.file, difference.journal) == (1.0, true)


def test_last_values_that_are_behind_are_compared_as_far_as_they_have_come(
    made, again, parent, trade
):
    keep_last(made, parent=parent)
    made.record([[trade(200)], [trade(201, symbol="AIG")]], run="tuesday")
    made.store()
    found = again(made)

    assert found.state == "same", found.to_json()
    assert found.last.compared == 1


def test_a_last_value_of_a_damaged_block_cannot_be_proven(made, again, parent):
    keep_last(made, parent=parent)
    flip(made, next(block for block in made.blocks() if b'"i":1099' in block.body))
    found = again(made)

    assert (found.last.differences, len(found.last.unproven)) == ([], 1)
    assert found.last.state == "unproven"


def test_a_run_without_last_values_says_so(made, again):
    assert again(made).last.not_compared == ["there are no last values"]
