"""One terminal captured twice, in two processes: what each leg saw, and both as one table."""

import struct
from collections import Counter

import pytest

from ticktape.replay.tail import connect_run


@pytest.fixture(scope="module")
def recorded(simulate, start_run, feed_text, folder):
    sim = simulate(
        *("mt5", folder / "legs", "--book", "X=generated:levels=8,rate=400"),
        *("--tick-rate", "200", "--latency-us", "20"),
    )
    run = start_run(
        feed_text("rts", sim.ready["path"], books=["X"], ticks=["X"], more="poll_ms = 3\nlegs = 2")
    )
    run.until_ready("rts", "rts.b")
    run.go_on(4)
    # Ticks come in bursts: so many in four seconds, or a little later.
    run.until(lambda: min(run.said(leg)["ticks"] for leg in ("rts", "rts.b")) > 500, "ticks came")
    run.stop()
    con = connect_run(run.directory)
    yield run, sim.ready["path"], con
    con.close()


def test_each_leg_is_a_journal_of_its_own_with_its_witness(recorded):
    run, _, con = recorded
    rows = con.execute(
        "SELECT DISTINCT feed, witness FROM books_raw UNION SELECT DISTINCT feed, witness"
        " FROM ticks_raw ORDER BY ALL"
    ).fetchall()
    assert rows == [("rts", "leg A"), ("rts.b", "leg B")]
    # A machine that stands still for two seconds makes a gap of it, and only that.
    assert all("passed between two polls" in reason for reason in run.prove().reasons())


def test_merged_books_are_true_states_in_order_and_more_than_either_leg_saw(
    recorded, truth_of, matched
):
    run, path, con = recorded
    truth = truth_of(path, "X")
    seen = {leg: set(matched(truth, run.images(leg))) for leg in ("rts", "rts.b")}
    both = seen["rts"] | seen["rts.b"]
    assert len(both) > max(map(len, seen.values()))
    rows = con.execute(
        "SELECT feed, (before_ns + after_ns) // 2, flags & 256 = 0 FROM books"
        " WHERE len(ask_prices) > 0 ORDER BY 2"
    ).fetchall()
    assert {feed for feed, *_ in rows} == {"rts"}
    changes = sum(is_change for *_, is_change in rows)
    # Each state that any leg saw stands once, but for the few that both saw at the same moment.
    assert len(both) - 3 <= changes <= len(both) * 1.05


def test_merged_ticks_are_each_tick_once(recorded):
    run, _, con = recorded
    one, other, merged = con.execute(
        "SELECT (SELECT count(*) FROM ticks_raw WHERE witness = 'leg A'),"
        " (SELECT count(*) FROM ticks_raw WHERE witness = 'leg B'), (SELECT count(*) FROM ticks)"
    ).fetchall()[0]
    assert min(one, other) > 500
    legs = [
        Counter(row for (row,) in struct.iter_unpack("60s", run.ticks(leg, "X")))
        for leg in ("rts", "rts.b")
    ]
    assert [leg.total() for leg in legs] == [one, other]
    # Each leg saw some that the other missed, at its ends; what both saw stands once.
    assert merged == (legs[0] | legs[1]).total()


def test_last_values_hold_both_legs_and_the_newest_of_them(recorded):
    run, _, _ = recorded
    from ticktape.lastvalue import LastValues

    with LastValues(run.directory.last) as last:
        assert {feed for feed, _ in last} == {"rts", "rts.b"}
        legs = [last.get(feed, "X").book for feed in ("rts", "rts.b")]
        assert last["X"].book == max(legs, key=lambda book: book.event_ns)
        assert len(last["X"].book.ask_prices) == 8
