"""Made-up halts of stocks: statuses, the bands of prices, and indicative prices.

A symbol's statuses alternate: it is halted before it resumes.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ticktape.sim.chance import Chance, pick
from ticktape.sim.tape import COLUMNS, Ints

# Code and words of the status, then of its reason, as UTP has them (reference/alpaca.md, app. B).
_HALTS = (
    ("H", "Trading Halt", "T12", "Trading Halted; For information requested by NASDAQ"),
    ("H", "Trading Halt", "T1", "News Pending"),
    ("P", "Volatility Trading Pause", "LUDP", "Volatility Trading Pause"),
)
_RESUMPTIONS = (
    ("T", "Trading Resumption", "R4", "Qualifications Issues Reviewed/Resolved"),
    ("Q", "Quotation Resumption", "C11", ""),
)
_INDICATORS = ("B", "A", "C")
_BAND = 0.05  # of the price: the narrowest band of the plan that limits moves
# How many of 1,000 events a tape has besides, of each kind.
_STATUSES, _LULDS, _IMBALANCES = 4, 8, 4


def halts(
    chance: Chance,
    names: tuple[str, ...],
    which: Ints,
    times: Ints,
    prices: npt.NDArray[np.float64],
) -> dict[str, pa.Table]:
    """Return statuses, lulds and imbalances among events of symbol, time and price."""

    def some(of_thousand: int) -> tuple[Ints, dict[str, object]]:
        count = len(times) * of_thousand // 1000
        places = np.sort(chance.below(max(1, len(times)), count))
        own = {"symbol": pick(names, which[places]), "event_ns": times[places]}
        return places, own | {"tape": pa.repeat("C", count)}

    places, statuses = some(_STATUSES)
    codes = [*zip(*_codes(which[places], chance.below(6, len(places))), strict=True)]
    columns = codes or [()] * 4
    words = ("status_code", "status_message", "reason_code", "reason_message")
    statuses |= dict(zip(words, columns, strict=True))
    places, lulds = some(_LULDS)
    lulds |= {
        "limit_up": np.round(prices[places] * (1 + _BAND), 2),
        "limit_down": np.round(prices[places] * (1 - _BAND), 2),
        "indicator": pick(_INDICATORS, chance.below(len(_INDICATORS), len(places))),
    }
    places, imbalances = some(_IMBALANCES)
    imbalances["price"] = prices[places]
    made = {"statuses": statuses, "lulds": lulds, "imbalances": imbalances}
    return {kind: pa.table(columns, schema=COLUMNS[kind]) for kind, columns in made.items()}


def _codes(which: Ints, lots: Ints) -> list[tuple[str, str, str, str]]:
    halted: set[int] = set()
    found = []
    for symbol, lot in zip(which.tolist(), lots.tolist(), strict=True):
        table = _RESUMPTIONS if symbol in halted else _HALTS
        halted ^= {symbol}
        found.append(table[lot % len(table)])
    return found
