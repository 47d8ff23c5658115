"""A run as a recorder leaves it, made by hand from a tape, and a REST interface of that tape."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import msgspec
import urllib3

from ticktape import clock
from ticktape.config import parse_config
from ticktape.directory import RunDirectory
from ticktape.feeds.rest import Answer
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind
from ticktape.sim.generate import generate_tape
from ticktape.sim.rest import RestConfig
from ticktape.sim.rest.venue import Venue
from ticktape.sim.tape import Tape

S = 10**9
START_NS = 1_750_000_000 * S  # 2025-06-15 15:06:40, when the tape begins, by the venue's clock
LAG_NS = 3_000_000
_MADE = generate_tape(seed=5, symbols=3, events=2_000, events_per_s=70.0, start_ns=START_NS)
# Without corrections and cancels: every trade of it is one that stands.
TAPE = Tape({kind: _MADE.tables[kind] for kind in ("trades", "quotes", "bars")})
GAP = (START_NS + 10 * S, START_NS + 14 * S)  # of the venue's time


class FakeWall:
    """A clock that a test moves; `ahead_ns` is how far the system's was set meanwhile."""

    def __init__(self, now_ns):
        self.now_ns = now_ns
        self.ahead_ns = 0
        self._stepped_ns = 0

    def wall_ns(self):
        return self.now_ns + self._stepped_ns

    def wall_at(self, mono_ns):
        return mono_ns + self._stepped_ns

    def monotonic_ns(self):
        return self.now_ns

    def drift_ns(self):
        return self.ahead_ns

    def reanchor(self):
        self._stepped_ns += self.ahead_ns
        self.ahead_ns = 0


class FakeStream:
    """A tape that was played to its end."""

    def __init__(self, tape):
        self.tape = tape
        self.rows_played = len(tape)


def venue_of(tape=TAPE, path="/v2/iex", **config):
    return Venue({path: FakeStream(tape)}, RestConfig(**config))


class FakeClient:
    """Asks a venue without a socket; `spoil` may answer in its place."""

    def __init__(self, venue, wall, key="demo-key"):
        self.venue = venue
        self.wall = wall
        self.keys = {"APCA-API-KEY-ID": key, "APCA-API-SECRET-KEY": "demo-secret"}
        self.asked = []
        self.spoil = lambda path, query: None

    def get(self, url):
        path, query = urlsplit(url).path, dict(parse_qsl(urlsplit(url).query))
        assert len(url) < 2_000
        self.asked.append((path, query))
        spoiled = self.spoil(path, query)
        if spoiled is not None:
            return spoiled
        found = self.venue.answer(
            path, query, urllib3.HTTPHeaderDict(self.keys), now_ns=self.wall.now_ns
        )
        headers = {name.lower(): value for name, value in found.headers.items()}
        return Answer(found.status, headers, found.body)

    def close(self):
        pass


def served(venue, gate=None):
    """The venue behind HTTP on this machine: (server, url); `gate(n)` is called per request."""
    numbers = iter(range(1_000_000))
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            with lock:
                number = next(numbers)
            if gate is not None:
                gate(number)
            parts = urlsplit(self.path)
            with lock:
                found = venue.answer(
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    self.headers,
                    now_ns=clock.wall_now_ns(),
                )
            self.send_response(found.status)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(found.body)))
            self.end_headers()
            self.wfile.write(found.body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def iso(ns):
    return clock.iso_utc(ns)


def frames_of(tape, kinds=("trades", "quotes", "bars"), without=lambda kind, row: False):
    """(when the venue sends it, its message) of all rows, but for those that are `without`."""
    found = []
    for kind in kinds:
        rows = tape.tables[kind].to_pylist() if kind in tape.tables else []
        due = tape.due_of(kind).tolist() if rows else []
        for row, at in zip(rows, due, strict=True):
            if (kind == "bars" and row["span"] != "minute") or without(kind, row):
                continue
            found.append((at, _message(kind, row)))
    return sorted(found, key=lambda each: each[0])


def _message(kind, row):
    message = {"S": row["symbol"], "t": iso(row["event_ns"])}
    if kind == "trades":
        return message | {
            "T": "t",
            "i": row["id"],
            "x": row["exchange"],
            "p": row["price"],
            "s": int(row["size"]),
            "c": row["conditions"].split(","),
            "z": row["tape"],
        }
    if kind == "quotes":
        return message | {
            "T": "q",
            "bx": row["bid_exchange"],
            "bp": row["bid_price"],
            "bs": int(row["bid_size"]),
            "ax": row["ask_exchange"],
            "ap": row["ask_price"],
            "as": int(row["ask_size"]),
            "c": row["conditions"].split(","),
            "z": row["tape"],
        }
    bar = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}
    return message | {"T": "b"} | {key: row[name] for key, name in bar.items()}


class World:
    """The directory of a run with one feed, `iex`, whose journal a test writes."""

    def __init__(self, root, url="http://rest", stream="/v2/iex", **options):
        said = {"trades": ["*"], "quotes": ["*"], "heal_delay_s": 60.0, **options}
        lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in said.items())
        text = (
            f'directory = {json.dumps(str(root))}\n[[feed]]\nname = "iex"\nkind = "alpaca"\n'
            f'url = "ws://127.0.0.1:1{stream}"\nheal = "{url}"\n{lines}\n'
        )
        root.mkdir(parents=True, exist_ok=True)
        self.run = RunDirectory(root)
        self.run.config.write_text(text)
        self.config = parse_config(text, "the test's config", root)
        self.feed = self.config.feed[0]
        self.channels = {"trades": ["*"], "quotes": ["*"]}

    def writer(self, name="iex"):
        return Writer(self.run.journal(name), self.run.positions(name))

    def say(self, writer, at_ns, **content):
        writer.append([msgspec.json.encode(content)], at_ns, at_ns, kind=EntryKind.SESSION)

    def record(self, cut=GAP, tape=TAPE, without=lambda kind, row: False, lag_ns=LAG_NS):
        """The feed's journal: all of a tape but what was sent in the gap `cut`."""
        frames = frames_of(tape, without=without)
        with self.writer() as writer:
            self.say(writer, frames[0][0] + lag_ns, event="started", run="r")
            self.say(
                writer, frames[0][0] + lag_ns, event="subscribed", channels=dict(self.channels)
            )
            gap = {"cause": "the connection ended", "planned": False, "symbol": "", "state": "open"}
            is_down = False
            for at, message in frames:
                if cut[0] <= at < cut[1]:
                    if not is_down:
                        gap |= {"from_ns": cut[0] + lag_ns, "to_ns": None}
                        self.say(writer, at + lag_ns, event="down", gap=gap)
                    is_down = True
                    continue
                if is_down:
                    gap |= {"to_ns": cut[1] + lag_ns}
                    self.say(
                        writer,
                        cut[1] + lag_ns,
                        event="subscribed",
                        channels=dict(self.channels),
                        gaps=[gap],
                    )
                    is_down = False
                payload = json.dumps([message]).encode()
                writer.append([payload], at + lag_ns, at + lag_ns)
            self.ended_ns = frames[-1][0] + lag_ns
            stop = {"planned": True, "from_ns": self.ended_ns, "to_ns": None, "cause": "stop"}
            self.say(writer, self.ended_ns, event="stopped", gap=stop, down_since_ns=1)

    def entries(self, name="iex.rest"):
        """(kind, payload) of a journal, in order."""
        with Reader(self.run.journal(name), None) as reader:
            found = []
            while blocks := reader.read():
                found += [entry for block in blocks for entry in block.entries()]
        return found

    def said(self, name="iex.rest"):
        """What the entries of our own say."""
        return [json.loads(text) for kind, text in self.entries(name) if kind == EntryKind.SESSION]

    def events(self):
        return [said["event"] for said in self.said()]

    def asked(self):
        """Which page of which request is journaled how often."""
        return Counter(
            (said["request"]["path"], tuple(sorted(said["request"]["query"].items())), said["page"])
            for said in self.said()
            if said["event"] == "page"
        )

    def trades(self):
        """Trades that REST brought: (symbol, time, exchange, id) -> how often."""
        found = Counter()
        for kind, text in self.entries():
            if kind == EntryKind.TEXT and text.startswith(b"{"):
                for symbol, rows in (json.loads(text).get("trades") or {}).items():
                    found.update((symbol, row["t"], row["x"], row["i"]) for row in rows)
        return found


def trades_in(tape, from_ns, to_ns):
    """Trades of a tape: (symbol, time as the venue writes it, exchange, id) -> how often."""
    return Counter(
        (row["symbol"], short(row["event_ns"]), row["exchange"], row["id"])
        for row in tape.tables["trades"].to_pylist()
        if from_ns <= row["event_ns"] < to_ns
    )


def short(ns):
    """Time as the venue writes it: without zeros at the end."""
    whole, _, fraction = iso(ns).removesuffix("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"
