"""How long from socket read to decision, against a plain reader of a file on the same wake-up?

Workload: one trade per block at 5,000 a second, or --rate, from a paced process, 2 s each. Floor:
a process that reads a plain file, blocked on a datagram or spinning, and does nothing with what it
reads. Ours: the journal's reader, the decoder and a strategy's `on_trade`, blocked or spinning, as
`ticktape record` runs it. The same pacing process writes both, in turn; the time runs from the
stamp before the write to the moment after the callback. No coordinated omission: every trade is
stamped when it was due to be written, not when the writer came to it.
What would change our mind: blocked p50 beyond 1.5 of the floor.
"""

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import options
from bench.blaster import trades_frame
from bench.figures import paired, percentile_us, print_table

_RATE = 5_000
_SECONDS = 2
_RECORD = 152  # a stamp and a trade


def answer(rounds: int) -> list[dict[str, object]]:
    """Percentiles of both sides, blocked and spinning, and the paired ratios."""
    found = []
    rate = options.rate(_RATE)
    for wait in ("block", "spin"):
        sides: dict[str, list[list[int]]] = {"floor": [], "ours": []}
        for _ in range(rounds):
            for side in sides:
                sides[side].append(_run(side, wait, rate))
        p50 = {s: [percentile_us(r, 50) for r in runs] for s, runs in sides.items()}
        p99 = {s: [percentile_us(r, 99) for r in runs] for s, runs in sides.items()}
        found.append(
            {
                "rate/s": rate,
                "wait": wait,
                "floor p50 µs": median(p50["floor"]),
                "ours p50 µs": median(p50["ours"]),
                "p50 ours/floor": paired(p50["ours"], p50["floor"]),
                "floor p99 µs": median(p99["floor"]),
                "ours p99 µs": median(p99["ours"]),
                "p99 ours/floor": paired(p99["ours"], p99["floor"]),
            }
        )
    print_table(found)
    return found


def _run(side: str, wait: str, rate: int) -> list[int]:
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        count = int(rate * options.seconds(_SECONDS))
        arguments = [sys.executable, "-m", "bench.decide", side, wait, scratch, str(count)]
        reader = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert reader.stdout is not None and reader.stdin is not None
        write = _plain_writer if side == "floor" else _journal_writer
        write(Path(scratch), count, rate, lambda: reader.stdout.readline())  # type: ignore[union-attr]
        out, _ = reader.communicate(timeout=60)
        latencies: list[int] = json.loads(out.splitlines()[-1])
        return latencies[rate // 2 :]  # the first half second warms up


def paced(count: int, rate: int, write) -> None:
    """Call `write(due_ns)` when each is due; a late writer catches up and the stamp stays due.

    It waits without the interpreter's lock, as a capture does for its socket: the journal's group
    commit has a thread of its own, and a loop that kept the lock would fight with it for it.
    """
    step_ns = 1_000_000_000 // rate
    due_ns = time.perf_counter_ns() + 50_000_000
    for _ in range(count):
        while (now_ns := time.perf_counter_ns()) < due_ns:
            select.select((), (), (), 0)
            if due_ns - now_ns > 300_000:
                time.sleep((due_ns - now_ns - 200_000) / 1e9)
        write(due_ns)
        due_ns += step_ns


def _plain_writer(folder: Path, count: int, rate: int, wait_ready) -> None:
    descriptor = os.open(folder / "plain", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    port = int(wait_ready())
    waker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    payload = trades_frame(1)[: _RECORD - 8].ljust(_RECORD - 8)

    def write(due_ns: int) -> None:
        os.write(descriptor, due_ns.to_bytes(8, "little") + payload)
        waker.sendto(b"\0", ("127.0.0.1", port))

    paced(count, rate, write)
    os.close(descriptor)


def _journal_writer(folder: Path, count: int, rate: int, wait_ready) -> None:
    from ticktape.journal.writer import Writer

    with Writer(folder / "journal", folder / "positions") as writer:
        wait_ready()
        payload = [trades_frame(1)]
        paced(count, rate, lambda due_ns: writer.append(payload, due_ns, due_ns))


def _plain_reader(wait: str, folder: Path, count: int) -> list[int]:
    waiter = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    waiter.bind(("127.0.0.1", 0))
    while not (folder / "plain").exists():
        time.sleep(0.01)
    descriptor = os.open(folder / "plain", os.O_RDONLY)
    print(waiter.getsockname()[1], flush=True)
    found: list[int] = []
    while len(found) < count:
        if wait == "block":
            waiter.recv(64)
        chunk = os.read(descriptor, 1 << 20)
        now_ns = time.perf_counter_ns()
        for at in range(0, len(chunk), _RECORD):
            found.append(now_ns - int.from_bytes(chunk[at : at + 8], "little"))
    return found


class _Strategy:
    """Takes every trade's latency, and decides nothing."""

    def __init__(self) -> None:
        self.found: list[int] = []

    def on_trade(self, trade, last) -> None:
        """Stamp."""
        self.found.append(time.perf_counter_ns() - trade.recv_ns)


def _journal_reader(wait: str, folder: Path, count: int) -> list[int]:
    import gc

    from ticktape.decisions import DecisionRunner
    from ticktape.decisions.strategy import Strategy
    from ticktape.decoders import decoder_for
    from ticktape.journal.reader import Reader, wait_any
    from ticktape.journal.wakeup import Sleeper

    strategy = _Strategy()
    decoders = {"bench": decoder_for("alpaca", "bench")}
    runner = DecisionRunner(Strategy("bench", strategy), decoders)
    reader = Reader(folder / "journal", folder / "positions")
    sleeper = Sleeper()
    while not (folder / "positions").exists():
        time.sleep(0.01)
    reader.read()
    print("ready", flush=True)
    gc.freeze()
    while len(strategy.found) < count:
        blocks = reader.read(1 << 16)
        if blocks:
            runner.give("bench", blocks)
        elif wait == "block":
            wait_any([reader], sleeper, 0.25)
        else:
            while not reader.has_news():
                pass
    return strategy.found


if __name__ == "__main__":
    read = _plain_reader if sys.argv[1] == "floor" else _journal_reader
    print(json.dumps(read(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))), flush=True)
