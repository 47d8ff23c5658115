"""The fault menu: what shall go wrong, and at which message or second.

A fault is never more than was asked for by name: what is not on the menu is refused, not ignored.

    NAME[:CODE][@PLACE][@/PATH][=VALUE]      http:CODExTIMES[@/PATH]

PLACE is a message of the tape (`@5000`: right after the 5,000th row, or in its frame) or a time
(`@2.5s` after the tape's start). Without @/PATH a fault strikes once on every path. A trick has no
place: it changes the tape before it plays, by chance from the seed, and the changed tape is the
truth.
"""

import re
from collections.abc import Callable
from enum import Enum

import msgspec

from ticktape.errors import ConfigError
from ticktape.sim.muting import read_mute


class Strikes(Enum):
    """When a fault takes effect."""

    AFTER = "after a message"
    IN_FRAME = "in the frame of a message"
    SESSION = "in every session"
    UPGRADE = "at the upgrade"
    TAPE = "on the tape, before it plays"


PLACED = (Strikes.AFTER, Strikes.IN_FRAME)


class Value(Enum):
    """What may stand after the `=`."""

    NONE = "no value"
    NUMBER = "a number"
    WHOLE = "a whole number"
    COUNT = "a whole number above 0"
    PERCENT = "a percentage above 0, up to 100"
    SYMBOLS = "symbols joined by commas"
    MUTED = "symbols joined by commas, as AAPL,MSFT, or for seconds, as AAPL/20"

    def allows(self, text: str) -> bool:
        """Whether `text` is such a value."""
        return _ALLOWS[self](text)


def _whole(text: str) -> bool:
    return re.fullmatch(r"\d+", text, re.ASCII) is not None


def _number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) is not None


_ALLOWS: dict[Value, Callable[[str], bool]] = {
    Value.NONE: lambda text: not text,
    Value.NUMBER: _number,
    Value.WHOLE: _whole,
    Value.COUNT: lambda text: _whole(text) and int(text) > 0,
    Value.PERCENT: lambda text: _number(text) and 0 < float(text) <= 100,
    Value.SYMBOLS: lambda text: all(text.split(",")),
    Value.MUTED: lambda text: read_mute(text) is not None,
}


class Menu(msgspec.Struct, frozen=True):
    """One line of the menu. `default` stands for a value that is not given, empty for none.

    With `every` it takes a place or a value: one frame in so many is struck, by chance.
    """

    strikes: Strikes
    meaning: str
    value: Value = Value.NONE
    default: str = ""
    needs_code: bool = False
    every: bool = False

    @property
    def needs_value(self) -> bool:
        """Whether it says nothing without a value."""
        return self.value is not Value.NONE and not self.default and not self.every


_AFTER, _IN_FRAME, _SESSION, _TAPE = (*PLACED, Strikes.SESSION, Strikes.TAPE)

FAULTS = {
    "disconnect": Menu(_AFTER, "drop the connection without a Close frame"),
    "mute": Menu(_AFTER, "send no more data on this connection, only pings"),
    "mute_symbol": Menu(
        _AFTER, "send nothing more of symbols VALUE (comma), or nothing for SECONDS (AAPL/20)",
        Value.MUTED,
    ),
    "half_open": Menu(_AFTER, "neither send nor read any more, without a FIN"),
    "silence": Menu(_AFTER, "pause the tape for VALUE seconds", Value.NUMBER),
    "burst": Menu(_AFTER, "hold all back for VALUE seconds, then send it at once", Value.NUMBER),
    "delay": Menu(_AFTER, "send all from here on VALUE ms later, in order", Value.NUMBER),
    "slow": Menu(_AFTER, "from here on wait VALUE ms before each frame", Value.NUMBER, "10"),
    "slow_drain": Menu(
        _AFTER, "get nothing out to the client, and at VALUE bytes say 407 and drop it",
        Value.COUNT, "65536",
    ),
    "malformed": Menu(_AFTER, "send a frame that cannot be read"),
    "unknown_type": Menu(
        _AFTER, "send a message of an unknown type, padded with VALUE bytes", Value.WHOLE, "0"
    ),
    "error": Menu(_AFTER, "send error CODE and stay open", needs_code=True),
    "unknown_field": Menu(_IN_FRAME, "give the message a field nobody knows"),
    "huge": Menu(
        _IN_FRAME, "give the message an unknown field of VALUE bytes", Value.WHOLE, "5000000"
    ),
    "fragment": Menu(_IN_FRAME, "send the frame in VALUE fragments", Value.COUNT, "3"),
    "close_mid_frame": Menu(_IN_FRAME, "send half of the frame, then drop the connection"),
    "corrupt": Menu(
        _IN_FRAME, "change a byte so that the frame, or one in VALUE, cannot be read",
        Value.COUNT, every=True,
    ),
    "duplicate_after_reconnect": Menu(
        _SESSION, "send the last VALUE messages again after a reconnect", Value.COUNT
    ),
    "ack_missing": Menu(
        _SESSION, "leave symbols VALUE (comma) out of the subscription", Value.SYMBOLS
    ),
    "data_before_ack": Menu(
        _SESSION, "send VALUE messages before the subscription is acknowledged", Value.COUNT, "5"
    ),
    "data_after_unsubscribe": Menu(
        _SESSION, "send VALUE more messages of what was unsubscribed", Value.COUNT, "5"
    ),
    "silent_drop": Menu(
        _SESSION, "never send VALUE % of the rows, and say nothing; REST has them", Value.PERCENT
    ),
    "not_entitled": Menu(_SESSION, "answer a right key with 409"),
    "http": Menu(Strikes.UPGRADE, "answer the first TIMES upgrades with HTTP CODE"),
    "out_of_order": Menu(_TAPE, "swap VALUE % of the trades with a neighbour", Value.PERCENT),
    "late": Menu(_TAPE, "send VALUE % of the trades 1 to 10 s after their time", Value.PERCENT),
    "duplicates": Menu(_TAPE, "send VALUE % of the trades twice", Value.PERCENT),
    "changes_after": Menu(
        _TAPE, "correct or cancel VALUE % of the trades, after them", Value.PERCENT
    ),
    "changes_before": Menu(
        _TAPE, "correct or cancel VALUE % of the trades, sent before them", Value.PERCENT
    ),
    "changes_without": Menu(
        _TAPE, "correct or cancel VALUE % as many trades that never were", Value.PERCENT
    ),
    "id_collisions": Menu(
        _TAPE, "add, for VALUE % of the trades, two on exchange D with one id", Value.PERCENT
    ),
    "null_conditions": Menu(
        _TAPE, "send null as conditions of VALUE % of trades and quotes", Value.PERCENT
    ),
    "daily_bar_repeats": Menu(
        _TAPE, "end with the same daily bars VALUE times, a minute apart", Value.COUNT
    ),
    "zero_bars": Menu(_TAPE, "make VALUE % of crypto bars ones without a trade", Value.PERCENT),
    "empty_news": Menu(_TAPE, "take the symbols from VALUE % of the news", Value.PERCENT),
}  # fmt: skip


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault as asked for: `row` counts from 1, `at_s` from the tape's start; None: not so."""

    name: str
    code: int = 0
    row: int | None = None
    at_s: float | None = None
    path: str = ""
    value: str = ""

    @property
    def strikes(self) -> Strikes:
        """When it takes effect."""
        return FAULTS[self.name].strikes

    @property
    def amount(self) -> float:
        """Its value as a number."""
        return float(self.value)


_TEXT = re.compile(
    r"(?P<name>\w+?)"
    r"(?::(?P<code>\d{3})(?:x(?P<times>\d+))?)?"
    r"(?:@(?P<row>\d+)|@(?P<at_s>\d+(?:\.\d+)?)s)?"
    r"(?:@(?P<path>/[\w/-]+))?"
    r"(?:=(?P<value>.+))?",
    re.ASCII,
)


def parse_faults(texts: list[str] | tuple[str, ...]) -> tuple[Fault, ...]:
    """Return the faults asked for on a command line.

    Raises:
        ConfigError: lists each text that is not on the menu, with the menu as its hint.
    """
    faults, wrong = [], []
    for text in texts:
        try:
            faults.append(_parse(text))
        except ConfigError as error:
            wrong += error.faults
    if wrong:
        raise ConfigError(wrong, hint=menu_text())
    return tuple(faults)


def menu_text() -> str:
    """Return the menu, a line for each fault."""
    lines = [f"{_usage(name, entry):36} {entry.meaning}" for name, entry in FAULTS.items()]
    return "\n    ".join(["The faults:", *lines])


def _usage(name: str, entry: Menu) -> str:
    if entry.strikes is Strikes.UPGRADE:
        return f"{name}:CODExTIMES"
    usage = name + (":CODE" if entry.needs_code else "")
    if entry.strikes in PLACED:
        usage += "@N"
    if entry.every:
        return f"{usage}|=VALUE"
    if entry.needs_value:
        return usage + "=VALUE"
    return f"{usage}[=VALUE, {entry.default}]" if entry.default else usage


def _parse(text: str) -> Fault:
    found = _TEXT.fullmatch(text)
    entry = FAULTS.get(found["name"]) if found else None
    if found is None or entry is None:
        raise ConfigError([f"fault {text!r} is not on the menu"])
    check = _wrong_upgrade if entry.strikes is Strikes.UPGRADE else _wrong
    if wrong := check(found, entry):
        raise ConfigError([f"fault {text!r} {wrong}"])
    placed = found["row"] or found["at_s"]
    return Fault(
        name=found["name"],
        code=int(found["code"] or 0),
        row=int(found["row"]) if found["row"] else None,
        at_s=float(found["at_s"]) if found["at_s"] else None,
        path=found["path"] or "",
        value=found["value"] or found["times"] or ("" if placed and entry.every else entry.default),
    )


def _wrong_upgrade(found: re.Match[str], entry: Menu) -> str:
    """Say what is wrong with a refusal of the upgrade; empty for nothing."""
    alone = found["row"] is None and found["at_s"] is None and found["value"] is None
    if not found["times"] or not alone:
        return "must say http:CODExTIMES, as http:429x3"
    if not 400 <= int(found["code"]) <= 599:
        return f"answers with HTTP {found['code']}, which refuses nothing; say 400 to 599"
    return "" if int(found["times"]) else "strikes no time; count from 1"


def _wrong(found: re.Match[str], entry: Menu) -> str:
    """Say what is wrong with any other fault; empty for nothing."""
    name, value = found["name"], found["value"]
    placed = found["row"] is not None or found["at_s"] is not None
    complaints = {
        "needs a code, as in error:405@5000": entry.needs_code and not found["code"],
        "takes no code": not entry.needs_code and bool(found["code"]),
        "takes no count of times": bool(found["times"]),
        "takes a place or a value, and only one of them": entry.every
        and placed is (value is not None),
        "needs a place, as in @5000": entry.strikes in PLACED and not placed and not entry.every,
        "takes no place": entry.strikes not in PLACED and placed,
        "counts messages from 1": found["row"] is not None and int(found["row"]) == 0,
        f"needs a value, as in {name}=5": entry.needs_value and value is None,
        f"takes {entry.value.value}, and {value!r} is not that": value is not None
        and not entry.value.allows(value),
    }
    return next((words for words, is_so in complaints.items() if is_so), "")
