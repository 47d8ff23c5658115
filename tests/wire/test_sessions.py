"""Sessions that end: each outage has its words and its gap, and what was sent is stored once."""

import asyncio
from collections import Counter

import pytest

from ticktape.sim import parse_faults

pytestmark = pytest.mark.timeout(900)

SETTINGS = {
    "disconnect": {"faults": ["disconnect@400", "duplicate_after_reconnect=30"], "hold": True},
    "twice": {"faults": ["disconnect@200", "disconnect@400"], "hold": True, "batch": 7},
    "mid_frame": {"faults": ["close_mid_frame@400"], "hold": True, "batch": 20},
    "proper": {"faults": ["disconnect@400"], "hold": True, "proper_close": True},
    "error_500": {"faults": ["error:500@400"]},
    "error_407": {"faults": ["error:407@400"]},
    "mute": {"faults": ["mute@400"], "hold": True},
    "half_open": {"faults": ["half_open@400"], "hold": True},
    "throttled": {"faults": ["http:429x1"]},
    "trouble": {"faults": ["http:503x1"]},
    "occupied": {},
    "reaped": {"faults": ["disconnect@400"], "hold": True, "reap_s": 6.0},
    "v1": {"faults": ["disconnect@400"], "hold": True, "path": "/stream"},
}
# Each may happen once: what a busy machine takes, or the end of the other tapes, is no outage.
FEEDS = {
    "mute": {"quiet_s": 0.5, "stale_s": 8.0},
    "half_open": {"ping_s": 4.0, "pong_timeout_s": 4.0},
    "reaped": {"backoff_max_s": 0.5},
    "v1": {"kind": "alpaca_v1", "quotes": [], "bars": []},
    # Scripts answer no ping, however long the others take.
    "bad_opcode": {"ping_s": 600.0},
    "too_long": {"max_frame_bytes": 1 << 20, "ping_s": 600.0},
    "no_answer": {"connect_timeout_s": 2.5, "backoff_max_s": 0.2},
    "no_ack": {"connect_timeout_s": 2.5, "backoff_max_s": 0.2},
}
GREETING = b'[{"T":"success","msg":"connected"}]'
LOGGED_IN = b'[{"T":"success","msg":"authenticated"}]'
ACK = b'[{"T":"subscription","trades":["*"],"quotes":["*"],"bars":["*"]}]'


def scripts(frame):
    """Venues that break the WebSocket protocol, or say nothing."""

    async def login(writer, *more):
        writer.write(frame(GREETING) + frame(LOGGED_IN) + frame(ACK) + b"".join(more))
        await writer.drain()

    async def bad_opcode(reader, writer, number):
        # In one write, and so mostly in one read: a whole frame, then one that is none.
        good = frame(b'[{"T":"zz","n":%d}]' % number)
        await login(writer, good, frame(b"odd", opcode=3) if number == 0 else b"")
        await reader.read()

    async def too_long(reader, writer, number):
        await login(writer, frame(b"x" * (2 << 20)) if number == 0 else b"")
        await reader.read()

    async def no_answer(reader, writer, number):
        await reader.read()

    async def no_ack(reader, writer, number):
        writer.write(frame(GREETING) + frame(LOGGED_IN))
        await asyncio.sleep(60)

    return {
        "bad_opcode": bad_opcode,
        "too_long": too_long,
        "no_answer": no_answer,
        "no_ack": no_ack,
    }


@pytest.fixture(scope="module")
def run(wire, loop, tape, tmp_path_factory):
    """One run with all of these venues at once, to the end of their tapes."""
    trades = tape.only(frozenset({"trades"}))
    venues = {}
    for name, settings in SETTINGS.items():
        faults = parse_faults(settings.get("faults", []))
        venues[name] = wire.Venue(loop, trades, **(settings | {"faults": faults}))
    leave = venues["occupied"].occupy()
    raw = {name: wire.RawVenue(loop, made) for name, made in scripts(wire.ws_frame).items()}
    urls = {name: venue.url for name, venue in (venues | raw).items()}
    feeds = {name: {"url": url} | FEEDS.get(name, {}) for name, url in urls.items()}
    recorder = wire.Recorder(tmp_path_factory.mktemp("sessions"), feeds)
    try:
        recorder.wait("occupied", "down", "connection limit exceeded", count=2)
        leave()
        recorder.wait_tapes(*venues.values())
        # Two of these tapes go on while their feed is away, and may be over before it is back.
        for name in ("error_500", "error_407", "bad_opcode", "too_long"):
            recorder.wait(name, "subscribed", count=2)
        for name in ("no_answer", "no_ack"):
            recorder.wait(name, "down", "did not answer the login", count=2)
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.sent = {name: venue.sent() for name, venue in venues.items()}
    return ended


def behind_its_tape(run, feed):
    """How many outages `mute` had once its tape was over: the others' may take longer than that."""
    if feed != "mute":
        return 0
    last_ns = run.rows("trades", feed)[-1]["recv_ns"]
    return sum(gap["from_ns"] >= last_ns for gap in run.unplanned(feed))


def one_outage(run, feed):
    """The feed's only outage: the words of the session's end, and the gap."""
    downs, gaps = run.session(feed, "down"), run.unplanned(feed)
    assert len(downs) == len(gaps) == 1 + behind_its_tape(run, feed)
    return downs[0], gaps[0]


@pytest.mark.parametrize("feed", [name for name in SETTINGS if name != "disconnect"])
def test_table_holds_what_was_sent_each_once_and_in_order(run, wire, feed):
    assert len(run.sent[feed]) >= 400
    wire.check_equal(run, feed, run.sent[feed])


def test_duplicates_after_a_reconnect_are_counted_and_stored_once(run, wire):
    again = [row for row in run.sent["disconnect"] if row["fault"] == "duplicate_after_reconnect"]
    first = [row for row in run.sent["disconnect"] if row not in again]
    assert len(again) == 30
    wire.check_equal(run, "disconnect", first)
    assert run.verdict_of("disconnect")["duplicates"] == 30


WORDS = {
    "disconnect": "connection lost without a close frame",
    "mid_frame": "connection lost without a close frame",
    "proper": "closed by the venue",
    "error_500": "internal error at the venue (500 'internal error')",
    "error_407": "slow client: we read too slowly, and the venue dropped us (407 'slow client')",
    "mute": "no data for 8 s although connected",
    "half_open": "not even an answer to our ping",
    "throttled": "answers HTTP 429 (too many connections in a short time)",
    "trouble": "answers HTTP 503: the venue, or what stands before it, is in trouble",
    "v1": "connection lost without a close frame",
    "bad_opcode": "the venue broke the WebSocket protocol: Received frame with invalid opcode",
    "too_long": "exceeding max allowed size",
}


@pytest.mark.parametrize("feed", WORDS)
def test_outage_has_its_own_words_in_the_session_the_gap_and_on_the_terminal(run, feed):
    down, gap = one_outage(run, feed)
    assert WORDS[feed] in down["words"]
    assert gap["cause"] == down["words"]
    assert f"{feed}: down: {down['words']}" in run.words
    assert any(down["words"] in reason for reason in run.verdict["reasons"])


@pytest.mark.parametrize("feed", WORDS)
def test_outage_makes_one_new_session_and_the_feed_incomplete(run, feed):
    verdict, more = run.verdict_of(feed), behind_its_tape(run, feed)
    assert (verdict["sessions"], verdict["gaps"]) == (2 + more, 1 + more)
    assert not verdict["complete"]


LOST = [name for name in WORDS if name not in ("throttled", "trouble", "bad_opcode", "too_long")]


@pytest.mark.parametrize("feed", LOST)
def test_gap_begins_where_the_last_was_heard_and_ends_with_the_new_subscription(run, feed):
    _, gap = one_outage(run, feed)
    stamps = [recv_ns for recv_ns, _, _ in run.raw(feed)]
    ready = run.session(feed, "subscribed")[1]["gaps"][0]
    assert (gap["from_ns"], gap["to_ns"]) == (ready["from_ns"], ready["to_ns"])
    # Nothing came in it but the answers to our login.
    inside = [p for recv_ns, _, p in run.raw(feed) if gap["from_ns"] < recv_ns < gap["to_ns"]]
    answers = (b'"success"', b'"authorization"')
    assert [p for p in inside if not any(answer in p for answer in answers)] == []
    # The last is the answer itself where the tape ended before we were back.
    assert stamps[0] < gap["from_ns"] < gap["to_ns"] <= stamps[-1]


def test_outages_are_as_long_as_they_were(run, wire):
    for feed, least_s in {"mute": 8.0, "half_open": 4.0, "throttled": 1.0}.items():
        assert wire.seconds(one_outage(run, feed)[1]) >= least_s


def test_slot_that_a_dead_connection_still_holds_is_waited_for_in_one_gap(run, wire):
    """As the venue does for up to 90 s after a crash."""
    first, *others = run.session("reaped", "down")
    assert WORDS["disconnect"] in first["words"]
    assert len(others) >= 2 and {down["code"] for down in others} == {406}
    assert all("within 90 s" in down["hint"] for down in others)
    (gap,) = run.unplanned("reaped")
    assert WORDS["disconnect"] in gap["cause"]
    assert wire.seconds(gap) >= 2.0


def test_two_outages_are_two_gaps(run):
    assert len(run.unplanned("twice")) == 2
    assert run.verdict_of("twice")["sessions"] == 3


def test_mute_venue_is_called_quiet_before_it_is_given_up(run):
    events = [content["event"] for content in run.session("mute")]
    assert events.index("quiet") < events.index("down")
    (quiet,) = run.session("mute", "quiet")[:1]
    assert "connected, but no data for" in quiet["words"] and "stale_s" in quiet["hint"]


def test_occupied_slot_is_waited_for_and_taken_when_it_is_free(run):
    downs = run.session("occupied", "down")
    assert len(downs) >= 2 and {down["code"] for down in downs} == {406}
    assert all("another session holds this account's slot" in down["words"] for down in downs)
    assert all("Stop the other recorder" in down["hint"] for down in downs)
    (gap,) = run.unplanned("occupied")
    assert gap["to_ns"] == run.session("occupied", "subscribed")[0]["gaps"][0]["to_ns"]
    assert gap["from_ns"] == run.session("occupied", "started")[0]["down_since_ns"]


def test_frame_before_one_that_breaks_the_protocol_is_kept(run):
    payloads = [payload for _, _, payload in run.raw("bad_opcode")]
    assert b'[{"T":"zz","n":0}]' in payloads and b'[{"T":"zz","n":1}]' in payloads


def test_frame_that_is_too_long_names_the_cure(run):
    (down,) = run.session("too_long", "down")
    assert "max_frame_bytes" in down["hint"]


@pytest.mark.parametrize("feed", ["no_answer", "no_ack"])
def test_login_without_an_answer_ends_and_is_tried_again(run, feed):
    words = Counter(down["words"] for down in run.session(feed, "down"))
    assert words.pop("the venue did not answer the login within 2.5 s") >= 2
    # On a busy machine the venue may be as late with what comes before it.
    assert all("no answer within 2.5 s" in each for each in words)
    (gap,) = run.unplanned(feed)
    assert gap["from_ns"] == run.session(feed, "started")[0]["down_since_ns"]
    assert gap["to_ns"] == run.session(feed, "stopped")[0]["down_since_ns"]


def test_no_child_had_to_be_started_again(run):
    exits = [line for line in run.lines if line["event"] == "exit"]
    assert {line["code"] for line in exits} == {0}
    assert set(Counter(line["child"] for line in exits).values()) == {1}


def test_capture_logs_hold_no_traceback(run):
    for log in (run.directory / "log").glob("*.log"):
        assert "Traceback" not in log.read_text(), log
