"""`ticktape probe`: what a terminal and its broker can do, asked in a minute."""

import json as jsons
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ticktape import clock
from ticktape.cli.figures import age, duration, printable
from ticktape.cli.terminal import errors, print_json, print_line, print_rows
from ticktape.config import bridge_of, read_login
from ticktape.config.terminal import MODULE, with_absolute_terminal
from ticktape.errors import ConfigError
from ticktape.polls import quantile_ns

if TYPE_CHECKING:
    from ticktape.feeds.mt5.probed import BookFound, ProbeReport, SymbolFound
    from ticktape.feeds.mt5.terminal import Account, Terminal

_SECONDS = 30.0
_SECONDS_MAX = 3_600.0
_CALL_COLUMNS = ("call p50", "p99", "max")
_BOOK_COLUMNS = (
    *("book", "rows after", "asks + bids", "ticks_bookdepth", "polls"),
    *_CALL_COLUMNS,
    *("change ratio", "missed", "poll_ms"),
)
_TICK_COLUMNS = ("ticks", "newest", "last minute", "same ms", "flags", *_CALL_COLUMNS)
_SIDES = {1: "sell", 2: "buy", 3: "sell at market", 4: "buy at market"}


def probe(
    venue: Literal["mt5"],
    /,
    *symbols: Annotated[str, Parameter(name="SYMBOL")],
    terminal: str = MODULE,
    seconds: float = _SECONDS,
    json: bool = False,
) -> int:
    """Ask a MetaTrader 5 terminal what it and its broker can do; in a minute, recording nothing.

    Which symbols have a book and how deep, how long calls take, how often books change and what
    poll_ms that needs, whether ticks come, and how the broker's clock goes; at the end a [[feed]]
    to paste. Ask while the market is open. Without symbols it takes up to ten of Market Watch.

    Examples: `ticktape probe mt5`; `ticktape probe mt5 RIZ6 --terminal rpyc://127.0.0.1:18812`.

    Parameters
    ----------
    venue
        mt5.
    symbols
        Symbols as Market Watch shows them.
    terminal
        As in a config: module, a path of terminal64.exe, or rpyc://host:port.
    seconds
        How long to poll; with the rest it takes up to half a minute more.
    json
        Print one JSON object instead.
    """
    if not 0 < seconds <= _SECONDS_MAX:
        raise ConfigError(
            [f"--seconds {seconds:g} cannot be"], hint=f"Say {_SECONDS:g}, or up to an hour."
        )
    # Here, for `--help` needs none of it.
    from ticktape.feeds.mt5.probe import Probe
    from ticktape.feeds.mt5.terminal import Account

    keys = read_login("env", os.environ, label="probe")
    terminal = with_absolute_terminal(terminal, Path.cwd())
    try:
        bridge = bridge_of(terminal)
    except ValueError as error:
        raise ConfigError(
            [f"--terminal {terminal!r} is no bridge"], hint="Say rpyc://127.0.0.1:18812."
        ) from error
    path = "" if terminal == MODULE or bridge is not None else terminal
    account = Account(path, "", keys.key, keys.secret)
    asked, tools = _terminal(account, bridge), _Tools(account, is_local=bridge is None)
    report = Probe(asked, clock.WallClock(), tools).run(symbols, seconds)
    if json:
        print_json(report.to_json() | {"config": feed_toml(report, terminal)})
    else:
        _print(report, terminal)
    return 0


def _terminal(account: "Account", bridge: tuple[str, int] | None) -> "Terminal":
    if bridge is None:
        from ticktape.feeds.mt5.terminal import LocalTerminal

        return LocalTerminal(account)
    from ticktape.feeds.mt5.bridge import BridgeTerminal

    return BridgeTerminal(account, *bridge)


class _Tools:
    """What a probe needs of the other rooms and of this machine."""

    def __init__(self, account: "Account", *, is_local: bool) -> None:
        from ticktape.decoders.books import flags_of

        self._flags_of = flags_of
        self._account = account
        self._is_local = is_local

    def sleep_s(self, seconds: float) -> None:
        clock.sleep_s(seconds)

    def flags_of(self, rows: list[tuple[int, float, int, float]]) -> int:
        return self._flags_of(rows, 0)

    def say(self, words: str) -> None:
        errors.print(f"{words} …", markup=False)

    def hold(self, symbol: str) -> tuple[bool | None, str]:
        if not self._is_local:
            return None, "not asked: all who use a bridge share its one process"
        from ticktape.cli.probe_child import ask_second_process

        self.say(f"asking whether a second process may hold the book of {symbol}")
        answer = ask_second_process(self._account, symbol)
        return answer.is_held, answer.words


def feed_toml(report: "ProbeReport", terminal: str) -> str:
    """A `[[feed]]` for what can be recorded; empty when nothing can."""
    if not report.books and not report.ticks:
        return ""
    poll_ms = "auto" if report.poll_ms is None else report.poll_ms
    keys: dict[str, Any] = {"name": "mt5", "kind": "mt5", "terminal": terminal}
    keys |= {"server": report.facts.server, "books": report.books, "ticks": report.ticks}
    keys |= {"poll_ms": poll_ms} if report.books else {}
    lines = [f"{key} = {jsons.dumps(value, ensure_ascii=False)}" for key, value in keys.items()]
    return "\n".join(["[[feed]]", *lines])


# Printing.


def _print(report: "ProbeReport", terminal: str) -> None:
    facts, health = report.facts, report.health
    link = f"up, {duration(health.ping_us * 1e3)}" if health.connected else "DOWN"
    package = f", package {facts.package}" if facts.package else ""
    print_line(printable(f"{report.where}: build {facts.build}{package}"))
    print_line(printable(f"{facts.server} ({facts.company}); link to the trade server: {link}"))
    found = {name: each for name, each in report.symbols.items() if not each.refusal}
    _print_books({name: found[name].book for name in report.books})
    _print_ticks({name: found[name] for name in report.ticks})
    _print_answers(report)
    print_line("")
    for note in report.notes():
        print_line(f"  - {printable(note)}", style="yellow")
    _print_verdict(report, terminal)


def _print_books(books: "dict[str, BookFound]") -> None:
    if not books:
        return
    rows, delivered = [], []
    for name, book in books.items():
        polls = book.polls
        missed = "-" if polls.missed is None else f"{polls.missed:,.0f}"
        rows.append(
            (
                name,
                f"{book.rows_after_ms or 0:,.0f} ms",
                f"{book.asks} + {book.bids}",
                f"{book.depth}",
                f"{polls.polls:,}",
                *_call_cells(polls.calls, polls.call_max_ns),
                f"{book.change_ratio:.3f}",
                missed,
                "-" if book.poll_ms is None else f"{book.poll_ms:g}",
            )
        )
        volumes = "with fractions" if book.fractions else "whole"
        order = ", ".join(
            f"{flag} {count / book.images:.1%}" for flag, count in sorted(book.flags.items())
        )
        shown = "; ".join(
            f"{_SIDES.get(kind, kind)} {price:.10g} x {volume:.10g}"
            for kind, price, _, volume in book.shown
        )
        delivered.append(f"{name}: volumes {volumes}; {order or 'in order, sells first'}; {shown}")
    print_line("")
    print_rows(_BOOK_COLUMNS, rows, right=_BOOK_COLUMNS[1:])
    for line in delivered:
        print_line(printable(line))


def _print_ticks(symbols: "dict[str, SymbolFound]") -> None:
    if not symbols:
        return
    rows = []
    for name, each in symbols.items():
        ticks = each.ticks
        stamp = clock.iso_utc(ticks.newest_msc * 1_000_000)[:23].replace("T", " ")
        rows.append(
            (
                name,
                f"{stamp} there" if ticks.age_s is None else f"{age(int(ticks.age_s * 1e9))} old",
                ticks.error or f"{ticks.count:,}",
                f"{ticks.same_ms:,}",
                " ".join(f"{flags}" for flags in ticks.flags) or "-",
                *_call_cells(ticks.calls, ticks.call_max_ns),
            )
        )
    print_line("")
    print_rows(_TICK_COLUMNS, rows, right=_TICK_COLUMNS[1:])


def _call_cells(calls: "dict[int, int]", max_ns: int) -> list[str]:
    """As _CALL_COLUMNS; a bucket's middle may lie above the longest that is in it."""
    found = [quantile_ns(calls, share) for share in (0.5, 0.99)]
    return [*("-" if ns is None else duration(min(ns, max_ns)) for ns in found), duration(max_ns)]


def _print_answers(report: "ProbeReport") -> None:
    asked = next((e.book for e in report.symbols.values() if e.book.unsubscribed), None)
    offset = report.broker
    answers = {
        "before market_book_add": asked.unsubscribed if asked else "",
        "right behind it": asked.first if asked else "",
        "opened again, without it": report.after_reopen,
        "a book held twice": report.second,
        "a day of ticks": report.history,
        "broker's clock": "unknown"
        if offset is None
        else f"UTC{offset.offset_ms / 3_600_000:+.4g} h, by {offset.confidence} fresh ticks",
    }
    print_line("")
    for what, words in answers.items():
        if words:
            print_line(printable(f"{what:26}{words}"))


def _print_verdict(report: "ProbeReport", terminal: str) -> None:
    text = feed_toml(report, terminal)
    if not text:
        print_line("nothing can be recorded here now: see above", style="bold red")
        return
    more = ", with legs = 2 if you like" if report.can_share and report.books else ""
    counts = f"books: {len(report.books)}, ticks: {len(report.ticks)} of {len(report.symbols)}"
    print_line(f"can be recorded{more} ({counts} symbols):", style="bold green")
    print_line("")
    print_line(text)
