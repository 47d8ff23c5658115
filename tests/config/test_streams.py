"""What each of Alpaca's streams has; a config that asks for more is refused with the cure."""

from pathlib import Path

import pytest

from ticktape.config import CHANNELS, parse_config
from ticktape.errors import ConfigError

HOST = "wss://stream.data.alpaca.markets"
BARS = {"bars", "updated_bars", "daily_bars"}
STOCKS = {"trades", "quotes", "statuses", "lulds", "imbalances", *BARS}
HAS = {
    "/v2/iex": STOCKS,
    "/v2/sip": STOCKS,
    "/v2/delayed_sip": STOCKS,
    "/v2/otc": STOCKS,
    "/v2/test": STOCKS,
    "/v1beta1/boats": STOCKS,
    "/v1beta1/overnight": STOCKS,
    "/v1beta3/crypto/us": {"trades", "quotes", "orderbooks", *BARS},
    "/v1beta3/crypto/eu-1": {"trades", "quotes", "orderbooks", *BARS},
    "/v1beta1/opra": {"trades", "quotes"},
    "/v1beta1/indicative": {"trades", "quotes"},
    "/v1beta1/news": {"news"},
    "/v1beta1/crypto-perps/global": set(CHANNELS),
    "/": set(CHANNELS),
}
OPTION = "AAPL261218C00250000"


def symbol_of(path):
    if path.startswith("/v1beta3/crypto/"):
        return "BTC/USD"
    return OPTION if path in ("/v1beta1/opra", "/v1beta1/indicative") else "AAPL"


def parse(path, encoding="msgpack", **channels):
    text = f'[[feed]]\nname = "a"\nkind = "alpaca"\nurl = "{HOST}{path}"\nencoding = "{encoding}"\n'
    text += "\n".join(f"{name} = {list(symbols)}" for name, symbols in channels.items())
    return parse_config(text, "tape.toml", Path("/nowhere")).feed[0]


def fault(path, encoding="msgpack", **channels):
    with pytest.raises(ConfigError) as caught:
        parse(path, encoding, **channels)
    (found,) = caught.value.faults
    return found.removeprefix('tape.toml: feed[1] "a".')


@pytest.mark.parametrize("path", HAS)
def test_stream_takes_each_channel_that_it_has_and_no_other(path):
    symbol = symbol_of(path)
    for channel in CHANNELS:
        if channel in HAS[path]:
            assert parse(path, **{channel: [symbol]}).channels() == {channel: (symbol,)}
        else:
            said = fault(path, **{channel: [symbol]})
            assert said.startswith(f"{channel} is not in ") and "leave it out" in said
            assert all(name in said for name in HAS[path])


def test_slash_at_the_end_of_a_url_alters_nothing():
    assert fault("/v1beta1/news/", trades=["AAPL"]).startswith("trades is not in the stream of n")


@pytest.mark.parametrize("path", ["/v1beta1/opra", "/v1beta1/indicative"])
def test_options_need_msgpack_and_names_for_quotes(path):
    assert fault(path, "json", trades=[OPTION]).startswith('encoding must be "msgpack"')
    said = fault(path, quotes=["*"])
    assert said == 'quotes must name its symbols: options have no "*" for quotes'
    assert parse(path, trades=["*"]).trades == ("*",)


@pytest.mark.parametrize("path", [path for path in HAS if symbol_of(path) != OPTION])
def test_every_other_stream_takes_both_encodings(path):
    channel = sorted(HAS[path])[0]
    for encoding in ("json", "msgpack"):
        assert parse(path, encoding, **{channel: [symbol_of(path)]}).encoding == encoding


@pytest.mark.parametrize(
    ("path", "good", "wrong", "example"),
    [
        ("/v1beta3/crypto/us", "AAVE/USDT", "BTCUSD", "BTC/USD"),
        ("/v1beta3/crypto/us", "*", "btc/usd", "BTC/USD"),
        ("/v1beta1/opra", "SPXW240327P04925000", "AAPL", OPTION),
        ("/v1beta1/opra", "BRKB261218P00250500", "AAPL261218X00250000", OPTION),
        ("/v2/sip", "BRK.B", "brk.b", "BRK.B"),
    ],
)
def test_symbol_that_cannot_be_one_of_the_stream_is_refused(path, good, wrong, example):
    assert parse(path, trades=[good]).trades == (good,)
    said = fault(path, trades=[wrong])
    assert said.startswith("trades[1] must be ") and example in said


def test_news_is_of_all_or_of_symbols():
    assert parse("/v1beta1/news", news=["*"]).news == ("*",)
    assert parse("/v1beta1/news", news=["AAPL", "BTC/USD"]).news == ("AAPL", "BTC/USD")
