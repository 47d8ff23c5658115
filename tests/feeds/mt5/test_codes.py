"""Codes become words that say who must do what."""

import pytest

from ticktape.errors import Disconnected
from ticktape.feeds.mt5.codes import PIPE_CODES, call_words, disconnected, opening_words


def test_only_codes_of_a_broken_link_are_of_the_pipe():
    assert {-10_000, -10_001, -10_002, -10_003, -10_004} == PIPE_CODES
    assert not PIPE_CODES & {1, -1, -2, -4, -10_005}


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        (-10_005, "nobody is logged in", "Log in to an account in the terminal"),
        (-10_003, "is not running", "terminal64.exe"),
        (-6, "refuses the login", "investor"),
        (-7, "one-time password", "by hand"),
        (-5, "older than", "update"),
        (-2, "does not take", "Check terminal"),
        (-1, "could not be opened", "tried again"),
        (-10_001, "could not be opened", "tried again"),
    ],
)
def test_why_a_terminal_does_not_open_is_told_with_the_next_step(code, words, hint):
    said, cure = opening_words(code, "IPC text")
    assert words in said and hint in cure
    assert said.endswith(f"({code} 'IPC text')")


@pytest.mark.parametrize(("code", "words"), [(-10_004, "is gone"), (-1, "refuses the call")])
def test_a_call_that_fails_tells_a_lost_link_from_a_refusal(code, words):
    said, hint = call_words(code, "text")
    assert words in said and f"({code} 'text')" in said and hint


def test_the_error_of_a_lost_link_carries_both():
    error = disconnected(("words", "hint"))
    assert isinstance(error, Disconnected)
    assert (error.args[0], error.hint) == ("words", "hint")
