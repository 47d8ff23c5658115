import errno
import json
import os

import pyarrow.parquet as pq
import pytest

from ticktape.errors import TableError
from ticktape.records import Position
from ticktape.table import files
from ticktape.table.store import _CONFIGURATION, EPOCH_MAX, OFFSET_MAX, TableStore, Tally

DAY = 86_400 * 10**9


@pytest.fixture
def rows(tape):
    def make(*times, feed="sip"):
        values = [tape.trade(n, at=at)[1] | {"feed": feed} for n, at in enumerate(times)]
        return tape.table_of("trades", values)

    return make


@pytest.fixture
def store(tmp_path):
    (tmp_path / "table").mkdir()
    return TableStore(tmp_path)


def test_rows_position_and_tally_become_visible_together(store, rows, tmp_path):
    table = rows(5, 6)
    assert store.committed("trades", "sip") is None
    assert store.append("trades", table, "sip", Position(3, 700), Tally(3, 1, 0))
    for seen in (store, TableStore(tmp_path, read_only=True)):
        assert seen.committed("trades", "sip") == Position(3, 700)
        assert seen.tally("trades", "sip") == Tally(3, 1, 0)
        assert seen.rows("trades").equals(table)
    assert store.committed("trades", "iex") is None
    assert store.kinds() == ["trades"]


def test_a_position_is_never_committed_twice(store, rows):
    assert store.append("trades", rows(5), "sip", Position(3, 700), Tally(1))
    assert not store.append("trades", rows(5), "sip", Position(3, 700), Tally(1))
    assert not store.append("trades", rows(5), "sip", Position(2, 9_000), Tally(1))
    assert store.append("trades", rows(5), "sip", Position(4, 0), Tally(1))
    assert store.append("trades", rows(5), "iex", Position(0, 1), Tally(1))
    assert store.tally("trades", "sip") == Tally(2)
    assert store.rows("trades").num_rows == 3


def test_a_batch_of_duplicates_alone_moves_the_position(store, rows, tmp_path):
    store.append("trades", rows(), "sip", Position(1, 100), Tally(4, 4, 0))
    again = TableStore(tmp_path)
    assert (again.committed("trades", "sip"), again.tally("trades", "sip").stored) == ((1, 100), 0)
    assert again.rows("trades").num_rows == 0


def test_rows_are_partitioned_by_the_utc_day_of_their_event(store, rows, tmp_path):
    store.append("trades", rows(0, DAY - 1, DAY, -1), "sip", Position(1, 100), Tally(4))
    found = sorted(path.parent.name for path in (tmp_path / "table/trades").glob("day=*/*.parquet"))
    assert found == ["day=1969-12-31", "day=1970-01-01", "day=1970-01-02"]
    assert store.rows("trades", from_ns=0, to_ns=DAY - 1)["event_ns"].to_pylist() == [0, DAY - 1]


def test_positions_at_the_limits_come_back_and_beyond_are_refused(store, rows):
    end = Position(EPOCH_MAX, OFFSET_MAX)
    store.append("trades", rows(1), "sip", end, Tally(1))
    assert store.committed("trades", "sip") == end
    for beyond in (Position(EPOCH_MAX + 1, 0), Position(0, OFFSET_MAX + 1)):
        with pytest.raises(TableError, match="does not fit"):
            store.append("trades", rows(1), "iex", beyond, Tally(1))


def test_a_feed_and_a_directory_of_any_name_can_be_read_back(tmp_path, rows):
    store = TableStore(tmp_path / "a b#c=d")
    store.append("trades", rows(1, feed="x/y %20"), "x/y %20", Position(1, 1), Tally(1))
    again = TableStore(tmp_path / "a b#c=d")
    assert again.rows("trades", feed="x/y %20").num_rows == 1
    assert again.committed("trades", "x/y %20") == Position(1, 1)


def test_only_files_whose_times_can_match_are_opened(store, rows, monkeypatch):
    big = 1_680_782_040_999_987_587
    for number, times in enumerate([(big, big + 9), (big + 20, big + 29), (big + 40,)]):
        store.append("trades", rows(*times), "sip", Position(1, number + 1), Tally(len(times)))
    import numpy as np

    opened = []
    read = store._read
    monkeypatch.setattr(
        store, "_read", lambda kind, paths, *more: opened.append(paths) or read(kind, paths, *more)
    )
    found = store.rows_at("trades", "sip", np.array([big + 9, big + 15, big + 35]), ["event_ns"])
    assert found["event_ns"].to_pylist() == [big + 9]
    assert [len(paths) for paths in opened] == [1]
    assert store.rows_at("trades", "iex", np.array([big]), ["id"]).num_rows == 0
    assert store.event_ns_max("trades", "sip") == big + 40
    assert store.event_ns_max("trades", "iex") is None


def test_data_are_synced_before_the_commit_and_the_commit_before_it_returns(
    tmp_path, rows, monkeypatch
):
    did = []
    fsync = os.fsync

    def spy(descriptor):
        did.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc to name descriptors")
    store = TableStore(tmp_path, on_step=did.append)
    store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    monkeypatch.setattr(os, "fsync", spy)
    did.clear()
    store.append("trades", rows(1), "sip", Position(1, 8), Tally(1))
    assert did == [
        "before-files",
        ".sip-1-8.parquet.partial",
        "day=1970-01-01",
        "after-file",
        "before-commit",
        "after-commit",
        "00000000000000000002.json",
        "_delta_log",
        "trades",
        "after-sync",
    ]


def test_a_full_disk_is_named_and_leaves_nothing_half_visible(store, rows, tmp_path, monkeypatch):
    store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    write = pq.write_table

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.pq, "write_table", full)
    with pytest.raises(TableError, match="No space left") as caught:
        store.append("trades", rows(2), "sip", Position(1, 8), Tally(1))
    assert "disk space" in caught.value.hint
    assert TableStore(tmp_path).rows("trades")["event_ns"].to_pylist() == [1]
    assert not list(tmp_path.rglob("*.partial"))
    monkeypatch.setattr(files.pq, "write_table", write)
    assert store.append("trades", rows(2), "sip", Position(1, 8), Tally(1))
    assert TableStore(tmp_path).rows("trades")["event_ns"].to_pylist() in ([1, 2], [2, 1])


def test_a_commit_that_failed_after_it_was_visible_is_not_made_again(store, rows, monkeypatch):
    sync, place = files.sync_log, "ticktape.table.store.sync_log"
    monkeypatch.setattr(place, lambda *_: (_ for _ in ()).throw(OSError("late")))
    with pytest.raises(TableError, match="late"):
        store.append("quotes", store.rows("quotes"), "sip", Position(1, 7), Tally(1))
    monkeypatch.setattr(place, sync)
    assert store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    monkeypatch.setattr(place, lambda *_: (_ for _ in ()).throw(OSError("late")))
    with pytest.raises(TableError, match="late"):
        store.append("trades", rows(2), "sip", Position(1, 8), Tally(1))
    monkeypatch.setattr(place, sync)
    assert not store.append("trades", rows(2), "sip", Position(1, 8), Tally(1))
    assert store.tally("trades", "sip") == Tally(2)


def lose_file(table):
    next(table.glob("day=*/*.parquet")).unlink()


def cut_file(table):
    path = next(table.glob("day=*/*.parquet"))
    path.write_bytes(path.read_bytes()[:-1])


def empty_log(table):
    sorted((table / "_delta_log").glob("*.json"))[-1].write_bytes(b"")


def cut_log(table):
    path = sorted((table / "_delta_log").glob("*.json"))[-1]
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def garble_log(table):
    sorted((table / "_delta_log").glob("*.json"))[0].write_text(json.dumps({"x": 1})[:5])


def cut_line(table):
    path = sorted((table / "_delta_log").glob("*.json"))[-1]
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("harm", [empty_log, cut_log, cut_line])
def test_of_a_torn_commit_alone_the_rows_are_lost_and_can_come_again(tmp_path, rows, harm):
    for number in range(1, 3):
        store = TableStore(tmp_path)
        store.append("trades", rows(2 * number), "sip", Position(number, 7), Tally(1))
        store.append("trades", rows(2 * number + 1), "sip", Position(number, 8), Tally(1))
        harm(tmp_path / "table" / "trades")
        with pytest.raises(TableError, match="cannot be read: its last commit"):
            TableStore(tmp_path, read_only=True).committed("trades", "sip")
        again = TableStore(tmp_path)
        assert again.committed("trades", "sip") == Position(number, 7)
        assert again.rows("trades").num_rows == number
        assert (again.set_aside, [each.kind for each in again.dropped]) == ([], ["trades"])
        assert again.dropped[0].path.is_file()
        assert TableStore(tmp_path, read_only=True).tally("trades", "sip") == Tally(number)
    assert again.append("trades", rows(5), "sip", Position(2, 8), Tally(1))
    assert TableStore(tmp_path).rows("trades").num_rows == 3


@pytest.mark.parametrize("harm", [lose_file, cut_file, garble_log])
def test_an_unreadable_table_is_set_aside_and_begins_anew(tmp_path, rows, harm):
    for _ in range(2):
        store = TableStore(tmp_path)
        store.append("trades", rows(1, 2), "sip", Position(1, 7), Tally(2))
        harm(tmp_path / "table" / "trades")
        with pytest.raises(TableError, match="cannot be read"):
            TableStore(tmp_path, read_only=True).committed("trades", "sip")
        again = TableStore(tmp_path)
        assert again.committed("trades", "sip") is None
        (aside,) = again.set_aside
        assert aside.kind == "trades"
        assert aside.path.is_dir()
        assert aside.reason
    assert aside.path.name == "trades.unreadable-2"


def test_a_table_whose_making_was_cut_short_is_made_again(tmp_path, rows):
    (tmp_path / "table/trades/_delta_log").mkdir(parents=True)
    store = TableStore(tmp_path)
    assert store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    assert store.set_aside == []


def test_a_reader_keeps_its_snapshot_while_the_writer_goes_on(store, rows, tmp_path):
    store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    reader = TableStore(tmp_path, read_only=True)
    assert reader.committed("trades", "sip") == Position(1, 7)
    store.append("trades", rows(2), "sip", Position(1, 8), Tally(1))
    assert reader.committed("trades", "sip") == Position(1, 7)
    assert reader.rows("trades").num_rows == 1


def test_a_directory_that_deltalake_would_misread_is_refused(tmp_path):
    with pytest.raises(TableError, match="'%'"):
        TableStore(tmp_path / "a%20b")


def test_positions_survive_checkpoints(store, rows, tmp_path, monkeypatch):
    monkeypatch.setitem(_CONFIGURATION, "delta.checkpointInterval", "5")
    for number in range(1, 14):
        store.append("trades", rows(), "sip", Position(1, number), Tally(1, 1))
    assert list((tmp_path / "table/trades/_delta_log").glob("*.checkpoint.parquet"))
    again = TableStore(tmp_path)
    assert again.committed("trades", "sip") == Position(1, 13)
    assert again.tally("trades", "sip") == Tally(13, 13)


def test_the_table_stays_readable_by_every_delta_reader(store, rows, tmp_path):
    from deltalake import DeltaTable

    store.append("trades", rows(1), "sip", Position(1, 7), Tally(1))
    protocol = DeltaTable(tmp_path / "table/trades").protocol()
    assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


@pytest.mark.parametrize("step", ["before-commit", "after-commit", "after-sync"])
def test_what_the_store_remembers_is_what_the_log_says(tmp_path, rows, step):
    failing = []

    def on_step(name):
        if name in failing:
            failing.clear()
            raise OSError("the disk refuses")

    store = TableStore(tmp_path, on_step=on_step)
    for number in range(1, 7):
        failing += [step] if number in (2, 5) else []
        arguments = ("trades", rows(number), "sip", Position(1, number), Tally(number, 0, 1))
        try:
            assert store.append(*arguments)
        except TableError:
            assert store.append(*arguments) == (step == "before-commit")
        store.append("trades", rows(1), "iex", Position(2, number), Tally(1))
        said = TableStore(tmp_path, read_only=True)
        for feed in ("sip", "iex", "nobody"):
            assert store.committed("trades", feed) == said.committed("trades", feed)
            assert store.tally("trades", feed) == said.tally("trades", feed)
    assert store.tally("trades", "sip") == Tally(21, 0, 6)
    assert store.tally("trades", "iex") == Tally(6)
