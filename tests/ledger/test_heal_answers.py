"""What an answer means, and how fast to ask."""

import pytest

from ticktape.ledger.heal_answers import (
    Again,
    Aside,
    Good,
    Never,
    Pace,
    TooRecent,
    backoff_ns,
    meaning_of,
)

S = 10**9
NOW_NS = 1_800_000_000 * S


def meaning(status, body=b"", failures=0, jitter=0.5, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return meaning_of(status, named, body, failures=failures, now_ns=NOW_NS, jitter=jitter)


def test_a_page_is_good():
    assert meaning(200) == Good()


def test_a_limit_is_waited_for_until_the_venue_lifts_it():
    reset = str(NOW_NS // S + 20)
    assert meaning(429, x_ratelimit_reset=reset).wait_ns == int(20.5 * S)
    assert meaning(429, x_ratelimit_reset=reset, jitter=0.0).wait_ns == 20 * S


@pytest.mark.parametrize("reset", ["", "soon", "-5", "²", "1" * 5_000])
def test_a_limit_without_a_time_is_waited_for_as_an_error(reset):
    assert meaning(429, x_ratelimit_reset=reset, failures=3).wait_ns == backoff_ns(3, 0.5)


@pytest.mark.parametrize("reset_s", [-3600, 3600 * 24 * 365])
def test_a_clock_that_is_wrong_makes_no_one_wait_for_ever(reset_s):
    said = meaning(429, x_ratelimit_reset=str(NOW_NS // S + reset_s))
    assert 0 <= said.wait_ns <= 121 * S


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
def test_errors_of_the_server_are_tried_again_later_and_later(status):
    waits = [meaning(status, failures=n).wait_ns for n in range(12)]

    assert isinstance(meaning(status), Again)
    assert waits == sorted(waits)
    assert waits[0] < 2 * S and waits[-1] == 45 * S


@pytest.mark.parametrize("status", [403, 422])
def test_rows_that_are_too_young_for_the_plan_are_known_by_their_code(status):
    body = b'{"code":42210000,"message":"subscription does not permit querying recent SIP data"}'
    assert isinstance(meaning(status, body), TooRecent)
    assert isinstance(meaning(status, b'{"code":1,"message":"no"}'), Never)


@pytest.mark.parametrize(
    ("status", "cure"),
    [(400, "heal_feed"), (401, "keys"), (403, "plan"), (404, "heal = "), (302, "heal = ")],
)
def test_what_would_not_help_again_names_its_cure(status, cure):
    said = meaning(status, b'{"message":"why"}')
    assert isinstance(said, Never)
    assert cure in said.hint
    assert str(status) in said.words and "why" in said.words


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"message":7}', b"[" * 100_000])
def test_a_body_that_says_nothing_is_no_fault(body):
    assert meaning(500, body).words == "REST answers HTTP 500"


def test_a_long_message_is_cut():
    assert len(meaning(500, b'{"message":"%s"}' % (b"x" * 9_000)).words) < 300


def test_no_more_than_so_many_are_sent_in_any_minute():
    pace = Pace(3)
    sent, now_ns = [], NOW_NS
    for _ in range(10):
        now_ns += pace.wait_ns(now_ns)
        assert pace.wait_ns(now_ns) == 0
        pace.sent(now_ns)
        sent.append(now_ns)
        now_ns += S

    assert all(later - sooner >= 60 * S for sooner, later in zip(sent, sent[3:], strict=False))
    assert sent[2] - sent[0] == 2 * S, "what is allowed goes at once"


def test_the_venues_own_count_holds_requests_back_too():
    pace = Pace(100)
    used = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOW_NS // S + 9)}
    mono_ns = 77 * S
    pace.answered(used | {"x-ratelimit-remaining": "5"}, NOW_NS, mono_ns)
    assert pace.wait_ns(mono_ns) == 0
    pace.answered(used, NOW_NS, mono_ns)

    assert pace.wait_ns(mono_ns) == 9 * S
    assert pace.wait_ns(mono_ns + 9 * S) == 0


def test_a_clock_that_was_set_back_holds_nothing_back():
    pace = Pace(1)
    pace.sent(NOW_NS)
    assert pace.wait_ns(NOW_NS - 3600 * S) == 0


def test_a_gap_that_fails_again_and_again_is_put_aside_longer_each_time_up_to_a_bound():
    aside, now_ns, waits = Aside(), NOW_NS, []
    for _ in range(3):
        assert not aside.failed("a", now_ns, 3600 * S)
    for _ in range(12):
        assert aside.failed("a", now_ns, 3600 * S)
        waits.append(aside.until_ns("a") - now_ns)
        assert aside.keys(now_ns) == {"a"}
        now_ns = aside.until_ns("a")
        assert aside.keys(now_ns) == set()

    assert waits[:3] == [60 * S, 120 * S, 240 * S] and waits[-1] == 3600 * S
    aside.forget("a")
    assert not aside.failed("a", now_ns, 3600 * S)
