"""Protocol v2 as a pure conversation: what the venue says, and what we do about it."""

import json

import msgpack
import pytest

from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.protocol import Authenticated, Fail, Notice, Ready, Send

CONNECTED = {"T": "success", "msg": "connected"}
AUTHENTICATED = {"T": "success", "msg": "authenticated"}
WANTED = {"trades": ["AAPL", "TSLA"], "bars": ["*"]}
TRADE = {"T": "t", "S": "AAPL", "i": 1, "x": "V", "p": 1.5, "s": 1, "t": "2026-01-02T15:00:00Z"}


def error(code, words="as the venue says it"):
    return {"T": "error", "code": code, "msg": words}


class Venue:
    """Speaks to a protocol as the venue does: takes what it sends, gives it what is said."""

    is_binary = False  # set by the fixture: every test here is run in both encodings

    def __init__(self, wanted=WANTED, **more):
        self.protocol = AlpacaProtocol(
            "the-key", "the-secret", wanted, is_binary=self.is_binary, **more
        )
        self.sent = []
        self.frames = []

    def packed(self, *messages):
        if self.is_binary:
            return msgpack.packb(messages)
        return json.dumps(messages, separators=(",", ":")).encode()

    def say(self, *messages):
        payload = self.packed(*messages)
        assert self.protocol.is_control(payload)
        return self.raw(payload)

    def raw(self, payload):
        return self.take(self.protocol.receive(payload))

    def change(self, **wanted):
        return self.take(self.protocol.change(wanted))

    def take(self, actions):
        for action in actions:
            if isinstance(action, Send):
                assert action.is_binary is self.is_binary
                read = msgpack.unpackb if self.is_binary else json.loads
                self.frames.append(action.payload)
                self.sent.append(read(action.payload))
        return [a for a in actions if not isinstance(a, Send)]

    def ready(self, **channels):
        """Log in, and acknowledge what was asked for, or these channels."""
        self.login()
        (ready,) = self.acknowledge(**(channels or self.protocol_wants()))
        assert isinstance(ready, Ready)
        self.sent.clear()
        return self

    def protocol_wants(self):
        return {name: symbols for name, symbols in self.sent[-1].items() if name != "action"}

    def login(self):
        assert self.protocol.open() == []
        assert self.say(CONNECTED) == []
        assert self.say(AUTHENTICATED) == [Authenticated()]
        return self

    def acknowledge(self, **channels):
        return self.say({"T": "subscription", **channels})

    def serve(self, plan=10**9, counted=("trades", "quotes"), bad=(), held=()):
        """Answer requests as a venue with a plan of so many symbols does, until it is ready."""
        held = dict(held)
        for _ in range(2000):
            request = dict(self.sent[-1])
            if request.pop("action") == "unsubscribe":
                held = {c: [x for x in ss if x not in request.get(c, ())] for c, ss in held.items()}
                actions = self.acknowledge(**held)
                if actions:
                    return actions
                continue
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


@pytest.fixture(autouse=True, params=["json", "msgpack"])
def encoding(request, monkeypatch):
    monkeypatch.setattr(Venue, "is_binary", request.param == "msgpack")
    return request.param


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
    venue = Venue()
    (action,) = venue.protocol.receive(venue.packed(CONNECTED))
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


def test_keys_in_the_headers_are_not_sent_again():
    venue = Venue(by_headers=True)
    assert venue.say(CONNECTED) == [] and venue.sent == []
    assert venue.say(AUTHENTICATED) == [Authenticated()]
    assert venue.sent == [{"action": "subscribe", "trades": ["AAPL", "TSLA"], "bars": ["*"]}]


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
    assert len(venue.frames) > 3 and max(map(len, venue.frames)) <= 32_768


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
    (fail,) = Venue().say({"T": "error", "code": "402", "msg": None})
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
    if venue.is_binary:
        payload = msgpack.packb(json.loads(payload))
    assert venue.protocol.is_control(payload)


def test_until_data_flows_a_control_message_is_found_wherever_its_type_stands():
    venue = Venue()
    assert venue.protocol.is_control(venue.packed({"msg": "w" * 100, "T": "error", "code": 402}))


def test_until_data_flows_an_error_is_understood_in_the_other_encoding_as_well():
    """The venue may refuse the encoding itself, and in which one it says that nobody knows."""
    said = [{"T": "error", "code": 412, "msg": "option messages are only available in MsgPack"}]
    for payload in (json.dumps(said).encode(), msgpack.packb(said)):
        venue = Venue()
        assert venue.protocol.is_control(payload)
        (fail,) = venue.raw(payload)
        assert fail.code == 412 and fail.fatal and 'encoding = "msgpack"' in fail.hint


DATA = [{**TRADE, "T": kind} for kind in "tqbudcxslion"]


@pytest.mark.parametrize("message", DATA, ids=lambda message: message["T"])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 40])
def test_data_of_every_kind_is_data_in_frames_of_any_length(message, count):
    venue = Venue().ready()
    assert not venue.protocol.is_control(venue.packed(*[message] * count))


def test_data_is_not_looked_into():
    venue = Venue().login()
    frame = venue.packed(TRADE)
    assert not venue.protocol.is_control(frame)
    venue.acknowledge(trades=["AAPL", "TSLA"], bars=["*"])
    assert not venue.protocol.is_control(frame)
    assert not venue.protocol.is_control(venue.packed({**TRADE, "note": "error"}))
    unknown = venue.packed({"T": "zz", **{f"field{n}": "x" * 9 for n in range(20)}, "e": "error"})
    assert not venue.protocol.is_control(unknown)
    assert venue.raw(frame) == []


# The errors of reference/alpaca.md, section 3, one by one: as the answer to the login, as the
# answer to the request for everything, and while data flows.

MENU = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    408: "v2 not enabled",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    411: "insufficient scope",
    412: "option messages are only available in MsgPack format",
    413: "star subscription is not allowed for option quotes",
    500: "internal error",
}
FATAL = {402, 408, 409, 411, 412}
AGAIN = {400, 404, 406, 407, 500}  # a new session, after a pause
CURES = {
    400: "our bug",
    401: "authenticates again",
    402: "APCA_API_KEY_ID",
    404: "authenticates at once",
    405: "shorten the lists",
    406: "frees the slot within 90 s",
    407: "fewer symbols",
    408: "Ask Alpaca",
    409: "Use the iex feed",
    410: "leave it out",
    411: "market-data scope",
    412: 'encoding = "msgpack"',
    413: "name the options",
    500: "Reconnecting",
    499: "not in Alpaca's list",
    0: "not in Alpaca's list",
}


def said(code):
    """The error as the venue says it: its own words, and without a code what nobody knows."""
    if code == 0:
        return {"T": "error", "msg": "odd"}
    return error(code, MENU.get(code, "odd"))


def at_login(code, **more):
    venue = Venue(**more)
    venue.say(CONNECTED)
    return venue, venue.say(said(code))


@pytest.mark.parametrize("code", sorted(FATAL | AGAIN))
def test_error_in_answer_to_the_login_ends_the_session_as_section_3_says(code):
    for more in ({}, {"by_headers": True}):
        _, (fail,) = at_login(code, **more)
        assert isinstance(fail, Fail) and (fail.code, fail.fatal) == (code, code in FATAL)
        assert f"({code} {MENU[code]!r})" in fail.words and CURES[code] in fail.hint


@pytest.mark.parametrize("code", [405, 410, 413, 499, 0])
def test_error_that_the_login_does_not_know_is_tried_again(code):
    _, (fail,) = at_login(code)
    assert isinstance(fail, Fail) and not fail.fatal and fail.code == code
    assert "refuses the login" in fail.words and "Trying again" in fail.hint


def test_not_authenticated_is_answered_by_a_second_login_and_then_a_new_session():
    venue, (notice,) = at_login(401)
    assert notice == Notice(401, "not authenticated; logging in again")
    assert [sent["action"] for sent in venue.sent] == ["auth", "auth"]
    (fail,) = venue.say(said(401))
    assert isinstance(fail, Fail) and not fail.fatal and CURES[401] in fail.hint
    assert len(venue.sent) == 2


def test_not_authenticated_with_keys_in_the_headers_is_answered_by_a_message():
    venue, _ = at_login(401, by_headers=True)
    assert venue.sent == [{"action": "auth", "key": "the-key", "secret": "the-secret"}]
    assert venue.say(AUTHENTICATED) == []
    assert venue.sent[-1]["action"] == "subscribe"


@pytest.mark.parametrize("answer", [AUTHENTICATED, said(403)], ids=["authenticated", "already"])
def test_request_that_came_before_the_login_is_made_again_after_the_second_one(answer):
    venue = Venue().login()
    asked = venue.sent[-1]
    assert isinstance(venue.say(said(401))[0], Notice)
    assert venue.say(answer) == []  # a session authenticates once in its states
    assert [sent["action"] for sent in venue.sent] == ["auth", "subscribe", "auth", "subscribe"]
    assert venue.sent[-1] == asked
    (ready,) = venue.acknowledge(**venue.protocol_wants())
    assert isinstance(ready, Ready) and not ready.missing


def test_already_authenticated_in_answer_to_the_login_is_what_we_want():
    venue, actions = at_login(403)
    assert actions == [Authenticated()]
    assert venue.sent[-1]["action"] == "subscribe"
    assert venue.say(said(403)) == []
    venue.acknowledge(**venue.protocol_wants())
    assert venue.say(said(403)) == []
    assert len(venue.sent) == 2


@pytest.mark.parametrize("code", sorted((FATAL | AGAIN) - {400}))
def test_error_in_answer_to_the_request_ends_the_session_as_section_3_says(code):
    (fail,) = Venue().login().say(said(code))
    assert isinstance(fail, Fail) and (fail.code, fail.fatal) == (code, code in FATAL)
    assert f"({code} {MENU[code]!r})" in fail.words and CURES[code] in fail.hint


@pytest.mark.parametrize("code", [400, 405, 410, 413, 499, 0])
def test_refusal_of_a_part_leaves_the_rest_recorded_and_is_told_with_its_cure(code):
    venue = Venue({"trades": ["AAPL"], "quotes": ["*"]}).login()
    assert venue.say(said(code)) == []  # both
    assert venue.sent[-1] == {"action": "subscribe", "trades": ["AAPL"]}
    assert venue.acknowledge(trades=["AAPL"]) == []
    assert venue.sent[-1] == {"action": "subscribe", "quotes": ["*"]}
    (ready,) = venue.say(said(code))
    assert ready.acknowledged == {"trades": ["AAPL"]} and ready.missing == {"quotes": ["*"]}
    assert f"({code})" in ready.words
    assert ("malformed" if code == 400 else CURES[code]) in ready.words


@pytest.mark.parametrize("code", [400, 405, 410, 413, 499, 0])
def test_refusal_of_all_ends_the_feed_when_the_reason_will_not_pass(code):
    venue = Venue({"quotes": ["*"]}).login()
    (fail,) = venue.say(said(code))
    assert isinstance(fail, Fail) and fail.code == code and fail.is_of_plan
    assert fail.fatal is (code in MENU)  # what nobody knows is tried again
    assert "nothing of the subscription was accepted" in fail.words and fail.hint


@pytest.mark.parametrize("code", sorted((FATAL | AGAIN | {401}) - {400}))
def test_error_while_data_flows_ends_the_session_and_the_next_login_decides(code):
    venue = Venue().ready()
    (fail,) = venue.say(said(code))
    assert isinstance(fail, Fail) and (fail.code, fail.fatal) == (code, False)
    assert CURES[code] in fail.hint and venue.sent == []


@pytest.mark.parametrize("code", [400, 405, 410, 413, 499, 0])
def test_error_while_data_flows_that_ends_nothing_is_a_notice_with_what_to_do(code):
    venue = Venue().ready()
    (notice,) = venue.say(said(code))
    assert isinstance(notice, Notice) and notice.code == code
    assert f"error {code} " in notice.words and notice.hint
    assert venue.sent == []


@pytest.mark.parametrize("code", MENU)
def test_error_without_a_code_is_known_by_its_words(code):
    alone = {"T": "error", "msg": MENU[code]}
    for stage in (Venue, lambda: Venue().login(), lambda: Venue().ready()):
        assert stage().say(alone) == stage().say(said(code))


def test_connection_limit_waits_before_it_is_tried_again():
    (fail,) = Venue().say(said(406))
    assert not fail.fatal and fail.wait_s >= 0.5 and fail.wait_max_s <= 5.0
    assert "another session holds" in fail.words and "Stop the other recorder" in fail.hint


def test_error_code_of_any_size_is_taken():
    for code, known in ((7, 7), ("7", 7), (-1, 0), (2**62, 0), (None, 0)):
        (notice,) = Venue().ready().say(error(code))
        assert isinstance(notice, Notice) and notice.code == known


# Symbols changed while it runs.


def test_change_sends_the_difference_alone_what_goes_first():
    venue = Venue().ready()
    assert venue.change(trades=["TSLA", "NVDA"], bars=["*"], quotes=["NVDA"]) == []
    assert venue.sent == [{"action": "unsubscribe", "trades": ["AAPL"]}]
    assert venue.acknowledge(trades=["TSLA"], bars=["*"]) == []
    assert venue.sent[1:] == [{"action": "subscribe", "trades": ["NVDA"], "quotes": ["NVDA"]}]
    held = {"trades": ["NVDA", "TSLA"], "bars": ["*"], "quotes": ["NVDA"]}
    assert venue.acknowledge(**held) == [Ready(held, {}, "")]
    assert len(venue.sent) == 2


@pytest.mark.parametrize(
    ("before", "after"), [(["A", "B"], ["*"]), (["*"], ["A"]), (["*", "A"], ["A"])]
)
def test_where_a_star_comes_or_goes_what_comes_is_asked_first_so_that_nobody_is_deaf(before, after):
    venue = Venue({"trades": before}).ready()
    venue.change(trades=after)
    held = set(before)
    for _ in range(2):
        assert "*" in held or "A" in held
        request = venue.sent[-1]
        symbols = set(request["trades"])
        held = held | symbols if request["action"] == "subscribe" else held - symbols
        actions = venue.acknowledge(trades=sorted(held))
        if actions:
            break
    assert actions == [Ready({"trades": after}, {}, "")] and held == set(after)


def test_channels_without_a_star_make_room_first_beside_one_that_has_it():
    venue = Venue({"bars": ["*"], "trades": ["A", "B"]}).ready()
    venue.change(bars=["A"], trades=["B", "C"])
    assert venue.serve(plan=2, held={"bars": ["*"], "trades": ["A", "B"]}) == [
        Ready({"bars": ["A"], "trades": ["B", "C"]}, {}, "")
    ]
    assert venue.sent == [
        {"action": "unsubscribe", "trades": ["A"]},
        {"action": "subscribe", "bars": ["A"], "trades": ["C"]},
        {"action": "unsubscribe", "bars": ["*"]},
    ]


def test_channel_that_is_given_up_still_ends_what_is_not_wanted():
    new = [f"S{number}" for number in range(500)]
    venue = Venue({"lulds": ["*"], "trades": ["A"]}).ready()
    venue.change(lulds=new, trades=["A"])
    (ready,) = venue.serve(bad=set(new), held={"lulds": ["*"], "trades": ["A"]})
    assert venue.sent[-1] == {"action": "unsubscribe", "lulds": ["*"]}
    assert ready.acknowledged == {"trades": ["A"]} and ready.missing == {"lulds": sorted(new)}


@pytest.mark.parametrize("refused", ["a part", "all"])
def test_words_of_a_refusal_are_told_up_to_a_bound(refused):
    wanted = {"trades": ["A"], "quotes": ["A"]} if refused == "a part" else {"trades": ["A"]}
    venue = Venue(wanted).login()
    for _ in wanted:  # in two channels: both together, then the first alone
        actions = venue.say(error(400, "w" * 100_000))
    if refused == "a part":
        actions = venue.acknowledge(quotes=["A"])
    (told,) = actions
    assert "www" in told.words and "…" in told.words and len(told.words) < 1100


def test_change_that_changes_nothing_sends_nothing_and_is_ready_at_once():
    venue = Venue().ready()
    (ready,) = venue.change(bars=["*"], trades=["TSLA", "AAPL", "TSLA"])
    assert ready == Ready({"trades": ["AAPL", "TSLA"], "bars": ["*"]}, {}, "")
    assert venue.sent == []


def test_change_to_nothing_ends_all_and_ends_no_session():
    venue = Venue().ready()
    venue.change()
    assert venue.sent == [{"action": "unsubscribe", "trades": ["AAPL", "TSLA"], "bars": ["*"]}]
    assert venue.acknowledge() == [Ready({}, {}, "")]


@pytest.mark.parametrize("code", [400, 405, 409, 410, 413, 499])
def test_refusal_of_what_is_added_leaves_what_stood_and_is_told(code):
    venue = Venue({"trades": ["AAPL"]}).ready()
    venue.change(trades=["AAPL", "NVDA"])
    assert venue.sent == [{"action": "subscribe", "trades": ["NVDA"]}]
    (ready,) = venue.say(error(code))
    assert ready.acknowledged == {"trades": ["AAPL"]} and ready.missing == {"trades": ["NVDA"]}
    assert f"({code})" in ready.words
    assert isinstance(venue.say(error(405))[0], Notice)  # nothing is asked any more


def test_refusal_of_all_of_a_change_ends_no_session():
    venue = Venue({"trades": ["AAPL"]}).ready()
    venue.change(trades=["NVDA"])
    assert venue.acknowledge() == []
    (ready,) = venue.say(error(405))
    assert ready.acknowledged == {} and ready.missing == {"trades": ["NVDA"]}


def test_full_plan_takes_as_much_of_a_change_as_there_is_room_for():
    old, new = [f"A{n:02}" for n in range(25)], [f"B{n:02}" for n in range(20)]
    venue = Venue({"trades": old}).ready()
    venue.change(trades=[*old[:20], *new], bars=["*"])
    (ready,) = venue.serve(plan=30, held={"trades": old})
    assert ready.acknowledged == {"trades": [*old[:20], *new[:10]], "bars": ["*"]}
    assert ready.missing == {"trades": new[10:]}


def test_what_the_plan_refused_is_asked_again_when_a_change_makes_room():
    venue = Venue({"trades": ["A", "B", "C"]}).login()
    (ready,) = venue.serve(plan=2)
    assert ready.missing == {"trades": ["C"]}
    venue.change(trades=["B", "C"])
    (ready,) = venue.serve(plan=2, held={"trades": ["A", "B"]})
    assert ready == Ready({"trades": ["B", "C"]}, {}, "")


def test_what_was_missing_and_is_not_wanted_any_more_is_not_missing():
    venue = Venue({"trades": ["A", "B"]}).login()
    venue.serve(plan=1)
    (ready,) = venue.change(trades=["A"])
    assert ready == Ready({"trades": ["A"]}, {}, "")


@pytest.mark.parametrize("greeted", [False, True])
def test_change_before_the_login_is_what_the_login_asks_for(greeted):
    venue = Venue()
    if greeted:
        venue.say(CONNECTED)
    assert venue.change(news=["*"]) == []
    if not greeted:
        venue.say(CONNECTED)
    venue.say(AUTHENTICATED)
    assert venue.sent[1:] == [{"action": "subscribe", "news": ["*"]}]


@pytest.mark.parametrize("refused", [False, True])
def test_change_while_the_venue_owes_an_answer_waits_for_it(refused):
    venue = Venue({"trades": ["A", "B"]}).login()
    assert venue.change(trades=["B", "C"]) == [] and len(venue.sent) == 2
    if refused:
        assert venue.say(error(405)) == []
        assert venue.sent[2:] == [{"action": "subscribe", "trades": ["B", "C"]}]
    else:
        assert venue.acknowledge(trades=["A", "B"]) == []
        assert venue.sent[2:] == [{"action": "unsubscribe", "trades": ["A"]}]
        assert venue.acknowledge(trades=["B"]) == []
        assert venue.sent[3:] == [{"action": "subscribe", "trades": ["C"]}]
    (ready,) = venue.acknowledge(trades=["B", "C"])
    assert ready == Ready({"trades": ["B", "C"]}, {}, "")


def test_of_several_changes_in_a_row_the_last_one_counts():
    venue = Venue({"trades": ["A"]}).ready()
    venue.change(trades=["A", "B"])
    for symbol in "CDE":
        assert venue.change(trades=[symbol]) == []
    assert venue.acknowledge(trades=["A", "B"]) == []
    assert venue.sent[1:] == [{"action": "unsubscribe", "trades": ["A", "B"]}]
    venue.acknowledge()
    assert venue.sent[2:] == [{"action": "subscribe", "trades": ["E"]}]
    assert venue.acknowledge(trades=["E"]) == [Ready({"trades": ["E"]}, {}, "")]


def test_end_of_a_subscription_that_is_refused_is_said_and_the_rest_goes_on():
    venue = Venue({"trades": ["A"]}).ready()
    venue.change(trades=["B"])
    (notice,) = venue.say(error(400))
    assert isinstance(notice, Notice) and "does not end a subscription" in notice.words
    (ready,) = venue.acknowledge(trades=["A", "B"])
    assert ready == Ready({"trades": ["A", "B"]}, {}, "")


def test_subscription_whose_acknowledgement_nobody_could_read_is_ended_all_the_same():
    venue = Venue({"trades": ["A"]}).login()
    (ready,) = venue.acknowledge(trades=7)
    assert ready.missing == {"trades": ["A"]}
    venue.change(trades=["B"])
    assert venue.sent[-1] == {"action": "unsubscribe", "trades": ["A"]}


def test_long_change_goes_in_frames_that_the_venue_takes():
    old, new = [f"OLD{n:05}" for n in range(9000)], [f"NEW{n:05}" for n in range(9000)]
    venue = Venue({"trades": old}).login()
    venue.serve()
    venue.sent.clear(), venue.frames.clear()
    venue.change(trades=new)
    assert venue.serve(held={"trades": old}) == [Ready({"trades": new}, {}, "")]
    assert len(venue.frames) > 6 and max(map(len, venue.frames)) <= 32_768
    actions = [request["action"] for request in venue.sent]
    assert actions == sorted(actions, reverse=True)


def test_channel_that_nobody_knows_is_missing_and_harms_nothing():
    venue = Venue({"trades": ["A"]}).ready()
    venue.change(trades=["A"], pricing=["B"])
    (ready,) = venue.say(error(400))
    assert ready.acknowledged == {"trades": ["A"]} and ready.missing == {"pricing": ["B"]}


def test_acknowledgement_before_the_login_is_a_notice_and_asks_for_nothing():
    venue = Venue()
    (notice,) = venue.acknowledge(trades=["AAPL"])
    assert isinstance(notice, Notice) and venue.sent == []
