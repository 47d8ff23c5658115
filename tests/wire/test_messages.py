"""What a venue may put on the wire while a session stands: nothing is lost, and nothing ends it."""

import pytest

from ticktape.records import EntryKind
from ticktape.sim import Tape, parse_faults

FAULTS = {
    "plain": {},
    "batches": {"batch": 50},
    "malformed": {"faults": ["malformed@300"]},
    "unknown_type": {"faults": ["unknown_type@300"]},
    "unknown_field": {"faults": ["unknown_field@300"]},
    "huge": {"faults": ["huge@300"]},
    "fragments": {"faults": ["fragment@300=7", "fragment@400=3"], "batch": 10},
    "before_ack": {"faults": ["data_before_ack=25"]},
    "late_error": {"faults": ["error:405@300"]},
    "ack_missing": {"faults": ["ack_missing=TSLA"]},
    "docs": {"ack_style": "docs"},
    "plan": {"max_symbols": 3},
    "v1": {"path": "/stream"},
    "v1_binary": {"path": "/stream", "v1_binary": True, "v1_text_ids": True},
}
FEEDS = {
    "ack_missing": {"trades": ["AAPL", "TSLA"], "quotes": ["TSLA"], "bars": []},
    "plan": {"trades": ["AAPL", "IBM"], "quotes": ["IBM", "TSLA"], "bars": ["*"]},
    "v1": {"kind": "alpaca_v1"},
    "v1_binary": {"kind": "alpaca_v1"},
}


def shuffled(tape):
    """The same tape, but trades come late and out of order."""
    late = Tape(tape.tables)
    trades = late.tables["trades"]
    order = [place ^ 3 if place ^ 3 < trades.num_rows else place for place in range(len(trades))]
    late.tables["trades"] = trades.take(order)
    return late


@pytest.fixture(scope="module")
def run(wire, loop, tape, tmp_path_factory):
    """One run of the recorder with all of these venues at once, to the end of their tapes."""
    venues = {}
    for name, settings in FAULTS.items():
        settings = dict(settings)
        settings["faults"] = parse_faults(settings.get("faults", []))
        venues[name] = wire.Venue(loop, tape, **settings)
    venues["out_of_order"] = wire.Venue(loop, shuffled(tape))
    feeds = {name: {"url": v.url} | FEEDS.get(name, {}) for name, v in venues.items()}
    recorder = wire.Recorder(tmp_path_factory.mktemp("messages"), feeds)
    try:
        recorder.wait_tapes(*venues.values())
        ended = recorder.stop()
    finally:
        recorder.close()
    ended.sent = {name: venue.sent() for name, venue in venues.items()}
    return ended


WHOLE = [*FAULTS, "out_of_order"]
COMPLETE = [name for name in WHOLE if name not in ("ack_missing", "plan")]


@pytest.mark.parametrize("feed", WHOLE)
def test_table_holds_what_was_sent_each_once_and_in_order(run, wire, feed):
    assert len(run.sent[feed]) > 200
    wire.check_equal(run, feed, run.sent[feed])


@pytest.mark.parametrize("feed", COMPLETE)
def test_feed_is_complete_in_one_session(run, feed):
    verdict = run.verdict_of(feed)
    assert verdict["complete"] and verdict["gaps"] == 0 and verdict["sessions"] == 1


def test_run_with_symbols_missing_is_incomplete(run):
    assert run.exit_code == 1 and run.verdict["complete"] is False


def test_malformed_frame_is_kept_byte_for_byte_and_counted(run):
    (unknown,) = run.rows("unknown", "malformed")
    assert "not an array of messages" in unknown["reason"]
    assert unknown["text"].encode() in [payload for _, _, payload in run.raw("malformed")]


def test_message_of_unknown_type_is_kept_and_named(run):
    (unknown,) = run.rows("unknown", "unknown_type")
    assert unknown["reason"]


def test_unknown_field_is_in_the_journal_and_hurts_nothing(run):
    assert [p for _, _, p in run.raw("unknown_field") if b'"note":' in p]


def test_frame_of_five_megabytes_is_one_entry(run):
    assert max(len(payload) for _, _, payload in run.raw("huge")) > 5_000_000


def test_binary_frames_are_binary_in_the_journal(run):
    kinds = [kind for _, kind, _ in run.raw("v1_binary")]
    assert set(kinds) == {EntryKind.BINARY}
    assert {kind for _, kind, _ in run.raw("v1")} == {EntryKind.TEXT}


def test_messages_before_the_acknowledgement_are_kept(run):
    payloads = [payload for _, _, payload in run.raw("before_ack")]
    ack = next(n for n, payload in enumerate(payloads) if b'"subscription"' in payload)
    assert b'"authenticated"' in payloads[1] and ack >= 2 + 25


def test_error_that_concerns_no_session_is_written_down(run):
    (notice,) = run.session("late_error", "notice")
    assert notice["code"] == 405 and "symbol limit exceeded" in notice["words"]


def test_symbol_left_out_of_the_acknowledgement_is_a_gap_of_that_symbol(run):
    (gap,) = run.unplanned("ack_missing", "TSLA")
    assert gap["cause"] == "quotes, trades not subscribed: the venue's answer leaves it out"
    assert run.unplanned("ack_missing") == run.unplanned("ack_missing", "AAPL") == []
    subscribed = run.session("ack_missing", "subscribed")[-1]
    assert gap["from_ns"] == subscribed["gaps"][0]["from_ns"]
    stopped = run.session("ack_missing", "stopped")[-1]
    assert gap["to_ns"] == stopped["down_since_ns"]
    assert "NOT subscribed" in run.words and "TSLA" in run.words


def test_full_plan_records_what_it_allows_and_names_what_is_missing(run):
    (subscribed,) = run.session("plan", "subscribed")
    assert subscribed["channels"] == {"bars": ["*"], "quotes": ["IBM"], "trades": ["AAPL", "IBM"]}
    assert subscribed["missing"] == {"quotes": ["TSLA"]}
    (gap,) = run.unplanned("plan", "TSLA")
    assert "symbol limit exceeded (405)" in gap["cause"] and "shorten the lists" in gap["cause"]
    assert not run.verdict_of("plan")["complete"]


def test_receive_stamps_never_go_back(run):
    for feed in WHOLE:
        stamps = [recv_ns for recv_ns, _, _ in run.raw(feed)]
        assert stamps == sorted(stamps)
