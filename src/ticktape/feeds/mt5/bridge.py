"""A MetaTrader 5 terminal behind an RPyC server: under Wine, or on another machine.

The server of rpyc's classic mode runs what we send; ours exposes nothing (`MasterService`), so a
hostile server cannot run code here. A helper (`remote`) is sent once and then asked by functions:
what a config holds crosses as arguments and never as text to be evaluated. Every wait ends; a
server that hangs, which is what a hung terminal looks like from here, is one that is gone.
"""

import contextlib
import importlib
import struct
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from ticktape import clock, mt5
from ticktape.errors import Disconnected, Refused
from ticktape.feeds.mt5 import remote, remotepush, stream
from ticktape.feeds.mt5.clockmap import ClockMap, MapNote
from ticktape.feeds.mt5.codes import call_words, disconnected, opening_words
from ticktape.feeds.mt5.terminal import (
    Account,
    BookAnswer,
    Facts,
    Health,
    Refusal,
    TickAnswer,
    initialize_arguments,
    instrument_of,
    near_names,
    no_depth,
    raise_if_gone,
    unknown_symbol,
    verify,
)

CALL_TIMEOUT_S = 10.0
_LAUNCH_S = 90.0
"""Beside its own timeout `initialize` waits up to 60 s for a terminal that it starts."""
_EXCHANGES = 15
"""Of so many exchanges the shortest sets the first clock map."""

_START_HINT = (
    "Start it where the terminal runs: wine python.exe -m rpyc.cli.rpyc_classic --host 127.0.0.1"
    " -p 18812 (docs/how-to/record-mt5-wine.md)."
)
_HUNG_HINT = (
    "The terminal hangs, shows a window that waits, or updates itself; no call to it can be broken"
    " off from here. End it and its bridge if this lasts."
)


class _Login(NamedTuple):
    login: int
    server: str
    company: str


class _Link(NamedTuple):
    """One connection: rpyc's, its socket, and the helper's functions."""

    connection: Any
    stream: stream.BridgeStream
    functions: dict[str, Any]


class BridgeTerminal:
    """The terminal that the `MetaTrader5` package of an rpyc server reaches; for one thread.

    Args:
        account: how the server reaches the terminal.
        host: of the server; a tunnel's end, when it is another machine.
        port: of the server.
        call_timeout_s: how long an answer may take; opening may take the account's timeout and
            90 s.
        monotonic_ns: the clock of the brackets.
    """

    def __init__(
        self,
        account: Account,
        host: str,
        port: int,
        call_timeout_s: float = CALL_TIMEOUT_S,
        monotonic_ns: Callable[[], int] = clock.monotonic_ns,
    ) -> None:
        self.where = f"rpyc://{host}:{port}"
        self.call_timeout_s = call_timeout_s
        self.clock_map = ClockMap()
        self._account = account
        self._address = host, port
        self._monotonic_ns = monotonic_ns
        self._link: _Link | None = None

    # Opening and ending.

    def open(self) -> Facts:
        """Connect, send the helper, open the terminal and verify it; also the way back."""
        self._drop()
        self._link = self._connect()
        self.clock_map.restart()
        for _ in range(_EXCHANGES):
            self.ask("hello")
        self.clock_map.renew()
        arguments = tuple(initialize_arguments(self._account).items())
        timeout_s = _LAUNCH_S + self._account.timeout_ms / 1_000
        is_open, code, text, said, build, package = self.ask(
            "begin", arguments, timeout_s=timeout_s
        )
        if not is_open:
            raise disconnected(opening_words(code, text))
        account = None if said is None else _Login(*said)
        terminal = None if build < 0 else SimpleNamespace(build=build)
        return verify(self._account, account, terminal, (code, text))._replace(package=package)

    def _connect(self) -> _Link:
        try:
            rpyc = importlib.import_module("rpyc")  # only for those who have a bridge
        except ImportError as error:
            raise Refused(
                "the package rpyc is not installed",
                hint="pip install 'ticktape[mt5-linux]'",
            ) from error
        host, port = self._address
        try:
            connected = stream.connect(host, port, self.call_timeout_s, self.call_timeout_s)
        except OSError as error:
            raise Disconnected(f"no bridge at {self.where}: {error}", hint=_START_HINT) from error
        config = {"sync_request_timeout": self.call_timeout_s, "close_catchall": True}
        try:
            connection = rpyc.connect_stream(connected, rpyc.MasterService, config)
            connection.execute(remote.SOURCE + remotepush.SOURCE)
            functions = {name: rpyc.async_(connection.namespace[name]) for name in remote.FUNCTIONS}
        except (EOFError, OSError) as error:
            connected.close()
            raise self._gone(error) from error
        except Exception as error:
            connected.close()
            raise _refused(error, rpyc.__version__) from error
        return _Link(connection, connected, functions)

    def close(self, symbols: Sequence[str]) -> None:
        """Release the books, leave the terminal and the bridge; never raises."""
        if self._link is not None:
            with contextlib.suppress(Disconnected):
                self.ask("leave", tuple(symbols))
        self._drop()

    def _drop(self) -> None:
        """End the connection without a word, for its server may hang."""
        link, self._link = self._link, None
        if link is not None:
            link.stream.close()
            # What it would still say goes to a closed socket: it only forgets its objects.
            link.connection.close()

    # Asking.

    def ask(self, name: str, *arguments: Any, timeout_s: float = 0.0) -> tuple[Any, ...]:  # noqa: ANN401
        """What the helper's function `name` answers, less its stamps, which the clock map takes.

        Raises:
            Disconnected: it did not, or the connection is gone; it is closed then.
        """
        return self._ask(name, arguments, timeout_s)[2]

    def _ask(
        self,
        name: str,
        arguments: tuple[Any, ...],
        timeout_s: float = 0.0,
    ) -> tuple[int, int, tuple[Any, ...]]:
        """As `ask`, with when we asked and when we had the answer."""
        link, timeout_s = self._link, timeout_s or self.call_timeout_s
        if link is None:
            raise Disconnected(f"the bridge at {self.where} is not connected", hint=_START_HINT)
        sent_ns = self._monotonic_ns()
        try:
            pending = link.functions[name](*arguments)
            pending.set_expiry(timeout_s)
            received, answered, *answer = pending.value
        except (EOFError, OSError) as error:
            self._drop()
            raise self._gone(error, timeout_s) from error
        except Exception as error:
            self._drop()
            # rpyc appends the server's traceback to the text of what was raised there.
            words = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise Disconnected(
                f"the bridge at {self.where} failed in {name}: {words}",
                hint="Look at the bridge's own output; the connection is opened anew.",
            ) from error
        arrived_ns = self._monotonic_ns()
        self.clock_map.exchange(sent_ns, received, answered, arrived_ns)
        return sent_ns, arrived_ns, tuple(answer)

    def _gone(self, error: Exception, timeout_s: float = 0.0) -> Disconnected:
        if isinstance(error, TimeoutError):
            waited_s = timeout_s or self.call_timeout_s
            return Disconnected(
                f"the bridge did not answer for {waited_s:g} s: {self.where}", hint=_HUNG_HINT
            )
        words = str(error).partition("\n")[0]
        return Disconnected(
            f"the bridge at {self.where} is gone: {words or type(error).__name__}",
            hint=_START_HINT,
        )

    def clock_maps(self) -> list[MapNote]:
        """The clock maps since the last time, for the journal: remote stamps name their numbers."""
        return self.clock_map.notes()

    # What a capture asks.

    def subscribe(self, symbol: str, *, book: bool) -> Refusal | None:
        """Select and add, and say in words what the package does not."""
        stage, code, text, connected = self.ask("subscribe", symbol, book)
        if stage:
            raise_if_gone(code, text)
        if stage == "symbol":
            return unknown_symbol(symbol, code, text, near_names(self, symbol))
        return no_depth(symbol, connected=connected) if stage else None

    def symbols_get(self, pattern: str) -> list[SimpleNamespace]:
        """Symbols that match, as the package has them but with their names alone."""
        return [SimpleNamespace(name=name) for name in self.ask("names", pattern)[0]]

    def instrument(self, symbol: str) -> dict[str, Any]:
        """The lasting part of `symbol_info`; empty when the terminal has none."""
        return instrument_of(SimpleNamespace(**dict(self.ask("instrument", symbol)[0])))

    def poll(self, symbols: Sequence[str]) -> list[BookAnswer]:
        """Ask for each book once, all in one request; brackets are outer bounds on our clock."""
        if not symbols:
            return []
        sent_ns, arrived_ns, (packed,) = self._ask("books", (tuple(symbols),))
        bracket, number = self.clock_map.bracket, self.clock_map.map.number
        answers, at = [], 0
        for symbol in symbols:
            if at == len(packed):
                break  # it met the terminal's end and did not ask further
            before, after, code, length = remote.ANSWER.unpack_from(packed, at)
            at += remote.ANSWER.size
            before_ns, after_ns = bracket(before, after, sent_ns, arrived_ns)
            stamp = mt5.RemoteStamp(before, after, number)
            if length >= 0:
                rows = packed[at : at + length]
                answers.append(BookAnswer(symbol, before_ns, after_ns, rows, remote=stamp))
            else:
                length = ~length
                text = packed[at : at + length].decode()
                answers.append(BookAnswer(symbol, before_ns, after_ns, None, code, text, stamp))
            at += length
        return answers

    def copy_ticks(self, symbol: str, from_s: int, count: int) -> TickAnswer:
        """Ask for ticks from a whole second on: the package drops what is behind the point."""
        sent_ns, arrived_ns, (before, after, rows, code, text) = self._ask(
            "ticks", (symbol, from_s, count, mt5.COPY_TICKS_ALL)
        )
        before_ns, after_ns = self.clock_map.bracket(before, after, sent_ns, arrived_ns)
        if rows is None:
            raise_if_gone(code, text)
        return TickAnswer(before_ns, after_ns, rows, code, text)

    def last_tick_msc(self, symbol: str) -> int:
        """The newest tick's time; 0 when there is none."""
        time_msc, code, text = self.ask("last_tick", symbol)
        raise_if_gone(code, text)
        return int(time_msc)

    def health(self) -> Health:
        """How the link to the trade server stands."""
        said, code, text = self.ask("health")
        if said is None:
            raise disconnected(call_words(code, text))
        return Health(*said)

    def market_watch(self) -> list[tuple[str, int]]:
        """What Market Watch shows; nothing when the terminal cannot say."""
        shown, code, text = self.ask("market_watch")
        raise_if_gone(code, text)
        return [(str(symbol), int(depth)) for symbol, depth in shown]

    # For those who let the bridge poll.

    def local_address(self) -> tuple[Any, str]:
        """Family and address of our end of the connection.

        Raises:
            Disconnected: there is none.
        """
        if self._link is None:
            raise Disconnected(f"the bridge at {self.where} is not connected", hint=_START_HINT)
        return self._link.stream.local_address()


def _refused(error: Exception, version: str) -> Refused:
    """Why a server that answered cannot be used; another try would not help."""
    words = f"{type(error).__name__}: {error}".partition("\n")[0]
    if isinstance(error, ImportError):
        return Refused(
            f"the bridge's Python cannot import MetaTrader5 ({words})",
            hint="Install it there: wine python.exe -m pip install MetaTrader5 'numpy<2'.",
        )
    if isinstance(error, ValueError | struct.error):
        # 6 to a server of 5: "invalid message type: 18"; 5 to a server of 6: "not enough values
        # to unpack (expected 3, got 0)".
        return Refused(
            f"the bridge's rpyc has another major version than {version} ({words})",
            hint="Install the same major version of rpyc on both sides.",
        )
    return Refused(
        f"the bridge is no rpyc server in classic mode ({words})",
        hint=_START_HINT,
    )
