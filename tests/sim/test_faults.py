import pytest

from ticktape.errors import ConfigError
from ticktape.sim.faults import FAULTS, Fault, Strikes, menu_text, parse_faults


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("disconnect@5000", Fault(name="disconnect", row=5000)),
        ("mute@2.5s", Fault(name="mute", at_s=2.5)),
        ("half_open@3s", Fault(name="half_open", at_s=3.0)),
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
    ],
)
def test_faults_are_read(text, fault):
    assert parse_faults([text]) == (fault,)


@pytest.mark.parametrize(
    "text",
    [
        "explode@5",
        "disconnect",
        "disconnect@",
        "disconnect@0",
        "disconnect@x",
        "error@5",
        "error:4@5",
        "http:429",
        "http@5",
        "silence@5",
        "duplicate_after_reconnect",
        "duplicate_after_reconnect=many",
        "not_entitled@5",
        "huge@5=big",
        "",
    ],
)
def test_what_is_not_on_the_menu_is_refused(text):
    with pytest.raises(ConfigError) as caught:
        parse_faults([text])
    assert repr(text) in caught.value.faults[0]


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
        elif entry.strikes is not Strikes.SESSION:
            text += "@5"
        text += "=5" if entry.needs_value else ""
        (fault,) = parse_faults([text])
        assert fault.name == name
