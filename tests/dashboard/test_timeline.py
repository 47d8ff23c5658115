"""Rate, lag and latency over time: each point once, and only when it is final."""

import numpy as np

from ticktape.dashboard.timeline import SECONDS_MAX, Rows, Timeline

MS = 1_000_000


def rows(*each):
    seconds, entries, ends = np.array(each, dtype=np.int64).T
    return Rows(seconds, entries, np.zeros(len(each), dtype=np.int64), ends)


def test_entries_are_counted_and_lag_is_what_a_stage_has_not_reached():
    timeline = Timeline(("written", "last"))
    timeline.add_rows("written", "sip", rows((10, 5, 100), (10, 5, 200), (11, 1, 300)))
    timeline.add_rows("last", "sip", rows((10, 4, 80), (11, 7, 300)))
    assert timeline.points(12) == [[10, [10, 4], [0, 120]], [11, [1, 7], [0, 0]]]


def test_a_point_is_given_once_and_a_quiet_second_keeps_the_lag():
    timeline = Timeline(("written", "last"))
    timeline.add_rows("written", "sip", rows((10, 5, 100)))
    timeline.add_rows("last", "sip", rows((10, 1, 20)))
    assert [point[0] for point in timeline.points(11)] == [10]
    assert timeline.points(11) == []
    assert timeline.points(13) == [[11, [0, 0], [0, 80]], [12, [0, 0], [0, 80]]]


def test_a_stage_that_comes_later_is_shown_behind_those_before():
    timeline = Timeline(("written",))
    timeline.add_rows("written", "sip", rows((10, 5, 100)))
    timeline.add_rows("decided-b", "sip", rows((10, 5, 100)))
    assert timeline.stages == ["written", "decided-b"]
    assert timeline.points(11) == [[10, [5, 5], [0, 0]]]


def test_points_begin_with_whichever_feed_was_first_not_with_the_one_read_first():
    timeline = Timeline(("written",))
    timeline.add_rows("written", "mt5", rows((11, 2, 50)))
    timeline.add_rows("written", "sip", rows((10, 5, 100), (11, 1, 120)))
    assert timeline.points(12) == [[10, [5], [0]], [11, [3], [0]]]
    timeline.add_rows("written", "late", rows((9, 1, 10)))
    assert [point[0] for point in timeline.points(13)] == [12]


def test_latency_begins_with_the_earliest_span():
    timeline = Timeline(("written",))
    one = np.ones(1, dtype=np.int64)
    timeline.add_latency("written", one * 17, one * MS, one)
    timeline.add_latency("written", one * 11, one * MS, one)
    assert [point[0] for point in timeline.latency_points(25)] == [10, 15]


def test_what_is_given_of_a_long_past_is_bounded():
    timeline = Timeline(("written",))
    timeline.add_rows("written", "sip", rows((10, 1, 10), (1_000_000, 1, 20)))
    points = timeline.points(1_000_001)
    assert len(points) == SECONDS_MAX
    assert points[-1] == [1_000_000, [1], [0]]


def test_percentiles_are_weighted_by_entries():
    timeline = Timeline(("written", "last"))
    seconds = np.array([10, 11, 12], dtype=np.int64)
    latency = np.array([1, 2, 900], dtype=np.int64) * MS
    timeline.add_latency("last", seconds, latency, np.array([98, 1, 1], dtype=np.int64))
    assert timeline.latency_points(10) == []
    ((second, of),) = timeline.latency_points(15)
    assert second == 10
    assert (of["last"].p50, of["last"].p99, of["last"].max) == (1_000.0, 2_000.0, 900_000.0)
    assert of["last"].count == 100
    assert timeline.recent_latency()["last"].count == 100
