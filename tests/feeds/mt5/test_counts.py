"""What one symbol's polls leave behind when their interval is over."""

from ticktape.feeds.mt5.counts import SymbolPolls, buckets
from ticktape.polls import PollCounts, bucket_of


def test_nothing_polled_is_all_zeros():
    assert SymbolPolls("A").take() == PollCounts("A")
    assert buckets(SymbolPolls("A").calls) == {}


def test_every_poll_is_counted_by_its_call():
    polls = SymbolPolls("A")
    polls.calls.extend([1_000, 2_000, 1_000_000])
    polls.changed, polls.unchanged, polls.errors["-1"] = 1, 1, 1
    counts = polls.take()
    assert counts.polls == 3 == counts.changed + counts.unchanged + sum(counts.errors.values())
    assert counts.calls == {bucket_of(ns): 1 for ns in (1_000, 2_000, 1_000_000)}


def test_what_was_taken_is_not_touched_by_what_follows():
    polls = SymbolPolls("A")
    polls.errors["-1"] = 1
    first = polls.take()
    polls.errors["-1"] = 5
    polls.calls.append(9)
    assert (first.errors, first.polls) == ({"-1": 1}, 0)
    assert polls.take().errors == {"-1": 5}


def test_the_fewest_rows_are_those_of_a_stored_image():
    polls = SymbolPolls("A")
    assert polls.take().rows_min == 0
    polls.rows_min, polls.rows_max = 4, 20
    assert (polls.take().rows_min, polls.take().rows_max) == (4, 0)
