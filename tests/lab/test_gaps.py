"""Gaps are whole, and all of them count."""

from ticktape.lab.gaps import POINTS, gaps_between, gaps_of

MS = 1_000_000
S = 1000 * MS


def test_a_gap_of_seconds_is_not_cut_to_its_milliseconds():
    found = gaps_between([0, 2 * MS, 2 * MS + 3 * S + 5 * MS])
    assert found.max == 3 * S + 5 * MS
    assert found.count == 2


def test_gaps_of_nothing_are_kept_and_counted_apart():
    found = gaps_of([0, 0, 5, 7])
    assert (found.count, found.zero, found.lowest, found.max) == (4, 2, 5, 7)
    assert found.ccdf == [(5, 0.25), (7, 0.0)]


def test_percentiles_are_gaps_that_there_were():
    found = gaps_of(range(1, 1001))
    assert (found.p50, found.p99, found.p999, found.max) == (500, 990, 999, 1000)
    assert found.mean == 500.5


def test_the_shares_of_longer_gaps_fall_and_are_few():
    found = gaps_of([(number * number) % 100_003 + 1 for number in range(5000)])
    lengths, shares = zip(*found.ccdf, strict=True)
    assert len(found.ccdf) <= POINTS + 2
    assert list(lengths) == sorted(lengths)
    assert list(shares) == sorted(shares, reverse=True)
    assert shares[-1] == 0
    assert lengths[0] == found.lowest
    assert lengths[-1] == found.max


def test_without_gaps_there_are_no_figures():
    assert gaps_between([5]).count == 0
    assert gaps_of([0, 0]).ccdf == []
