"""The real process tree against the real simulator, driven from a test without sleeping."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ticktape import clock
from ticktape.config import Keys, parse_config
from ticktape.directory import RunDirectory
from ticktape.recorder.supervisor import Supervisor
from ticktape.replay.check import check
from ticktape.sim import read_truth
from ticktape.sim.generate import made_up

KEYS = Keys("demo-key", "demo-secret")


class Venue:
    """The simulator as a process; it ends when it is closed, or when the test dies."""

    def __init__(self, *options):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ticktape", "sim", "alpaca", "--until-stdin-closes", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.ready = json.loads(self._process.stdout.readline())

    def url(self, path="/v2/iex"):
        return self.ready["urls"][path]

    def wait_end(self):
        """Wait for the end of the tape; what the venue says of it."""
        return json.loads(self._process.stdout.readline())

    def end(self, truth):
        """End it in order; how many whole messages it sent, by its truth in this folder."""
        self._process.stdin.close()
        assert self._process.wait(240) == 0
        return sum(read_truth(truth)["whole"].to_pylist())

    def close(self):
        self._process.stdin.close()
        self._process.kill()
        self._process.wait(240)
        self._process.stdout.close()


class Recording:
    """A supervisor in this process, its events, and waiting for what it reports."""

    def __init__(self, config):
        self.events = []
        self.config = config
        self.directory = RunDirectory(Path(config.directory))
        keys = {feed.name: KEYS for feed in config.feed}
        self.supervisor = Supervisor(config, keys, {}, self.events.append)

    def __enter__(self):
        self.supervisor.start()
        return self

    def __exit__(self, *failure):
        self.supervisor.__exit__(*failure)

    def until(self, condition, what="it happens", within_s=240.0):
        """Go on until `condition()`; its value."""
        until_ns = clock.monotonic_ns() + int(within_s * 1e9)
        while not (found := condition()):
            assert clock.monotonic_ns() < until_ns, f"waited in vain until {what}"
            self.supervisor.poll(0.02)
        return found

    def said(self, child):
        return self.supervisor.statistics()[child]

    def until_frames(self, count, feed="sip"):
        name = f"capture-{feed}"
        return self.until(
            lambda: self.said(name).get("frames", 0) >= count, f"{count} frames of {feed} came"
        )

    def words(self, event, child=None):
        """What children said in an event, as one text for each."""
        return [
            str(each.content.get("words"))
            for each in self.events
            if each.event == event and child in (None, each.child)
        ]

    def stop(self):
        return self.supervisor.stop(lambda _: None)


def prove(directory, tmp_path):
    """The verdict of a run, from its journals and tables alone."""
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return check(RunDirectory(directory), scratch, lambda name, count: None)


def config_text(directory, feeds, strategies=(), more=""):
    """A config: feeds as {name: url}, strategies as (file, options)."""
    parts = [f"directory = {str(directory)!r}"]
    for name, url in feeds.items():
        kind, listed = "alpaca", '["*"]'
        if url.endswith("/stream"):
            kind, listed = "alpaca_v1", json.dumps(made_up(5))
        parts.append(
            f'[[feed]]\nname = "{name}"\nkind = "{kind}"\nurl = "{url}"\ntrades = {listed}\n'
            f'quotes = {listed}\nbars = ["*"]\nbackoff_max_s = 0.5'
        )
    for file, options in strategies:
        parts.append(f"[[decide]]\nfile = {str(file)!r}\n{options}")
    parts.append(more or "[table]\ncommit_s = 0.5")
    return "\n".join(parts)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@pytest.fixture(scope="module")
def venue(request):
    """Start simulators; all are closed at the module's end."""
    opened = []

    def start(*options):
        opened.append(Venue(*options))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


@pytest.fixture(scope="module")
def strategy_file(run_folder):
    def write(name, text):
        path = run_folder / f"{name}.py"
        path.write_text(textwrap.dedent(text))
        return path

    return write


@pytest.fixture(scope="module")
def configured():
    def make(*arguments, **options):
        return parse_config(config_text(*arguments, **options), "the test's config", Path())

    return make


@pytest.fixture(scope="module")
def recording():
    return Recording


@pytest.fixture(scope="module")
def proven():
    return prove
