"""Made-up tapes of options: trades and quotes of contracts named as the OCC names them.

A contract's trade has no id and no tape, and one condition or none.
"""

import numpy as np
import pyarrow as pa

from ticktape.sim.chance import Chance, pick
from ticktape.sim.families import OPTIONS
from ticktape.sim.tape import Tape

_ROOTS = ("AAPL", "SPXW", "TSLA", "SPY")
_EXPIRY = "260320"
_EXCHANGES = ("C", "N", "A", "X", "M", "B")
_TRADE_CONDITIONS = ("S", "I", "a", "f", "")
_QUOTE_CONDITIONS = ("A", "A", "B", " ")
_QUOTES = 700  # of 1,000 events; the rest are trades


def generate_options(
    *,
    seed: int,
    symbols: tuple[str, ...] | int,
    events: int,
    events_per_s: float,
    start_ns: int,
) -> Tape:
    """Make `events` trades and quotes; `symbols` may be a number: then names are made up."""
    names = contract_names(symbols) if isinstance(symbols, int) else symbols
    chance = Chance(seed)
    times = chance.times(events, events_per_s, start_ns)
    which = chance.below(len(names), events)
    quote = chance.below(1000, events) < _QUOTES
    cents = 100 + 50 * which + np.cumsum(chance.below(5, events) - 2) % 90
    sizes = (1 + chance.below(90, events)).astype(np.float64)
    exchange = chance.below(len(_EXCHANGES), events)
    codes = chance.below(20, events)
    trade = ~quote
    trades = {
        "symbol": pick(names, which[trade]),
        "event_ns": times[trade],
        "price": cents[trade] / 100,
        "size": sizes[trade],
        "exchange": pick(_EXCHANGES, exchange[trade]),
        "conditions": pick(_TRADE_CONDITIONS, codes[trade] % len(_TRADE_CONDITIONS)),
    }
    quotes = {
        "symbol": pick(names, which[quote]),
        "event_ns": times[quote],
        # One quote in 20 has no bid, which the venue writes as a price and size of 0.
        "bid_price": np.where(codes[quote] == 0, 0.0, (cents[quote] - 5) / 100),
        "bid_size": np.where(codes[quote] == 0, 0.0, sizes[quote]),
        "bid_exchange": pick(_EXCHANGES, exchange[quote]),
        "ask_price": (cents[quote] + 5) / 100,
        "ask_size": sizes[quote][::-1],
        "ask_exchange": pick(_EXCHANGES, exchange[quote][::-1]),
        "conditions": pick(_QUOTE_CONDITIONS, codes[quote] % len(_QUOTE_CONDITIONS)),
    }
    return Tape({"trades": pa.table(trades), "quotes": pa.table(quotes)}, OPTIONS.name)


def contract_names(count: int) -> tuple[str, ...]:
    """Return `count` contracts, calls and puts of a few roots, each strike 2.50 above the last."""
    return tuple(
        f"{_ROOTS[number % len(_ROOTS)]}{_EXPIRY}{'CP'[number % 2]}{100_000 + 2_500 * number:08d}"
        for number in range(count)
    )
