"""One request to REST: bounded, never followed, as received, and no key where it could be read."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ticktape import clock
from ticktape.errors import ConfigError, Disconnected
from ticktape.feeds.rest import RestClient, RestJournal
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.ledger.entries import Page, Request, Started
from ticktape.records import EntryKind


@pytest.fixture
def serve():
    """Start a server on this machine that answers by `answer(handler)`: its address."""
    servers = []

    def start(answer, protocol="HTTP/1.0"):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = protocol

            def do_GET(self):
                answer(self)

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def client():
    made = []

    def make(key="the-key", secret="the-secret", **options):
        made.append(RestClient(key, secret, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def reply(handler, status, body=b"", **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_the_body_comes_as_the_venue_wrote_it_with_status_and_headers(serve, client):
    body = b'{"trades": {}, \n "next_page_token":null}\xff'
    url = serve(lambda h: reply(h, 429, body, X_RateLimit_Reset="17"))
    answer = client().get(f"{url}/v2/stocks/trades?symbols=A")

    assert (answer.status, answer.body) == (429, body)
    assert answer.headers["x-ratelimit-reset"] == "17"


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("the-key", {"APCA-API-KEY-ID": "the-key", "APCA-API-SECRET-KEY": "the-secret"}),
        ("oauth", {"Authorization": "Bearer the-secret"}),
        ("access_token", {"Authorization": "Bearer the-secret"}),
    ],
)
def test_the_keys_go_in_headers_only(serve, client, key, wanted):
    seen = []
    url = serve(lambda h: (seen.append((h.path, dict(h.headers))), reply(h, 200, b"{}")))
    client(key).get(f"{url}/x?a=b")

    ((path, headers),) = seen
    assert path == "/x?a=b"
    assert headers.items() >= wanted.items()


def test_a_redirect_is_not_followed_for_the_keys_would_go_along(serve, client):
    asked = []
    other = serve(lambda h: (asked.append(h.path), reply(h, 200, b"{}")))
    url = serve(lambda h: reply(h, 302, Location=f"{other}/elsewhere"))

    assert client().get(f"{url}/x").status == 302
    assert asked == []


def test_a_connection_serves_more_than_one_request(serve, client):
    def answer(handler):
        ports.append(handler.client_address[1])
        reply(handler, 200, b"{}")

    ports = []
    url = serve(answer, "HTTP/1.1")
    one = client()
    for _ in range(3):
        one.get(f"{url}/x")

    assert len(ports) == 3
    assert len(set(ports)) == 1


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"])
def test_a_server_that_trickles_or_says_nothing_is_left_in_time(serve, client, says):
    over = threading.Event()

    def answer(handler):
        handler.wfile.write(says)
        while says and not over.wait(0.05):
            handler.wfile.write(b"x")
        over.wait(20)

    url = serve(answer)
    began_ns = clock.monotonic_ns()
    with pytest.raises(Disconnected, match="no answer from http"):
        client(request_s=0.3).get(f"{url}/x")
    over.set()
    assert clock.monotonic_ns() - began_ns < 15e9


def test_an_answer_that_ends_too_soon_is_no_answer(serve, client):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort")

    with pytest.raises(Disconnected):
        client().get(f"{serve(answer)}/x")


def test_a_server_that_is_away_is_named_and_no_secret_is(client):
    one = client(proxy="http://me:hush@127.0.0.1:1")
    with pytest.raises(Disconnected) as failed:
        one.get("http://data.example/v2/stocks/trades?symbols=A")

    said = f"{failed.value} {one!r}"
    assert "http://data.example/v2/stocks/trades" in said
    assert not any(secret in said for secret in ("hush", "the-key", "the-secret", "symbols"))


def test_it_goes_through_an_http_proxy_with_its_login(serve, client):
    seen = []
    proxy = serve(lambda h: (seen.append((h.path, dict(h.headers))), reply(h, 200, b"{}")))
    client(proxy=proxy.replace("http://", "http://me:hush@")).get("http://data.example/x")

    ((path, headers),) = seen
    assert path == "http://data.example/x"
    assert headers.keys() >= {"Proxy-Authorization", "APCA-API-KEY-ID"} or (
        "proxy-authorization" in headers
    )


def test_what_cannot_be_used_is_said_in_words(client, tmp_path, monkeypatch):
    monkeypatch.setattr("ticktape.feeds.rest.client.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="SOCKS proxy without the package PySocks"):
        client(proxy="socks5://127.0.0.1:1080")
    with pytest.raises(ConfigError, match="ca_file"):
        client(ca_file=str(tmp_path / "none.pem"))


def test_a_page_is_one_block_behind_its_request_and_safe_when_it_says_so(tmp_path):
    wall = clock.WallClock()
    with Writer(tmp_path / "journal", tmp_path / "positions", wall=wall) as writer:
        journal = RestJournal(writer, wall)
        journal.say(Started("r"))
        journal.page(Page(Request("/x", {"a": "b"}), 3, 10), b"\x00body", 7, 11)
        assert journal.is_safe()
        assert journal.position == (writer.epoch, writer.offset)
    with Reader(tmp_path / "journal", None) as reader:
        started, page = reader.read()

    assert started.entries() == [(EntryKind.SESSION, b'{"event":"started","run":"r"}')]
    request = b'{"event":"page","request":{"path":"/x","query":{"a":"b"}},"page":3,"rows_asked":10}'
    assert page.entries() == [(EntryKind.SESSION, request), (EntryKind.TEXT, b"\x00body")]
    assert (page.recv_mono_ns, page.recv_ns) == (7, 11)
