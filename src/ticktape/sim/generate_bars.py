"""The bars of made-up trades, as the venue sends them: of the minute, corrected, and of the day.

Pure. A bar says when it leaves as well, because that of a day begins long before.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from ticktape.sim.chance import Chance
from ticktape.sim.tape import BAR_DELAY_NS, BAR_NS, COLUMNS, Ints, Tape

DAY_NS = 24 * 60 * BAR_NS
_SIZE_DIGITS = 9  # more than any size has, so that sums of fractions are no endless fractions


class Bars(NamedTuple):
    """Bars of all spans, and when each leaves."""

    table: pa.Table
    due_ns: Ints


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
    volume = np.round(grouped["size_sum"].to_numpy(), _SIZE_DIGITS)
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


def with_quiet_minutes(
    minutes: pa.Table, names: Sequence[str], opening: Sequence[float]
) -> pa.Table:
    """Return minute bars with one of nothing for each minute in which a symbol did not trade.

    Crypto has such bars, since its bars are of quotes as well. They begin a minute before the
    first trade; until a symbol trades its price is its `opening`.
    """
    if not minutes.num_rows:
        return minutes
    rows = {(row["event_ns"], row["symbol"]): row for row in minutes.to_pylist()}
    times = minutes["event_ns"].to_numpy()
    last = dict(zip(names, opening, strict=True))
    found = []
    for event_ns in range(int(times[0]) - BAR_NS, int(times[-1]) + 1, BAR_NS):
        for name in names:
            row = rows.get((event_ns, name)) or _quiet(name, event_ns, last[name])
            last[name] = float(row["close"])
            found.append(row)
    return pa.Table.from_pylist(found, schema=COLUMNS["bars"])


_NOTHING = {"volume": 0.0, "trade_count": 0, "worth": 0.0}


def _quiet(symbol: str, event_ns: int, price: float) -> dict[str, Any]:
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    nothing = {"volume": 0.0, "trade_count": 0, "vwap": 0.0}
    return {"symbol": symbol, "event_ns": event_ns, "span": "minute"} | prices | nothing


def all_bars(minutes: pa.Table, chance: Chance, day_offset_ns: int) -> Bars:
    """Return minute bars with the corrections of some of them, and the day's after each minute.

    A day begins `day_offset_ns` after midnight UTC.
    """
    leave_ns: Ints = minutes["event_ns"].to_numpy() + BAR_NS
    late = chance.below(10, minutes.num_rows) == 0
    tables = [minutes, _updated(minutes.filter(pa.array(late))), _days(minutes, day_offset_ns)]
    due = [
        leave_ns + BAR_DELAY_NS["minute"],
        leave_ns[late] + BAR_DELAY_NS["updated"],
        leave_ns + BAR_DELAY_NS["day"],
    ]
    return Bars(pa.concat_tables(tables), np.concatenate(due))


def with_bars(tables: dict[str, pa.Table], bars: Bars, family: str) -> Tape:
    """Return the tape of these tables and bars."""
    return Tape({**tables, "bars": bars.table}, family, {"bars": bars.due_ns})


def _updated(minutes: pa.Table) -> pa.Table:
    # One trade came late; in a third of the bars it was the last one (reference/alpaca.md §2.4).
    rows = minutes.to_pylist()
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["close"] = row["high"]
        row |= {"span": "updated", "volume": row["volume"] + 1.0}
        row["trade_count"] += 1
    return pa.Table.from_pylist(rows, schema=COLUMNS["bars"])


def _days(minutes: pa.Table, offset_ns: int) -> pa.Table:
    """Return running totals of the day after each minute."""
    days: dict[tuple[str, int], dict[str, float]] = {}
    found = []
    for row in minutes.to_pylist():
        start_ns = (row["event_ns"] - offset_ns) // DAY_NS * DAY_NS + offset_ns
        day = days.setdefault((row["symbol"], start_ns), row | _NOTHING)
        day["high"], day["low"] = max(day["high"], row["high"]), min(day["low"], row["low"])
        day["close"] = row["close"]
        day["trade_count"] += row["trade_count"]
        day["worth"] += row["vwap"] * row["volume"]
        day["volume"] = round(day["volume"] + row["volume"], _SIZE_DIGITS)
        vwap = round(day["worth"] / day["volume"], 6) if day["volume"] else 0.0
        found.append(day | {"span": "day", "event_ns": start_ns, "vwap": vwap})
    return pa.Table.from_pylist(found, schema=COLUMNS["bars"])
