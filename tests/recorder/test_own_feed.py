"""A venue that comes as a package: the how-to's own, installed, recorded, proven and read."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.sync.server import serve

from ticktape.decoders.projection import DecodedCounts, Projection

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "how-to" / "own-feed.md").read_text("utf-8")
FILES = dict(re.findall(r"^`([\w./]+)`\n\n```\w+\n(.*?)^```", PAGE, re.S | re.M))
RECORD, CHECK, SQL = re.findall(r"^ticktape (.+)$", PAGE, re.M)
WAIT_S = 240.0
TRADES = 500


class Acme:
    """The venue: JSON over a WebSocket; one session at a time is enough."""

    def __init__(self):
        self.all_sent = threading.Event()
        self.asked = []
        self.headers = []
        self._server = serve(self._session, "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def _session(self, connection):
        self.headers.append(connection.request.headers.get("X-Acme-Version"))
        for text in connection:
            asked = json.loads(text)
            self.asked.append(asked)
            if asked["op"] == "login":
                connection.send('{"event":"welcome"}')
            else:
                connection.send(json.dumps({"event": "subscribed", "trades": asked["trades"]}))
                self._play(connection, asked["trades"])

    def _play(self, connection, symbols):
        for number in range(TRADES):
            connection.send(
                json.dumps(
                    {
                        "event": "trade",
                        "symbol": symbols[number % len(symbols)],
                        "ns": 1_780_000_000_000_000_000 + number,
                        "price": 1.5,
                        "size": 2,
                        "id": number,
                    },
                    separators=(",", ":"),
                )
            )
        # The answer says that all before it has been read.
        if connection.ping().wait(WAIT_S):
            self.all_sent.set()

    def close(self):
        self._server.shutdown()
        self._thread.join(WAIT_S)


@pytest.fixture
def venue():
    acme = Acme()
    yield acme
    acme.close()


@pytest.fixture
def site(tmp_path):
    """A folder with the page's package as an installer leaves it."""
    folder = tmp_path / "site"
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    info = folder / f"acme_ticktape-{project['version']}.dist-info"
    info.mkdir(parents=True)
    for name in ("protocol.py", "wire.py"):
        path = folder / "acme_ticktape" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(FILES[f"acme_ticktape/{name}"], "utf-8")
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, named in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{kind} = {where}" for kind, where in named.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def command(site, tmp_path):
    """Start a command of the page where the package is installed."""
    path = os.pathsep.join([str(site), str(ROOT / "src")])

    def start(*words):
        return subprocess.Popen(
            [sys.executable, "-m", "ticktape", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


def ended(process):
    said, _ = process.communicate(timeout=WAIT_S)
    return said


def recorded(venue, command, tmp_path):
    """Record with the page's config until the venue knows that all was read; what was said."""
    config = FILES["acme.toml"]
    url = 'url = "wss://stream.acme.example"\n'
    assert url in config
    ours = f'url = "{venue.url}"\nconnect_timeout_s = 30.0\n'  # a busy machine is no dead venue
    (tmp_path / "acme.toml").write_text(config.replace(url, ours))
    keys = tmp_path / "acme.keys"
    keys.write_text("the-key\nthe-secret\n")
    keys.chmod(0o600)
    recorder = command(*RECORD.split())
    try:
        venue.all_sent.wait(WAIT_S)
        recorder.send_signal(signal.SIGINT)
        return ended(recorder)
    finally:
        recorder.kill()
        recorder.wait()


@pytest.mark.timeout(900)
def test_the_package_of_the_page_is_recorded_and_proven(venue, command, tmp_path):
    said = recorded(venue, command, tmp_path)
    assert venue.asked == [
        {"op": "login", "key": "the-key", "secret": "the-secret"},
        {"op": "subscribe", "trades": ["Gold Bar", "ROPE"]},
    ], said
    assert venue.headers == ["1"]

    said = ended(command(*CHECK.split()))
    assert re.search(rf"^COMPLETE  received {TRADES} ", said, re.M), said
    said = json.loads(ended(command(*shlex.split(SQL), "--json")))
    half = TRADES // 2
    assert said["rows"] == [["Gold Bar", half, 2.0 * half], ["ROPE", half, 2.0 * half]]


@pytest.mark.timeout(900)
def test_a_decoder_that_cannot_be_imported_costs_no_data(venue, command, site, tmp_path):
    wire = site / "acme_ticktape" / "wire.py"
    wire.write_text("import no_such_module\n")
    said = recorded(venue, command, tmp_path)
    assert "of the package acme-ticktape 1.0, whose acme_ticktape.wire:AcmeWire cannot be" in said
    assert "No module named 'no_such_module'" in said
    wire.write_text(FILES["acme_ticktape/wire.py"], "utf-8")
    ended(command("rebuild", "acme"))
    said = ended(command(*CHECK.split()))
    assert re.search(rf"^COMPLETE  received {TRADES} = stored {TRADES} ", said, re.M), said


def test_the_pages_wire_makes_the_same_of_records_and_tables():
    names = {}
    exec(compile(FILES["acme_ticktape/wire.py"], "wire.py", "exec"), names)
    payloads = [
        b'{"event":"welcome"}',
        b'{"event":"trade","symbol":"ROPE","ns":5,"price":1.5,"size":2,"id":7,"new":[]}',
        b'{"event":"trade","symbol":"ROPE","ns":5,"price":1.5,"size":2}',
        b'{"event":"trade","symbol":"ROPE","ns":9223372036854775808,"price":1.5,"size":2}',
        b'{"event":"trade","symbol":"ROPE"}',
        b'{"event":"auction"}',
        b"\xff[",
        b"",
    ]
    block = Block(1, 10, 99, [(seq % 2, payload) for seq, payload in enumerate(payloads)])
    decoder = Projection("acme", names["AcmeWire"]())
    records, counts = decoder.decode(block), decoder.counts
    tables = decoder.tables([block])
    assert counts == decoder.counts == DecodedCounts(7, 1, 5, 0)
    assert {kind: table.num_rows for kind, table in tables.items()} == {"trades": 2, "unknown": 5}
    for kind, table in tables.items():
        rows = [
            {name: getattr(each, name) for name in table.column_names}
            for each in records
            if each.kind == kind
        ]
        assert rows == table.to_pylist()


class Block(NamedTuple):
    """What a decoder needs of a journal's block."""

    epoch: int
    seq: int
    recv_ns: int
    held: list[tuple[int, bytes]]

    def entries(self):
        return self.held
