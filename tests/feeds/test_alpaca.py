"""Protocol v2 as a pure conversation: what the venue says, and what we do about it."""

import json

import pytest

from ticktape.feeds.alpaca import POLICIES, REFUSED_SUBSCRIPTION, AlpacaProtocol
from ticktape.feeds.protocol import Authenticated, Fail, Notice, Ready, Send

CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}
WANTED = {"trades": ["AAPL", "TSLA"], "bars": ["*"]}
TRADE = b'[{"T":"t","S":"AAPL","i":1,"x":"V","p":1.5,"s":1,"t":"2026-01-02T15:00:00Z"}]'


def error(code, words="as the venue says it"):
    return {"T": "error", "code": code, "msg": words}


class Venue:
    """Speaks to a protocol as the venue does: takes what it sends, gives it what is said."""

    def __init__(self, wanted=WANTED):
        self.protocol = AlpacaProtocol("the-key", "the-secret", wanted)
        self.sent = []

    def say(self, *messages):
        payload = json.dumps(messages, separators=(",", ":")).encode()
        assert self.protocol.is_control(payload)
        return self.raw(payload)

    def raw(self, payload):
        actions = self.protocol.receive(payload)
        self.sent += [json.loads(a.payload) for a in actions if isinstance(a, Send)]
        return [a for a in actions if not isinstance(a, Send)]

    def login(self):
        assert self.protocol.open() == []
        assert self.say(CONNECTED) == []
        assert self.say(AUTHENTICATED) == [Authenticated()]
        return self

    def acknowledge(self, **channels):
        return self.say({"T": "subscription", **channels})

    def serve(self, plan=10**9, counted=("trades", "quotes"), bad=()):
        """Answer requests as a venue with a plan of so many symbols does, until it is ready."""
        held = {}
        for _ in range(2000):
            request = dict(self.sent[-1])
            assert request.pop("action") == "subscribe"
            wish = {c: held.get(c, []) + request.get(c, []) for c in {**held, **request}}
            if any(symbol in bad for symbols in request.values() for symbol in symbols):
                actions = self.say(error(400, "invalid syntax"))
            elif sum(len(wish.get(c, [])) for c in counted) > plan:
                actions = self.say(error(405, "symbol limit exceeded"))
            else:
                held = wish
                actions = self.acknowledge(**held)
            if actions:
                return actions
        raise AssertionError("the protocol asks for ever")


def test_nothing_is_said_before_the_venue_greets():
    assert Venue().protocol.open() == []


def test_greeting_is_answered_with_the_keys():
    venue = Venue()
    venue.say(CONNECTED)
    assert venue.sent == [{"action": "auth", "key": "the-key", "secret": "the-secret"}]


def test_login_is_followed_by_one_request_for_everything():
    venue = Venue().login()
    assert venue.sent[1:] == [{"action": "subscribe", "trades": ["AAPL", "TSLA"], "bars": ["*"]}]


def test_secret_is_not_in_the_text_of_what_is_sent():
    (action,) = Venue().protocol.receive(json.dumps([CONNECTED]).encode())
    assert b"the-secret" in action.payload
    assert "the-secret" not in repr(action)
    assert "the-secret" not in str(action)


DOCS = {
    "quotes": [],
    "bars": ["*"],
    "updatedBars": [],
    "dailyBars": [],
    "statuses": [],
    "lulds": [],
    "cancelErrors": ["TSLA", "AAPL"],
    "corrections": ["TSLA", "AAPL"],
}


@pytest.mark.parametrize("style", [DOCS, {"bars": ["*"]}], ids=["docs", "live"])
def test_acknowledgement_is_compared_as_sets_in_both_styles(style):
    actions = Venue().login().acknowledge(trades=["TSLA", "AAPL"], **style)
    assert actions == [Ready({"bars": ["*"], "trades": ["AAPL", "TSLA"]}, {}, "")]


@pytest.mark.parametrize(
    "bars", [{}, {"bars": []}, {"bars": None}], ids=["absent", "empty", "null"]
)
def test_absent_channel_is_an_empty_one_and_is_named_as_missing(bars):
    (ready,) = Venue().login().acknowledge(trades=["AAPL", "TSLA"], **bars)
    assert ready.missing == {"bars": ["*"]}
    assert "leaves it out" in ready.words


def test_symbol_left_out_is_missing_and_an_unasked_one_is_not_acknowledged():
    (ready,) = Venue().login().acknowledge(trades=["AAPL", "IBM"], bars=["*"])
    assert ready.missing == {"trades": ["TSLA"]}
    assert ready.acknowledged == {"bars": ["*"], "trades": ["AAPL"]}


def test_empty_acknowledgement_is_fatal_for_there_is_nothing_to_record():
    (fail,) = Venue().login().acknowledge()
    assert isinstance(fail, Fail) and fail.fatal
    assert "nothing of the subscription was accepted" in fail.words


def test_acknowledgement_that_cannot_be_read_keeps_the_session_and_says_all_is_missing():
    (ready,) = Venue().login().acknowledge(trades={"AAPL": 1}, bars=["*"])
    assert isinstance(ready, Ready)
    assert ready.missing == {"trades": ["AAPL", "TSLA"], "bars": ["*"]}
    assert "cannot be read" in ready.words


def test_later_acknowledgement_renews_what_is_missing():
    venue = Venue().login()
    venue.acknowledge(trades=["AAPL"], bars=["*"])
    (ready,) = venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    assert ready.missing == {} and ready.words == ""
    (notice,) = venue.acknowledge(trades=7)
    assert isinstance(notice, Notice) and "cannot be read" in notice.words


FATAL = {402, 408, 409, 411, 412}
RETRIED = {400, 401, 404, 406, 407, 500}


@pytest.mark.parametrize("code", sorted(FATAL | RETRIED))
def test_error_before_the_login_ends_the_session_as_its_policy_says(code):
    venue = Venue()
    venue.say(CONNECTED)
    (fail,) = venue.say(error(code))
    policy = POLICIES[code]
    assert isinstance(fail, Fail)
    assert fail.fatal is (code in FATAL)
    assert fail.code == code
    assert fail.words == f"{policy.words} ({code} 'as the venue says it')"
    assert fail.hint == policy.hint != ""
    assert fail.wait_s == policy.wait_s


def test_every_code_of_the_reference_is_known():
    assert set(POLICIES) | set(REFUSED_SUBSCRIPTION) | {403} == {*range(400, 414), 500}


def test_connection_limit_waits_before_it_is_tried_again():
    (fail,) = Venue().say(error(406))
    assert not fail.fatal and fail.wait_s >= 0.5


@pytest.mark.parametrize("code", [401, 402, 404, 406, 407, 408, 409, 411, 412, 500])
def test_error_while_data_flows_ends_the_session_as_its_policy_says(code):
    venue = Venue().login()
    venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    (fail,) = venue.say(error(code))
    assert isinstance(fail, Fail) and fail.fatal is (code in FATAL)


@pytest.mark.parametrize("code", [400, 405, 410, 413, 499, 999])
def test_error_that_concerns_no_session_is_a_notice_while_data_flows(code):
    venue = Venue().login()
    venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    (notice,) = venue.say(error(code))
    assert notice == Notice(code, f"the venue says error {code} 'as the venue says it'")


def test_already_authenticated_is_no_error():
    venue = Venue().login()
    assert venue.say(error(403)) == []
    assert len(venue.sent) == 2


def test_second_greeting_and_second_login_are_notices_and_ask_for_nothing():
    venue = Venue().login()
    assert isinstance(venue.say(CONNECTED)[0], Notice)
    assert isinstance(venue.say(AUTHENTICATED)[0], Notice)
    assert len(venue.sent) == 2


def test_full_plan_records_as_much_as_it_allows_in_the_order_of_the_config():
    symbols = [f"S{number:02}" for number in range(40)]
    venue = Venue({"trades": symbols, "quotes": ["Q1", "Q2"], "bars": symbols}).login()
    (ready,) = venue.serve(plan=30)
    assert ready.acknowledged == {"trades": symbols[:30], "bars": symbols}
    assert ready.missing == {"trades": symbols[30:], "quotes": ["Q1", "Q2"]}
    assert "405" in ready.words and "shorten the lists" in ready.words


def test_full_plan_takes_few_requests_however_many_symbols_there_are():
    symbols = [f"S{number:04}" for number in range(9000)]
    venue = Venue({"trades": symbols, "bars": ["*"]}).login()
    (ready,) = venue.serve(plan=30)
    assert ready.acknowledged == {"trades": symbols[:30], "bars": ["*"]}
    assert len(venue.sent) < 60


def test_star_that_the_plan_refuses_leaves_room_for_the_symbols_after_it():
    venue = Venue({"trades": ["*"], "quotes": ["AAPL"]}).login()
    assert venue.say(error(405)) == []
    assert venue.sent[-1] == {"action": "subscribe", "trades": ["*"]}
    assert venue.say(error(405)) == []
    assert venue.sent[-1] == {"action": "subscribe", "quotes": ["AAPL"]}
    (ready,) = venue.acknowledge(quotes=["AAPL"])
    assert ready.missing == {"trades": ["*"]}


def test_bars_do_not_count_so_a_plan_that_takes_no_trades_records_them():
    venue = Venue({"trades": ["A", "B"], "bars": ["A", "B"]}).login()
    (ready,) = venue.serve(plan=0)
    assert ready.acknowledged == {"bars": ["A", "B"]}
    assert ready.missing == {"trades": ["A", "B"]}


def test_plan_that_takes_nothing_at_all_is_fatal_and_says_why():
    (fail,) = Venue({"trades": ["A", "B"]}).login().serve(plan=0)
    assert fail.fatal and "405" in fail.words and "shorten the lists" in fail.hint


def test_malformed_symbol_alone_is_missing():
    symbols = [f"S{number}" for number in range(100)]
    symbols[37] = "!"
    (ready,) = Venue({"trades": symbols}).login().serve(bad={"!"})
    assert ready.missing == {"trades": ["!"]}
    assert len(ready.acknowledged["trades"]) == 99
    assert "malformed" in ready.words


def test_channel_that_the_stream_does_not_have_costs_one_request_and_the_rest_is_recorded():
    lulds = [f"S{number}" for number in range(500)]
    venue = Venue({"lulds": lulds, "trades": ["A"]}).login()
    venue.say(error(410))
    venue.say(error(410))
    assert venue.sent[-1] == {"action": "subscribe", "trades": ["A"]}
    (ready,) = venue.acknowledge(trades=["A"])
    assert ready.missing == {"lulds": sorted(lulds)} and "does not have that channel" in ready.words


def test_channel_of_which_all_is_malformed_is_given_up_in_time():
    lulds = [f"S{number}" for number in range(5000)]
    venue = Venue({"lulds": lulds, "trades": ["A"]}).login()
    (ready,) = venue.serve(bad=set(lulds))
    assert ready.acknowledged == {"trades": ["A"]}
    assert len(venue.sent) < 80


def test_long_list_is_asked_for_in_frames_that_the_venue_takes():
    symbols = [f"SYMBOL{number:05}" for number in range(9000)]
    venue = Venue({"trades": symbols}).login()
    (ready,) = venue.serve()
    assert ready == Ready({"trades": symbols}, {}, "")
    assert [s for request in venue.sent[1:] for s in request["trades"]] == symbols
    assert all(len(json.dumps(request)) < 32_768 * 1.2 for request in venue.sent[1:])
    assert max(len(json.dumps(r, separators=(",", ":"))) for r in venue.sent[1:]) <= 32_768


@pytest.mark.parametrize(
    "payload",
    [
        b'[{"T":"error"',
        b'{"T":"error","code":402}',
        b'[{"msg":"error"}]',
        b'[{"T":"error","code":[402]}]',
        b'[{"T":"success","msg":"\xff"}]',
        b"[" * 5000 + b'"error"',
    ],
    ids=["cut", "no array", "no type", "odd code", "no text", "deep"],
)
def test_control_message_that_cannot_be_read_is_a_notice(payload):
    (notice,) = AlpacaProtocol("k", "s", WANTED).receive(payload)
    assert isinstance(notice, Notice) and "cannot be read" in notice.words


def test_code_as_text_and_absent_words_are_understood():
    (fail,) = Venue().raw(b'[{"T":"error","code":"402","msg":null}]')
    assert fail.code == 402 and fail.fatal


def test_every_control_message_of_a_frame_is_heard():
    venue = Venue()
    actions = venue.say(CONNECTED, AUTHENTICATED)
    assert actions == [Authenticated()]
    actions = venue.say(
        {"T": "n", "msg": "no control"},
        {"T": "subscription", "trades": ["AAPL", "TSLA"], "bars": ["*"]},
        error(405),
    )
    assert isinstance(actions[0], Ready) and isinstance(actions[1], Notice)


@pytest.mark.parametrize(
    "payload",
    [
        b'[{"T":"success","msg":"connected"}]',
        b'[{"T":"error","code":406,"msg":"connection limit exceeded"}]',
        b'[{"T":"subscription"}]',
        b'[{"T":"subscription","trades":["AAPL"],"quotes":[],"bars":["*"]}]',
        b'[ { "T" : "error" , "code" : 407 , "msg" : "slow client" } ]',
        b'\n[\n  {\n    "T": "error",\n    "code": 500\n  }\n]',
    ],
)
def test_real_control_frames_are_never_taken_for_data(payload):
    venue = Venue().login()
    assert venue.protocol.is_control(payload)
    venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    assert venue.protocol.is_control(payload)


def test_until_data_flows_a_control_message_is_found_wherever_its_type_stands():
    late = b'[{"code":402,"msg":"' + b"w" * 100 + b'","T":"error"}]'
    assert Venue().protocol.is_control(late)


def test_data_is_not_looked_into():
    venue = Venue().login()
    assert not venue.protocol.is_control(TRADE)
    venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    assert not venue.protocol.is_control(TRADE)
    tail = b'[{"T":"t","S":"AAPL","i":1,"x":"V","p":1.5,"s":1,"note":"error"}]'
    assert not venue.protocol.is_control(tail)
    assert venue.raw(TRADE) == []
