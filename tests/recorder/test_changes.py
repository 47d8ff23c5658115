"""What may change while a feed runs, what needs a restart, and how a mistake is told."""

from pathlib import Path

import msgspec
import pytest

from ticktape.config import FeedConfig, JournalConfig, parse_config
from ticktape.errors import ConfigError
from ticktape.recorder.changes import change_words, difference, edited, with_channels

FEED = FeedConfig(
    name="sip",
    kind="alpaca",
    url="wss://stream.data.alpaca.markets/v2/sip",
    trades=("TSLA", "AAPL"),
    quotes=("SPY",),
)
TERMINAL = FeedConfig(name="rts", kind="mt5", books=("RIZ6",))
LEGACY = FeedConfig(name="old", kind="alpaca_v1", url="wss://here/stream", trades=("IBM",))
TEXT = """
[[feed]]
name = "sip"
kind = "alpaca"
url = "wss://stream.data.alpaca.markets/v2/sip"
trades = ["TSLA", "AAPL"]
quotes = ["SPY"]
[[feed]]
name = "rts"
kind = "mt5"
books = ["RIZ6"]
"""


def faults_of(*arguments):
    with pytest.raises(ConfigError) as caught:
        edited(*arguments)
    assert caught.value.hint
    return caught.value.faults


def test_additions_come_behind_and_the_order_of_the_config_stays():
    made = edited(FEED, {"trades": ["MSFT", "AAPL", "AMD"], "bars": ["*"]}, {"trades": ["TSLA"]})

    assert made.channels() == {
        "trades": ("AAPL", "MSFT", "AMD"),
        "quotes": ("SPY",),
        "bars": ("*",),
    }
    assert with_channels(made, FEED.channels()) == FEED


def test_a_channel_may_become_empty_but_not_the_whole_feed():
    assert "quotes" not in edited(FEED, {}, {"quotes": ["SPY"]}).channels()
    (fault,) = faults_of(FEED, {}, {"quotes": ["SPY"], "trades": ["TSLA", "AAPL"]})
    assert "nothing would be left" in fault


@pytest.mark.parametrize(
    ("add", "remove", "words"),
    [
        ({"trades": ["AAPL"]}, {"quotes": ["AMD"]}, "trades has AAPL already; quotes has no AMD"),
        ({"trades": ["AMD"]}, {"trades": ["AMD"]}, "AMD of trades stands in both"),
        ({"trades": ["aapl"]}, {}, "trades[1] must be a symbol in upper case"),
        ({"books": ["AMD"]}, {}, "has no channel 'books'"),
        ({}, {"nosuch": ["AMD"]}, "has no channel 'nosuch'"),
    ],
)
def test_what_cannot_be_done_is_said(add, remove, words):
    assert words in " ".join(faults_of(FEED, add, remove))


def test_symbols_are_checked_as_in_a_config_all_together_and_each_by_its_place():
    faults = faults_of(FEED, {"trades": ["aapl", "MSFT"], "quotes": ["b d"]}, {})

    assert [fault.partition(" must")[0] for fault in faults] == [
        "--add: trades[1]",
        "--add: quotes[1]",
    ]


def test_symbols_of_a_terminal_need_a_restart():
    assert "symbols of a terminal are read at its start" in faults_of(TERMINAL, {}, {})[0]


def test_the_old_protocol_keeps_its_own_rules():
    assert edited(LEGACY, {"quotes": ["IBM"]}, {}).quotes == ("IBM",)
    assert 'alpaca_v1 has "*" for bars only' in faults_of(LEGACY, {"quotes": ["*"]}, {})[0]


def test_a_change_in_words_names_few_and_counts_many():
    many = edited(FEED, {"trades": [f"A{n}" for n in range(1000)]}, {"quotes": ["SPY"]})

    assert change_words(FEED, many) == "trades + A0, A1, A2, A3, A4 and 995 more; quotes - SPY"


# Another config.


def compare(wanted):
    config = parse_config(TEXT, "running", Path())
    present = {feed.name: feed for feed in config.feed}
    made = parse_config(wanted, "wanted", Path())
    return difference(config, present, made)


def test_the_same_config_changes_nothing():
    assert compare(TEXT) == ([], [])


def test_channels_alone_can_be_taken_over():
    made = compare(TEXT.replace('"AAPL"]', '"AMD"]\nbars = ["*"]'))

    ((feed,), restarts) = made
    assert feed.channels() == {"trades": ("TSLA", "AMD"), "quotes": ("SPY",), "bars": ("*",)}
    assert restarts == []


def test_a_feed_of_which_anything_else_is_changed_stays_as_it_is():
    changed = TEXT.replace('"AAPL"]', '"AMD"]\nquiet_s = 5').replace("v2/sip", "v2/iex")

    assert compare(changed) == ([], ["feed 'sip': url, quiet_s"])


def test_symbols_of_a_terminal_new_feeds_and_those_that_are_gone_need_a_restart():
    changed = TEXT.replace('"RIZ6"', '"SIZ6"').replace('"sip"\n', '"iex"\n')
    feeds, restarts = compare(changed)

    assert feeds == []
    assert restarts == [
        "feed 'iex' is new",
        "feed 'rts': books (the symbols of a terminal are read at its start)",
        "feed 'sip' is no longer there",
    ]


def test_tables_that_are_no_feeds_need_a_restart_and_their_values_are_not_shown():
    config = parse_config(TEXT, "running", Path())
    present = {feed.name: feed for feed in config.feed}
    wanted = msgspec.structs.replace(config, journal=JournalConfig(commit_ms=7, sync="each"))
    text = f'{TEXT}[alert]\ncommand = ["ntfy", "topic-secret"]\n'

    assert difference(config, present, wanted).restarts == ["[journal] sync, commit_ms"]
    assert compare(text).restarts == ["[alert] command"]
    assert compare(f'directory = "elsewhere"\n{TEXT}').restarts == ["directory"]


def test_a_change_is_seen_against_what_the_feed_has_by_now():
    """What a command added meanwhile goes, when the config does not have it."""
    config = parse_config(TEXT, "running", Path())
    present = {feed.name: feed for feed in config.feed}
    present["sip"] = edited(present["sip"], {"trades": ["MSFT"]}, {})

    assert difference(config, present, config) == ([config.feed[0]], [])
