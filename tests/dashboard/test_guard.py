"""Who may look: other names, other pages, wrong tokens."""

import pytest

from ticktape.dashboard.guard import Guard, is_loopback

HERE = {"host": "127.0.0.1:8321"}


@pytest.fixture
def guard():
    return Guard("127.0.0.1", 8321)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_known(host):
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_what_others_reach_is_not_loopback(host):
    assert not is_loopback(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8321", "localhost:9000", "LOCALHOST", "[::1]:8321", "10.0.0.7:8321"]
)
def test_addresses_and_own_names_are_answered(guard, host):
    assert guard.refusal({"host": host}) == ""


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "127.0.0.1.evil.example:8321", "localhost.evil.example"),
        *("a@localhost", "127.0.0.1/x", "localhost:99999999", "[::1"),
        "127.0.0.1:8321, evil.example",
    ],
)
def test_a_name_that_somebody_else_made_point_here_is_refused(guard, host):
    assert guard.refusal({"host": host})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:8322",
        "https://127.0.0.1",
        "null",
        "http://localhost:8321",
    ],
)
def test_a_socket_of_another_origin_is_refused(guard, origin):
    assert guard.refusal({**HERE, "origin": origin}, is_socket=True)


def test_a_socket_of_the_page_itself_is_taken(guard):
    assert guard.refusal({**HERE, "origin": "http://127.0.0.1:8321"}, is_socket=True) == ""


def test_another_page_may_link_here_and_nothing_else(guard):
    cross = {**HERE, "sec-fetch-site": "cross-site"}
    visit = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert guard.refusal({**cross, **visit}) == ""
    assert guard.refusal({**cross, **visit, "sec-fetch-dest": "iframe"})
    assert guard.refusal({**cross, "sec-fetch-mode": "no-cors"})


def test_without_a_token_everybody_on_this_machine_may_enter(guard):
    assert guard.may_enter({})
    assert not guard.opens("")


def test_with_a_token_only_its_cookie_enters():
    guard = Guard("0.0.0.0", 8321, "token", "secret")
    assert guard.opens("token")
    assert not any(map(guard.opens, ["", "toke", "token ", "secret", "tökên"]))
    assert guard.may_enter({"ticktape_8321": "secret"})
    for wrong in ({}, {"ticktape_8321": "token"}, {"ticktape_8322": "secret"}):
        assert not guard.may_enter(wrong)
    assert "HttpOnly" in guard.set_cookie
    assert "SameSite=Strict" in guard.set_cookie
    assert "token" not in guard.set_cookie.replace("ticktape", "")
