"""The real recorder against simulated MetaTrader 5 terminals, as processes of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ticktape import clock, mt5
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.journal.reader import Reader
from ticktape.recorder.supervisor import Supervisor
from ticktape.records import EntryKind
from ticktape.replay.check import check
from ticktape.sim.mt5 import AS_MODULE, Truth, World

NO_KEYS = Keys("", "")


class Simulator:
    """`ticktape sim …` as a process; it ends when it is closed, or when the test dies."""

    def __init__(self, *options):
        command = [sys.executable, "-m", "ticktape", "sim", *map(str, options)]
        self.process = subprocess.Popen(
            [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self.ready = json.loads(self.process.stdout.readline())

    def kill(self):
        """As kill -9."""
        self.process.kill()
        self.process.wait(240)

    def close(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self.process.stdout.close()


class Run:
    """A recorder in this process over some config, and what became of it."""

    def __init__(self, text, folder, keys=None):
        self.directory = RunDirectory(folder / "run")
        text = f"directory = {str(self.directory.root)!r}\n{text}\n[table]\ncommit_s = 0.5\n"
        self.config = parse_config(text, "the test's config", folder)
        self.events = []
        keys = {feed.name: (keys or {}).get(feed.name, NO_KEYS) for feed in self.config.feed}
        self.supervisor = Supervisor(self.config, keys, {}, self.events.append)
        self.end = None

    def __enter__(self):
        self.supervisor.start()
        return self

    def __exit__(self, *failure):
        self.supervisor.__exit__(*failure)

    def go_on(self, seconds):
        until_ns = clock.monotonic_ns() + int(seconds * 1e9)
        while clock.monotonic_ns() < until_ns:
            self.supervisor.poll(0.02)

    def until(self, condition, what, within_s=240.0):
        until_ns = clock.monotonic_ns() + int(within_s * 1e9)
        while not (found := condition()):
            assert clock.monotonic_ns() < until_ns, f"waited in vain until {what}"
            self.supervisor.poll(0.02)
        return found

    def said(self, feed):
        return self.supervisor.statistics()[f"capture-{feed}"]

    def restarted(self, feed, pid):
        """Wait until the feed's process is another one than `pid`, and records."""
        child = f"capture-{feed}"
        self.until(lambda: self.supervisor.pids().get(child) not in (None, pid), "it is back")
        self.until_ready(feed)

    def until_ready(self, *feeds):
        for feed in feeds:
            self.until(lambda feed=feed: self.said(feed).get("state") == "ready", f"{feed} stands")

    def sessions(self, feed):
        """The session events of a feed, in order."""
        return [
            event.content["content"]
            for event in self.events
            if event.event == "session" and event.child == f"capture-{feed}"
        ]

    def words(self, feed, event):
        return [each.get("words", "") for each in self.sessions(feed) if each["event"] == event]

    def stop(self):
        self.end = self.supervisor.stop(lambda _: None)
        return self.end

    def prove(self):
        scratch = self.directory.root.with_name("scratch")
        scratch.mkdir(exist_ok=True)
        return check(self.directory, scratch, lambda name, count: None)

    def images(self, feed):
        """Every journaled image of a feed in order, on the monotonic clock."""
        return [
            mt5.unpack_image(payload, block.recv_mono_ns)
            for block, payload in self._entries(feed)
            if payload[0] != mt5.Form.TICKS
        ]

    def ticks(self, feed, symbol):
        """Every journaled tick's 60 bytes in order, as one text of bytes."""
        batches = [
            mt5.unpack_ticks(payload, block.recv_mono_ns)
            for block, payload in self._entries(feed)
            if payload[0] == mt5.Form.TICKS
        ]
        return b"".join(batch.rows for batch in batches if batch.symbol == symbol)

    def _entries(self, feed):
        with Reader(self.directory.feed_journal(feed), None) as reader:
            while blocks := reader.read():
                for block in blocks:
                    for kind, payload in block.entries():
                        if kind == EntryKind.BINARY:
                            yield block, payload


def match(truth, images):
    """Match images with states of the truth, in order; the index of each one's state.

    Fails when an image is no true state of its moment, out of order, or came outside its interval.
    A book that is still empty after its subscription shows no state; the first that follows came
    before we could see it.
    """
    found, last, rows, is_warming = [], 0, {}, True
    for image in images:
        if is_warming and not image.rows:
            continue
        span = range(max(truth.at(image.before_ns), last), truth.at(image.after_ns) + 1)
        hits = [index for index in span if rows.setdefault(index, truth.rows(index)) == image.rows]
        assert hits, f"poll {image.poll} shows no state of its moment"
        if not image.marks & mt5.Mark.KEYFRAME and not is_warming:
            changed_ns = int(truth.mono_ns[hits[0]])
            assert image.previous_ns < changed_ns <= image.after_ns, f"poll {image.poll}"
        is_warming = False
        last = hits[0]
        found.append(last)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("terminal")


@pytest.fixture(scope="module")
def simulate():
    """Start simulators; all are closed at the module's end."""
    opened = []

    def start(*options):
        opened.append(Simulator(*options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def start_run(folder):
    """Make runs whose children find the simulated package."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(AS_MODULE), before]))
    opened = []

    def make(text, name="one", keys=None):
        place = folder / name
        place.mkdir(exist_ok=True)
        run = Run(text, place, keys)
        opened.append(run)
        return run.__enter__()

    yield make
    for run in opened:
        run.__exit__(None, None, None)
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def truth_of():
    def make(path, symbol):
        return Truth(World(Path(path).parent), symbol)

    return make


def text_of_feed(name, terminal, *, books=(), ticks=(), more=""):
    return (
        f'[[feed]]\nname = "{name}"\nkind = "mt5"\nterminal = {str(terminal)!r}\n'
        f"books = {json.dumps(list(books))}\nticks = {json.dumps(list(ticks))}\n"
        f"backoff_max_s = 0.5\n{more}\n"
    )


@pytest.fixture(scope="session")
def feed_text():
    return text_of_feed


@pytest.fixture(scope="session")
def matched():
    return match
