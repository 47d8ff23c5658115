"""What a capture calls back: a late tick is a stall, but not the seldom ones of an idle capture."""

import pytest

from ticktape import clock
from ticktape.config import JournalConfig, parse_config
from ticktape.recorder.rig import Rig
from ticktape.recorder.task import CaptureTask

CONFIG = """
directory = "tape"
[[feed]]
name = "sip"
kind = "alpaca"
url = "ws://127.0.0.1:9/v2/sip"
trades = ["*"]
"""


class FakeParent:
    def tell(self, event, **content):
        """Nobody listens."""


@pytest.fixture
def rig(tmp_path):
    (feed,) = parse_config(CONFIG, "the test's config", tmp_path).feed
    directory = str(tmp_path / "tape")
    made = Rig(
        CaptureTask("run", directory, "sip", feed, JournalConfig(), "", "", ""), FakeParent()
    )
    yield made
    made.close()


def test_only_a_tick_that_was_due_is_late(rig, monkeypatch):
    now_ns, late = [clock.monotonic_ns()], []
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now_ns[0])
    monkeypatch.setattr(rig._pauses, "record_wake", lambda due_ns: late.append(now_ns[0] - due_ns))

    def tick(after_ms, *payloads):
        now_ns[0] += after_ms * 1_000_000
        if payloads:
            rig.writer.append(payloads, 1, 1)
        rig.on_tick()

    tick(100, b"1")
    tick(100)
    tick(300)  # idle: seldom
    tick(350)
    assert late == []
    tick(100, b"2")
    tick(160)
    assert late == [60_000_000]
    tick(300)
    assert late == [60_000_000]
