"""Corrections and cancels as REST shows them: flags on rows that stay, and replacements."""

import pytest

from ticktape.sim.generate import generate_tape

ALL = {"start": "2000-01-01"}


def cancel(symbol, at, number, price=10.0, **more):
    noon_ns = 1_772_539_200 * 10**9
    row = {"symbol": symbol, "event_ns": noon_ns + at, "id": number, "price": price}
    return row | {"size": 100.0, "exchange": "V", "action": "C", "tape": "C"} | more


def correction(symbol, at, number, corrected, price=10.0, corrected_price=11.0, **more):
    noon_ns = 1_772_539_200 * 10**9
    row = {"symbol": symbol, "event_ns": noon_ns + at, "exchange": "V", "tape": "C"}
    row |= {"original_id": number, "original_price": price, "original_size": 100.0}
    row |= {"corrected_id": corrected, "corrected_price": corrected_price, "corrected_size": 90.0}
    return row | {"original_conditions": "@", "corrected_conditions": "@,Z"} | more


def flags(venue, symbol="A"):
    """(id, u) of each trade, in REST's order."""
    rows = venue.rows("/v2/stocks/trades", symbols=symbol, **ALL)
    return [(row["i"], row.get("u")) for _, row in rows]


def test_a_cancelled_trade_stays_and_says_so(ask, tape_of, a_trade):
    trades = [a_trade("A", 1, 1), a_trade("A", 2, 2), a_trade("B", 1, 1)]
    venue = ask(tape_of(trades=trades, cancels=[cancel("A", 9, 1)]))
    assert flags(venue) == [(1, "canceled"), (2, None)]
    assert flags(venue, "B") == [(1, None)]


def test_a_corrected_trade_has_its_replacement_beside_it_with_the_new_id(
    ask, tape_of, a_trade, ns_of
):
    trades = [a_trade("A", 1, 1), a_trade("A", 2, 2)]
    venue = ask(tape_of(trades=trades, corrections=[correction("A", 9, 1, 77)]))
    assert flags(venue) == [(1, "incorrect"), (77, "corrected"), (2, None)]
    (_, old), (_, new), _ = venue.rows("/v2/stocks/trades", symbols="A", **ALL)
    assert new == {
        **{"t": old["t"], "x": "V", "p": 11, "s": 90, "c": ["@", "Z"], "i": 77, "z": "C"},
        "u": "corrected",
    }


def test_nobody_knows_of_a_change_before_it_was_sent(ask, tape_of, a_trade, stream):
    trades = [a_trade("A", 1, 1), a_trade("A", 2, 2)]
    tape = tape_of(trades=trades, corrections=[correction("A", 9, 1, 77)])
    playing = stream(tape, 2)
    venue = ask({"/v2/iex": playing})
    assert flags(venue) == [(1, None), (2, None)]
    playing.rows_played = 3
    assert flags(venue) == [(1, "incorrect"), (77, "corrected"), (2, None)]


def test_a_replacement_can_itself_be_corrected_and_cancelled(ask, tape_of, a_trade):
    again = correction("A", 10, 77, 78, price=11.0, corrected_price=12.0)
    again |= {"original_size": 90.0, "original_conditions": "@,Z"}
    tape = tape_of(
        trades=[a_trade("A", 1, 1)],
        corrections=[correction("A", 9, 1, 77), again],
        cancels=[cancel("A", 11, 78, 12.0, size=90.0)],
    )
    assert flags(ask(tape)) == [(1, "incorrect"), (77, "incorrect"), (78, "canceled")]


def test_where_ids_collide_price_and_time_say_which_trade_is_meant(ask, tape_of, a_trade):
    trades = [a_trade("A", 1, 7), a_trade("A", 2, 7, 20.0), a_trade("A", 3, 7), a_trade("A", 8, 7)]
    venue = ask(tape_of(trades=trades, cancels=[cancel("A", 5, 7), cancel("A", 6, 7)]))
    # The last one before it that fits and still stands; two cancels are of two trades.
    assert flags(venue) == [(7, "canceled"), (7, None), (7, "canceled"), (7, None)]


def test_of_several_trades_that_fit_the_last_one_before_the_change_is_meant(ask, tape_of, a_trade):
    trades = [a_trade("A", at, 7) for at in (1, 3, 8)]
    venue = ask(tape_of(trades=trades, cancels=[cancel("A", 5, 7)]))
    assert flags(venue) == [(7, None), (7, "canceled"), (7, None)]


def test_a_change_that_comes_before_its_trade_finds_it(ask, tape_of, a_trade):
    venue = ask(tape_of(trades=[a_trade("A", 5, 1)], cancels=[cancel("A", 2, 1)]))
    assert flags(venue) == [(1, "canceled")]


def test_a_change_without_its_trade_flags_nothing_else(ask, tape_of, a_trade):
    trades = [a_trade("A", 1, 1), a_trade("A", 2, 2, exchange="D"), a_trade("A", 3, 3, 99.0)]
    changes = [cancel("A", 9, 2), cancel("A", 9, 3), cancel("A", 9, 4)]
    missing = correction("A", 8, 6, 77)
    venue = ask(tape_of(trades=trades, cancels=changes, corrections=[missing]))
    # Its replacement is still a trade, at the only time that is known of it.
    assert flags(venue) == [(1, None), (2, None), (3, None), (77, "corrected")]


def test_a_replacement_that_the_stream_sent_too_is_there_once(ask, tape_of, a_trade):
    sent = a_trade("A", 10, 77, 11.0, size=90.0, conditions="@,Z")
    trades = [a_trade("A", 1, 1), sent]
    venue = ask(tape_of(trades=trades, corrections=[correction("A", 9, 1, 77)]))
    assert flags(venue) == [(1, "incorrect"), (77, "corrected")]


@pytest.mark.parametrize("seed", [1, 2])
def test_every_change_of_a_generated_tape_is_shown_once(ask, seed):
    tape = generate_tape(seed=seed, events=5000, events_per_s=100)
    rows = ask(tape).rows("/v2/stocks/trades", symbols=",".join(tape.symbols), **ALL)
    count = [row.get("u") for _, row in rows].count
    sent = {kind: tape.tables[kind].num_rows for kind in ("trades", "corrections", "cancels")}
    assert len(rows) == sent["trades"] + sent["corrections"]
    # A trade that two changes name can only be void once; the second finds no trade.
    assert 0 < count("canceled") <= sent["cancels"]
    assert (
        0
        < count("incorrect")
        <= sent["corrections"]
        == count("corrected")
        + sum(row.get("u") in ("canceled", "incorrect") and row["i"] > 10**9 for _, row in rows)
    )
