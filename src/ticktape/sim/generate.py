"""Tapes made up from a seed: every kind, every awkward value the protocol allows, any length.

The same arguments give the same tape for ever. Stocks are made here, the other families beside.
"""

import numpy as np
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.sim.chance import Chance, made_up, pick
from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS, Family
from ticktape.sim.generate_bars import all_bars, minute_bars, with_bars
from ticktape.sim.generate_crypto import generate_crypto
from ticktape.sim.generate_halts import halts
from ticktape.sim.generate_news import generate_news
from ticktape.sim.generate_options import generate_options
from ticktape.sim.tape import COLUMNS, Ints, Tape

START_NS = 1_772_548_200 * NS_PER_S  # 2026-03-03 14:30 UTC, an ordinary opening bell
LONG_ID = 3_447_222_699_101_865_076  # 19 digits, beyond what a double holds

_EXCHANGES = ["V", "Q", "P", "K", "D", "Z", "N", "J"]
_CONDITIONS = ["@", "@,I", "@,F", "@,F,I", "@,T", "@,4", "", "@,F,T,I"]
_QUOTE_CONDITIONS = ["R", "R", "R", "A,B"]
# How many of 1,000 events are what; the rest are trades.
_QUOTES, _CORRECTIONS, _CANCELS = 400, 5, 5
_NEW_YORK_NS = 5 * 3600 * NS_PER_S  # when its day begins in UTC, in winter
_EVENTS_PER_ARTICLE, _ARTICLES_MIN = 1000, 10


def generate_tape(
    *,
    seed: int = 0,
    symbols: tuple[str, ...] | int = 5,
    events: int = 10_000,
    events_per_s: float = 1000.0,
    start_ns: int = START_NS,
    long_ids: bool = False,
) -> Tape:
    """Make `events` trades, quotes, corrections and cancels of stocks, bars and halts besides.

    Times have one to nine digits of a second; some events share a nanosecond. A correction or
    cancel names a trade that came before it. `symbols` may be a number: then names are made up.
    """
    names = made_up(symbols) if isinstance(symbols, int) else symbols
    chance = Chance(seed)
    times = chance.times(events, events_per_s, start_ns)
    which = chance.below(len(names), events)
    lots = chance.below(1000, events)
    walk = np.cumsum(chance.below(21, events) - 10)
    prices = (10_000 * (20 + 30 * which) + walk % 40_000) / 10_000
    exchange = chance.below(len(_EXCHANGES), events)
    trade = lots >= _QUOTES + _CORRECTIONS + _CANCELS
    quote = lots < _QUOTES
    trades = pa.table(
        {
            "symbol": pick(names, which[trade]),
            "event_ns": times[trade],
            "price": prices[trade],
            "size": (1 + chance.below(500, events)[trade]).astype(np.float64),
            "exchange": pick(_EXCHANGES, exchange[trade]),
            "id": np.arange(1, trade.sum() + 1) + (LONG_ID if long_ids else 0),
            "conditions": pick(_CONDITIONS, chance.below(len(_CONDITIONS), events)[trade]),
            "tape": pa.repeat("C", int(trade.sum())),
            "taker_side": pa.repeat("", int(trade.sum())),
        },
        schema=COLUMNS["trades"],
    )
    quotes = _quotes(chance, names, which[quote], times[quote], prices[quote], exchange[quote])
    # A change is about the last trade before it; changes before any trade are left out.
    change = ~trade & ~quote & (np.cumsum(trade) > 0)
    about = trades.take(pa.array((np.cumsum(trade) - 1)[change]))
    cancelled = lots[change] < _QUOTES + _CANCELS
    # A stream of chance of their own, so that the events above are what they always were.
    besides = Chance(seed, 1)
    tables = {
        "trades": trades,
        "quotes": quotes,
        "corrections": _corrections(about, times[change], ~cancelled),
        "cancels": _cancels(about, times[change], cancelled),
        **halts(besides, names, which, times, prices),
    }
    return with_bars(tables, all_bars(minute_bars(trades), besides, _NEW_YORK_NS), STOCKS.name)


def generate_family(
    family: Family, *, seed: int, symbols: int, events: int, events_per_s: float, long_ids: bool
) -> Tape:
    """Make a tape of any family; of news it has a thousandth of `events`, and at least ten.

    Ids of crypto always have 19 digits, and options have none.
    """
    if family is CRYPTO:
        return generate_crypto(
            seed=seed,
            symbols=symbols,
            events=events,
            events_per_s=events_per_s,
            start_ns=START_NS,
            first_id=LONG_ID,
        )
    if family is OPTIONS:
        return generate_options(
            seed=seed,
            symbols=symbols,
            events=events,
            events_per_s=events_per_s,
            start_ns=START_NS,
        )
    if family is NEWS:
        return generate_news(
            seed=seed,
            symbols=symbols,
            articles=max(_ARTICLES_MIN, events // _EVENTS_PER_ARTICLE),
            articles_per_s=events_per_s / _EVENTS_PER_ARTICLE,
            start_ns=START_NS,
        )
    return generate_tape(
        seed=seed, symbols=symbols, events=events, events_per_s=events_per_s, long_ids=long_ids
    )


def fakepaca_tape(minutes: int = 60) -> Tape:
    """Return the venue's test stream: a quote and a trade every 5 s, a bar each minute."""
    count = minutes * 12
    times = START_NS + np.arange(count) * 5 * NS_PER_S
    prices = 130 + np.arange(count) % 200 / 100
    names, which = ("FAKEPACA",), np.zeros(count, np.int64)
    trades = pa.table(
        {
            "symbol": pick(names, which),
            "event_ns": times,
            "price": prices,
            "size": pa.repeat(1.0, count),
            "exchange": pa.repeat("V", count),
            "id": np.arange(1, count + 1),
            "conditions": pa.repeat("@", count),
            "tape": pa.repeat("C", count),
            "taker_side": pa.repeat("", count),
        },
        schema=COLUMNS["trades"],
    )
    quotes = _quotes(Chance(0), names, which, times, prices, which)
    return Tape({"trades": trades, "quotes": quotes, "bars": minute_bars(trades)})


def _quotes(
    chance: Chance,
    names: tuple[str, ...],
    which: Ints,
    times: Ints,
    prices: "np.typing.NDArray[np.float64]",
    exchange: Ints,
) -> pa.Table:
    count = len(which)
    # One quote in 50 has no bid, which the venue writes as a price of 0.
    bid = np.where(chance.below(50, count) == 0, 0.0, np.round(prices - 0.01, 4))
    return pa.table(
        {
            "symbol": pick(names, which),
            "event_ns": times,
            "bid_price": bid,
            "bid_size": (100 * chance.below(9, count)).astype(np.float64),
            "bid_exchange": pick(_EXCHANGES, exchange),
            "ask_price": np.round(prices + 0.01, 4),
            "ask_size": (100 * (1 + chance.below(9, count))).astype(np.float64),
            "ask_exchange": pick(_EXCHANGES, exchange[::-1]),
            "conditions": pick(_QUOTE_CONDITIONS, chance.below(4, count)),
            "tape": pa.repeat("C", count),
        },
        schema=COLUMNS["quotes"],
    )


def _corrections(about: pa.Table, times: Ints, chosen: "np.typing.NDArray[np.bool_]") -> pa.Table:
    rows = about.filter(pa.array(chosen))
    ids = rows["id"].to_numpy()
    return pa.table(
        {
            "symbol": rows["symbol"],
            "event_ns": times[chosen],
            "exchange": rows["exchange"],
            "original_id": ids,
            "original_price": rows["price"],
            "original_size": rows["size"],
            "original_conditions": rows["conditions"],
            # The replacement is a trade of its own number, far above those of the tape.
            "corrected_id": ids + 1_000_000_000,
            "corrected_price": np.round(rows["price"].to_numpy() + 0.01, 4),
            "corrected_size": rows["size"],
            "corrected_conditions": rows["conditions"],
            "tape": rows["tape"],
        },
        schema=COLUMNS["corrections"],
    )


def _cancels(about: pa.Table, times: Ints, chosen: "np.typing.NDArray[np.bool_]") -> pa.Table:
    rows = about.filter(pa.array(chosen))
    return pa.table(
        {
            "symbol": rows["symbol"],
            "event_ns": times[chosen],
            "exchange": rows["exchange"],
            "id": rows["id"],
            "price": rows["price"],
            "size": rows["size"],
            "action": pa.repeat("C", rows.num_rows),
            "tape": rows["tape"],
        },
        schema=COLUMNS["cancels"],
    )
