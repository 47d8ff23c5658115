"""Alpaca's own Python client, unmodified, on the simulated venue: it gets what the tape holds."""

import threading
import time

import pytest
from alpaca.data.live import (
    CryptoDataStream,
    NewsDataStream,
    OptionDataStream,
    StockDataStream,
)

from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS
from ticktape.sim.generate import generate_family

# alpaca-py still takes the legacy client of websockets, which says so.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PARAMETERS = {"ping_interval": 10, "ping_timeout": 180, "max_queue": 1024, "max_size": None}
# Its subscribe methods by our kind of row; what it cannot subscribe to has none.
STREAMS = {
    "stocks": (
        StockDataStream,
        STOCKS,
        "/v2/iex",
        {
            "trades": "subscribe_trades",
            "quotes": "subscribe_quotes",
            "bars": "subscribe_bars",
            "statuses": "subscribe_trading_statuses",
        },
    ),
    "crypto": (
        CryptoDataStream,
        CRYPTO,
        "/v1beta3/crypto/us",
        {
            "trades": "subscribe_trades",
            "quotes": "subscribe_quotes",
            "bars": "subscribe_bars",
            "crypto_books": "subscribe_orderbooks",
        },
    ),
    "options": (
        OptionDataStream,
        OPTIONS,
        "/v1beta1/opra",
        {"trades": "subscribe_trades", "quotes": "subscribe_quotes"},
    ),
    "news": (NewsDataStream, NEWS, "/v1beta1/news", {"news": "subscribe_news"}),
}


def made(family):
    size = {"symbols": 3, "events": 900, "events_per_s": 1000.0, "long_ids": False}
    return generate_family(family, seed=5, **size)


class Client:
    """A stream of alpaca-py in a thread of its own; `got` are messages by kind, in order."""

    def __init__(self, wire, name, venue, tape, *, raw):
        stream, _, _, subscribe = STREAMS[name]
        self.got = {kind: [] for kind in subscribe}
        self.stream = stream(
            wire.KEY,
            wire.SECRET,
            raw_data=raw,
            url_override=venue.url,
            websocket_params=PARAMETERS,
        )
        for kind, method in subscribe.items():
            symbols = ["*"]
            if name == "options" and kind == "quotes":  # which takes no star
                symbols = sorted(set(tape.tables["quotes"]["symbol"].to_pylist()))
            getattr(self.stream, method)(self._keep(kind), *symbols)
        if name == "stocks":
            self.got |= {"corrections": [], "cancels": []}
            self.stream.register_trade_corrections(self._keep("corrections"))
            self.stream.register_trade_cancels(self._keep("cancels"))
        self.thread = threading.Thread(target=self.stream.run, daemon=True)
        self.thread.start()

    def _keep(self, kind):
        async def keep(message):
            self.got[kind].append(message)

        return keep

    def wait(self, tape):
        """Until all is there; what does not come, the tests find."""
        wanted = sum(len(expected(tape, kind)) for kind in self.got)
        wanted -= sum(row["span"] != "minute" for row in expected(tape, "bars"))
        until = time.monotonic() + 240
        while sum(map(len, self.got.values())) < wanted and time.monotonic() < until:
            time.sleep(0.05)  # another thread's loop

    def stop(self):
        self.stream.stop()
        self.thread.join(20)


@pytest.fixture(scope="module")
def heard(wire, loop):
    """Stream -> its tape, and what its clients got: raw, and as its own models."""
    tapes, clients = {}, {}
    for name, (_, family, path, _) in STREAMS.items():
        tapes[name] = made(family)
        for raw in (True, False):
            venue = wire.Venue(loop, tapes[name], path, rate=1000.0, batch=3)
            clients[name, raw] = Client(wire, name, venue, tapes[name], raw=raw)
    for (name, _), client in clients.items():
        client.wait(tapes[name])
    stopping = [threading.Thread(target=client.stop) for client in clients.values()]
    for each in stopping:
        each.start()
    for each in stopping:
        each.join()
    return {
        name: (tapes[name], clients[name, True].got, clients[name, False].got) for name in STREAMS
    }


def ns(stamp):
    return stamp.seconds * 10**9 + stamp.nanoseconds


def expected(tape, kind, **only):
    rows = tape.tables[kind].to_pylist() if kind in tape.tables else []
    return [row for row in rows if all(row[name] == value for name, value in only.items())]


def codes(row):
    return row["conditions"].split(",") if row["conditions"] else []


@pytest.mark.parametrize("name", ["stocks", "crypto", "options"])
def test_raw_trades_and_quotes_have_every_field_to_the_nanosecond(heard, name):
    tape, got, _ = heard[name]
    for message, row in zip(got["trades"], expected(tape, "trades"), strict=True):
        assert (message["S"], ns(message["t"])) == (row["symbol"], row["event_ns"])
        assert (message["p"], message["s"]) == (row["price"], row["size"])
        assert message.get("i") == row["id"]
        assert message.get("x", "") == row["exchange"]
        assert message.get("tks", "") == row["taker_side"]
        if name == "stocks":
            assert (message["c"], message["z"]) == (codes(row), row["tape"])
        if name == "options":
            assert message["c"] == row["conditions"]
    for message, row in zip(got["quotes"], expected(tape, "quotes"), strict=True):
        assert (message["S"], ns(message["t"])) == (row["symbol"], row["event_ns"])
        assert (message["bp"], message["bs"]) == (row["bid_price"], row["bid_size"])
        assert (message["ap"], message["as"]) == (row["ask_price"], row["ask_size"])
        assert message.get("bx", "") == row["bid_exchange"]


@pytest.mark.parametrize("name", ["stocks", "crypto"])
def test_bars_are_the_tapes(heard, name):
    tape, got, _ = heard[name]
    for message, row in zip(got["bars"], expected(tape, "bars", span="minute"), strict=True):
        assert (message["S"], ns(message["t"])) == (row["symbol"], row["event_ns"])
        prices = [row[each] for each in ("open", "high", "low", "close")]
        counts = [row[each] for each in ("volume", "trade_count")]
        assert [message[key] for key in "ohlcvn"] == [*prices, *counts]


def test_halts_corrections_and_cancels_are_the_tapes(heard):
    tape, got, _ = heard["stocks"]
    for message, row in zip(got["statuses"], expected(tape, "statuses"), strict=True):
        assert (message["sc"], message["rm"]) == (row["status_code"], row["reason_message"])
    for message, row in zip(got["corrections"], expected(tape, "corrections"), strict=True):
        assert (message["oi"], message["ci"]) == (row["original_id"], row["corrected_id"])
    for message, row in zip(got["cancels"], expected(tape, "cancels"), strict=True):
        assert (message["i"], message["a"]) == (row["id"], row["action"])


def test_order_books_and_news_are_the_tapes(heard):
    tape, got, _ = heard["crypto"]
    for message, row in zip(got["crypto_books"], expected(tape, "crypto_books"), strict=True):
        assert message.get("r", False) == row["reset"]
        assert [level["p"] for level in message["b"]] == row["bid_prices"]
        assert [level["s"] for level in message["a"]] == row["ask_sizes"]
    tape, got, _ = heard["news"]
    for message, row in zip(got["news"], expected(tape, "news"), strict=True):
        assert (message["id"], message["symbols"]) == (row["id"], row["symbols"])
        assert ns(message["updated_at"]) == row["updated_ns"]
        assert message["content"] == row["content"]


@pytest.mark.parametrize("name", STREAMS)
def test_its_own_models_take_every_message(heard, name):
    """Its models refuse what they do not know, and then drop the rest of the frame."""
    tape, _, got = heard[name]
    for kind, messages in got.items():
        only = {"span": "minute"} if kind == "bars" else {}
        assert len(messages) == len(expected(tape, kind, **only)), kind
        assert messages or kind in ("corrections", "cancels")
