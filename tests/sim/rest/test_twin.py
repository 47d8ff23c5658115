"""The twin over HTTP: Alpaca's own client, unmodified, and a plain one, beside a running venue."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import urlencode

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data.enums import DataFeed
from alpaca.data.historical import (
    CryptoHistoricalDataClient,
    NewsClient,
    OptionHistoricalDataClient,
    StockHistoricalDataClient,
)
from alpaca.data.requests import (
    CryptoLatestOrderbookRequest,
    CryptoQuoteRequest,
    CryptoTradesRequest,
    NewsRequest,
    OptionLatestQuoteRequest,
    OptionTradesRequest,
    StockBarsRequest,
    StockLatestQuoteRequest,
    StockLatestTradeRequest,
    StockQuotesRequest,
    StockSnapshotRequest,
    StockTradesRequest,
)
from alpaca.data.timeframe import TimeFrame

from ticktape.errors import ConfigError
from ticktape.sim import AlpacaSim, SimConfig, parse_faults
from ticktape.sim.config import Program
from ticktape.sim.generate import generate_tape
from ticktape.sim.rest import RestConfig, RestTwin, parse_rest_faults

KEYS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}
BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
KEY = ("demo-key", "demo-secret")


def run(work):
    return asyncio.run(asyncio.wait_for(work, 240))


def fetch(url, **query):
    """Status, headers and body of one request, by the standard library."""
    request = urllib.request.Request(f"{url}?{urlencode(query)}", headers=KEYS)
    try:
        with urllib.request.urlopen(request, timeout=240) as response:
            return response.status, response.headers, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, error.headers, json.load(error)


def pages(url, kind, **query):
    """All pages of a history, as [(symbol, row)]."""
    rows, token = [], ""
    while token is not None:
        status, _, body = fetch(url, **query, **({"page_token": token} if token else {}))
        assert status == 200, body
        rows += [(symbol, row) for symbol, rows in body[kind].items() for row in rows]
        token = body["next_page_token"]
    return rows


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=5, events=24_000, events_per_s=50)


@pytest.fixture
def serve(stream):
    """Run `ask(url)` in a thread beside a twin of these tapes, all played; return what it does."""

    def make(tapes, ask, **config):
        async def scenario():
            streams = {path: stream(tape) for path, tape in tapes.items()}
            async with RestTwin(streams, RestConfig(**config)) as twin:
                return await asyncio.to_thread(ask, twin.url), twin.statistics()

        return run(scenario())

    return make


def test_alpacas_client_gets_trades_quotes_and_bars_of_the_tape_exactly(serve, tape, ns_of):
    def ask(url):
        client = StockHistoricalDataClient(*KEY, raw_data=True, url_override=url)
        query = {"symbol_or_symbols": tape.symbols, "start": BEGINNING}
        bars = StockBarsRequest(**query, timeframe=TimeFrame.Minute)
        return (
            client.get_stock_trades(StockTradesRequest(**query, feed=DataFeed.SIP)),
            client.get_stock_quotes(StockQuotesRequest(**query)),
            client.get_stock_bars(bars),
        )

    (trades, quotes, bars), done = serve({"/v2/sip": tape}, ask, short_pages=True)
    assert done.requests >= 6 and done.failed == 0

    def sent(kind, *columns):
        rows = tape.tables[kind].to_pylist()
        return sorted(tuple(row[name] for name in ("symbol", "event_ns", *columns)) for row in rows)

    def got(found, *keys):
        rows = [(symbol, row) for symbol, rows in found.items() for row in rows]
        return sorted(
            (symbol, ns_of(row["t"]), *(row[key] for key in keys))
            for symbol, row in rows
            if row.get("u") != "corrected"
        )

    assert got(trades, "i", "x", "p", "s") == sent("trades", "id", "exchange", "price", "size")
    sides = ("bid_price", "bid_size", "ask_price", "ask_size")
    assert got(quotes, "bp", "bs", "ap", "as") == sent("quotes", *sides)
    minutes = {
        (row["symbol"], row["event_ns"]): row["close"]
        for row in tape.tables["bars"].to_pylist()
        if row["span"] != "day"
    }
    assert {(s, ns_of(row["t"])): row["c"] for s, rows in bars.items() for row in rows} == minutes


def test_alpacas_client_reads_its_own_models(serve, tape):
    symbol = tape.symbols[0]

    def ask(url):
        client = StockHistoricalDataClient(*KEY, url_override=url)
        trades = StockTradesRequest(symbol_or_symbols=symbol, start=BEGINNING, limit=20)
        return (
            client.get_stock_trades(trades).data[symbol],
            client.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols=symbol)),
            client.get_stock_latest_quote(StockLatestQuoteRequest(symbol_or_symbols=symbol)),
            client.get_stock_snapshot(StockSnapshotRequest(symbol_or_symbols=symbol)),
        )

    (trades, trade, quote, snapshot), _ = serve({"/v2/iex": tape}, ask)
    assert len(trades) == 20 and trades[0].symbol == symbol and trades[0].id > 0
    assert snapshot[symbol].latest_trade == trade[symbol]
    assert snapshot[symbol].latest_quote == quote[symbol]
    assert snapshot[symbol].minute_bar.close > 0


def test_alpacas_client_waits_out_a_429_and_raises_other_errors(serve, tape):
    def ask(url):
        client = StockHistoricalDataClient(*KEY, raw_data=True, url_override=url)
        client._retry_wait = 0.01
        query = StockTradesRequest(symbol_or_symbols="ZAAA", start=BEGINNING, limit=10)
        assert len(client.get_stock_trades(query)["ZAAA"]) == 10
        with pytest.raises(APIError) as raised:
            client.get_stock_trades(query)
        assert raised.value.status_code == 500
        wrong = StockHistoricalDataClient("demo-key", "wrong", url_override=url)
        with pytest.raises(APIError) as raised:
            wrong.get_stock_trades(query)
        assert raised.value.status_code == 403

    faults = parse_rest_faults(("429x1", "500/3"))
    _, done = serve({"/v2/iex": tape}, ask, faults=faults)
    assert (done.requests, done.limited, done.failed) == (4, 1, 3)


def test_alpacas_clients_of_crypto_options_and_news(serve, tape_of):
    crypto = tape_of(
        "crypto",
        trades=[
            {
                **{"symbol": "BTC/USD", "event_ns": 10**18 + at, "price": 47.299, "size": 1 / 3},
                **{"id": 3_447_222_699_101_865_076 + at, "taker_side": "S"},
            }
            for at in range(5)
        ],
        quotes=[
            {"symbol": "BTC/USD", "event_ns": 10**18 + at, "bid_price": 1.5, "ask_price": 2.0}
            for at in range(3)
        ],
        crypto_books=[
            {
                **{"symbol": "BTC/USD", "event_ns": 10**18, "reset": True},
                **{"bid_prices": [9.0], "bid_sizes": [0.5], "ask_prices": [], "ask_sizes": []},
            }
        ],
    )
    contract = "AAPL240315C00172500"
    option = {"symbol": contract, "event_ns": 10**18, "conditions": "S"}
    options = tape_of(
        "options",
        trades=[option | {"exchange": "N", "price": 2.84, "size": 1.0, "id": None}] * 3,
        quotes=[option | {"bid_price": 9.46, "bid_size": 53.0, "ask_price": 9.66}],
    )
    article = {"id": 24918784, "updated_ns": 10**18, "created_ns": 1, "symbols": ["CRSR"]}
    news = tape_of(
        "news", news=[article | {"id": at, "event_ns": 10**18 + at} for at in range(120)]
    )

    def ask(url):
        coins = CryptoHistoricalDataClient(raw_data=True, url_override=url)
        query = {"symbol_or_symbols": "BTC/USD", "start": BEGINNING}
        contracts = OptionHistoricalDataClient(*KEY, raw_data=True, url_override=url)
        headlines = NewsClient(*KEY, url_override=url)
        book = CryptoLatestOrderbookRequest(symbol_or_symbols="BTC/USD")
        return (
            coins.get_crypto_trades(CryptoTradesRequest(**query)),
            coins.get_crypto_quotes(CryptoQuoteRequest(**query)),
            coins.get_crypto_latest_orderbook(book),
            contracts.get_option_trades(
                OptionTradesRequest(symbol_or_symbols=contract, start=BEGINNING)
            ),
            contracts.get_option_latest_quote(OptionLatestQuoteRequest(symbol_or_symbols=contract)),
            headlines.get_news(NewsRequest(symbols="CRSR", start=BEGINNING)).data["news"],
        )

    tapes = {"/v1beta3/crypto/us": crypto, "/v1beta1/opra": options, "/v1beta1/news": news}
    (trades, quotes, book, contracts, quote, articles), _ = serve(tapes, ask, short_pages=True)
    assert [row["i"] for row in trades["BTC/USD"]] == [
        3_447_222_699_101_865_076 + at for at in range(5)
    ]
    assert all(row["s"] == 1 / 3 and row["tks"] == "S" for row in trades["BTC/USD"])
    assert len(quotes["BTC/USD"]) == 3
    assert book["BTC/USD"]["b"] == [{"p": 9.0, "s": 0.5}]
    assert len(contracts[contract]) == 3 and quote[contract]["bs"] == 53
    assert sorted(article.id for article in articles) == list(range(120))


def test_a_plain_client_sees_the_limits(serve, tape, monkeypatch):
    now_s = 1_800_000_000
    frozen = SimpleNamespace(wall_now_ns=lambda: now_s * 10**9)
    monkeypatch.setattr("ticktape.sim.rest.twin.clock", frozen)

    def ask(url):
        status, headers, body = fetch(f"{url}/v2/stocks/trades", symbols="ZAAA", limit=3)
        assert status == 200 and len(body["trades"]["ZAAA"]) == 3
        assert headers["Content-Type"] == "application/json; charset=utf-8"
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("2", "1")
        status, headers, _ = fetch(f"{url}/v2/stocks/trades", symbols="ZAAA", limit=0)
        assert (status, headers["X-RateLimit-Remaining"]) == (422, "0")
        status, headers, body = fetch(f"{url}/v2/stocks/trades", symbols="ZAAA")
        assert status == 429 and headers["X-RateLimit-Reset"] == str(now_s + 60)
        assert body == {"message": "too many requests."}
        assert fetch(f"{url}/nowhere")[0] == 404

    serve({"/v2/iex": tape}, ask, rate_limit=2)


def test_a_token_outlives_the_twin(serve, tape):
    query = {"symbols": "ZAAA,ZAAB", "limit": 500}

    def page(url, **more):
        return fetch(f"{url}/v2/stocks/quotes", **query, **more)[2]

    first, _ = serve({"/v2/iex": tape}, page)
    token = first["next_page_token"]
    second, _ = serve({"/v2/iex": tape}, lambda url: page(url, page_token=token))
    whole, _ = serve(
        {"/v2/iex": tape}, lambda url: pages(f"{url}/v2/stocks/quotes", "quotes", **query)
    )
    joined = [
        (symbol, row)
        for found in (first, second)
        for symbol, rows in found["quotes"].items()
        for row in rows
    ]
    assert joined == whole[:1000] and len(joined) == 1000 < len(whole)


def test_what_a_client_missed_is_there_and_nothing_of_the_future(tape, client, ns_of):
    """The tape stands still after 3,000 rows: REST has exactly those, whoever heard them."""
    played = 3000

    async def scenario():
        config = SimConfig(speed=0, batch=50, faults=parse_faults([f"silence@{played}=600"]))
        async with (
            AlpacaSim({"/v2/iex": Program(tape)}, config) as sim,
            RestTwin(sim.streams) as twin,
        ):
            mine = await (await client.open(sim)).login()
            await mine.listen(trades=["ZAAA"])
            heard = [row for row in trades if row[0] == "ZAAA"]
            while len(streamed := trades_of(mine)) < len(heard):
                await mine.read()
            assert sorted(streamed) == heard
            while sim.streams["/v2/iex"].rows_played < played:
                await (await mine.socket.ping())
            address = f"{twin.url}/v2/stocks/trades"
            rows = await asyncio.to_thread(pages, address, "trades", symbols=symbols)
            rows = [(symbol, row) for symbol, row in rows if row.get("u") != "corrected"]
            assert [(s, ns_of(row["t"]), row["x"], row["i"]) for s, row in rows] == trades

    def trades_of(mine):
        messages = [message for frame in mine.frames for message in frame]
        return [(m["S"], ns_of(m["t"]), m["x"], m["i"]) for m in messages if m["T"] == "t"]

    symbols = ",".join(tape.symbols)
    count = int((tape.places("trades") < played).sum())
    trades = sorted(
        (row["symbol"], row["event_ns"], row["exchange"], row["id"])
        for row in tape.tables["trades"].slice(0, count).to_pylist()
    )
    run(scenario())


def test_a_twin_without_its_packages_says_what_to_install(monkeypatch, stream, tape):
    monkeypatch.setattr("ticktape.sim.rest.twin.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"ticktape\[web\]") as raised:
        run(RestTwin({"/v2/iex": stream(tape)}).start())
    assert len(raised.value.faults) == 2


def test_a_taken_port_is_an_error_and_closing_twice_is_none(stream, tape):
    async def scenario():
        streams = {"/v2/iex": stream(tape)}
        async with RestTwin(streams) as twin:
            port = int(twin.url.rpartition(":")[2])
            with pytest.raises(OSError):
                await RestTwin(streams, RestConfig(port=port)).start()
        await twin.close()
        async with RestTwin(streams, RestConfig(port=port)) as again:
            assert (await asyncio.to_thread(fetch, f"{again.url}/nowhere"))[0] == 404
            assert again.statistics().requests == 1

    run(scenario())


def test_signals_stay_with_the_program_around_it(stream, tape):
    async def scenario():
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = [signal.getsignal(number) for number in numbers]
        async with RestTwin({"/v2/iex": stream(tape)}) as twin:
            await asyncio.to_thread(fetch, f"{twin.url}/nowhere")
            assert [signal.getsignal(number) for number in numbers] == before

    run(scenario())


def test_a_fault_can_be_asked_for_while_it_runs(stream, tape):
    async def scenario():
        async with RestTwin({"/v2/iex": stream(tape)}) as twin:
            twin.inject("503x1")
            address = f"{twin.url}/v2/stocks/meta/exchanges"
            return [(await asyncio.to_thread(fetch, address))[0] for _ in range(2)]

    assert run(scenario()) == [503, 200]
