"""How many trades a second go through everything: journal, last values, decision, trace, table?

Workload: generated trades from `ticktape sim alpaca` at max speed, at 1 and at 50 per frame, into
`ticktape record` with the demo's strategy, all on this machine. The rate is that of the slowest
stage: all trades over the time from the first socket read to the last commit of the table. Plain
twin: the same stream into a client that only counts (what the simulator can send). Peer: a part of
it into alpaca-py's `StockDataStream` as it is, in MessagePack, whose handler does nothing.
What would change our mind: a stage that falls behind without bound.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from bench import options
from bench.figures import print_table

# Some six in ten of them are trades; for some ten seconds, so that the start counts for little.
_EVENTS = {1: 3_000_000, 50: 3_000_000}
_PEER_EVENTS = {1: 100_000, 50: 400_000}
_STAGES = ("written", "last", "decided", "stored")


def answer(rounds: int) -> list[dict[str, object]]:
    """Trades a second per stage, the median of the rounds."""
    found = []
    for per_frame, events in _EVENTS.items():
        runs = [_run(options.rows(events), per_frame) for _ in range(rounds)]
        middle = {key: median(run[key] for run in runs) for key in runs[0]}
        found.append({"trades/frame": per_frame, **middle})
    print_table(found)
    return found


def _venue(events: int, per_frame: int) -> tuple["subprocess.Popen[bytes]", str, int]:
    venue = subprocess.Popen(
        [
            *(sys.executable, "-m", "ticktape", "sim", "alpaca", "--tape", "generated"),
            *("--events", str(events), "--kinds", "trades", "--symbols", "20"),
            *("--speed", "max", "--batch", str(per_frame), "--until-stdin-closes"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert venue.stdout is not None
    ready = json.loads(venue.stdout.readline())
    return venue, ready["url"], ready["rows"]["/v2/iex"]


def _close(venue: "subprocess.Popen[bytes]") -> None:
    assert venue.stdin is not None
    venue.stdin.close()
    try:
        venue.wait(10)
    except subprocess.TimeoutExpired:
        venue.kill()
        venue.wait()


def _run(events: int, per_frame: int) -> dict[str, float]:
    venue, url, trades = _venue(events, per_frame)
    try:
        counted = asyncio.run(_count(url, trades))
    finally:
        _close(venue)
    peer = _peer(min(events, _PEER_EVENTS[per_frame]), per_frame)
    ours = _recorded(events, per_frame)
    ratio = ours["stored/s"] / peer
    alone = {"trades": trades, "sim alone/s": counted, "alpaca-py/s": peer}
    return {**alone, **ours, "stored/alpaca-py": ratio}


def _peer(events: int, per_frame: int) -> float:
    """Trades a second of alpaca-py's bare handler."""
    venue, url, trades = _venue(events, per_frame)
    try:
        client = [sys.executable, "-W", "ignore", "-m", "bench.through", url, str(trades)]
        said = subprocess.run(client, stdout=subprocess.PIPE, timeout=300, check=True)
        return float(said.stdout)
    finally:
        _close(venue)


def _handle(url: str, trades: int) -> None:
    import os
    import time

    from alpaca.data.live import StockDataStream

    seen = [0, 0]

    async def on_trade(_) -> None:
        seen[1] = seen[1] or time.perf_counter_ns()
        seen[0] += 1
        if seen[0] == trades:
            print(trades * 1e9 / (time.perf_counter_ns() - seen[1]), flush=True)
            os._exit(0)

    stream = StockDataStream("demo-key", "demo-secret", url_override=url)
    stream.subscribe_trades(on_trade, "*")
    stream.run()


async def _count(url: str, trades: int) -> float:
    from picows import WSListener, WSMsgType, ws_connect

    from ticktape.clock import monotonic_ns

    done = asyncio.Event()
    seen = [0, 0]
    answers = [
        b'{"action":"auth","key":"demo-key","secret":"demo-secret"}',
        b'{"action":"subscribe","trades":["*"]}',
    ]

    class Client(WSListener):
        def on_ws_frame(self, transport, frame):
            payload = frame.get_payload_as_bytes()
            count = payload.count(b'"T":"t"')
            if count:
                seen[1] = seen[1] or monotonic_ns()
                seen[0] += count
                if seen[0] >= trades:
                    done.set()
            elif answers:
                transport.send(WSMsgType.TEXT, answers.pop(0))

    await ws_connect(Client, url)
    await asyncio.wait_for(done.wait(), 120)
    return trades * 1e9 / (monotonic_ns() - seen[1])


def _recorded(events: int, per_frame: int) -> dict[str, float]:
    from ticktape.cli import sample_strategy
    from ticktape.directory import RunDirectory
    from ticktape.latency import read_stages
    from ticktape.replay.paths import block_index

    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        venue, url, trades = _venue(events, per_frame)
        config = Path(scratch) / "bench.toml"
        config.write_text(
            f'directory = "run"\n[[feed]]\nname = "sim"\nkind = "alpaca"\nurl = "{url}"\n'
            f'trades = ["*"]\n[[decide]]\nfile = "{sample_strategy.__file__}"\n'
        )
        try:
            recorder = subprocess.Popen(
                [sys.executable, "-m", "ticktape", "record", str(config), "--json"],
                env=_environment(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert venue.stdout is not None
            json.loads(venue.stdout.readline())  # the tape's end
            recorder.terminate()
            out, _ = recorder.communicate(timeout=300)
        finally:
            _close(venue)
        verdict = json.loads(out.splitlines()[-1])
        if verdict["stored"] != trades or verdict["dropped"]:
            raise RuntimeError(f"not everything went through: {verdict['reasons']}")
        run = RunDirectory(Path(scratch) / "run")
        index = block_index(run, "sim")
        data = index.count >= 1
        first_ns = int(np.min(index.recv_mono_ns[data][4:]))  # after the handshake
        stages = read_stages(run.stages, "sim")
        return {
            f"{stage}/s": trades * 1e9 / (_last_ns(stages[stage]["mono_ns"]) - first_ns)
            for stage in _STAGES
        }


def _last_ns(mono_ns: "np.ndarray") -> int:
    """When the last trades passed; the row behind theirs is of the session's end."""
    return int(np.max(mono_ns[:-1] if len(mono_ns) > 1 else mono_ns))


def _environment() -> dict[str, str]:
    import os

    return {**os.environ, "APCA_API_KEY_ID": "demo-key", "APCA_API_SECRET_KEY": "demo-secret"}


if __name__ == "__main__":
    _handle(sys.argv[1], int(sys.argv[2]))
