"""What is journaled comes into the tables by hand as it does in a recording, and only alone."""

import sys
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parents[1] / "recorder"))  # for its module, under pytest, too

from heal_world import START_NS, TAPE, World

from ticktape.errors import Locked
from ticktape.journal import recovery
from ticktape.journal.position_file import load_positions
from ticktape.replay import bring_in as module
from ticktape.replay.bring_in import bring_in
from ticktape.table.store import TableStore


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "run")
    made.record(cut=(0, 0))
    return made


def test_each_row_comes_in_once_however_often_it_is_done(world):
    rows = bring_in(world.run)
    assert rows >= sum(table.num_rows for table in TAPE.tables.values() if table.num_rows) / 2
    assert bring_in(world.run) == 0

    store = TableStore(world.run.root, read_only=True)
    assert store.tally("trades", "iex").received == TAPE.tables["trades"].num_rows
    positions, _ = load_positions(world.run.reader_file("table"))
    assert positions["iex"].offset > 0


def test_what_was_in_the_tables_without_a_saved_position_is_not_stored_again(world):
    bring_in(world.run)
    world.run.reader_file("table").unlink()

    assert bring_in(world.run) == 0


def test_it_waits_for_nobody_who_is_at_work_on_the_tables(world, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_S", 0.01)
    lock = FileLock(world.run.root / "live/table.lock")
    with lock, pytest.raises(Locked, match="a recorder is at work"):
        bring_in(world.run)


def test_a_recorder_and_its_writers_can_start_meanwhile_and_only_what_is_durable_comes_in(
    world, monkeypatch
):
    there = sorted(world.run.journal("iex").iterdir())
    make_durable, opened = recovery.make_durable, []

    def start_then_sync(disk, directory, found):
        with FileLock(world.run.lock, timeout=0):  # as a recorder does when it starts
            writer = world.writer()
        opened.append(writer)
        frame = b'[{"T":"t","S":"LATE","i":1,"x":"V","p":1.5,"s":1,"t":"2025-06-15T15:06:40Z"}]'
        writer.append([frame], START_NS, START_NS)
        return make_durable(disk, directory, found)

    monkeypatch.setattr(recovery, "make_durable", start_then_sync)
    with FileLock(world.run.lock, timeout=0):
        pass
    bring_in(world.run)
    opened[0].close()

    store = TableStore(world.run.root, read_only=True)
    assert store.tally("trades", "iex").received == TAPE.tables["trades"].num_rows
    assert [p for p in there if not p.exists()] == []
    assert bring_in_again(world, monkeypatch, make_durable) == 1


def bring_in_again(world, monkeypatch, make_durable):
    monkeypatch.setattr(recovery, "make_durable", make_durable)
    return bring_in(world.run)
