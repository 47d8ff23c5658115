"""A real browser driven over its own protocol, and runs to look at."""

import base64
import contextlib
import http.client
import itertools
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from ticktape.dashboard.guard import Guard
from ticktape.dashboard.server import Server
from ticktape.dashboard.sources import Sample

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
# Generous: a machine may have two cores and ten things to do, and what the page asks has its turn
# in one process, which has to start and may take 20 s for each answer.
WAIT_S = 240.0


def wait_for(what, seconds=WAIT_S, name=""):
    """The first true value of `what()`; fails with its last value when none comes in time."""
    until = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < until, f"still {found!r}: {name}"
        time.sleep(0.05)
    return found


class Browser:
    """One tab of a headless Chromium; `requests` are all addresses that it asked for."""

    def __init__(self, folder):
        self._process = subprocess.Popen(
            [
                CHROMIUM,
                *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
                *("--disable-background-networking", "--disable-component-update"),
                *("--disable-sync", "--hide-scrollbars", "--remote-debugging-port=0"),
                *("--disable-dev-shm-usage", f"--user-data-dir={folder}", "about:blank"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        port = ""
        for line in self._process.stderr:
            if found := re.search(r"DevTools listening on ws://127.0.0.1:(\d+)/(\S+)", line):
                port, path = found.groups()
                break
        assert port, "the browser did not start"
        threading.Thread(target=self._process.stderr.read, daemon=True).start()
        self._numbers = itertools.count(1)
        self.requests, self.complaints = [], []
        self._held = contextlib.ExitStack()
        self._socket = self._held.enter_context(
            connect(
                f"ws://127.0.0.1:{port}/{path}",
                max_size=None,
                open_timeout=WAIT_S,
                close_timeout=0.2,
                ping_interval=None,
            )
        )
        self._session = ""
        target = next(
            each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"
        )
        self._session = self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **given):
        """Tell the browser something; its answer."""
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": given}
        if self._session:
            said["sessionId"] = self._session
        self._socket.send(json.dumps(said))
        while True:
            heard = json.loads(self._socket.recv(timeout=WAIT_S))
            if heard.get("id") == number:
                assert "error" not in heard, heard
                return heard["result"]
            self._hear(heard)

    def _hear(self, heard):
        what, given = heard.get("method"), heard.get("params", {})
        if what == "Network.requestWillBeSent":
            self.requests.append(given["request"]["url"])
        elif what == "Network.webSocketCreated":
            self.requests.append(given["url"])
        elif what == "Runtime.exceptionThrown":
            self.complaints.append(given["exceptionDetails"])
        elif what == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.complaints.append(given["entry"])

    def open(self, url, *, width=1440, height=1000, dark=False):
        """Open an address in a window of this size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait(f"location.href === {url!r} && document.readyState === 'complete'")

    def ask(self, script):
        """What a piece of JavaScript gives; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, script, seconds=WAIT_S):
        """The first true value of a piece of JavaScript."""
        return wait_for(lambda: self.ask(script), seconds, script)

    def press(self, key, text=""):
        """Press a key."""
        given = {"key": key, "code": key, "text": text} if text else {"key": key, "code": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **given)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def picture(self, path, height=None):
        """Write what is to be seen as PNG; with `height` so much of the page."""
        clip = {}
        if height is not None:
            width = self.ask("innerWidth")
            clip = {"clip": {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}}
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=height is not None, **clip)
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self):
        """End it."""
        # It ends its own processes, which one that is killed cannot.
        self._session = ""
        with contextlib.suppress(ConnectionClosed):
            self.call("Browser.close")
        self._held.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    if not CHROMIUM:
        pytest.skip("needs a browser: install Chromium (on Debian: apt-get install chromium)")
    with contextlib.closing(Browser(tmp_path_factory.mktemp("profile"))) as opened:
        yield opened


@pytest.fixture
def browser(chromium):
    yield chromium
    chromium.open("about:blank")
    chromium.requests.clear()
    chromium.complaints.clear()


class Page:
    """`ticktape dashboard` in a process of its own."""

    def __init__(self, directory, *options):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ticktape", "dashboard", str(directory), "--json", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline()
        assert line, "the page did not start"
        self.url = json.loads(line)["url"]

    def close(self):
        self.process.terminate()
        assert self.process.wait(WAIT_S) in (0, -15), "it ends as it is told"
        self.process.stdout.close()


@pytest.fixture
def serve():
    """A function that serves the page of a run: `serve(directory).url`."""
    with contextlib.ExitStack() as pages:
        yield lambda directory, *options: pages.enter_context(
            contextlib.closing(Page(Path(directory), *(options or ("--port", "0"))))
        )


ECHO = "import sys\nprint('{}', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)"


class FakeRun:
    """A run whose only part is a number that grows; with `weight` as many bytes each time."""

    def __init__(self, weight=0, symbols=(("sip", "AAPL"),), parts=None):
        self.number = 0
        self.weight = weight
        self.symbols = list(symbols)
        self.parts = parts or {}
        self.watched = set()

    def sample(self, watched):
        self.number += 1
        self.watched = set(watched)
        weight = f"{self.number}" + "x" * self.weight
        parts = {**self.parts, "number": self.number, "weight": weight}
        books = {key: {"feed": key[0], "symbol": key[1]} for key in watched}
        now_ms = time.time_ns() // 1_000_000
        row = [float(self.number), 100.0, 1.0, None, 2.0, None, now_ms, now_ms, None]
        values = {number: row for number in range(len(self.symbols))}
        return Sample(now_ms, parts, self.symbols, values, [], [], books)

    def close(self):
        pass


class Served:
    """A server in a thread of this process."""

    def __init__(self, source, token="", answers=None):
        listening = socket.create_server(("127.0.0.1", 0))
        self.port = listening.getsockname()[1]
        guard = Guard("127.0.0.1", self.port, token, "secret" if token else "")
        self.server = Server(
            listening,
            guard,
            source,
            [sys.executable, "-c", answers or ECHO],
            lambda: "ticktape_up 1\n",
        )
        self.server.takes_signals = False
        self.url = f"http://127.0.0.1:{self.port}/"
        self._thread = threading.Thread(target=self.server.run)
        self._thread.start()

    def get(self, path, **headers):
        """Status, headers and body of a request, its path sent as it is."""
        asking = http.client.HTTPConnection("127.0.0.1", self.port, WAIT_S)
        with contextlib.closing(asking):
            asking.putrequest("GET", path, skip_host="Host" in headers)
            for name, value in headers.items():
                asking.putheader(name.replace("_", "-"), value)
            asking.endheaders()
            answer = asking.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()

    def look(self, **options):
        # Who does not read what came cannot hear the other side close.
        options = {"open_timeout": WAIT_S, "close_timeout": 0.2, "max_size": None, **options}
        return connect(f"ws://127.0.0.1:{self.port}/live", **options)

    def close(self):
        self.server.stop()
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()


@pytest.fixture
def serving():
    with contextlib.ExitStack() as served:
        yield lambda run=None, **options: served.enter_context(
            contextlib.closing(Served(run or FakeRun(), **options))
        )


@pytest.fixture
def fake_run():
    return FakeRun


@pytest.fixture
def wait_until():
    return wait_for
