"""The real recorder as processes of its own, against real servers on loopback.

Venues live in a thread with an event loop; a run records many of them at once, one feed each, so
that starting Python is paid once per file of tests and not once per case.
"""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import deltalake
import pyarrow.compute as pc
import pytest
import websockets

import ticktape
from ticktape.clock import NS_PER_S
from ticktape.directory import RunDirectory
from ticktape.records import EntryKind
from ticktape.replay.places import reader_of
from ticktape.sim import AlpacaSim, SimConfig, generate_tape
from ticktape.sim.config import Program

KEY, SECRET = "PLANTED-KEY-4711", "planted/secret+0815"
SYMBOLS = ("AAPL", "IBM", "TSLA")
WAIT_S = 240.0
COMMON = ("kind", "symbol", "event_ns")
TRUTH_COLUMNS = {
    "trades": (*COMMON, "exchange", "id", "price", "size", "conditions", "tape"),
    "quotes": (*COMMON,),
    "bars": (*COMMON,),
    "corrections": (*COMMON, "exchange", "id", "price", "size", "conditions", "tape"),
    "cancels": (*COMMON, "exchange", "id", "price", "size", "tape"),
}
TABLE_NAMES = {"corrections": {"id": "original_id", "price": "original_price"}}
TABLE_NAMES["corrections"] |= {"size": "original_size", "conditions": "original_conditions"}


class Loop:
    """An event loop in a thread, and everything that is to be closed on it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self._closers = []

    def run(self, work, wait_s=WAIT_S):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(wait_s)

    def later(self, closer):
        self._closers.append(closer)

    def close(self):
        for closer in reversed(self._closers):
            with contextlib.suppress(Exception):
                self.run(closer(), 10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)


class Venue:
    """A simulated Alpaca; `path` is the one that matters."""

    def __init__(self, loop, tape, path="/v2/iex", ssl_context=None, **settings):
        settings = {"keys": {KEY: SECRET}, "rate": 1500.0} | settings
        self._loop = loop
        self.path = path
        self.sim = AlpacaSim({path: Program(tape)}, SimConfig(**settings), ssl_context=ssl_context)
        loop.run(self.sim.start())
        loop.later(self.sim.close)
        self.url = self.sim.url(path)

    @property
    def is_over(self):
        return self.sim.streams[self.path].ended.is_set()

    def sent(self):
        """Every whole message that was put on a connection, in order, with its fault."""
        return [row for row in self.sim.truth.table().to_pylist() if row["whole"]]

    def occupy(self):
        """Take the account's slot, as another recorder would; call what is returned to leave."""

        async def take():
            socket = await websockets.connect(self.url)
            await socket.recv()
            await socket.send(json.dumps({"action": "auth", "key": KEY, "secret": SECRET}))
            assert "authenticated" in await socket.recv()
            return socket

        socket = self._loop.run(take())
        return lambda: self._loop.run(socket.close())


def ws_frame(payload, opcode=1, fin=True):
    size = len(payload)
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        return head + bytes([size]) + payload
    if size < 1 << 16:
        return head + b"\x7e" + size.to_bytes(2, "big") + payload
    return head + b"\x7f" + size.to_bytes(8, "big") + payload


class RawVenue:
    """A server that does exactly what a script says; it greets as a WebSocket unless told not to.

    `script(reader, writer, number)` is a coroutine; the connection is closed when it returns.
    """

    def __init__(self, loop, script, *, upgrade=True):
        self.connections = 0
        self._script, self._upgrade = script, upgrade
        self._tasks = set()
        server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/v2/iex"

        async def close():
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        loop.later(close)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        number, self.connections = self.connections, self.connections + 1
        try:
            if not self._upgrade:
                await reader.read(65536)  # whatever it is
            else:
                request = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in request.split(b"\r\n")[1:-2])
                key = {name.lower(): value for name, value in fields.items()}[b"sec-websocket-key"]
                magic = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
                accept = base64.b64encode(hashlib.sha1(key + magic).digest())
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
            await self._script(reader, writer, number)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class Proxy:
    """An HTTP proxy that knows CONNECT alone; `login` is what it asks for, `mute` never answers."""

    def __init__(self, loop, *, login="", mute=False):
        self.asked = []
        self._login, self._mute = login.encode(), mute
        self._tasks = set()
        server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def close():
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        loop.later(close)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        request = await reader.readuntil(b"\r\n\r\n")
        if self._mute:
            await reader.read()
        target = request.split(b" ")[1].decode()
        self.asked.append(target)
        if self._login and base64.b64encode(self._login) not in request:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
            writer.close()
            return
        host, _, port = target.rpartition(":")
        from_venue, to_venue = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pipe(reader, to_venue), _pipe(from_venue, writer))


async def _pipe(reader, writer):
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
    writer.close()


class Ended(SimpleNamespace):
    """A run that has ended: exit code, certificate, what it printed, and what it left."""

    def verdict_of(self, feed):
        return self.verdict["feeds"][feed]

    def arrow(self, kind, feed):
        """The table's rows of a feed, in the order in which they came."""
        table = deltalake.DeltaTable(str(self.directory / "table" / kind)).to_pyarrow_table()
        place = [("epoch", "ascending"), ("seq", "ascending"), ("index", "ascending")]
        return table.filter(pc.equal(table["feed"], feed)).sort_by(place)

    def rows(self, kind, feed):
        """The same as a list; empty without such a table."""
        path = self.directory / "table" / kind / "_delta_log"
        return self.arrow(kind, feed).to_pylist() if path.is_dir() else []

    def gaps(self, feed, symbol=""):
        """The feed's gaps, folded: the last row of each beginning says how it went on."""
        found = {}
        for row in self.rows("gaps", feed):
            if row["symbol"] == symbol:
                found[row["from_ns"]] = row
        return [found[from_ns] for from_ns in sorted(found)]

    def unplanned(self, feed, symbol=""):
        return [gap for gap in self.gaps(feed, symbol) if not gap["planned"]]

    def entries(self, feed):
        """Every entry of the journal: (recv_ns, kind, payload)."""
        found = []
        with reader_of(RunDirectory(self.directory), feed, live=False) as reader:
            while blocks := reader.read(64 << 20):
                for block in blocks:
                    found += [(block.recv_ns, kind, bytes(p)) for kind, p in block.entries()]
        return found

    def raw(self, feed):
        """Every message of the venue, as it came."""
        kinds = (EntryKind.TEXT, EntryKind.BINARY)
        return [entry for entry in self.entries(feed) if entry[1] in kinds]

    def times_of(self, feed, event):
        """When the feed's session entries of this event were journaled, in ns."""
        said = [
            (at, json.loads(p)) for at, kind, p in self.entries(feed) if kind == EntryKind.SESSION
        ]
        return [at for at, content in said if content["event"] == event]

    def session(self, feed, *events):
        """What the feed's capture said of its session, all or only these events."""
        said = [
            line["content"]
            for line in self.lines
            if line["child"] == f"capture-{feed}" and line["event"] == "session"
        ]
        return [content for content in said if not events or content["event"] in events]


class Recorder:
    """`ticktape record` as a child process."""

    def __init__(self, place, feeds, *, more="", arguments=(), environment=None):
        self.directory = place / "tape"
        self.place = place
        self.config = place / "config.toml"
        self.config.write_text(config_text(self.directory, feeds) + more)
        self._out, self._err = place / "stdout", place / "stderr"
        source = str(Path(ticktape.__file__).parent.parent)
        env = {name: v for name, v in os.environ.items() if not name.startswith("APCA_")}
        env |= {"PYTHONPATH": source, "APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}
        env |= environment or {}
        command = [sys.executable, "-m", "ticktape", "record", str(self.config), "--json"]
        with open(self._out, "ab") as out, open(self._err, "ab") as err:
            self.process = subprocess.Popen(
                [*command, *arguments], stdout=out, stderr=err, env=env, cwd=place
            )

    def lines(self):
        try:
            text = (self.directory / "log" / "events.jsonl").read_text()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text.split("\n")[:-1]]

    def wait(self, feed, event, words="", count=1):
        """Wait until the feed has said so; returns what it said."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until and self.process.poll() is None:
            found = [
                line["content"]
                for line in self.lines()
                if line["child"] == f"capture-{feed}"
                and line["event"] == "session"
                and line["content"]["event"] == event
                and words in line["content"].get("words", "")
            ]
            if len(found) >= count:
                return found[count - 1]
            time.sleep(0.05)  # another process's log is all that there is to wait on
        raise AssertionError(f"{feed} never said {event} {words!r}: {self._err.read_text()}")

    def wait_tapes(self, *venues):
        """Wait until these venues have played their tapes."""
        until = time.monotonic() + WAIT_S
        while not all(venue.is_over for venue in venues):
            late = time.monotonic() > until or self.process.poll() is not None
            assert not late, self._err.read_text()
            time.sleep(0.05)  # the venues' loop is another thread's

    def stop(self):
        """Ask it to stop, and see what it proved."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait_ended()

    def wait_ended(self):
        code = self.process.wait(WAIT_S)
        lines = self._out.read_text().strip().splitlines()
        return Ended(
            exit_code=code,
            directory=self.directory,
            place=self.place,
            verdict=json.loads(lines[-1]) if lines else None,
            words=self._err.read_text(),
            lines=self.lines(),
        )

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(WAIT_S)


def check(directory):
    """Exit code and certificate of `ticktape check`."""
    return _verb("check", str(directory))


def _verb(*arguments):
    env = os.environ | {"PYTHONPATH": str(Path(ticktape.__file__).parent.parent)}
    command = [sys.executable, "-m", "ticktape", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    return done.returncode, json.loads(done.stdout.strip().splitlines()[-1])


# A machine that is busy with something else must not look like a venue that does not answer.
DEFAULTS = {"kind": "alpaca", "keys": "env", "connect_timeout_s": 30.0}
DEFAULTS |= {"trades": ["*"], "quotes": ["*"], "bars": ["*"]}
DEFAULTS_V1 = DEFAULTS | {"kind": "alpaca_v1", "trades": list(SYMBOLS), "quotes": list(SYMBOLS)}


def config_text(directory, feeds):
    lines = [f"directory = {json.dumps(str(directory))}", "[table]", "commit_s = 0.5"]
    for name, settings in feeds.items():
        settings = dict(settings)
        defaults = DEFAULTS_V1 if settings.get("kind") == "alpaca_v1" else DEFAULTS
        lines += ["[[feed]]", f"name = {json.dumps(name)}"]
        lines += [f"{key} = {json.dumps(value)}" for key, value in (defaults | settings).items()]
    return "\n".join(lines) + "\n"


def as_sent(kind, rows, *, from_table=False):
    """Rows of a kind with the columns that truth and table share."""
    names = TRUTH_COLUMNS[kind]
    other = TABLE_NAMES.get(kind, {}) if from_table else {}
    found = []
    for row in rows:
        # Null on the wire is an empty text in the table.
        row = row | {"kind": kind, "conditions": row.get("conditions") or ""}
        found.append(tuple(row[other.get(name, name)] for name in names))
    return found


def check_equal(ended, feed, sent):
    """The table holds what was sent, each message once, in the order in which it was sent."""
    count = 0
    for kind in TRUTH_COLUMNS:
        expected = as_sent(kind, [row for row in sent if row["kind"] == kind])
        found = as_sent(kind, ended.rows(kind, feed), from_table=True)
        assert found == expected, f"{feed}: {kind}"
        count += len(expected)
    unknown = [row["text"] for row in sent if row["kind"] == "unknown"]
    stored = [row["text"] for row in ended.rows("unknown", feed)]
    # The table has the message alone, the truth its frame.
    assert stored == unknown or [f"[{text}]" for text in stored] == unknown, feed
    verdict = ended.verdict_of(feed)
    assert verdict["received"] == count + len(unknown) + verdict["duplicates"], feed
    assert verdict["stored"] == count + len(unknown), feed
    assert verdict["dropped"] == verdict["torn"] == verdict["behind"] == 0, feed
    assert not [reason for reason in ended.verdict["reasons"] if "gap" not in reason]


def seconds(gap):
    return (gap["to_ns"] - gap["from_ns"]) / NS_PER_S


@pytest.fixture(scope="session")
def wire():
    """What the tests of this folder use, by name."""
    return SimpleNamespace(
        KEY=KEY,
        SECRET=SECRET,
        SYMBOLS=SYMBOLS,
        Venue=Venue,
        RawVenue=RawVenue,
        Proxy=Proxy,
        Recorder=Recorder,
        ws_frame=ws_frame,
        check=check,
        verb=_verb,
        check_equal=check_equal,
        seconds=seconds,
    )


@pytest.fixture(scope="module")
def loop():
    made = Loop()
    yield made
    made.close()


@pytest.fixture(scope="session")
def tape():
    """A second or so of every kind of message."""
    return generate_tape(seed=7, symbols=SYMBOLS, events=1200, events_per_s=1000.0)
