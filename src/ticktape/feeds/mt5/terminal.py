"""What a capture needs of a MetaTrader 5 terminal, and the terminal on this machine.

`LocalTerminal` calls the `MetaTrader5` package in this process; `bridge.BridgeTerminal` does the
same over RPyC. The package holds the GIL through every call and waits without a limit, so nothing
else may live in a process that uses it. `last_error` is read at once after a failed call, in the
same thread: every other call resets it.
"""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ticktape import clock, mt5
from ticktape.errors import Refused
from ticktape.feeds.mt5.codes import PIPE_CODES, call_words, disconnected, opening_words


class Account(NamedTuple):
    """How to reach a terminal; what is empty is not asked for or not checked.

    `path` is that of terminal64.exe. `login` and `password` log in where nobody is; `server` and
    `login` are compared with what the terminal then says.
    """

    path: str = ""
    server: str = ""
    login: str = ""
    password: str = ""
    timeout_ms: int = 60_000
    portable: bool = False

    def __repr__(self) -> str:
        return f"Account({self.path!r}, {self.server!r}, hidden)"


class Facts(NamedTuple):
    """What a terminal said of itself when it was opened; the account's number is not kept."""

    build: int
    package: str
    server: str
    company: str


class Health(NamedTuple):
    """The terminal's own link to its trade server."""

    connected: bool
    ping_us: int
    build: int


class BookAnswer(NamedTuple):
    """One answer to `market_book_get`; times are our monotonic nanoseconds around the call.

    `image` is the terminal's tuple of rows or, from a bridge, the same rows packed; empty means an
    empty book. None is an error, with its code.
    """

    symbol: str
    before_ns: int
    after_ns: int
    image: Any
    code: int = 0
    text: str = ""
    remote: mt5.RemoteStamp | None = None


class TickAnswer(NamedTuple):
    """One answer to `copy_ticks_from`: rows of 60 bytes, oldest first; None is an error."""

    before_ns: int
    after_ns: int
    rows: bytes | None
    code: int = 0
    text: str = ""


class Refusal(NamedTuple):
    """Why a symbol cannot be recorded now, and what to do."""

    words: str
    hint: str


class Terminal(Protocol):
    """A terminal, here or over a bridge; for one thread.

    Every method may raise Disconnected: the link is gone, and `open` is the way back.
    """

    where: str

    def open(self) -> Facts:
        """Connect and verify the account.

        Raises:
            Disconnected: it cannot be reached, or nobody is logged in; trying again may help.
            Refused: it is another account, or the package is missing; it would not help.
        """

    def subscribe(self, symbol: str, *, book: bool) -> Refusal | None:
        """Select the symbol and, for a `book`, subscribe once; None when all is well."""

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The symbol's record (`symbol_info`), without what changes with every tick."""

    def poll(self, symbols: Sequence[str]) -> Sequence[BookAnswer]:
        """Ask for each book once, in order."""

    def copy_ticks(self, symbol: str, from_s: int, count: int) -> TickAnswer:
        """Ask for up to `count` ticks from the broker's second `from_s` on, all of them."""

    def last_tick_msc(self, symbol: str) -> int:
        """Time of the newest tick on the broker's clock in milliseconds; 0 when there is none."""

    def health(self) -> Health:
        """Ask how the terminal's own link stands."""

    def market_watch(self) -> Sequence[tuple[str, int]]:
        """Symbols that Market Watch shows, each with its `ticks_bookdepth`."""

    def clock_maps(self) -> Sequence[Any]:
        """Maps from the terminal's clock to ours since the last time, as named tuples."""

    def close(self, symbols: Sequence[str]) -> None:
        """Release the books and leave; never raises."""


# What changes with every tick is no description of the instrument.
_INSTRUMENT = (
    "digits",
    "point",
    "trade_tick_size",
    "trade_contract_size",
    "volume_min",
    "volume_step",
    "volume_max",
    "ticks_bookdepth",
    "trade_exemode",
    "trade_calc_mode",
    "chart_mode",
    "spread_float",
    "currency_base",
    "currency_profit",
    "currency_margin",
    "exchange",
    "isin",
    "path",
    "description",
    "expiration_time",
)


def instrument_of(info: Any) -> dict[str, Any]:  # noqa: ANN401 - the package has no types
    """The lasting fields of a SymbolInfo that are there."""
    return {name: getattr(info, name) for name in _INSTRUMENT if hasattr(info, name)}


def near_names(module: Any, symbol: str) -> list[str]:  # noqa: ANN401
    """Symbols of the terminal that look like `symbol`: brokers add prefixes and suffixes."""
    stem = symbol.rstrip("#").split(".")[0]
    found = module.symbols_get(f"*{stem[:6]}*") or ()
    return sorted(info.name for info in found)[:5]


class LocalTerminal:
    """The terminal that the `MetaTrader5` package of this process reaches.

    Args:
        account: how to reach it.
        module: the package, or a fake; None imports it when the terminal is opened.
        monotonic_ns: the clock of the brackets.
    """

    def __init__(
        self,
        account: Account,
        module: Any = None,  # noqa: ANN401
        monotonic_ns: Any = clock.monotonic_ns,  # noqa: ANN401
    ) -> None:
        self.where = account.path or "the MetaTrader 5 of this machine"
        self._account = account
        self._module = module
        self._monotonic_ns = monotonic_ns

    def open(self) -> Facts:
        """Connect and verify; also the way back, for `initialize` closes an old link first."""
        module = self._module
        if module is None:
            try:
                module = self._module = importlib.import_module("MetaTrader5")
            except ImportError as error:
                raise Refused(
                    "the package MetaTrader5 is not installed",
                    hint="On Windows: pip install 'ticktape[mt5]'. Elsewhere use the bridge:"
                    ' terminal = "rpyc://127.0.0.1:18812" (docs/how-to/record-mt5-wine.md).',
                ) from error
        if not module.initialize(**initialize_arguments(self._account)):
            raise disconnected(opening_words(*module.last_error()))
        info, said = module.account_info(), module.last_error()
        terminal = None
        if info is not None:
            terminal, said = module.terminal_info(), module.last_error()
        facts = verify(self._account, info, terminal, said)
        return facts._replace(package=str(getattr(module, "__version__", "")))

    def subscribe(self, symbol: str, *, book: bool) -> Refusal | None:
        """Select and add, and say in words what the package does not."""
        module = self._module
        selected = module.symbol_select(symbol, True)
        code, text = module.last_error()
        if not selected:
            raise_if_gone(code, text)
            return unknown_symbol(symbol, code, text, near_names(module, symbol))
        if book and not module.market_book_add(symbol):
            # It sets no error by itself: whether the link is gone, only another call tells.
            info = module.terminal_info()
            raise_if_gone(*module.last_error())
            connected = info is not None and info.connected
            return no_depth(symbol, connected=connected)
        return None

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The lasting part of `symbol_info`; empty when the terminal has none."""
        info = self._module.symbol_info(symbol)
        return {} if info is None else instrument_of(info)

    def poll(self, symbols: Sequence[str]) -> list[BookAnswer]:
        """Ask for each book once; an error of one symbol is its own answer."""
        get, now_ns = self._module.market_book_get, self._monotonic_ns
        answers = []
        for symbol in symbols:
            before_ns = now_ns()
            image = get(symbol)
            after_ns = now_ns()
            if image is None:
                code, text = self._module.last_error()
                answers.append(BookAnswer(symbol, before_ns, after_ns, None, code, text))
                if code in PIPE_CODES:
                    break  # every further call would say the same
            else:
                answers.append(BookAnswer(symbol, before_ns, after_ns, image))
        return answers

    def copy_ticks(self, symbol: str, from_s: int, count: int) -> TickAnswer:
        """Ask for ticks from a whole second on: the package drops what is behind the point."""
        before_ns = self._monotonic_ns()
        found = self._module.copy_ticks_from(symbol, from_s, count, mt5.COPY_TICKS_ALL)
        after_ns = self._monotonic_ns()
        if found is None:
            code, text = self._module.last_error()
            raise_if_gone(code, text)
            return TickAnswer(before_ns, after_ns, None, code, text)
        return TickAnswer(before_ns, after_ns, found.tobytes())

    def last_tick_msc(self, symbol: str) -> int:
        """The newest tick's time; 0 when there is none."""
        tick = self._module.symbol_info_tick(symbol)
        if tick is None:
            raise_if_gone(*self._module.last_error())
            return 0
        return int(tick.time_msc)

    def health(self) -> Health:
        """How the link to the trade server stands."""
        info = self._module.terminal_info()
        if info is None:
            code, text = self._module.last_error()
            raise disconnected(call_words(code, text))
        return Health(bool(info.connected), int(info.ping_last), int(info.build))

    def market_watch(self) -> list[tuple[str, int]]:
        """What Market Watch shows; nothing when the terminal cannot say."""
        found = self._module.symbols_get()
        if found is None:
            raise_if_gone(*self._module.last_error())
        return [(info.name, int(info.ticks_bookdepth)) for info in found or () if info.visible]

    def clock_maps(self) -> Sequence[Any]:
        """None: the calls are timed by our own clock."""
        return ()

    def close(self, symbols: Sequence[str]) -> None:
        """Release and leave; what a terminal that is gone answers does not matter here."""
        if self._module is not None:
            for symbol in symbols:
                self._module.market_book_release(symbol)
            self._module.shutdown()


def initialize_arguments(account: Account) -> dict[str, Any]:
    """The keywords of `initialize`, for what is given."""
    arguments: dict[str, Any] = {"timeout": account.timeout_ms}
    if account.path:
        arguments["path"] = account.path
    if account.portable:
        arguments["portable"] = True
    if account.login:
        arguments |= {"login": int(account.login), "password": account.password}
        if account.server:
            arguments["server"] = account.server
    return arguments


def verify(account: Account, info: Any, terminal: Any, error: tuple[int, str]) -> Facts:  # noqa: ANN401
    """What the terminal says, once its account is the wanted one.

    Raises:
        Disconnected: it says nothing.
        Refused: it is another account; its number is not repeated.
    """
    if info is None or terminal is None:
        raise disconnected(call_words(*error))
    if account.server and info.server != account.server:
        raise Refused(
            f"the terminal is logged in at {info.server!r}, the config wants {account.server!r}",
            hint="Log the terminal in to that server, or name the right terminal = PATH.",
        )
    if account.login and str(info.login) != account.login:
        raise Refused(
            "the terminal is logged in to another account than the keys name",
            hint="Log it in to that account, or name the right terminal = PATH.",
        )
    return Facts(int(terminal.build), "", str(info.server), str(info.company))


def unknown_symbol(symbol: str, code: int, text: str, near: Sequence[str]) -> Refusal:
    """A symbol that cannot be selected, in words."""
    found = f"Near it there are: {', '.join(near)}." if near else "Look it up in Market Watch."
    return Refusal(f"the terminal has no symbol {symbol} ({code} {text!r})", found)


def no_depth(symbol: str, *, connected: bool) -> Refusal:
    """A book that cannot be subscribed, in words: the package's own are (1, 'Success')."""
    if not connected:
        return Refusal(
            f"no book of {symbol}: the terminal has no link to its trade server",
            "Look at the terminal's status line; it is tried again.",
        )
    return Refusal(
        f"no book of {symbol}: the broker sends no depth of market for it",
        "Open its Depth of Market in the terminal to see; ticks = [...] works without. It is"
        " tried again.",
    )


def raise_if_gone(code: int, text: str) -> None:
    """Raise Disconnected when a call's error means that the link to the terminal is gone."""
    if code in PIPE_CODES:
        raise disconnected(call_words(code, text))
