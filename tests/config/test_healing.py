"""Where a feed's gaps are healed from: never from anybody whom the config does not name."""

from pathlib import Path

import pytest

from ticktape.config import heal_base, heal_feed_of, hours_of, parse_config
from ticktape.errors import ConfigError

ALPACA = "wss://stream.data.alpaca.markets"


def feed(url: str, kind: str = "alpaca", **keys: str):
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    symbol = '"BTC/USD"' if "crypto" in url else '"AAPL"'
    channel = "news" if url.endswith("news") else "trades"
    text = f'[[feed]]\nname = "f"\nkind = "{kind}"\nurl = "{url}"\n{channel} = [{symbol}]\n{lines}'
    return parse_config(text, "test.toml", Path()).feed[0]


@pytest.mark.parametrize(
    ("path", "base", "name"),
    [
        ("/v2/iex", "https://data.alpaca.markets", "iex"),
        ("/v2/sip", "https://data.alpaca.markets", "sip"),
        ("/v2/delayed_sip", "https://data.alpaca.markets", "sip"),
        ("/v1beta1/boats", "https://data.alpaca.markets", "boats"),
        ("/v1beta3/crypto/us", "https://data.alpaca.markets", ""),
        ("/v2/test", "", ""),
        ("/v1beta1/news", "", ""),
    ],
)
def test_alpacas_own_streams_are_healed_from_alpaca_under_the_name_that_rest_has_for_them(
    path, base, name
):
    found = feed(ALPACA + path)
    assert (heal_base(found), heal_feed_of(found)) == (base, name)


def test_the_sandbox_is_healed_from_the_sandbox():
    found = feed("wss://stream.data.sandbox.alpaca.markets/v2/iex")
    assert heal_base(found) == "https://data.sandbox.alpaca.markets"


@pytest.mark.parametrize("url", ["ws://127.0.0.1:8765/v2/iex", "wss://alpaca.example/v2/sip"])
def test_another_host_is_never_healed_unless_it_says_from_where(url):
    assert heal_base(feed(url)) == ""
    assert heal_base(feed(url, heal='"http://127.0.0.1:8080/"')) == "http://127.0.0.1:8080"


def test_healing_can_be_switched_off_and_named_otherwise():
    assert heal_base(feed(f"{ALPACA}/v2/iex", heal='"off"')) == ""
    assert heal_feed_of(feed(f"{ALPACA}/v2/iex", heal_feed='"sip"')) == "sip"


@pytest.mark.parametrize(
    "heal",
    ["on", "", "ws://host", "http://", "http://u:p@host", "http://host?key=1", "http://h:99999"],
)
def test_an_address_that_is_none_or_may_hold_a_secret_is_refused(heal):
    with pytest.raises(ConfigError) as caught:
        feed(f"{ALPACA}/v2/iex", heal=f'"{heal}"')
    assert "heal" in caught.value.faults[0]


def test_only_alpaca_has_a_rest_interface():
    with pytest.raises(ConfigError) as caught:
        feed("wss://host/stream", kind="alpaca_v1", heal='"http://127.0.0.1:1"')
    assert "is for kind alpaca" in caught.value.faults[0]
    assert heal_base(feed("wss://host/stream", kind="alpaca_v1")) == ""


@pytest.mark.parametrize(
    ("path", "hours"),
    [
        ("/v2/iex", "us stocks"),
        ("/v2/test", "always"),
        ("/v1beta3/crypto/us", "always"),
        ("/v1beta1/boats", "always"),
        ("/anything", "us stocks"),
    ],
)
def test_hours_go_by_the_venue_unless_the_config_says_so(path, hours):
    assert hours_of(feed(ALPACA + path)) == hours
    assert hours_of(feed(ALPACA + path, hours='"always"')) == "always"
