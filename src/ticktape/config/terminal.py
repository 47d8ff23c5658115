"""What a config says of a MetaTrader 5 terminal, and what is wrong with that."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from ticktape.config.reading import Faults
from ticktape.config.tables import FeedConfig

MODULE = "module"
_SCHEME = "rpyc://"
_UNITS_MAX = 30  # UTF-16 units that the package takes as a symbol
_ALPACAS = ("url", "ca_file", "proxy")
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]")


def bridge_of(terminal: str) -> tuple[str, int] | None:
    """Host and port of a bridge; None for a terminal on this machine.

    Raises:
        ValueError: it should be a bridge and is none.
    """
    if "://" not in terminal:
        return None
    parts = urlsplit(terminal)
    if not terminal.startswith(_SCHEME) or not parts.hostname or not parts.port:
        raise ValueError(terminal)
    if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(terminal)
    return parts.hostname, parts.port


def check_terminal(feed: FeedConfig, wrong: frozenset[str], place: str, faults: Faults) -> None:
    """Note what is wrong with the keys of a feed of kind mt5."""
    for name in _ALPACAS:
        if getattr(feed, name):
            faults.add(f"{place}.{name}", "is not for kind mt5; terminal = … says where it is")
    if "terminal" in wrong:
        return
    try:
        bridge_of(feed.terminal)
    except ValueError:
        faults.add(f"{place}.terminal", "must be like rpyc://127.0.0.1:18812")
    if not feed.terminal.strip():
        faults.add(f"{place}.terminal", 'must be "module", a path or rpyc://host:port')


def with_absolute_terminal(terminal: str, base: Path) -> str:
    """A path counts from the config file's folder; the other forms stay."""
    if terminal == MODULE or "://" in terminal or _WINDOWS_PATH.match(terminal) or not terminal:
        return terminal
    return str(base / terminal)


def polled_symbol_fault(symbol: str) -> str:
    """What is wrong with a symbol of a terminal, or nothing; brokers call them as they like."""
    if not symbol.strip() or symbol == "*":
        return "must be a symbol as Market Watch shows it"
    if len(symbol.encode("utf-16-le")) // 2 > _UNITS_MAX:
        return f"is longer than the {_UNITS_MAX} characters that a terminal takes"
    return ""
