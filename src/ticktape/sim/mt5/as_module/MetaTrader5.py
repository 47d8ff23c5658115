"""The module MetaTrader5 of a simulated terminal: put its folder on PYTHONPATH.

Which terminal: `initialize(path)`, or the environment variable TICKTAPE_SIM_MT5, which names a
world's directory or its terminal64.exe.
"""

import os

from ticktape.sim.mt5.connection import Connection
from ticktape.sim.mt5.results import CONSTANTS

__version__ = "5.0.6231"
__author__ = "MetaQuotes Ltd."

_connection = Connection(lambda: os.environ.get("TICKTAPE_SIM_MT5"))

initialize = _connection.initialize
login = _connection.login
shutdown = _connection.shutdown
version = _connection.version
last_error = _connection.last_error
terminal_info = _connection.terminal_info
account_info = _connection.account_info
symbols_total = _connection.symbols_total
symbols_get = _connection.symbols_get
symbol_info = _connection.symbol_info
symbol_info_tick = _connection.symbol_info_tick
symbol_select = _connection.symbol_select
market_book_add = _connection.market_book_add
market_book_get = _connection.market_book_get
market_book_release = _connection.market_book_release
copy_ticks_from = _connection.copy_ticks_from
copy_ticks_range = _connection.copy_ticks_range

globals().update(CONSTANTS)
