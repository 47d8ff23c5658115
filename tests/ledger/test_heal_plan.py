"""What can be had again of a gap, and the window and requests for it."""

import pytest

from ticktape import clock
from ticktape.ledger.heal_plan import (
    OVERLAP_NS,
    Around,
    Window,
    chains_of,
    concerned,
    family_of,
    parts_of,
    window_of,
    words_of,
)

S = 10**9
NOW_NS = 1_800_000_000 * S
STOCKS = family_of("wss://host/v2/sip")
CRYPTO = family_of("wss://host/v1beta3/crypto/us-1")
OPTIONS = family_of("wss://host/v1beta1/opra")
ALL = ("trades", "quotes", "bars", "updated_bars", "daily_bars", "statuses", "lulds", "imbalances")


@pytest.mark.parametrize(
    ("family", "path", "healable"),
    [
        (STOCKS, "/v2/stocks", {"trades", "quotes", "bars"}),
        (CRYPTO, "/v1beta3/crypto/us-1", {"trades", "quotes", "bars"}),
        (OPTIONS, "/v1beta1/options", {"trades"}),
        (family_of("wss://host/v1beta1/news"), "", set()),
        (family_of("ws://127.0.0.1:7/v2/iex/"), "/v2/stocks", {"trades", "quotes", "bars"}),
    ],
)
def test_each_stream_has_its_own_history(family, path, healable):
    parts = parts_of({name: ["A"] for name in (*ALL, "orderbooks", "news")}, family)

    assert family.path == path
    assert set(parts.healable) == healable
    assert set(parts.lost) == {*ALL, "orderbooks", "news"} - healable
    assert all(parts.lost.values())


def test_a_channel_without_symbols_is_neither_healed_nor_lost():
    assert parts_of({"trades": [], "statuses": []}, STOCKS) == ({}, {})


def test_a_gap_is_about_what_it_names():
    subscribed = {"trades": ["A", "B"], "quotes": ["*"], "bars": ["B"]}

    assert concerned(subscribed, "", "") == subscribed
    assert concerned(subscribed, "", "quotes,bars") == {"quotes": ["*"], "bars": ["B"]}
    assert concerned(subscribed, "A", "") == {"trades": ["A"], "quotes": ["A"]}
    assert concerned(subscribed, "C", "trades,statuses") == {"trades": ["C"], "statuses": ["C"]}


def test_the_window_reaches_from_the_last_event_to_the_end_with_an_overlap_on_both_sides():
    around = Around(NOW_NS - 300 * S, 40, {})
    window = window_of(NOW_NS, NOW_NS + 9 * S, around, OVERLAP_NS)

    assert window == (NOW_NS - 302 * S, NOW_NS + 11 * S - 40)


def test_a_late_print_before_the_gap_does_not_move_its_beginning_later():
    around = Around(NOW_NS + 5 * S, 40, {})
    assert window_of(NOW_NS, NOW_NS + 9 * S, around, 0).from_ns == NOW_NS - 40


def test_a_tape_of_long_ago_has_its_own_time():
    years_ns = 400_000_000 * S
    around = Around(NOW_NS - years_ns - S, years_ns, {})

    assert window_of(NOW_NS, NOW_NS + S, around, 0) == (
        NOW_NS - years_ns - S,
        NOW_NS - years_ns + S,
    )


def test_nothing_known_around_a_gap_leaves_its_own_times():
    window = window_of(NOW_NS, NOW_NS + S, Around(None, 0, {}), OVERLAP_NS)
    assert window == (NOW_NS - OVERLAP_NS, NOW_NS + S + OVERLAP_NS)


def test_stocks_are_asked_with_their_feed_and_the_symbols_of_then():
    (chain,) = chains_of("trades", ["B", "A"], Window(NOW_NS, NOW_NS + S), STOCKS, "iex")

    assert chain.path == "/v2/stocks/trades"
    assert chain.query == {
        "symbols": "A,B",
        "start": clock.iso_utc(NOW_NS),
        "end": clock.iso_utc(NOW_NS + S),
        "limit": "10000",
        "sort": "asc",
        "asof": "-",
        "feed": "iex",
    }


def test_crypto_and_options_know_no_feed():
    for family in (CRYPTO, OPTIONS):
        (chain,) = chains_of("trades", ["A"], Window(NOW_NS, NOW_NS + S), family, "iex")
        assert not {"asof", "feed"} & chain.query.keys()


def test_a_bar_is_asked_for_when_its_minute_ended_in_the_window():
    (chain,) = chains_of("bars", ["A"], Window(NOW_NS, NOW_NS + 10 * S), STOCKS, "iex")

    assert chain.query["timeframe"] == "1Min"
    assert chain.query["start"] == clock.iso_utc(NOW_NS - 60 * S)
    assert chain.query["end"] == clock.iso_utc(NOW_NS + 10 * S), "and when it began in it"


def test_requests_that_were_begun_stay_and_only_other_symbols_are_added():
    window = Window(NOW_NS - S, NOW_NS + 2 * S)
    (begun,) = chains_of("trades", ["A", "B"], window, STOCKS, "iex")
    (quotes,) = chains_of("quotes", ["A"], window, STOCKS, "iex")
    later = Window(NOW_NS, NOW_NS + S)
    first, second = chains_of("trades", ["A", "B", "C"], later, STOCKS, "iex", [begun, quotes])

    assert first is begun
    assert second.query["symbols"] == "C"


@pytest.mark.parametrize(
    ("window", "feed"),
    [
        (Window(NOW_NS - 1, NOW_NS + S), "iex"),
        (Window(NOW_NS, NOW_NS + S + 1), "iex"),
        (Window(NOW_NS, NOW_NS + S), "sip"),
    ],
)
def test_requests_that_were_begun_for_less_or_of_another_feed_are_made_anew(window, feed):
    (begun,) = chains_of("trades", ["A"], Window(NOW_NS, NOW_NS + S), STOCKS, "iex")
    (made,) = chains_of("trades", ["A"], window, STOCKS, feed, [begun])

    assert made is not begun and made.symbols == ["A"]


def test_a_clock_that_is_behind_moves_the_end_of_the_window_later():
    around = Around(NOW_NS + 30 * S - 5, -30 * S, {})
    window = window_of(NOW_NS, NOW_NS + 9 * S, around, OVERLAP_NS)

    assert window == (NOW_NS + 28 * S - 5, NOW_NS + 41 * S)


def test_the_window_is_never_shorter_than_from_the_last_event_over_the_length_of_the_gap():
    around = Around(NOW_NS + 50 * S, 40, {})
    assert window_of(NOW_NS, NOW_NS + 9 * S, around, 0).to_ns == NOW_NS + 59 * S


def test_a_lag_that_is_not_the_same_on_both_sides_makes_the_window_wider_on_both():
    around = Around(NOW_NS, 0, {}, spread_ns=30 * S)
    assert window_of(NOW_NS, NOW_NS + S, around, 0) == (NOW_NS - 30 * S, NOW_NS + 31 * S)


def test_a_star_itself_is_never_asked_for():
    assert chains_of("trades", ["*"], Window(0, 1), STOCKS, "iex") == []


def test_the_words_say_what_came_what_stays_lost_and_whom_a_star_stood_for():
    parts = parts_of({"trades": ["*"], "orderbooks": ["A"]}, CRYPTO)
    words = words_of({"trades": 1234}, parts, {"trades": 7})

    assert words == (
        "REST has 1,234 trades in it; of all symbols' trades it could ask for the 7 seen, not for "
        "one that traded in the gap alone; "
        "orderbooks stay lost: the changes of an order book have no history"
    )
    assert words_of({}, parts_of({"statuses": ["A"]}, STOCKS), {}).startswith("nothing of it")
