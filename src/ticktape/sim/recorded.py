"""Tapes from files: what a venue really sent, made complete where the file is silent.

Nothing of a file is changed but what is listed here, and the same seed always adds the same.

A tape of AlgoSeek's form (columns ts_ns, symbol, price, size, exchange, cond_flags) lacks three
things that Alpaca's messages have, so they are derived:

- ids: counted from 1 per symbol and exchange, as Alpaca's are on UTP;
- nanoseconds: the file's clock has milliseconds; each row gets a place within its millisecond from
  the seed, in the order of the rows;
- conditions: the letters below, from the flags of QuantConnect Lean's `TradeConditionFlags`.
"""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ticktape.errors import ConfigError
from ticktape.sim.families import STOCKS
from ticktape.sim.jsontext import Column, flat, join, row_numbers
from ticktape.sim.tape import COLUMNS, TAPE_KINDS, Ints, Tape, as_kind

NS_PER_MS = 1_000_000
PRICE_UNIT = 10_000  # the files' prices are whole multiples of 1e-4

SHIPPED_TRADES = "us_trades_20131008_close.parquet"
SHIPPED_QUOTES = "ibm_quotes_20131008_close.parquet"

# Listing venue -> tape letter: NYSE is A, NYSE Arca is B, everything else counts as Nasdaq.
TAPE_LETTERS = {"IBM": "A", "BAC": "A", "AIG": "A", "SPY": "B"}

REGULAR = 1 << 0
SWEEP = 1 << 5
THROUGH_EXEMPT = 1 << 29

# In the order in which the SIPs place them: what replaces the settlement first, then the reason
# for trading through, then the time of day, then the rest.
_SETTLEMENT = {1 << 1: "C", 1 << 2: "N", 1 << 3: "R"}
_REASON = {SWEEP: "F", 1 << 6: "O", 1 << 7: "6", 1 << 8: "5", 1 << 9: "4"}
_HOURS = {1 << 10: "T", 1 << 13: "T", 1 << 14: "Z", 1 << 11: "L"}
_REST = {
    1 << 17: "B",
    1 << 18: "V",
    1 << 21: "X",
    1 << 22: "H",
    1 << 23: "K",
    1 << 24: "M",
    1 << 25: "P",
    1 << 26: "Q",
    1 << 31: "I",
}
_AVERAGE_PRICE = 1 << 20
CONDITIONS_MAX = 3


_OF_CRYPTO = {"taker_side"}  # which files of stocks may leave out


def shipped_tape(seed: int = 0) -> Tape:
    """Return the tape in the package: the close of 2013-10-08, four symbols, and IBM's quotes."""
    folder = files("ticktape.sim") / "tapes"
    with as_file(folder / SHIPPED_TRADES) as trades, as_file(folder / SHIPPED_QUOTES) as quotes:
        return Tape(
            {
                "trades": recorded_trades(pq.read_table(trades), seed),
                "quotes": recorded_quotes(pq.read_table(quotes), seed),
            }
        )


def read_tape(paths: list[Path], seed: int = 0, family: str = STOCKS.name) -> Tape:
    """Return the tape of these Parquet files, one or more kinds each of its own.

    A file has the columns of a recorded tape (above), or those of one of ticktape's own tables.

    Raises:
        ConfigError: a file cannot be read, has the columns of no kind, or those of a kind that
            `family` has not.
    """
    tables: dict[str, list[pa.Table]] = {}
    faults = []
    for path in paths:
        try:
            kind, table = _read_kind(pq.read_table(path), seed)
        except FileNotFoundError:
            faults.append(f"{path}: there is no such file")
        except (OSError, pa.ArrowException) as error:
            faults.append(f"{path}: {error}")
        except ConfigError as error:
            faults += [f"{path}: {fault}" for fault in error.faults]
        else:
            tables.setdefault(kind, []).append(table)
    if faults:
        raise ConfigError(
            faults, hint="A tape is a Parquet file; see `ticktape sim alpaca --help`."
        )
    return Tape({kind: pa.concat_tables(parts) for kind, parts in tables.items()}, family)


def _read_kind(table: pa.Table, seed: int) -> tuple[str, pa.Table]:
    columns = set(table.column_names)
    if {"ts_ns", "symbol", "price", "size", "exchange", "cond_flags"} <= columns:
        return "trades", recorded_trades(table, seed)
    if {"ts_ns", "bid", "bid_size", "ask", "ask_size", "exchange"} <= columns:
        return "quotes", recorded_quotes(table, seed)
    for kind in TAPE_KINDS:
        # The first that fits: what is of few columns, as imbalances are, comes late.
        if set(COLUMNS[kind].names) - _OF_CRYPTO <= columns:
            return kind, as_kind(table, kind)
    raise ConfigError([f"its columns {sorted(columns)} are those of no kind of tape"])


def recorded_trades(table: pa.Table, seed: int) -> pa.Table:
    """Return AlgoSeek's trades as a tape has them, in the order of the file."""
    symbols = table["symbol"].cast(pa.string())
    exchanges = table["exchange"].cast(pa.string())
    conditions, letters = _conditions(symbols, table["cond_flags"])
    return pa.table(
        {
            "symbol": symbols,
            "event_ns": within_milliseconds(table["ts_ns"].to_numpy(), seed),
            "price": _prices(table["price"]),
            "size": table["size"].cast(pa.float64()),
            "exchange": exchanges,
            "id": count_ids(symbols, exchanges),
            "conditions": conditions,
            "tape": letters,
            "taker_side": pa.repeat("", table.num_rows),
        },
        schema=COLUMNS["trades"],
    )


def recorded_quotes(table: pa.Table, seed: int, symbol: str = "IBM") -> pa.Table:
    """Return AlgoSeek's quotes, of which each row moves one side only, as whole quotes.

    A quote shows the side of its row beside the last one seen of the other side; before the first
    there is none, which the venue writes as a price of 0.
    """
    bids, asks = _prices(table["bid"]), _prices(table["ask"])
    columns: dict[str, object] = {}
    for side, prices, sizes in (("bid", bids, "bid_size"), ("ask", asks, "ask_size")):
        last = np.where(prices > 0, np.arange(len(prices)), -1)
        last = np.maximum.accumulate(last)
        seen = last >= 0
        exchanges = np.asarray(table["exchange"].cast(pa.string()).to_pylist(), object)
        columns[f"{side}_price"] = np.where(seen, prices[last], 0.0)
        size = table[sizes].to_numpy().astype(np.float64)
        columns[f"{side}_size"] = np.where(seen, size[last], 0.0)
        columns[f"{side}_exchange"] = pa.array(np.where(seen, exchanges[last], " "), pa.string())
    count = table.num_rows
    symbols = table["symbol"] if "symbol" in table.column_names else pa.repeat(symbol, count)
    return pa.table(
        {
            "symbol": symbols.cast(pa.string()),
            "event_ns": within_milliseconds(table["ts_ns"].to_numpy(), seed + 1),
            **columns,
            "conditions": pa.repeat("R", count),
            "tape": pa.repeat(TAPE_LETTERS.get(symbol, "C"), count),
        },
        schema=COLUMNS["quotes"],
    )


def within_milliseconds(ms_ns: Ints, seed: int) -> Ints:
    """Give each time a place within its millisecond, never changing the order of the rows.

    PCG64's raw stream is fixed by NumPy's policy, so that a seed means the same tape for ever.
    """
    offsets = np.random.PCG64(seed).random_raw(len(ms_ns)).astype(np.uint64) % NS_PER_MS
    places = offsets.astype(np.int64)
    # Sorted within each millisecond; the rows themselves stay where they are.
    places = places[np.lexsort((places, ms_ns))]
    return ms_ns + places


def count_ids(symbols: Column, exchanges: Column) -> Ints:
    """Count from 1 in each (symbol, exchange), in the order of the rows."""
    keys: Any = flat(join(symbols, exchanges, "\0"))
    codes = keys.dictionary_encode().indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    sizes = np.bincount(codes)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    ids = np.empty(len(codes), np.int64)
    ids[order] = np.arange(len(codes)) - starts + 1
    return ids


def condition_letters(flags: int, tape: str) -> list[str]:
    """Return the sale conditions of Lean's `flags` on `tape`: 0 to 3 letters.

    An intermarket sweep alone is written as the single code F, a trade whose flags say nothing but
    that it was exempt has no code at all, and the rest begins with the code of its settlement:
    a space on tapes A and B, @ on tape C.
    """
    if flags & ~(REGULAR | THROUGH_EXEMPT) == 0 and flags != REGULAR:
        return []
    letters = [letter for bit, letter in _SETTLEMENT.items() if flags & bit]
    if not letters and flags != SWEEP:
        letters.append("@" if tape == "C" else " ")
    for table in (_REASON, _HOURS, _REST):
        letters += [letter for bit, letter in table.items() if flags & bit]
    if flags & _AVERAGE_PRICE:
        letters.append("W" if tape == "C" else "B")
    return list(dict.fromkeys(letters))[:CONDITIONS_MAX]


def _conditions(symbols: Column, flags: Column) -> "tuple[pa.Array[Any], pa.Array[Any]]":
    by_symbol: Any = flat(symbols).dictionary_encode()
    by_flags: Any = flat(flags).dictionary_encode()
    letters = [TAPE_LETTERS.get(symbol, "C") for symbol in by_symbol.dictionary.to_pylist()]
    kinds = by_flags.dictionary.to_pylist()
    texts = [",".join(condition_letters(kind, tape)) for tape in letters for kind in kinds]
    place = by_symbol.indices.to_numpy() * len(kinds) + by_flags.indices.to_numpy()
    return (
        pa.array(texts, pa.string()).take(row_numbers(place)),
        pa.array(letters, pa.string()).take(by_symbol.indices),
    )


def _prices(column: Column) -> "np.typing.NDArray[np.float64]":
    """Return prices as the nearest float of their four decimals, from floats or whole units."""
    values = column.to_numpy()
    if values.dtype.kind == "f":
        values = np.rint(values * PRICE_UNIT)
    prices: np.typing.NDArray[np.float64] = values.astype(np.float64) / PRICE_UNIT
    return prices
