"""The simulator as a child process, as `demo` and the tests of the recorder start it."""

import asyncio
import json
import os
import signal
import subprocess
import sys

import pytest

from ticktape.sim import read_truth


def start(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "ticktape.cli.sim", "alpaca", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


class Child:
    """What a client needs to know of a simulator elsewhere."""

    def __init__(self, ready):
        self.ready = ready

    def url(self, path):
        return self.ready["urls"][path]


def test_child_says_ready_plays_the_shipped_tape_and_leaves_the_truth(client, truth, tmp_path):
    folder = tmp_path / "truth"
    options = ["--speed", "max", "--batch", "50", "--truth", str(folder), "--until-stdin-closes"]
    child = start(*options, SIM_KEY="my-key", SIM_SECRET="my-secret")
    ready = json.loads(child.stdout.readline())
    assert ready["event"] == "ready" and ready["url"].endswith(f":{ready['port']}/v2/iex")
    assert ready["v1_url"].endswith("/stream")

    async def scenario():
        mine = await client.open(Child(ready))
        await mine.answer()
        key = {"action": "auth", "key": "my-key", "secret": "my-secret"}
        assert (await mine.answer(key))["msg"] == "authenticated"
        await mine.listen()
        await mine.read_messages(ready["rows"]["/v2/iex"])
        return mine.rows()

    rows = asyncio.run(asyncio.wait_for(scenario(), 60))
    end = json.loads(child.stdout.readline())
    assert end == {
        "event": "tape_end",
        "path": "/v2/iex",
        "messages": len(rows),
        "frames": rows[-1][0] + 1,
    }
    child.stdin.close()
    assert child.wait(20) == 0
    assert truth(read_truth(folder)) == rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_child_ends_on_a_signal(number):
    child = start("--kinds", "trades")
    assert json.loads(child.stdout.readline())["rows"]["/v2/iex"] > 20_000
    child.send_signal(number)
    assert child.wait(20) == 0


def test_all_mistakes_are_told_together_and_nothing_is_opened():
    child = start("--fault", "explode@1", "--speed", "fast", "--batch", "0", "--tape", "no/such")
    out, err = child.communicate(timeout=30)
    assert child.returncode == 2 and out == ""
    for word in ("4 faults", "explode", "fast", "batch 0", "no such file", "disconnect@N"):
        assert word in err


def test_help_teaches():
    out, _ = start("--help").communicate(timeout=30)
    for word in ("Examples", "--speed", "close_mid_frame", "disconnect@5000", "SIM_KEY"):
        assert word in out
