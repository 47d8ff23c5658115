"""Feeds of one host connect one after another; others, and terminals, at once."""

import msgspec

from ticktape.config import FeedConfig
from ticktape.recorder.stagger import start_waits


def feed(name, url, **options):
    return FeedConfig(name=name, kind="alpaca", url=url, trades=("*",), **options)


def test_each_further_feed_of_a_host_waits_longer_by_its_own_pause():
    feeds = [
        feed("sip", "wss://Venue/v2/sip", stagger_s=9.0),
        feed("crypto", "wss://venue:443/v1beta3/crypto/us", stagger_s=0.5),
        feed("here", "ws://127.0.0.1:8000/v2/sip", stagger_s=0.5),
        feed("news", "wss://venue/v1beta1/news", stagger_s=2.0),
        feed("there", "ws://127.0.0.1:8001/v2/sip", stagger_s=0.5),
        feed("test", "wss://venue/v2/test", stagger_s=0.0),
    ]

    assert start_waits(feeds) == {
        "sip": 0.0,
        "crypto": 0.5,
        "here": 0.0,
        "news": 4.0,
        "there": 0.0,
        "test": 0.0,
    }


def test_a_terminal_neither_waits_nor_counts():
    terminal = FeedConfig(name="rts", kind="mt5", books=("RIZ6",))
    twice = [terminal, msgspec.structs.replace(terminal, name="two")]

    assert start_waits([*twice, feed("sip", "wss://venue/v2/sip")]) == {"sip": 0.0}
