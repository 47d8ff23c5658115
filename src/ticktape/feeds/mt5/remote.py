"""The helper that a bridge runs for us, as text: sent once per connection, never built of input.

It is written for Python 3.8 on Windows, with the standard library and MetaTrader5 alone. Only
bytes, numbers, strings, None and tuples of them leave it: whatever else crossed RPyC would cost a
round trip per look at it. Every function answers (received, answered, ...): its counter when it was
called and before it returned, for the clock map.

All connections and the thread of `remotepush` share the package's one `last_error`, so a call and
its error are asked for under one lock. A request goes first: it holds `_turn` while it waits, and
the thread passes through `_turn` before each poll.
"""

import struct

ANSWER = struct.Struct("<qqii")
"""Before, after, code, and the length of the rows that follow, or ~length of an error's text."""
FUNCTIONS = (
    "hello",
    "begin",
    "subscribe",
    "names",
    "instrument",
    "books",
    "ticks",
    "last_tick",
    "health",
    "market_watch",
    "leave",
    "push_start",
    "push_watch",
    "push_interval",
    "push_stop",
)

SOURCE = r"""
import contextlib, struct, threading, time
import MetaTrader5 as _mt5

_now = time.perf_counter_ns
_get, _last_error = _mt5.market_book_get, _mt5.last_error
# One pair for all connections of this process, as there is one last_error.
_turn, _calling = vars(_mt5).setdefault(
    "_ticktape_locks", (threading.Lock(), threading.Lock()))
_ANSWER = struct.Struct("<qqii")
_PLAIN = (bool, int, float, str)
_packers = {}


@contextlib.contextmanager
def _call():
    with _turn:
        _calling.acquire()
    try:
        yield
    finally:
        _calling.release()


def _pack(book):
    count = len(book)
    packer = _packers.get(count)
    if packer is None:
        packer = _packers[count] = struct.Struct("<" + "IdQd" * count)
    flat = []
    for row in book:
        flat += row
    return packer.pack(*flat)


def _is_pipe(code):
    return -10004 <= code <= -10000


def hello():
    return _now(), _now()


def begin(arguments):
    received = _now()
    account = terminal = None
    with _call():
        if _mt5.initialize(**dict(arguments)):
            account, terminal = _mt5.account_info(), _mt5.terminal_info()
            is_open = True
        else:
            is_open = False
        code, text = _last_error()
    if account is not None:
        account = (int(account.login), str(account.server), str(account.company))
    build = -1 if terminal is None else int(terminal.build)
    package = str(getattr(_mt5, "__version__", ""))
    return received, _now(), is_open, int(code), str(text), account, build, package


def subscribe(symbol, book):
    received = _now()
    stage, connected = "", False
    with _call():
        selected = _mt5.symbol_select(symbol, True)
        code, text = _last_error()
        if not selected:
            stage = "symbol"
        elif book and not _mt5.market_book_add(symbol):
            # It sets no error by itself: whether the link is gone, only another call tells.
            stage = "book"
            info = _mt5.terminal_info()
            code, text = _last_error()
            connected = info is not None and bool(info.connected)
    return received, _now(), stage, int(code), str(text), connected


def names(pattern):
    received = _now()
    with _call():
        found = _mt5.symbols_get(pattern) or ()
    return received, _now(), tuple(str(info.name) for info in found)


def instrument(symbol):
    received = _now()
    with _call():
        info = _mt5.symbol_info(symbol)
    fields = () if info is None else info._asdict().items()
    plain = tuple((str(name), value) for name, value in fields if type(value) in _PLAIN)
    return received, _now(), plain


def books(symbols):
    received = _now()
    parts = []
    for symbol in symbols:
        with _turn:
            _calling.acquire()
        try:
            before = _now()
            book = _get(symbol)
            after = _now()
            if book is None:
                code, text = _last_error()
        finally:
            _calling.release()
        if book is not None:
            packed = _pack(book)
            parts += (_ANSWER.pack(before, after, 0, len(packed)), packed)
            continue
        said = str(text).encode()
        parts += (_ANSWER.pack(before, after, code, ~len(said)), said)
        if _is_pipe(code):
            break
    return received, _now(), b"".join(parts)


def ticks(symbol, from_s, count, flags):
    received = _now()
    with _call():
        before = _now()
        found = _mt5.copy_ticks_from(symbol, from_s, count, flags)
        after = _now()
        code, text = (0, "") if found is not None else _last_error()
    rows = None if found is None else found.tobytes()
    return received, _now(), before, after, rows, int(code), str(text)


def last_tick(symbol):
    received = _now()
    with _call():
        tick = _mt5.symbol_info_tick(symbol)
        code, text = (0, "") if tick is not None else _last_error()
    time_msc = 0 if tick is None else int(tick.time_msc)
    return received, _now(), time_msc, int(code), str(text)


def health():
    received = _now()
    with _call():
        info = _mt5.terminal_info()
        code, text = (0, "") if info is not None else _last_error()
    said = None
    if info is not None:
        said = (bool(info.connected), int(info.ping_last), int(info.build))
    return received, _now(), said, int(code), str(text)


def market_watch():
    received = _now()
    with _call():
        found = _mt5.symbols_get()
        code, text = (0, "") if found is not None else _last_error()
    shown = tuple(
        (str(info.name), int(info.ticks_bookdepth)) for info in found or () if info.visible)
    return received, _now(), shown, int(code), str(text)


def leave(symbols):
    received = _now()
    _push_end()
    with _call():
        for symbol in symbols:
            _mt5.market_book_release(symbol)
        _mt5.shutdown()
    return received, _now()

"""
