import pytest

from ticktape.errors import ConfigError
from ticktape.sim.faults import FAULTS, PLACED, Fault, Strikes, menu_text, parse_faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("disconnect@5000", Fault(name="disconnect", row=5000)),
        ("mute@2.5s", Fault(name="mute", at_s=2.5)),
        ("half_open@3s", Fault(name="half_open", at_s=3.0)),
        ("mute_symbol@9=SPY,IBM", Fault(name="mute_symbol", row=9, value="SPY,IBM")),
        (
            "mute_symbol@2s@/v2/sip=SPY/20",
            Fault(name="mute_symbol", at_s=2, path="/v2/sip", value="SPY/20"),
        ),
        ("disconnect@5@/v2/sip", Fault(name="disconnect", row=5, path="/v2/sip")),
        ("error:405@7", Fault(name="error", code=405, row=7)),
        ("huge@9", Fault(name="huge", row=9, value="5000000")),
        ("huge@9=100", Fault(name="huge", row=9, value="100")),
        ("http:429x3", Fault(name="http", code=429, value="3")),
        ("ack_missing=SPY,IBM", Fault(name="ack_missing", value="SPY,IBM")),
        ("data_before_ack", Fault(name="data_before_ack", value="5")),
        ("duplicate_after_reconnect=20", Fault(name="duplicate_after_reconnect", value="20")),
        ("not_entitled", Fault(name="not_entitled")),
        ("not_entitled@/v2/sip", Fault(name="not_entitled", path="/v2/sip")),
        ("silence@4=0.5", Fault(name="silence", row=4, value="0.5")),
        ("burst@2.5s=3", Fault(name="burst", at_s=2.5, value="3")),
        ("corrupt@9", Fault(name="corrupt", row=9)),
        (
            "corrupt@9s@/v1beta3/crypto/us-1",
            Fault(name="corrupt", at_s=9, path="/v1beta3/crypto/us-1"),
        ),
        ("corrupt=1000", Fault(name="corrupt", value="1000")),
        ("late=0.5", Fault(name="late", value="0.5")),
        ("late@/v2/sip=100", Fault(name="late", path="/v2/sip", value="100")),
        ("daily_bar_repeats=60", Fault(name="daily_bar_repeats", value="60")),
        ("http:503x1@/v2/sip", Fault(name="http", code=503, value="1", path="/v2/sip")),
    ],
)
def test_faults_are_read(text, fault):
    assert parse_faults([text]) == (fault,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("explode@5", "not on the menu"),
        ("disconnect@", "not on the menu"),
        ("disconnect@x", "not on the menu"),
        ("error:4@5", "not on the menu"),
        ("", "not on the menu"),
        ("disconnect", "needs a place"),
        ("late@5=3", "takes no place"),
        ("not_entitled@5", "takes no place"),
        ("disconnect@0", "counts messages from 1"),
        ("error@5", "needs a code"),
        ("mute:405@5", "takes no code"),
        ("error:405x3@5", "takes no count of times"),
        ("silence@5", "needs a value"),
        ("late", "needs a value"),
        ("duplicate_after_reconnect", "needs a value"),
        ("mute@5=3", "takes no value"),
        ("silence@5=soon", "takes a number"),
        ("huge@5=big", "takes a whole number"),
        ("huge@5=1.5", "takes a whole number"),
        ("fragment@5=0", "takes a whole number above 0"),
        ("duplicate_after_reconnect=many", "takes a whole number above 0"),
        ("daily_bar_repeats=0.5", "takes a whole number above 0"),
        ("late=0", "takes a percentage"),
        ("late=101", "takes a percentage"),
        ("ack_missing=SPY,", "takes symbols"),
        ("mute_symbol@5", "needs a value"),
        ("mute_symbol=SPY", "needs a place"),
        ("mute_symbol@5=SPY,", "takes symbols"),
        ("mute_symbol@5=SPY,/3", "takes symbols"),
        ("corrupt", "takes a place or a value"),
        ("corrupt@5=7", "takes a place or a value"),
        ("corrupt=0", "takes a whole number above 0"),
        ("http:429", "must say http:CODExTIMES"),
        ("http@5", "must say http:CODExTIMES"),
        ("http:429x3@5", "must say http:CODExTIMES"),
        ("http:200x3", "refuses nothing"),
        ("http:429x0", "strikes no time"),
    ],
)
def test_what_makes_no_sense_is_refused_and_told_why(text, words):
    with pytest.raises(ConfigError) as caught:
        parse_faults([text])
    assert repr(text) in caught.value.faults[0] and words in caught.value.faults[0]


def test_all_mistakes_are_told_together_with_the_menu():
    with pytest.raises(ConfigError) as caught:
        parse_faults(["explode", "disconnect@5", "mute"])
    assert len(caught.value.faults) == 2
    for name, entry in FAULTS.items():
        assert name in caught.value.hint and entry.meaning in menu_text()


def test_every_fault_of_the_menu_can_be_asked_for():
    for name, entry in FAULTS.items():
        text = name + (":405" if entry.needs_code else "")
        if entry.strikes is Strikes.UPGRADE:
            text += ":429x1"
        elif entry.strikes in PLACED:
            text += "@5"
        text += "=5" if entry.needs_value else ""
        (fault,) = parse_faults([text])
        assert fault.name == name
