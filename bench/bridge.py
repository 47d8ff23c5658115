"""What does the bridge cost over a bare loop of the same requests, and what does pushing gain?

Workload: rpyc's classic server with the simulated terminal, no latency added, books of 20 levels
(10 and 10) that are others at every call; 1 and 10 symbols. `bare`: a loop of one remote function
that returns the packed books of all symbols, rows unpacked by nobody. `asked`: `PolledBooks` over
`BridgeTerminal`. `pushed`: `PushedBooks`. In turn, A B C A B C, images a second that the recorder
has in hand.
What would change our mind: asked below 0.8 of bare, or pushed below 2 of asked.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.figures import paired, print_table
from ticktape.feeds.mt5.books import PolledBooks
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.push import PushedBooks
from ticktape.feeds.mt5.terminal import Account

_CELL_S = 1.0
_SIDES = ("bare", "asked", "pushed")
_BARE = """
import struct
import MetaTrader5
def bare(symbols):
    parts = []
    for symbol in symbols:
        book = MetaTrader5.market_book_get(symbol)
        flat = []
        for row in book:
            flat += row
        parts.append(struct.pack("<" + "IdQd" * len(book), *flat))
    return b"".join(parts)
"""


def answer(rounds: int) -> list[dict[str, object]]:
    """Images a second of all sides, and the paired ratios."""
    found: list[dict[str, object]] = []
    for count in (1, 10):
        symbols = [f"S{number}" for number in range(count)]
        figures: dict[str, list[float]] = {side: [] for side in _SIDES}
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            process, bridge = _serve(Path(folder) / "world", symbols)
            try:
                for _ in range(rounds):
                    for side in _SIDES:
                        figures[side].append(_run(side, bridge, symbols))
            finally:
                process.stdin.close()
                process.wait(10)
        middle = {f"{side}/s": median(figures[side]) for side in _SIDES}
        found.append(
            {
                "symbols": count,
                **middle,
                "asked/bare": paired(figures["asked"], figures["bare"]),
                "pushed/asked": paired(figures["pushed"], figures["asked"]),
            }
        )
    print_table(found)
    return found


def _serve(world: Path, symbols: list[str]) -> tuple["subprocess.Popen[bytes]", BridgeTerminal]:
    books = [f"--book={symbol}=generated:levels=10,rate=1000000" for symbol in symbols]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ticktape", "sim", "mt5", str(world), *books),
            *("--rpyc-port", "0", "--latency-us", "0", "--warm-s", "0", "--tick-rate", "0"),
            "--until-stdin-closes",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ready = json.loads(process.stdout.readline())
    return process, BridgeTerminal(Account(path=ready["path"]), "127.0.0.1", ready["rpyc_port"])


def _run(side: str, bridge: BridgeTerminal, symbols: list[str]) -> float:
    bridge.open()
    for symbol in symbols:
        refusal = bridge.subscribe(symbol, book=True)
        assert refusal is None, refusal
    try:
        return _bare(bridge, symbols) if side == "bare" else _taken(side, bridge, symbols)
    finally:
        bridge.close(symbols)


def _bare(bridge: BridgeTerminal, symbols: list[str]) -> float:
    connection = bridge._link.connection
    connection.execute(_BARE)
    ask, asked = connection.namespace["bare"], tuple(symbols)
    count, start_ns = 0, time.perf_counter_ns()
    end_ns = start_ns + int(_CELL_S * 1e9)
    while time.perf_counter_ns() < end_ns:
        assert ask(asked)
        count += len(asked)
    return count / ((time.perf_counter_ns() - start_ns) / 1e9)


def _taken(side: str, bridge: BridgeTerminal, symbols: list[str]) -> float:
    books = PushedBooks(bridge) if side == "pushed" else PolledBooks(bridge)
    books.resume(after_gap=False)
    if side == "pushed":
        refusal = books.start()
        assert refusal is None, refusal
    books.watch(symbols)
    count, start_ns = 0, time.perf_counter_ns()
    end_ns = start_ns + int(_CELL_S * 1e9)
    while time.perf_counter_ns() < end_ns:
        count += len(books.take(0.1))
    seconds = (time.perf_counter_ns() - start_ns) / 1e9
    books.close()
    return count / seconds
