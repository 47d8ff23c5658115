"""Answers to the upgrade: which are tried again, when, and what a user can do about the others."""

import pytest

from ticktape.errors import Disconnected, Refused
from ticktape.feeds.upgrade import Throttled, answered

PLACE = "wss://host/v2/sip"
NOW = "Wed, 25 Nov 2026 21:30:00 GMT"


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (400, "encoding and auth"),
        (401, "APCA_API_KEY_ID"),
        (403, "may not have the stream"),
        (404, "path does not exist"),
        (405, "Check the url"),
        (410, "Check the url"),
    ],
)
def test_answer_that_stays_the_same_is_fatal_and_names_its_cure(status, cure):
    error = answered(PLACE, status, {})
    assert isinstance(error, Refused) and cure in error.hint
    assert error.args[0] == f"{PLACE} answers HTTP {status}"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"RETRY-AFTER": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "999999999999"}, 60.0),
        ({"Retry-After": "Wed, 25 Nov 2026 21:30:09 GMT", "Date": NOW}, 9.0),
        ({"Retry-After": "Wed, 25 Nov 2026 21:30:09 -0000", "Date": NOW}, 9.0),
        ({"Retry-After": "Wed, 25 Nov 2026 21:29:00 GMT", "Date": NOW}, 0.0),
        ({"Retry-After": "Thu, 26 Nov 2026 21:30:00 GMT", "Date": NOW}, 60.0),
    ],
)
def test_crowd_or_trouble_is_tried_again_when_the_venue_wants_it(status, headers, wait_s):
    error = answered(PLACE, status, headers)
    assert isinstance(error, Throttled) and error.wait_s == wait_s
    assert "trying again" in error.args[0]


@pytest.mark.parametrize(
    "headers", [{}, {"Retry-After": "soon"}, {"Retry-After": "-5"}, {"Retry-After": NOW}]
)
def test_venue_that_names_no_time_is_left_to_our_own_pauses(headers):
    assert answered(PLACE, 429, headers).wait_s == 1.0
    assert answered(PLACE, 503, headers).wait_s == 0.0


def test_too_many_connections_names_what_to_do():
    assert "stagger_s" in answered(PLACE, 429, {}).hint


@pytest.mark.parametrize("status", [200, 302, 418])
def test_any_other_answer_is_tried_again(status):
    error = answered(PLACE, status, {})
    assert isinstance(error, Disconnected) and not isinstance(error, Throttled)
