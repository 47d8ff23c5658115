"""Gap rows fold into gaps: one for each feed, symbol and beginning."""

import pytest

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


# Three journals tell of one gap.


def test_who_healed_it_says_the_last_word_in_whatever_order_rows_come():
    rest = [
        row(10, 30, state="healing", feed="sip.rest"),
        row(10, 30, state="healed", feed="sip.rest"),
    ]
    (gap,) = fold_gaps([*rest, row(10), row(10, 30)])

    assert (gap.feed, gap.state, gap.to_ns, gap.told_by) == ("sip", "healed", 30, "sip.rest")
    assert gap.counts
    assert not gap.stands_open


@pytest.mark.parametrize(
    ("state", "stands_open", "is_suspicion"),
    [
        ("suspect", False, True),
        ("healing", False, True),
        ("healed", False, False),
        ("unhealable", True, False),
    ],
)
def test_a_suspicion_counts_only_when_it_proves_to_be_a_gap(state, stands_open, is_suspicion):
    rows = [row(10, state="suspect", feed="ledger:sip")]
    if state != "suspect":
        rows.append(row(10, 20, state=state, feed="sip.rest"))
    (gap,) = fold_gaps(rows)

    assert gap.feed == "sip"
    assert (gap.stands_open, gap.is_suspicion) == (stands_open, is_suspicion)


@pytest.mark.parametrize("state", ["open", "healing", "unhealable"])
def test_a_known_gap_stands_open_until_it_is_healed(state):
    (gap,) = fold_gaps([row(10, 20), row(10, 20, state=state, feed="sip.rest")])

    assert gap.stands_open


def test_a_suspicion_of_what_is_known_changes_nothing():
    (gap,) = fold_gaps([row(10, 20), row(10, state="suspect", feed="ledger:sip")])

    assert (gap.state, gap.suspected, gap.stands_open) == ("open", False, True)


def test_a_gap_concerns_its_symbol_and_channels_alone():
    rows = [row(10), row(10, symbol="IBM")]
    whole, one = fold_gaps(rows)
    named = one._replace(channels="trades,quotes")

    assert whole.concerns("bars", "AAPL")
    assert one.concerns("bars", "IBM")
    assert not one.concerns("bars", "AAPL")
    assert named.concerns("quotes", "IBM")
    assert not named.concerns("bars", "IBM")
