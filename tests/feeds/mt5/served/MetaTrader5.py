"""A small stand-in for the MetaTrader5 package, for the bridge's tests alone.

`market` is what a test changes, over a connection of its own. Every state of a book is logged with
the counter just before and just after it came to be.
"""

import threading
import time

import numpy as np

__version__ = "5.0.6231"
COPY_TICKS_ALL = -1
_TEXTS = {1: "Success", -1: "Terminal: Call failed", -2: "Invalid arguments", -4: "Not found"}
TICK_DTYPE = np.dtype(
    {
        "names": ["time", "bid", "ask", "last", "volume", "time_msc", "flags", "volume_real"],
        "formats": ["<i8", "<f8", "<f8", "<f8", "<u8", "<i8", "<u4", "<f8"],
        "offsets": [0, 8, 16, 24, 32, 40, 48, 52],
        "itemsize": 60,
    }
)


class Record(tuple):
    """Like the package's records: a tuple with names, that only its own module knows."""

    names = ()

    def __getattr__(self, name):
        if name not in self.names:
            raise AttributeError(name)
        return self[self.names.index(name)]

    def _asdict(self):
        return dict(zip(self.names, self, strict=True))


def record(name, fields):
    return type(name, (Record,), {"names": tuple(fields.split())})


BookInfo = record("BookInfo", "type price volume volume_dbl")
AccountInfo = record("AccountInfo", "login server company")
TerminalInfo = record("TerminalInfo", "connected ping_last build")
SymbolInfo = record("SymbolInfo", "name digits point bid")
Tick = record("Tick", "time time_msc")


class Market:
    """What the terminal has, and how it behaves."""

    def __init__(self):
        self.books = {}
        self.log = []
        self.added = []
        self.opened = 0
        self.logged_in = self.connected = True
        self.open_code = 0
        self.codes = {}  # symbol -> the error of its calls; "" for all
        self.hangs = False
        self.ticks = np.zeros(0, TICK_DTYPE)
        self.call_s = 0.0
        self.calls = 0
        self.storming = False

    def put(self, symbol, number, levels=3):
        """Make a book that shows `number`, and log when it was made."""
        rows = tuple(
            BookInfo((1 + (i >= levels), 100.0 + levels - i, number, number + 0.25))
            for i in range(2 * levels)
        )
        before = time.perf_counter_ns()
        self.books[symbol] = rows
        self.log.append((symbol, number, before, time.perf_counter_ns()))

    def clear(self, symbol):
        self.books[symbol] = ()

    def run(self, symbols, changes, pause_s):
        """Change the books on and on, in a thread of its own."""

        def change():
            for number in range(1, changes + 1):
                for symbol in symbols:
                    self.put(symbol, number)
                time.sleep(pause_s)

        threading.Thread(target=change, daemon=True).start()

    def storm(self, symbol, levels):
        """From now on every call finds another book of `symbol`."""
        self.storming = symbol, levels

    def put_ticks(self, times_msc):
        found = np.zeros(len(times_msc), TICK_DTYPE)
        found["time_msc"] = times_msc
        self.ticks = found

    def told(self):
        return tuple(self.log)


market = Market()
_open = False
_error = (1, "Success")


def _set(code, text=None):
    global _error
    _error = (code, text or _TEXTS.get(code, "IPC call failed"))


def _failed(symbol=""):
    """Begin a call; whether it fails."""
    _set(1)
    while market.hangs:
        time.sleep(0.05)
    code = market.codes.get(symbol) or market.codes.get("") or (0 if _open else -10004)
    if code:
        _set(code)
    if market.call_s:
        time.sleep(market.call_s)
    return bool(code)


def last_error():
    return _error


def initialize(**arguments):
    global _open
    market.opened += 1
    market.arguments = dict(arguments)
    if market.open_code:
        _set(market.open_code)
        return False
    _open = True
    _set(1)
    return True


def shutdown():
    global _open
    _open = False
    return True


def account_info():
    return None if _failed() else AccountInfo((4711, "Broker-Demo", "A Broker"))


def terminal_info():
    return None if _failed() else TerminalInfo((market.connected, 1500, 5320))


def symbol_select(symbol, enable):
    if _failed():
        return False
    if symbol not in market.books:
        _set(-4)
        return False
    return True


def symbols_get(pattern):
    stem = pattern.strip("*")
    return tuple(symbol_info(name) for name in market.books if stem in name)


def symbol_info(symbol):
    if _failed() or symbol not in market.books:
        return None
    return SymbolInfo((symbol, 5, 0.00001, 1.1))


def symbol_info_tick(symbol):
    if _failed(symbol):
        return None
    times = market.ticks["time_msc"]
    return Tick((0, times[-1] if len(times) else 0))


def market_book_add(symbol):
    if _failed() or market.books.get(symbol) is None:
        _set(1)
        return False
    market.added.append(symbol)
    return True


def market_book_release(symbol):
    market.added.remove(symbol)
    return True


def market_book_get(symbol):
    market.calls += 1
    if market.storming:
        market.put(market.storming[0], market.calls, market.storming[1])
    return None if _failed(symbol) else market.books[symbol]


def copy_ticks_from(symbol, from_s, count, flags):
    if _failed(symbol):
        return None
    found = market.ticks
    return found[found["time_msc"] >= from_s * 1000][:count]
