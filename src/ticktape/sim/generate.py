"""Tapes made up from a seed: every kind, every awkward value the protocol allows, any length.

The same arguments give the same tape for ever: all chance comes from PCG64's raw stream.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from ticktape.clock import NS_PER_S
from ticktape.sim.tape import BAR_NS, COLUMNS, Ints, Tape

START_NS = 1_772_548_200 * NS_PER_S  # 2026-03-03 14:30 UTC, an ordinary opening bell
LONG_ID = 3_447_222_699_101_865_076  # 19 digits, beyond what a double holds

_EXCHANGES = ["V", "Q", "P", "K", "D", "Z", "N", "J"]
_CONDITIONS = ["@", "@,I", "@,F", "@,F,I", "@,T", "@,4", "", "@,F,T,I"]
_QUOTE_CONDITIONS = ["R", "R", "R", "A,B"]
# How many of 1,000 events are what; the rest are trades.
_QUOTES, _CORRECTIONS, _CANCELS = 400, 5, 5


def generate_tape(
    *,
    seed: int = 0,
    symbols: tuple[str, ...] | int = 5,
    events: int = 10_000,
    events_per_s: float = 1000.0,
    start_ns: int = START_NS,
    long_ids: bool = False,
) -> Tape:
    """Make `events` trades, quotes, corrections and cancels, and the minute bars of the trades.

    Times have one to nine digits of a second; some events share a nanosecond. A correction or
    cancel names a trade that came before it. `symbols` may be a number: then names are made up.
    """
    names = made_up(symbols) if isinstance(symbols, int) else symbols
    chance = _Chance(seed)
    times = _times(chance, events, events_per_s, start_ns)
    which = chance.below(len(names), events)
    lots = chance.below(1000, events)
    walk = np.cumsum(chance.below(21, events) - 10)
    prices = (10_000 * (20 + 30 * which) + walk % 40_000) / 10_000
    exchange = chance.below(len(_EXCHANGES), events)
    trade = lots >= _QUOTES + _CORRECTIONS + _CANCELS
    quote = lots < _QUOTES
    trades = pa.table(
        {
            "symbol": _pick(names, which[trade]),
            "event_ns": times[trade],
            "price": prices[trade],
            "size": (1 + chance.below(500, events)[trade]).astype(np.float64),
            "exchange": _pick(_EXCHANGES, exchange[trade]),
            "id": np.arange(1, trade.sum() + 1) + (LONG_ID if long_ids else 0),
            "conditions": _pick(_CONDITIONS, chance.below(len(_CONDITIONS), events)[trade]),
            "tape": pa.repeat("C", int(trade.sum())),
        },
        schema=COLUMNS["trades"],
    )
    quotes = _quotes(chance, names, which[quote], times[quote], prices[quote], exchange[quote])
    # A change is about the last trade before it; changes before any trade are left out.
    change = ~trade & ~quote & (np.cumsum(trade) > 0)
    about = trades.take(pa.array((np.cumsum(trade) - 1)[change]))
    cancelled = lots[change] < _QUOTES + _CANCELS
    return Tape(
        {
            "trades": trades,
            "quotes": quotes,
            "bars": minute_bars(trades),
            "corrections": _corrections(about, times[change], ~cancelled),
            "cancels": _cancels(about, times[change], cancelled),
        }
    )


def made_up(count: int) -> tuple[str, ...]:
    """Return `count` symbols of four letters that sort in their order."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return tuple(
        "Z" + letters[n // 676 % 26] + letters[n // 26 % 26] + letters[n % 26] for n in range(count)
    )


def fakepaca_tape(minutes: int = 60) -> Tape:
    """Return the venue's test stream: a quote and a trade every 5 s, a bar each minute."""
    count = minutes * 12
    times = START_NS + np.arange(count) * 5 * NS_PER_S
    prices = 130 + np.arange(count) % 200 / 100
    names, which = ("FAKEPACA",), np.zeros(count, np.int64)
    trades = pa.table(
        {
            "symbol": _pick(names, which),
            "event_ns": times,
            "price": prices,
            "size": pa.repeat(1.0, count),
            "exchange": pa.repeat("V", count),
            "id": np.arange(1, count + 1),
            "conditions": pa.repeat("@", count),
            "tape": pa.repeat("C", count),
        },
        schema=COLUMNS["trades"],
    )
    quotes = _quotes(_Chance(0), names, which, times, prices, which)
    return Tape({"trades": trades, "quotes": quotes, "bars": minute_bars(trades)})


def minute_bars(trades: pa.Table) -> pa.Table:
    """Return the minute bar of each symbol that traded in the minute, in time order."""
    minutes = trades["event_ns"].to_numpy() // BAR_NS
    columns = {
        "symbol": trades["symbol"],
        "minute": minutes,
        "price": trades["price"],
        "size": trades["size"],
        "worth": trades["price"].to_numpy() * trades["size"].to_numpy(),
    }
    grouped = (
        pa.table(columns)
        .group_by(["minute", "symbol"], use_threads=False)
        .aggregate(
            [
                ("price", "first"),
                ("price", "max"),
                ("price", "min"),
                ("price", "last"),
                ("price", "count"),
                ("size", "sum"),
                ("worth", "sum"),
            ]
        )
        .sort_by([("minute", "ascending"), ("symbol", "ascending")])
    )
    volume = grouped["size_sum"].to_numpy()
    return pa.table(
        {
            "symbol": grouped["symbol"],
            "event_ns": grouped["minute"].to_numpy() * BAR_NS,
            "span": pa.repeat("minute", grouped.num_rows),
            "open": grouped["price_first"],
            "high": grouped["price_max"],
            "low": grouped["price_min"],
            "close": grouped["price_last"],
            "volume": volume,
            "trade_count": grouped["price_count"],
            "vwap": np.round(grouped["worth_sum"].to_numpy() / volume, 6),
        },
        schema=COLUMNS["bars"],
    )


class _Chance:
    """Whole numbers from a seed."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def below(self, limit: int, count: int) -> Ints:
        raw = self._bits.random_raw(count).astype(np.uint64) >> np.uint64(11)
        return (raw % np.uint64(limit)).astype(np.int64)


def _times(chance: _Chance, count: int, per_s: float, start_ns: int) -> Ints:
    mean_ns = max(1, int(NS_PER_S / per_s))
    times = start_ns + np.cumsum(chance.below(2 * mean_ns, count))
    # Some clocks are coarse: their fractions of a second end in zeros, which the wire trims. The
    # first event in a unit of time can be put at its beginning without passing the one before it.
    for unit, every in ((1000, 3), (1_000_000, 3), (NS_PER_S, 1)):
        units = times // unit
        coarse = (np.diff(units, prepend=-1) != 0) & (units % every == 0)
        times[coarse] = units[coarse] * unit
    # And some events share a nanosecond.
    times[13::17] = times[12:-1:17]
    return times


def _pick(values: list[str] | tuple[str, ...], places: Ints) -> "pa.Array[Any]":
    return pa.array(list(values), pa.string()).take(pa.array(places, pa.int64()))


def _quotes(
    chance: _Chance,
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
            "symbol": _pick(names, which),
            "event_ns": times,
            "bid_price": bid,
            "bid_size": (100 * chance.below(9, count)).astype(np.float64),
            "bid_exchange": _pick(_EXCHANGES, exchange),
            "ask_price": np.round(prices + 0.01, 4),
            "ask_size": (100 * (1 + chance.below(9, count))).astype(np.float64),
            "ask_exchange": _pick(_EXCHANGES, exchange[::-1]),
            "conditions": _pick(_QUOTE_CONDITIONS, chance.below(4, count)),
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
