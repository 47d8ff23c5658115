"""The fault menu: what shall go wrong, and at which message or second.

A fault is never more than was asked for by name: what is not on the menu is refused, not ignored.

    NAME[:CODE][@PLACE][@/PATH][=VALUE]      http:CODExTIMES

PLACE is a message of the tape (`@5000`: right after the 5,000th row, or in its frame) or a time
(`@2.5s` after the tape's start). Without @/PATH a fault strikes once on every path.
"""

import re
from enum import Enum

import msgspec

from ticktape.errors import ConfigError


class Strikes(Enum):
    """When a fault takes effect."""

    AFTER = "after a message"
    IN_FRAME = "in the frame of a message"
    SESSION = "in every session"
    UPGRADE = "at the upgrade"


class Menu(msgspec.Struct, frozen=True):
    """One line of the menu."""

    strikes: Strikes
    meaning: str
    value: str = ""
    needs_value: bool = False
    needs_code: bool = False


FAULTS = {
    "disconnect": Menu(Strikes.AFTER, "drop the connection without a Close frame"),
    "mute": Menu(Strikes.AFTER, "send no more data on this connection, only pings"),
    "half_open": Menu(Strikes.AFTER, "neither send nor read any more, without a FIN"),
    "silence": Menu(Strikes.AFTER, "pause the tape for VALUE seconds", needs_value=True),
    "malformed": Menu(Strikes.AFTER, "send a frame that is no JSON"),
    "unknown_type": Menu(
        Strikes.AFTER, "send a message of an unknown type, padded with VALUE bytes", "0"
    ),
    "error": Menu(Strikes.AFTER, "send error CODE and stay open", needs_code=True),
    "slow": Menu(Strikes.AFTER, "from here on wait VALUE ms before each frame", "10"),
    "unknown_field": Menu(Strikes.IN_FRAME, "give the message a field nobody knows"),
    "huge": Menu(Strikes.IN_FRAME, "give the message an unknown field of VALUE bytes", "5000000"),
    "fragment": Menu(Strikes.IN_FRAME, "send the frame in VALUE fragments", "3"),
    "close_mid_frame": Menu(Strikes.IN_FRAME, "send half of the frame, then drop the connection"),
    "duplicate_after_reconnect": Menu(
        Strikes.SESSION, "send the last VALUE messages again after a reconnect", needs_value=True
    ),
    "ack_missing": Menu(
        Strikes.SESSION, "leave symbols VALUE (comma) out of the subscription", needs_value=True
    ),
    "data_before_ack": Menu(
        Strikes.SESSION, "send VALUE messages before the subscription is acknowledged", "5"
    ),
    "not_entitled": Menu(Strikes.SESSION, "answer a right key with 409"),
    "http": Menu(Strikes.UPGRADE, "answer the first TIMES upgrades with HTTP CODE"),
}


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
    r"(?:@(?P<path>/[\w/]+))?"
    r"(?:=(?P<value>.+))?"
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
    lines = [f"{_usage(name, entry):44} {entry.meaning}" for name, entry in FAULTS.items()]
    return "\n    ".join(["The faults:", *lines])


def _usage(name: str, entry: Menu) -> str:
    if entry.strikes is Strikes.UPGRADE:
        return f"{name}:CODExTIMES"
    usage = name + (":CODE" if entry.needs_code else "")
    if entry.strikes in (Strikes.AFTER, Strikes.IN_FRAME):
        usage += "@N|@SECONDSs"
    if entry.needs_value:
        return usage + "=VALUE"
    return f"{usage}[=VALUE, {entry.value}]" if entry.value else usage


def _parse(text: str) -> Fault:
    found = _TEXT.fullmatch(text)
    entry = FAULTS.get(found["name"]) if found else None
    if found is None or entry is None:
        raise ConfigError([f"fault {text!r} is not on the menu"])
    placed = found["row"] is not None or found["at_s"] is not None
    value = found["value"] or found["times"] or entry.value
    if entry.strikes is Strikes.UPGRADE:
        if not found["code"] or placed or not found["times"]:
            raise ConfigError([f"fault {text!r} must say http:CODExTIMES, as http:429x3"])
    elif placed is not (entry.strikes in (Strikes.AFTER, Strikes.IN_FRAME)):
        want = "needs a place, as in @5000" if not placed else "takes no place"
        raise ConfigError([f"fault {text!r} {want}"])
    if found["row"] == "0":
        raise ConfigError([f"fault {text!r}: messages count from 1"])
    if entry.needs_code and not found["code"]:
        raise ConfigError([f"fault {text!r} needs a code, as in {found['name']}:405@5000"])
    if entry.needs_value and not value:
        raise ConfigError([f"fault {text!r} needs a value, as in {text}=5"])
    if value and found["name"] != "ack_missing" and not re.fullmatch(r"\d+(\.\d+)?", value):
        raise ConfigError([f"fault {text!r}: {value!r} is not a number"])
    return Fault(
        name=found["name"],
        code=int(found["code"] or 0),
        row=int(found["row"]) if found["row"] else None,
        at_s=float(found["at_s"]) if found["at_s"] else None,
        path=found["path"] or "",
        value=value,
    )
