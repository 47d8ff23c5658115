import shutil

import pytest

from ticktape.errors import TableError
from ticktape.records import Position
from ticktape.table.builder import BEGINNING, TableBuilder
from ticktape.table.store import TableStore, Tally


class Crash(Exception):
    """A death at a planted place."""


class Failpoint:
    """Counts steps and dies at the chosen one, once."""

    def __init__(self, at=None):
        self.at = at
        self.passed = []

    def __call__(self, name):
        self.passed.append(name)
        if len(self.passed) - 1 == self.at:
            raise Crash(name)


class Process:
    """What the table's process does: read, add, commit, save; it dies and comes back."""

    def __init__(self, tape, directory, journal, failpoint):
        self.tape, self.directory, self.journal = tape, directory, journal
        self.failpoint = failpoint
        self.saved, self.received = None, None
        self.deaths = 0

    def run(self, batch=3):
        while True:
            try:
                return self._live(batch + self.deaths)
            except Crash:
                self.deaths += 1

    def _live(self, batch):
        store = TableStore(self.directory, on_step=self.failpoint)
        builder = TableBuilder(store, {"sip": self.tape.Decoder("sip")}, on_step=self.failpoint)
        start = builder.start_position("sip", self.saved, self.received)
        rest = [b for b in self.journal if Position(b.epoch, b.offset) >= start]
        for first in range(0, len(rest), batch):
            builder.add("sip", rest[first : first + batch])
            result = builder.commit()
            self.failpoint("before-save")
            self.saved, self.received = result.positions["sip"], result.received["sip"]
            self.failpoint("after-save")
        return store


@pytest.fixture
def journal(tape):
    """Six blocks in two epochs: duplicates near and far, a conflict, quotes, and nothing."""
    quote = ["quotes", {"symbol": "A", "event_ns": 1, "bid_price": 1.0}]
    gap = ["gaps", {"from_ns": 3, "event_ns": 3, "cause": "disconnect", "state": "open"}]
    return [
        tape.block([tape.trade(1, at=1), tape.trade(2, at=1), quote], 0),
        tape.block([tape.trade(1, at=1), quote, quote], 1),
        tape.block([], 2),
        tape.block([gap], 0, epoch=2, recv_ns=9_000 * tape.SECOND),
        tape.block([tape.trade(2, at=1), tape.trade(None, at=1)], 1, epoch=2),
        tape.block([tape.trade(1, at=1, price=9.0), tape.trade(3, at=86_400 * 10**9)], 2, epoch=2),
    ]


EXPECTED_TRADES = [(1, 0, 0), (1, 0, 1), (2, 1, 1), (2, 2, 0), (2, 2, 1)]


def places(store, kind):
    rows = store.rows(kind).to_pylist()
    return sorted((row["epoch"], row["seq"], row["index"]) for row in rows)


def assert_exactly_once(store):
    assert places(store, "trades") == EXPECTED_TRADES
    assert places(store, "quotes") == [(1, 0, 2), (1, 1, 1), (1, 1, 2)]
    assert places(store, "gaps") == [(2, 0, 0)]
    assert store.tally("trades", "sip") == Tally(7, 2, 1)
    assert store.tally("quotes", "sip") == Tally(3)


def steps_of(tape, journal, directory):
    counting = Failpoint()
    Process(tape, directory, journal, counting).run()
    return counting.passed


def test_every_row_is_stored_once_wherever_the_process_dies(tape, journal, tmp_path):
    steps = steps_of(tape, journal, tmp_path / "counting")
    assert {"before-create", "after-file", "before-commit", "after-commit", "after-sync"} <= {
        *steps
    }
    assert {"batch-sealed", "append-trades", "commit-done", "before-save"} <= {*steps}
    for at in range(len(steps)):
        directory = tmp_path / "run"
        process = Process(tape, directory, journal, Failpoint(at))
        store = process.run()
        assert process.deaths == 1, steps[at]
        assert_exactly_once(store)
        assert_exactly_once(TableStore(directory))
        shutil.rmtree(directory)


def test_a_start_from_the_very_beginning_stores_nothing_twice(tape, journal, tmp_path):
    Process(tape, tmp_path, journal, Failpoint()).run()
    assert_exactly_once(Process(tape, tmp_path, journal, Failpoint()).run(batch=6))


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_a_table_that_vanished_or_broke_is_made_again_from_the_journal(
    tape, journal, tmp_path, kind
):
    process = Process(tape, tmp_path, journal, Failpoint())
    process.run()
    shutil.rmtree(tmp_path / "table" / kind)
    assert_exactly_once(process.run())
    next((tmp_path / "table" / kind).glob("day=*/*.parquet")).unlink()
    store = process.run()
    assert [aside.kind for aside in store.set_aside] == [kind]
    assert_exactly_once(store)


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_the_rows_of_a_torn_last_commit_come_again_and_no_others(tape, journal, tmp_path, kind):
    process = Process(tape, tmp_path, journal, Failpoint())
    process.run()
    log = max((tmp_path / "table" / kind / "_delta_log").glob("*.json"))
    log.write_bytes(log.read_bytes()[:-30])
    store = process.run()
    assert (store.set_aside, [each.kind for each in store.dropped]) == ([], [kind])
    assert_exactly_once(store)


def builder_of(tape, store, **options):
    builder = TableBuilder(store, {name: tape.Decoder(name) for name in ("sip", "old")}, **options)
    assert builder.start_position("sip", None) == BEGINNING
    assert builder.start_position("old", None) == BEGINNING
    return builder


def test_a_commit_reports_rows_duplicates_and_what_is_now_durable(tape, journal, tmp_path):
    builder = builder_of(tape, TableStore(tmp_path))
    builder.add("sip", journal[:3])
    builder.add("old", [tape.block([tape.trade(1, at=1)], 4)])
    result = builder.commit()
    assert result.rows == {("trades", "sip"): 2, ("quotes", "sip"): 3, ("trades", "old"): 1}
    assert result.duplicates == {("trades", "sip"): 1}
    assert result.conflicts == {}
    assert result.positions == {"sip": Position(1, 300), "old": Position(1, 500)}
    assert result.received == {"sip": {"trades": 3, "quotes": 3}, "old": {"trades": 1}}
    assert builder.statistics() == (1, 6, 1, 0, 0, 3)


def test_blocks_without_rows_move_the_position_without_a_commit_to_any_table(tape, tmp_path):
    store = TableStore(tmp_path)
    builder = builder_of(tape, store)
    builder.add("sip", [tape.block([], 0), tape.block([], 1)])
    assert builder.commit().positions == {"sip": Position(1, 200)}
    assert store.kinds() == []


def test_a_commit_is_due_after_five_seconds_or_at_the_rows(tape, tmp_path):
    builder = builder_of(tape, TableStore(tmp_path), batch_rows=3)
    assert not builder.due(0)
    builder.add("sip", [tape.block([tape.trade(1)], 0)])
    assert not builder.due(10)
    assert not builder.due(10 + 5 * tape.SECOND - 1)
    assert builder.due(10 + 5 * tape.SECOND)
    builder.commit()
    assert not builder.due(100 * tape.SECOND)
    builder.add("sip", [tape.block([tape.trade(n) for n in (2, 3)], 1)])
    assert not builder.due(100 * tape.SECOND)
    assert not builder.due(104 * tape.SECOND)
    builder.add("sip", [tape.block([tape.trade(4)], 2)])
    assert builder.due(104 * tape.SECOND)


def test_rows_that_come_fast_are_more_in_a_commit_and_wait_no_longer(tape, tmp_path):
    builder = builder_of(tape, TableStore(tmp_path), batch_rows=3)
    builder.add("sip", [tape.block([tape.trade(n) for n in range(11)], 0)])
    assert not builder.due(0)
    assert not builder.due(5 * tape.SECOND // 4 - 1)
    assert builder.due(5 * tape.SECOND // 4)
    builder.add("sip", [tape.block([tape.trade(11)], 1)])
    assert builder.due(2)


def test_a_failed_commit_is_tried_again_and_newer_rows_follow_it(
    tape, journal, tmp_path, monkeypatch
):
    store = TableStore(tmp_path)
    builder = builder_of(tape, store)
    append = store.append
    refused = []

    def refuse(kind, *more):
        if kind == "trades":
            # The worst case: the commit is in the log, and the error came after it.
            append(kind, *more)
            refused.append(kind)
            raise TableError("no space")
        return append(kind, *more)

    builder.add("sip", journal[:2])
    monkeypatch.setattr(store, "append", refuse)
    with pytest.raises(TableError, match="no space"):
        builder.commit()
    builder.add("sip", journal[2:])
    monkeypatch.setattr(store, "append", append)
    assert builder.commit().positions == {"sip": Position(1, 200)}
    assert builder.commit().positions == {"sip": Position(2, 300)}
    assert refused == ["trades"]
    assert_exactly_once(store)


def test_tails_are_what_the_tables_lack(tape, journal, tmp_path):
    builder = builder_of(tape, TableStore(tmp_path))
    builder.add("sip", journal[:2])
    builder.commit()
    assert builder.tails() == {}
    builder.add("sip", journal[2:])
    reader = TableBuilder(TableStore(tmp_path, read_only=True), {"sip": tape.Decoder("sip")})
    assert reader.start_position("sip", None) == BEGINNING
    reader.add("sip", journal)
    for tails in (builder.tails(), reader.tails()):
        assert tails["trades"]["epoch"].to_pylist() == [2, 2, 2]
        assert tails["gaps"].num_rows == 1
        assert "quotes" not in tails
