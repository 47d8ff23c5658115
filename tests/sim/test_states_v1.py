import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.sim.slots import Slots
from ticktape.sim.states import Deadline, Drop, Rules, State, Subscribe
from ticktape.sim.states_v1 import LegacyMachine

KEY = {"action": "authenticate", "data": {"key_id": "k", "secret_key": "s"}}
AUTHORIZED = {
    "stream": "authorization",
    "data": {"action": "authenticate", "status": "authorized"},
}


def machine(slots=None, number=0, **rules):
    rules = Rules(keys={"k": "s"}, tokens=frozenset({"tok"}), **rules)
    return LegacyMachine(rules, slots or Slots(), "/stream", number)


def say(made, message):
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return made.on_message(raw, 0)


def ready(**rules):
    made = machine(**rules)
    assert say(made, KEY)[0].message == AUTHORIZED
    return made


def streams(made, action, *names):
    return say(made, {"action": action, "data": {"streams": list(names)}})


def listening(actions):
    message = json.loads(json.dumps(actions[-1].message))
    assert message["stream"] == "listening"
    return message["data"]


def test_there_is_no_greeting_and_headers_do_not_count():
    made = machine()
    assert made.on_open({"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"}, 0) == [Deadline(10.0)]
    assert made.on_deadline() == [Drop()]


def test_token_authorizes():
    made = machine()
    say(made, {"action": "authenticate", "data": {"oauth_token": "tok"}})
    assert made.state is State.READY
    assert made.on_deadline() == []


@pytest.mark.parametrize(
    "body", [{}, {"key_id": "k"}, {"key_id": "k", "secret_key": "x"}, {"oauth_token": 1}]
)
def test_wrong_key_is_unauthorized_and_stays_open(body):
    made = machine()
    answer = say(made, {"action": "authenticate", "data": body})[0].message
    assert answer["data"] == {"action": "authenticate", "status": "unauthorized"}
    assert made.state is State.NEW


def test_path_outside_the_plan_is_unauthorized():
    made = machine(refused_paths=frozenset({"/stream"}))
    assert say(made, KEY)[0].message["data"]["status"] == "unauthorized"


def test_second_login_is_refused():
    assert "already authenticated" in listening(say(ready(), KEY))["error"]


def test_second_connection_is_rejected_until_the_first_closes():
    slots = Slots()
    first, second = machine(slots, 1), machine(slots, 2)
    say(first, KEY)
    assert "another connection is open" in listening(say(second, KEY))["error"]
    first.on_close(clean=True, now_ns=0)
    assert say(second, KEY)[0].message == AUTHORIZED


def test_listen_adds_and_trims_the_prefix():
    made = ready()
    actions = streams(made, "listen", "alpacadatav1/T.SPY", "Q.SPY", "AM.*")
    assert isinstance(actions[0], Subscribe)
    assert actions[0].subscription == {"trades": {"SPY"}, "quotes": {"SPY"}, "bars": {"*"}}
    assert listening(actions)["streams"] == ["AM.*", "Q.SPY", "T.SPY"]
    assert listening(streams(made, "unlisten", "Q.SPY"))["streams"] == ["AM.*", "T.SPY"]


def test_listen_before_the_login_hears_an_empty_list_and_no_error():
    made = machine()
    assert listening(streams(made, "listen", "T.SPY")) == {"streams": []}


@pytest.mark.parametrize(
    "message",
    [
        b"{nope",
        b"[]",
        {"action": "listen"},
        {"action": "dance", "data": {}},
        {"action": "listen", "data": {"streams": "T.SPY"}},
        {"action": "listen", "data": {"streams": [1]}},
        {"action": "listen", "data": {"streams": ["Z.SPY"]}},
        {"action": "listen", "data": {"streams": ["T."]}},
    ],
)
def test_malformed_message_is_answered_and_changes_nothing(message):
    made = ready()
    streams(made, "listen", "T.SPY")
    assert listening(say(made, message)) == {"error": "invalid message"}
    assert listening(streams(made, "listen", "T.SPY"))["streams"] == ["T.SPY"]


def test_minute_bars_do_not_count_against_the_limit():
    made = ready(max_symbols=2)
    streams(made, "listen", "T.A", "Q.A", "AM.A", "AM.B")
    assert listening(streams(made, "listen", "T.B")) == {"error": "channel limit exceeded"}
    assert "AM.C" in listening(streams(made, "listen", "AM.C"))["streams"]


def test_ack_missing_leaves_the_symbol_out():
    made = ready(ack_missing=frozenset({"IBM"}))
    assert listening(streams(made, "listen", "T.IBM", "T.SPY"))["streams"] == ["T.SPY"]


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_of_a_client_make_it_raise(raw):
    assert machine().on_message(raw, 0)
    assert ready().on_message(raw, 0)
