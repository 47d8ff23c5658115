"""Every error of the venue at login and in the middle of its data: what becomes of the feed.

A scripted venue says each of them; those after which a new session is worth trying come one after
another, a connection each. Of those that are fatal at login one in the middle of the data ends the
session alone; what the next login is answered decides.
"""

import asyncio
import json

import pytest

from ticktape.feeds.alpaca_errors import POLICIES
from ticktape.sim.states import ERRORS

pytestmark = pytest.mark.timeout(900)

FATAL = (402, 408, 409, 411, 412)
RETRIED = (400, 401, 404, 406, 407, 500, 499)
NOTICES = (403, 405, 410, 413, 400, 499)
RETRIED_LATE = (401, 404, 406, 407, 500)
CURES = {
    402: "Check APCA_API_KEY_ID",
    408: "Ask Alpaca",
    409: "Use the iex feed",
    411: "market-data scope",
    412: 'encoding = "msgpack"',
}
TRADES_BEFORE = 3


def trade(number):
    return {
        **{"T": "t", "S": "AAPL", "i": number, "x": "V", "p": 1.5, "s": 2, "c": ["@"], "z": "C"},
        "t": f"2026-03-03T14:30:00.{number:09d}Z",
    }


class Talk:
    """One connection of a scripted venue: what it says, and what it hears."""

    def __init__(self, wire, reader, writer):
        self._frame, self._reader, self._writer = wire.ws_frame, reader, writer
        self._number = 0

    def say(self, *messages):
        self._writer.write(self._frame(json.dumps(messages).encode()))

    def error(self, code):
        self.say({"T": "error", "code": code, "msg": ERRORS.get(code, "nobody knows this one")})

    def trades(self, count=TRADES_BEFORE):
        for _ in range(count):
            self._number += 1
            self.say(trade(self._number))

    async def hear(self):
        """The client's next message; its frames are masked (RFC 6455 §5.3)."""
        while True:
            first, second = await self._reader.readexactly(2)
            size = second & 127
            if size == 126:
                size = int.from_bytes(await self._reader.readexactly(2), "big")
            mask = await self._reader.readexactly(4)
            payload = await self._reader.readexactly(size)
            text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
            if first & 15 == 8:
                raise ConnectionResetError
            if first & 15 in (1, 2):
                return json.loads(text)

    async def log_in(self):
        self.say({"T": "success", "msg": "connected"})
        assert (await self.hear())["action"] == "auth"

    async def stand(self):
        """Everything up to the acknowledged subscription."""
        await self.log_in()
        self.say({"T": "success", "msg": "authenticated"})
        assert (await self.hear())["action"] == "subscribe"
        self.say({"T": "subscription", "trades": ["AAPL"]})

    async def stay(self):
        """Until the client leaves."""
        while True:
            await self.hear()


def at_login(wire, codes):
    """Connection n hears the n-th code as the answer to its login; those behind them stand."""

    async def script(reader, writer, number):
        talk = Talk(wire, reader, writer)
        if number >= len(codes):
            await talk.stand()
            talk.trades()
            await talk.stay()
        await talk.log_in()
        talk.error(codes[number])
        if codes[number] == 401:  # it logs in once more
            assert (await talk.hear())["action"] == "auth"
            talk.error(401)
        await talk.stay()

    return script


def in_the_middle(wire, codes):
    """Likewise, after some data, and with more behind it."""

    async def script(reader, writer, number):
        talk = Talk(wire, reader, writer)
        await talk.stand()
        talk.trades()
        if number < len(codes):
            talk.error(codes[number])
        talk.trades()
        await talk.stay()

    return script


def in_the_middle_and_at_login(wire, code):
    """In the middle of the data, and again in answer to the next login."""
    middle, login = in_the_middle(wire, [code]), at_login(wire, [code])

    async def script(reader, writer, number):
        await (middle if number == 0 else login)(reader, writer, 0)

    return script


def all_in_one(wire, codes):
    """All of them in one session."""

    async def script(reader, writer, number):
        talk = Talk(wire, reader, writer)
        await talk.stand()
        for code in codes:
            talk.trades(1)
            talk.error(code)
            await asyncio.sleep(0.05)  # so that each comes in a read of its own
        talk.trades(1)
        await talk.stay()

    return script


@pytest.fixture(scope="module")
def run(wire, loop, tmp_path_factory):
    venues = {f"login-{code}": at_login(wire, [code]) for code in FATAL}
    venues |= {f"middle-{code}": in_the_middle_and_at_login(wire, code) for code in FATAL}
    venues["stray"] = in_the_middle(wire, FATAL)
    venues["login"] = at_login(wire, RETRIED)
    venues["middle"] = in_the_middle(wire, RETRIED_LATE)
    venues["notices"] = all_in_one(wire, NOTICES)
    more = {"trades": ["AAPL"], "quotes": [], "bars": [], "stagger_s": 0, "backoff_max_s": 0.05}
    more["ping_s"] = 600.0  # a script answers no ping, however long the others take
    feeds = {
        name: {"url": wire.RawVenue(loop, script).url} | more for name, script in venues.items()
    }
    recorder = wire.Recorder(tmp_path_factory.mktemp("menu"), feeds)
    try:
        recorder.wait("login", "subscribed")
        recorder.wait("middle", "subscribed", count=len(RETRIED_LATE) + 1)
        recorder.wait("stray", "subscribed", count=len(FATAL) + 1)
        recorder.wait("notices", "notice", count=len(NOTICES) - 1)
        for code in FATAL:
            recorder.wait(f"login-{code}", "refused")
            recorder.wait(f"middle-{code}", "refused")
        return recorder.stop()
    finally:
        recorder.close()


def test_every_code_of_the_list_is_in_these_tests():
    assert set(ERRORS) == {*FATAL, *RETRIED, *NOTICES} - {499}


@pytest.mark.parametrize("code", FATAL)
@pytest.mark.parametrize("place", ["login", "middle"])
def test_fatal_code_ends_the_feed_with_the_cure_and_a_gap_that_stays(run, place, code):
    feed = f"{place}-{code}"
    (refused,) = run.session(feed, "refused")
    assert refused["code"] == code
    assert POLICIES[code].words in refused["words"]
    assert CURES[code] in refused["hint"]
    assert refused["hint"] in run.words, "said on the terminal, too"
    (gap,) = run.unplanned(feed)
    assert str(code) in gap["cause"] and gap["to_ns"] is None
    assert run.verdict_of(feed)["sessions"] == (1 if place == "login" else 2)
    assert [down["code"] for down in run.session(feed, "down")] == [code] * (place == "middle")


def test_fatal_codes_in_the_middle_end_no_feed_whose_next_login_is_taken(run):
    gaps = run.unplanned("stray")
    assert [down["code"] for down in run.session("stray", "down")] == list(FATAL)
    assert len(gaps) == len(FATAL) and all(gap["to_ns"] > gap["from_ns"] for gap in gaps)
    assert run.session("stray", "refused") == []
    assert run.verdict_of("stray")["sessions"] == len(FATAL) + 1


@pytest.mark.parametrize("code", FATAL)
def test_what_came_before_a_fatal_code_is_recorded(run, code):
    assert len(run.rows("trades", f"middle-{code}")) >= TRADES_BEFORE


def test_codes_worth_another_try_are_tried_again_and_named(run):
    downs = run.session("login", "down")
    assert [down["code"] for down in downs] == list(RETRIED)
    assert all(str(code) in down["words"] for code, down in zip(RETRIED, downs, strict=True))
    assert all(down["hint"] for down in downs)
    assert "within 90 s" in downs[RETRIED.index(406)]["hint"]
    assert run.verdict_of("login")["sessions"] == len(RETRIED) + 1
    (gap,) = run.unplanned("login")
    assert gap["to_ns"] is not None


def test_codes_in_the_middle_make_a_gap_each_which_ends_with_the_next_session(run):
    gaps = run.unplanned("middle")
    assert len(gaps) == len(RETRIED_LATE)
    for code, gap in zip(RETRIED_LATE, gaps, strict=True):
        assert f"({code} " in gap["cause"]
        assert gap["to_ns"] > gap["from_ns"]
    assert run.verdict_of("middle")["sessions"] == len(RETRIED_LATE) + 1


def test_codes_that_end_nothing_are_noted_with_a_hint_and_data_goes_on(run):
    notices = run.session("notices", "notice")
    # 403 says that we are known, which is what we want.
    assert [notice["code"] for notice in notices] == [code for code in NOTICES if code != 403]
    assert all(notice["hint"] for notice in notices)
    assert run.unplanned("notices") == []
    assert len(run.rows("trades", "notices")) == len(NOTICES) + 1
