"""Gap rows fold into gaps: one for each feed, symbol and beginning."""

from ticktape.ledger import fold_gaps
from ticktape.records import Gap


def row(from_ns, to_ns=None, cause="down", *, symbol="", planned=False, state="open", feed="sip"):
    return Gap(
        feed=feed,
        symbol=symbol,
        event_ns=from_ns,
        recv_ns=from_ns,
        epoch=0,
        seq=0,
        index=0,
        from_ns=from_ns,
        to_ns=to_ns,
        cause=cause,
        planned=planned,
        state=state,
    )


def test_a_gap_that_was_opened_and_closed_is_one_gap():
    (gap,) = fold_gaps([row(10), row(10, 30)])

    assert (gap.from_ns, gap.to_ns, gap.cause) == (10, 30, "down")


def test_a_later_row_without_an_end_does_not_open_a_closed_gap_again():
    (gap,) = fold_gaps([row(10, 30), row(10, None, state="healed")])

    assert (gap.to_ns, gap.state) == (30, "healed")


def test_the_last_row_says_the_cause_and_whether_it_was_planned():
    (gap,) = fold_gaps([row(10, cause="planned stop", planned=True), row(10, 20, "refused")])

    assert (gap.cause, gap.planned) == ("refused", False)


def test_symbols_and_feeds_have_gaps_of_their_own():
    gaps = fold_gaps([row(10, symbol="IBM"), row(10), row(10, feed="rts"), row(5, 6)])

    assert [(gap.from_ns, gap.feed, gap.symbol) for gap in gaps] == [
        (5, "sip", ""),
        (10, "rts", ""),
        (10, "sip", ""),
        (10, "sip", "IBM"),
    ]
