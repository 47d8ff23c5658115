"""Strategies in the real tree: good, printing, random, raising and slow ones, on two feeds at once.

One run for all of them; what each did to the others is looked at afterwards.
"""

import json

import pytest

from ticktape.decisions.log import Timer
from ticktape.lastvalue import LastValues
from ticktape.recorder import supervisor
from ticktape.replay.rerun import Pace, inputs_by_receipt, new_runner, read_runs, rerun
from ticktape.replay.tail import connect_run

EVENTS = 9_000
NOTHING = {"new": 0, "old": 0}
GO_ON = ("sums", "prints", "random", "detaches")
STRATEGIES = {
    "sums": """
        class Sums:
            "Its decisions hang on the order of two feeds and of its timer."
            timer_s = 0.05
            def __init__(self):
                self.seen, self.feeds = 0, {}
            def on_trade(self, trade, last):
                self.seen += 1
                self.feeds[trade.feed] = self.feeds.get(trade.feed, 0) + 1
                other = last[trade.symbol].trade
                if self.seen % 50 == 0:
                    return [self.seen, dict(self.feeds), trade.price, other.feed, other.price]
            def on_gap(self, gap, last):
                return ["gap", gap.feed]
            def on_timer(self, now_ns, last):
                return [now_ns, self.seen, len(last)]
        """,
    "prints": """
        import sys
        class Prints:
            def __init__(self):
                self.seen = 0
            def on_trade(self, trade, last):
                self.seen += 1
                if self.seen == 1:
                    print("printed", end="")
                    print('{"event":"exit","code":0}')
                    sys.stderr.write("cried\\n")
                    return repr(sys.stdin.read())
        """,
    "random": """
        import random
        class Random:
            def on_trade(self, trade, last):
                return random.random() if trade.size > 100 else None
        """,
    "raises": """
        class Raises:
            def __init__(self):
                self.seen = 0
            def on_trade(self, trade, last):
                self.seen += 1
                if self.seen == 200:
                    return {}["no such key"]
                return self.seen if self.seen % 100 == 0 else None
        """,
    "detaches": """
        class Detaches:
            def __init__(self):
                self.seen = 0
            def on_trade(self, trade, last):
                raise RuntimeError("not today")
            def on_quote(self, quote, last):
                self.seen += 1
                return self.seen if self.seen % 100 == 0 else None
        """,
    "slow": """
        import sys, time
        slow = "ticktape.recorder.child" in sys.argv[0].replace("/", ".")
        class Slow:
            "Done with its first block soon, whatever that holds; then each trade takes a second."
            first_ns = None
            def on_trade(self, trade, last):
                if self.first_ns is None:
                    self.first_ns = trade.recv_ns
                    time.sleep(0.03 if slow else 0)
                elif slow and trade.recv_ns != self.first_ns:
                    time.sleep(1)
                return trade.price
        """,
    "broken": "class Broken(:\n",
}


def has_decided(directory, name):
    """Whether its journal has one; who is within a block of a minute tells the parent nothing."""
    logs = read_runs(directory, name)
    return any(logged.decisions for log in logs for logged in log.inputs())


@pytest.fixture(scope="module")
def run(run_folder, venue, strategy_file, configured, recording, proven):
    source = venue("--tape", "generated", "--events", str(EVENTS), "--rate", "3000")
    strategies = []
    for name, text in STRATEGIES.items():
        policy = 'on_error = "detach"' if name == "detaches" else ""
        strategies.append((strategy_file(name, text), policy))
    directory = run_folder / "tape"
    feeds = {"new": source.url(), "old": source.url("/stream")}
    with recording(configured(directory, feeds, strategies)) as made:
        made.until_frames(EVENTS, "new")
        made.until_frames(EVENTS // 2, "old")
        made.venue_said = [source.wait_end(), source.wait_end()]
        for child in ("last", *(f"decide-{name}" for name in GO_ON)):
            made.until(lambda child=child: made.said(child).get("behind_bytes") == NOTHING, child)
        for name in ("raises", "broken"):
            made.until(lambda name=name: made.words("decision_error", f"decide-{name}"), name)
        made.until(lambda: has_decided(made.directory, "slow"), "slow decides")
        made.pids = made.supervisor.pids()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(supervisor, "DECISIONS_LEAVE_S", 5.0)
            made.end = made.stop()
    made.verdict = proven(directory, run_folder)
    return made


def again(run, name):
    config = {each.name: each for each in run.config.decide}[name]
    (log,) = read_runs(run.directory, name)
    runner = new_runner(run.directory, config.file, name, "", config.on_error)
    return rerun(run.directory, name, log, runner, Pace(0))


def part(run, name):
    return {each.name: each for each in run.verdict.decisions}[name]


def test_nothing_of_the_tape_is_missing_whatever_strategies_do(run):
    sent = {each["path"]: each["messages"] for each in run.venue_said}
    received = {feed.name: feed.total("received") for feed in run.verdict.feeds}

    assert received == {"new": sent["/v2/iex"], "old": sent["/stream"]}
    assert [feed.reasons() for feed in run.verdict.feeds] == [[], []]
    assert run.verdict.totals()["dropped"] == 0


def test_last_values_stand_at_the_end_of_the_tape(run):
    with connect_run(run.directory) as con:
        newest = con.sql(
            "SELECT symbol, arg_max(id, (event_ns, seq, index)) FROM trades_raw "
            "WHERE feed = 'new' GROUP BY symbol"
        ).fetchall()
    with LastValues(run.directory.last) as reader:
        shown = {symbol: reader.get("new", symbol).trade.id for symbol, _ in newest}

    assert shown == dict(newest)


def test_a_strategy_over_two_feeds_and_a_timer_decides_the_same_again_bit_for_bit(run):
    (log,) = read_runs(run.directory, "sums")
    feeds = {logged.input.feed for logged in log.inputs() if not isinstance(logged.input, Timer)}
    timers = sum(isinstance(logged.input, Timer) for logged in log.inputs())

    result = again(run, "sums")

    assert feeds == {"new", "old"}
    assert timers > 5
    assert result.decided == result.logged > 100
    assert result.difference == ""


def test_replay_of_a_strategy_that_raised_ends_where_live_ended(run):
    result = again(run, "raises")

    assert (result.difference, result.decided, result.failures) == ("", 1, 1)


def test_a_strategy_that_uses_randomness_is_reported_with_both_decisions(run):
    result = again(run, "random")

    assert result.decided == result.logged > 0
    assert "live " in result.difference and " | now " in result.difference


def test_another_strategy_may_decide_on_the_same_data_in_the_order_of_receipt(run):
    (sums,) = [each for each in run.config.decide if each.name == "sums"]
    log = inputs_by_receipt(run.directory)
    received = [logged.recv_ns for logged in log.inputs()]

    result = rerun(
        run.directory, "sums", log, new_runner(run.directory, sums.file, "sums", "", ""), Pace(0)
    )

    assert received == sorted(received)
    assert result.inputs == len(received)
    assert result.decided > 100


def test_a_strategy_that_raises_with_stop_is_not_started_again_and_makes_the_run_incomplete(run):
    assert "decide-raises" in run.end.stopped_decisions
    assert "decide-raises" not in run.end.restarts
    assert "decide-raises" not in run.pids
    (words,) = run.words("decision_error", "decide-raises")
    assert words.endswith("on_trade raised KeyError: 'no such key' (raises.py:8)")
    assert part(run, "raises").reasons() == [f"raises: stopped itself: {words}"]
    assert "decide-raises stopped itself at an error" in run.end.reasons()


def test_a_strategy_that_raises_with_detach_goes_on_without_that_callback(run):
    (words,) = run.words("decision_error", "decide-detaches")
    assert "on_trade raised RuntimeError: not today" in words
    assert part(run, "detaches").counts[0].stored > 5
    assert part(run, "detaches").reasons() == []
    assert again(run, "detaches").difference == ""


def test_a_strategy_that_cannot_be_loaded_is_said_with_its_line(run):
    (words,) = run.words("decision_error", "decide-broken")

    assert "SyntaxError" in words and "(broken.py:1)" in words
    assert "decide-broken" in run.end.stopped_decisions
    assert part(run, "broken").reasons() == [f"broken: stopped itself: {words}"]


def test_a_strategy_that_sleeps_is_cut_off_and_both_certificates_say_so(run):
    behind = part(run, "slow").reasons()

    assert run.end.cut_off == ["decide-slow"]
    assert "decide-slow was cut off: it did not finish in time" in run.end.reasons()
    assert [words.partition(" entries of ")[2] for words in behind] == [
        "new were recorded and not decided on",
        "old were recorded and not decided on",
    ]
    assert not run.verdict.complete


def test_what_a_slow_strategy_did_decide_is_whole_and_stored(run):
    result = part(run, "slow")

    assert result.counts[0].stored >= 1
    assert result.counts[0].adds_up
    assert result.torn == []
    assert again(run, "slow").difference == ""


def test_what_a_strategy_prints_goes_to_the_log_and_confuses_nobody(run):
    log = (run.directory.log / "decide-prints.log").read_text()

    assert 'printed{"event":"exit","code":0}\n' in log
    assert "cried\n" in log
    assert "decide-prints" not in run.end.failed
    assert part(run, "prints").counts[0].stored == 1


def test_a_strategys_input_is_empty_and_not_the_parents_pipe(run):
    with connect_run(run.directory) as con:
        ((value,),) = con.sql("SELECT value FROM decisions WHERE decision = 'prints'").fetchall()

    assert json.loads(value) == "''"
