"""Whatever a venue sends, in whatever order: a session never raises, loops, floods or leaks."""

import json

import msgpack
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ticktape.feeds.alpaca import CHANNELS, AlpacaProtocol
from ticktape.feeds.alpaca_v1 import AlpacaV1Protocol
from ticktape.feeds.protocol import Authenticated, Fail, Notice, Ready, Send
from ticktape.feeds.session import Session
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState, step

SECRET = "planted-secret"
NOWHERE = SocketConfig("ws://127.0.0.1:1", {}, 1.0, 0, 1.0, 1000, "", "")
# Of a control message in a frame: what it was heard as, and what is asked for next.
ACTIONS_MAX = 2
FRAME_BYTES = 32_768

symbols = st.lists(st.sampled_from(["*", "A", "B", "BTC/USD", "ü\n"]), max_size=4)
wishes = st.dictionaries(st.sampled_from([*CHANNELS, "no_channel"]), symbols, max_size=4)
codes = st.one_of(st.sampled_from([*range(400, 414), 500, 0]), st.integers(-(2**63), 2**64 - 1))
odd = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text(max_size=9), st.floats())
words = st.sampled_from(["connected", "authenticated", "auth failed", "slow client", "", "ü\n\0"])
controls = st.one_of(
    st.builds(lambda msg: {"T": "success", "msg": msg}, words | odd),
    st.builds(lambda code, msg: {"T": "error", "code": code, "msg": msg}, codes | odd, words),
    st.builds(lambda msg: {"T": "error", "msg": msg}, words),
    st.builds(
        lambda held: {"T": "subscription", **held},
        st.dictionaries(st.sampled_from([*CHANNELS.values(), "odd"]), symbols | odd, max_size=4),
    ),
    st.just({"T": "t", "S": "A", "i": 2**63 - 1, "p": 1.5}),
    st.dictionaries(st.sampled_from(["T", "msg", "code", "error"]), odd, max_size=3),
)
documents = st.one_of(st.lists(controls, max_size=5), controls, odd)


def as_json(document):
    return json.dumps(document).encode()


def damaged(payload, at, byte, end):
    """A bit of it other, and its tail cut off."""
    made = bytearray(payload)
    if made:
        made[at % len(made)] = byte
    return bytes(made[: len(made) - end])


encoded = st.one_of(documents.map(as_json), documents.map(msgpack.packb))
frames = st.one_of(
    encoded,
    st.builds(damaged, encoded, st.integers(0, 200), st.integers(0, 255), st.integers(0, 3)),
    st.binary(max_size=60),
    st.binary(max_size=30).map(lambda tail: b'[{"T":"error",' + tail),
    st.binary(max_size=30).map(lambda tail: b"\x91\x82\xa1T\xa5error" + tail),
)
# So that sessions come far, most of what is said is what a venue does say.
likely = st.sampled_from(
    [
        {"T": "success", "msg": "connected"},
        {"T": "success", "msg": "authenticated"},
        {"T": "subscription", "trades": ["A"], "bars": ["*"]},
        {"T": "subscription"},
        *({"T": "error", "code": code, "msg": "odd"} for code in (400, 401, 403, 405, 499)),
    ]
).map(lambda message: as_json([message]))
talks = st.lists(st.one_of(likely, likely, frames, wishes), max_size=30)
nasty = [
    b'[{"T":"error","msg":"\\ud800","code":1e400}]',
    b'[{"T":"error","code":9' + b"9" * 400 + b"}]",
    b"[" * 5000 + b'"error"',
    b"\x91" * 5000 + b"\xa5error",
    b"\xdd\xff\xff\xff\xff\x81\xa1T\xa5error",
    b"\x91\xdf\xff\xff\xff\xff\xa1T\xa5error",
    b"\x91\x82\xa1T\xa5error\xa1t\xc7\xff\xff" + b"\0" * 255,
    b'[{"T":"subscription","trades":["' + b"A" * 100_000 + b'"]}]',
    b"",
]


def greeted(*more):
    return [as_json([{"T": "success", "msg": word}]) for word in ("connected", "authenticated")] + [
        *more
    ]


def made(is_binary, by_headers, wanted):
    return AlpacaProtocol("key", SECRET, wanted, is_binary=is_binary, by_headers=by_headers)


def elements(payload):
    """How many messages a frame can hold at most."""
    return 1 + payload.count(b"T")


@pytest.mark.parametrize("is_binary", [False, True], ids=["json", "msgpack"])
@given(by_headers=st.booleans(), wanted=wishes, talk=talks)
@example(by_headers=False, wanted={"trades": ["A"]}, talk=nasty)
@example(by_headers=False, wanted={"trades": ["A"]}, talk=greeted(*nasty))
@settings(deadline=None, max_examples=300)
def test_protocol_answers_anything_with_a_few_right_actions(is_binary, by_headers, wanted, talk):
    protocol = made(is_binary, by_headers, wanted)
    done = protocol.open()
    for said in talk:
        if isinstance(said, dict):
            actions, limit = protocol.change(said), 1
        else:
            assert protocol.is_control(said) in (False, True)
            actions, limit = protocol.receive(said), ACTIONS_MAX * elements(said)
        assert len(actions) <= limit
        done += actions
    assert all(isinstance(a, Send | Authenticated | Ready | Notice | Fail) for a in done)
    assert sum(isinstance(a, Authenticated) for a in done) <= 1
    for action in done:
        assert SECRET not in repr(action)
        if isinstance(action, Send):
            assert action.is_binary is is_binary and len(action.payload) <= FRAME_BYTES
            read = msgpack.unpackb if is_binary else json.loads
            assert read(action.payload)["action"] in ("auth", "subscribe", "unsubscribe")


class Venue:
    """Answers every request, up to a limit that no session of ours should reach."""

    def __init__(self, protocol, answers):
        self.protocol = protocol
        self.answers = answers
        self.sent = 0

    def run(self, limit):
        waiting = list(self.protocol.receive(as_json([{"T": "success", "msg": "connected"}])))
        while waiting:
            action = waiting.pop(0)
            if isinstance(action, Send):
                answer = self.answers[self.sent % len(self.answers)]
                self.sent += 1
                assert self.sent <= limit
                waiting += self.protocol.receive(as_json([answer]))


answers = st.lists(
    st.one_of(
        st.just({"T": "success", "msg": "authenticated"}),
        st.sampled_from([400, 401, 403, 405, 409, 410, 413, 499]).map(
            lambda code: {"T": "error", "code": code}
        ),
        st.builds(lambda held: {"T": "subscription", "trades": held}, symbols),
        st.just({"T": "subscription", "trades": 7}),
    ),
    min_size=1,
    max_size=5,
)


@given(wanted=wishes, answers=answers)
@example(wanted={"bars": ["A", "B"]}, answers=[{"T": "error", "code": 401}])
@example(
    wanted={"bars": ["A", "B"], "news": ["*"]},
    answers=[{"T": "success", "msg": "authenticated"}, *[{"T": "error", "code": 400}] * 99],
)
@settings(deadline=None, max_examples=300)
def test_conversation_with_a_venue_that_always_answers_comes_to_an_end(wanted, answers):
    pairs = sum(map(len, wanted.values()))
    # Two logins at most; after each every pair is asked for alone at worst, in halves before that.
    limit = 2 + 2 * (2 * pairs + len(wanted))
    Venue(made(False, False, wanted), answers).run(limit)


class Socket:
    """Takes what is sent, and can do no more."""

    def __init__(self):
        self.sent = []
        self.alive_mono_ns = 0

    def send(self, payload, *, is_binary=False):
        self.sent.append(payload)


class Owner:
    """Hears a session as a capture does: it keeps the states, and writes down what it is told."""

    def __init__(self, protocol):
        self.state = SessionState.CONNECTING
        self.written = []
        self.socket = Socket()
        self.session = Session(NOWHERE, 1.0, 0.0, protocol, lambda *_: None, self.on_event)
        self.session._opened(self.socket)

    def on_event(self, content, to):
        if to is not None:
            self.state = step(self.state, to)
        self.written.append(msgspec.json.encode(content))


@pytest.mark.parametrize("kind", ["json", "msgpack", "v1"])
@given(wanted=wishes, talk=talks)
@example(wanted={"trades": ["A"]}, talk=nasty)
@example(wanted={"trades": ["A"]}, talk=greeted(*nasty))
@settings(deadline=None, max_examples=300)
def test_session_hears_anything_and_stays(kind, wanted, talk):
    if kind == "v1":
        protocol = AlpacaV1Protocol("key", SECRET, wanted)
    else:
        protocol = made(kind == "msgpack", False, wanted)
    owner = Owner(protocol)
    limit = 2
    for said in talk:
        if isinstance(said, dict):
            owner.session.change(said)
            limit += 2
        else:
            owner.session.look([said, said], 7)
            # A step out of turn is said once more, as what could not be acted on.
            limit += 2 * (ACTIONS_MAX * elements(said) + 1)
    assert len(owner.written) + len(owner.socket.sent) <= limit
    assert not any(SECRET.encode() in content for content in owner.written)


v1_frames = st.one_of(
    st.builds(
        lambda stream, told: as_json({"stream": stream, "data": told}),
        st.sampled_from(["authorization", "listening", "T.A", ""]),
        st.fixed_dictionaries(
            {},
            optional={
                "status": st.sampled_from(["authorized", "unauthorized"]) | odd,
                "error": st.sampled_from(["already authenticated", "odd"]) | odd,
                "streams": st.lists(st.sampled_from(["T.A", "Q.B", "AM.*", "", "x"])) | odd,
            },
        ),
    ),
    frames,
)


@given(wanted=wishes, talk=st.lists(st.one_of(v1_frames, wishes), max_size=30))
@settings(deadline=None, max_examples=300)
def test_protocol_v1_answers_anything_with_a_few_actions(wanted, talk):
    protocol = AlpacaV1Protocol("key", SECRET, wanted)
    protocol.open()
    for said in talk:
        if isinstance(said, dict):
            assert len(protocol.change(said)) <= 1
        else:
            assert protocol.is_control(said) in (False, True)
            assert len(protocol.receive(said)) <= ACTIONS_MAX
