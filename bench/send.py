"""How long from the server's send to the decision, against alpaca-py's bare handler?

Workload: a server of its own process sends frames when they are due, 5,000 trades a second at 1 and
20,000 at 50 per frame, 2 s each; the last trade of each frame carries the moment. Peer: alpaca-py's
`StockDataStream` as it is, MessagePack, its handler called with the trade; it does nothing else.
Ours: the whole recorder, JSON; the strategy called with the trade once that is journaled, its
process blocked until woken, or spinning. In turn, A B C A B C; the first fifth warms up.
What would change our mind: a p50 above the peer's, spinning at 1 per frame or blocked at 50.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from bench import options
from bench.figures import paired, print_table
from bench.pacer import STAMP_MIN, Pacer
from bench.recording import PATH, Run

_CASES = {1: 5_000, 50: 20_000}
_SIDES = ("alpaca-py", "blocked", "spinning")
_STRATEGY = """
import time
from array import array


class Stamps:
    timer_s = 0.25

    def __init__(self):
        self.took = array("q")

    def on_trade(self, trade, last):
        if trade.id >= {least}:
            self.took.append(time.perf_counter_ns() - trade.id)

    def on_timer(self, now_ns, last):
        took, self.took = self.took, array("q")
        with open({path!r}, "ab") as file:
            took.tofile(file)
"""


def answer(rounds: int) -> list[dict[str, object]]:
    """Percentiles of all sides, and ratios against the peer."""
    found = []
    for per_frame, rate in _CASES.items():
        runs: dict[str, list[tuple[float, float]]] = {side: [] for side in _SIDES}
        for _ in range(rounds):
            for side in _SIDES:
                took_ns = _run(side, per_frame, rate // per_frame)
                p50, p99 = np.percentile(took_ns[len(took_ns) // 5 :], [50, 99]) / 1_000
                runs[side].append((float(p50), float(p99)))
        for side in _SIDES:
            row: dict[str, object] = {"trades/frame": per_frame, "trades/s": rate, "side": side}
            for name, at in (("p50", 0), ("p99", 1)):
                ours, peer = ([run[at] for run in runs[s]] for s in (side, "alpaca-py"))
                row[f"{name} µs"] = median(ours)
                row[f"{name}/alpaca-py"] = paired(ours, peer)
            found.append(row)
    print_table(found)
    return found


def _run(side: str, per_frame: int, rate: int) -> "np.ndarray":
    count = int(rate * options.seconds(2))
    encoding = "msgpack" if side == "alpaca-py" else "json"
    with Pacer(encoding, per_frame, count, rate) as pacer:
        url = f"ws://127.0.0.1:{pacer.port}{PATH}"
        if side == "alpaca-py":
            return _peer(pacer, url, count)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            return _ours(pacer, url, count, Path(folder), "spin" if side == "spinning" else "block")


def _ours(pacer: Pacer, url: str, count: int, folder: Path, wait: str) -> "np.ndarray":
    took = folder / "took"
    strategy = folder / "strategy.py"
    strategy.write_text(_STRATEGY.format(least=STAMP_MIN, path=str(took)))
    with Run(folder, url, strategy=strategy, decide=f"wait = {wait!r}") as run:
        pacer.go()
        run.until(lambda: took.exists() and took.stat().st_size >= 8 * count)
        run.stop()
    return np.fromfile(took, np.int64)


def _peer(pacer: Pacer, url: str, count: int) -> "np.ndarray":
    client = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "bench.send", url, str(count)],
        stdout=subprocess.PIPE,
    )
    pacer.go()
    out, _ = client.communicate(timeout=60 + 10 * options.seconds(2))
    return np.array(json.loads(out))


def _listen(url: str, count: int) -> None:
    import os
    import time

    from alpaca.data.live import StockDataStream

    took: list[int] = []

    async def on_trade(trade) -> None:
        if trade.id >= STAMP_MIN:
            took.append(time.perf_counter_ns() - trade.id)
            if len(took) == count:
                print(json.dumps(took), flush=True)
                os._exit(0)

    stream = StockDataStream("key", "secret", url_override=url)
    stream.subscribe_trades(on_trade, "*")
    stream.run()


if __name__ == "__main__":
    _listen(sys.argv[1], int(sys.argv[2]))
