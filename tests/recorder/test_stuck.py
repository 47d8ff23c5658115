"""Capture does not notice who is stuck behind it; what was stuck catches up, and nothing is lost.

In turn: a strategy that does not return, a table whose disk refuses, a table that is stopped.
"""

import os
import signal
import sys

import psutil
import pytest

from ticktape.journal.positions import JournalState, Positions

ROWS = 20_000  # of a pass; it plays on until the last one was stuck, however late each is
RATE = 1_500
MORE = 2_000  # frames that must come while somebody is stuck

STUCK = """
import time
from pathlib import Path

STUCK = Path({path!r})


class Stuck:
    def on_trade(self, trade, last):
        while STUCK.exists():
            time.sleep(0.01)
        return None
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prlimit is Linux's own")


def limit_files(pid, size):
    """Let no file of a process grow beyond `size`; what it was before."""
    import resource

    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


class Watched:
    """What capture said of itself while each of the others was stuck."""

    def __init__(self, made):
        self.made = made
        self.before = {}
        self.after = {}

    def capture(self):
        said = dict(self.made.said("capture-sip"))
        positions = Positions.for_reader(self.made.directory.feed_positions("sip"))
        of_journal = positions.statistics()
        positions.close()
        return said | {"synced": of_journal.synced, "state": of_journal.state}

    def through(self, what):
        """Go on until so many frames more came, with what capture says before and after."""
        self.before[what] = self.capture()
        self.made.until_frames(self.before[what]["frames"] + MORE)
        synced = self.before[what]["synced"]
        self.made.until(lambda: self.capture()["synced"] > synced, "more is synced")
        self.after[what] = self.capture()

    def table_stands(self):
        """Where the table is, by its own file."""
        return self.made.directory.reader_file("table").read_bytes()


def has_caught_up(said, before):
    """Whether a strategy has said, later than `before`, that it is behind by a second at most."""
    return said is not before and sum(said.get("behind_bytes", {"sip": 1 << 30}).values()) < 1 << 18


@pytest.fixture(scope="module")
def watched(venue, configured, recording, strategy_file, run_folder, proven, tmp_path_factory):
    truth = tmp_path_factory.mktemp("venue") / "truth"
    source = venue(
        *("--tape", "generated", "--events", str(ROWS), "--rate", str(RATE), "--passes", "0"),
        *("--truth", str(truth)),
    )
    stuck = run_folder / "stuck"
    strategy = strategy_file("stuck_strategy", STUCK.format(path=str(stuck)))
    more = "[table]\ncommit_s = 0.2"
    config = configured(
        run_folder / "tape", {"sip": source.url()}, [(strategy, 'name = "stuck"')], more=more
    )
    with recording(config) as made:
        watch = Watched(made)
        made.until(lambda: made.said("table").get("rows", 0) > 0, "rows are stored")
        table = made.supervisor.pids()["table"]

        stuck.touch()
        watch.through("strategy")

        limit_files(table, 1)
        made.until(lambda: made.words("trouble", "table"), "the table is refused")
        watch.through("refused")
        limit_files(table, None)
        made.until(lambda: made.words("mended", "table"), "the table's disk takes writes again")

        os.kill(table, signal.SIGSTOP)
        try:
            stopped = psutil.Process(table)
            made.until(lambda: stopped.status() == psutil.STATUS_STOPPED, "the table is stopped")
            watch.stood = [watch.table_stands()]
            watch.through("stopped")
            watch.stood.append(watch.table_stands())
        finally:
            os.kill(table, signal.SIGCONT)
        told = made.said("decide-stuck")
        stuck.unlink()
        # At the stop it has ten seconds for the rest.
        made.until(lambda: has_caught_up(made.said("decide-stuck"), told), "it has caught up")
        watch.end = made.stop()
    watch.sent = source.end(truth)
    watch.verdict = proven(made.directory.root, tmp_path_factory.mktemp("proof"))
    return watch


@pytest.mark.parametrize("what", ["strategy", "refused", "stopped"])
def test_capture_goes_on_while_another_is_stuck(watched, what):
    before, after = watched.before[what], watched.after[what]
    assert after["frames"] >= before["frames"] + MORE
    assert after["synced"] > before["synced"]
    assert after["state"] is JournalState.OK
    assert after["dropped_frames"] == 0


def test_the_one_that_is_stuck_is_named_where_it_can_say_so(watched):
    assert watched.made.words("trouble", "capture-sip") == []
    assert watched.made.words("trouble", "table"), "its disk refused"
    assert watched.stood[0] == watched.stood[1], "it was stopped"


def test_all_of_them_catch_up_and_nothing_is_lost(watched):
    (feed,) = watched.verdict.feeds
    assert watched.end.reasons() == []
    assert watched.verdict.complete, watched.verdict.reasons()
    assert feed.total("received") == feed.total("stored") == watched.sent
    (strategy,) = watched.verdict.decisions
    assert strategy.reasons() == []
