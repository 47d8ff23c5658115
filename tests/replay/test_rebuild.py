"""Tables are replaced by derived ones: whole at every moment, and the recorder goes on."""

import os
import shutil
import signal
import subprocess
import sys

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from filelock import FileLock

from ticktape.errors import Locked, TableError
from ticktape.journal.lock import lock_journal
from ticktape.journal.position_file import load_positions
from ticktape.records import Position
from ticktape.replay import derive, rebuild, swap
from ticktape.table.store import TableStore, Tally

COLUMNS = ["feed", "epoch", "seq", "index", "price"]
STEPS = ("derived", "proved", "ready", "replaced", "saved")


def again(made, **options):
    return rebuild.rebuild(made.directory, lambda *_: None, **options)


def rows(folder, kind="trades"):
    table = TableStore(folder, read_only=True).rows(kind, columns=COLUMNS)
    return sorted(map(tuple, (row.values() for row in table.to_pylist())))


def store_of(made):
    return TableStore(made.directory.root, read_only=True)


def go_on(made, trade, number=700):
    """Record two trades more and store them, as the next recording would."""
    made.record([[trade(number), trade(number + 1)]], run="later")
    made.store()


def spoil(made, how):
    """Damage the table of trades in one way; a name for each is in HOW."""
    trades = made.directory.table / "trades"
    (path,) = trades.glob("day=*/*.parquet")
    if how == "a log file is gone":
        min((trades / "_delta_log").glob("*.json")).unlink()
    elif how == "a parquet file is gone":
        path.unlink()
    elif how == "a parquet file is zeros":
        path.write_bytes(bytes(path.stat().st_size))
    elif how == "rows are gone":
        DeltaTable(str(trades)).delete("id < 1050")
    elif how == "rows are doubled":
        store = TableStore(made.directory.root)
        store.append("trades", store.rows("trades"), "x", Position(9, 9), Tally(100))
    elif how == "one table is gone":
        shutil.rmtree(trades)
    elif how == "all tables are gone":
        shutil.rmtree(made.directory.table)


HOW = (
    "a log file is gone",
    "a parquet file is gone",
    "a parquet file is zeros",
    "rows are gone",
    "rows are doubled",
    "one table is gone",
    "all tables are gone",
)


@pytest.mark.parametrize("how", HOW)
def test_a_table_that_is_damaged_or_lost_is_whole_again_and_goes_on(made, trade, how):
    true = rows(made.directory.root)
    spoil(made, how)
    done = again(made)

    assert rows(made.directory.root) == true
    assert done.rows == 111
    assert made.check().reasons() == []
    go_on(made, trade)
    assert made.check().reasons() == []
    assert len(rows(made.directory.root)) == 102


def test_positions_and_counts_are_those_that_the_builder_leaves(made):
    before = {kind: store_of(made).committed(kind, "sip") for kind in ("trades", "gaps")}
    saved = load_positions(made.directory.reader_file("table"))
    again(made)
    store = store_of(made)

    assert load_positions(made.directory.reader_file("table")) == saved
    assert store.tally("trades", "sip") == Tally(100, 0, 0)
    for kind, position in before.items():
        assert store.committed(kind, "sip") >= position
    assert store.committed("decisions", "decision:tens") is not None


def test_the_old_tables_are_kept_beside_under_a_new_number_each_time(made):
    true = rows(made.directory.root)
    DeltaTable(str(made.directory.table / "trades")).delete("id = 1007")
    first, second = again(made), again(made)

    assert first.set_aside == made.directory.root / "table.old-1"
    assert second.set_aside == made.directory.root / "table.old-2"
    old = DeltaTable(str(first.set_aside / "trades")).to_pyarrow_table()
    assert old.num_rows == 99
    assert rows(made.directory.root) == true
    assert not (made.directory.root / "table.rebuild").exists()


def test_old_tables_are_dropped_when_that_was_asked(made):
    done = again(made, drop_old=True)

    assert done.set_aside is None
    assert list(made.directory.root.glob("table.*")) == []


def test_old_tables_with_rows_that_no_journal_has_are_never_dropped(made):
    (made.segments()[2]).unlink()
    done = again(made, drop_old=True)

    assert done.before.lost_rows > 0
    assert len(rows(made.directory.root)) == 100 - sum(
        each.counts.lost for each in done.before.groups if each.group.kind == "trades"
    )
    assert DeltaTable(str(done.set_aside / "trades")).to_pyarrow_table().num_rows == 100


def test_what_was_journaled_and_not_yet_stored_is_in_the_new_tables(made, trade):
    made.record([[trade(300)]], run="tuesday")
    again(made)

    assert len(rows(made.directory.root)) == 101
    made.store()
    assert made.check().reasons() == []


# Who else is at work.


def test_it_is_refused_while_a_recorder_is_at_work(made, monkeypatch):
    monkeypatch.setattr(rebuild, "_LOCK_S", 0.01)
    before = rows(made.directory.root)
    with FileLock(made.directory.lock), pytest.raises(Locked, match="a recorder is at work"):
        again(made)
    with FileLock(made.directory.live / "table.lock"), pytest.raises(Locked, match=r"table\.lock"):
        again(made)
    lock = lock_journal(made.directory.journal("sip"))
    with pytest.raises(Locked, match=r"writer\.lock"):
        again(made)
    lock.release()

    assert rows(made.directory.root) == before
    again(made)


def test_no_recorder_can_start_meanwhile(made, monkeypatch):
    held = []
    plain = derive.derive

    def look(*arguments, **options):
        held.append(rebuild.is_live(made.directory))
        return plain(*arguments, **options)

    monkeypatch.setattr(rebuild, "derive", look)
    again(made)

    assert held == [True]


# Crashes.


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_leaves_whole_tables_behind_which_the_recorder_goes_on(
    made, trade, step
):
    true = rows(made.directory.root)
    DeltaTable(str(made.directory.table / "trades")).delete("id < 1050")
    command = [sys.executable, "-m", "ticktape", "rebuild", str(made.directory.root)]
    environment = {**os.environ, "TICKTAPE_FAILPOINT": f"rebuild.{step}"}
    ended = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr

    is_new = step in ("replaced", "saved")
    assert rows(made.directory.root) == (true if is_new else true[50:])
    if not is_new:
        again(made)
    go_on(made, trade)
    assert made.check().reasons() == []
    assert rows(made.directory.root)[:100] == true


@pytest.mark.parametrize("step", ["ready", "between", "replaced"])
def test_where_names_cannot_be_exchanged_a_crash_loses_nothing_either(
    made, trade, step, monkeypatch
):
    class Crash(BaseException):
        pass

    def crash(name):
        if name == step:
            raise Crash

    true = rows(made.directory.root)
    monkeypatch.setattr(swap, "_exchange", lambda *_: False)
    with monkeypatch.context() as patched:
        plain = swap.replace_tables
        patched.setattr(rebuild, "replace_tables", lambda *two_of: plain(*two_of[:2], crash))
        if step == "replaced":
            patched.setattr(rebuild, "save_positions", lambda *_: crash(step))
        with pytest.raises(Crash):
            again(made)
    go_on(made, trade)

    assert made.check().reasons() == []
    assert rows(made.directory.root)[:100] == true


def test_a_system_that_cannot_exchange_names_replaces_by_two_renames(made, monkeypatch):
    monkeypatch.setattr(swap, "_exchange", lambda *_: False)
    DeltaTable(str(made.directory.table / "trades")).delete("id < 1050")
    done = again(made)

    assert len(rows(made.directory.root)) == 100
    assert DeltaTable(str(done.set_aside / "trades")).to_pyarrow_table().num_rows == 50
    assert [path.name for path in made.directory.root.glob("table.*")] == [done.set_aside.name]


def test_names_are_exchanged_in_one_step_where_the_system_can(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    exchanged = swap._exchange(tmp_path / "one", tmp_path / "other")

    if sys.platform == "linux":
        assert exchanged
    assert (tmp_path / "one" / ("other" if exchanged else "one")).exists()


def test_a_disk_that_gives_back_other_rows_leaves_the_old_tables(made, monkeypatch):
    true = rows(made.directory.root)
    plain = TableStore.append

    def lying(store, kind, table, *more):
        if kind == "trades":
            at = table.schema.get_field_index("price")
            table = table.set_column(at, "price", pa.array([1.0] * table.num_rows))
        return plain(store, kind, table, *more)

    monkeypatch.setattr(TableStore, "append", lying)
    with pytest.raises(TableError, match="gave back other rows than were written"):
        again(made)

    assert rows(made.directory.root) == true
    assert list(made.directory.root.glob("table.*")) == []


def test_a_disk_that_refuses_leaves_the_old_tables_and_says_so(made, monkeypatch):
    true = rows(made.directory.root)

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(swap.os, "rename", refuse)
    with pytest.raises(TableError, match="No space left"):
        again(made)

    assert rows(made.directory.root) == true
