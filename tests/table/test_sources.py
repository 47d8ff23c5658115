"""Views read apart what lies apart; what they show does not depend on which file holds a row."""

import json
from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticktape.records import Position
from ticktape.table import TableStore, Tally, connect, healed, run_sql

FEEDS = ("sip", "sip.rest")
TIMES = 6


def rows_of(tape, kind, feed, made):
    """Rows of one feed from (time, values)s; `seq` is the place in `made`."""
    witness = "rest" if feed.endswith(".rest") else "stream"
    return tape.table_of(
        kind,
        [
            {"feed": feed, "witness": witness, "epoch": 1, "seq": 2 * n, "recv_ns": n}
            | {"symbol": "A", "event_ns": at, "exchange": "V"}
            | values
            for n, (at, values) in enumerate(made)
        ],
    )


def put(store, kind, feed, rows, sizes):
    """Commit rows in files of these sizes; what is left over."""
    at = 0
    for size in sizes:
        part = rows.slice(at, size)
        at += part.num_rows
        if part.num_rows:
            store.append(kind, part, feed, Position(1, at), Tally(part.num_rows))
    return rows.slice(at)


def put_mixed(store, kind, rows):
    """Commit rows of all feeds in one file, as no recorder does."""
    if rows.num_rows:
        store.append(kind, rows, "all", Position(1, 1), Tally(rows.num_rows))


def shown(con):
    queries = [f"select * from {kind}" for kind in ("trades", "quotes", "trades_raw")]
    queries += [
        "select * from trades where symbol = 'A' and event_ns between 2 and 3",
        "select id, price, feed from trades where day = '1970-01-02'",
    ]
    return [
        Counter(tuple(row.values()) for row in run_sql(con, query).to_pylist()) for query in queries
    ]


AT = st.integers(0, TIMES).map(lambda n: n + (86_400 * 10**9 if n > 4 else 0))
TRADES = st.lists(
    st.tuples(
        AT,
        st.fixed_dictionaries(
            {
                "id": st.sampled_from([1, 2, 3, None]),
                "price": st.sampled_from([1.0, 2.0]),
                "symbol": st.sampled_from("AB"),
            }
        ),
    ),
    max_size=12,
)
QUOTES = st.lists(
    st.tuples(AT, st.fixed_dictionaries({"bid_price": st.sampled_from([1.0, 2.0])})), max_size=6
)
CANCELS = st.lists(
    st.tuples(
        AT,
        st.fixed_dictionaries(
            {"id": st.integers(1, 3), "price": st.just(1.0), "symbol": st.sampled_from("AB")}
        ),
    ),
    max_size=3,
)
CORRECTIONS = st.lists(
    st.tuples(
        AT,
        st.fixed_dictionaries(
            {
                "symbol": st.just("A"),
                "original_id": st.integers(1, 3),
                "original_price": st.just(2.0),
                "corrected_id": st.integers(1, 9),
                "corrected_price": st.just(3.0),
            }
        ),
    ),
    max_size=2,
)
KINDS = {"trades": TRADES, "quotes": QUOTES, "cancels": CANCELS, "corrections": CORRECTIONS}
MADE = st.fixed_dictionaries({(kind, feed): made for kind, made in KINDS.items() for feed in FEEDS})
SIZES = st.lists(st.integers(1, 5), max_size=4)


@settings(max_examples=15)
@given(
    made=MADE,
    sizes=SIZES,
    mixed=st.booleans(),
    as_of_ns=st.sampled_from([None, 5]),
    kept=st.sampled_from([500_000, 3, 0]),
    part_ns=st.sampled_from([1, 10 * 10**9]),
)
def test_the_views_show_the_same_wherever_the_rows_lie(
    tape, tmp_path_factory, made, sizes, mixed, as_of_ns, kept, part_ns
):
    """In one tail there are no files to leave out: that is the plain merge of all."""
    root = tmp_path_factory.mktemp("run")
    store = TableStore(root)
    whole, tails = {}, {}
    for kind in KINDS:
        parts = {feed: rows_of(tape, kind, feed, made[kind, feed]) for feed in FEEDS}
        whole[kind] = pa.concat_tables(parts.values())
        if mixed:
            put_mixed(store, kind, whole[kind])
        else:
            rest = [put(store, kind, feed, rows, sizes) for feed, rows in parts.items()]
            tails[kind] = pa.concat_tables(rest)
    with connect(TableStore(root / "none", read_only=True), whole, as_of_ns) as con:
        expected = shown(con)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(healed, "_KEPT_ROWS", kept)
        patch.setattr(healed, "_PART_NS", part_ns)
        with connect(TableStore(root, read_only=True), tails, as_of_ns) as con:
            assert shown(con) == expected


# What is not touched costs what its file does.


@pytest.fixture
def plan(tmp_path, tape):
    """The operators of a query over trades in files of ten, one ns each; what REST brought."""

    def made(of_rest=(), cancelled=(), text="select sum(price) from trades"):
        store = TableStore(tmp_path)
        streamed = [(at, {"id": at}) for at in range(100) if at not in of_rest]
        put(store, "trades", "sip", rows_of(tape, "trades", "sip", streamed), [10] * 10)
        told = [(at, {"id": at}) for at in of_rest]
        put(store, "trades", "sip.rest", rows_of(tape, "trades", "sip.rest", told), [100])
        gone = [(at, {"id": at}) for at in cancelled]
        put(store, "cancels", "sip", rows_of(tape, "cancels", "sip", gone), [100])
        with connect(TableStore(tmp_path, read_only=True)) as con:
            found = con.execute(f"EXPLAIN (ANALYZE, FORMAT json) {text}").fetchall()
        return list(operators(json.loads(found[0][1])))

    return made


def operators(part):
    for each in part.get("operator", []) + part.get("children", []):
        yield each
        yield from operators(each)


def files_read(found):
    each = [operator.get("extra_info", {}).get("Total Files Read") for operator in found]
    return [int(number) for number in each if number is not None]


def test_without_rest_and_amendments_a_question_is_one_scan_of_the_files(plan):
    found = plan()
    kinds = {operator["type"] for operator in found}
    assert not kinds & {"WINDOW", "FILTER", "HASH_JOIN", "UNION"}
    assert files_read(found) == [10]
    scan = next(operator for operator in found if operator["type"] == "TABLE_SCAN")
    assert "Filters" not in scan["extra_info"]


def test_what_rest_brought_is_matched_with_the_files_of_its_time_alone(plan):
    found = plan(of_rest=(35, 36))
    # All once, as what was streamed; besides, those of REST's and of its time.
    assert sorted(files_read(found))[-1] == 10
    assert sum(files_read(found)) < 20


def test_what_rest_brought_is_matched_once_and_not_by_each_question(plan):
    assert files_read(plan(of_rest=(35, 36))) == [10]


def test_only_files_with_an_amended_trade_are_looked_at_row_by_row(plan):
    found = plan(cancelled=(35, 36))
    joins = [operator for operator in found if operator["type"] == "HASH_JOIN"]
    assert [files_read(list(operators(join))) for join in joins if files_read([*operators(join)])]
    assert sorted(files_read(found)) == [1, 9]
