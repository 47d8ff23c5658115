"""A venue's stream as the lab's source: every message once, in order, stamped with its read."""

import asyncio
import threading

import pytest

from ticktape import clock
from ticktape.config import Keys
from ticktape.errors import Refused, TickTapeError
from ticktape.lab.source import Place
from ticktape.lab.stream import Stream
from ticktape.sim import AlpacaSim, SimConfig, generate_tape, parse_faults
from ticktape.sim.config import Program

KEYS = Keys("demo-key", "demo-secret")
PATH = "/v2/iex"


@pytest.fixture
def venue():
    """Start simulated venues in a loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    opened = []

    def run(work):
        return asyncio.run_coroutine_threadsafe(work, loop).result(240)

    def start(tape, **settings):
        sim = AlpacaSim({PATH: Program(tape)}, SimConfig(**settings))
        opened.append(sim)
        run(sim.start())
        return sim

    yield start
    for sim in opened:
        run(sim.close())
    loop.call_soon_threadsafe(loop.stop)
    thread.join(240)
    loop.close()


@pytest.fixture(scope="module")
def tape():
    return generate_tape(seed=4, symbols=("AAPL", "SPY"), events=600)


def stream_of(sim, what="trades:AAPL", keys=KEYS):
    return Stream(Place("alpaca", what, sim.url(PATH)), keys)


def polled(stream, sim):
    """All messages, until the tape is through and no more come."""
    found = []
    is_over = False
    while not is_over:
        is_over = sim.streams[PATH].ended.is_set()
        while (one := stream.poll()) is not None:
            found.append(one)
    return found


def sent(sim, after_ns=0):
    return [
        row["id"]
        for row in sim.truth.table().to_pylist()
        if row["kind"] == "trades" and row["symbol"] == "AAPL" and row["sent_mono_ns"] > after_ns
    ]


def test_every_message_comes_once_in_order_and_stamps_never_go_back(venue, tape):
    sim = venue(tape, rate=1000.0)
    stream = stream_of(sim)
    ready_ns = clock.monotonic_ns()
    try:
        found = polled(stream, sim)
    finally:
        stream.close()
    trades = [one.rows for one in found if b'"T":"t"' in one.rows]
    ids = [int(text.split(b'"i":')[1].split(b",")[0]) for text in trades]
    # What came together with the acknowledgement is before the first capture.
    assert len(sent(sim, ready_ns)) <= len(ids) <= len(sent(sim))
    assert ids == sent(sim)[len(sent(sim)) - len(ids) :]
    stamps = [one.before_ns for one in found]
    assert stamps == sorted(stamps)
    assert all(one.before_ns == one.after_ns for one in found)


def test_lost_connection_is_said_after_all_that_came_before_it(venue, tape):
    sim = venue(tape, rate=1000.0, faults=parse_faults(["disconnect@300"]))
    stream = stream_of(sim, "trades:*")
    ready_ns = clock.monotonic_ns()
    count = 0
    with pytest.raises(TickTapeError, match="without a close frame"):
        while True:
            count += stream.poll() is not None
    stream.close()
    # What came together with the acknowledgement is before the first capture.
    moments = sim.truth.table()["sent_mono_ns"].to_pylist()
    assert sum(moment > ready_ns for moment in moments) <= count <= len(moments)


def test_wrong_key_is_refused_with_the_cure(venue, tape):
    with pytest.raises(Refused, match="authentication failed") as refused:
        stream_of(venue(tape), keys=Keys("demo-key", "wrong"))
    assert "APCA_API_KEY_ID" in refused.value.hint


def test_what_is_no_channel_and_symbol_is_refused_before_connecting(venue, tape):
    sim = venue(tape)
    for what in ("AAPL", "trades:", "prices:AAPL"):
        with pytest.raises(TickTapeError, match="no channel and symbol"):
            stream_of(sim, what)
    assert sim.statistics().connections == 0


def test_slot_that_another_holds_is_waited_for(venue, tape):
    sim = venue(tape, rate=1000.0, reap_s=4.0, faults=parse_faults(["disconnect@50"]))
    first = stream_of(sim, "trades:*")
    with pytest.raises(TickTapeError):
        while True:
            first.poll()
    first.close()
    # The venue has not noticed yet: it answers 406 until it has.
    second = stream_of(sim, "trades:*")
    second.close()
    assert sim.statistics().connections >= 3
