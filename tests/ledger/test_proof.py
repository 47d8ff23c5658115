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


# Where it was.


MINUTE_NS = 60_000_000_000


def at(minute, *, symbol="IBM", seq=0):
    """One trade in this minute of receive time."""
    row = trades([(seq, 100 + seq, 1.0)]).to_pylist()[0]
    row |= {"recv_ns": minute * MINUTE_NS + 5, "symbol": symbol}
    return pa.Table.from_pylist([row], schema=KINDS["trades"])


def test_a_difference_is_placed_by_symbol_and_minute(proof, stored):
    rows = [at(3), at(3, symbol="AAPL", seq=1), at(3, symbol="AAPL", seq=2), at(9, seq=3)]
    proof.add_received("sip", "trades", pa.concat_tables(rows), behind=False)
    stored(rows[0], rows[0])

    found = only_count(proof)

    assert [(p.field, p.symbol, p.minute_ns // MINUTE_NS, p.number) for p in found.places] == [
        ("missing", "AAPL", 3, 2),
        ("surplus", "IBM", 3, 1),
        ("missing", "IBM", 9, 1),
    ]


def test_each_day_adds_up_for_itself(proof, stored):
    day = 24 * 60
    rows = [at(5), at(day + 5, seq=1), at(day + 5, seq=2)]
    proof.add_received("sip", "trades", pa.concat_tables(rows), behind=False)
    stored(rows[0], rows[2])

    days = proof.counts_by_day()

    assert {d: [(c.received, c.stored, c.missing) for c in days[d]] for d in days} == {
        0: [(1, 1, 0)],
        1: [(2, 1, 1)],
    }
    assert proof.symbols_by_day()["sip", "trades", 1] == {"IBM": 2}
    (whole,) = proof.counts()
    assert (whole.received, whole.stored, whole.missing) == (3, 2, 1)


def test_rows_of_rest_are_never_duplicates(proof, stored):
    rows = trades([(0, 10, 1.0), (1, 10, 1.0)], feed="sip.rest")
    proof.add_received("sip.rest", "trades", rows, behind=False)
    stored(rows)

    found = only_count(proof)

    assert found.adds_up
    assert (found.duplicates, found.stored) == (0, 2)


# The ledger's own counts.


def counted(number, minute=3, symbol="IBM", kind="trades", feed="sip"):
    return (feed, kind, minute * MINUTE_NS, symbol, number)


def test_counts_of_the_ledger_add_up_within_a_minute(proof):
    proof.add_received("sip", "trades", pa.concat_tables([at(3), at(3, seq=1)]), behind=False)
    proof.add_counted([counted(1), counted(1)])

    assert proof.miscounted() == []


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([counted(1)], ("trades", "IBM", 2, 1)),
        ([counted(3)], ("trades", "IBM", 2, 3)),
        ([counted(2), counted(1, symbol="AAPL")], ("trades", "AAPL", 0, 1)),
        ([counted(2), counted(1, kind="quotes")], ("quotes", "IBM", 0, 1)),
        ([counted(0, symbol="", kind="")], ("trades", "IBM", 2, 0)),
    ],
    ids=["fewer", "more", "symbol", "kind", "nothing"],
)
def test_another_count_of_the_ledger_is_named_with_its_place(proof, told, expected):
    proof.add_received("sip", "trades", pa.concat_tables([at(3), at(3, seq=1)]), behind=False)
    proof.add_counted(told)

    (found,) = proof.miscounted()

    assert (found.kind, found.symbol, found.decoded, found.told) == expected
    assert (found.feed, found.minute_ns) == ("sip", 3 * MINUTE_NS)


def test_minutes_that_the_ledger_did_not_count_are_not_compared(proof):
    proof.add_received("sip", "trades", pa.concat_tables([at(3), at(4, seq=1)]), behind=False)
    proof.add_counted([counted(1, minute=4)])

    assert proof.miscounted() == []
