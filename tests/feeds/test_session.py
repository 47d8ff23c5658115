"""A session with a protocol that misbehaves; the socket is a fake."""

import asyncio

import pytest

from ticktape import clock
from ticktape.errors import Disconnected
from ticktape.feeds.protocol import Authenticated, Fail, Notice, Ready, Send
from ticktape.feeds.session import Session
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState

NOWHERE = SocketConfig("ws://127.0.0.1:1", {}, 1.0, 0, 1.0, 1000, "", "")


class Protocol:
    """Says what it was told to say, or raises it."""

    def __init__(self, **answers):
        self.answers = answers

    def open(self):
        return []

    def is_control(self, payload):
        if payload == b"odd":
            raise ZeroDivisionError("odd")
        return payload.decode() in self.answers

    def receive(self, payload):
        answer = self.answers[payload.decode()]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def change(self, wanted):
        return self.answers["change"]


class Socket:
    def __init__(self):
        self.sent = []
        self.binary = []
        self.alive_mono_ns = 0
        self.aborted = asyncio.Event()

    def send(self, payload, *, is_binary=False):
        self.sent.append(payload)
        self.binary.append(is_binary)

    async def wait_closed(self):
        await self.aborted.wait()
        return Disconnected("closed")

    def abort(self):
        self.aborted.set()


def session_with(**answers):
    events = []
    made = Session(
        NOWHERE, 1.0, 0.0, Protocol(**answers), lambda *_: None, lambda *e: events.append(e)
    )
    made._opened(Socket())
    return made, events


def test_exception_of_a_protocol_is_a_notice_and_the_rest_of_the_block_is_seen():
    session, events = session_with(bad=RuntimeError("why not"), good=[Ready({}, {}, "")])
    session.look([b"data", b"bad", b"odd", b"good", b"data"], 99)
    words = [content.words for content, to in events if content.event == "notice" and to is None]
    assert len(words) == 2
    assert "RuntimeError: why not" in words[0] and "ZeroDivisionError: odd" in words[1]
    assert session.data_mono_ns == 99 and session.ready_mono_ns > 0


def test_step_out_of_turn_is_a_notice():
    events = []

    def on_event(content, to):
        if to is SessionState.READY:
            raise ValueError("not yet")
        events.append(content)

    session = Session(
        NOWHERE, 1.0, 0.0, Protocol(early=[Ready({}, {}, "")]), lambda *_: None, on_event
    )
    session.look([b"early"], 1)
    assert "not yet" in events[-1].words


def test_actions_are_done_in_their_order():
    session, events = session_with(
        all=[
            Authenticated(),
            Send(b"request"),
            Send(b"packed", is_binary=True),
            Notice(7, "by the way", "do this"),
            Ready({"t": ["A"]}, {}, ""),
        ]
    )
    session.look([b"all"], 1)
    assert [content.event for content, _ in events] == [
        "connected",
        "authenticated",
        "notice",
        "subscribed",
    ]
    assert session._socket.sent == [b"request", b"packed"]
    assert session._socket.binary == [False, True]
    notice = events[2][0]
    assert (notice.code, notice.words, notice.hint) == (7, "by the way", "do this")


def test_first_failure_is_the_one_that_counts():
    first, second = Fail(402, "first", "", True), Fail(404, "second", "", False)
    session, _ = session_with(a=[first], b=[second])
    session.look([b"a", b"b"], 1)
    assert session._failed == first


def test_silence_counts_from_the_last_frame_but_given_up_from_the_last_data():
    session, _ = session_with()
    session.look([b"data"], 50)
    session._socket.alive_mono_ns = 80
    assert session.heard_mono_ns == 80
    session._given_up = True
    assert session.heard_mono_ns == 50


def test_stop_before_the_connection_stands_ends_the_session_and_leaves_no_task():
    async def run():
        stop = asyncio.Event()
        stop.set()
        session = Session(NOWHERE, 1.0, 0.0, Protocol(), lambda *_: None, lambda *_: None)
        ending = await session.run(stop)
        return ending, len(asyncio.all_tasks())

    ending, tasks = asyncio.run(run())
    assert ending.stopped and tasks == 1


def test_change_is_asked_of_the_protocol_and_sent():
    session, events = session_with(change=[Send(b"more"), Ready({"t": ["B"]}, {}, "")])
    session.change({"t": ["B"]})
    assert session._socket.sent == [b"more"]
    assert events[-1][0].event == "subscribed" and events[-1][0].channels == {"t": ["B"]}


def waiting(session):
    """Wait for the end of a session as it does; with a clock that stands it would never end."""

    async def wait():
        stopping = asyncio.ensure_future(asyncio.Event().wait())
        try:
            return await asyncio.wait_for(session._until_closed(session._socket, stopping), 60)
        finally:
            stopping.cancel()

    return asyncio.run(wait())


@pytest.fixture
def hours(monkeypatch):
    """A clock that goes on an hour at each look."""
    looks = iter(range(10**6))
    monkeypatch.setattr(clock, "monotonic_ns", lambda: next(looks) * 3600 * clock.NS_PER_S)


@pytest.mark.parametrize("change", [[Send(b"more")], RuntimeError("cannot")])
def test_change_that_is_not_answered_in_time_ends_the_session(hours, change):
    session, events = session_with(ready=[Ready({}, {}, "")], change=change)
    if isinstance(change, Exception):  # a protocol that cannot: the next session asks for all
        session._protocol.change = lambda wanted: 1 / 0
    session.look([b"ready"], 1)
    session.change({"t": ["B"]})
    assert "no answer to a change of symbols" in waiting(session).args[0]
    notices = [content.words for content, _ in events if content.event == "notice"]
    assert len(notices) == isinstance(change, Exception)


def test_change_before_the_session_is_ready_does_not_prolong_the_wait_for_the_login(hours):
    session, _ = session_with(change=[])
    since_ns = session._progress_mono_ns
    session.change({"t": ["B"]})
    assert session._progress_mono_ns == since_ns
    assert "did not answer the login" in waiting(session).args[0]


def test_answered_change_is_waited_for_no_more():
    session, _ = session_with(ready=[Ready({}, {}, "")], change=[Send(b"more")])
    session.look([b"ready"], 1)
    assert session._patience_s() is None
    session.change({"t": ["B"]})
    assert session._patience_s() is not None
    session.look([b"ready"], 2)
    assert session._patience_s() is None


class Clock:
    """Stands until it is told to go on."""

    def __init__(self, monkeypatch):
        self.now_s = 1000.0
        monkeypatch.setattr(clock, "monotonic_ns", lambda: int(self.now_s * clock.NS_PER_S))


def ready_session(stale_s=0.0, **answers):
    session, _ = session_with(ready=[Ready({}, {}, "")], **answers)
    session._stale_s = stale_s
    session.look([b"ready"], clock.monotonic_ns())
    return session


@pytest.mark.parametrize("answer", [[], [Send(b"more")]], ids=["remembered", "sent"])
def test_change_after_change_keeps_no_unanswered_one_alive(monkeypatch, answer):
    now = Clock(monkeypatch)
    session = ready_session(change=answer)
    session.change({"t": ["B"]})
    for _ in range(3):
        now.now_s += 0.3
        assert session._overdue() is None
        session.change({"t": ["C"]})
    now.now_s += 0.2
    assert "no answer to a change of symbols within 1 s" in session._overdue().args[0]


def test_answer_that_leads_to_a_further_request_prolongs_the_wait_of_a_change(monkeypatch):
    now = Clock(monkeypatch)
    session = ready_session(change=[Send(b"less")], less=[Send(b"more")])
    session.change({"t": ["B"]})
    now.now_s += 0.9
    session.look([b"less"], clock.monotonic_ns())
    now.now_s += 0.9
    assert session._overdue() is None


def test_feed_without_data_is_given_up_while_a_change_is_made_as_well(monkeypatch):
    now = Clock(monkeypatch)
    session = ready_session(stale_s=10.0, change=[Send(b"more")])
    now.now_s += 9.5
    session.change({"t": ["B"]})
    assert session._patience_s() == pytest.approx(0.5)
    now.now_s += 0.6
    assert "no data for 10 s although connected" in session._overdue().args[0]


def test_how_a_failure_is_to_be_taken_reaches_the_end_of_the_session():
    failed = Fail(405, "words", "hint", fatal=True, wait_s=1.0, wait_max_s=2.0, is_of_plan=True)

    async def run(monkeypatch):
        session, _ = session_with(fail=[failed])

        async def connected(*_):
            session.look([b"fail"], 1)
            return session._socket

        async def over(*_):
            return None

        monkeypatch.setattr("ticktape.feeds.session.connect", connected)
        monkeypatch.setattr(session, "_until_closed", over)
        return await session.run(asyncio.Event())

    with pytest.MonkeyPatch.context() as monkeypatch:
        ending = asyncio.run(run(monkeypatch))
    assert ending == ("words", "hint", 405, True, 1.0, 2.0, True, False)
