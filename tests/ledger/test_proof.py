"""Journal against table, row by row: each planted difference is found, and counted exactly."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ticktape.ledger import Proof
from ticktape.schemas import KINDS


def trades(rows, feed="sip"):
    """Rows of (seq, id, price); all else is equal, so that identity is the id alone."""
    made = [
        {
            "feed": feed,
            "symbol": "IBM",
            "event_ns": 1_000,
            "recv_ns": 2_000 + seq,
            "witness": "stream",
            "epoch": 0,
            "seq": seq,
            "index": 0,
            "price": price,
            "size": 100.0,
            "exchange": "N",
            "id": trade_id,
            "conditions": "",
            "tape": "A",
            "taker_side": "",
        }
        for seq, trade_id, price in rows
    ]
    return pa.Table.from_pylist(made, schema=KINDS["trades"])


@pytest.fixture
def proof(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    made = Proof(scratch)
    yield made
    made.close()


@pytest.fixture
def stored(tmp_path, proof):
    def store(*tables, kind="trades"):
        paths = []
        for number, table in enumerate(tables):
            paths.append(str(tmp_path / f"{kind}-{number}.parquet"))
            pq.write_table(table, paths[-1])
        return proof.add_stored(kind, paths)

    return store


ROWS = [(0, 10, 1.0), (1, 11, 2.0), (2, 12, 3.0)]


def only_count(proof):
    (found,) = proof.counts()
    return found


def test_equal_sides_add_up(proof, stored):
    proof.add_received("sip", "trades", trades(ROWS), behind=False)
    stored(trades(ROWS[:1]), trades(ROWS[1:]))

    found = only_count(proof)

    assert found.adds_up
    assert (found.received, found.stored, found.duplicates, found.conflicts) == (3, 3, 0, 0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (ROWS[1:], {"missing": 1}),
        ([*ROWS, ROWS[0]], {"surplus": 1}),
        ([*ROWS, ROWS[0], ROWS[0]], {"surplus": 2}),
        ([*ROWS, (9, 99, 1.0)], {"surplus": 1}),
        ([ROWS[0], ROWS[1], (2, 12, 3.5)], {"altered": 1}),
        ([(7, 10, 1.0), *ROWS[1:]], {"missing": 1, "surplus": 1}),
        ([], {"missing": 3}),
    ],
    ids=["deleted", "doubled", "tripled", "invented", "altered", "moved", "empty"],
)
def test_a_difference_is_counted(proof, stored, table, expected):
    proof.add_received("sip", "trades", trades(ROWS), behind=False)
    stored(trades(table))

    found = only_count(proof)

    assert not found.adds_up
    wrong = {name: getattr(found, name) for name in ("missing", "behind", "surplus", "altered")}
    assert {name: number for name, number in wrong.items() if number} == expected


def test_rows_that_the_table_has_yet_to_reach_are_behind_and_not_missing(proof, stored):
    proof.add_received("sip", "trades", trades(ROWS[:2]), behind=False)
    proof.add_received("sip", "trades", trades(ROWS[2:]), behind=True)
    stored(trades(ROWS[:2]))

    found = only_count(proof)

    assert (found.missing, found.behind) == (0, 1)


def test_rows_committed_after_the_saved_position_are_not_behind(proof, stored):
    proof.add_received("sip", "trades", trades(ROWS), behind=True)
    stored(trades(ROWS))

    assert only_count(proof).adds_up


def test_the_same_print_again_is_a_duplicate_and_need_not_be_stored(proof, stored):
    proof.add_received("sip", "trades", trades([*ROWS, (3, 10, 1.0), (4, 10, 1.0)]), behind=False)
    stored(trades(ROWS))

    found = only_count(proof)

    assert found.adds_up
    assert (found.received, found.duplicates, found.stored) == (5, 2, 3)


def test_a_duplicate_that_was_stored_is_surplus(proof, stored):
    rows = [*ROWS, (3, 10, 1.0)]
    proof.add_received("sip", "trades", trades(rows), behind=False)
    stored(trades(rows))

    assert only_count(proof).surplus == 1


def test_one_identity_with_two_contents_is_a_conflict_and_both_stay(proof, stored):
    rows = [*ROWS, (3, 10, 1.5)]
    proof.add_received("sip", "trades", trades(rows), behind=False)
    stored(trades(rows))

    found = only_count(proof)

    assert found.adds_up
    assert (found.conflicts, found.duplicates) == (1, 0)


def test_rows_without_an_id_are_never_duplicates(proof, stored):
    rows = [(0, None, 1.0), (1, None, 1.0)]
    proof.add_received("sip", "trades", trades(rows), behind=False)
    stored(trades(rows))

    found = only_count(proof)

    assert found.adds_up
    assert found.duplicates == 0


def test_feeds_do_not_answer_for_one_another(proof, stored):
    proof.add_received("sip", "trades", trades(ROWS), behind=False)
    stored(trades(ROWS, feed="other"))

    found = {count.feed: (count.missing, count.surplus) for count in proof.counts()}

    assert found == {"sip": (3, 0), "other": (0, 3)}


def test_a_damaged_file_is_named_and_only_its_rows_are_missing(proof, tmp_path):
    proof.add_received("sip", "trades", trades(ROWS), behind=False)
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    pq.write_table(trades(ROWS[:2]), good)
    bad.write_bytes(b"PAR1 this was a table once PAR1")

    faults = proof.add_stored("trades", [str(bad), str(good)])

    assert len(faults) == 1
    assert "table trades: bad.parquet cannot be read" in faults[0]
    assert only_count(proof).missing == 1


def test_a_folder_with_a_quote_in_its_name_is_no_trap(tmp_path):
    scratch = tmp_path / "it's"
    scratch.mkdir()
    Proof(scratch).close()
