"""A bridge of the tests' own: rpyc's classic server in a process, and a stand-in for a terminal."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.terminal import Account

SERVE = Path(__file__).parent / "served" / "serve.py"


class Served:
    """A server's process; `market` is the stand-in's, over a connection of its own."""

    def __init__(self, *options):
        self.port = 0
        self.start(*options)
        if "-P" not in options:
            self.look()

    def start(self, *options):
        self.process = subprocess.Popen(
            [sys.executable, *options, str(SERVE), str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self.port = int(self.process.stdout.readline())

    def look(self):
        rpyc = pytest.importorskip("rpyc")
        self.control = rpyc.connect("127.0.0.1", self.port, service=rpyc.MasterService)
        self.market = self.control.modules["MetaTrader5"].market

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()

    def restart(self):
        self.start()
        self.look()

    def pushing(self):
        """How many threads push books there."""
        threads = self.control.modules["threading"].enumerate()
        return sum(thread.name == "ticktape-push" for thread in threads)

    def eventually(self, is_true):
        """Wait until it is; fails after 20 s."""
        for _ in range(2_000):
            if is_true():
                return
            threading.Event().wait(0.01)
        raise AssertionError("it never was")

    def terminal(self, call_timeout_s=5.0, **account):
        return BridgeTerminal(Account(**account), "127.0.0.1", self.port, call_timeout_s)


@pytest.fixture
def served():
    pytest.importorskip("rpyc")
    served = Served()
    yield served
    served.kill()


@pytest.fixture
def bridge(served):
    """An open terminal with two symbols."""
    for symbol in ("RIZ6", "SiZ6"):
        served.market.put(symbol, 1)
    terminal = served.terminal()
    terminal.open()
    yield terminal
    terminal.close([])
