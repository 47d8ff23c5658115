"""What the terminal says of itself, its account and its symbols: rows of rarely read values."""

from fnmatch import fnmatchcase

from ticktape.sim.mt5.description import Description
from ticktape.sim.mt5.generated import POINT
from ticktape.sim.mt5.results import ACCOUNT_FIELDS, SYMBOL_FIELDS, TERMINAL_FIELDS, filled
from ticktape.sim.mt5.world import World

CODEPAGE = 1252
MAXBARS = 100_000
PING_US = 42_000
TRADED_BY_EXCHANGE = 3  # SYMBOL_TRADE_EXECUTION_EXCHANGE
POINT_RECORDED = 0.1
DIGITS, DIGITS_RECORDED = 5, 1


def terminal_row(world: World, now_ns: int) -> list[object]:
    """Values of a TerminalInfo; `connected` is the link to the trade server."""
    described = world.description
    linked = not world.control.is_frozen(now_ns) and bool(world.control.logged_in)
    known = {
        "connected": linked,
        "trade_allowed": True,
        "build": described.build,
        "maxbars": MAXBARS,
        "codepage": CODEPAGE,
        "ping_last": PING_US,
        "company": described.company,
        "name": "MetaTrader 5",
        "language": "English",
        "path": str(world.directory),
        "data_path": str(world.directory),
        "commondata_path": str(world.directory),
    }
    for name in TERMINAL_FIELDS[: TERMINAL_FIELDS.index("mqid")]:
        known.setdefault(name, False)
    known["mqid"] = False
    return filled(TERMINAL_FIELDS, known)


def account_row(described: Description) -> list[object]:
    """Values of an AccountInfo."""
    known: dict[str, object] = {
        "login": described.login,
        "leverage": 100,
        "trade_allowed": True,
        "trade_expert": True,
        "fifo_close": False,
        "currency_digits": 2,
        "balance": 10_000.0,
        "equity": 10_000.0,
        "name": "Simulated Account",
        "server": described.server,
        "currency": "USD",
        "company": described.company,
    }
    return filled(ACCOUNT_FIELDS, known)


def symbol_row(world: World, symbol: str, now_ns: int) -> list[object]:
    """Values of a SymbolInfo."""
    book = world.description.books[symbol]
    states = world.book(symbol)
    recorded = book.kind == "recorded"
    point = POINT_RECORDED if recorded else POINT
    known: dict[str, object] = {
        "custom": False,
        "select": True,
        "visible": True,
        "digits": DIGITS_RECORDED if recorded else DIGITS,
        "spread_float": True,
        "margin_hedged_use_leg": False,
        "ticks_bookdepth": states.states.depth if states else 0,
        "trade_exemode": TRADED_BY_EXCHANGE if recorded or book.exchange else 0,
        "trade_mode": 4,
        "point": point,
        "trade_tick_size": point,
        "trade_contract_size": 1.0,
        "volume_min": 0.01,
        "volume_max": 500.0,
        "volume_step": 0.01,
        "currency_base": symbol[:3],
        "currency_profit": symbol[3:6],
        "currency_margin": symbol[:3],
        "description": f"{symbol}, {book.kind}",
        "name": symbol,
        "path": f"Simulated\\{symbol}",
    }
    ticks = world.ticks(symbol)
    if count := ticks.count(world.control.shown_ns(now_ns)):
        tick = ticks.rows(count - 1, count)[0]
        known |= {name: tick[name].item() for name in ("time", "bid", "ask", "last", "volume")}
    return filled(SYMBOL_FIELDS, known)


def symbols_of(names: list[str], group: str) -> list[str]:
    """The names of a group: patterns with `*`, by commas; `!` takes out; the order matters."""
    picked: set[str] = set()
    for part in group.split(","):
        pattern = part.strip().replace("[", "[[]")
        if pattern.startswith("!"):
            picked -= {name for name in names if fnmatchcase(name, pattern[1:])}
        else:
            picked |= {name for name in names if fnmatchcase(name, pattern)}
    return [name for name in names if name in picked]
