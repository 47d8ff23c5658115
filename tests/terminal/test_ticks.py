"""A real recorder's ticks against the terminal's own: each once, wherever it is killed."""

import os
import signal

import numpy as np
import pytest

from ticktape.sim.mt5 import World, ticks_truth
from ticktape.sim.mt5.results import TICK_DTYPE

pytestmark = pytest.mark.timeout(900)

SYMBOL = "EURUSD"
RATE = 8_000
KILLS = 6


def first_images(run):
    """How many images say that they are the first ones after a gap."""
    return sum(bool(image.marks & 2) for image in run.images("fx"))


@pytest.fixture(scope="module")
def killed(simulate, start_run, feed_text, folder):
    """A feed of fast ticks whose process is killed again and again, at no chosen moment."""
    sim = simulate(
        *("mt5", folder / "ticking", "--book", f"{SYMBOL}=generated:levels=5,rate=20"),
        *("--tick-rate", RATE, "--latency-us", "0", "--broker-hours", "3"),
    )
    run = start_run(
        feed_text("fx", sim.ready["path"], books=[SYMBOL], ticks=[SYMBOL], more="tick_ms = 20")
    )
    run.until_ready("fx")
    for number in range(KILLS):
        run.go_on(0.7 + number * 0.13)
        pid = run.supervisor.pids()["capture-fx"]
        os.kill(pid, signal.SIGKILL)
        run.restarted("fx", pid)
        while first_images(run) <= number:
            run.go_on(0.2)
    run.go_on(2)
    run.stop()
    world = World(folder / "ticking")
    rows, visible_ns = ticks_truth(world, SYMBOL)
    return run, rows, visible_ns


def test_every_tick_is_journaled_once_and_in_order_across_kills(killed):
    run, truth, _ = killed
    stored = np.frombuffer(run.ticks("fx", SYMBOL), TICK_DTYPE)
    assert len(stored) > 50_000
    assert len(np.unique(stored["time_msc"])) < len(stored) / 100, "many share a millisecond"
    # All of the terminal's from the first that was taken to the last, and nothing twice.
    assert len(np.flatnonzero(truth == stored[-1])) > 0, "the last one is one of the terminal's"
    starts = [
        at
        for at in np.flatnonzero(truth == stored[0])
        if len(truth) - at >= len(stored) and (truth[at : at + len(stored)] == stored).all()
    ]
    assert starts, _difference(truth, stored)


def _difference(truth, stored):
    """Where the journal first leaves the truth."""
    at = int(np.flatnonzero(truth == stored[0])[0])
    count = min(len(truth) - at, len(stored))
    wrong = np.flatnonzero(truth[at : at + count] != stored[:count])
    first = int(wrong[0]) if len(wrong) else count
    now, then = stored[first : first + 3], truth[at + first : at + first + 3]
    return f"{len(stored)} stored, {len(truth) - at} true; from {first} on {now} for {then}"


def test_table_has_every_journaled_tick_once(killed):
    run, _, _ = killed
    verdict = run.prove()
    (feed,) = verdict.feeds
    ticks = next(count for count in feed.counts if count.kind == "ticks")
    assert ticks.adds_up
    assert ticks.received == ticks.stored == len(run.ticks("fx", SYMBOL)) // TICK_DTYPE.itemsize


def test_each_kill_is_a_gap_of_the_book_and_its_first_image_says_so(killed):
    run, _, _ = killed
    (feed,) = run.prove().feeds
    gaps = [gap for gap in feed.gaps if gap.cause == "the recorder was killed"]
    assert len(gaps) == KILLS
    assert all(gap.to_ns is not None for gap in gaps)
    # Its ticks were fetched from the history; of its book there is none.
    assert [gap.state for gap in gaps] == ["unhealable"] * KILLS
    assert first_images(run) == KILLS


def test_brokers_clock_is_known_and_the_times_are_utc(killed):
    run, _, _ = killed
    from ticktape.replay.tail import connect_run

    con = connect_run(run.directory)
    offsets, late_ms = con.execute(
        "SELECT list(DISTINCT offset_ms), max(recv_ns - event_ns) / 1e6 FROM ticks"
    ).fetchall()[0]
    con.close()
    assert offsets == [3 * 3_600_000]
    # A process that is started late fetches what it missed; clocks differ by a quarter hour or not.
    assert 0 < late_ms < 15 * 60_000
