"""Raw first: what a capture does with a block, whatever the session makes of it."""

import asyncio
import json
import random
from types import SimpleNamespace

import pytest

from ticktape import clock
from ticktape.feeds.alpaca import AlpacaProtocol
from ticktape.feeds.capture import Capture, CaptureConfig, _on_loop_error
from ticktape.feeds.socket import SocketConfig
from ticktape.feeds.states import SessionState
from ticktape.journal.reader import Reader
from ticktape.journal.writer import Writer
from ticktape.records import EntryKind

NOWHERE = SocketConfig("ws://127.0.0.1:1/v2/iex", {}, 1.0, 0, 1.0, 1000, "", "")


class RaisingSession:
    def look(self, payloads, mono_ns):
        raise AssertionError("never before the journal")


@pytest.fixture
def place(tmp_path):
    return tmp_path / "journal", tmp_path / "positions"


def make(place, **more):
    wall = clock.WallClock()
    writer = Writer(*place, wall=wall)
    told, written = [], []
    settings = {"socket_config": NOWHERE} | more
    capture = Capture(
        CaptureConfig("feed", "run", 1.0, 0.0, 0.0, 0.01),
        settings["socket_config"],
        lambda: AlpacaProtocol("key", "secret", {"trades": ["A"]}),
        writer,
        wall,
        on_written=lambda *row: written.append(row),
        on_state=lambda content: (told.append(content), settings.get("on_state", len)(told)),
        on_tick=settings.get("on_tick", lambda: None),
        jitter=random.Random(1),
    )
    return capture, writer, told, written


def entries_of(place):
    with Reader(*place) as reader:
        return [entry for block in reader.read(1 << 20) for entry in block.entries()]


def test_block_is_journaled_and_counted_before_anything_looks_at_it(place):
    capture, writer, _, written = make(place)
    capture._session = RaisingSession()
    with pytest.raises(AssertionError, match="never before"):
        capture._on_read([b"one", b"three"], [0, 1], clock.monotonic_ns(), 2)
    figures = capture.statistics()
    assert (figures.frames, figures.bytes, figures.blocks) == (2, 8, 1)
    ((start, end, mono_ns, count),) = written
    assert start < end == writer.offset and mono_ns > 0 and count == 2
    writer.close()
    assert entries_of(place) == [(EntryKind.TEXT, b"one"), (EntryKind.BINARY, b"three")]


def test_stop_ends_a_run_between_sessions_and_says_what_was_missed(place):
    def stop_at_the_third_failure(told):
        if sum(content.event == "down" for content in told) == 3:
            capture.stop()

    capture, writer, _, _ = make(place, on_state=stop_at_the_third_failure)

    async def run():
        return await capture.run(), len(asyncio.all_tasks())

    state, tasks = asyncio.run(run())
    writer.close()
    assert state is SessionState.STOPPED and tasks == 1
    said = [json.loads(payload) for _, payload in entries_of(place)]
    assert [each["event"] for each in said[:3]] == ["started", "connecting", "down"]
    assert said[0]["run"] == "run"
    assert "cannot connect to ws://127.0.0.1:1/v2/iex" in said[2]["words"]
    assert said[-1]["event"] == "stopped" and said[-1]["planned"] is True
    (missed,) = said[-1]["gaps"]
    assert missed["from_ns"] == said[0]["down_since_ns"] and not missed["planned"]
    assert missed["to_ns"] == said[-1]["gap"]["from_ns"]


def test_error_of_ours_in_the_ticker_ends_the_run_loudly(place):
    def on_tick():
        raise ZeroDivisionError("our bug")

    capture, writer, _, _ = make(place, on_tick=on_tick)
    with pytest.raises(ZeroDivisionError, match="our bug"):
        asyncio.run(capture.run())
    writer.close()


def test_ca_file_that_is_none_refuses_the_feed_instead_of_looping(place, tmp_path):
    odd = tmp_path / "odd.pem"
    odd.write_text("no certificate")
    config = NOWHERE._replace(url="wss://127.0.0.1:1/v2/iex", ca_file=str(odd))
    capture, writer, told, _ = make(place, socket_config=config)
    assert asyncio.run(capture.run()) is SessionState.REFUSED
    writer.close()
    refused = next(content for content in told if content.event == "refused")
    assert "ca_file" in refused.words and "PEM" in refused.hint
    assert refused.gap["planned"] is False


@pytest.mark.parametrize("exception", [ConnectionResetError, ConnectionResetError("gone")])
def test_failed_connection_is_not_logged_a_second_time(exception):
    _on_loop_error(None, {"exception": exception})  # the default handler would need a loop


def test_other_errors_of_the_loop_are_logged():
    seen = []
    loop = SimpleNamespace(default_exception_handler=seen.append)
    for context in ({"exception": ZeroDivisionError()}, {"message": "odd"}):
        _on_loop_error(loop, context)
        assert seen[-1] is context
