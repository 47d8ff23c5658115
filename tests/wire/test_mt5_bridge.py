"""A whole simulated terminal behind rpyc's own server: what is recorded is what could be seen."""

import bisect
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from ticktape.feeds.mt5.books import PolledBooks
from ticktape.feeds.mt5.bridge import BridgeTerminal
from ticktape.feeds.mt5.push import PushedBooks
from ticktape.feeds.mt5.terminal import Account

SYMBOLS = ["RIZ6", "SiZ6"]
IMAGES = 300


@pytest.fixture
def terminal(tmp_path):
    """A terminal with two books that change 200 times a second, and its truth at the end."""
    pytest.importorskip("rpyc")
    books = [f"--book={symbol}=generated:levels=10,rate=200" for symbol in SYMBOLS]
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "ticktape", "sim", "mt5", str(tmp_path / "world"), *books),
            *("--rpyc-port", "0", "--truth", str(tmp_path / "truth"), "--until-stdin-closes"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    ready = json.loads(process.stdout.readline())
    bridge = BridgeTerminal(Account(path=ready["path"]), "127.0.0.1", ready["rpyc_port"])

    def truth():
        """Symbol -> (moments, rows) of every state, in order."""
        process.stdin.close()
        process.wait(240)
        rows = pq.read_table(tmp_path / "truth" / "books.parquet").to_pylist()
        return {
            symbol: (
                [row["change_mono_ns"] for row in rows if row["symbol"] == symbol],
                [row["rows"] for row in rows if row["symbol"] == symbol],
            )
            for symbol in SYMBOLS
        }

    yield bridge, truth
    bridge.close([])
    if process.poll() is None:
        process.kill()
        process.wait()
    process.stdout.close()


@pytest.mark.parametrize("is_pushed", [False, True], ids=["asked for", "pushed"])
def test_every_image_is_a_state_of_the_terminal_within_its_interval(terminal, is_pushed):
    bridge, truth = terminal
    bridge.open()
    assert [bridge.subscribe(symbol, book=True) for symbol in SYMBOLS] == [None, None]
    books = PushedBooks(bridge) if is_pushed else PolledBooks(bridge)
    books.resume(after_gap=False)
    if is_pushed:
        assert books.start() is None
    books.watch(SYMBOLS)
    images, counted = [], 0
    while len(images) < IMAGES:
        images += books.take(0.1)
        counted += sum(counts.stored for counts in books.counts())
    books.close()
    if is_pushed:
        images += books.rest()
    counted += sum(counts.stored for counts in books.counts())
    assert counted == len(images)
    bridge.close(SYMBOLS)
    states = truth()
    before = dict.fromkeys(SYMBOLS, b"")
    for image in images:
        was_empty, before[image.symbol] = not before[image.symbol], image.rows
        if not image.rows:
            continue  # a book fills some time after it is subscribed
        moments, rows = states[image.symbol]
        # Of the states that stood at some moment of the call, one is the image.
        first = max(bisect.bisect_right(moments, image.before_ns) - 1, 0)
        beyond = bisect.bisect_right(moments, image.after_ns)
        found = [at for at in range(first, beyond) if rows[at] == image.rows]
        assert found
        # And it came to be after the poll before this one began.
        assert was_empty or any(moments[at] >= image.previous_ns for at in found)


def test_a_terminal_is_asked_all_that_a_capture_asks_and_is_opened_again(terminal):
    bridge, _ = terminal
    facts = bridge.open()
    assert (facts.server, facts.package) != ("", "")
    assert bridge.subscribe(SYMBOLS[0], book=True) is None
    assert bridge.subscribe("NOPE", book=True) is not None
    assert bridge.instrument(SYMBOLS[0])["digits"] > 0
    assert bridge.health().connected
    assert bridge.last_tick_msc(SYMBOLS[0]) >= 0
    bridge.close(SYMBOLS[:1])
    assert bridge.open() == facts
