"""Many small files become few large ones: the same rows, at any moment, for any reader."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticktape.errors import TableError
from ticktape.records import Position
from ticktape.table import compact, merging
from ticktape.table.compact import Compactor
from ticktape.table.merging import Merge, is_same
from ticktape.table.query import connect
from ticktape.table.store import TableStore, Tally

DAY = 86_400 * 10**9
HOUR_S = 3600


class Clock:
    """Both clocks; each look takes a moment, so that a slice comes to its end."""

    def __init__(self):
        self.wall_ns = time.time_ns()  # deltalake removes by the system's
        self.mono_ns = 0

    def monotonic_ns(self):
        self.mono_ns += 4_000_000
        return self.mono_ns


class Run:
    """A store that is written and compacted by one process, as in the recorder."""

    def __init__(self, root, tape):
        self.root, self.tape = root, tape
        self.clock = Clock()
        self.said = []
        self.rows = 0
        self.start()

    def start(self):
        self.store = TableStore(self.root)
        self.compactor = Compactor(
            self.store,
            self.said.append,
            now_ns=lambda: self.clock.wall_ns,
            monotonic_ns=self.clock.monotonic_ns,
        )

    def commit(self, feed="sip", day=0, rows=3):
        """Some trades, one of them of the day after."""
        first = self.rows
        self.rows += rows
        at = [day * DAY + number for number in range(first, self.rows)]
        made = [
            self.tape.trade(number, at=ns, price=float("nan") if number % 5 == 0 else 1.5)[1]
            | {"feed": feed, "recv_ns": ns, "epoch": 1, "seq": number}
            for number, ns in enumerate(at, first)
        ]
        made[-1]["event_ns"] += DAY
        table = self.tape.table_of("trades", made)
        assert self.store.append("trades", table, feed, Position(1, self.rows), Tally(rows))

    def compact(self):
        self.clock.mono_ns += compact._CLEAR_NS
        while self.compactor.step():
            pass

    def files(self, store=None):
        return sorted(Path(each).name for each in (store or self.store).files("trades"))


@pytest.fixture
def run(tmp_path, tape):
    return Run(tmp_path, tape)


def content(store):
    rows = store.rows("trades").to_pylist()
    return sorted(repr(sorted(row.items())) for row in rows)


def test_a_day_that_is_over_becomes_one_file_of_each_feed_with_the_same_rows(run):
    for number in range(30):
        run.commit("sip" if number % 2 else "iex")
    before, tally = content(run.store), run.store.tally("trades", "sip")
    run.compact()
    assert len(run.files()) == 4, "two feeds, and two days of each"
    for seen in (run.store, TableStore(run.root, read_only=True)):
        assert content(seen) == before
        assert seen.tally("trades", "sip") == tally
        assert seen.committed("trades", "sip") == Position(1, 90)
        assert seen.event_ns_max("trades", "sip") == DAY + 89
    assert len(run.said) == 4
    assert "trades of 1970-01-01: 15 files became one" in run.said
    assert run.compactor.statistics() == (60, 4, 0)
    run.commit()
    assert len(run.files()) == 6


def test_rows_keep_the_order_of_the_journal_and_the_encodings_of_the_table(run):
    for _ in range(10):
        run.commit()
    one = next(iter(run.store.files("trades")))
    run.compact()
    (path, _) = sorted(run.store.files("trades"))
    seqs = pq.read_table(path, columns=["seq"], partitioning=None).column("seq").to_pylist()
    assert seqs == sorted(seqs)
    small, large = (pq.read_metadata(each).row_group(0) for each in (one, path))
    for number in range(small.num_columns):
        assert large.column(number).encodings == small.column(number).encodings
        assert large.column(number).compression == small.column(number).compression == "ZSTD"


def test_the_day_that_still_runs_is_left_alone_until_its_files_fill_one(run, monkeypatch):
    run.clock.wall_ns = DAY + compact._LATE_NS - 1
    for _ in range(20):
        run.commit()
    run.compact()
    assert len(run.files()) == 40
    monkeypatch.setattr(compact, "FILE_BYTES", 60_000)
    run.compact()
    assert 4 <= len(run.files()) < 40
    assert any(name.count(".") == 2 for name in run.files())
    files = run.files()
    run.compact()
    assert run.files() == files, "what is large, or too few, stays"


def test_few_late_rows_do_not_have_a_day_written_again(run):
    for _ in range(10):
        run.commit()
    run.compact()
    large = run.files()
    for _ in range(compact.FILES_MIN - 3):
        run.commit()
    run.compact()
    assert set(large) < set(run.files())
    for _ in range(3):
        run.commit()
    before = content(run.store)
    run.compact()
    assert len(run.files()) == 2
    assert content(run.store) == before


@pytest.mark.parametrize("seed", range(2))
def test_rows_are_stored_and_compacted_in_any_order_and_each_is_there_once(run, seed, monkeypatch):
    monkeypatch.setattr(compact, "FILE_BYTES", 60_000)
    monkeypatch.setattr(compact, "_LOOK_NS", 0)
    chance = random.Random(seed)
    run.start()
    for _ in range(50):
        run.commit(chance.choice(["sip", "iex"]), chance.randrange(2), chance.randrange(1, 4))
        for _ in range(chance.randrange(12)):
            run.compactor.step()
        if chance.random() < 0.1:
            run.compactor.close()
            run.start()
    run.compact()
    ids = run.store.rows("trades", columns=["id"]).column("id").to_pylist()
    assert sorted(ids) == list(range(run.rows))
    assert len(run.files()) < 80
    assert not list(run.root.rglob("*.partial"))


def test_a_reader_of_before_reads_on_and_what_nobody_reads_goes_after_a_day(run):
    for _ in range(10):
        run.commit()
    reader = TableStore(run.root, read_only=True)
    with connect(reader) as con:
        run.compact()
        run.compact()
        assert con.execute("SELECT count(*) FROM trades").fetchone() == (30,)
    assert len(list(run.root.rglob("*.parquet"))) == 22
    assert run.compactor.statistics().removed_files == 0


def test_files_of_no_snapshot_are_removed_and_those_of_the_table_never(run, monkeypatch):
    for _ in range(10):
        run.commit()
    monkeypatch.setattr(compact, "UNUSED_HOURS", 0)
    orphan = run.root / "table" / "trades" / "day=1970-01-01" / "sip-9-9.parquet"
    orphan.write_bytes(b"of a commit that never came")
    torn = orphan.with_name(".sip-9-8.parquet.partial")
    torn.write_bytes(b"half")
    before = content(run.store)
    run.compact()
    run.compact()
    assert not orphan.exists() and not torn.exists()
    there = [path.name for path in (run.root / "table").rglob("day=*/*.parquet")]
    assert sorted(there) == run.files()
    assert content(TableStore(run.root, read_only=True)) == before
    assert run.compactor.statistics().removed_files >= 20


def test_what_was_removed_from_the_table_within_a_day_stays_however_old_the_file_is(run):
    for _ in range(10):
        run.commit()
    old = time.time() - 48 * HOUR_S
    for path in run.store.files("trades"):
        os.utime(path, (old, old))
    run.compact()
    assert len(run.files()) == 2
    run.compact()
    assert len(list(run.root.rglob("day=*/*.parquet"))) == 22


def test_a_file_that_does_not_hold_the_rows_never_gets_into_the_table(run, monkeypatch):
    for _ in range(10):
        run.commit()
    before, files = content(run.store), run.files()
    real = Merge._read

    def other(self, part, number):
        rows = real(self, part, number)
        return rows.slice(1) if self._groups else rows  # as it is read again

    monkeypatch.setattr(Merge, "_read", other)
    with pytest.raises(TableError, match="other rows were read back"):
        run.compact()
    assert (content(run.store), run.files()) == (before, files)
    assert not list(run.root.rglob("*.partial"))
    assert run.compactor.step() is False, "it is not tried again at once"


def test_a_part_that_cannot_be_read_is_trouble_and_the_others_are_still_merged(run):
    for _ in range(10):
        run.commit()
    first = sorted(run.store.files("trades"))[0]
    Path(first).write_bytes(b"PAR1 no PAR1")
    with pytest.raises(TableError, match="cannot be compacted"):
        run.compact()
    run.compact()
    assert run.said == ["trades of 1970-01-02: 10 files became one"]
    assert len(run.files()) == 11


def test_a_large_part_is_never_in_memory_as_a_whole(run, monkeypatch):
    for _ in range(40):
        run.commit(rows=30)
    monkeypatch.setattr(merging, "GROUP_ROWS", 60)
    run.compact()
    (large, _) = sorted(run.store.files("trades"))
    assert pq.read_metadata(large).num_row_groups >= 10
    for _ in range(8):
        run.commit(rows=30)
    before, read = content(run.store), []
    real = Merge._read
    monkeypatch.setattr(Merge, "_read", lambda *a: read.append(real(*a)) or read[-1])
    run.compact()
    assert content(run.store) == before
    assert len(run.files()) == 2, "the large one was a part of it"
    assert max(each.num_rows for each in read) < 100
    written = sum(each.num_rows for each in read)
    assert written == 2 * len(before), "each row once to be written, and once to be compared"


def test_what_could_not_be_merged_for_a_while_is_tried_again(run, monkeypatch):
    for _ in range(10):
        run.commit()

    def full(_self, _part, _number):
        raise OSError("no space left")

    with monkeypatch.context() as disk:
        disk.setattr(Merge, "_read", full)
        for _ in range(2):  # of each of the two days
            with pytest.raises(TableError, match="tried again"):
                run.compact()
    run.compact()
    run.compact()
    assert len(run.files()) == 2


def test_many_new_files_are_looked_at_without_waiting_and_not_again_after_trouble(run, monkeypatch):
    for _ in range(10):
        run.commit()
    run.compactor.note_files(compact._LOOK_FILES - 1)
    assert not run.compactor.step()
    assert len(run.files()) == 20, "its time has not come"
    run.compactor.note_files(1)

    def full(_self, _part, _number):
        raise OSError("no space left")

    with monkeypatch.context() as disk, pytest.raises(TableError):
        disk.setattr(Merge, "_read", full)
        while run.compactor.step():
            pass
    run.compactor.note_files(compact._LOOK_FILES)
    assert not run.compactor.step(), "a disk that refused is left in peace for its time"
    run.compact()
    run.compactor.note_files(compact._LOOK_FILES)
    assert run.compactor.step()


@pytest.mark.parametrize(
    ("column", "one", "other"),
    [
        ("price", [1.0, float("nan")], [1.0, 1.0]),
        ("id", [1, None], [1, 0]),
        ("conditions", ["a", "b"], ["a", ""]),
    ],
)
def test_tables_are_the_same_bit_for_bit_or_not_the_same(tape, column, one, other):
    rows = [
        tape.table_of("trades", [{column: value} for value in values]) for values in (one, other)
    ]
    assert is_same(rows[0], rows[0])
    assert not is_same(*rows)
    assert not is_same(rows[0], rows[0].slice(1))


def test_lists_are_compared_item_by_item():
    kind = pa.list_(pa.float64())
    one = pa.table({"x": pa.array([[1.0, float("nan")], [], None], kind)})
    same = pa.table({"x": pa.chunked_array([pa.array([[1.0, float("nan")]], kind), [[], None]])})
    assert is_same(one, same.cast(one.schema))
    for values in ([[1.0], [float("nan")], None], [[1.0, 2.0], [], None], [[1.0], [], None]):
        assert not is_same(one, pa.table({"x": pa.array(values, kind)}))


VICTIM = """
import sys
from ticktape.table.compact import Compactor
from ticktape.table import compact
from ticktape.table.store import TableStore
compact.UNUSED_HOURS = 0
compact._LOOK_NS = compact._CLEAR_NS = 0
compactor = Compactor(TableStore(sys.argv[1]), now_ns=lambda: int(sys.argv[2]))
for _ in range(2):
    while compactor.step():
        pass
"""


@pytest.mark.parametrize(
    "place", ["compact.written", "compact.committed:1", "compact.committed:2", "compact.cleared"]
)
def test_a_process_that_is_killed_there_loses_nothing_and_repeats_nothing(run, place):
    for _ in range(10):
        run.commit()
    before = content(run.store)
    command = [sys.executable, "-c", VICTIM, str(run.root), str(time.time_ns())]
    path = os.pathsep.join(each for each in sys.path if each)
    environment = os.environ | {"TICKTAPE_FAILPOINT": place, "PYTHONPATH": path}
    ended = subprocess.run(command, env=environment, check=False, timeout=240)
    assert ended.returncode != 0, "it was to be killed"
    assert content(TableStore(run.root, read_only=True)) == before
    run.start()
    run.compact()
    assert content(run.store) == before
    assert len(run.files()) == 2
    run.commit()
    assert run.store.set_aside == []
    assert run.store.tally("trades", "sip") == Tally(33)
