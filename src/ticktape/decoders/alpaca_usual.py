"""How Alpaca's streams usually write trades and quotes of stocks, and their columns out of that.

Source: recorded frames, as in tests/decoders/alpaca_frames.jsonl.
"""

import pyarrow as pa

from ticktape.decoders.conditions import Conditions
from ticktape.decoders.instants import Column
from ticktape.decoders.usual import Cut, Form, Usual, Value

_TEXT, _NUMBER, _WHOLE, _RAW = Value.TEXT, Value.NUMBER, Value.WHOLE, Value.RAW

_TRADE = Form(
    "t",
    {
        "S": _TEXT,
        "i": _WHOLE,
        "x": _TEXT,
        "p": _NUMBER,
        "s": _NUMBER,
        "c": _RAW,
        "z": _TEXT,
        "t": _TEXT,
    },
)
_QUOTE = Form(
    "q",
    {
        "S": _TEXT,
        "bx": _TEXT,
        "bp": _NUMBER,
        "bs": _NUMBER,
        "ax": _TEXT,
        "ap": _NUMBER,
        "as": _NUMBER,
        "c": _RAW,
        "z": _TEXT,
        "t": _TEXT,
    },
)


def usual_trades(conditions: Conditions) -> Usual:
    """Trades; `conditions` remembers their lists."""

    def columns(cut: Cut) -> list[Column]:
        return [
            cut.texts("S"),
            cut.moments("t"),
            cut.numbers("p"),
            cut.numbers("s"),
            cut.texts("x"),
            cut.wholes("i"),
            conditions.column_of(cut.raws("c")),
            cut.texts("z"),
            pa.repeat("", len(cut)),
        ]

    def brief(cut: Cut) -> dict[str, Column]:
        return {
            "symbol": cut.texts("S"),
            "event_ns": cut.moments("t"),
            "conditions": conditions.column_of(cut.raws("c")),
            "tape": cut.texts("z"),
        }

    return Usual(_TRADE, columns, brief, lambda cut: _draft(conditions, cut))


def usual_quotes(conditions: Conditions) -> Usual:
    """Quotes; `conditions` remembers their lists."""

    def columns(cut: Cut) -> list[Column]:
        return [
            cut.texts("S"),
            cut.moments("t"),
            cut.numbers("bp"),
            cut.numbers("bs"),
            cut.texts("bx"),
            cut.numbers("ap"),
            cut.numbers("as"),
            cut.texts("ax"),
            conditions.column_of(cut.raws("c")),
            cut.texts("z"),
        ]

    def brief(cut: Cut) -> dict[str, Column]:
        conditions.column_of(cut.raws("c"))  # which may be none: then it is no quote
        return {"symbol": cut.texts("S"), "event_ns": cut.moments("t")}

    return Usual(_QUOTE, columns, brief, lambda cut: _draft(conditions, cut))


def _draft(conditions: Conditions, cut: Cut) -> tuple[Column, Column]:
    conditions.check_column(cut.raws("c"))
    return cut.texts("S"), cut.moments("t")
