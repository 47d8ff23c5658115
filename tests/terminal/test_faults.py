"""What can go wrong with a terminal: each is named, and harms neither other symbols nor feeds."""

import json
import time
from functools import partial

import pytest

from ticktape import clock
from ticktape.config import Keys
from ticktape.sim.mt5 import Control
from ticktape.sim.mt5.control import NEVER_NS
from ticktape.sim.mt5.holding import HangLock

pytestmark = pytest.mark.timeout(900)

PLANTED = "planted-pass+0815"


class Moments(dict):
    """When the test did what, in wall time; `covers` compares a gap with it."""

    def now(self, what):
        self[what] = time.time_ns()

    def covers(self, gap, begin, end, early_s):
        """From `begin` on, or at most `early_s` before it, until after `end`."""
        # What is gone may be read once more before anyone can tell.
        assert self[begin] - early_s * 1e9 <= gap.from_ns <= self[begin] + 0.1e9
        assert self[end] <= gap.to_ns
        # What comes back is seen at the next look; a loaded machine takes its time to start it.
        assert gap.to_ns <= self[end] + 240e9


def break_them(run, folder, sims, restart):
    """Kill, stall, unlink and hang, all at once; back when each has been seen and is over."""
    moments = Moments()
    control = {each: Control(folder / each / "control.map") for each in sims}
    sims["killed"].kill()
    moments.now("killed")
    hung = HangLock(folder / "hangs")
    hung.acquire()
    control["hangs"].hang = 1
    control["unlinked"].frozen_until_ns = NEVER_NS
    control["unlinked"].frozen_from_ns = clock.monotonic_ns()
    moments.now("unlinked")
    for number in (1, 2):
        control["stalls"].stall_next_ms = 500
        run.go_on(1.5)
        said = partial(run.words, "stalls", "stalled")
        run.until(lambda said=said, number=number: len(said()) >= number, "the stall is named")
    run.until(lambda: run.words("killed", "down"), "the killed one is missed")
    run.until(lambda: run.words("unlinked", "unlinked"), "the lost link is seen")
    moments.now("started")
    restart()
    moments.now("linked")
    control["unlinked"].frozen_until_ns = clock.monotonic_ns()
    run.until(lambda: [e for e in run.events if e.event == "hung"], "the hung one is given up")
    run.go_on(1)
    control["hangs"].hang = 0
    hung.release()
    for name in ("killed", "hangs"):
        what = f"{name} is recorded again"
        run.until(lambda name=name: len(run.words(name, "subscribed")) >= 2, what)
    run.until(lambda: run.words("unlinked", "linked"), "the link is back")
    run.until(lambda: run.words("symbols", "empty"), "the empty book is told of")
    for name, event in (("absent", "down"), ("loggedout", "down"), ("login", "down")):
        run.until(lambda name=name, event=event: len(run.words(name, event)) >= 2, name)
    run.until(lambda: run.words("wrong", "refused"), "another server is refused")
    run.go_on(3)
    return moments


@pytest.fixture(scope="module")
def recorded(simulate, start_run, feed_text, folder):
    """One run with a terminal for each fault, and a stock feed beside them."""
    alpaca = simulate("alpaca", "--path", "/v2/iex", "--tape", "generated", "--rate", "2000")
    book = "X=generated:levels=10,rate=50"
    options = ("--book", book, "--latency-us", "20")
    worlds = {
        "symbols": ("--book", "NODOM=none", "--book", "EMPTY=empty"),
        "killed": (),
        "stalls": (),
        "unlinked": (),
        "hangs": (),
        "loggedout": ("--fault", "logout@0s"),
        "wrong": (),
        "login": ("--login", "4711"),
    }
    sims = {name: simulate("mt5", folder / name, *options, *more) for name, more in worlds.items()}
    more = dict.fromkeys(worlds, "poll_ms = 5")
    more["hangs"] += "\nhang_s = 2"
    more["wrong"] += '\nserver = "Other-Server"'
    wanted = {name: ["X"] for name in worlds}
    wanted["symbols"] = ["X", "NOPE", "NODOM", "EMPTY"]
    text = (
        f'[[feed]]\nname = "sip"\nkind = "alpaca"\nurl = "{alpaca.ready["urls"]["/v2/iex"]}"\n'
        'trades = ["*"]\nquotes = ["*"]\nbars = ["*"]\nconnect_timeout_s = 30.0\n'
    )
    text += feed_text("absent", folder / "nowhere" / "terminal64.exe", books=["X"])
    for name, sim in sims.items():
        text += feed_text(name, sim.ready["path"], books=wanted[name], ticks=["X"], more=more[name])
    keys = {"sip": Keys("demo-key", "demo-secret"), "login": Keys("4711", PLANTED)}
    run = start_run(text, "faults", keys)
    run.until_ready("symbols", "killed", "stalls", "unlinked", "hangs", "sip")
    run.go_on(1)
    restart = partial(simulate, "mt5", folder / "killed", *options)
    moments = break_them(run, folder, sims, restart)
    run.stop()
    return run, run.prove(), moments


def feed_of(verdict, name):
    return next(feed for feed in verdict.feeds if feed.name == name)


def gaps_of(verdict, name):
    """Its gaps: neither planned ones nor what the watchdog merely suspects."""
    return [gap for gap in feed_of(verdict, name).gaps if gap.counts]


def causes(verdict, name):
    return [gap.cause for gap in gaps_of(verdict, name)]


def test_terminal_that_is_not_running_is_named_and_tried_again(recorded):
    run, verdict, _ = recorded
    assert any("is not running" in words for words in run.words("absent", "down"))
    assert feed_of(verdict, "absent").sessions > 1
    assert "is not running" in causes(verdict, "absent")[0]


def test_terminal_where_nobody_is_logged_in_is_named(recorded):
    run, verdict, _ = recorded
    assert any("nobody is logged in" in words for words in run.words("loggedout", "down"))
    assert any("-10005" in cause for cause in causes(verdict, "loggedout"))


def test_wrong_server_and_wrong_password_are_named_without_the_account(recorded):
    run, _, _ = recorded
    (words,) = run.words("wrong", "refused")
    assert "'Demo-Server'" in words and "'Other-Server'" in words
    assert any("refuses the login" in words for words in run.words("login", "down"))
    assert "5000001" not in json.dumps([each.content for each in run.events])


def test_unknown_symbol_one_without_a_book_and_one_that_never_fills_harm_no_other(recorded):
    run, verdict, _ = recorded
    found = {gap.symbol: gap.cause for gap in gaps_of(verdict, "symbols") if gap.symbol}
    assert "no symbol NOPE" in found["NOPE"]
    assert "no book of NODOM" in found["NODOM"]
    assert set(found) == {"NOPE", "NODOM"}
    assert run.words("symbols", "empty") == ["the book of EMPTY stays empty"]
    images = [image for image in run.images("symbols") if image.symbol == "X"]
    assert len(images) > 100
    (empty,) = [image for image in run.images("symbols") if image.symbol == "EMPTY"]
    assert empty.rows == b""


def test_terminal_killed_and_restarted_is_a_gap_from_the_last_poll_and_goes_on(recorded):
    run, verdict, moments = recorded
    gaps = feed_of(verdict, "killed").gaps
    (gap,) = [gap for gap in gaps if "the terminal is gone (-1000" in gap.cause]
    moments.covers(gap, "killed", "started", early_s=5)
    sessions = [image for image in run.images("killed") if image.marks & 2]
    assert len(sessions) == 1, "the first image after it says so"


def test_stalls_are_named_and_are_no_gap(recorded):
    run, verdict, _ = recorded
    said = run.words("stalls", "stalled")
    assert len(said) >= 2
    assert any("took" in words for words in said)
    # Half a second is none; a machine that stands still for two is one, and is named for it.
    words = ("passed between two polls", "ms for a call")
    gaps = gaps_of(verdict, "stalls")
    assert all(gap.cause.endswith(words) for gap in gaps)
    assert all(gap.to_ns - gap.from_ns >= 2_000_000_000 for gap in gaps)
    (polls,) = feed_of(verdict, "stalls").polls
    assert polls.gap_max_ns > 450_000_000


def test_lost_trade_server_is_a_gap_until_it_is_back(recorded):
    _, verdict, moments = recorded
    gaps = feed_of(verdict, "unlinked").gaps
    (gap,) = [gap for gap in gaps if "lost its trade server" in gap.cause]
    # It is looked at every two seconds.
    moments.covers(gap, "unlinked", "linked", early_s=2 + 5)


def test_hung_terminal_is_left_and_opened_again_and_the_gap_says_why(recorded):
    run, verdict, _ = recorded
    hung = [e.content["words"] for e in run.events if e.event == "hung"]
    assert hung and all("has not answered for" in words for words in hung)
    assert any("has not answered for" in cause for cause in causes(verdict, "hangs"))
    assert all(gap.to_ns is not None for gap in gaps_of(verdict, "hangs"))


def test_stock_feed_beside_them_lost_nothing(recorded):
    run, verdict, _ = recorded
    sip = feed_of(verdict, "sip")
    assert sip.reasons() == []
    assert sip.sessions == 1
    assert run.end.restarts.keys() <= {"capture-hangs"}


def test_every_image_and_tick_of_all_of_them_is_in_its_table(recorded):
    _, verdict, _ = recorded
    for feed in verdict.feeds:
        assert all(count.adds_up for count in feed.counts), feed.name


def test_no_password_or_account_is_in_anything_that_the_run_wrote(recorded):
    run, _, _ = recorded
    files = [path for path in run.directory.root.rglob("*") if path.is_file()]
    assert len(files) > 50
    for secret in (PLANTED.encode(), b"5000001"):
        assert [str(path) for path in files if secret in path.read_bytes()] == []
