"""The table of states."""

import itertools
import re
from pathlib import Path

import pytest

from ticktape.errors import ProtocolViolated
from ticktape.feeds import capture, session
from ticktape.feeds.states import TRANSITIONS, SessionState, picture, step

WAYS = {
    "a session that ends": "idle connecting connected authenticated ready down connecting",
    "a change of the subscription": "connecting connected authenticated ready ready",
    "a wrong key": "connecting connected refused stopped",
    "a subscription refused": "connecting connected authenticated refused stopped",
    "a path that is not there": "connecting refused stopped",
    "a plan that ends while data flows": "ready refused stopped",
    "no server": "connecting down connecting",
    "a login without an answer": "connected down",
    "an acknowledgement without an answer": "authenticated down",
    "stops": "idle stopped",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_way_is_in_the_table(way):
    states = [SessionState(name) for name in way.split()]
    for state, to in itertools.pairwise(states):
        assert step(state, to) is to


@pytest.mark.parametrize("state", [s for s in SessionState if s is not SessionState.STOPPED])
def test_every_state_can_be_stopped_in(state):
    assert step(state, SessionState.STOPPED) is SessionState.STOPPED


def test_every_state_is_reached_and_none_is_left_out():
    reached = {to for following in TRANSITIONS.values() for to in following}
    assert set(TRANSITIONS) == set(SessionState)
    assert reached == set(SessionState) - {SessionState.IDLE}


@pytest.mark.parametrize(
    ("state", "to"), [("idle", "ready"), ("connecting", "authenticated"), ("stopped", "connecting")]
)
def test_step_that_is_not_in_the_table_is_refused_by_name(state, to):
    with pytest.raises(ProtocolViolated, match=f"from {state} to {to}"):
        step(SessionState(state), SessionState(to))


def test_code_names_only_states_of_the_table_and_goes_to_each_of_them():
    text = Path(capture.__file__).read_text() + Path(session.__file__).read_text()
    named = {SessionState[name] for name in re.findall(r"SessionState\.([A-Z]+)", text)}
    assert named == set(SessionState)


def test_picture_shows_every_step():
    lines = picture().splitlines()
    assert lines[0] == "stateDiagram-v2" and lines[1].strip() == "[*] --> idle"
    steps = {line.strip() for line in lines[2:-1]}
    assert steps == {f"{s} --> {to}" for s, following in TRANSITIONS.items() for to in following}
    assert lines[-1].strip() == "stopped --> [*]"
