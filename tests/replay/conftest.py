"""A whole run made in this process: journals, decisions, tables, stamps; defects are planted."""

import json
import os
import threading
from pathlib import Path

import pytest

from ticktape import clock
from ticktape.config import DecideConfig, JournalConfig, TableConfig, dump, parse_config
from ticktape.directory import RunDirectory
from ticktape.journal import Reader, Writer
from ticktape.journal.disk import Disk
from ticktape.journal.writer import WriterConfig
from ticktape.latency import RunId, StageLog
from ticktape.recorder import decide_child, table_child
from ticktape.recorder.task import DecideTask, FeedPlace, TableTask
from ticktape.records import EntryKind
from ticktape.replay.check import check

BASE_NS = 1_763_650_800_000_000_000
STRATEGY = """
class Tens:
    def __init__(self):
        self.seen = 0
    def on_trade(self, trade, last):
        self.seen += 1
        return [self.seen, trade.id] if self.seen % 10 == 0 else None
"""


class FakeParent:
    """A parent that wants its child to read to the end and leave."""

    def __init__(self):
        self.leave = threading.Event()
        self.leave.set()
        self.orphaned = False
        self.told = []

    def listen(self, on_leave=None, *, orphan_s=0.0):
        pass

    def tell(self, event, **content):
        self.told.append((event, content))


def a_trade(number, *, symbol="IBM", trade_id=None, price=None):
    """One message of the venue, all its own."""
    moment = clock.iso_utc(BASE_NS + number * 1_000_000)
    message = {
        "T": "t",
        "S": symbol,
        "i": 1000 + number if trade_id is None else trade_id,
        "x": "N",
        "p": 100 + number / 8 if price is None else price,
        "s": 100,
        "t": moment,
        "c": ["@"],
        "z": "A",
    }
    return json.dumps([message], separators=(",", ":")).encode()


def a_session(event, **content):
    return json.dumps({"event": event, **content}).encode()


class Made:
    """A run's directory, and how to add to it."""

    def __init__(self, folder):
        self.folder = folder
        self.directory = RunDirectory(folder / "tape")
        self.directory.root.mkdir()
        self.strategy = folder / "tens.py"
        self.strategy.write_text(STRATEGY)
        self.runs = 0

    def configure(self, feeds=("sip",)):
        text = f"directory = {str(self.directory.root)!r}\n"
        for feed in feeds:
            text += (
                f'[[feed]]\nname = "{feed}"\nkind = "alpaca"\nurl = "wss://127.0.0.1/v2/sip"\n'
                'trades = ["*"]\n'
            )
        text += f"[[decide]]\nfile = {str(self.strategy)!r}\n"
        Disk().replace(self.directory.config, dump(parse_config(text, "test", Path())).encode())

    def record(self, blocks, *, feed="sip", stop=True, run="", segment_bytes=1 << 20, own=()):
        """One start of a capture: `blocks` are lists of messages; `own` come before the stop."""
        now_ns = BASE_NS + self.runs * 1_000_000_000
        run = run or f"run-{self.runs}"
        self.runs += 1
        process = RunId(clock.boot_id(), clock.monotonic_ns(), os.getpid())
        config = WriterConfig(segment_bytes=segment_bytes)
        journal, positions = self.directory.journal(feed), self.directory.positions(feed)
        with (
            Writer(journal, positions, config) as writer,
            StageLog(self.directory.stages / "written", feed, process) as written,
        ):
            down = {"down_since_ns": now_ns, "cause": "starting", "planned": True}
            starts = [a_session("started", run=run, **down), a_session("connecting", **down)]
            for each in [*starts, a_session("subscribed")]:
                writer.append([each], now_ns, 5, 0, EntryKind.SESSION)
            for number, messages in enumerate(blocks):
                start = writer.offset
                mono_ns = clock.monotonic_ns()
                writer.append(messages, now_ns + number, mono_ns, 1)
                # What the writer says of its place after a roll is the next segment's.
                if writer.offset > start:
                    at_ns = clock.monotonic_ns()
                    written.append(writer.epoch, start, writer.offset, at_ns, len(messages))
            for kind, content in own:
                writer.append_json(kind, content)
            if stop:
                gap = {"from_ns": now_ns + 10**6, "cause": "planned stop", "planned": True}
                stopped = a_session("stopped", down_since_ns=now_ns + 10**6, planned=True, gap=gap)
                writer.append([stopped], now_ns + 10**6, 6, 1, EntryKind.SESSION)
            return writer.epoch

    def decide(self, run, epoch, *, feeds=("sip",), told=None):
        """Let the strategy read one run's data; what it reports goes into `told`."""
        places = [FeedPlace(feed, "alpaca") for feed in feeds]
        config = DecideConfig(file=self.strategy, name="tens")
        positions = {feed: (epoch, 0) for feed in feeds}
        task = DecideTask(
            run, str(self.directory.root), places, config, JournalConfig(), positions, 0, "decided"
        )
        parent = FakeParent()
        parent.told = [] if told is None else told
        return decide_child.main(task, parent)

    def store(self, feeds=("sip",), decisions=("tens",)):
        """Bring all into the tables."""
        task = TableTask(
            "run",
            str(self.directory.root),
            [FeedPlace(feed, "alpaca") for feed in feeds],
            list(decisions),
            TableConfig(commit_s=60),
        )
        return table_child.main(task, FakeParent())

    def check(self):
        scratch = self.folder / "scratch"
        scratch.mkdir(exist_ok=True)
        return check(self.directory, scratch, lambda *_: None)

    def blocks(self, feed="sip"):
        with Reader(self.directory.journal(feed), None) as reader:
            found = []
            while blocks := reader.read():
                found += blocks
        return found

    def segments(self, feed="sip"):
        return sorted(self.directory.journal(feed).glob("*.seg"))


@pytest.fixture
def empty(tmp_path):
    made = Made(tmp_path)
    made.configure()
    return made


@pytest.fixture
def made(empty):
    """A complete run: 100 trades in blocks of two, decided on and stored."""
    blocks = [[a_trade(2 * n), a_trade(2 * n + 1)] for n in range(50)]
    epoch = empty.record(blocks, run="monday", segment_bytes=4096)
    empty.decide("monday", epoch)
    empty.store()
    return empty


@pytest.fixture
def trade():
    return a_trade
