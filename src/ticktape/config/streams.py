"""What each of Alpaca's streams has, by the path of its URL; to ask for more is a fault.

A path that is not known here may have anything: the venue will say. So may a feed of a package.
"""

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from ticktape.config.packages import is_packaged
from ticktape.config.reading import Faults
from ticktape.config.tables import FeedConfig


class Stream(NamedTuple):
    """One kind of stream: its channels, and what a symbol of it looks like."""

    words: str
    channels: tuple[str, ...]
    symbol: re.Pattern[str]
    symbol_words: str


# An unknown symbol is accepted by the venue and stays silent, so what cannot be one is refused.
_ANY = re.compile(r"\*|[A-Z0-9][A-Z0-9./_-]{0,31}")
_ANY_WORDS = 'must be a symbol in upper case, like "BRK.B", or "*" for all'
_PAIR = re.compile(r"\*|[A-Z0-9]{1,15}/[A-Z0-9]{1,15}")
_PAIR_WORDS = 'must be a pair in upper case, like "BTC/USD", or "*" for all'
# Root, day of expiry, call or put, strike price in thousandths (OCC's symbology).
_OPTION = re.compile(r"\*|[A-Z0-9]{1,6}[0-9]{6}[CP][0-9]{8}")
_OPTION_WORDS = 'must be an option in OCC\'s form, like "AAPL261218C00250000"'

_BARS = ("bars", "updated_bars", "daily_bars")
STOCKS = Stream(
    "a stream of stocks",
    ("trades", "quotes", *_BARS, "statuses", "lulds", "imbalances"),
    _ANY,
    _ANY_WORDS,
)
_CRYPTO = Stream(
    "a stream of crypto", ("trades", "quotes", "orderbooks", *_BARS), _PAIR, _PAIR_WORDS
)
_OPTIONS = Stream("a stream of options", ("trades", "quotes"), _OPTION, _OPTION_WORDS)
NEWS = Stream("the stream of news", ("news",), _ANY, _ANY_WORDS)
STREAMS = (STOCKS, _CRYPTO, _OPTIONS, NEWS)
"""Those that are known."""
_UNKNOWN = Stream("", (), _ANY, _ANY_WORDS)
_PACKAGED = Stream("", (), re.compile(r".*\S.*"), "must not be empty")

# Source: docs.alpaca.markets, pages of the real-time streams (seen 2026-01 and 2026-08).
_PATHS = {
    "/v2/iex": STOCKS,
    "/v2/sip": STOCKS,
    "/v2/delayed_sip": STOCKS,
    "/v2/otc": STOCKS,
    "/v2/test": STOCKS,
    "/v1beta1/boats": STOCKS,
    "/v1beta1/overnight": STOCKS,
    "/v1beta1/opra": _OPTIONS,
    "/v1beta1/indicative": _OPTIONS,
    "/v1beta1/news": NEWS,
}
# Then comes the place where it is traded: us, us-1, eu-1, …
_CRYPTO_PATH = "/v1beta3/crypto/"


def stream_of(feed: FeedConfig) -> Stream:
    """The stream at the feed's URL; one without a name and channels when it is not known."""
    if is_packaged(feed.kind):
        return _PACKAGED
    try:
        path = urlsplit(feed.url).path.rstrip("/")
    except ValueError:
        return _UNKNOWN
    if feed.kind == "alpaca" and path.startswith(_CRYPTO_PATH):
        return _CRYPTO
    return _PATHS.get(path, _UNKNOWN) if feed.kind == "alpaca" else _UNKNOWN


def hours_of(feed: FeedConfig) -> str:
    """When the feed's market usually trades: "us stocks", "fx" or "always"; a hint, no gate."""
    if feed.hours != "auto":
        return feed.hours
    path = urlsplit(feed.url).path.rstrip("/")
    if feed.kind == "mt5":
        return "fx"
    if path in ("/v2/test", "/v1beta1/boats", "/v1beta1/overnight"):
        return "always"
    stocks = feed.kind == "alpaca_v1" or stream_of(feed) in (STOCKS, _OPTIONS, _UNKNOWN)
    return "us stocks" if stocks else "always"


def check_wire(feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults) -> None:
    """Note what is wrong with how a feed that streams is to be spoken to."""
    if is_packaged(feed.kind):
        for name, usual in (("encoding", "json"), ("auth", "message")):
            if name not in wrong and getattr(feed, name) != usual:
                faults.add(f"{place}.{name}", "is for kind alpaca; a package has its own way")
        return
    if feed.kind == "alpaca_v1":
        for name, only in (("encoding", "json"), ("auth", "message")):
            if getattr(feed, name) != only:
                faults.add(f"{place}.{name}", f'must be "{only}": alpaca_v1 knows nothing else')
    elif stream_of(feed) is _OPTIONS and feed.encoding == "json" and "encoding" not in wrong:
        faults.add(
            f"{place}.encoding",
            'must be "msgpack": the venue sends options in nothing else; write it in',
        )


def stream_channel_fault(feed: FeedConfig, channel: str, symbols: tuple[str, ...]) -> str:
    """Why the feed's stream cannot have the channel, or not these symbols of it."""
    stream = stream_of(feed)
    if stream.channels and channel not in stream.channels:
        return f"is not in {stream.words}, which has {', '.join(stream.channels)}; leave it out"
    if stream is _OPTIONS and channel == "quotes" and "*" in symbols:
        return 'must name its symbols: options have no "*" for quotes'
    return ""


def stream_symbol_fault(feed: FeedConfig, symbol: str) -> str:
    """What is wrong with a symbol of the feed's stream, or nothing."""
    stream = stream_of(feed)
    return "" if stream.symbol.fullmatch(symbol) else stream.symbol_words
