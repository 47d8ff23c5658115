"""How many frames a second does a capture take, against a client that only writes them to a file?

Workload: ready-made frames of 1 and of 50 trades (132 and about 6,000 bytes), sent as fast as the
socket takes them, by a process of its own. Floor: a picows client that writes each frame's stamp
and payload to a buffered file. Ours: the capture as `ticktape record` runs it (session, journal
with group commit, stage rows), in a process of its own, too. In turn, A B A B. The burst at 50 is
over in 0.3 s: the floor leaves all that it wrote in the system's memory, we sync it meanwhile. The
long run brings more (5.7 GB) than the system lets a process leave there.
What would change our mind: below 0.7 of the floor at 1 per frame the block is too dear.
"""

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench.blaster import Blaster
from bench.figures import paired, print_table

_RUNS = ((1, 400_000), (50, 60_000), (50, 1_000_000))  # trades in a frame, frames


def answer(rounds: int) -> list[dict[str, object]]:
    """Frames a second of both sides, and the paired ratio."""
    found = []
    for per_frame, frames in _RUNS:
        figures: dict[str, list[dict[str, float]]] = {"floor": [], "ours": []}
        for _ in range(rounds):
            for side in figures:
                figures[side].append(_run(side, frames, per_frame))
        rates = {side: [run["rate"] for run in runs] for side, runs in figures.items()}
        cpu = {side: [run["cpu_us"] for run in runs] for side, runs in figures.items()}
        found.append(
            {
                "trades/frame": per_frame,
                "frames": frames,
                "floor frames/s": median(rates["floor"]),
                "ours frames/s": median(rates["ours"]),
                "ours/floor": paired(rates["ours"], rates["floor"]),
                "floor µs CPU/frame": median(cpu["floor"]),
                "ours µs CPU/frame": median(cpu["ours"]),
            }
        )
    print_table(found)
    return found


def _run(side: str, frames: int, per_frame: int) -> dict[str, float]:
    blaster = Blaster(frames, per_frame)
    try:
        client = subprocess.Popen(
            [sys.executable, "-m", "bench.capture", side, str(blaster.port), str(frames)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert client.stdout is not None
        if client.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{side}: the client did not come to stand")
        blaster.go()
        said: dict[str, float] = json.loads(client.stdout.readline())
        client.wait(30)
        return said
    finally:
        blaster.close()


class _Counter:
    """Notes when the first and the last frame came, and the CPU between them."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self.seen = 0
        self._start = (0, 0)
        self.done = asyncio.Event()

    def add(self, count: int) -> None:
        """Count frames of data."""
        if self.seen == 0:
            self._start = (time.perf_counter_ns(), time.process_time_ns())
        self.seen += count
        if self.seen >= self._frames and not self.done.is_set():
            self.done.set()

    def say(self) -> None:
        """Print the rate and the CPU time per frame."""
        wall_s = (time.perf_counter_ns() - self._start[0]) / 1e9
        cpu_us = (time.process_time_ns() - self._start[1]) / 1000 / self.seen
        print(json.dumps({"rate": self.seen / wall_s, "cpu_us": cpu_us}), flush=True)


async def _floor(port: int, frames: int, folder: Path) -> None:
    from picows import WSListener, WSMsgType, ws_connect

    counter = _Counter(frames)
    target = open(folder / "frames", "wb", buffering=1 << 20)  # noqa: SIM115, ASYNC230
    answers = [b"auth", b"subscribe"]

    class Client(WSListener):
        def on_ws_frame(self, transport, frame):
            payload = frame.get_payload_as_bytes()
            target.write(time.perf_counter_ns().to_bytes(8, "little") + payload)
            if payload.startswith(b'[{"T":"t"'):
                counter.add(1)
            elif answers:
                transport.send(WSMsgType.TEXT, answers.pop(0))

    await ws_connect(Client, f"ws://127.0.0.1:{port}/v2/iex")
    print("ready", flush=True)
    await counter.done.wait()
    counter.say()
    target.close()


async def _ours(port: int, frames: int, folder: Path) -> None:
    from ticktape import clock
    from ticktape.feeds import protocol_maker
    from ticktape.feeds.capture import Capture, CaptureConfig
    from ticktape.feeds.socket import SocketConfig
    from ticktape.journal.writer import Writer
    from ticktape.latency import RunId, StageLog
    from ticktape.recorder.heap import keep_freed

    keep_freed()
    counter = _Counter(frames)
    wall = clock.WallClock()
    stage = StageLog(folder / "written", "bench", RunId(clock.boot_id(), 1, 1))
    writer = Writer(folder / "journal", folder / "positions", wall=wall)

    def on_written(start: int, end: int, mono_ns: int, count: int) -> None:
        stage.append(writer.epoch, start, end, mono_ns, count)
        if ready:
            counter.add(count)

    ready: list[bool] = []

    def on_state(content):
        if content.event == "subscribed":
            ready.append(True)
            print("ready", flush=True)

    socket = SocketConfig(f"ws://127.0.0.1:{port}/v2/iex", {}, 5, 10, 10, 64 << 20, "", "")
    capture = Capture(
        CaptureConfig("bench", "run", 5, 60, 0, 30),
        socket,
        lambda wanted: protocol_maker("alpaca")("key", "secret", wanted),
        {"trades": ["*"]},
        writer,
        wall,
        on_written=on_written,
        on_state=on_state,
        on_tick=stage.flush,
        jitter=random.Random(0),
    )
    running = asyncio.ensure_future(capture.run())
    await counter.done.wait()
    counter.say()
    capture.stop()
    await running
    writer.close()
    stage.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        side = _ours if sys.argv[1] == "ours" else _floor
        asyncio.run(side(int(sys.argv[2]), int(sys.argv[3]), Path(scratch)))
