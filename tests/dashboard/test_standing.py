"""How a run stands, in words that never say more than is known."""

import pytest

from ticktape.dashboard.standing import Facts, span, standing

S = 1_000_000_000
NOW = 1_000 * S


def facts(**changed):
    return Facts(NOW, True, NOW - S, False)._replace(**changed)


@pytest.mark.parametrize(
    ("changed", "state", "words"),
    [
        ({}, "recording", "keeps up"),
        ({"heard_ns": None}, "starting", "nothing has come yet"),
        ({"heard_ns": NOW - 40 * S}, "stale", "nothing heard for 40 s"),
        ({"behind": (("stored", 31.0),)}, "behind", "stored by 31 s"),
        ({"trouble": ("sip holding",)}, "behind", "sip holding"),
        ({"is_live": False}, "stale", "did not say goodbye"),
        ({"is_live": False, "heard_ns": None}, "ended", "nothing was recorded"),
        ({"is_live": False, "stopped": True}, "ended", "not proved"),
        ({"is_live": False, "stopped": True, "complete": True}, "complete", "COMPLETE"),
        (
            {"is_live": False, "stopped": True, "complete": False, "why": "a gap"},
            "incomplete",
            "a gap",
        ),
    ],
)
def test_each_state_has_its_words(changed, state, words):
    said = standing(facts(**changed))
    assert said.state == state
    assert words in said.words


def test_a_killed_recorder_is_stale_whatever_an_older_certificate_says():
    assert standing(facts(is_live=False, complete=True)).state == "stale"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0 s"), (12.4, "12 s"), (180, "3 min"), (18_000, "5 h"), (400_000, "5 d")],
)
def test_spans_are_short(seconds, words):
    assert span(seconds) == words
