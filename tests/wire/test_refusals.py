"""What no new try would change: the feed ends at once, with the cure, and is not started again."""

import pytest

from ticktape.sim import parse_faults

SETTINGS = {
    "wrong_key": {"keys": {"another": "pair"}},
    "wrong_key_v1": {"keys": {"another": "pair"}, "path": "/stream"},
    "not_in_plan": {"faults": parse_faults(["not_entitled"])},
    "no_symbols": {"max_symbols": 1},
    "wrong_path": {},
}
CODES = {"wrong_key": 402, "wrong_key_v1": 402, "not_in_plan": 409, "no_symbols": 405}
WORDS = {
    "wrong_key": "authentication failed (402 'auth failed')",
    "wrong_key_v1": "authentication failed ('unauthorized')",
    "not_in_plan": "this feed is not in your plan (409 'insufficient subscription')",
    "no_symbols": "nothing of the subscription was accepted: symbol limit exceeded (405)",
    "wrong_path": "answers HTTP 404",
}
CURES = {
    "wrong_key": "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY",
    "wrong_key_v1": "Check APCA_API_KEY_ID and APCA_API_SECRET_KEY",
    "not_in_plan": "Use the iex feed",
    "no_symbols": "shorten the lists",
    "wrong_path": "Check the url",
}


@pytest.fixture(scope="module")
def run(wire, loop, tape, tmp_path_factory):
    """A run whose feeds are all refused; it ends by itself."""
    venues = {name: wire.Venue(loop, tape, **more) for name, more in SETTINGS.items()}
    feeds = {name: {"url": venue.url} for name, venue in venues.items()}
    feeds["wrong_path"]["url"] = venues["wrong_path"].sim.url("/v2/nothing")
    feeds["no_symbols"] |= {"bars": []}
    feeds["wrong_key_v1"]["kind"] = "alpaca_v1"
    recorder = wire.Recorder(tmp_path_factory.mktemp("refusals"), feeds)
    try:
        ended = recorder.wait_ended()
    finally:
        recorder.close()
    ended.connections = {name: v.sim.statistics().connections for name, v in venues.items()}
    return ended


def test_run_ends_by_itself_incomplete(run):
    assert run.exit_code == 1 and run.verdict["complete"] is False
    assert run.verdict["received"] == run.verdict["dropped"] == 0


@pytest.mark.parametrize("feed", SETTINGS)
def test_refusal_has_its_own_words_and_the_cure(run, feed):
    (refused,) = run.session(feed, "refused")
    assert WORDS[feed] in refused["words"] and CURES[feed] in refused["hint"]
    assert refused.get("code", 0) == CODES.get(feed, 0)
    assert f"{feed}: refused: {refused['words']}" in run.words
    assert refused["hint"] in run.words


@pytest.mark.parametrize("feed", SETTINGS)
def test_refusal_is_an_open_gap_from_the_start(run, feed):
    (gap,) = run.unplanned(feed)
    assert WORDS[feed] in gap["cause"] and gap["to_ns"] is None
    assert gap["from_ns"] == run.session(feed, "started")[0]["down_since_ns"]
    assert not run.verdict_of(feed)["complete"]
    assert any(WORDS[feed] in reason for reason in run.verdict["reasons"])


@pytest.mark.parametrize("feed", SETTINGS)
def test_venue_is_asked_once_and_the_child_is_not_started_again(run, feed):
    assert run.connections[feed] == (0 if feed == "wrong_path" else 1)
    assert run.verdict_of(feed)["sessions"] == 1
    codes = [
        line["code"]
        for line in run.lines
        if line["child"] == f"capture-{feed}" and line["event"] == "exit"
    ]
    assert codes == [4]


def test_check_finds_again_what_the_run_ended_with(run, wire):
    code, verdict = wire.check(run.directory)
    assert code == 1
    assert verdict["reasons"] == run.verdict["reasons"]
    assert verdict["feeds"] == run.verdict["feeds"]
