import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticktape.sim.families import ALL_CHANNELS, CRYPTO, FAMILIES, NEWS, OPTIONS, PATHS, STOCKS
from ticktape.sim.slots import Slots
from ticktape.sim.states import (
    ERRORS,
    Deadline,
    Drop,
    Rules,
    Send,
    State,
    StreamMachine,
    Subscribe,
)

KEY = {"action": "auth", "key": "k", "secret": "s"}


def machine(slots=None, number=0, **rules):
    rules = Rules(keys={"k": "s"}, tokens=frozenset({"tok"}), **rules)
    return StreamMachine(rules, slots or Slots(), "/v2/iex", number)


def say(made, message, now_ns=0):
    raw = message if isinstance(message, bytes) else json.dumps(message).encode()
    return made.on_message(raw, now_ns)


def codes(actions):
    return [a.message[0].get("code") for a in actions if isinstance(a, Send)]


def ready(**rules):
    made = machine(**rules)
    say(made, KEY)
    assert made.state is State.READY
    return made


def subscribed(made, **channels):
    actions = say(made, {"action": "subscribe", **channels})
    assert [type(action) for action in actions] == [Subscribe, Send], actions
    return actions[1].message[0]


def test_greeting_comes_unasked_and_starts_the_deadline():
    assert machine(auth_s=7.0).on_open({}, 0) == [
        Send([{"T": "success", "msg": "connected"}]),
        Deadline(7.0),
    ]


def test_right_key_makes_ready():
    made = machine()
    assert say(made, KEY) == [Send([{"T": "success", "msg": "authenticated"}])]
    assert made.state is State.READY


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "auth", "key": "k", "secret": "x"},
        {"action": "auth", "key": "nobody", "secret": "s"},
        {"action": "auth"},
        {"action": "auth", "key": 1, "secret": None},
        {"action": "auth", "key": "oauth", "secret": "no such token"},
    ],
)
def test_wrong_key_is_402_and_leaves_the_socket_open_for_a_right_one(wrong):
    made = machine()
    assert say(made, wrong) == [Send([{"T": "error", "code": 402, "msg": "auth failed"}])]
    assert made.state is State.NEW
    say(made, KEY)
    assert made.state is State.READY


@pytest.mark.parametrize("name", ["oauth", "access_token"])
def test_token_comes_as_the_secret(name):
    made = machine()
    say(made, {"action": "auth", "key": name, "secret": "tok"})
    assert made.state is State.READY


@pytest.mark.parametrize(
    "headers",
    [
        {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "s"},
        {"Authorization": "Bearer tok"},
        {"Authorization": "Basic " + base64.b64encode(b"k:s").decode()},
    ],
)
def test_headers_log_in_without_a_message(headers):
    made = machine()
    sent = [a.message[0].get("msg") for a in made.on_open(headers, 0) if isinstance(a, Send)]
    assert sent == ["connected", "authenticated"]
    assert codes(say(made, KEY)) == [403]


@pytest.mark.parametrize(
    "headers",
    [
        {"APCA-API-KEY-ID": "k"},
        {"APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "x"},
        {"Authorization": "Bearer x"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff").decode()},
    ],
)
def test_wrong_headers_are_402(headers):
    made = machine()
    assert codes(made.on_open(headers, 0)) == [None, 402]
    assert made.state is State.NEW


@pytest.mark.parametrize(
    ("before", "message", "code"),
    [
        ("new", b"{not json", 400),
        ("new", b"\xff\xfe", 400),
        ("new", b"[" * 100_000, 400),
        ("new", [KEY], 400),
        ("new", {"action": "dance"}, 400),
        ("new", {}, 400),
        ("new", {"action": "subscribe", "trades": ["AAPL"]}, 401),
        ("new", {"action": "unsubscribe", "trades": ["AAPL"]}, 401),
        ("ready", KEY, 403),
        ("ready", {"action": "subscribe"}, 400),
        ("ready", {"action": "subscribe", "bars": []}, 400),
        ("ready", {"action": "subscribe", "bars": [], "orderbooks": None}, 400),
        ("ready", {"action": "subscribe", "nonsense": ["AAPL"]}, 400),
        ("ready", {"action": "subscribe", "news": ["*"]}, 400),
        ("ready", {"action": "subscribe", "trades": ["AAPL"], "news": ["*"]}, 400),
        ("ready", {"action": "subscribe", "corrections": ["AAPL"]}, 400),
        ("ready", {"action": "subscribe", "trades": "AAPL"}, 400),
        ("ready", {"action": "subscribe", "trades": ["AA PL"]}, 400),
        ("ready", {"action": "subscribe", "trades": [7]}, 400),
        ("ready", {"action": "subscribe", "trades": [["AAPL"]]}, 400),
        ("ready", {"action": "subscribe", "trades": [""]}, 400),
    ],
)
def test_each_bad_message_has_its_code_and_changes_nothing(before, message, code):
    made = machine() if before == "new" else ready()
    state = made.state
    assert say(made, message) == [Send([{"T": "error", "code": code, "msg": ERRORS[code]}])]
    assert made.state is state
    if before == "ready":
        assert subscribed(made, bars=["SPY"]) == {"T": "subscription", "bars": ["SPY"]}


def test_foreign_channel_is_410_when_the_documentation_is_followed():
    assert codes(say(ready(strict_docs=True), {"action": "subscribe", "news": ["*"]})) == [410]


def test_empty_and_null_lists_beside_a_full_one_pass():
    # The official Go client sends all its channels always.
    nothing = {"orderbooks": None, "news": [], "quotes": None, "pricing": []}
    assert subscribed(ready(), trades=["AAPL"], **nothing)["trades"] == ["AAPL"]


def test_subscriptions_add_up_and_the_acknowledgement_is_the_whole_state():
    made = ready()
    subscribed(made, trades=["MSFT"], bars=["*"])
    state = subscribed(made, trades=["AAPL"], quotes=["SPY"])
    assert state == {
        "T": "subscription",
        "trades": ["AAPL", "MSFT"],
        "quotes": ["SPY"],
        "bars": ["*"],
        "corrections": ["AAPL", "MSFT"],
        "cancelErrors": ["AAPL", "MSFT"],
    }


def test_star_is_an_ordinary_member():
    made = ready()
    subscribed(made, trades=["*", "AAPL"])
    actions = say(made, {"action": "unsubscribe", "trades": ["*"]})
    assert actions[0].subscription["trades"] == {"AAPL"}


def test_unsubscribing_everything_leaves_a_bare_acknowledgement():
    made = ready()
    subscribed(made, trades=["AAPL"])
    actions = say(made, {"action": "unsubscribe", "trades": ["AAPL", "NEVER"]})
    assert actions[1].message == [{"T": "subscription"}]


def test_documented_acknowledgement_shows_every_channel():
    state = subscribed(ready(ack_style="docs"), quotes=["SPY"])
    expected = [*STOCKS.channels[:-1], "corrections", "cancelErrors"]
    assert list(state) == ["T", *expected]
    assert state["quotes"] == ["SPY"] and state["trades"] == []


def test_over_the_symbol_limit_is_405_and_the_old_subscription_stays():
    made = ready(max_symbols=3)
    subscribed(made, trades=["A", "B"], quotes=["A"], bars=["A", "B", "C", "D"])
    assert codes(say(made, {"action": "subscribe", "trades": ["C"]})) == [405]
    assert codes(say(made, {"action": "subscribe", "quotes": ["*"]})) == [405]
    assert subscribed(made, bars=["E"])["trades"] == ["A", "B"]
    assert say(made, {"action": "unsubscribe", "trades": ["A"]})[0].subscription["trades"] == {"B"}


def test_unknown_symbols_are_echoed():
    assert subscribed(ready(), trades=["NOSUCH", "BRK.B"])["trades"] == ["BRK.B", "NOSUCH"]


def test_ack_missing_leaves_the_symbol_out():
    made = ready(ack_missing=frozenset({"IBM"}))
    actions = say(made, {"action": "subscribe", "trades": ["IBM", "SPY"]})
    assert actions[0].subscription["trades"] == {"SPY"}
    assert actions[1].message[0]["trades"] == ["SPY"]


def test_right_key_without_the_feed_is_409():
    made = machine(refused_paths=frozenset({"/v2/iex"}))
    assert codes(say(made, KEY)) == [409]
    assert made.state is State.NEW


def test_second_connection_is_406_until_the_first_has_gone():
    slots = Slots()
    first, second = machine(slots, 1), machine(slots, 2)
    say(first, KEY)
    assert codes(say(second, KEY)) == [406]
    # The Go client tries again on the same socket.
    first.on_close(clean=True, now_ns=0)
    assert codes(say(second, KEY)) == [None]
    assert first.state is State.CLOSED and second.state is State.READY


def test_deadline_is_404_and_a_drop_unless_logged_in_or_crowded():
    assert codes(late := machine().on_deadline()) == [404]
    assert late[-1] == Drop()
    assert ready().on_deadline() == []
    slots = Slots()
    say(machine(slots, 1), KEY)
    crowded = machine(slots, 2)
    say(crowded, KEY)
    assert crowded.on_deadline() == [Drop()]


def test_dead_client_keeps_its_slot_until_it_is_reaped():
    slots = Slots(limit=1, reap_s=90)
    assert slots.take(1, "u", "/v2/iex", now_ns=0)
    assert slots.take(2, "u", "/v2/sip", now_ns=0), "slots are per path"
    assert slots.take(3, "other", "/v2/iex", now_ns=0), "and per user"
    slots.release(1, clean=False, now_ns=10)
    slots.release(1, clean=True, now_ns=20)
    assert not slots.take(4, "u", "/v2/iex", now_ns=89 * 10**9)
    assert slots.take(4, "u", "/v2/iex", now_ns=10 + 90 * 10**9)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
CHANNEL = st.sampled_from(["trades", "quotes", "bars", "news", "action", "key", "secret"])
ACTION = st.sampled_from(["auth", "subscribe", "unsubscribe", "other"])


@given(
    st.lists(
        st.binary()
        | st.dictionaries(CHANNEL, JSON).flatmap(
            lambda m: ACTION.map(lambda a: json.dumps(m | {"action": a}).encode())
        ),
        max_size=5,
    ),
    st.booleans(),
)
def test_no_bytes_of_a_client_make_it_raise(messages, logged_in):
    made = ready() if logged_in else machine()
    for raw in messages:
        assert made.on_message(raw, 0)


def of_family(family, *, packed=False, **rules):
    rules = Rules(keys={"k": "s"}, **rules)
    path = next(path for path, carried in PATHS.items() if carried is family)
    made = StreamMachine(rules, Slots(), path, 0, family, packed=packed)
    encode = msgspec.msgpack.encode if packed else msgspec.json.encode
    return made, lambda message: made.on_message(encode(message), 0)


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_each_family_takes_its_channels_and_no_others(family, packed):
    made, answer = of_family(family, packed=packed)
    actions = answer(KEY)
    if family.packed_only and not packed:
        assert codes(actions) == [412] and made.state is State.NEW
        return
    for channel in sorted(ALL_CHANNELS):
        said = answer({"action": "subscribe", channel: ["A"]})
        if channel not in family.channels:
            assert codes(said) == [400]
            continue
        state = said[1].message[0]
        assert state.pop("T") == "subscription" and state[channel] == ["A"]
        assert answer({"action": "unsubscribe", channel: ["A"]})[1].message == [
            {"T": "subscription"}
        ]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_foreign_channels_are_410_by_the_docs_and_may_be_empty(family):
    _, answer = of_family(family, packed=True, strict_docs=True)
    answer(KEY)
    foreign = sorted(ALL_CHANNELS - set(family.channels))
    for channel in foreign:
        assert codes(answer({"action": "subscribe", channel: ["A"]})) == [410]
    empty = dict.fromkeys([*foreign, "corrections"])
    said = answer({"action": "subscribe", **empty, family.channels[0]: ["A"]})
    assert said[1].message[0][family.channels[0]] == ["A"]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_docs_show_every_channel_of_the_family(family):
    _, answer = of_family(family, packed=True, ack_style="docs")
    answer(KEY)
    said = answer({"action": "subscribe", family.channels[0]: ["A"]})
    shown = set(family.channels) - {"imbalances"} | set(family.implied)
    assert set(said[1].message[0]) - {"T"} == shown


@pytest.mark.parametrize(
    ("family", "channels", "fits"),
    [
        (CRYPTO, {"trades": ["A/B"], "orderbooks": ["A/B"]}, True),
        (CRYPTO, {"trades": ["A/B"], "quotes": ["A/B"], "orderbooks": ["A/B"]}, False),
        (CRYPTO, {"bars": ["A/B", "C/D", "E/F"]}, True),
        (OPTIONS, {"trades": ["A", "B", "C"], "quotes": ["A", "B"]}, True),
        (OPTIONS, {"quotes": ["A", "B", "C"]}, False),
        (NEWS, {"news": ["A", "B", "C"]}, True),
    ],
)
def test_limited_channels_of_each_family(family, channels, fits):
    _, answer = of_family(family, packed=True, max_symbols=2)
    answer(KEY)
    said = answer({"action": "subscribe", **channels})
    assert codes(said) == ([None] if fits else [405])


def test_quotes_of_options_take_no_star():
    _, answer = of_family(OPTIONS, packed=True)
    answer(KEY)
    assert codes(answer({"action": "subscribe", "quotes": ["*"]})) == [413]
    assert codes(answer({"action": "subscribe", "quotes": ["A", "*"], "trades": ["*"]})) == [413]
    assert codes(answer({"action": "subscribe", "trades": ["*"]})) == [None]


def test_only_new_order_books_are_sent_and_after_the_acknowledgement():
    _, answer = of_family(CRYPTO)
    answer(KEY)

    def books(**channels):
        actions = answer({"action": "subscribe", **channels})
        assert [type(action) for action in actions[:2]] == [Subscribe, Send]
        return [set(action.symbols) for action in actions[2:]]

    assert books(trades=["A/B"]) == []
    assert books(orderbooks=["A/B", "C/D"]) == [{"A/B", "C/D"}]
    assert books(orderbooks=["C/D", "E/F"]) == [{"E/F"}]
    assert books(orderbooks=["C/D"]) == []
    answer({"action": "unsubscribe", "orderbooks": ["C/D"]})
    assert books(orderbooks=["*", "C/D"]) == [{"*", "C/D"}]


@given(st.binary(max_size=200))
def test_no_bytes_make_a_packed_machine_raise(raw):
    made, answer = of_family(OPTIONS, packed=True)
    answer(KEY)
    assert isinstance(made.on_message(raw, 0), list)
