"""REST against the stream: what only one of them has is counted by minute and symbol, once."""

import duckdb
import pyarrow as pa
import pytest

from ticktape.ledger import GapInterval, Window, Witnesses
from ticktape.schemas import KINDS

MINUTE_NS = 60_000_000_000
DAY_NS = 24 * 60 * MINUTE_NS
IBM = frozenset(["IBM"])


def trade(number, trade_id, price=1.0, *, symbol="IBM", exchange="N", at_ns=None):
    return {
        "feed": "sip",
        "symbol": symbol,
        "event_ns": 3 * MINUTE_NS + trade_id if at_ns is None else at_ns,
        "recv_ns": 0,
        "witness": "stream",
        "epoch": 0,
        "seq": number,
        "index": 0,
        "price": price,
        "size": 1.0,
        "exchange": exchange,
        "id": trade_id,
        "conditions": "",
        "tape": "",
        "taker_side": "",
    }


def table(*rows, kind="trades"):
    return pa.Table.from_pylist(list(rows), schema=KINDS[kind])


@pytest.fixture
def witnesses():
    con = duckdb.connect(":memory:")
    yield Witnesses(con)
    con.close()


def numbers(witnesses):
    return [(each.symbol, each.in_gap, each.number) for each in witnesses.lacking()]


def test_what_the_stream_had_is_not_lacking(witnesses):
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1), trade(1, 2)))
    witnesses.add_streamed("sip", "trades", table(trade(7, 1), trade(8, 2)))

    assert witnesses.lacking() == []


def test_a_trade_that_only_rest_has_is_placed_by_minute_and_symbol(witnesses):
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1), trade(1, 2), trade(2, 3)))
    witnesses.add_streamed("sip", "trades", table(trade(7, 2)))

    (found,) = witnesses.lacking()

    assert found == ("sip", "trades", "IBM", 3 * MINUTE_NS, False, 2)


def test_what_lies_in_a_gap_is_told_apart_from_what_was_dropped_silently(witnesses):
    gap = GapInterval("sip", "IBM", 2 * MINUTE_NS, 4 * MINUTE_NS, "down", False, "healed")
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1), trade(1, 2, symbol="AAPL")))
    witnesses.add_gaps([gap, gap._replace(symbol="AAPL", suspected=True)], {})

    assert numbers(witnesses) == [("AAPL", False, 1), ("IBM", True, 1)]


def late(rows, by_ns):
    return [row | {"recv_ns": row["event_ns"] + by_ns} for row in rows]


def test_a_gap_is_where_rest_was_asked_for_it_however_late_the_feed_is(witnesses):
    """By our clock it was a quarter of an hour later."""
    gap = GapInterval("sip", "", 18 * MINUTE_NS, 18 * MINUTE_NS + 50, "down", False, "healed")
    asked = {
        ("sip", "", 18 * MINUTE_NS): [Window("trades", IBM, 3 * MINUTE_NS, 3 * MINUTE_NS + 50)]
    }
    witnesses.add_rest(
        "sip.rest",
        "trades",
        table(trade(0, 1), trade(1, 51), trade(2, 2, symbol="AAPL"), trade(3, 15 * MINUTE_NS)),
    )
    witnesses.add_gaps([gap], asked)

    # Of one that nobody had seen, and was not asked for then, it is the same gap.
    early, late_ones = numbers(witnesses)[:3], numbers(witnesses)[3:]
    assert early == [("AAPL", True, 1), ("IBM", False, 1), ("IBM", True, 1)]
    assert late_ones == [("IBM", False, 1)]


def test_a_gap_that_rest_was_not_asked_for_is_as_late_as_the_stream_usually_was(witnesses):
    gap = GapInterval("sip", "", 18 * MINUTE_NS, 19 * MINUTE_NS, "down", False, "open")
    ends = [trade(0, 5 * MINUTE_NS, at_ns=0), trade(9, 9, at_ns=9 * MINUTE_NS)]
    lost = [trade(1, 1), trade(2, 2, at_ns=18 * MINUTE_NS)]
    witnesses.add_rest("sip.rest", "trades", table(*ends, *lost))
    witnesses.add_streamed("sip", "trades", table(*late(ends, 15 * MINUTE_NS)))
    witnesses.add_gaps([gap], {})

    assert witnesses.late_ns("sip", "trades") == 15 * MINUTE_NS
    assert [each[3:] for each in witnesses.lacking()] == [
        (3 * MINUTE_NS, True, 1),
        (18 * MINUTE_NS, False, 1),
    ]


def bar(at_ns, span="minute"):
    names = KINDS["bars"].names
    values = dict.fromkeys(names, 0) | {name: 1.0 for name in names[9:]} | {"symbol": "IBM"}
    return values | {"feed": "sip", "witness": "", "event_ns": at_ns, "span": span}


def test_bars_of_spans_that_rest_is_not_asked_for_are_no_witness_against_it(witnesses):
    witnesses.add_windows("sip", [Window("bars", IBM, 0, 9 * MINUTE_NS)])
    streamed = [bar(MINUTE_NS), bar(MINUTE_NS, "updated"), bar(0, "day")]
    witnesses.add_streamed("sip", "bars", table(*streamed, kind="bars"))

    assert witnesses.only_streamed() == {("sip", "bars", 0): 1}


def test_a_bar_whose_minute_ended_in_the_gap_was_lost_in_it(witnesses):
    gap = GapInterval("sip", "", 0, 1, "down", False, "healed")
    asked = {("sip", "", 0): [Window("bars", IBM, 3 * MINUTE_NS, 4 * MINUTE_NS)]}
    lost = [bar(at * MINUTE_NS) for at in (1, 2, 4, 5)]
    witnesses.add_rest("sip.rest", "bars", table(*lost, kind="bars"))
    witnesses.add_gaps([gap], asked)

    assert [each.in_gap for each in witnesses.lacking()] == [False, True, True, False]


def test_two_prints_with_one_id_stay_two_and_asking_twice_makes_no_more(witnesses):
    pair = [trade(seq, 1, exchange="D") for seq in (1, 1, 4, 4)]
    witnesses.add_rest("sip.rest", "trades", table(*pair))
    witnesses.add_pages("sip", [(0, 1, 1), (0, 4, 2)])
    witnesses.add_streamed("sip", "trades", table(trade(9, 1, exchange="D")))

    assert numbers(witnesses) == [("IBM", False, 1)]


def test_one_trade_seen_with_other_conditions_is_the_same_trade(witnesses):
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1, price=1.5)))
    witnesses.add_streamed("sip", "trades", table(trade(9, 1)))

    assert witnesses.lacking() == []


def test_a_corrected_trade_is_the_one_whose_correction_was_streamed(witnesses):
    correction = {
        **{name: trade(0, 1)[name] for name in KINDS["trades"].names[:8]},
        "exchange": "N",
        "original_id": 1,
        "original_price": 1.0,
        "original_size": 1.0,
        "original_conditions": "",
        "corrected_id": 8,
        "corrected_price": 1.0,
        "corrected_size": 1.0,
        "corrected_conditions": "",
        "tape": "",
    }
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1), trade(1, 8), trade(2, 9)))
    witnesses.add_streamed("sip", "trades", table(trade(7, 1)))
    witnesses.add_streamed("sip", "corrections", table(correction, kind="corrections"))

    assert numbers(witnesses) == [("IBM", False, 1)]


def test_an_id_that_was_corrected_on_one_day_is_another_trade_on_the_next(witnesses):
    correction = {name: 0 for name in KINDS["corrections"].names} | {
        name: "" for name in ("feed", "witness", "original_conditions", "corrected_conditions")
    }
    correction |= {"tape": "", "symbol": "IBM", "exchange": "N", "corrected_id": 8}
    correction |= {"original_price": 0.0, "corrected_price": 0.0, "event_ns": 4 * MINUTE_NS}
    later = trade(1, 8, at_ns=DAY_NS)
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 8), later))
    witnesses.add_streamed("sip", "corrections", table(correction, kind="corrections"))

    assert [each.minute_ns for each in witnesses.lacking()] == [DAY_NS]


def test_rows_that_only_the_stream_has_count_within_what_was_asked_to_its_end(witnesses):
    witnesses.add_windows("sip", [Window("trades", IBM, 3 * MINUTE_NS, 3 * MINUTE_NS + 2)])
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1), trade(1, 9)))
    streamed = [trade(5, 1), trade(6, 2), trade(7, 3), trade(8, 1, symbol="AAPL"), trade(9, 2)]
    witnesses.add_streamed("sip", "trades", table(*streamed))

    assert witnesses.only_streamed() == {("sip", "trades", 0): 1}


def test_of_what_the_stream_brought_after_its_answer_rest_can_say_nothing(witnesses):
    window = Window("trades", IBM, 3 * MINUTE_NS, 4 * MINUTE_NS, said_ns=50)
    witnesses.add_windows("sip", [window])
    witnesses.add_rest("sip.rest", "trades", table(trade(0, 1)))
    streamed = [trade(5, 1) | {"recv_ns": 60}, trade(6, 2) | {"recv_ns": 60}]
    streamed += [trade(7, 3) | {"recv_ns": 50}]
    witnesses.add_streamed("sip", "trades", table(*streamed))

    assert witnesses.only_streamed() == {("sip", "trades", 0): 1}


def test_a_feed_that_rest_was_not_asked_about_costs_and_says_nothing(witnesses):
    witnesses.add_streamed("sip", "trades", table(trade(0, 1)))

    assert witnesses.lacking() == []
    assert witnesses.only_streamed() == {}
