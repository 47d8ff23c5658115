"""`sim alpaca --rest` as a child process."""

import json
import subprocess
import sys
import urllib.request

KEYS = {"APCA-API-KEY-ID": "demo-key", "APCA-API-SECRET-KEY": "demo-secret"}


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "ticktape.cli.sim", "alpaca", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_ready_line_says_where_rest_is_and_it_ends_with_its_parent():
    child = start("--rest", "--rest-all", "--rate-limit", "7", "--until-stdin-closes")
    ready = json.loads(child.stdout.readline())
    address = f"{ready['rest_url']}/v2/stocks/trades?symbols=SPY&limit=2&feed=iex"
    with urllib.request.urlopen(urllib.request.Request(address, headers=KEYS)) as response:
        assert response.headers["X-RateLimit-Remaining"] == "6"
        assert len(json.load(response)["trades"]["SPY"]) == 2
    out, err = child.communicate(timeout=240)
    assert (child.returncode, out, err) == (0, "", "")


def test_without_the_option_there_is_no_rest():
    child = start("--until-stdin-closes")
    assert json.loads(child.stdout.readline())["rest_url"] is None
    child.communicate(timeout=240)
    assert child.returncode == 0


def test_mistakes_of_rest_are_told_with_all_others():
    child = start("--rest", "--rest-fault", "soon", "--rate-limit", "0", "--batch", "0")
    out, err = child.communicate(timeout=240)
    assert child.returncode == 2 and out == ""
    for word in ("3 faults", "'soon' is no fault", "rate_limit 0", "batch 0", "429x3"):
        assert word in err
