"""A session with a protocol that misbehaves; the socket is a fake."""

import asyncio

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


class Socket:
    def __init__(self):
        self.sent = []
        self.alive_mono_ns = 0

    def send(self, payload):
        self.sent.append(payload)


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
            Notice(7, "by the way"),
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
    assert session._socket.sent == [b"request"]


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
