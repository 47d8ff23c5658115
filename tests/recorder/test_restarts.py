"""A strategy that is killed and comes back: with its memory, or, if it is asked to, without."""

import os
import signal

import pytest

from ticktape.decisions.log import Restart, read_logged
from ticktape.journal import Reader
from ticktape.replay.rerun import Pace, new_runner, read_runs, rerun
from ticktape.replay.tail import connect_run

EVENTS = 5_000
COUNTS = """
    class Counts:
        timer_s = 0.1
        def __init__(self):
            self.seen = 0
        def on_trade(self, trade, last):
            self.seen += 1
            return [self.seen, trade.feed] if self.seen % 20 == 0 else None
        def on_timer(self, now_ns, last):
            return [self.seen, now_ns]
"""
KILLS = 2
STRATEGIES = ("decide-keeps", "decide-forgets", "decide-leaps")
NOTHING = {"new": 0, "old": 0}


def is_back(made, child, pid):
    """Whether it is another process than `pid` and has said how it stands."""
    return made.supervisor.pids().get(child, pid) != pid and bool(made.said(child))


@pytest.fixture(scope="module")
def run(run_folder, venue, strategy_file, configured, recording, proven):
    source = venue("--tape", "generated", "--events", str(EVENTS), "--rate", "1200")
    strategies = [
        (strategy_file("keeps", COUNTS), ""),
        (strategy_file("forgets", COUNTS), 'on_restart = "resume"'),
        (strategy_file("leaps", COUNTS.replace("self.seen += 1", "self.seen += time.time_ns()")
         .replace("class", "import time\n    class")), ""),
    ]  # fmt: skip
    directory = run_folder / "tape"
    feeds = {"new": source.url(), "old": source.url("/stream")}
    with recording(configured(directory, feeds, strategies)) as made:
        for kill in range(KILLS):
            frames = EVENTS * (kill + 1) // (KILLS + 2)
            made.until_frames(frames, "new")
            made.until(lambda: all(map(made.said, STRATEGIES)), "all are up")
            before = made.supervisor.pids()
            for child in STRATEGIES:
                os.kill(before[child], signal.SIGKILL)
            for child in STRATEGIES:
                made.until(lambda c=child, pid=before[child]: is_back(made, c, pid), child)
        made.until_frames(EVENTS, "new")
        made.until_frames(EVENTS // 2, "old")
        source.wait_end()
        source.wait_end()
        # Who came back late has all to replay, and at the stop ten seconds for the rest.
        for child in STRATEGIES:
            made.until(lambda c=child: made.said(c).get("behind_bytes") == NOTHING, child)
        made.end = made.stop()
    made.verdict = proven(directory, run_folder)
    return made


def blocks_of(run, name):
    with Reader(run.directory.decision_journal(name), None) as reader:
        while found := reader.read():
            yield from found


def numbers(run, name):
    with connect_run(run.directory) as con:
        rows = con.sql(
            f"SELECT number FROM decisions WHERE decision = '{name}' ORDER BY epoch, seq"
        ).fetchall()
    return [number for (number,) in rows]


def all_again(run, name):
    config = {each.name: each for each in run.config.decide}[name]
    found = []
    for log in read_runs(run.directory, name):
        runner = new_runner(run.directory, config.file, name, "", "stop")
        found.append(rerun(run.directory, name, log, runner, Pace(0)))
    return found


def test_the_run_is_complete_in_spite_of_the_kills(run):
    assert run.verdict.reasons() == []
    assert run.end.restarts == dict.fromkeys(STRATEGIES, KILLS)
    assert run.end.reasons() == []


def test_a_strategy_that_came_back_is_one_instance_with_restarts_in_its_log(run):
    inputs = [read_logged(block).input for block in blocks_of(run, "keeps")]

    assert len(read_runs(run.directory, "keeps")) == 1
    assert sum(isinstance(said, Restart) for said in inputs) == KILLS
    told = [words for words in run.words("state", "decide-keeps") if "replayed" in words]
    assert len(told) == KILLS


@pytest.mark.parametrize("name", ["keeps", "forgets"])
def test_no_decision_is_taken_twice_and_none_is_missing(run, name):
    found = numbers(run, name)

    assert found == list(range(len(found)))
    assert len(found) > 100


def test_its_memory_went_on_as_if_it_had_never_died(run):
    with connect_run(run.directory) as con:
        ((seen, traded),) = con.sql(
            "SELECT (SELECT max((value::JSON->>0)::BIGINT) FROM decisions WHERE decision = 'keeps' "
            "AND trigger = 'trades'), (SELECT count(*) FROM trades_raw)"
        ).fetchall()

    assert seen == traded // 20 * 20


def test_replay_decides_the_same_bit_for_bit_over_all_its_deaths(run):
    (result,) = all_again(run, "keeps")

    assert result.difference == ""
    assert result.decided == result.logged == len(numbers(run, "keeps"))


def test_a_strategy_that_resumes_is_a_new_instance_each_time_and_each_is_the_same_again(run):
    results = all_again(run, "forgets")

    assert [result.difference for result in results] == [""] * (KILLS + 1)
    assert sum(result.decided for result in results) == len(numbers(run, "forgets"))


def test_every_entry_was_given_once_to_a_strategy_that_resumes(run):
    given = {"new": 0, "old": 0}
    reached = {}
    for log in read_runs(run.directory, "forgets"):
        for logged in log.inputs():
            said = logged.input
            if hasattr(said, "feed"):
                assert said.from_offset >= reached.get((said.feed, said.epoch), 0)
                reached[said.feed, said.epoch] = said.to_offset
                given[said.feed] += said.count
    blocks = {}
    for feed in given:
        with Reader(run.directory.feed_journal(feed), None) as reader:
            blocks[feed] = sum(len(found) for found in iter(reader.read, []))

    assert given == blocks


def test_a_strategy_whose_memory_cannot_be_rebuilt_is_told_of(run):
    words = run.words("trouble", "decide-leaps")

    assert len(words) >= 1
    assert all("decided otherwise when it was replayed" in each for each in words)
