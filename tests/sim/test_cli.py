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

    rows = asyncio.run(asyncio.wait_for(scenario(), 240))
    end = json.loads(child.stdout.readline())
    assert end == {
        "event": "tape_end",
        "path": "/v2/iex",
        "messages": len(rows),
        "frames": rows[-1][0] + 1,
    }
    child.stdin.close()
    assert child.wait(240) == 0
    assert truth(read_truth(folder)) == rows


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_child_ends_on_a_signal(number):
    child = start("--kinds", "trades")
    assert json.loads(child.stdout.readline())["rows"]["/v2/iex"] > 20_000
    child.send_signal(number)
    assert child.wait(240) == 0


def test_all_mistakes_are_told_together_and_nothing_is_opened():
    child = start("--fault", "explode@1", "--speed", "fast", "--batch", "0", "--tape", "no/such")
    out, err = child.communicate(timeout=240)
    assert child.returncode == 2 and out == ""
    for word in ("4 faults", "explode", "fast", "batch 0", "no such file", "disconnect@N"):
        assert word in err


def test_paths_of_several_families_get_what_they_carry(client):
    paths = ["/v1beta3/crypto/eu-1", "/v1beta1/opra", "/v1beta1/news", "/v2/sip"]
    options = [word for path in paths for word in ("--path", path)]
    child = start("--tape", "generated", "--events", "2000", "--speed", "max", *options)
    ready = json.loads(child.stdout.readline())

    async def scenario():
        heard = {}
        for path in paths:
            mine = await (await client.open(Child(ready), path, packed=True)).login()
            await mine.listen(**({"trades": ["*"]} if "opra" in path else {}))
            await mine.read_messages(10)
            heard[path] = mine.messages()[0]
        return heard

    try:
        heard = asyncio.run(asyncio.wait_for(scenario(), 240))
    finally:
        child.terminate()
        child.wait(240)
    assert [len(message) for message in heard.values()][1:3] == [7, 11]
    assert "/" in heard[paths[0]]["S"] and heard[paths[3]]["S"].startswith("Z")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--path", "/v1beta1/news"], "the shipped tape is of stocks, not of news"),
        (["--path", "/v1beta1/news", "--path", "/v2/iex"], "cannot be news and stocks at once"),
        (["--path", "/v3/iex"], "path /v3/iex is none of the venue's"),
    ],
)
def test_paths_that_the_tape_does_not_fit_are_refused(options, words):
    child = start(*options)
    _, err = child.communicate(timeout=240)
    assert child.returncode == 2 and words in err


def test_help_teaches():
    out, _ = start("--help").communicate(timeout=240)
    for word in ("Examples", "--speed", "close_mid_frame", "disconnect@5000", "SIM_KEY"):
        assert word in out
