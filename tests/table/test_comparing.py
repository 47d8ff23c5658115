"""What REST told just as it was streamed is found without a look at each row."""

import duckdb
import pytest

from ticktape.records import Position
from ticktape.table import TableStore, Tally
from ticktape.table.comparing import INSTANT_NS, Comparison
from ticktape.table.sources import Source

MINUTE_NS = 60_000_000_000
HALF_HOUR_NS = 30 * MINUTE_NS


@pytest.fixture
def compare(tmp_path, tape):
    """The (symbol, event_ns, id) that are in doubt, and not alone; and those that are."""

    def doubted(streamed, *pages, part_ns=10 * MINUTE_NS, feeds=("sip",)):
        store = TableStore(tmp_path)
        rows = [("sip", 0, row) for row in streamed]
        rows += [("sip.rest", 2 * n + 1, row) for n, page in enumerate(pages) for row in page]
        rows += [(feed, 0, ("A", 0, 9)) for feed in feeds if feed != "sip"]
        for feed in sorted({feed for feed, *_ in rows}):
            made = [
                {"feed": feed, "epoch": 1, "seq": seq, "index": n, "exchange": "V"}
                | {"witness": "rest" if feed.endswith(".rest") else "stream"}
                | {"symbol": symbol, "event_ns": at, "id": id_}
                for n, (of, seq, (symbol, at, id_)) in enumerate(rows)
                if of == feed
            ]
            table = tape.table_of("trades", made)
            store.append("trades", table, feed, Position(1, 1), Tally(len(made)))
        with duckdb.connect(":memory:") as con:
            source = Source(con, "trades", TableStore(tmp_path, read_only=True), None, None)
            comparison = Comparison(con, "trades", source, part_ns=part_ns, name="trades")
            assert comparison.tell(source.of_rest()) is not None
            if comparison.doubt(source.streamed()) is None:
                return [], []
            queries = [
                comparison.doubtful(source.of_rest(), alone=alone) for alone in (False, True)
            ]
            columns = "symbol, event_ns, id"
            return tuple(
                con.execute(f"SELECT {columns} FROM ({query}) ORDER BY ALL").fetchall()
                for query in queries
            )

    return doubted


A, B, LATER = ("A", 5, 1), ("B", 6, 2), ("A", HALF_HOUR_NS, 3)


def test_what_was_streamed_as_well_is_in_no_doubt(compare):
    assert compare([A, B, LATER], [A, B, LATER]) == ([], [])


def test_one_that_is_lacking_puts_its_part_of_time_and_symbol_in_doubt(compare):
    near = ("A", MINUTE_NS, 4)
    assert compare([A, B, LATER], [A, B, LATER, near]) == ([A, near], [])


def test_where_nothing_was_streamed_and_one_page_tells_it_rows_are_alone(compare):
    assert compare([A, B], [A, B, LATER]) == ([], [LATER])


def test_what_two_pages_tell_is_not_alone(compare):
    assert compare([B], [A], [A]) == ([A, A], [])


def test_what_was_asked_for_twice_is_in_doubt(compare):
    assert compare([A], [A], [A]) == ([A, A], [])


def test_trades_whose_ids_have_changed_places_are_others(compare):
    one, other = [("A", 5, 1), ("A", 6, 2)], [("A", 5, 2), ("A", 6, 1)]
    assert compare(one, other) == (other, [])


def test_trades_without_an_id_are_always_in_doubt(compare):
    unknown = ("A", 5, None)
    assert compare([unknown], [unknown]) == ([unknown], [])


def test_the_parts_may_be_instants(compare):
    near = ("A", 6, 4)
    assert compare([A], [A, near], part_ns=INSTANT_NS) == ([], [near])


def test_another_feed_does_not_account_for_it(compare):
    assert compare([A], [A, ("A", 0, 9)], feeds=("sip", "iex"), part_ns=INSTANT_NS) == (
        [],
        [("A", 0, 9)],
    )
