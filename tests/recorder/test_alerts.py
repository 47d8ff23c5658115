"""The user's alert command: called once per trouble, bounded, and never waited for."""

import sys

import pytest

from ticktape.recorder.alerts import Alerts, alert_text
from ticktape.recorder.process import ChildEvent


@pytest.fixture
def append_to(tmp_path):
    """A command that appends its last argument to a file, and the file."""
    target = tmp_path / "said"
    program = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"
    return [sys.executable, "-c", program, str(target)], target


def ended(alerts):
    """Close, once all commands have ended: a busy machine may start them too late for `close`."""
    for process, _ in alerts._running:
        process.wait(240)
    alerts.close()


def test_the_command_gets_the_text_as_its_last_argument(append_to):
    command, target = append_to
    alerts = Alerts(command, {})
    assert alerts.call("capture-sip: down; $(reboot)") == ""
    ended(alerts)
    assert target.read_text() == "capture-sip: down; $(reboot)\n"


def test_the_same_words_are_said_once_a_minute_at_most(append_to):
    command, target = append_to
    alerts = Alerts(command, {})
    for _ in range(3):
        alerts.call("the disk is full")
    alerts.call("something else")
    ended(alerts)
    assert sorted(target.read_text().splitlines()) == ["something else", "the disk is full"]


def test_a_command_that_cannot_be_run_is_told_in_words():
    alerts = Alerts(["/nowhere/notify"], {})
    assert "'/nowhere/notify' cannot be run" in alerts.call("down")


def test_commands_that_hang_are_bounded_in_number_and_ended():
    alerts = Alerts([sys.executable, "-c", "import time; time.sleep(60)"], {})
    for number in range(10):
        alerts.call(f"trouble {number}")
    assert (alerts.called, alerts.left_out) == (4, 6)
    for process, _ in alerts._running:
        process.kill()
    alerts.close()
    assert alerts._running == []


def test_without_a_command_nothing_is_called():
    alerts = Alerts([], {})
    assert alerts.call("down") == ""
    assert alerts.called == 0


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (ChildEvent("capture-sip", "trouble", {"words": "disk full"}), "capture-sip: disk full"),
        (
            ChildEvent("capture-sip", "session", {"content": {"event": "down", "words": "lost"}}),
            "capture-sip: down: lost",
        ),
        (
            ChildEvent(
                "capture-sip",
                "session",
                {"content": {"event": "subscribed", "words": "405", "missing": {"trades": ["A"]}}},
            ),
            "capture-sip: not everything is subscribed: 405",
        ),
        (ChildEvent("capture-sip", "session", {"content": {"event": "subscribed"}}), ""),
        (ChildEvent("table", "exit", {"code": -9}), "table ended with code -9"),
        (ChildEvent("table", "exit", {"code": 0}), ""),
        (ChildEvent("last", "state", {"words": "going on"}), ""),
        (
            ChildEvent("ledger", "alarm", {"words": "sip: mute", "hint": "look", "open": True}),
            "ledger: sip: mute",
        ),
        (ChildEvent("ledger", "alarm", {"words": "sip: over", "hint": "", "open": False}), ""),
    ],
)
def test_only_changes_for_the_worse_are_alerts(event, text):
    assert alert_text(event) == text
