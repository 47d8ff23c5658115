"""How the disk goes on."""

from ticktape.dashboard.disk import WINDOW_S, DiskWatch


def test_the_forecast_is_what_is_free_above_the_reserve_over_the_rate():
    watch = DiskWatch()
    assert watch.add(0, 100, 20, 3, 10_000, 1_000).full_s is None
    state = watch.add(100, 1_100, 20, 3, 9_000, 1_000)
    assert (state.run, state.rate, state.full_s) == (1_123, 10.0, 800.0)


def test_a_moment_says_nothing_of_the_rate():
    watch = DiskWatch()
    watch.add(0, 0, 0, 0, 10_000, 0)
    assert watch.add(5, 5_000, 0, 0, 10_000, 0).rate is None


def test_a_run_that_does_not_grow_is_never_full():
    watch = DiskWatch()
    watch.add(0, 100, 0, 0, 10_000, 0)
    state = watch.add(60, 100, 0, 0, 10_000, 0)
    assert (state.rate, state.full_s) == (0.0, None)


def test_only_the_last_minutes_count():
    watch = DiskWatch()
    watch.add(0, 0, 0, 0, 1, 0)
    watch.add(100, 1_000_000, 0, 0, 1, 0)
    watch.add(WINDOW_S, 1_000_000, 0, 0, 1, 0)
    assert watch.add(101 + WINDOW_S, 1_000_000, 0, 0, 1, 0).rate == 0.0
