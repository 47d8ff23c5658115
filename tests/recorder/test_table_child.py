"""The table's child on a disk that refuses: it waits, bounded, and the journal keeps everything."""

import threading
from types import SimpleNamespace

import msgspec
import pytest

from ticktape.config import TableConfig
from ticktape.directory import RunDirectory
from ticktape.errors import EXIT_COMPLETE, EXIT_INCOMPLETE, TableError
from ticktape.journal import Writer
from ticktape.journal.position_file import load_positions
from ticktape.recorder import room as room_module
from ticktape.recorder import table_child
from ticktape.recorder.task import FeedPlace, TableTask
from ticktape.table import builder, compact
from ticktape.table.store import TableStore

TRADE = b'[{"T":"t","S":"IBM","i":%d,"x":"N","p":1.5,"s":100,"t":"2026-11-20T15:00:00Z","z":"A"}]'
BATCH = 50


class FakeParent:
    def __init__(self):
        self.leave = threading.Event()
        self.orphaned = False
        self.told = []

    def listen(self):
        pass

    def tell(self, event, **content):
        self.told.append((event, content))

    def words(self, event):
        return [content["words"] for told, content in self.told if told == event]


@pytest.fixture
def directory(tmp_path):
    return RunDirectory(tmp_path)


@pytest.fixture
def task(directory):
    config = TableConfig(commit_s=0.05, commit_rows=BATCH)
    return TableTask("run", str(directory.root), [FeedPlace("sip", "alpaca")], [], config)


@pytest.fixture
def written(directory):
    """A journal of 1,000 trades whose writer is gone."""
    with Writer(directory.journal("sip"), directory.positions("sip")) as writer:
        for number in range(1000):
            writer.append([TRADE % number], 1, 1)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(table_child, "_RETRY_S", 0.001)
    monkeypatch.setattr(table_child, "_READ_BYTES", 1 << 13)
    monkeypatch.setattr(builder, "_FAST_TIMES", 1)  # a small journal is to be several commits


def rows_of(directory):
    return TableStore(directory.root, read_only=True).rows("trades").num_rows


def refuse(times, monkeypatch, method, error):
    """Have a method raise so often, then work; counts what the child did meanwhile."""
    left = [times]
    plain = getattr(*method)

    def sometimes(*arguments, **options):
        if left[0] > 0:
            left[0] -= 1
            raise error
        return plain(*arguments, **options)

    monkeypatch.setattr(*method, sometimes)
    return left


def test_all_is_stored_and_the_position_saved(directory, task, written):
    parent = FakeParent()
    parent.leave.set()

    assert table_child.main(task, parent) == EXIT_COMPLETE
    assert rows_of(directory) == 1000
    positions, counts = load_positions(directory.reader_file("table"))
    assert counts["sip"]["trades"] == 1000
    assert positions["sip"].offset > 100_000


def test_what_arrow_has_freed_goes_back_to_the_system_after_each_commit(
    directory, task, written, quick, monkeypatch
):
    released = []
    pool = SimpleNamespace(release_unused=lambda: released.append(rows_of(directory)))
    monkeypatch.setattr(table_child, "pa", SimpleNamespace(default_memory_pool=lambda: pool))
    parent = FakeParent()
    parent.leave.set()

    assert table_child.main(task, parent) == EXIT_COMPLETE
    assert len(released) > 2
    assert released[-1] == 1000
    assert released[0] > 0, "behind the commit"


def test_while_the_disk_refuses_it_reads_no_further_than_a_batch(
    directory, task, written, quick, monkeypatch
):
    parent = FakeParent()
    left = refuse(20, monkeypatch, (TableStore, "append"), TableError("refused", hint="wait"))
    held = []
    child = table_child.TableChild(task, parent)
    plain = child._pause

    def pause():
        held.append(child._builder.statistics().pending_rows)
        if left[0] == 0:
            parent.leave.set()
        plain()

    monkeypatch.setattr(child, "_pause", pause)
    assert child.run() == EXIT_COMPLETE
    child.close()

    assert parent.words("trouble") == ["refused"]
    assert parent.words("mended") == ["the table's disk takes writes again"]
    assert max(held) < 3 * BATCH
    assert rows_of(directory) == 1000


def test_a_disk_that_refuses_to_the_end_does_not_keep_the_run_from_ending(
    directory, task, written, quick, monkeypatch
):
    parent = FakeParent()
    parent.leave.set()
    refuse(10**9, monkeypatch, (TableStore, "append"), TableError("refused", hint="wait"))

    assert table_child.main(task, parent) == EXIT_INCOMPLETE
    assert parent.words("trouble") == ["refused"]


def test_a_position_that_cannot_be_saved_is_trouble_and_is_saved_later(
    directory, task, written, quick, monkeypatch
):
    parent = FakeParent()
    parent.leave.set()
    refuse(
        3,
        monkeypatch,
        (table_child, "save_positions"),
        OSError(28, "No space left on device"),
    )

    assert table_child.main(task, parent) == EXIT_COMPLETE
    (words,) = parent.words("trouble")
    assert "no room" in words
    assert rows_of(directory) == 1000
    assert load_positions(directory.reader_file("table"))[1]["sip"]["trades"] == 1000


def test_an_orphan_with_a_successor_stores_what_it_has_and_leaves_the_rest(
    directory, task, written, monkeypatch
):
    parent = FakeParent()
    parent.orphaned = True
    parent.leave.set()
    monkeypatch.setattr(table_child, "has_successor", lambda *_: True)
    monkeypatch.setattr(
        table_child.Following, "is_drained", lambda _: pytest.fail("it drained all the same")
    )

    assert table_child.main(task, parent) == EXIT_COMPLETE
    assert rows_of(directory) in (0, 1000)


def test_a_second_start_goes_on_where_the_first_stopped(directory, task, written):
    for _ in range(2):
        parent = FakeParent()
        parent.leave.set()
        assert table_child.main(task, parent) == EXIT_COMPLETE

    assert rows_of(directory) == 1000


def test_below_the_reserve_it_stores_nothing_until_there_is_room(
    directory, task, written, quick, monkeypatch
):
    free = [5]
    monkeypatch.setattr(room_module, "disk_free_bytes", lambda _: free[0])
    task = msgspec.structs.replace(task, reserve_bytes=10)
    parent = FakeParent()
    parent.leave.set()
    assert table_child.main(task, parent) == EXIT_INCOMPLETE
    (words,) = parent.words("trouble")
    assert words.startswith("the table waits until the disk has reserve_bytes")
    assert not list(directory.table.rglob("*.parquet"))

    free[0] = 10**9
    assert table_child.main(task, parent) == EXIT_COMPLETE
    assert rows_of(directory) == 1000


def test_its_files_become_few_in_idle_moments_and_it_says_so(
    directory, task, written, quick, monkeypatch
):
    parent = FakeParent()
    monkeypatch.setattr(compact, "_LOOK_NS", 0)
    child = table_child.TableChild(task, parent)
    plain = child._pause

    def pause():
        if parent.words("compacted"):
            parent.leave.set()
        plain()

    monkeypatch.setattr(child, "_pause", pause)
    assert child.run() == EXIT_COMPLETE
    child.report()
    child.close()
    assert parent.words("compacted")[0].startswith("trades of 2026-11-20: ")
    assert len(TableStore(directory.root, read_only=True).files("trades")) < 5
    assert rows_of(directory) == 1000
    (told,) = [content for event, content in parent.told if event == "statistics"][-1:]
    assert told["merged_files"] > 10 and told["made_files"] == 1


def test_compacting_that_fails_is_said_and_costs_no_row(
    directory, task, written, quick, monkeypatch
):
    parent = FakeParent()
    monkeypatch.setattr(compact, "_LOOK_NS", 0)
    refuse(10**9, monkeypatch, (compact.Merge, "run"), OSError(28, "no room"))
    child = table_child.TableChild(task, parent)
    plain = child._pause

    def pause():
        if parent.words("trouble"):
            parent.leave.set()
        plain()

    monkeypatch.setattr(child, "_pause", pause)
    assert child.run() == EXIT_COMPLETE
    child.close()
    (words,) = parent.words("trouble")
    assert words.startswith("the tables cannot be compacted")
    assert rows_of(directory) == 1000
