"""Symbols changed while data flows: of what is wanted before and after nothing is lost.

A capture records a simulated venue over a line that is slow towards the venue, so that a moment
without a subscription would cost many messages. The reference is the tape itself, not what the
venue put on the connection: what it was not asked for it does not put there.
"""

import asyncio
import random
from urllib.parse import urlsplit

import pytest

from ticktape import clock
from ticktape.decoders import decoder_for
from ticktape.feeds import protocol_maker, upgrade_headers
from ticktape.feeds.capture import Capture, CaptureConfig
from ticktape.feeds.socket import SocketConfig
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.sim import generate_tape

KEPT, OTHER = "AAPL", "TSLA"
RATE = 600.0  # so that the tape is mostly long enough for all turns
LINE_S = 0.1  # from the client to the venue: sixty rows
KINDS = ("trades", "quotes")
STAR, NAMED = ({kind: symbols for kind in KINDS} for symbols in (["*"], [KEPT]))
TURNS = 7


class SlowLine:
    """Hands everything on, and what goes to the venue later."""

    def __init__(self, loop, url):
        self._to = urlsplit(url)
        self._tasks = set()
        server = loop.run(asyncio.start_server(self._serve, "127.0.0.1", 0))
        port = server.sockets[0].getsockname()[1]
        self.url = self._to._replace(netloc=f"127.0.0.1:{port}").geturl()

        async def close():
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        loop.later(close)

    async def _serve(self, reader, writer):
        self._tasks.add(asyncio.current_task())
        from_venue, to_venue = await asyncio.open_connection(self._to.hostname, self._to.port)
        ways = (self._pipe(reader, to_venue, LINE_S), self._pipe(from_venue, writer, 0))
        await asyncio.gather(*ways)

    async def _pipe(self, reader, writer, wait_s):
        while chunk := await reader.read(65536):
            await asyncio.sleep(wait_s)
            writer.write(chunk)
        writer.close()


class Recording:
    """A capture that is told something else each time its venue has answered."""

    def __init__(self, place, url, encoding, key, secret):
        ways = {"encoding": encoding, "auth": "message"}
        make = protocol_maker("alpaca", **ways)
        headers = upgrade_headers("alpaca", key, secret, **ways)
        self.answers = []
        self.is_over = lambda: False
        self._place = place / "journal", place / "positions"
        wall = clock.WallClock()
        self._writer = Writer(*self._place, wall=wall)
        self._capture = Capture(
            CaptureConfig("feed", "run", 30.0, 0.0, 0.0, 0.1),
            SocketConfig(url, headers, 30.0, 0, 30.0, 1 << 20, "", ""),
            lambda wanted: make(key, secret, wanted),
            STAR,
            self._writer,
            wall,
            on_written=lambda *_: None,
            on_state=self._hear,
            on_tick=self._tick,
            jitter=random.Random(1),
        )

    def _hear(self, content):
        if content.event == "subscribed":
            self.answers.append(content)

    def _tick(self):
        """Ten times a second, so that data flows between the changes."""
        turns = len(self.answers)
        if self.is_over():
            self._capture.stop()
        elif 0 < turns < TURNS:
            self._capture.change((STAR, NAMED)[turns % 2])

    def run(self):
        asyncio.run(self._capture.run())
        self._writer.close()
        return self

    def records(self):
        decoder, found = decoder_for("alpaca", "feed"), []
        with Reader(*self._place) as reader:
            while blocks := reader.read(1 << 20):
                for block in blocks:
                    found += decoder.decode(block)
        return found


@pytest.fixture(scope="module")
def tape(wire):
    return generate_tape(seed=5, symbols=wire.SYMBOLS, events=4000, events_per_s=1000.0)


@pytest.fixture(scope="module", params=["json", "msgpack"])
def run(request, wire, loop, tape, tmp_path_factory):
    venue = wire.Venue(loop, tape, rate=RATE)
    line = SlowLine(loop, venue.url)
    place = tmp_path_factory.mktemp("changes")
    recording = Recording(place, line.url, request.param, wire.KEY, wire.SECRET)
    recording.is_over = lambda: venue.is_over
    return recording.run()


def of_tape(tape, kind, symbol):
    rows = tape.tables[kind].to_pylist()
    return [row["event_ns"] for row in rows if row["symbol"] == symbol]


@pytest.mark.parametrize("kind", KINDS)
def test_symbol_that_is_wanted_throughout_is_recorded_as_it_stands_on_the_tape(run, tape, kind):
    found = [r.event_ns for r in run.records() if r.kind == kind and r.symbol == KEPT]
    assert found == of_tape(tape, kind, KEPT) and len(found) > 300


def test_changes_were_made_and_other_symbols_came_only_with_the_star(run, tape):
    """Else the test above would show little."""
    turns = [sorted(answer.channels["trades"]) for answer in run.answers]
    assert turns == [[("*", KEPT)[turn % 2]] for turn in range(len(turns))]
    assert 3 <= len(turns) <= TURNS
    assert all(answer.missing is None and answer.gaps is None for answer in run.answers)
    found = [r for r in run.records() if r.kind in KINDS and r.symbol == OTHER]
    assert 0 < len(found) < sum(len(of_tape(tape, kind, OTHER)) for kind in KINDS)
