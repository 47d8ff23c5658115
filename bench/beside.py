"""Does recording a fast book beside a busy feed miss more of it than a bare loop would?

Workload: a simulated terminal whose book of 64+64 levels changes 2,000 times a second, polled as
fast as possible, while an Alpaca feed of 5,000 trades a second is recorded, all on this machine.
Floor: the Alpaca feed is recorded, and a process of its own polls the terminal in a bare loop that
keeps the number of the state that it saw. Ours: both feeds in one run of the recorder. In turn,
A B A B; 5 s each, or --seconds.
What would change our mind: more than one percentage point more states missed, or a p99.9 gap more
than twice the bare loop's; or anything left behind at the stop.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from bench import options
from bench.figures import print_table
from bench.recording import Sim
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.recorder.supervisor import Supervisor
from ticktape.replay.check import check
from ticktape.replay.tail import connect_run
from ticktape.sim.mt5 import AS_MODULE, Truth, World

_RATE = 2_000
_SYMBOL = "BOOK"
_SIP = """
[[feed]]
name = "sip"
kind = "alpaca"
url = {url!r}
trades = ["*"]
"""
_MT5 = """
[[feed]]
name = "mt5"
kind = "mt5"
terminal = {terminal!r}
books = ["BOOK"]
poll_ms = 0
"""


def answer(rounds: int) -> list[dict[str, object]]:
    """States missed and gaps of both sides, per round."""
    seconds = options.seconds(5)
    found = []
    for round_ in range(rounds):
        for side in ("bare", "ours"):
            found.append({"round": round_, "side": side, **_run(side, seconds)})
            print_table([found[-1]])
    return found


def _run(side: str, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        events = str(int(5_000 * (seconds + 30)))
        alpaca = Sim(
            *("alpaca", "--path", "/v2/sip", "--tape", "generated", "--kinds", "trades"),
            *("--events", events, "--rate", "5000", "--hold"),
        )
        book = f"{_SYMBOL}=generated:levels=64,rate={_RATE}"
        options = ("--book", book, "--latency-us", "0", "--warm-s", "0")
        terminal = Sim("mt5", str(folder / "world"), *options)
        os.environ["PYTHONPATH"] = os.pathsep.join([str(AS_MODULE), str(Path.cwd())])
        try:
            if side == "bare":
                return _bare(folder, alpaca, terminal, seconds)
            return _recorded(folder, alpaca, terminal, seconds)
        finally:
            alpaca.close()
            terminal.close()


def _supervise(folder: Path, text: str, seconds: float, during=None) -> Supervisor:
    config = parse_config(f"directory = {str(folder / 'run')!r}\n{text}", "bench", Path())
    keys = {feed.name: Keys("demo-key", "demo-secret") for feed in config.feed}
    keys |= {feed.name: Keys("", "") for feed in config.feed if feed.kind == "mt5"}
    with Supervisor(config, keys, {}, lambda event: None) as supervisor:
        supervisor.start()
        captures = [child.name for child in supervisor.captures]
        while not all(supervisor.statistics()[name].get("frames") for name in captures):
            supervisor.poll(0.1)
        ready_ns = time.perf_counter_ns() + 1_000_000_000  # the first reports are over, too
        while time.perf_counter_ns() < ready_ns:
            supervisor.poll(0.1)
        child = during() if during is not None else None
        end_ns = time.perf_counter_ns() + int(seconds * 1e9)
        while time.perf_counter_ns() < end_ns:
            supervisor.poll(0.1)
        if child is not None:
            child.wait(30)
        end = supervisor.stop(lambda names: None)
        assert not end.reasons(), end.reasons()
    return supervisor


def _bare(folder: Path, alpaca: Sim, terminal: Sim, seconds: float) -> dict[str, object]:
    out = folder / "bare.npy"
    command = [sys.executable, "-m", "bench.beside", terminal.ready["path"], str(seconds), str(out)]
    sip = _SIP.format(url=alpaca.ready["urls"]["/v2/sip"])
    _supervise(folder, sip, seconds, lambda: subprocess.Popen(command))
    before_ns, number = np.load(out)
    true = int(number[-1] - number[0])
    seen = len(np.unique(number)) - 1
    return _figures(len(before_ns), true - seen, true, np.diff(before_ns), "")


def _recorded(folder: Path, alpaca: Sim, terminal: Sim, seconds: float) -> dict[str, object]:
    text = _SIP.format(url=alpaca.ready["urls"]["/v2/sip"])
    text += _MT5.format(terminal=terminal.ready["path"])
    _supervise(folder, text, seconds)
    directory = RunDirectory(folder / "run")
    (folder / "scratch").mkdir()
    verdict = check(directory, folder / "scratch", lambda *_: None)
    (feed,) = [feed for feed in verdict.feeds if feed.name == "mt5"]
    (polls,) = feed.polls
    con = connect_run(directory)
    first_ns = con.execute("SELECT min(after_ns) FROM books").fetchall()[0][0]
    con.close()
    wall_ns = Truth(World(folder / "world"), _SYMBOL).wall_ns
    true = int(((wall_ns > first_ns) & (wall_ns <= feed.polled_ns)).sum())
    gaps = polls.to_json()["gap_us"]
    assert isinstance(gaps, dict)
    found = _figures(polls.polls, true - (polls.changed - 1), true, None, verdict.last_line()[:10])
    return found | {f"gap {name} µs": gaps[name] for name in ("p50", "p99", "p999", "max")}


def _figures(polls: int, missed: int, true: int, gaps_ns, said: str) -> dict[str, object]:
    found: dict[str, object] = {"polls": polls, "true": true, "missed %": 100 * missed / true}
    if gaps_ns is not None:
        p50, p99, p999 = np.percentile(gaps_ns, [50, 99, 99.9]) / 1000
        names = ("p50", "p99", "p999", "max")
        values = (p50, p99, p999, gaps_ns.max() / 1000)
        found |= {f"gap {n} µs": float(v) for n, v in zip(names, values, strict=True)}
    return found | {"verdict": said}


def _bare_loop(path: str, seconds: float, out: str) -> None:
    import gc
    from array import array

    import MetaTrader5

    assert MetaTrader5.initialize(path) and MetaTrader5.market_book_add(_SYMBOL)
    get, now_ns = MetaTrader5.market_book_get, time.perf_counter_ns
    befores, numbers = array("q"), array("q")
    gc.disable()
    end_ns = now_ns() + int(seconds * 1e9)
    before_ns = 0
    while before_ns < end_ns:
        before_ns = now_ns()
        rows = get(_SYMBOL)
        now_ns()
        if rows:
            befores.append(before_ns)
            numbers.append(round(rows[-1][3] * 100) - 1)
    np.save(out, np.array([befores, numbers]))


if __name__ == "__main__":
    _bare_loop(sys.argv[1], float(sys.argv[2]), sys.argv[3])
