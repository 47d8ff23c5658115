"""One strategy over blocks and timers: numbers, policies on errors, and the entries it makes."""

import msgspec
import pytest

from ticktape.decisions import DecisionRunner
from ticktape.decisions.log import Blocks, Timer
from ticktape.decisions.runner import log_block
from ticktape.records import EntryKind

ECHO = """
    class Echo:
        timer_s = 1
        def on_trade(self, trade, last):
            return trade.price if trade.price > 0 else None
        def on_timer(self, now_ns, last):
            return now_ns
"""
RAISES = """
    class Raises:
        timer_s = 1
        def on_trade(self, trade, last):
            if trade.price == 13:
                raise ValueError("unlucky")
            return trade.price
        def on_quote(self, quote, last):
            return "quote"
        def on_timer(self, now_ns, last):
            return 1 // now_ns
"""


@pytest.fixture
def runner_of(load, makes):
    def make(text, blocks, on_error="stop"):
        by_offset = {100 * (n + 1): records for n, records in enumerate(blocks)}
        runner = DecisionRunner(load(text), {"sip": makes.decoder(by_offset)}, on_error)
        made = [makes.block(records, offset=at) for at, records in by_offset.items()]
        return runner, made

    return make


def said(outcome):
    return [msgspec.json.decode(payload) for payload in outcome.decisions]


def test_decisions_are_numbered_from_0_over_all_inputs(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4, 1.5), makes.trade(5, 0)], [makes.trade(6)]])

    first, timer, second = (
        runner.give("sip", blocks[:1]),
        runner.fire_timer(99),
        runner.give("sip", blocks[1:]),
    )

    assert [one["n"] for one in said(first) + said(timer) + said(second)] == [0, 1, 2]
    assert runner.statistics()._asdict() == {
        "decision": "mine",
        "records": 3,
        "decisions": 3,
        "timers": 1,
        "failures": 0,
        "stopped": False,
    }


def test_a_decision_names_the_record_it_answers(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4, 1.5, event_ns=42)]])

    (one,) = said(runner.give("sip", blocks))

    assert one == {
        "n": 0,
        "trigger": "trades",
        "feed": "sip",
        "symbol": "IBM",
        "event_ns": 42,
        "recv_ns": 5,
        "epoch": 0,
        "seq": 4,
        "index": 0,
        "value": 1.5,
    }


def test_a_timers_decision_has_no_entry(runner_of):
    runner, _ = runner_of(ECHO, [])

    (one,) = said(runner.fire_timer(77))

    assert (one["trigger"], one["seq"], one["event_ns"], one["value"]) == ("timer", -1, 77, 77)


def test_an_input_says_which_blocks_it_was(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4)], [makes.trade(5)]])

    assert runner.give("sip", blocks).input == Blocks("sip", 0, 100, 250, 2)
    assert runner.fire_timer(3).input == Timer(3)


def test_input_and_outcome_are_logged_as_one_block(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4), makes.trade(5)]])

    payloads, kinds = log_block(runner.give("sip", blocks))

    assert kinds == [EntryKind.INPUT, EntryKind.DECISION, EntryKind.DECISION]
    assert msgspec.json.decode(payloads[0])["type"] == "blocks"


def test_numbers_go_on_from_where_they_are_set(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4)]])
    runner.next_number = 40

    assert said(runner.give("sip", blocks))[0]["n"] == 40


def test_each_block_is_stamped_once_it_is_through(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4), makes.trade(5)], []])
    numbers = []

    def now():
        numbers.append(runner.next_number)
        return 10 * len(numbers)

    assert runner.give("sip", blocks, now, 99).done_ns == [10, 20]
    assert numbers == [2, 2]
    assert runner.give("sip", blocks).done_ns == []


def test_with_stop_nothing_is_given_after_the_first_error(runner_of, makes):
    runner, blocks = runner_of(
        RAISES,
        [[makes.trade(0, 1.0), makes.trade(1, 13.0), makes.trade(2, 2.0)], [makes.trade(3, 3.0)]],
    )

    outcome = runner.give("sip", blocks, lambda: 1, 2)

    assert [one["value"] for one in said(outcome)] == [1.0]
    assert "unlucky" in str(outcome.failure)
    assert [failed.seq for failed in outcome.failed()] == [1]
    assert runner.stopped
    assert outcome.done_ns == []
    assert outcome.input.count == 2
    assert runner.statistics().records == 2
    assert runner.give("sip", blocks[1:]).payloads == []
    assert runner.fire_timer(1).payloads == []


def test_with_detach_only_the_callback_that_raised_is_silent(runner_of, makes):
    runner, blocks = runner_of(
        RAISES,
        [[makes.trade(0, 13.0), makes.trade(1, 2.0), makes.quote(2)]],
        on_error="detach",
    )

    outcome = runner.give("sip", blocks)

    assert [one["value"] for one in said(outcome)] == ["quote"]
    assert not runner.stopped
    assert said(runner.fire_timer(1))[0]["value"] == 1
    assert runner.statistics().failures == 1


def test_with_detach_a_timer_that_raised_is_not_called_again(runner_of):
    runner, _ = runner_of(RAISES, [], on_error="detach")

    failed = runner.fire_timer(0)

    assert [one.trigger for one in failed.failed()] == ["timer"]
    assert runner.fire_timer(1).payloads == []
    assert not runner.stopped


def test_with_stop_a_timer_that_raised_ends_the_strategy(runner_of):
    runner, _ = runner_of(RAISES, [])
    runner.fire_timer(0)

    assert runner.stopped


def test_an_input_ends_where_it_is_enough_and_names_only_what_was_given(runner_of, makes):
    runner, blocks = runner_of(ECHO, [[makes.trade(4)], [makes.trade(5)], [makes.trade(6)]])

    outcome = runner.give("sip", blocks, lambda: runner.next_number, 2)

    assert outcome.input == Blocks("sip", 0, 100, 250, 2)
    assert outcome.done_ns == [1, 2]
    assert [one["seq"] for one in said(outcome)] == [4, 5]
