"""Every message of the v2 streams, key by key, in the order of the real wire; for both encodings.

`T` comes first in all of them: the Go client refuses a MessagePack message that begins otherwise.

Source: reference/alpaca.md §2, whose orders of keys were read off real frames.
"""

from enum import Enum
from typing import NamedTuple

from ticktape.sim.families import CRYPTO, NEWS, OPTIONS, STOCKS, Family


class Form(Enum):
    """How a column is written; in the columns' own types where nothing is said."""

    TYPE = "the message's type, the same in all of a kind"
    SPAN = "the type of a bar, by its span"
    STRING = "a string"
    CODES = "codes joined by commas, as an array of strings"
    STRINGS = "an array of strings"
    NUMBER = "a float"
    INTEGER = "a whole number, also of a float column"
    INSTANT = "nanoseconds since 1970"
    LEVELS = "one side of a book, from its columns `…_prices` and `…_sizes`"
    IF_TRUE = "true, or no key at all"


class Field(NamedTuple):
    """A key of a message and the column that it is made of; for TYPE the type itself."""

    key: str
    form: Form
    column: str


Layout = tuple[Field, ...]

SPANS = {"minute": "b", "updated": "u", "day": "d"}

_SYMBOL = Field("S", Form.STRING, "symbol")
_TIME = Field("t", Form.INSTANT, "event_ns")
_TAPE = Field("z", Form.STRING, "tape")
_EXCHANGE = Field("x", Form.STRING, "exchange")


def _type(letter: str) -> Field:
    return Field("T", Form.TYPE, letter)


def _price(key: str, column: str) -> Field:
    return Field(key, Form.NUMBER, column)


def _bar(volume: Form) -> Layout:
    return (
        Field("T", Form.SPAN, "span"),
        _SYMBOL,
        *map(_price, "ohlc", ("open", "high", "low", "close")),
        Field("v", volume, "volume"),
        _TIME,
        Field("n", Form.INTEGER, "trade_count"),
        _price("vw", "vwap"),
    )


def _quote(*, exchanges: bool, sizes: Form, rest: Layout) -> Layout:
    sides: list[Field] = []
    for letter, side in (("b", "bid"), ("a", "ask")):
        if exchanges:
            sides.append(Field(f"{letter}x", Form.STRING, f"{side}_exchange"))
        sides.append(_price(f"{letter}p", f"{side}_price"))
        sides.append(Field(f"{letter}s", sizes, f"{side}_size"))
    return (_type("q"), _SYMBOL, *sides, *rest)


_CONDITIONS = Field("c", Form.CODES, "conditions")
# An option has one condition, which is no array.
_CONDITION = Field("c", Form.STRING, "conditions")

LAYOUTS: dict[Family, dict[str, Layout]] = {
    STOCKS: {
        "trades": (
            _type("t"),
            _SYMBOL,
            Field("i", Form.INTEGER, "id"),
            _EXCHANGE,
            _price("p", "price"),
            Field("s", Form.INTEGER, "size"),
            _CONDITIONS,
            _TAPE,
            _TIME,
        ),
        "quotes": _quote(exchanges=True, sizes=Form.INTEGER, rest=(_CONDITIONS, _TAPE, _TIME)),
        "bars": _bar(Form.INTEGER),
        "corrections": (
            _type("c"),
            _SYMBOL,
            _EXCHANGE,
            *(
                Field(key, form, f"{which}_{name}")
                for letter, which in (("o", "original"), ("c", "corrected"))
                for key, form, name in (
                    (f"{letter}i", Form.INTEGER, "id"),
                    (f"{letter}p", Form.NUMBER, "price"),
                    (f"{letter}s", Form.INTEGER, "size"),
                    (f"{letter}c", Form.CODES, "conditions"),
                )
            ),
            _TAPE,
            _TIME,
        ),
        "cancels": (
            _type("x"),
            _SYMBOL,
            Field("i", Form.INTEGER, "id"),
            _EXCHANGE,
            _price("p", "price"),
            Field("s", Form.INTEGER, "size"),
            Field("a", Form.STRING, "action"),
            _TAPE,
            _TIME,
        ),
        "statuses": (
            _type("s"),
            _SYMBOL,
            Field("sc", Form.STRING, "status_code"),
            Field("sm", Form.STRING, "status_message"),
            Field("rc", Form.STRING, "reason_code"),
            Field("rm", Form.STRING, "reason_message"),
            _TIME,
            _TAPE,
        ),
        "lulds": (
            _type("l"),
            _SYMBOL,
            _price("u", "limit_up"),
            _price("d", "limit_down"),
            Field("i", Form.STRING, "indicator"),
            _TIME,
            _TAPE,
        ),
        "imbalances": (_type("i"), _SYMBOL, _price("p", "price"), _TAPE, _TIME),
    },
    CRYPTO: {
        "trades": (
            _type("t"),
            _SYMBOL,
            _price("p", "price"),
            Field("s", Form.NUMBER, "size"),
            _TIME,
            Field("i", Form.INTEGER, "id"),
            Field("tks", Form.STRING, "taker_side"),
        ),
        "quotes": _quote(exchanges=False, sizes=Form.NUMBER, rest=(_TIME,)),
        "bars": _bar(Form.NUMBER),
        "crypto_books": (
            _type("o"),
            _SYMBOL,
            _TIME,
            Field("b", Form.LEVELS, "bid"),
            Field("a", Form.LEVELS, "ask"),
            Field("r", Form.IF_TRUE, "reset"),
        ),
    },
    OPTIONS: {
        "trades": (
            _type("t"),
            _SYMBOL,
            _TIME,
            _price("p", "price"),
            Field("s", Form.INTEGER, "size"),
            _EXCHANGE,
            _CONDITION,
        ),
        "quotes": (
            _type("q"),
            _SYMBOL,
            _TIME,
            *_quote(exchanges=True, sizes=Form.INTEGER, rest=(_CONDITION,))[2:],
        ),
    },
    NEWS: {
        "news": (
            _type("n"),
            Field("id", Form.INTEGER, "id"),
            *(Field(name, Form.STRING, name) for name in ("headline", "summary", "author")),
            Field("created_at", Form.INSTANT, "created_ns"),
            Field("updated_at", Form.INSTANT, "updated_ns"),
            *(Field(name, Form.STRING, name) for name in ("url", "content")),
            Field("symbols", Form.STRINGS, "symbols"),
            Field("source", Form.STRING, "source"),
        ),
    },
}
"""Family -> kind -> its message."""
