"""Made-up tapes of crypto: trades, quotes, bars also of quiet minutes, and order books.

Each symbol's book begins whole; from there on its changes are those of one book that never crosses,
so that whoever applies them all holds it too.
"""

import numpy as np
import pyarrow as pa

from ticktape.sim.chance import Chance, pick
from ticktape.sim.families import CRYPTO
from ticktape.sim.generate_bars import all_bars, minute_bars, with_bars, with_quiet_minutes
from ticktape.sim.tape import COLUMNS, Ints, Tape

_NAMES = ("BTC/USD", "ETH/USD", "SOL/USD", "AVAX/USD", "DOGE/USD", "LINK/USD", "LTC/BTC")
_SIDES = ("B", "S", "B", "S", "-")
# How many of 1,000 events are what; the rest are trades.
_QUOTES, _BOOKS = 300, 400
_DEPTH = 12  # levels of a side in a whole book, and where changes strike
_RESET_EVERY = 400  # changes of a symbol, until its book comes whole again
_SIZE_UNIT = 1_000_000_000  # sizes have up to nine decimals
_CENTS = 100


def generate_crypto(
    *,
    seed: int,
    symbols: tuple[str, ...] | int,
    events: int,
    events_per_s: float,
    start_ns: int,
    first_id: int,
) -> Tape:
    """Make `events` trades, quotes and changes of books, the books' beginnings, and all bars.

    `symbols` may be a number: then names are made up. Ids begin after `first_id`.
    """
    names = pair_names(symbols) if isinstance(symbols, int) else symbols
    chance = Chance(seed)
    times = chance.times(events, events_per_s, start_ns)
    which = chance.below(len(names), events)
    lots = chance.below(1000, events)
    # Cents: each symbol has its own level, and all walk together.
    base = 100_000 * (1 + np.arange(len(names)))
    cents = base[which] + np.cumsum(chance.below(21, events) - 10) % 40_000
    sizes = (1 + chance.below(50 * _SIZE_UNIT, events)) / _SIZE_UNIT
    trade = lots >= _QUOTES + _BOOKS
    quote = lots < _QUOTES
    count = int(trade.sum())
    trades = pa.table(
        {
            "symbol": pick(names, which[trade]),
            "event_ns": times[trade],
            "price": cents[trade] / _CENTS,
            "size": sizes[trade],
            "exchange": pa.repeat("", count),
            "id": first_id + np.cumsum(1 + chance.below(1000, count)),
            "conditions": pa.repeat("", count),
            "tape": pa.repeat("", count),
            "taker_side": pick(_SIDES, chance.below(len(_SIDES), count)),
        },
        schema=COLUMNS["trades"],
    )
    quotes = {
        "symbol": pick(names, which[quote]),
        "event_ns": times[quote],
        "bid_price": (cents[quote] - 1) / _CENTS,
        "bid_size": sizes[quote],
        "ask_price": (cents[quote] + 1) / _CENTS,
        "ask_size": sizes[quote][::-1],
    }
    quiet = with_quiet_minutes(minute_bars(trades), names, (base / _CENTS).tolist())
    changed = ~trade & ~quote
    books = _books(chance, names, base, which[changed], times[changed], start_ns)
    tables = {"trades": trades, "quotes": pa.table(quotes), "crypto_books": books}
    return with_bars(tables, all_bars(quiet, Chance(seed, 1), 0), CRYPTO.name)


def pair_names(count: int) -> tuple[str, ...]:
    """Return `count` pairs: known ones first, then made up."""
    more = (f"Z{number:03d}/USD" for number in range(count - len(_NAMES)))
    return (*_NAMES[:count], *more)


class _Book:
    """One symbol's book in cents: which level has which size, below and above the middle."""

    def __init__(self, middle: int) -> None:
        self.middle = middle
        self.sides: tuple[dict[int, float], dict[int, float]] = ({}, {})
        self.changes = 0


def _books(
    chance: Chance, names: tuple[str, ...], base: Ints, which: Ints, times: Ints, start_ns: int
) -> pa.Table:
    books = [_Book(int(middle)) for middle in base]
    rows = []
    for number, book in enumerate(books):
        for side, sign in zip(book.sides, (-1, 1), strict=True):
            for step, size in enumerate(chance.below(5 * _SIZE_UNIT, _DEPTH).tolist()):
                side[book.middle + sign * (1 + step)] = (1 + size) / _SIZE_UNIT
        rows.append(_row(names[number], start_ns, *book.sides, reset=True))
    draws = chance.below(1 << 40, 4 * len(which)).reshape(-1, 4).tolist()
    for number, event_ns, draw in zip(which.tolist(), times.tolist(), draws, strict=True):
        book = books[number]
        book.changes += 1
        changes = _change(book, draw)
        if book.changes % _RESET_EVERY == 0:
            rows.append(_row(names[number], event_ns, *book.sides, reset=True))
        else:
            rows.append(_row(names[number], event_ns, *changes, reset=False))
    return pa.Table.from_pylist(rows, schema=COLUMNS["crypto_books"])


def _change(book: _Book, draw: list[int]) -> tuple[dict[int, float], dict[int, float]]:
    """Change the book by what four large numbers say; return the changed levels of both sides."""
    changes: tuple[dict[int, float], dict[int, float]] = ({}, {})
    move = (-1, 0, 0, 0, 0, 0, 0, 1)[draw[0] % 8]
    book.middle += move
    # What the middle has reached is traded away, so that the sides never cross.
    for side, changed, sign in zip(book.sides, changes, (-1, 1), strict=True):
        for cents in [cents for cents in side if (cents - book.middle) * sign <= 0]:
            del side[cents]
            changed[cents] = 0.0
    at = draw[1] % 2
    side, changed, sign = book.sides[at], changes[at], (-1, 1)[at]
    cents = book.middle + sign * (1 + draw[2] % _DEPTH)
    if cents in side and draw[0] % 3 == 0:
        del side[cents]
        changed[cents] = 0.0
    else:
        side[cents] = changed[cents] = (1 + draw[3] % (5 * _SIZE_UNIT)) / _SIZE_UNIT
    return changes


def _row(
    symbol: str, event_ns: int, bids: dict[int, float], asks: dict[int, float], *, reset: bool
) -> dict[str, object]:
    row: dict[str, object] = {"symbol": symbol, "event_ns": event_ns, "reset": reset}
    for name, levels in (("bid", bids), ("ask", asks)):
        # Best first in a whole book; the venue's changes are in no order that is known.
        ordered = sorted(levels, reverse=name == "bid")
        row[f"{name}_prices"] = [cents / _CENTS for cents in ordered]
        row[f"{name}_sizes"] = [levels[cents] for cents in ordered]
    return row
