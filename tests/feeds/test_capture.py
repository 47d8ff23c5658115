"""Raw first: what a capture does with a block, whatever the session makes of it."""

import asyncio
import json
import random
from types import SimpleNamespace

import pytest

from ticktape import clock
from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.capture import Capture, CaptureConfig, _on_loop_error
from ticktape.feeds.gapkeeper import Content
from ticktape.feeds.session import Ending, Session
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind

LOGIN = (
    b'[{"T":"success","msg":"connected"}]',
    b'[{"T":"success","msg":"authenticated"}]',
    b'[{"T":"subscription","trades":["A"]}]',
)
NOWHERE = SocketConfig("ws://127.0.0.1:1/v2/iex", {}, 1.0, 0, 1.0, 1000, "", "")


class Socket:
    """A connection that stands; the test says what the venue sends."""

    def __init__(self):
        self.sent = []
        self.alive_mono_ns = 0

    def send(self, payload, *, is_binary=False):
        self.sent.append(json.loads(payload))


class RaisingSession:
    def look(self, payloads, mono_ns):
        raise AssertionError("never before the journal")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "journal", tmp_path / "positions"


def make(place, **more):
    wall = clock.WallClock()
    writer = Writer(*place, wall=wall)
    told, written = [], []
    settings = {"socket_config": NOWHERE} | more
    capture = Capture(
        CaptureConfig("feed", "run", 1.0, 0.0, 0.0, 0.01),
        settings["socket_config"],
        lambda wanted: AlpacaProtocol("key", "secret", wanted),
        {"trades": ["A"]},
        writer,
        wall,
        on_written=lambda *row: written.append(row),
        on_state=lambda content: (told.append(content), settings.get("on_state", len)(told)),
        on_tick=settings.get("on_tick", lambda: None),
        jitter=random.Random(1),
    )
    return capture, writer, told, written


def entries_of(place):
    with Reader(*place) as reader:
        return [entry for block in reader.read(1 << 20) for entry in block.entries()]


def test_block_is_journaled_and_counted_before_anything_looks_at_it(place):
    capture, writer, _, written = make(place)
    capture._session = RaisingSession()
    with pytest.raises(AssertionError, match="never before"):
        capture._on_read([b"one", b"three"], [0, 1], clock.monotonic_ns(), 2)
    figures = capture.statistics()
    assert (figures.frames, figures.bytes, figures.blocks) == (2, 8, 1)
    ((start, end, mono_ns, count),) = written
    assert start < end == writer.offset and mono_ns > 0 and count == 2
    writer.close()
    assert entries_of(place) == [(EntryKind.TEXT, b"one"), (EntryKind.BINARY, b"three")]


def test_stop_ends_a_run_between_sessions_and_says_what_was_missed(place):
    def stop_at_the_third_failure(told):
        if sum(content.event == "down" for content in told) == 3:
            capture.stop()

    capture, writer, _, _ = make(place, on_state=stop_at_the_third_failure)

    async def run():
        return await capture.run(), len(asyncio.all_tasks())

    state, tasks = asyncio.run(run())
    writer.close()
    assert state is SessionState.STOPPED and tasks == 1
    said = [json.loads(payload) for _, payload in entries_of(place)]
    assert [each["event"] for each in said[:3]] == ["started", "connecting", "down"]
    assert said[0]["run"] == "run"
    assert "cannot connect to ws://127.0.0.1:1/v2/iex" in said[2]["words"]
    assert said[-1]["event"] == "stopped" and said[-1]["planned"] is True
    (missed,) = said[-1]["gaps"]
    assert missed["from_ns"] == said[0]["down_since_ns"] and not missed["planned"]
    assert missed["to_ns"] == said[-1]["gap"]["from_ns"]


def test_while_nothing_is_written_it_ticks_seldom_and_soon_again_when_there_is(place, monkeypatch):
    capture, writer, _, _ = make(place)
    slept = []

    class Enough(Exception):
        pass

    async def sleep(seconds):
        slept.append(round(seconds, 3))
        if len(slept) == 4:
            writer.append([b"news"], 1, 1)
        if len(slept) == 7:
            raise Enough

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(Enough):
        asyncio.run(capture._tick_forever())
    writer.close()
    assert slept == [0.1, 0.1, 0.3, 0.3, 0.1, 0.3, 0.3]


def test_error_of_ours_in_the_ticker_ends_the_run_loudly(place):
    def on_tick():
        raise ZeroDivisionError("our bug")

    capture, writer, _, _ = make(place, on_tick=on_tick)
    with pytest.raises(ZeroDivisionError, match="our bug"):
        asyncio.run(capture.run())
    writer.close()


def test_ca_file_that_is_none_refuses_the_feed_instead_of_looping(place, tmp_path):
    odd = tmp_path / "odd.pem"
    odd.write_text("no certificate")
    config = NOWHERE._replace(url="wss://127.0.0.1:1/v2/iex", ca_file=str(odd))
    capture, writer, told, _ = make(place, socket_config=config)
    assert asyncio.run(capture.run()) is SessionState.REFUSED
    writer.close()
    refused = next(content for content in told if content.event == "refused")
    assert "ca_file" in refused.words and "PEM" in refused.hint
    assert refused.gap["planned"] is False


@pytest.mark.parametrize("exception", [ConnectionResetError, ConnectionResetError("gone")])
def test_failed_connection_is_not_logged_a_second_time(exception):
    _on_loop_error(None, {"exception": exception})  # the default handler would need a loop


def test_other_errors_of_the_loop_are_logged():
    seen = []
    loop = SimpleNamespace(default_exception_handler=seen.append)
    for context in ({"exception": ZeroDivisionError()}, {"message": "odd"}):
        _on_loop_error(loop, context)
        assert seen[-1] is context


def running(capture, protocol=None):
    """Put a session that stands into a capture, as its run does; the socket."""
    capture._state = SessionState.CONNECTING
    capture._session = Session(
        NOWHERE,
        1.0,
        0.0,
        protocol or AlpacaProtocol("key", "secret", {"trades": ["A"]}),
        capture._on_read,
        capture._on_event,
    )
    socket = Socket()
    capture._session._opened(socket)
    for payload in LOGIN:
        capture._on_read([payload], None, clock.monotonic_ns(), 1)
    assert capture.statistics().state == "ready"
    socket.sent.clear()
    return socket


def test_change_sends_the_difference_and_is_written_down_with_its_answer(place):
    capture, writer, told, _ = make(place)
    socket = running(capture)
    capture.change({"trades": ("A", "B")})
    assert socket.sent == [{"action": "subscribe", "trades": ["B"]}]
    answer = b'[{"T":"subscription","trades":["A","B"]}]'
    capture._on_read([answer], None, clock.monotonic_ns(), 1)
    writer.close()
    changed, subscribed = told[-2:]
    assert changed.event == "changed" and changed.channels == {"trades": ["A", "B"]}
    assert "2 channel-symbol pairs" in changed.words
    assert subscribed.event == "subscribed" and subscribed.channels == {"trades": ["A", "B"]}
    assert subscribed.missing is None and subscribed.gaps is None
    kinds = [kind for kind, _ in entries_of(place)]
    assert kinds[-3:] == [EntryKind.SESSION, EntryKind.TEXT, EntryKind.SESSION]


def test_symbol_that_is_refused_is_a_gap_until_it_is_wanted_no_more(place):
    capture, writer, told, _ = make(place)
    running(capture)
    capture.change({"trades": ["A", "B"]})
    refusal = b'[{"T":"error","code":405,"msg":"symbol limit exceeded"}]'
    capture._on_read([refusal], None, clock.monotonic_ns(), 1)
    (opened,) = told[-1].gaps
    assert (opened["symbol"], opened["to_ns"]) == ("B", None)
    before_ns = capture._wall.wall_ns()
    capture.change({"trades": ["A"]})  # needs no answer, so nothing is read
    writer.close()
    (closed,) = told[-1].gaps
    assert closed["from_ns"] == opened["from_ns"] and closed["to_ns"] >= before_ns


def test_data_of_a_symbol_that_was_removed_is_recorded_as_any_other(place):
    capture, writer, _, _ = make(place)
    socket = running(capture)
    capture.change({})
    assert socket.sent == [{"action": "unsubscribe", "trades": ["A"]}]
    late = b'[{"T":"t","S":"A","i":1}]'
    capture._on_read([b'[{"T":"subscription"}]', late], None, clock.monotonic_ns(), 2)
    capture._on_read([late], None, clock.monotonic_ns(), 1)
    writer.close()
    assert entries_of(place)[-1] == (EntryKind.TEXT, late)
    assert capture.statistics().frames == len(LOGIN) + 3


@pytest.mark.parametrize("when", ["before", "between"])
def test_change_without_a_session_is_what_the_next_one_asks_for(place, monkeypatch, when):
    made = []

    class Protocol(AlpacaProtocol):
        def __init__(self, key, secret, wanted):
            super().__init__(key, secret, wanted)
            made.append(wanted)

        def change(self, wanted):
            raise AssertionError("there is no session to change")

    monkeypatch.setitem(globals(), "AlpacaProtocol", Protocol)

    def at_each_failure(told):
        downs = sum(content.event == "down" for content in told)
        if downs == 1 and when == "between" and told[-1].event == "down":
            capture.change({"trades": ["B"]})
        if downs == 3:
            capture.stop()

    capture, writer, told, _ = make(place, on_state=at_each_failure)
    if when == "before":
        capture.change({"trades": ["B"]})
    asyncio.run(capture.run())
    writer.close()
    assert len(made) >= 3
    assert made[0] == {"trades": ["B" if when == "before" else "A"]}
    assert made[1:] == [{"trades": ["B"]}] * (len(made) - 1)
    # Before the run there is nothing that a reader would take for the start of one.
    events = [content.event for content in told]
    assert events[0] == "started" and events.count("changed") == (when == "between")


def test_capture_that_has_ended_takes_a_change_in_silence(place):
    capture, writer, told, _ = make(place)
    capture._state = SessionState.STOPPED
    writer.close()
    capture.change({"trades": ["B"]})
    assert told == []


@pytest.mark.parametrize("stood", [False, True])
@pytest.mark.parametrize("is_of_plan", [False, True])
def test_subscription_that_is_refused_is_fatal_until_a_session_stood(place, stood, is_of_plan):
    capture, writer, told, _ = make(place)
    if stood:
        running(capture)
        capture._enter(capture._gaps.down(Content("down"), 1), SessionState.DOWN)
    capture._state = SessionState.AUTHENTICATED  # of the next session
    session = SimpleNamespace(ready_mono_ns=0)
    capture._end_session(session, Ending("words", "hint", 405, True, is_of_plan=is_of_plan))
    writer.close()
    is_refused = not (stood and is_of_plan)
    assert capture._state is (SessionState.REFUSED if is_refused else SessionState.DOWN)
    assert (told[-1].event, told[-1].code) == ("refused" if is_refused else "down", 405)


def test_venues_bound_of_the_wait_is_kept(place, monkeypatch):
    capture, writer, _, _ = make(place)
    asked = []

    class Backoff:
        def next_s(self, *given):
            asked.append(given)
            capture.stop()
            return 0.0

    async def run(self, stop):
        return Ending("taken", "", 406, wait_s=0.5, wait_max_s=5.0)

    monkeypatch.setattr(Session, "run", run)
    capture._backoff = Backoff()
    asyncio.run(capture.run())
    writer.close()
    assert asked == [(0.0, 0.5, 5.0)]


def test_gap_whose_end_a_full_memory_dropped_is_told_with_the_next_entry(place):
    capture, writer, _, _ = make(place)
    gap = {"from_ns": 5, "to_ns": 9, "cause": "lost", "symbol": "", "state": "open"}
    append, writer.append = writer.append, lambda *given, **more: -1
    capture._tell(Content("subscribed", gaps=[gap]))
    writer.append = append
    capture._tell(Content("notice"))
    capture._tell(Content("notice"))
    writer.close()
    first, second = [json.loads(payload) for _, payload in entries_of(place)]
    assert first["gaps"] == [gap] and "gaps" not in second


def test_stop_on_a_line_that_was_dead_begins_its_gap_where_it_was_heard_last(place, monkeypatch):
    capture, writer, _, _ = make(place)
    heard_ns = clock.monotonic_ns()

    async def run(session, stop):
        capture._state = SessionState.READY
        session.ready_mono_ns = session.data_mono_ns = heard_ns
        await stop.wait()
        return Ending("stopped", stopped=True)

    monkeypatch.setattr(Session, "run", run)

    async def record():
        asyncio.get_running_loop().call_later(0.01, capture.stop)
        return await capture.run()

    assert asyncio.run(record()) is SessionState.STOPPED
    writer.close()
    stopped = json.loads(entries_of(place)[-1][1])
    assert stopped["gap"]["from_ns"] == capture._wall.wall_at(heard_ns)
