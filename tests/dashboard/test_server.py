"""The web server under attack: refused or harmless, and the others are served on."""

import contextlib
import json
import resource
import socket
import threading

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ticktape.dashboard import limits, server
from ticktape.dashboard.limits import CONNECTIONS_MAX
from ticktape.dashboard.server import BROWSERS_MAX, MESSAGE_BYTES_MAX


def read(browser):
    return json.loads(browser.recv(timeout=240))


def test_a_browser_gets_the_state_and_the_book_that_it_watches(serving, fake_run):
    source = fake_run()
    served = serving(source)
    with served.look() as browser:
        first = read(browser)
        assert first["first"] and first["symbols"] == [["sip", "AAPL"]]
        browser.send(json.dumps({"watch": ["sip", "AAPL"]}))
        while "book" not in (message := read(browser)):
            assert message["number"] < 100
        assert message["book"]["symbol"] == "AAPL"
    before = source.number
    with served.look() as browser:
        assert read(browser)["number"] > before, "it is read again when somebody looks again"


def test_a_server_that_ends_while_questions_wait_says_so_to_who_asked_and_nothing_else(
    serving, wait_until, tmp_path, caplog
):
    asked = tmp_path / "asked"
    script = "import sys, time; print('{}', flush=True); sys.stdin.readline(); "
    served = serving(answers=f"{script}open({str(asked)!r}, 'w').close(); time.sleep(600)")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(served.get("/ask/trades")))
    asking.start()
    wait_until(asked.exists)
    served.close()
    asking.join(240)
    assert [(status, body) for status, _, body in answers] == [(503, b"the page is being closed\n")]
    assert "Traceback" not in caplog.text


def test_every_answer_forbids_other_origins_scripts_and_frames(serving):
    served = serving()
    for path in ("/", "/static/main.js", "/static/nothing", "/ask/trades", "/nowhere"):
        _, headers, _ = served.get(path)
        policy = headers["content-security-policy"]
        assert "default-src 'self';" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy and "*" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_a_socket_from_another_page_is_refused(serving, origin):
    served = serving()
    with pytest.raises(InvalidStatus) as refused:
        served.look(origin=origin)
    assert refused.value.response.status_code == 403
    with served.look(origin=f"http://127.0.0.1:{served.port}") as browser:
        assert read(browser)["first"]


def test_a_name_that_was_made_to_point_here_gets_nothing(serving):
    served = serving()
    status, _, body = served.get("/", Host=f"evil.example:{served.port}")
    assert status == 403 and b"<html" not in body
    assert served.get("/ask/trades", Sec_Fetch_Site="cross-site")[0] == 403
    assert served.get("/", Host=f"127.0.0.1:{served.port}")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../guard.py",
        "/static/..%2fguard.py",
        "/static/%2e%2e/guard.py",
        "/static/..%5cguard.py",
        "/static/%2fetc%2fpasswd",
        "/static//etc/passwd",
        "/../../../../etc/passwd",
        "/static/main.js%00.css",
        "/static/",
    ],
)
def test_no_path_leads_out_of_the_list_of_files(serving, path):
    status, _, body = serving().get(path)
    assert status == 404
    assert b"class Guard" not in body and b"root:" not in body


def test_without_the_token_nothing_is_shown_and_the_cookie_takes_its_place(serving):
    served = serving(token="right")
    with pytest.raises(InvalidStatus):
        served.look()
    for path in ("/", "/?token=wrong", "/?token=", "/static/main.js?token=right", "/ask/trades"):
        status, headers, body = served.get(path)
        assert status == 403 and b"<html" not in body and "set-cookie" not in headers
    status, headers, _ = served.get("/?token=right")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].partition(";")[0]
    assert served.get("/", Cookie=cookie)[0] == 200
    assert served.get("/", Cookie="a b=c; " + cookie.replace("secret", "guessed"))[0] == 403
    with served.look(additional_headers={"Cookie": cookie}) as browser:
        assert read(browser)["first"]


@pytest.mark.parametrize(
    "said",
    [
        "x" * (MESSAGE_BYTES_MAX + 1),
        b"binary",
        "no json",
        '{"watch": ["sip"]}',
        '{"watch": null, "more": 1}',
        '{"watch": {"feed": "sip"}}',
        "[" * 4000,
    ],
)
def test_a_message_that_is_none_ends_its_own_socket_and_no_other(serving, said):
    served = serving()
    with served.look() as other, served.look() as browser:
        read(browser)
        browser.send(said)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                read(browser)
        assert closed.value.rcvd.code in (1008, 1009)
        number = read(other).get("number", 0)
        while read(other)["number"] <= number + 2:
            pass


def test_metrics_are_given_to_who_may_look_and_to_no_one_else(serving):
    status, headers, body = serving().get("/metrics")
    assert (status, body) == (200, b"ticktape_up 1\n")
    assert headers["content-type"].startswith("text/plain")
    assert serving(token="right").get("/metrics")[0] in (401, 403)


def test_a_question_is_answered_or_refused(serving):
    served = serving()
    status, headers, body = served.get("/ask/trades?symbol=%3Cb%3E&feed=sip")
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body)["given"] == {"symbol": "<b>", "feed": "sip"}
    assert served.get("/ask/anything")[0] == 404
    assert served.get(f"/ask/trades?symbol={'x' * 100}")[0] == 400
    with contextlib.suppress(ConnectionError):
        assert served.get(f"/?{'x' * 200_000}")[0] == 400
    assert served.get("/")[0] == 200


def test_two_thousand_connections_are_refused_and_who_looks_already_is_served(
    serving, monkeypatch, wait_until
):
    # Nobody may leave a place while they are counted, however long that takes.
    monkeypatch.setattr(limits, "REQUEST_S", 600.0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 4_096
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, 4_096)), hard))
    count = min(2_000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 300)
    served = serving()

    def take(held):
        return held.enter_context(socket.create_connection(("127.0.0.1", served.port), 240))

    def is_free():
        with contextlib.suppress(ConnectionError):
            return served.get("/")[0] == 200

    with served.look() as browser:
        with contextlib.ExitStack() as held:
            number = read(browser)["number"]
            refused = 0
            for at in range(count):
                each = take(held)
                if at >= CONNECTIONS_MAX:
                    refused += each.recv(100).startswith(b"HTTP/1.1 503")
            assert refused == count - CONNECTIONS_MAX
            while read(browser)["number"] <= number + 3:
                pass
        wait_until(is_free)
        monkeypatch.setattr(limits, "REQUEST_S", 1.0)
        with contextlib.ExitStack() as held:
            # Who took a place and says nothing has to leave it.
            heard = []
            for each in [take(held) for _ in range(CONNECTIONS_MAX)]:
                try:
                    heard.append(each.recv(100))
                except ConnectionError:
                    heard.append(b"")
            assert heard.count(b"") > CONNECTIONS_MAX // 2, "the others found no place"
            wait_until(is_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_only_so_many_browsers_look(serving, monkeypatch):
    assert BROWSERS_MAX < CONNECTIONS_MAX, "there is a place left for questions"
    monkeypatch.setattr(server, "BROWSERS_MAX", 4)
    served = serving()
    with contextlib.ExitStack() as browsers:
        for _ in range(4):
            read(browsers.enter_context(served.look()))
        last = browsers.enter_context(served.look())
        with pytest.raises(ConnectionClosed) as closed:
            read(last)
        assert closed.value.rcvd.code == 1013


def test_a_browser_that_takes_nothing_gets_the_newest_and_delays_nobody(
    serving, fake_run, monkeypatch
):
    monkeypatch.setattr(server, "SAMPLE_S", 0.02)
    served = serving(fake_run(weight=1_000_000))
    with served.look(max_queue=1) as slow, served.look() as quick:
        read(slow)
        while (number := read(quick)["number"]) < 60:
            pass
        got = 1
        while read(slow)["number"] < number:
            got += 1
        assert got < 40, "what it did not take is replaced, not kept"
