import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.table.dedup import Deduplicator, DuplicateCount
from ticktape.table.hashing import prints_of


class Stored:
    """The table as the deduplicator sees it: all rows it let through and that were committed."""

    def __init__(self, empty):
        self.rows = empty
        self.asked = []

    def __call__(self, feed, event_ns):
        assert list(event_ns) == sorted(set(event_ns.tolist()))
        self.asked.append(event_ns.tolist())
        return self.rows.filter(pc.is_in(self.rows["event_ns"], pa.array(event_ns)))

    def commit(self, rows):
        self.rows = pa.concat_tables([self.rows, rows])

    def event_ns_max(self):
        return pc.max(self.rows["event_ns"]).as_py()


@pytest.fixture(scope="session")
def trades(tape):
    """A table of trades from (id, changes) with the arrival time in seconds."""

    def make(*rows, recv_s=0):
        values = [tape.trade(id_, **more)[1] for id_, more in rows]
        return tape.table_of("trades", [row | {"recv_ns": recv_s * tape.SECOND} for row in values])

    return make


@pytest.fixture
def stored(trades):
    return Stored(trades((1, {})).schema.empty_table())


@pytest.fixture
def dedup(stored):
    return Deduplicator("sip", stored, None)


# Taken once from this code; a change would make duplicates of what other processes hashed.
KNOWN_HASHES = [
    "0x8f75afdc6b4f56ee",
    "0x1fb4e79f79f978f4",
    "0x8f5021dd04e52827",
    "0x1180f7dca085207b",
]


def counted(deduped):
    return deduped.rows.num_rows, deduped.duplicates, deduped.conflicts


def test_the_same_trade_twice_in_a_batch_is_kept_once_and_the_first_stays(dedup, trades):
    table = trades((1, {}), (2, {}), (1, {}))
    assert counted(dedup.take(table)) == (2, 1, 0)
    assert counted(dedup.take(table)) == (0, 3, 0)
    assert dedup.take(trades((3, {}), (1, {}), (4, {}))).rows["id"].to_pylist() == [3, 4]


def test_equal_prints_with_other_ids_are_all_kept(dedup, trades):
    assert counted(dedup.take(trades(*((id_, {}) for id_ in range(100))))) == (100, 0, 0)


def test_rows_without_an_id_are_never_duplicates(dedup, trades):
    table = trades((None, {}), (None, {}), (1, {}), (None, {}))
    assert counted(dedup.take(table)) == (4, 0, 0)
    again = dedup.take(table)
    assert counted(again) == (3, 1, 0)
    assert again.rows["id"].to_pylist() == [None] * 3


@pytest.mark.parametrize(
    "other", [{"price": 10.5}, {"size": 6.0}, {"conditions": "I"}, {"tape": "C"}], ids=str
)
def test_one_identity_with_other_content_is_a_conflict_and_both_stay(dedup, trades, other):
    on_d = {"exchange": "D"}
    assert counted(dedup.take(trades((7005, on_d), (7005, on_d | other)))) == (2, 0, 1)
    assert counted(dedup.take(trades((7005, on_d | other), (7005, on_d)))) == (0, 2, 0)
    assert counted(dedup.take(trades((7005, on_d | {"price": 99.0})))) == (1, 0, 1)


@pytest.mark.parametrize("other", [{"symbol": "B"}, {"at": 1}, {"exchange": "D"}], ids=str)
def test_one_id_elsewhere_or_at_another_time_is_another_trade(dedup, trades, other):
    assert counted(dedup.take(trades((1, {}), (1, other)))) == (2, 0, 0)


def test_a_duplicate_within_the_window_is_found_without_the_table(dedup, trades, stored):
    dedup.take(trades((1, {"at": 5}), recv_s=0))
    dedup.take(trades((2, {"at": 6}), recv_s=100))
    dedup.forget()
    assert counted(dedup.take(trades((1, {"at": 5}), recv_s=101))) == (0, 1, 0)
    assert stored.asked == []


def test_a_duplicate_beyond_the_window_is_found_in_the_table(dedup, trades, stored):
    for recv_s in (0, 100, 200, 300):
        stored.commit(dedup.take(trades((recv_s, {"at": recv_s}), recv_s=recv_s)).rows)
        dedup.forget()
    assert dedup.evicted_event_ns_max == 100
    assert counted(dedup.take(trades((0, {"at": 0}), (300, {"at": 300}), recv_s=301))) == (0, 2, 0)
    assert counted(dedup.take(trades((0, {"at": 0, "price": 1.0}), recv_s=301))) == (1, 0, 1)
    assert stored.asked == [[0], [0]]


def test_after_a_restart_the_table_answers_for_the_empty_memory(trades, stored):
    stored.commit(trades((1, {"at": 5}), (2, {"at": 9})))
    dedup = Deduplicator("sip", stored, stored.event_ns_max())
    assert counted(dedup.take(trades((1, {"at": 5}), (2, {"at": 9}), (3, {"at": 10})))) == (1, 2, 0)


def test_memory_is_bounded_by_rows(trades, stored):
    dedup = Deduplicator("sip", stored, None, generation_rows_max=10)
    for start in range(0, 200, 5):
        table = trades(*((id_, {"at": id_}) for id_ in range(start, start + 5)))
        stored.commit(dedup.take(table).rows)
        dedup.forget()
        assert dedup.remembered <= 25
    assert counted(dedup.take(trades(*((id_, {"at": id_}) for id_ in range(200))))) == (0, 200, 0)


def test_hashes_are_the_same_in_every_process(trades):
    prints = prints_of(trades((1, {"conditions": "@,I"}), (2, {})))
    assert [hex(word) for word in np.concatenate(prints).tolist()] == KNOWN_HASHES


ROW = st.tuples(
    st.sampled_from([1, 2, None]),
    st.fixed_dictionaries(
        {"at": st.integers(0, 3), "price": st.sampled_from([1.0, 2.0, 3.0, 0.0, -0.0])}
    ),
)
BATCHES = st.lists(
    st.tuples(
        st.lists(ROW, min_size=1, max_size=8),
        st.integers(0, 90),
        st.sampled_from(["", "commit", "restart"]),
    ),
    max_size=12,
)


def expected(rows, seen):
    """Which rows are new, and how many of those are conflicts, by the plain definition."""
    fresh, conflicts = [], 0
    for id_, more in rows:
        contents = seen.setdefault((id_, more["at"]), set())
        is_new = id_ is None or more["price"] not in contents
        conflicts += id_ is not None and is_new and bool(contents)
        contents.add(more["price"])
        if is_new:
            fresh.append((id_, more["at"], more["price"]))
    return fresh, conflicts


@given(batches=BATCHES)
def test_counts_do_not_depend_on_batches_windows_or_restarts(trades, batches):
    stored = Stored(trades((1, {})).schema.empty_table())
    dedup = Deduplicator("sip", stored, None, generation_rows_max=3)
    whole = DuplicateCount()
    duplicates = conflicts = recv_s = 0
    seen, pending = {}, []
    for rows, wait_s, then in batches:
        recv_s += wait_s
        table = trades(*rows, recv_s=recv_s)
        whole.add(table)
        found = dedup.take(table)
        kept = zip(
            *(found.rows[name].to_pylist() for name in ("id", "event_ns", "price")), strict=True
        )
        assert (list(kept), found.conflicts) == expected(rows, seen)
        assert found.duplicates == len(rows) - found.rows.num_rows
        duplicates += found.duplicates
        conflicts += found.conflicts
        pending.append(found.rows)
        if then:
            stored.commit(pa.concat_tables(pending))
            pending = []
            dedup.forget()
        if then == "restart":
            dedup = Deduplicator("sip", stored, stored.event_ns_max(), generation_rows_max=3)
    assert whole.result() == (duplicates, conflicts)
