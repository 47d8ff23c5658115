"""Ways to a venue: TLS, proxies, and everything that can stand in between. And no secret leaks."""

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from pathlib import Path

import psutil
import pytest
import trustme

pytestmark = pytest.mark.timeout(900)

LOGIN = "proxy-user:planted-proxy-password"
QUICK = {"backoff_max_s": 0.3}
SHORT = QUICK | {"connect_timeout_s": 0.7}


def answering(text):
    """A server that answers every request with these bytes."""

    async def script(reader, writer, number):
        writer.write(text)
        await writer.drain()

    return script


async def never(reader, writer, number):
    await reader.read()


async def at_once(reader, writer, number):
    await asyncio.sleep(0)


MOVED = b"HTTP/1.1 302 Found\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
LATER = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n"

WORDS = {
    "untrusted": "is not trusted: unable to get local issuer certificate",
    "other_name": "is not trusted: IP address mismatch",
    "proxy_no_login": "status 407",
    "proxy_mute": "no answer within 0.7 s",
    "proxy_gone": "through the proxy http://127.0.0.1:1: ",
    "nobody": "cannot connect to ws://127.0.0.1:1/v2/iex: ",
    "hung_up": "hung up without an answer to the upgrade",
    "syn_hole": "no answer within 0.7 s",
    "black_hole": "no answer within 0.7 s",
    "moved": "answers HTTP 302; a redirect is not followed",
    "later": "answers HTTP 429 (too many connections in a short time)",
    "web_page": "answers HTTP 200",
    "no_http": "does not speak WebSocket",
    "no_tls": "WRONG_VERSION_NUMBER",
}
WHOLE = ["tls", "proxied", "proxied_tls", "proxy_login"]


class World:
    """All venues and proxies of the run."""

    def __init__(self, wire, loop, tape, place):
        ca, other = trustme.CA(), trustme.CA()
        self.ca_file = place / "ca.pem"
        ca.cert_pem.write_to_path(str(self.ca_file))
        trusted = _context(ca.issue_cert("127.0.0.1"))
        self.venues = {
            "tls": wire.Venue(loop, tape, ssl_context=trusted),
            "proxied": wire.Venue(loop, tape),
            "proxied_tls": wire.Venue(loop, tape, ssl_context=trusted),
            "proxy_login": wire.Venue(loop, tape),
            "untrusted": wire.Venue(
                loop, tape, ssl_context=_context(other.issue_cert("127.0.0.1"))
            ),
            "other_name": wire.Venue(loop, tape, ssl_context=_context(ca.issue_cert("venue.test"))),
            "target": wire.Venue(loop, tape),
        }
        target = self.venues["target"].url
        self.proxy = wire.Proxy(loop)
        self.login_proxy = wire.Proxy(loop, login=LOGIN)
        self.mute_proxy = wire.Proxy(loop, mute=True)
        raw = {
            "hung_up": at_once,
            "syn_hole": "no answer within 0.7 s",
            "black_hole": never,
            "moved": answering(MOVED % target.encode()),
            "later": answering(LATER),
            "web_page": answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
            "plain": answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "no_http": answering(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        }
        self.raw = {name: wire.RawVenue(loop, made, upgrade=False) for name, made in raw.items()}
        # A full queue of connections: the system leaves what comes then without any answer.
        self._full = socket.create_server(("127.0.0.1", 0), backlog=0)
        self._filling = [socket.socket() for _ in range(4)]
        for each in self._filling:
            each.setblocking(False)
            each.connect_ex(self._full.getsockname())
        self.feeds = self._feeds(target)

    def close(self):
        for each in (self._full, *self._filling):
            each.close()

    def _feeds(self, target):
        known = {name: venue.url for name, venue in (self.venues | self.raw).items()}
        ca = {"ca_file": str(self.ca_file)}
        proxy = {"proxy": f"http://{self.proxy.place}"}
        more = {
            "tls": ca,
            "proxied": proxy,
            "proxied_tls": ca | proxy,
            "proxy_login": {"proxy": "env"},
            "untrusted": QUICK,
            "other_name": QUICK | ca,
            "black_hole": SHORT,
        }
        feeds = {name: {"url": known[name]} | more.get(name, QUICK) for name in known}
        del feeds["target"], feeds["plain"]
        return feeds | {
            "proxy_no_login": {"url": target, "proxy": f"http://{self.login_proxy.place}"} | QUICK,
            "proxy_mute": {"url": target, "proxy": f"http://{self.mute_proxy.place}"} | SHORT,
            "proxy_gone": {"url": target, "proxy": "http://127.0.0.1:1"} | QUICK,
            "nobody": {"url": "ws://127.0.0.1:1/v2/iex"} | QUICK,
            "syn_hole": {"url": f"ws://127.0.0.1:{self._full.getsockname()[1]}/v2/iex"} | SHORT,
            "no_tls": {"url": known["plain"].replace("ws:", "wss:")} | QUICK,
        }


def _context(cert):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(context)
    return context


def processes_of(pid):
    """Command line and environment of a process and all below it, as the system shows them."""
    found = {}
    own = Path("/proc", str(pid), "cmdline").read_bytes()
    for process in psutil.Process(pid).children(recursive=True):
        place = Path("/proc", str(process.pid))
        with contextlib.suppress(OSError):  # it has just ended
            arguments, environment = [(place / n).read_bytes() for n in ("cmdline", "environ")]
            if arguments != own:  # else it is about to become a child, and still its parent
                found[process.pid] = arguments, environment
    return found


@pytest.fixture(scope="module")
def run(wire, loop, tape, tmp_path_factory):
    """One run with all of them at once."""
    place = tmp_path_factory.mktemp("connecting")
    world = World(wire, loop, tape, place)
    environment = {"HTTP_PROXY": f"http://{LOGIN}@{world.login_proxy.place}"}
    environment |= {name.lower(): value for name, value in environment.items()}
    recorder = wire.Recorder(place, world.feeds, environment=environment)
    try:
        recorder.wait_tapes(*(world.venues[name] for name in WHOLE))
        for name in WORDS:
            recorder.wait(name, "down", count=3)
        seen = processes_of(recorder.process.pid) if sys.platform == "linux" else {}
        ended = recorder.stop()
    finally:
        recorder.close()
        world.close()
    ended.world, ended.processes = world, seen
    return ended


@pytest.mark.parametrize("feed", WHOLE)
def test_table_holds_what_was_sent_over_this_way(run, wire, feed):
    wire.check_equal(run, feed, run.world.venues[feed].sent())
    assert run.verdict_of(feed)["complete"] and run.verdict_of(feed)["sessions"] == 1


def test_proxies_were_used(run):
    def place(name):
        return run.world.venues[name].url.split("/")[2]

    assert sorted(run.world.proxy.asked) == sorted([place("proxied"), place("proxied_tls")])
    assert place("proxy_login") in run.world.login_proxy.asked


@pytest.mark.parametrize("feed", WORDS)
def test_way_that_is_closed_has_its_own_words_and_is_tried_again(run, feed):
    downs = run.session(feed, "down")
    assert all(WORDS[feed] in down["words"] for down in downs), downs
    assert f"{feed}: down: {downs[0]['words']}" in run.words
    assert run.session(feed, "subscribed") == []
    assert len(run.session(feed, "connecting")) >= len(downs) >= 3


@pytest.mark.parametrize("feed", WORDS)
def test_feed_that_never_came_to_stand_is_one_gap_from_start_to_stop(run, feed):
    (gap,) = run.unplanned(feed)
    assert gap["from_ns"] == run.session(feed, "started")[0]["down_since_ns"]
    assert gap["to_ns"] == run.session(feed, "stopped")[0]["down_since_ns"]
    assert WORDS[feed] in gap["cause"]
    assert not run.verdict_of(feed)["complete"] and run.exit_code == 1


def test_cures_are_named(run):
    hints = {feed: run.session(feed, "down")[0].get("hint", "") for feed in WORDS}
    assert "ca_file" in hints["untrusted"]
    assert "check the url" in hints["other_name"]
    assert "keys go only where the config says" in hints["moved"]
    assert "connect_timeout_s" in hints["proxy_mute"]


def test_redirect_is_not_followed_with_our_keys(run):
    assert run.world.raw["moved"].connections >= 1
    assert run.world.venues["target"].sim.statistics().connections == 0


def waits_s(run, feed):
    """Seconds from the end of each try to the next."""
    downs, next_tries = run.times_of(feed, "down"), run.times_of(feed, "connecting")[1:]
    return [(to - at) / 1e9 for at, to in zip(downs, next_tries, strict=False)]


def test_venues_own_wait_is_kept(run):
    assert min(waits_s(run, "later")) >= 2.0


def test_first_retry_is_at_once_and_further_ones_make_no_storm(run):
    first, further = [], []
    for feed in WORDS.keys() - {"later"}:
        waits = waits_s(run, feed)
        first.append(waits[0])
        further += waits[1:]
    # A busy machine makes any of them longer: were the first ones waits, each were one of these.
    assert min(first) < 0.15 <= min(further)


def test_feeds_that_are_just_connecting_stop_in_time(run):
    assert not any("cut off" in reason for reason in run.verdict["reasons"])
    exits = [line["code"] for line in run.lines if line["event"] == "exit"]
    assert exits and set(exits) == {0}


def test_no_secret_is_in_anything_that_the_run_wrote(run, wire):
    texts = {path: path.read_bytes() for path in run.place.rglob("*") if path.is_file()}
    assert len(texts) > 50
    for secret in (wire.KEY, wire.SECRET, LOGIN.partition(":")[2]):
        for path, text in texts.items():
            assert secret.encode() not in text, path


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_secret_is_in_a_process_of_ours(run, wire):
    assert len(run.processes) >= len(run.world.feeds) + 2
    for secret in (wire.KEY, wire.SECRET, LOGIN.partition(":")[2]):
        for arguments, environment in run.processes.values():
            assert secret.encode() not in arguments
            assert secret.encode() not in environment


def test_capture_logs_hold_no_traceback(run):
    for log in (run.directory / "log").glob("*.log"):
        assert "Traceback" not in log.read_text(), log


def test_planted_secrets_really_were_used(run, wire):
    assert os.sep in str(run.directory)
    assert run.verdict_of("proxy_login")["received"] > 0  # only who knows both gets through
