"""`ticktape last`: the last values, once."""

from pathlib import Path
from typing import NamedTuple

from ticktape import clock
from ticktape.cli.figures import age, moment
from ticktape.cli.terminal import print_json, print_line, print_rows
from ticktape.directory import RunDirectory
from ticktape.errors import ConfigError
from ticktape.lastvalue import LastValue, LastValues
from ticktape.records import Status
from ticktape.replay.places import open_run

_NAMES = (
    "feed",
    "symbol",
    "price",
    "size",
    "traded at (UTC)",
    "age",
    "bid",
    "ask",
    "bid volume",
    "ask volume",
    "levels",
    "bar close",
    "status",
)
_RIGHT = ("price", "size", "bid", "ask", "bid volume", "ask volume", "levels", "bar close")


class _Row(NamedTuple):
    feed: str
    symbol: str
    value: LastValue
    age_ns: int | None


def last(directory: Path, /, *symbols: str, json: bool = False) -> int:
    """Print the last values once: newest trade, quote, book, bar, … per symbol, with age.

    They are read from a mapped file without asking the recorder; `--json` gives whole records.

    Parameters
    ----------
    directory
        The run's directory.
    symbols
        Only these; all when none is named.
    json
        Print one JSON object instead.
    """
    now_ns = clock.wall_now_ns()
    rows = _rows(open_run(directory), symbols, now_ns)
    if json:
        print_json({"last": [_record(row) for row in rows]})
        return 0
    if not rows:
        print_line("no values yet")
        return 0
    cells = [_cells(row, now_ns) for row in rows]
    # A run without quotes, books or bars has no columns for them.
    shown = [at for at in range(len(_NAMES)) if at < 2 or any(row[at] for row in cells)]
    print_rows([_NAMES[at] for at in shown], [[row[at] for at in shown] for row in cells], _RIGHT)
    return 0


def _rows(directory: RunDirectory, symbols: tuple[str, ...], now_ns: int) -> list[_Row]:
    found = []
    with LastValues(directory.last) as values:
        known = sorted(values)
        for feed, symbol in known:
            value = values.get(feed, symbol)
            if value is not None and (not symbols or symbol in symbols):
                found.append(_Row(feed, symbol, value, value.age_ns(now_ns)))
    there = sorted({symbol for _, symbol in known})
    strangers = [symbol for symbol in symbols if symbol not in there]
    if strangers:
        raise ConfigError(
            [f"no last value of {symbol}" for symbol in strangers],
            hint=f"There are: {', '.join(there[:30]) or 'none yet'}.",
        )
    return found


def _record(row: _Row) -> dict[str, object]:
    return {
        "feed": row.feed,
        "symbol": row.symbol,
        "trade": row.value.trade,
        "quote": row.value.quote,
        "bar": row.value.bar,
        "day": row.value.day,
        "book": row.value.book,
        "tick": row.value.tick,
        "order_book": row.value.order_book,
        "status": row.value.status,
        "age_s": None if row.age_ns is None else row.age_ns / clock.NS_PER_S,
    }


def _cells(row: _Row, now_ns: int) -> tuple[str, ...]:
    trade, bar = row.value.trade, row.value.bar
    bid, ask = _best(row.value)
    bid_volume, ask_volume, levels = _depth(row.value)
    return (
        row.feed,
        row.symbol,
        _price(trade.price) if trade else "",
        f"{trade.size:g}" if trade else "",
        moment(trade.event_ns, now_ns) if trade else "",
        age(row.age_ns) if row.age_ns is not None else "",
        _price(bid) if bid is not None else "",
        _price(ask) if ask is not None else "",
        _volume(bid_volume),
        _volume(ask_volume),
        levels,
        _price(bar.close) if bar else "",
        _status(row.value.status),
    )


def _best(value: LastValue) -> tuple[float | None, float | None]:
    """Best bid and ask: of the quote, else of the book of either sort, else of the tick."""
    quote, top, book, tick = value.quote, value.top, value.order_book, value.tick
    if quote:
        return quote.bid_price, quote.ask_price
    if top:
        return top.bid_price, top.ask_price
    if book:
        return next(iter(book.bid_prices), None), next(iter(book.ask_prices), None)
    # A tick says 0 for a price that it does not have.
    return (tick.bid or None, tick.ask or None) if tick else (None, None)


def _depth(value: LastValue) -> tuple[float | None, float | None, str]:
    """Best volumes of a book of either sort, and how many levels it has."""
    top, book = value.top, value.order_book
    if top:
        return top.bid_volume, top.ask_volume, f"{top.bid_levels} / {top.ask_levels}"
    if book and book.is_valid:
        bid, ask = next(iter(book.bid_sizes), None), next(iter(book.ask_sizes), None)
        return bid, ask, f"{book.bid_levels} / {book.ask_levels}"
    return None, None, "not valid" if book else ""


def _status(status: Status | None) -> str:
    """The venue's words, or without words its code."""
    return (status.status_message or status.status_code) if status else ""


def _volume(volume: float | None) -> str:
    """Ten digits: millions in full, and no noise behind the point."""
    return "" if volume is None else f"{volume:.10g}"


def _price(price: float) -> str:
    """At least two digits behind the point, as prices are written."""
    whole, _, fraction = f"{price:.6f}".rstrip("0").partition(".")
    return f"{whole}.{fraction:0<2}"
