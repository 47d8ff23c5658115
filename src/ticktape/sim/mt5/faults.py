"""What shall go wrong with a terminal, and when: `NAME@TIME[:LENGTH]`, since its first start."""

from collections.abc import Iterable
from typing import NamedTuple

from ticktape.errors import ConfigError
from ticktape.sim.mt5.schedule import NS_PER_S

FAULTS = {
    "stall": ("stall@T:LENGTH", "the next call takes so much longer"),
    "hang": ("hang@T[:LENGTH]", "calls do not return, for ever or so long"),
    "kill": ("kill@T[:LENGTH]", "the terminal dies, and starts again after so long"),
    "disconnect": ("disconnect@T[:LENGTH]", "its link to the trade server is down: books freeze"),
    "logout": ("logout@T[:LENGTH]", "no account is logged in: initialize() ends with -10005"),
}
"""Name -> how it is written, and what it does."""

_UNITS = {"ms": 1_000_000, "s": NS_PER_S, "m": 60 * NS_PER_S, "h": 3600 * NS_PER_S}


class Fault(NamedTuple):
    """One thing that goes wrong; `length_ns` is None for what never ends."""

    name: str
    at_ns: int
    length_ns: int | None


def menu_text() -> str:
    """The menu of faults, for a help text."""
    return "\n".join(f"    {form:24} {words}" for form, words in FAULTS.values())


def parse_faults(texts: Iterable[str]) -> tuple[Fault, ...]:
    """Faults of texts such as `stall@2s:500ms`, in the order of their time.

    Raises:
        ConfigError: with all that are none.
    """
    wrong, faults = [], []
    for text in texts:
        name, _, when = text.partition("@")
        at_text, colon, length_text = when.partition(":")
        at_ns = span_ns(at_text)
        length_ns = span_ns(length_text) if colon else None
        if (
            name not in FAULTS
            or at_ns is None
            or (length_ns is None and (colon or name == "stall"))
        ):
            wrong.append(f"--fault {text!r} is no fault")
        else:
            faults.append(Fault(name, at_ns, length_ns))
    if wrong:
        raise ConfigError(wrong, hint=f"Known, T and LENGTH as 2s, 500ms or 1m:\n{menu_text()}")
    return tuple(sorted(faults, key=lambda fault: fault.at_ns))


def span_ns(text: str) -> int | None:
    """Nanoseconds of `500ms`, `2s`, `1.5m`, `1h`, or a bare number of seconds; None if none."""
    number = text.rstrip("msh")
    unit = _UNITS.get(text[len(number) :] or "s")
    try:
        length_ns = float(number) * unit if unit else -1.0
    except ValueError:
        return None
    return int(length_ns) if 0 <= length_ns < float("inf") else None
