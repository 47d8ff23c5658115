"""Who may ask, how often, for what; and what goes wrong on purpose."""

import base64
import json

import pytest

from ticktape.errors import ConfigError
from ticktape.sim.rest import RestConfig, RestFault, parse_rest_faults

TRADES = "/v2/stocks/trades"
ALL = {"symbols": "A", "start": "2000-01-01"}
MINUTE_NS = 60 * 10**9


@pytest.fixture
def tape(tape_of, a_trade):
    return tape_of(trades=[a_trade("A", at, at) for at in range(1, 4)])


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ({"symbols": ""}, 400, "symbols is required"),
        ({"symbols": "A,*"}, 400, "invalid symbol: *"),
        ({"symbols": "A,"}, 400, "invalid symbol"),
        ({"start": "yesterday"}, 400, "invalid start"),
        ({"start": "2026-13-01"}, 400, "invalid start"),
        ({"start": "2026-01-01T00:00:00.1234567890Z"}, 400, "invalid start"),
        ({"start": "9999-01-01"}, 400, "out of range"),
        ({"end": "2026-01-01T00:00:00"}, 400, "invalid end"),
        ({"end": "1999-01-01"}, 422, "end should not be before start"),
        ({"limit": "0"}, 422, "between 1 and 10000"),
        ({"limit": "10001"}, 422, "between 1 and 10000"),
        ({"limit": "1e3"}, 400, "invalid limit"),
        ({"sort": "up"}, 400, "invalid sort"),
        ({"asof": "now"}, 400, "invalid asof"),
        ({"feed": "delayed_sip"}, 400, "invalid feed"),
        ({"feed": "iex"}, 403, "does not permit querying /v2/iex"),
        ({"page_token": "§"}, 400, "invalid page_token"),
        ({"page_token": base64.b64encode(b"A|now|V|1").decode()}, 400, "invalid page_token"),
        ({"page_token": base64.b64encode(b"A|2026-01-01").decode()}, 400, "invalid page_token"),
        ({"page_token": base64.b64encode(b"A|2026-01-01|V|1|-1").decode()}, 400, "page_token"),
    ],
)
def test_a_bad_parameter_is_named(ask, tape, query, status, word):
    found = ask(tape).error(TRADES, **ALL | query)
    assert found[0] == status and word in found[1]


@pytest.mark.parametrize(
    ("timeframe", "status"), [("1Min", 200), ("1D", 200), ("5Min", 422), ("60Min", 400), ("", 400)]
)
def test_timeframes(ask, tape, timeframe, status):
    assert ask(tape).answer("/v2/stocks/bars", timeframe=timeframe, **ALL).status == status


def test_what_nobody_knows_is_let_be_and_an_unknown_address_is_404(ask, tape):
    venue = ask(tape)
    assert venue.answer(TRADES, currency="USD", whatever="1", **ALL).status == 200
    for address in ("/v2/stocks", "/v3/stocks/trades", "/v1beta1/options/quotes", "/"):
        assert venue.answer(address, **ALL).status == 404


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "wrong"}, 403),
        ({"APCA-API-KEY-ID": "demo-key"}, 403),
        ({"Authorization": "Bearer token"}, 200),
        ({"Authorization": "Bearer other"}, 403),
        ({"Authorization": "Basic " + base64.b64encode(b"demo-key:demo-secret").decode()}, 200),
    ],
)
def test_who_may_ask(ask, tape, headers, status):
    venue = ask(tape, tokens=frozenset({"token"}))
    venue.headers = headers
    answer = venue.answer(TRADES, **ALL)
    assert answer.status == status
    assert ("X-RateLimit-Limit" in answer.headers) is (status == 200)


def test_crypto_needs_no_key(ask, tape_of, stream):
    trade = {"symbol": "B/USD", "event_ns": 1, "id": 1, "taker_side": "S"}
    venue = ask({"/v1beta3/crypto/us": stream(tape_of("crypto", trades=[trade]))})
    venue.headers = {}
    query = {"symbols": "B/USD", "start": "1970-01-01"}
    assert venue.get("/v1beta3/crypto/us/trades", **query)["trades"]
    assert venue.error("/v1beta3/crypto/eu-1/trades", **query)[0] == 403


def test_requests_are_counted_per_key_and_minute(ask, tape):
    venue = ask(tape, rate_limit=2, keys={"demo-key": "demo-secret", "other": "secret"})
    answers = [venue.answer(TRADES, **ALL | {"sort": sort}) for sort in ("asc", "?", "asc")]
    assert [answer.status for answer in answers] == [200, 400, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert json.loads(answers[2].body) == {"message": "too many requests."}
    reset_s = int(answers[2].headers["X-RateLimit-Reset"])
    assert answers[2].headers["X-RateLimit-Limit"] == "2"
    assert venue.now_ns < reset_s * 10**9 <= venue.now_ns + MINUTE_NS

    venue.headers = {"APCA-API-KEY-ID": "other", "APCA-API-SECRET-KEY": "secret"}
    assert venue.answer(TRADES, **ALL).status == 200
    venue.headers = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
    venue.now_ns = reset_s * 10**9 - 1
    assert venue.answer(TRADES, **ALL).status == 429
    venue.now_ns += 1
    assert venue.answer(TRADES, **ALL).status == 200
    assert venue.venue.statistics() == (6, 9, 2, 3)


def test_faults_strike_the_next_requests_and_every_nth(ask, tape):
    venue = ask(tape, faults=parse_rest_faults(("429x2", "500/4")))
    statuses = [venue.answer(TRADES, **ALL).status for _ in range(8)]
    assert statuses == [429, 429, 200, 500, 200, 200, 200, 500]
    venue.venue.inject((RestFault(code=504, times=1),))
    assert [venue.answer(TRADES, **ALL).status for _ in range(2)] == [504, 200]


def test_a_429_made_up_is_over_in_a_second(ask, tape):
    answer = ask(tape, faults=parse_rest_faults(("429x1",))).answer(TRADES, **ALL)
    assert answer.headers["X-RateLimit-Remaining"] == "0"
    assert int(answer.headers["X-RateLimit-Reset"]) == 1_800_000_001


def test_the_free_plan_sees_no_sip_rows_of_the_last_15_minutes(ask, tape_of, a_trade, stream):
    trades = [a_trade("A", minute * MINUTE_NS, minute) for minute in (0, 4, 5, 20)]
    tape = tape_of(trades=trades)
    venue = ask({"/v2/sip": stream(tape), "/v2/iex": stream(tape)}, free_plan=True)

    def ids(**query):
        return [row["i"] for _, row in venue.rows(TRADES, **ALL | query)]

    refused = venue.answer(TRADES, **ALL, end="2026-03-03T12:05:00.000000001Z")
    assert refused.status == 403
    assert json.loads(refused.body) == {
        "code": 42210000,
        "message": "subscription does not permit querying recent SIP data",
    }
    assert ids() == ids(end="2026-03-03T12:05:00Z") == [0, 4, 5]
    assert ids(feed="iex", end="2026-03-04") == [0, 4, 5, 20]
    assert venue.get("/v2/stocks/trades/latest", symbols="A")["trades"]["A"]["i"] == 20
    assert venue.error("/v2/stocks/trades/latest", symbols="A", feed="sip")[0] == 403


def test_a_feed_is_a_path_and_without_one_it_is_the_best(ask, tape_of, a_trade, stream):
    streams = {
        path: stream(tape_of(trades=[a_trade("A", 1, number)]))
        for number, path in enumerate(
            ["/v2/iex", "/v2/sip", "/v2/otc", "/v1beta1/boats", "/v2/delayed_sip"]
        )
    }
    venue = ask(streams)

    def served(address, **query):
        found = venue.get(address, **ALL | query)["trades"]["A"]
        return (found[0] if isinstance(found, list) else found)["i"]

    feeds = ("iex", "sip", "otc", "boats")
    assert [served(TRADES, feed=feed) for feed in feeds] == [0, 1, 2, 3]
    assert served(TRADES) == served("/v2/stocks/trades/latest") == 1
    assert served("/v2/stocks/trades/latest", feed="delayed_sip") == 4
    del streams["/v2/sip"]
    assert served(TRADES) == 1  # a venue does not change while it runs
    venue = ask(streams)
    assert served(TRADES) == 0


def test_options_are_served_from_opra_or_the_indicative_feed(ask, tape_of, stream):
    def tape(number):
        row = {"symbol": "X", "event_ns": 1, "exchange": "N", "price": 2.84, "size": 1.0}
        row |= {"conditions": "S", "id": None}
        return tape_of(
            "options",
            trades=[row | {"size": float(number)}],
            quotes=[
                {
                    "symbol": "X",
                    "event_ns": 1,
                    "bid_exchange": "C",
                    "bid_price": 9.46,
                    "bid_size": 53.0,
                    "ask_exchange": "C",
                    "ask_price": 9.66,
                    "ask_size": 38.0,
                    "conditions": "A",
                }
            ],
        )

    streams = {"/v1beta1/opra": stream(tape(1)), "/v1beta1/indicative": stream(tape(2))}
    venue = ask(streams)
    query = {"symbols": "X", "start": "1970-01-01"}
    found = venue.get("/v1beta1/options/trades", **query)["trades"]["X"]
    time = "1970-01-01T00:00:00.000000001Z"
    assert found == [{"t": time, "x": "N", "p": 2.84, "s": 1, "c": "S"}]
    indicative = venue.get("/v1beta1/options/trades/latest", symbols="X", feed="indicative")
    assert indicative["trades"]["X"]["s"] == 2
    quote = venue.get("/v1beta1/options/quotes/latest", symbols="X")["quotes"]["X"]
    assert quote == {
        **{"t": time, "ax": "C", "ap": 9.66, "as": 38, "bx": "C", "bp": 9.46, "bs": 53},
        "c": "A",
    }
    assert venue.get("/v1beta1/options/bars", timeframe="1Min", **query)["bars"] == {}


def test_only_what_was_played_is_there_unless_all_is_wanted(ask, tape, stream):
    playing = stream(tape, 0)
    venue = ask({"/v2/iex": playing})
    everything = ask({"/v2/iex": playing}, shows_all=True)
    for played in range(4):
        playing.rows_played = played
        assert len(venue.rows(TRADES, **ALL)) == played
        assert len(everything.rows(TRADES, **ALL)) == 3


def test_passes_follow_one_another_and_only_the_last_four_are_kept(ask, tape, stream):
    playing = stream(tape, 0)
    venue = ask({"/v2/iex": playing})
    for played, ids in ((3, [1, 2, 3]), (4, [1, 2, 3, 4]), (9, [*range(1, 10)])):
        playing.rows_played = played
        assert [row["i"] for _, row in venue.rows(TRADES, **ALL)] == ids
    playing.rows_played = 3 * 10 + 1
    assert [row["i"] for _, row in venue.rows(TRADES, **ALL)] == [*range(22, 32)]


@pytest.mark.parametrize("text", ["429", "429x0", "200x1", "500/0", "x", "429x3/4"])
def test_a_fault_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match="is no fault"):
        parse_rest_faults((text,))


def test_a_rate_limit_below_one_is_refused():
    with pytest.raises(ConfigError, match="rate_limit 0"):
        RestConfig(rate_limit=0).check()
