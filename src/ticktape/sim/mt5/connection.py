"""One client's connection to a simulated terminal: all that the module MetaTrader5 can do.

Results, refusals and errors are those of the real extension 5.0.6231, as far as they are known: a
wrong argument is no exception, and `market_book_add` fails without a word. Nothing here may be
kinder than the real module.
"""

from datetime import datetime

from ticktape.sim.mt5 import results
from ticktape.sim.mt5.inquiry import account_row, symbol_row, symbols_of, terminal_row
from ticktape.sim.mt5.pipe import OK, Pipe, Subscription, symbol_of
from ticktape.sim.mt5.results import NO_TICK, Tick, TickRows, new_book_row
from ticktape.sim.mt5.world import World

Answer = tuple[object, ...]
TICK_KINDS = (results.COPY_TICKS_ALL, results.COPY_TICKS_INFO, results.COPY_TICKS_TRADE)
SECONDS_MAX = (1 << 31) - 1


class Connection(Pipe):
    """The functions of the module, each with the arguments that the real one takes."""

    # What is there.

    def terminal_info(self) -> Answer | None:
        """The terminal's state."""
        self._error = OK
        now_ns = self._begin()
        if now_ns is None or self._world is None:
            return None
        return results.TerminalInfo(terminal_row(self._world, now_ns))

    def account_info(self) -> Answer | None:
        """The account that is logged in."""
        self._error = OK
        if self._begin() is None or self._world is None:
            return None
        if not self._world.control.logged_in:
            self._fail(results.RES_E_FAIL)
            return None
        return results.AccountInfo(account_row(self._world.description))

    def symbols_total(self) -> int | None:
        """How many symbols there are."""
        self._error = OK
        if self._begin() is None or self._world is None:
            return None
        return len(self._world.description.books)

    def symbols_get(self, *args: object, **options: object) -> Answer | bool | None:
        """All symbols, or those of a group such as `*USD*,!*JPY*`."""
        self._error = OK
        group = args[0] if args else options.get("group", "*")
        if len(args) > 1 or not isinstance(group, str):
            return self._refuse(results.RES_E_INVALID_PARAMS)
        now_ns = self._begin()
        if now_ns is None or self._world is None:
            return None
        world = self._world
        names = symbols_of(list(world.description.books), group)
        return tuple(results.SymbolInfo(symbol_row(world, name, now_ns)) for name in names)

    def symbol_info(self, *args: object) -> Answer | None:
        """What the broker says of a symbol."""
        symbol, world, now_ns = self._ask(args)
        if symbol is None or world is None:
            return None
        if symbol not in world.description.books:
            self._fail(results.RES_E_NOT_FOUND)
            return None
        return results.SymbolInfo(symbol_row(world, symbol, now_ns))

    def symbol_info_tick(self, *args: object) -> Answer | None:
        """The last tick; all zeros before the first one."""
        symbol, world, now_ns = self._ask(args)
        if symbol is None or world is None:
            return None
        if symbol not in world.description.books:
            self._fail(results.RES_E_NOT_FOUND)
            return None
        ticks = world.ticks(symbol)
        count = ticks.count(world.control.shown_ns(now_ns))
        return Tick(ticks.rows(count - 1, count)[0].item()) if count else NO_TICK

    def symbol_select(self, *args: object) -> bool:
        """Put a symbol into the Market Watch, or take it out."""
        self._error = OK
        if not 1 <= len(args) <= 2 or symbol_of(args[0]) is None:
            return self._refuse(results.RES_E_INVALID_PARAMS)
        if self._begin() is None or self._world is None:
            return False
        if args[0] not in self._world.description.books:
            return self._refuse(results.RES_E_NOT_FOUND)
        return True

    def _ask(
        self, args: tuple[object, ...], *, late: bool = False
    ) -> tuple[str, World, int] | tuple[None, None, int]:
        """Symbol, world and moment of a call with a symbol; Nones when it failed, with an error."""
        self._error = OK
        symbol = symbol_of(args[0]) if len(args) == 1 else None
        if symbol is None:
            self._fail(results.RES_E_INVALID_PARAMS)
            return None, None, 0
        now_ns = self._begin(late=late)
        if now_ns is None or self._world is None:
            return None, None, 0
        return symbol, self._world, now_ns

    # Books.

    def market_book_add(self, *args: object) -> bool | None:
        """Subscribe to a symbol's book; False without an error when there is none."""
        symbol, world, now_ns = self._ask(args)
        if symbol is None or world is None:
            return self._without_a_word()
        book = world.book(symbol)
        if book is None:
            return False
        known = self._books.get(symbol)
        added_ns, times = (known.added_ns, known.times) if known else (now_ns, 0)
        self._books[symbol] = Subscription(book, added_ns, times + 1)
        return True

    def market_book_get(self, *args: object) -> Answer | None:
        """The symbol's book: rows, `()` when it has none now, or None on an error."""
        symbol, world, now_ns = self._ask(args, late=True)
        if symbol is None or world is None:
            return None
        known = self._books.get(symbol)
        if known is None:
            self._fail(results.RES_E_FAIL)
            return None
        control = world.control
        control.gets += 1
        if now_ns - known.added_ns < world.description.warm_s * 1e9:
            return ()
        shown_ns = control.shown_ns(now_ns)
        rows = known.book.shown(shown_ns, move=shown_ns == now_ns)
        answer = tuple(map(new_book_row, rows))
        self._after()
        return answer

    def market_book_release(self, *args: object) -> bool | None:
        """Take one subscription back; False without an error when there is none."""
        symbol, world, _ = self._ask(args)
        if symbol is None or world is None:
            return self._without_a_word()
        known = self._books.pop(symbol, None)
        if known is None:
            return False
        if known.times > 1:
            self._books[symbol] = known._replace(times=known.times - 1)
        return True

    def _without_a_word(self) -> bool | None:
        """What add and release answer to a failure: only a wrong argument is told."""
        if self._error[0] == results.RES_E_INVALID_PARAMS:
            return None
        self._error = OK
        return False

    # Ticks.

    def copy_ticks_from(self, *args: object) -> TickRows | None:
        """Ticks from a whole second on, at most so many."""
        self._error = OK
        if len(args) != 4 or not isinstance(args[2], int) or args[2] < 0:
            self._fail(results.RES_E_INVALID_PARAMS)
            return None
        from_s = _seconds(args[1], "copy_ticks_from")
        return self._copy(args[0], from_s, None, args[3], args[2])

    def copy_ticks_range(self, *args: object) -> TickRows | None:
        """Ticks between two whole seconds, both included."""
        self._error = OK
        if len(args) != 4:
            self._fail(results.RES_E_INVALID_PARAMS)
            return None
        from_s = _seconds(args[1], "copy_ticks_range")
        to_s = _seconds(args[2], "copy_ticks_range")
        if to_s is None:
            self._fail(results.RES_E_INVALID_PARAMS)
            return None
        return self._copy(args[0], from_s, to_s, args[3], SECONDS_MAX)

    def _copy(
        self, symbol: object, from_s: int | None, to_s: int | None, kind: object, count: int
    ) -> TickRows | None:
        name = symbol_of(symbol)
        if name is None or from_s is None or kind not in TICK_KINDS:
            self._fail(results.RES_E_INVALID_PARAMS)
            return None
        now_ns = self._begin(late=True)
        if now_ns is None or self._world is None:
            return None
        if name not in self._world.description.books:
            self._fail(results.RES_E_FAIL)
            return None
        shown_ns = self._world.control.shown_ns(now_ns)
        to_ms = None if to_s is None else to_s * 1000
        rows = self._world.ticks(name).copy(from_s * 1000, to_ms, int(str(kind)), count, shown_ns)
        self._after()
        return rows


def _seconds(moment: object, function: str) -> int | None:
    """Whole seconds of a moment as the real module takes it; None when it takes it not.

    Raises:
        SystemError: the moment is no 32-bit number of seconds; milliseconds are not.
    """
    if isinstance(moment, datetime):
        moment = moment.timestamp()
    if not isinstance(moment, int | float):
        return None
    seconds = int(moment)
    if not 0 <= seconds <= SECONDS_MAX:
        raise SystemError(f"<built-in function {function}> returned a result with an exception set")
    return seconds
