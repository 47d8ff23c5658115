"""The tricks of the fault menu: what a venue may do to the data itself; pure, Tape -> Tape.

A trick is played before the tape is, so that the truth, which points at the tape's rows, holds it.
The same tape, value and seed give the same rows for ever.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ticktape.clock import NS_PER_S
from ticktape.errors import ConfigError
from ticktape.sim.altering import Rows, added, altered, chosen, delays_ns, mask_of, rows_of
from ticktape.sim.families import CRYPTO, STOCKS
from ticktape.sim.faults import Fault, Strikes
from ticktape.sim.tape import BAR_NS, COLUMNS, Ints, Tape

MILLISECOND_NS = 1_000_000
# A day of New York begins at 5:00 UTC, in summer an hour earlier; no test needs to know better.
_DAY_NS, _MIDNIGHT_NS = 86_400 * NS_PER_S, 5 * 3600 * NS_PER_S


class Trick(NamedTuple):
    """One trick: `needs` says in words what `fits` looks for in a tape."""

    needs: str
    fits: Callable[[Tape], bool]
    play: Callable[[Tape, float, Random], Tape]


def play_tricks(
    tapes: Mapping[str, Tape], faults: tuple[Fault, ...], seed: int = 0
) -> dict[str, Tape]:
    """Return the tape of each path with the tricks that were asked for, in that order.

    A path whose tape has nothing to play a trick on keeps it as it is.

    Raises:
        ConfigError: a trick can be played on no path.
    """
    played, wrong = dict(tapes), []
    for fault in faults:
        if fault.strikes is not Strikes.TAPE:
            continue
        trick = TRICKS[fault.name]
        paths = [path for path in played if fault.path in ("", path) and trick.fits(played[path])]
        if not paths:
            where = fault.path or "any path"
            wrong.append(f"fault {fault.name}={fault.value}: no {trick.needs} on {where}")
        done: dict[int, Tape] = {}  # many paths may share a tape, and it is big
        for path in paths:
            before = played[path]
            if id(before) not in done:
                done[id(before)] = trick.play(before, fault.amount, Random(f"{fault.name} {seed}"))
        played |= {path: done[id(played[path])] for path in paths}
    if wrong:
        raise ConfigError(wrong, hint="Play a tape that has them, or leave the fault out.")
    return played


def unsent_rows(faults: Iterable[Fault], count: int, seed: int) -> Ints:
    """Return which of `count` rows are dropped silently: they happen, and nobody hears them."""
    dropped = [fault for fault in faults if fault.name == "silent_drop"]
    rows = [
        chosen(count, fault.amount, Random(f"{number} {fault.name} {seed}"))
        for number, fault in enumerate(dropped)
    ]
    return np.unique(np.concatenate(rows)) if rows else np.zeros(0, np.int64)


def _out_of_order(tape: Tape, percent: float, random: Random) -> Tape:
    """Of each pair picked, two trades of one symbol in a row, the later is sent first."""
    trades = rows_of(tape, "trades")
    coded = trades.table["symbol"].combine_chunks().dictionary_encode()
    codes, times = coded.indices.to_numpy(), trades.table["event_ns"].to_numpy()
    order = np.arange(len(codes))
    by_symbol = np.argsort(codes, kind="stable")
    is_first = np.diff(codes[by_symbol], prepend=-1) != 0
    place = order - np.maximum.accumulate(np.where(is_first, order, 0))  # among its symbol's trades
    # No trade is in two pairs, and both have times of their own, or nothing could be seen.
    earlier, later = by_symbol[:-1], by_symbol[1:]
    shows = (codes[earlier] == codes[later]) & (times[earlier] < times[later])
    pairs = np.flatnonzero((place[:-1] % 2 == 0) & shows)
    picked = pairs[chosen(len(pairs), percent, random)]
    order[earlier[picked]], order[later[picked]] = later[picked], earlier[picked]
    swapped = trades.pick(order)._replace(due_ns=trades.due_ns)
    return altered(tape, trades=swapped)


def _late(tape: Tape, percent: float, random: Random) -> Tape:
    trades = rows_of(tape, "trades")
    due_ns = trades.due_ns.copy()
    rows = chosen(len(due_ns), percent, random)
    due_ns[rows] += delays_ns(len(rows), NS_PER_S, 10 * NS_PER_S, random)
    return altered(tape, trades=trades._replace(due_ns=due_ns))


def _duplicates(tape: Tape, percent: float, random: Random) -> Tape:
    """These trades are sent again, byte for byte, within a second."""
    trades = rows_of(tape, "trades")
    again = trades.pick(chosen(len(trades.due_ns), percent, random))
    due_ns = again.due_ns + delays_ns(len(again.due_ns), 0, NS_PER_S, random)
    return altered(tape, trades=added(trades, again._replace(due_ns=due_ns)))


def _changes(tape: Tape, percent: float, random: Random, *, place: str) -> Tape:
    """Every second of the trades picked is corrected, the others are cancelled.

    A change is stamped after its trade in any case. Sent before it, it comes right before it;
    without one, it names an id that no trade has.
    """
    trades = rows_of(tape, "trades")
    about = trades.pick(chosen(len(trades.due_ns), percent, random))
    count = len(about.due_ns)
    later_ns = delays_ns(count, MILLISECOND_NS, 5 * NS_PER_S, random)
    due_ns = about.due_ns - 1 if place == "before" else about.due_ns + later_ns
    free = _largest_id(tape) + 1
    columns: dict[str, object] = {"event_ns": about.table["event_ns"].to_numpy() + later_ns}
    if place == "without":
        columns["id"] = free + count + np.arange(count)
    about = about.changed(columns)._replace(due_ns=due_ns)
    kinds = {
        "corrections": _corrections(about.pick(np.arange(0, count, 2)), free),
        "cancels": _cancels(about.pick(np.arange(1, count, 2))),
    }
    known = {kind: rows_of(tape, kind) for kind in kinds if kind in tape.tables}
    return altered(
        tape,
        **{
            kind: added(known[kind], made) if kind in known else made
            for kind, made in kinds.items()
        },
    )


def _largest_id(tape: Tape) -> int:
    found = [
        pc.max(tape.tables[kind][column]).as_py() or 0
        for kind, column in (
            *(("trades", "id"), ("cancels", "id")),
            *(("corrections", "original_id"), ("corrections", "corrected_id")),
        )
        if kind in tape.tables
    ]
    return max(found)


def _corrections(about: Rows, free: int) -> Rows:
    """Correct trades: a cent more, under the ids from `free` on."""
    rows = about.table
    old: dict[str, Any] = {name: rows[name] for name in ("id", "price", "size", "conditions")}
    new = old | {
        "id": free + np.arange(rows.num_rows),
        "price": np.round(rows["price"].to_numpy() + 0.01, 4),
    }
    columns: dict[str, Any] = {
        name: rows[name] for name in ("symbol", "event_ns", "exchange", "tape")
    }
    columns |= {f"original_{name}": column for name, column in old.items()}
    columns |= {f"corrected_{name}": column for name, column in new.items()}
    schema = COLUMNS["corrections"]
    made = pa.table({name: columns[name] for name in schema.names}, schema=schema)
    return about._replace(table=made)


def _cancels(about: Rows) -> Rows:
    """Cancel trades, every second of them as an error."""
    count = about.table.num_rows
    action = pa.array(["C", "E"], pa.string()).take(pa.array(np.arange(count) % 2, pa.int64()))
    made = about.table.append_column("action", action).select(COLUMNS["cancels"].names)
    return about._replace(table=made)


def _id_collisions(tape: Tape, percent: float, random: Random) -> Tape:
    """Two trades more for each one picked: one symbol, exchange and id, but two prices and times.

    Seen at exchange D, which merges several facilities (reference/alpaca.md §4.1).
    """
    trades = rows_of(tape, "trades")
    about = trades.pick(chosen(len(trades.due_ns), percent, random))
    count, prices = len(about.due_ns), about.table["price"].to_numpy()
    times, due_ns = about.table["event_ns"].to_numpy(), about.due_ns
    parts = [trades]
    for number in (1, 2):
        later_ns = delays_ns(count, MILLISECOND_NS, NS_PER_S, random)
        times, due_ns = times + later_ns, due_ns + later_ns
        columns = {
            "event_ns": times,
            "exchange": pa.repeat("D", count),
            "price": np.round(prices + number / 100, 4),
        }
        parts.append(about.changed(columns)._replace(due_ns=due_ns))
    return altered(tape, trades=added(*parts))


def _null_conditions(tape: Tape, percent: float, random: Random) -> Tape:
    changed = {}
    for kind in ("trades", "quotes"):
        if kind in tape.tables:
            rows = rows_of(tape, kind)
            count = len(rows.due_ns)
            nulls = mask_of(count, chosen(count, percent, random))
            none = pa.scalar(None, pa.string())
            codes = pc.if_else(nulls, none, rows.table["conditions"])
            changed[kind] = rows.changed({"conditions": codes})
    return altered(tape, **changed)


def _daily_bar_repeats(tape: Tape, times: float, random: Random) -> Tape:
    """The last daily bar of each symbol again and again after the end, as at the venue at night."""
    day = _daily_bars(tape)
    end_ns = int(tape.due_ns[-1])
    parts = [rows_of(tape, "bars")] if "bars" in tape.tables else []
    for number in range(1, int(times) + 1):
        parts.append(Rows(day, np.full(day.num_rows, end_ns + number * BAR_NS)))
    return altered(tape, bars=added(*parts))


def _daily_bars(tape: Tape) -> pa.Table:
    """Return the last daily bar of each symbol, made of the trades if there is none."""
    if _has_daily_bars(tape):
        bars = tape.tables["bars"]
        known = bars.filter(pc.equal(bars["span"], pa.scalar("day")))
        last = {symbol: row for row, symbol in enumerate(known["symbol"].to_pylist())}
        return known.take(pa.array(sorted(last.values()), pa.int64()))
    trades = tape.tables["trades"]
    worth = pc.multiply(trades["price"], trades["size"])
    wanted: Any = [("price", name) for name in ("first", "max", "min", "last", "count")]
    wanted += [("size", "sum"), ("worth", "sum")]
    grouped = (
        trades.append_column("worth", worth)
        .group_by("symbol", use_threads=False)
        .aggregate(wanted)
        .sort_by("symbol")
    )
    since_midnight_ns = int(trades["event_ns"][0].as_py()) - _MIDNIGHT_NS
    midnight_ns = since_midnight_ns - since_midnight_ns % _DAY_NS + _MIDNIGHT_NS
    return pa.table(
        {
            "symbol": grouped["symbol"],
            "event_ns": pa.repeat(midnight_ns, grouped.num_rows),
            "span": pa.repeat("day", grouped.num_rows),
            "open": grouped["price_first"],
            "high": grouped["price_max"],
            "low": grouped["price_min"],
            "close": grouped["price_last"],
            "volume": grouped["size_sum"],
            "trade_count": grouped["price_count"],
            "vwap": pc.round(pc.divide(grouped["worth_sum"], grouped["size_sum"]), 6),
        },
        schema=COLUMNS["bars"],
    )


def _zero_bars(tape: Tape, percent: float, random: Random) -> Tape:
    """A crypto bar without a trade is made of quotes: it has prices, and nothing was traded."""
    bars = rows_of(tape, "bars")
    zero = mask_of(len(bars.due_ns), chosen(len(bars.due_ns), percent, random))
    columns = {
        name: pc.if_else(zero, pa.scalar(0, bars.table[name].type), bars.table[name])
        for name in ("volume", "trade_count", "vwap")
    }
    return altered(tape, bars=bars.changed(columns))


def _empty_news(tape: Tape, percent: float, random: Random) -> Tape:
    news = rows_of(tape, "news")
    empty = mask_of(len(news.due_ns), chosen(len(news.due_ns), percent, random))
    symbols: list[Any] = news.table["symbols"].to_pylist()
    symbols = [[] if gone else of for gone, of in zip(empty.to_pylist(), symbols, strict=True)]
    columns = {
        "symbol": pc.if_else(empty, pa.scalar(""), news.table["symbol"]),
        "symbols": pa.array(symbols, pa.list_(pa.string())),
    }
    return altered(tape, news=news.changed(columns))


def _has(*kinds: str) -> Callable[[Tape], bool]:
    return lambda tape: any(kind in tape.tables for kind in kinds)


def _has_stock_trades(tape: Tape) -> bool:
    # Only they have ids on an exchange, conditions, corrections and cancels.
    return tape.family is STOCKS and "trades" in tape.tables


def _has_daily_bars(tape: Tape) -> bool:
    return "bars" in tape.tables and "day" in tape.tables["bars"]["span"].to_pylist()


def _may_have_daily_bars(tape: Tape) -> bool:
    return "bars" in tape.family.kinds and ("trades" in tape.tables or _has_daily_bars(tape))


TRICKS = {
    "out_of_order": Trick("trades", _has("trades"), _out_of_order),
    "late": Trick("trades", _has("trades"), _late),
    "duplicates": Trick("trades", _has("trades"), _duplicates),
    **{
        f"changes_{place}": Trick(
            "trades of stocks", _has_stock_trades, partial(_changes, place=place)
        )
        for place in ("after", "before", "without")
    },
    "id_collisions": Trick("trades of stocks", _has_stock_trades, _id_collisions),
    "null_conditions": Trick(
        "trades or quotes of stocks",
        lambda tape: tape.family is STOCKS and _has("trades", "quotes")(tape),
        _null_conditions,
    ),
    "daily_bar_repeats": Trick("trades or daily bars", _may_have_daily_bars, _daily_bar_repeats),
    "zero_bars": Trick(
        "bars of crypto", lambda tape: tape.family is CRYPTO and "bars" in tape.tables, _zero_bars
    ),
    "empty_news": Trick("news", _has("news"), _empty_news),
}
"""Name on the menu -> the trick."""
