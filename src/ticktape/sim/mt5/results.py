"""What the module MetaTrader5 returns and what it calls things: result types, constants, messages.

The real results are C struct sequences: tuples with names, of a type that calls itself `BookInfo`
of the module `builtins`. They have no `_fields`, `_replace` or `_make` and cannot be pickled, so
nothing here may offer more: code that works on these must work on the real ones.
"""

from collections.abc import Iterable
from functools import partial
from operator import itemgetter

import numpy as np
import numpy.typing as npt

Row = tuple[int, float, int, float]
"""One row of a book: type, price, volume, volume_dbl."""
Ints = npt.NDArray[np.int64]
TickRows = npt.NDArray[np.void]
"""Ticks, an array of `TICK_DTYPE`."""

BOOK_TYPE_SELL, BOOK_TYPE_BUY, BOOK_TYPE_SELL_MARKET, BOOK_TYPE_BUY_MARKET = 1, 2, 3, 4
COPY_TICKS_ALL, COPY_TICKS_INFO, COPY_TICKS_TRADE = -1, 1, 2
TICK_FLAG_BID, TICK_FLAG_ASK, TICK_FLAG_LAST = 2, 4, 8
TICK_FLAG_VOLUME, TICK_FLAG_BUY, TICK_FLAG_SELL = 16, 32, 64
TICK_FLAG_UNDOCUMENTED = 128  # seen in the documentation's own example: flags=134

RES_S_OK = 1
RES_E_FAIL = -1
RES_E_INVALID_PARAMS = -2
RES_E_NOT_FOUND = -4
RES_E_AUTH_FAILED = -6
RES_E_INTERNAL_FAIL_RECEIVE = -10002
RES_E_INTERNAL_FAIL_INIT = -10003
RES_E_INTERNAL_FAIL_CONNECT = -10004
RES_E_INTERNAL_FAIL_TIMEOUT = -10005

MESSAGES = {
    RES_S_OK: "Success",
    RES_E_FAIL: "Terminal: Call failed",
    RES_E_INVALID_PARAMS: "Invalid arguments",
    RES_E_NOT_FOUND: "Terminal: Not found",
    RES_E_AUTH_FAILED: "Terminal: Authorization failed",
    RES_E_INTERNAL_FAIL_RECEIVE: "IPC recv failed",
    RES_E_INTERNAL_FAIL_CONNECT: "No IPC connection",
    RES_E_INTERNAL_FAIL_TIMEOUT: "IPC timeout",
}

CONSTANTS = {
    name: value
    for name, value in globals().items()
    if name.startswith(("BOOK_TYPE_", "COPY_TICKS_", "TICK_FLAG_", "RES_"))
    and name != "TICK_FLAG_UNDOCUMENTED"
} | {
    "RES_E_NO_MEMORY": -3,
    "RES_E_INVALID_VERSION": -5,
    "RES_E_UNSUPPORTED": -7,
    "RES_E_AUTO_TRADING_DISABLED": -8,
    "RES_E_INTERNAL_FAIL": -10000,
    "RES_E_INTERNAL_FAIL_SEND": -10001,
}
"""What the module has besides its functions."""

TICK_DTYPE = np.dtype(
    {
        "names": ["time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real"],
        "formats": ["<i8", "<f8", "<f8", "<f8", "<u8", "<i8", "<u4", "<f8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 52],
        "itemsize": 60,
    }
)
ROW_DTYPE = np.dtype(
    {
        "names": ["type", "price", "volume", "volume_dbl"],
        "formats": ["<u4", "<f8", "<u8", "<f8"],
        "offsets": [0, 4, 12, 20],
        "itemsize": 28,
    }
)
"""A row of a book as the terminal itself has it: packed `<IdQd`."""


def struct_sequence(name: str, fields: tuple[str, ...]) -> type[tuple[object, ...]]:
    """Return a tuple type that behaves like a C struct sequence of this name."""

    def make(kind: type[tuple[object, ...]], sequence: Iterable[object]) -> tuple[object, ...]:
        made = tuple.__new__(kind, sequence)
        if len(made) != len(fields):
            raise TypeError(f"{name}() takes a {len(fields)}-sequence ({len(made)}-sequence given)")
        return made

    def show(self: tuple[object, ...]) -> str:
        pairs = zip(fields, self, strict=True)
        return f"{name}({', '.join(f'{field}={value!r}' for field, value in pairs)})"

    def as_dict(self: tuple[object, ...]) -> dict[str, object]:
        return dict(zip(fields, self, strict=True))

    members: dict[str, object] = {
        "__slots__": (),
        "__module__": "builtins",
        "__qualname__": name,
        "__new__": make,
        "__repr__": show,
        "__match_args__": fields,
        "_asdict": as_dict,
        "n_fields": len(fields),
        "n_sequence_fields": len(fields),
        "n_unnamed_fields": 0,
    }
    members |= {field: property(itemgetter(place)) for place, field in enumerate(fields)}
    return type(name, (tuple,), members)


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


BOOK_FIELDS = ("type", "price", "volume", "volume_dbl")
TICK_FIELDS = ("time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real")
TERMINAL_FIELDS = _names(
    """community_account community_connection connected dlls_allowed trade_allowed
    tradeapi_disabled email_enabled ftp_enabled notifications_enabled mqid build maxbars codepage
    ping_last community_balance retransmission company name language path data_path
    commondata_path"""
)
ACCOUNT_FIELDS = _names(
    """login trade_mode leverage limit_orders margin_so_mode trade_allowed trade_expert margin_mode
    currency_digits fifo_close balance credit profit equity margin margin_free margin_level
    margin_so_call margin_so_so margin_initial margin_maintenance assets liabilities
    commission_blocked name server currency company"""
)
SYMBOL_FIELDS = _names(
    """custom chart_mode select visible session_deals session_buy_orders session_sell_orders volume
    volumehigh volumelow time digits spread spread_float ticks_bookdepth trade_calc_mode trade_mode
    start_time expiration_time trade_stops_level trade_freeze_level trade_exemode swap_mode
    swap_rollover3days margin_hedged_use_leg expiration_mode filling_mode order_mode order_gtc_mode
    option_mode option_right bid bidhigh bidlow ask askhigh asklow last lasthigh lastlow volume_real
    volumehigh_real volumelow_real option_strike point trade_tick_value trade_tick_value_profit
    trade_tick_value_loss trade_tick_size trade_contract_size trade_accrued_interest
    trade_face_value trade_liquidity_rate volume_min volume_max volume_step volume_limit swap_long
    swap_short margin_initial margin_maintenance session_volume session_turnover session_interest
    session_buy_orders_volume session_sell_orders_volume session_open session_close session_aw
    session_price_settlement session_price_limit_min session_price_limit_max margin_hedged
    price_change price_volatility price_theoretical price_greeks_delta price_greeks_theta
    price_greeks_gamma price_greeks_vega price_greeks_rho price_greeks_omega price_sensitivity basis
    category currency_base currency_profit currency_margin bank description exchange formula isin
    name page path"""
)

BookInfo = struct_sequence("BookInfo", BOOK_FIELDS)
Tick = struct_sequence("Tick", TICK_FIELDS)
TerminalInfo = struct_sequence("TerminalInfo", TERMINAL_FIELDS)
AccountInfo = struct_sequence("AccountInfo", ACCOUNT_FIELDS)
SymbolInfo = struct_sequence("SymbolInfo", SYMBOL_FIELDS)

NO_TICK = Tick((0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0))

new_book_row = partial(tuple.__new__, BookInfo)
"""Make a BookInfo of a row that is known to have four values, at a fraction of the price."""

_TEXT_FIELDS = frozenset(
    _names(
        """company name language path data_path commondata_path server currency basis category
        currency_base currency_profit currency_margin bank description exchange formula isin page"""
    )
)
_FRACTIONS = frozenset(
    _names(
        """community_balance retransmission balance credit profit equity margin margin_free
        margin_level margin_so_call margin_so_so margin_initial margin_maintenance assets
        liabilities commission_blocked"""
    )
) | frozenset(SYMBOL_FIELDS[SYMBOL_FIELDS.index("bid") : SYMBOL_FIELDS.index("basis")])


def filled(fields: tuple[str, ...], known: dict[str, object]) -> list[object]:
    """Values for all of `fields`: those that are known, and the nothing of its type for others."""

    def nothing(name: str) -> object:
        if name in _TEXT_FIELDS:
            return ""
        return 0.0 if name in _FRACTIONS else 0

    return [known.get(name, nothing(name)) for name in fields]
