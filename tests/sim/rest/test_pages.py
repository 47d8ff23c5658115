"""Histories in pages: each row once, in the venue's order, with the venue's tokens."""

import base64
import json

import pytest

from ticktape.sim.generate import generate_tape

NOON = "2026-03-03T12:00:00Z"
ALL = {"start": "2000-01-01"}
# A page as the venue gave it (Apache-2.0, alpaca-trade-api-go's tests).
REAL_PAGE = (
    '{"trades":{"AAPL":[{"t":"2021-10-13T08:00:00.08960768Z","x":"P","p":140.2,"s":595,"c":["@",'
    '"T"],"i":1,"z":"C"},{"t":"2021-10-13T08:00:01.024327168Z","x":"P","p":140.1,"s":6,"c":["@",'
    '"T","I"],"i":2,"z":"C"},{"t":"2021-10-13T08:00:01.447670272Z","x":"P","p":140.1,"s":92,'
    '"c":["@","F","T","I"],"i":3,"z":"C"},{"t":"2021-10-13T08:00:01.447670272Z","x":"P","p":140,'
    '"s":2,"c":["@","F","T","I"],"i":4,"z":"C"},{"t":"2021-10-13T08:00:01.447670272Z","x":"P",'
    '"p":140,"s":29,"c":["@","F","T","I"],"i":5,"z":"C"}]},"next_page_token":'
    '"QUFQTHwyMDIxLTEwLTEzVDA4OjAwOjAxLjQ0NzY3MDI3Mlp8UHwwOTIyMzM3MjAzNjg1NDc3NTgxMw=="}'
)
FIELDS = {
    "trades": {"t": "event_ns", "i": "id", "x": "exchange", "p": "price", "s": "size", "z": "tape"},
    "quotes": {
        **{"t": "event_ns", "bx": "bid_exchange", "bp": "bid_price", "bs": "bid_size"},
        **{"ax": "ask_exchange", "ap": "ask_price", "as": "ask_size", "z": "tape"},
    },
    "bars": {
        **{"t": "event_ns", "o": "open", "h": "high", "l": "low", "c": "close"},
        **{"v": "volume", "n": "trade_count", "vw": "vwap"},
    },
}


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=3, events=3000, events_per_s=20, symbols=4)


def test_a_page_is_what_the_venue_printed_byte_for_byte(ask, tape_of, a_trade, ns_of):
    rows = json.loads(REAL_PAGE)["trades"]["AAPL"]
    trades = [
        {
            **{"symbol": "AAPL", "event_ns": ns_of(row["t"]), "exchange": row["x"]},
            **{"price": row["p"], "size": row["s"], "conditions": ",".join(row["c"])},
            **{"id": row["i"], "tape": row["z"]},
        }
        for row in rows
    ]
    # One row more, so that there is a next page; sent in another order than REST gives them.
    later = a_trade("AAPL", 0, 6)
    venue = ask(tape_of(trades=[later, *trades[::-1]]))
    query = {"symbols": "AAPL", "start": "2021-10-13", "end": "2026-12-31", "limit": 5}
    assert venue.answer("/v2/stocks/trades", **query).body.decode() == REAL_PAGE


@pytest.mark.parametrize("kind", ["trades", "quotes", "bars"])
@pytest.mark.parametrize("limit", [1, 7, 1000])
@pytest.mark.parametrize("short", [False, True])
def test_following_the_tokens_gives_the_tape_exactly(ask, tape, ns_of, kind, limit, short):
    if limit == 1:
        tape = generate_tape(seed=3, events=300, events_per_s=0.5, symbols=4)
    venue = ask(tape, short_pages=short)
    symbols = ",".join(reversed(tape.symbols))
    query = {"symbols": symbols, "limit": limit, "asof": "-", **ALL}
    if kind == "bars":
        query["timeframe"] = "1Min"
    got = venue.rows(f"/v2/stocks/{kind}", kind, **query)

    fields = FIELDS[kind]
    sent = tape.tables[kind].to_pylist()
    if kind == "bars":
        # An updated bar replaces the one before it; those of the day are another timeframe.
        minutes = [row for row in sent if row["span"] != "day"]
        sent = {(row["symbol"], row["event_ns"]): row for row in minutes}.values()
    expected = [
        (row["symbol"], {key: row[column] for key, column in fields.items()}) for row in sent
    ]
    plain = [
        (symbol, {key: row[key] for key in fields} | {"t": ns_of(row["t"])})
        for symbol, row in got
        if row.get("u") != "corrected"
    ]
    # `sorted` is stable: what has neither exchange nor id stays as it was sent.
    order = ("t", "x", "i") if kind == "trades" else ("t",)
    assert plain == sorted(expected, key=lambda row: (row[0], *(row[1][key] for key in order)))


def test_limit_counts_rows_over_all_symbols_and_symbols_come_one_after_another(ask, tape):
    venue = ask(tape)
    pages = venue.pages("/v2/stocks/trades", symbols="ZAAB,ZAAA", limit=100, **ALL)
    sizes = [sum(map(len, page.values())) for page in pages]
    assert all(size == 100 for size in sizes[:-1]) and 0 < sizes[-1] <= 100
    assert list(pages[0]) == ["ZAAA"] and list(pages[-1]) == ["ZAAB"]
    assert sum("ZAAA" in page and "ZAAB" in page for page in pages) <= 1


def test_descending_is_the_same_from_last_to_first_within_each_symbol(ask, tape):
    venue = ask(tape)
    query = {"symbols": "ZAAA,ZAAC", "limit": 33, **ALL}
    up = venue.rows("/v2/stocks/trades", **query)
    down = venue.rows("/v2/stocks/trades", sort="desc", **query)
    assert len({json.dumps(row) for row in up}) == len(up)
    turned = [pair for symbol in ("ZAAA", "ZAAC") for pair in reversed(up) if pair[0] == symbol]
    assert down == turned


def test_start_and_end_are_inclusive_to_the_nanosecond(ask, tape_of, a_trade):
    venue = ask(tape_of(trades=[a_trade("A", at, at + 1) for at in range(4)]))
    query = {"symbols": "A", "start": "2026-03-03T12:00:00.000000001Z"}
    rows = venue.rows("/v2/stocks/trades", **query, end="2026-03-03T07:00:00.000000002-05:00")
    assert [row["i"] for _, row in rows] == [2, 3]


@pytest.mark.parametrize("sort", ["asc", "desc"])
def test_rows_that_a_token_cannot_tell_apart_come_once_each(ask, tape_of, stream, sort):
    # Options have no ids: equal rows of one nanosecond are as many trades.
    same = {"symbol": "X260320C00100000", "event_ns": 5, "price": 1.5, "size": 1.0}
    rows = [{**same, "exchange": code, "conditions": "a", "id": None} for code in "NNNNC"]
    venue = ask({"/v1beta1/opra": stream(tape_of("options", trades=rows))})
    query = {"symbols": same["symbol"], "limit": 1, "start": "1970-01-01", "sort": sort}
    got = venue.rows("/v1beta1/options/trades", **query)
    order = "CNNNN" if sort == "asc" else "NNNNC"
    assert "".join(row["x"] for _, row in got) == order


def test_tokens_have_the_venues_shape(ask, tape_of, a_trade, stream):
    stocks = tape_of(
        trades=[a_trade("A", 7, 73834, exchange="Q"), a_trade("A", 8, 1)],
        quotes=[{"symbol": "A", "event_ns": 10**18 + at, "tape": "C"} for at in (1, 2)],
        bars=[{"symbol": "A", "event_ns": at * 60 * 10**9, "span": "minute"} for at in (1, 2)],
    )
    crypto = tape_of(
        "crypto",
        trades=[{"symbol": "B/USD", "event_ns": at, "id": 5, "taker_side": "B"} for at in (1, 2)],
        quotes=[
            {"symbol": "B/USD", "event_ns": at, "bid_price": 29791.0, "bid_size": 0.5}
            for at in (1, 2)
        ],
    )
    venue = ask({"/v2/sip": stream(stocks), "/v1beta3/crypto/us": stream(crypto)})

    def token(address, **query):
        found = venue.get(address, limit=1, start="1970-01-01", **query)
        return base64.b64decode(found["next_page_token"]).decode()

    assert token("/v2/stocks/A/trades") == "A|2026-03-03T12:00:00.000000007Z|Q|09223372036854849642"
    time, crc = token("/v2/stocks/A/quotes").removeprefix("A|").split("|")
    assert time == "2001-09-09T01:46:40.000000001Z" and len(crc) == 8 and int(crc, 16)
    assert token("/v2/stocks/A/bars", timeframe="1Min") == "A|M|1970-01-01T00:01:00.000000000Z"
    crypto_trade = token("/v1beta3/crypto/us/trades", symbols="B/USD")
    assert crypto_trade == "B/USD|1970-01-01T00:00:00.000000001Z|09223372036854775813"
    assert token("/v1beta3/crypto/us/quotes", symbols="B/USD") == "B/USD|1|29791|0.5|0|0"
    down = token("/v1beta3/crypto/us/quotes", symbols="B/USD", sort="desc")
    assert down == f"B/USD|{2**63 - 1 - 2}|29791|0.5|0|0"


def test_a_token_works_later_and_in_another_process(ask, tape):
    query = {"symbols": "ZAAA,ZAAB", "limit": 400, **ALL}
    first = ask(tape).get("/v2/stocks/quotes", **query)
    again = ask(generate_tape(seed=3, events=3000, events_per_s=20, symbols=4))
    second = again.get("/v2/stocks/quotes", **query, page_token=first["next_page_token"])
    whole = again.get("/v2/stocks/quotes", **query | {"limit": 800})
    joined = {symbol: list(rows) for symbol, rows in first["quotes"].items()}
    for symbol, rows in second["quotes"].items():
        joined.setdefault(symbol, []).extend(rows)
    assert joined == whole["quotes"]


def test_a_token_whose_row_is_not_there_repeats_rather_than_skips(ask, tape_of, a_trade):
    venue = ask(tape_of(trades=[a_trade("A", at, at) for at in (1, 2, 3)]))
    gone = base64.b64encode(b"A|2026-03-03T12:00:00.000000002Z|V|09223372036854775999").decode()
    rows = venue.rows("/v2/stocks/trades", symbols="A", page_token=gone, **ALL)
    assert [row["i"] for _, row in rows] == [2, 3]


def test_nothing_is_an_empty_object_and_a_symbol_without_rows_is_absent(ask, tape_of, a_trade):
    venue = ask(tape_of(trades=[a_trade("A", 0, 1)]))
    empty = venue.answer("/v2/stocks/trades", symbols="NONE", **ALL)
    assert empty.body == b'{"trades":{},"next_page_token":null}'
    assert list(venue.get("/v2/stocks/trades", symbols="NONE,A", **ALL)["trades"]) == ["A"]
    assert venue.get("/v2/stocks/bars", symbols="A", timeframe="1Day", **ALL)["bars"] == {}
    one = venue.get("/v2/stocks/NONE/trades", **ALL)
    assert one == {"trades": [], "symbol": "NONE", "next_page_token": None}


def test_one_symbol_has_its_rows_in_a_list(ask, tape_of, a_trade):
    venue = ask(tape_of(trades=[a_trade("BRK.B", 0, 1)]))
    found = venue.get("/v2/stocks/BRK.B/trades", **ALL)
    assert found["symbol"] == "BRK.B" and [row["i"] for row in found["trades"]] == [1]
    assert found["trades"][0]["t"] == NOON


def test_the_start_of_the_tapes_day_is_where_a_history_begins(ask, tape_of, a_trade):
    day_ns = 86_400 * 10**9
    trades = [a_trade("A", -day_ns, 1), a_trade("A", -day_ns // 2, 2), a_trade("A", 0, 3)]
    rows = ask(tape_of(trades=trades)).rows("/v2/stocks/trades", symbols="A")
    assert [row["i"] for _, row in rows] == [2, 3]


def test_an_updated_bar_replaces_the_bar_and_a_days_bar_the_one_before(ask, tape_of, stream):
    def bar(span, minute, close):
        event_ns = minute * 60 * 10**9
        return {"symbol": "A", "event_ns": event_ns, "span": span, "close": close}

    bars = [bar("minute", 1, 1.0), bar("minute", 2, 2.0), bar("updated", 1, 1.5)]
    days = [bar("day", 0, 1.0), bar("day", 0, 2.0)]
    tape = tape_of(bars=bars + days)
    playing = stream(tape)
    venue = ask({"/v2/iex": playing})

    def closes(timeframe, **query):
        query = {"symbols": "A", "timeframe": timeframe, "start": "1970-01-01", **query}
        return [row["c"] for _, row in venue.rows("/v2/stocks/bars", "bars", **query)]

    assert closes("1Min") == closes("1T", limit=1) == [1.5, 2]
    assert closes("1Min", sort="desc", limit=1) == [2, 1.5]
    assert closes("1Day") == closes("1D") == [2]
    # Before the update was sent nobody knew of it.
    playing.rows_played = 3
    assert closes("1Min") == [1]
