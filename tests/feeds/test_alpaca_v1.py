"""Protocol v1 as a pure conversation."""

import json

import pytest

from ticktape.feeds.alpaca_v1 import AlpacaV1Protocol
from ticktape.feeds.protocol import Authenticated, Fail, Notice, Ready, Send

WANTED = {"trades": ["SPY"], "quotes": ["SPY"], "bars": ["*"]}
STREAMS = ["T.SPY", "Q.SPY", "AM.*"]
TAKEN = "your connection is rejected while another connection is open under the same account"


class Venue:
    def __init__(self):
        self.protocol = AlpacaV1Protocol("the-key", "the-secret", WANTED)
        self.sent = []

    def say(self, stream, **data):
        payload = json.dumps({"stream": stream, "data": data}, separators=(",", ":")).encode()
        assert self.protocol.is_control(payload)
        return self.take(self.protocol.receive(payload))

    def change(self, **wanted):
        return self.take(self.protocol.change(wanted))

    def take(self, actions):
        self.sent += [json.loads(a.payload) for a in actions if isinstance(a, Send)]
        return [a for a in actions if not isinstance(a, Send)]

    def login(self):
        assert self.say("authorization", action="authenticate", status="authorized") == [
            Authenticated()
        ]
        return self


def test_client_speaks_first_and_hides_its_secret():
    (action,) = AlpacaV1Protocol("the-key", "the-secret", WANTED).open()
    said = {"action": "authenticate", "data": {"key_id": "the-key", "secret_key": "the-secret"}}
    assert json.loads(action.payload) == said
    assert "the-secret" not in repr(action)


def test_login_is_followed_by_one_request_for_all_streams():
    assert Venue().login().sent == [{"action": "listen", "data": {"streams": STREAMS}}]


def test_wrong_key_is_fatal_with_the_cure():
    (fail,) = Venue().say("authorization", action="authenticate", status="unauthorized")
    assert fail.fatal and fail.code == 402
    assert "authentication failed" in fail.words and "APCA_API_KEY_ID" in fail.hint


def test_acknowledgement_is_compared_as_a_set():
    (ready,) = Venue().login().say("listening", streams=sorted(STREAMS))
    assert ready == Ready({"bars": ["*"], "quotes": ["SPY"], "trades": ["SPY"]}, {}, "")


def test_stream_left_out_is_missing():
    (ready,) = Venue().login().say("listening", streams=["T.SPY"])
    assert ready.missing == {"quotes": ["SPY"], "bars": ["*"]}
    assert "leaves it out" in ready.words


@pytest.mark.parametrize("data", [{"streams": []}, {"streams": None}, {}, {"streams": ["T.IBM"]}])
def test_acknowledgement_of_nothing_is_fatal(data):
    (fail,) = Venue().login().say("listening", **data)
    assert fail.fatal and fail.is_of_plan
    assert "nothing of the subscription was accepted" in fail.words


def test_later_acknowledgement_of_nothing_is_a_gap_and_no_end():
    venue = Venue().login()
    venue.say("listening", streams=STREAMS)
    (ready,) = venue.say("listening", streams=[])
    assert ready.missing == {"trades": ["SPY"], "quotes": ["SPY"], "bars": ["*"]}


def test_connection_limit_waits_and_tries_again():
    (fail,) = Venue().say("listening", error=TAKEN)
    assert isinstance(fail, Fail) and not fail.fatal
    assert fail.code == 406 and 0 < fail.wait_s < fail.wait_max_s <= 5.0
    assert "another session holds" in fail.words


def test_refused_request_is_fatal_with_the_venues_own_words():
    (fail,) = Venue().login().say("listening", error="channel limit exceeded")
    assert fail.fatal and "channel limit exceeded" in fail.words and "Shorten" in fail.hint


def test_error_while_data_flows_is_a_notice():
    venue = Venue().login()
    venue.say("listening", streams=STREAMS)
    assert venue.say("listening", error="invalid message") == [
        Notice(0, "the venue says 'invalid message'")
    ]


def test_already_authenticated_is_no_error():
    assert Venue().login().say("listening", error="your connection is already authenticated") == []


def test_second_login_is_a_notice_and_asks_for_nothing():
    venue = Venue().login()
    (notice,) = venue.say("authorization", action="authenticate", status="authorized")
    assert isinstance(notice, Notice) and len(venue.sent) == 1


@pytest.mark.parametrize(
    "payload",
    [b'{"stream":"listening"', b'{"stream":"listening","data":[]}', b'["listening"]', b"\xff"],
)
def test_control_message_that_cannot_be_read_is_a_notice(payload):
    (notice,) = AlpacaV1Protocol("k", "s", WANTED).receive(payload)
    assert isinstance(notice, Notice) and "cannot be read" in notice.words


def test_until_data_flows_a_control_message_is_found_wherever_its_stream_stands():
    late = b'{"data":{"action":"authenticate","status":"authorized"},"stream":"authorization"}'
    assert Venue().protocol.is_control(late)


def test_data_is_not_looked_into():
    trade = b'{"stream":"T.SPY","data":{"ev":"T","T":"SPY","i":1,"x":2,"p":283.63,"s":2,"t":1}}'
    venue = Venue().login()
    assert not venue.protocol.is_control(trade)
    venue.say("listening", streams=STREAMS)
    assert not venue.protocol.is_control(trade)
    assert venue.protocol.receive(trade) == []


# Symbols changed while it runs.


def ready():
    venue = Venue().login()
    venue.say("listening", streams=STREAMS)
    venue.sent.clear()
    return venue


def test_change_sends_the_difference_alone_what_goes_first():
    venue = ready()
    assert venue.change(trades=["SPY", "QQQ"], bars=["*"]) == []
    assert venue.sent == [{"action": "unlisten", "data": {"streams": ["Q.SPY"]}}]
    assert venue.say("listening", streams=["T.SPY", "AM.*"]) == []
    assert venue.sent[1:] == [{"action": "listen", "data": {"streams": ["T.QQQ"]}}]
    held = {"trades": ["QQQ", "SPY"], "bars": ["*"]}
    assert venue.say("listening", streams=["T.SPY", "AM.*", "T.QQQ"]) == [Ready(held, {}, "")]


def test_change_that_changes_nothing_sends_nothing_and_is_ready_at_once():
    venue = ready()
    assert venue.change(**WANTED) == [Ready(WANTED, {}, "")]
    assert venue.sent == []


def test_refusal_of_what_is_added_leaves_what_stood_and_is_told():
    venue = ready()
    venue.change(**{**WANTED, "trades": ["SPY", "QQQ"]})
    (told,) = venue.say("listening", error="channel limit exceeded")
    assert told.acknowledged == WANTED and told.missing == {"trades": ["QQQ"]}
    assert told.words == "channel limit exceeded"
    (told,) = venue.change(**WANTED)
    assert told == Ready(WANTED, {}, "")


def test_change_before_the_login_is_what_the_login_asks_for():
    venue = Venue()
    assert venue.change(trades=["QQQ"]) == []
    venue.login()
    assert venue.sent == [{"action": "listen", "data": {"streams": ["T.QQQ"]}}]


def test_change_while_the_venue_owes_an_answer_waits_for_it():
    venue = Venue().login()
    assert venue.change(trades=["QQQ"]) == [] and len(venue.sent) == 1
    assert venue.say("listening", streams=STREAMS) == []
    assert venue.sent[1:] == [{"action": "unlisten", "data": {"streams": sorted(STREAMS)}}]
    assert venue.say("listening", streams=[]) == []
    assert venue.sent[2:] == [{"action": "listen", "data": {"streams": ["T.QQQ"]}}]
    assert venue.say("listening", streams=["T.QQQ"]) == [Ready({"trades": ["QQQ"]}, {}, "")]


def test_acknowledgement_before_the_login_is_a_notice_and_asks_for_nothing():
    venue = Venue()
    (notice,) = venue.say("listening", streams=STREAMS)
    assert isinstance(notice, Notice) and venue.sent == []


@pytest.mark.parametrize(("before", "after"), [("AM.*", "AM.SPY"), ("AM.SPY", "AM.*")])
def test_where_a_star_comes_or_goes_what_comes_is_asked_first_so_that_nobody_is_deaf(before, after):
    venue = Venue().login()
    venue.change(trades=["SPY", "IBM"], bars=[before[3:]])
    held = ["T.SPY", "T.IBM", before]
    while not venue.say("listening", streams=held):
        pass
    venue.sent.clear()
    venue.change(trades=["SPY", "QQQ"], bars=[after[3:]])
    for held in (["T.SPY", before], ["T.SPY", before, "T.QQQ", after]):
        assert venue.say("listening", streams=held) == []
    assert [(sent["action"], sent["data"]["streams"]) for sent in venue.sent] == [
        ("unlisten", ["T.IBM"]),
        ("listen", ["T.QQQ", after]),
        ("unlisten", [before]),
    ]
    (told,) = venue.say("listening", streams=["T.SPY", "T.QQQ", after])
    assert told.missing == {} and told.acknowledged["bars"] == [after[3:]]


def test_words_of_a_refusal_are_told_up_to_a_bound():
    (fail,) = Venue().login().say("listening", error="w" * 100_000)
    assert "…" in fail.words and len(fail.words) < 1100


def test_refusal_of_the_keys_while_data_flows_is_left_to_the_next_login():
    venue = ready()
    (fail,) = venue.say("authorization", action="authenticate", status="unauthorized")
    assert isinstance(fail, Fail) and not fail.fatal
