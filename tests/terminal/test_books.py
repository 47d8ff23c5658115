"""What is stored of a polled book against what the terminal knows: every image, every interval."""

import pytest

REAL, FAST, CALLS = "1x", "10x", "max"
POLL_MS = 2
BOOK64 = "generated:levels=64,rate=200,poisson"
ODD = "generated:levels=12,rate=100,share=0.5,anomalies=all"


def shows(run, name):
    """How many images are journaled that show something."""
    return sum(bool(image.rows) for image in run.images(name))


@pytest.fixture(scope="module")
def recorded(simulate, start_run, feed_text, folder):
    """Five terminals polled in one run: real books at three speeds, deep ones, strange ones."""
    worlds = {
        "real": ("--speed", REAL),
        "fast": ("--speed", FAST),
        "calls": ("--speed", CALLS),
        "deep": ("--book", f"BOOK={BOOK64}", "--warm-s", "0.5"),
        "odd": ("--book", f"BOOK={ODD}"),
    }
    sims = {
        name: simulate("mt5", folder / name, "--latency-us", "20", *options)
        for name, options in worlds.items()
    }
    symbols = {name: "BOOK" if name in ("deep", "odd") else "BTCUSDT" for name in worlds}
    run = start_run(
        "".join(
            feed_text(name, sim.ready["path"], books=[symbols[name]], more=f"poll_ms = {POLL_MS}")
            for name, sim in sims.items()
        )
    )
    run.until_ready(*worlds)
    run.go_on(6)
    run.until(lambda: all(shows(run, name) > 100 for name in worlds), "there are enough of each")
    run.stop()
    return run, {name: (sim.ready["path"], symbols[name]) for name, sim in sims.items()}


@pytest.fixture(scope="module", params=["real", "fast", "calls", "deep", "odd"])
def case(request, recorded, truth_of):
    run, places = recorded
    return request.param, run.images(request.param), truth_of(*places[request.param])


def test_every_image_is_a_true_state_in_order_and_every_change_lies_in_its_interval(case, matched):
    _, images, truth = case
    found = matched(truth, images)
    assert len(found) > 50
    assert found == sorted(found)


def test_what_was_missed_is_what_the_matched_states_leave_out(case, matched):
    """Counted as the demo does, by changes in all, it is what matching state by state shows."""
    name, images, truth = case
    found = matched(truth, images)
    left_out = found[-1] - found[0] + 1 - len(set(found))
    matched_images = images[-len(found) :]  # those of the warm-up match nothing
    changes = truth.count(matched_images[0].after_ns, matched_images[-1].after_ns)
    missed = changes - (len(set(found)) - 1)
    # The first and the last image may each show any state that was there during its call.
    ends = (matched_images[0], matched_images[-1])
    assert abs(missed - left_out) <= sum(truth.count(i.before_ns, i.after_ns) for i in ends) + 1
    if name == "calls":
        assert left_out == 0, "each call is a state: none can be missed"


def test_estimate_is_within_its_tolerance_where_it_claims_one(case, matched, recorded):
    name, images, truth = case
    run, _ = recorded
    (feed,) = [feed for feed in run.prove().feeds if feed.name == name]
    (polls,) = feed.polls
    assert polls.polls == polls.changed + polls.unchanged + sum(polls.errors.values())
    if name == "calls":
        assert polls.missed is None, "every poll sees a change: nothing can be said"
        return
    found = matched(truth, images)
    missed = found[-1] - found[0] + 1 - len(set(found))
    if polls.changed / polls.polls > 0.5:
        # The case is made for less: only who polled later than asked sees a change in so many.
        first, last = images[0], images[-1]
        assert last.after_ns - first.after_ns > 1.05 * POLL_MS * 1e6 * (last.poll - first.poll)
        return
    # What tests/test_polls.py measures, and twice what chance adds to a few seconds of changes: to
    # what was missed, and to h0, which is told by `changed` of them (its error is 0.9 / their root,
    # and 0.8 of that reaches the missed ones for each seen).
    chance = 2 * (missed + 0.5 * polls.changed) ** 0.5
    assert abs(polls.missed - missed) <= 0.07 * polls.changed + chance


def test_run_is_complete_and_every_image_is_in_the_table(recorded):
    run, _ = recorded
    assert run.end.reasons() == []
    verdict = run.prove()
    # A machine that stands still for two seconds makes a gap of it, and only that.
    assert all("passed between two polls" in reason for reason in verdict.reasons())
    for feed in verdict.feeds:
        assert feed.total("stored") == len(run.images(feed.name))
