"""Proves whole recordings of books: every stored image against the simulated terminal's truth.

    python -m bench.full_books FILE [FILE …] [--speed 1x --speed 10x --speed max]

Each file (columns snapshot recv_ns type price volume) is played by a terminal of its own at each
speed, all recorded in one run. Then: every image is a true state of its moment, byte for byte and
in order; every change lies in its reported interval; what was missed is counted.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.figures import print_table
from ticktape import mt5
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.journal.reader import Reader
from ticktape.recorder.supervisor import Supervisor
from ticktape.records import EntryKind
from ticktape.replay.check import check
from ticktape.sim.mt5 import AS_MODULE, Truth, World

_POLL_MS = {"1x": 5, "10x": 2, "max": 1}


def main() -> int:
    """Record, compare, print."""
    parser = argparse.ArgumentParser(prog="bench.full_books", description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--speed", action="append", choices=list(_POLL_MS))
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(AS_MODULE), str(Path.cwd())])
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        rows = [
            row
            for speed in arguments.speed or _POLL_MS
            for row in _record(Path(name) / speed, speed, arguments.files)
        ]
    print_table(rows)
    return 0


def _record(folder: Path, speed: str, files: list[Path]) -> list[dict[str, object]]:
    sims, text = {}, f"directory = {str(folder / 'run')!r}\n"
    for number, file in enumerate(files):
        world = folder / f"world{number}"
        options = ("--book", f"B={file.resolve()}", "--speed", speed, "--warm-s", "0")
        command = [sys.executable, "-m", "ticktape", "sim", "mt5", str(world), *options]
        sim = subprocess.Popen(
            [*command, "--latency-us", "20", "--until-stdin-closes"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert sim.stdout is not None
        path = json.loads(sim.stdout.readline())["path"]
        sims[f"f{number}"] = (file, world, sim)
        text += f"[[feed]]\nname = 'f{number}'\nkind = 'mt5'\nterminal = {path!r}\n"
        text += f"books = ['B']\npoll_ms = {_POLL_MS[speed]}\n"
    config = parse_config(text, "bench", folder)
    with Supervisor(config, {name: Keys("", "") for name in sims}, {}, lambda e: None) as run:
        run.start()
        waiting = set(sims)
        while waiting:
            run.poll(0.2)
            for name in list(waiting):
                if _is_through(sims[name][2]):
                    waiting.discard(name)
        end_ns = time.perf_counter_ns() + 2_000_000_000
        while time.perf_counter_ns() < end_ns:
            run.poll(0.1)
        end = run.stop(lambda names: None)
    assert not end.reasons(), end.reasons()
    (folder / "scratch").mkdir()
    verdict = check(RunDirectory(folder / "run"), folder / "scratch", lambda *_: None)
    assert verdict.complete, verdict.reasons()
    found = []
    for feed in verdict.feeds:
        file, world, sim = sims[feed.name]
        truth = Truth(World(world), "B")
        images = _images(folder / "run", feed.name)
        left_out = _compare(truth, images)
        (polls,) = feed.polls
        found.append(
            {
                "book": file.stem,
                "speed": speed,
                "states": len(truth),
                "images": len(images),
                "polls": polls.polls,
                "missed": left_out,
                "estimate": polls.missed if polls.missed is not None else "-",
            }
        )
        sim.stdin.close()
        sim.wait(20)
        sim.stdout.close()
    return found


def _is_through(sim) -> bool:
    os.set_blocking(sim.stdout.fileno(), False)
    line = sim.stdout.readline()
    return bool(line) and json.loads(line)["event"] == "tape_end"


def _images(root: Path, feed: str) -> list[mt5.Image]:
    found = []
    with Reader(RunDirectory(root).feed_journal(feed), None) as reader:
        while blocks := reader.read(8 << 20):
            for block in blocks:
                for kind, payload in block.entries():
                    if kind == EntryKind.BINARY and payload[0] != mt5.Form.TICKS:
                        found.append(mt5.unpack_image(payload, block.recv_mono_ns))
    return found


def _compare(truth: Truth, images: list[mt5.Image]) -> int:
    """How many states between the first and the last image no image shows."""
    seen, last, warm = [], 0, True
    for image in images:
        if warm and not image.rows:
            continue
        span = range(max(truth.at(image.before_ns), last), truth.at(image.after_ns) + 1)
        hits = [index for index in span if truth.rows(index) == image.rows]
        assert hits, f"poll {image.poll} shows no state of its moment"
        if not warm and not image.marks & mt5.Mark.KEYFRAME:
            changed_ns = int(truth.mono_ns[hits[0]])
            assert image.previous_ns is not None
            assert image.previous_ns < changed_ns <= image.after_ns, f"poll {image.poll}"
        warm, last = False, hits[0]
        seen.append(last)
    return seen[-1] - seen[0] + 1 - len(set(seen))


if __name__ == "__main__":
    sys.exit(main())
