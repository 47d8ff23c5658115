"""Deciding again: the same inputs in the same order, and words for whatever is not the same."""

import pytest

from ticktape.decisions.log import Blocks, Logged, Timer
from ticktape.errors import ConfigError
from ticktape.records import Position
from ticktape.replay.rerun import Pace, inputs_by_receipt, new_runner, read_runs, rerun


def again(made, number=-1, file=None):
    log = read_runs(made.directory, "tens")[number]
    runner = new_runner(made.directory, file or made.strategy, "tens", "", "stop")
    return rerun(made.directory, "tens", log, runner, Pace(0))


def test_a_run_decides_the_same_again(made):
    result = again(made)

    assert (result.run, result.decided, result.logged, result.difference) == ("monday", 10, 10, "")


def test_another_strategy_is_compared_and_the_first_difference_is_shown(made):
    other = made.folder / "other.py"
    other.write_text(made.strategy.read_text().replace("self.seen % 10", "self.seen % 20"))
    result = again(made, file=other)

    assert result.decided == 5
    assert result.difference.startswith('live {"n":0,')
    assert '"value":[10,1009]} | now {' in result.difference


def test_an_error_that_live_did_not_have_is_a_difference(made):
    other = made.folder / "raises.py"
    text = "    def on_gap(self, gap, last):\n        raise ValueError(object())\n"
    other.write_text(made.strategy.read_text() + text)
    result = again(made, file=other)

    assert result.difference == "live no error | now an error in gaps at entry 103"
    assert (result.failures, result.decided) == (1, 10)


def test_each_run_is_decided_again_on_its_own(made, trade):
    epoch = made.record([[trade(200 + n)] for n in range(30)], run="tuesday")
    made.decide("tuesday", epoch)

    assert [again(made, n).run for n in range(2)] == ["monday", "tuesday"]
    assert [again(made, n).decided for n in range(2)] == [10, 3]
    assert [again(made, n).difference for n in range(2)] == ["", ""]


def test_a_strategy_is_never_given_what_another_run_recorded(empty, trade):
    """An orphan drains while its successor records: what comes then is the successor's."""
    monday = empty.record([[trade(n)] for n in range(10)], run="monday")
    empty.record([[trade(20 + n)] for n in range(10)], run="tuesday")
    empty.decide("monday", monday)
    (log,) = read_runs(empty.directory, "tens")
    epochs = {logged.input.epoch for logged in log.inputs()}

    assert epochs == {monday}
    assert [w for w in empty.check().reasons() if "not decided on" in w] == []


def test_a_strategy_whose_inputs_are_gone_goes_on_without_its_memory_and_says_so(empty, trade):
    epoch = empty.record([[trade(n)] for n in range(25)], run="monday", segment_bytes=2048)
    empty.decide("monday", epoch)
    victim = empty.segments()[1]
    victim.write_bytes(bytes(len(victim.read_bytes())))
    empty.record([[trade(50 + n)] for n in range(20)], run="monday")
    told = []
    empty.decide("monday", epoch, told=told)
    first, second = read_runs(empty.directory, "tens")

    words = [content["words"] for event, content in told if event == "trouble"]
    assert len(words) == 1
    assert words[0].startswith("strategy tens goes on without its memory: feed sip: ")
    assert (first.start.run, second.start.run) == ("monday", "monday")
    assert second.start.first_number == 2
    assert again(empty).difference == ""


def test_feeds_are_merged_by_receipt_and_each_keeps_its_own_order(made, trade):
    made.configure(("sip", "iex"))
    made.record([[trade(300 + n)] for n in range(20)], feed="iex", run="monday")
    log = inputs_by_receipt(made.directory)
    seen = list(log.inputs())
    times = [logged.recv_ns for logged in seen]
    places = {
        feed: [(one.input.epoch, one.input.from_offset) for one in seen if one.input.feed == feed]
        for feed in ("sip", "iex")
    }

    assert times == sorted(times)
    assert [len(found) for found in places.values()] == [len(made.blocks(f)) for f in places]
    assert all(found == sorted(found) for found in places.values())
    result = rerun(
        made.directory,
        "tens",
        log,
        new_runner(made.directory, made.strategy, "tens", "", "stop"),
        Pace(0),
    )
    assert (result.inputs, result.decided) == (len(seen), 12)


def test_a_run_without_a_byte_is_refused(empty):
    empty.directory.feed_journal("sip").mkdir(parents=True)

    with pytest.raises(ConfigError, match="nothing was recorded"):
        inputs_by_receipt(empty.directory)


def test_pace_keeps_the_distances_of_the_live_run(monkeypatch):
    now = [1_000]
    slept = []

    def sleep_s(seconds):
        slept.append(seconds)
        now[0] += int(seconds * 1e9)

    monkeypatch.setattr("ticktape.replay.rerun.clock.monotonic_ns", lambda: now[0])
    monkeypatch.setattr("ticktape.replay.rerun.clock.sleep_s", sleep_s)
    pace = Pace(10.0)
    for recv_ns in (5_000_000_000, 6_000_000_000, 6_000_000_000, 9_000_000_000):
        pace(Logged(Timer(0), [], [], Position(0, 0), recv_ns))

    assert slept == [0.1, pytest.approx(0.3)]


def test_at_full_speed_nothing_waits(monkeypatch):
    monkeypatch.setattr("ticktape.replay.rerun.clock.sleep_s", lambda _: pytest.fail("slept"))
    pace = Pace(0)
    for recv_ns in (1, 10**18):
        pace(Logged(Blocks("sip", 0, 0, 1, 1), [], [], Position(0, 0), recv_ns))


def test_a_block_that_is_damaged_is_a_gap_for_the_strategy_live_and_again(empty, trade):
    told_of = "    def on_gap(self, gap, last):\n        return gap.cause\n"
    empty.strategy.write_text(empty.strategy.read_text() + told_of)
    epoch = empty.record([[trade(n)] for n in range(3)], run="monday", stop=False)
    [path] = empty.segments()
    content = bytearray(path.read_bytes())
    content[content.index(trade(1))] ^= 1
    path.write_bytes(content)
    empty.decide("monday", epoch)
    [log] = read_runs(empty.directory, "tens")
    decided = [each for logged in log.inputs() for each in logged.decisions]

    assert [b"the journal is damaged" in each for each in decided] == [True]
    assert (again(empty).difference, again(empty).logged) == ("", 1)
