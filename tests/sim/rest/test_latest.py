"""The newest of each symbol: what moves the price and still stands, and whole order books."""

import pytest

SYMBOLS = {"symbols": "A,B,NONE"}


def test_latest_trade_is_the_last_that_moves_the_price_and_stands(ask, tape_of, a_trade):
    trades = [
        a_trade("A", 1, 1),
        a_trade("A", 2, 2),
        a_trade("A", 3, 3, conditions="@,I"),
        a_trade("A", 4, 4, 9.0),
        a_trade("B", 1, 5, conditions="B", tape="A"),
    ]
    gone = {"symbol": "A", "event_ns": trades[3]["event_ns"] + 5, "exchange": "V", "id": 4}
    gone |= {"price": 9.0, "size": 100.0, "action": "C"}
    venue = ask(tape_of(trades=trades, cancels=[gone]))
    found = venue.get("/v2/stocks/trades/latest", **SYMBOLS)
    assert {symbol: row["i"] for symbol, row in found["trades"].items()} == {"A": 2}
    one = venue.get("/v2/stocks/A/trades/latest")
    assert one["symbol"] == "A" and one["trade"] == found["trades"]["A"]
    assert venue.error("/v2/stocks/B/trades/latest") == (404, "no trade found for B")


def test_a_bunched_trade_moves_the_price_on_tape_c_alone(ask, tape_of, a_trade):
    trades = [a_trade("A", 1, 1), a_trade("A", 2, 2, conditions="B")]
    found = ask(tape_of(trades=trades)).get("/v2/stocks/trades/latest", symbols="A")
    assert found["trades"]["A"]["i"] == 2


def test_latest_is_of_what_was_played(ask, tape_of, a_trade, stream):
    playing = stream(tape_of(trades=[a_trade("A", at, at) for at in range(1, 4)]), 0)
    venue = ask({"/v2/iex": playing})
    assert venue.get("/v2/stocks/trades/latest", symbols="A") == {"trades": {}}
    playing.rows_played = 2
    assert venue.get("/v2/stocks/trades/latest", symbols="A")["trades"]["A"]["i"] == 2


def test_quotes_and_bars(ask, tape_of):
    minute_ns = 60 * 10**9
    quotes = [
        {"symbol": "A", "event_ns": at, "bid_price": float(at), "conditions": "R"} for at in (1, 2)
    ]
    bars = [
        {"symbol": "A", "event_ns": at * minute_ns, "span": "minute", "close": float(at)}
        for at in (1, 2)
    ]
    venue = ask(tape_of(quotes=quotes, bars=bars))
    assert venue.get("/v2/stocks/quotes/latest", **SYMBOLS)["quotes"]["A"]["bp"] == 2
    assert venue.get("/v2/stocks/bars/latest", **SYMBOLS)["bars"]["A"]["c"] == 2


def test_a_snapshot_has_what_there_is(ask, tape_of, a_trade):
    day_ns = 86_400 * 10**9
    days = [
        {"symbol": "A", "event_ns": at * day_ns, "span": "day", "close": close}
        for at, close in ((1, 1.0), (1, 2.0), (2, 3.0), (2, 4.0))
    ]
    venue = ask(tape_of(trades=[a_trade("A", 1, 1)], bars=days))
    found = venue.get("/v2/stocks/snapshots", **SYMBOLS)
    assert list(found) == ["A"]
    assert list(found["A"]) == ["latestTrade", "dailyBar", "prevDailyBar"]
    assert (found["A"]["dailyBar"]["c"], found["A"]["prevDailyBar"]["c"]) == (4, 2)
    assert venue.get("/v2/stocks/A/snapshot") == {"symbol": "A", **found["A"]}
    assert venue.get("/v2/stocks/NONE/snapshot") == {"symbol": "NONE"}


def test_a_crypto_book_is_put_together_from_its_changes(ask, tape_of, stream):
    def change(at, bids, asks, *, reset=False):
        sides = {"bid": bids, "ask": asks}
        levels = {f"{side}_prices": [p for p, _ in pairs] for side, pairs in sides.items()}
        levels |= {f"{side}_sizes": [s for _, s in pairs] for side, pairs in sides.items()}
        return {"symbol": "B/USD", "event_ns": at, "reset": reset, **levels}

    books = [
        change(1, [(9.0, 1.0), (8.0, 2.0)], [(11.0, 1.5)], reset=True),
        change(2, [(8.0, 0.0), (9.5, 0.25)], []),
        change(3, [(7.0, 1.0)], [(12.0, 3.0)], reset=True),
    ]
    playing = stream(tape_of("crypto", crypto_books=books), 0)
    venue = ask({"/v1beta3/crypto/us": playing})

    def book():
        address = "/v1beta3/crypto/us/latest/orderbooks"
        return venue.get(address, symbols="B/USD")["orderbooks"].get("B/USD")

    assert book() is None
    playing.rows_played = 2
    bids = [{"p": 9.5, "s": 0.25}, {"p": 9.0, "s": 1.0}]
    assert book() == {
        "t": "1970-01-01T00:00:00.000000002Z",
        "b": bids,
        "a": [{"p": 11.0, "s": 1.5}],
    }
    playing.rows_played = 3
    assert book()["b"] == [{"p": 7.0, "s": 1.0}]


def test_crypto_snapshots_stand_under_a_key(ask, tape_of, stream):
    trade = {"symbol": "B/USD", "event_ns": 1, "id": 3_447_222_699_101_865_076, "taker_side": "S"}
    tape = tape_of("crypto", trades=[trade | {"price": 1.5, "size": 0.25}])
    venue = ask({"/v1beta3/crypto/us": stream(tape)})
    found = venue.get("/v1beta3/crypto/us/snapshots", symbols="B/USD")
    assert found["snapshots"]["B/USD"]["latestTrade"] == {
        **{"t": "1970-01-01T00:00:00.000000001Z", "p": 1.5, "s": 0.25, "tks": "S"},
        "i": 3_447_222_699_101_865_076,
    }


@pytest.mark.parametrize(
    ("address", "code", "meaning"),
    [
        ("/v2/stocks/meta/exchanges", "V", "IEX"),
        ("/v2/stocks/meta/conditions/trade?tape=A", " ", "Regular sale"),
        ("/v2/stocks/meta/conditions/trade?tape=C", "@", "Regular sale"),
        ("/v2/stocks/meta/conditions/quote?tape=B", "W", "Slow list"),
    ],
)
def test_code_tables(ask, tape_of, a_trade, address, code, meaning):
    venue = ask(tape_of(trades=[a_trade("A", 1, 1)]))
    path, _, tape = address.partition("?tape=")
    assert venue.get(path, **({"tape": tape} if tape else {}))[code] == meaning
    assert venue.error("/v2/stocks/meta/conditions/trade", tape="Q")[0] == 400
